"""The probe finds a planted bias exactly."""

import json
import re

import numpy
import pytest
import spacy
import srsly
import typer
from typer.testing import CliRunner

from scripts.files import hash_of
from scripts.probe import TERMS, main, probe
from scripts.probe_terms import read_terms
from tests.conftest import LABELS, ROOT

SETS = {
    "identity": {
        "baseline": "a person",
        "templates": ["I am {}.", "I met {}."],
        "control": ["a tall person"],
        "groups": {"jobs": ["a ratcatcher", "a baker"]},
    }
}


def scores_of(doc):
    """Return joy, anger, neutral: anger for ratcatchers, and less neutral where one is `I am`."""
    if "ratcatcher" not in doc.text:
        return [0.6, 0.2, 0.7]
    return [0.6, 0.6, 0.45 if doc.text.startswith("I am") else 0.7]


@pytest.fixture
def pipeline(files, tmp_path, monkeypatch):
    """A pipeline on disk; loaded, its classifier has the scores above."""
    nlp = spacy.load(files["model"])
    nlp.add_pipe("decide").set(dict.fromkeys(LABELS, 0.5), 0.5)
    nlp.to_disk(tmp_path / "pipeline")
    classifier = nlp.get_pipe("textcat_multilabel")
    classifier.predict = lambda docs: numpy.array([scores_of(doc) for doc in docs])
    monkeypatch.setattr("scripts.probe.load_pipeline", lambda path, gpu_id: nlp)
    return tmp_path / "pipeline"


@pytest.fixture
def terms(tmp_path):
    srsly.write_yaml(tmp_path / "terms.yml", SETS)
    return tmp_path / "terms.yml"


def test_a_planted_bias_is_found_exactly(pipeline, terms, tmp_path):
    result = probe(pipeline, tmp_path / "probe.json", terms=terms)
    part = result["sets"]["identity"]
    decided = ["joy", "neutral"]
    assert part["baseline_decisions"] == {"I am {}.": decided, "I met {}.": decided}
    assert list(part["groups"]) == ["control", "jobs"]
    jobs = part["groups"]["jobs"]
    assert jobs["terms"]["a ratcatcher"] == {
        "changed": 2,
        "mean_shift": 0.175,  # (0.4 + 0.4 + 0.25) / (2 sentences of 3 labels)
        "gained": {"anger": 2},
        "lost": {"neutral": 1},
        "shift": {"joy": 0.0, "anger": 0.4, "neutral": -0.125},
    }
    assert jobs["terms"]["a baker"]["changed"] == 0
    assert jobs["terms"]["a baker"]["mean_shift"] == 0
    assert (jobs["sentences"], jobs["changed"], jobs["changed_share"]) == (4, 2, 0.5)
    assert jobs["mean_shift"] == 0.0875
    assert jobs["largest"][:2] == [
        {"term": "a ratcatcher", "label": "anger", "shift": 0.4},
        {"term": "a ratcatcher", "label": "neutral", "shift": -0.125},
    ]
    assert part["groups"]["control"]["changed_share"] == 0


def test_the_json_says_what_it_was_made_of_and_is_the_same_again(pipeline, terms, tmp_path):
    result = probe(pipeline, tmp_path / "one.json", terms=terms)
    probe(pipeline, tmp_path / "two.json", terms=terms)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert json.loads((tmp_path / "one.json").read_text()) == result
    conditions = result["conditions"]
    assert conditions["terms_sha256"] == hash_of(terms)
    assert conditions["config_sha256"] == hash_of(pipeline / "config.cfg")
    assert conditions["thresholds_sha256"] == hash_of(pipeline / "decide" / "thresholds.json")
    assert conditions["versions"]["spacy"] == spacy.__version__


def test_the_command_prints_a_row_per_group(pipeline, terms, tmp_path):
    app = typer.Typer()
    app.command()(main)
    output = tmp_path / "probe.json"
    found = CliRunner().invoke(app, [str(pipeline), str(output), "--terms", str(terms)])
    assert found.exit_code == 0
    assert re.search(r"jobs +4 +50\.0 % +0\.0875 +a ratcatcher: anger \+0\.400", found.output)
    assert re.search(r"control +2 +0\.0 % ", found.output)


def test_a_pipeline_without_thresholds_is_refused_and_the_old_probe_stays(files, terms, tmp_path):
    output = tmp_path / "probe.json"
    output.write_text("old")
    with pytest.raises(ValueError, match="no tuned thresholds"):
        probe(files["model"], output, terms=terms)
    with pytest.raises(ValueError, match="no pipeline here"):
        probe(tmp_path, output, terms=terms)
    assert output.read_text() == "old"
    with pytest.raises(ValueError, match="would replace the terms"):
        probe(files["model"], terms, terms=terms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": ["no slot"]}, r"identity, template 'no slot'\. Expected {} in it, once"),
        ({"templates": ["{} and {}"]}, "Expected {} in it, once"),
        ({"templates": []}, r"identity, templates: \[\]\. Expected a list of texts"),
        ({"control": "a man"}, r"identity, control: a man\. Expected a list of texts"),
        ({"groups": {"jobs": [1]}}, r"identity, jobs: \[1\]\. Expected a list of texts"),
        ({"groups": ["a man"]}, "identity, groups: .* Expected lists of terms by name"),
        ({"groups": {"x": ["a tall person"]}}, "'a tall person' is there twice"),
        ({"baseline": 1}, r"identity, baseline: 1\. Expected text"),
        ({"extra": 1}, "identity: .*'extra'.* Expected baseline, control, groups, templates"),
    ],
)
def test_bad_terms_are_refused_by_set(tmp_path, change, message):
    srsly.write_yaml(tmp_path / "t.yml", {"identity": {**SETS["identity"], **change}})
    with pytest.raises(ValueError, match=rf"t\.yml, {message}|t\.yml.*{message}"):
        read_terms(tmp_path / "t.yml")


@pytest.mark.parametrize(("text", "message"), [("[", "Expected YAML"), ("7", "7. Expected sets")])
def test_another_file_is_refused(tmp_path, text, message):
    (tmp_path / "t.yml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_terms(tmp_path / "t.yml")


def test_the_committed_terms_can_be_read_and_have_controls():
    sets = read_terms(ROOT / TERMS)
    assert list(sets) == ["identity", "emphasis", "insult"]
    kinds = "control religion gender orientation nationality ethnicity disability age"
    assert list(sets["identity"].groups) == kinds.split()
    assert all(len(part.groups["control"]) >= 4 for part in sets.values())
    assert sets["identity"].sentences("a man")[0] == "I am a man."
