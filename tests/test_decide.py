"""The decide component and the command that tunes it."""

import importlib.util
import json
import shutil
import signal
import subprocess
import sys

import pytest
import spacy

from plugins.decide import Decide
from scripts.decide import decide
from scripts.files import hash_of
from tests.conftest import LABELS, ROOT, make_nlp


def scored_doc(nlp, **scores):
    doc = nlp.make_doc("some text")
    doc.cats = scores
    return doc


@pytest.fixture
def component():
    component = Decide(spacy.blank("en").vocab)
    component.set({"joy": 0.3, "anger": 0.5, "neutral": 0.2}, 0.4, {"method": "exact"})
    return component


def test_labels_at_or_above_their_threshold_are_picked_highest_first(component, nlp):
    doc = component(scored_doc(nlp, joy=0.3, anger=0.49, neutral=0.9))
    assert doc._.emotions == ["neutral", "joy"]
    assert component(scored_doc(nlp, joy=0.1, anger=0.1, neutral=0.1))._.emotions == []


def test_an_empty_text_decides_nothing_even_at_threshold_0(component, nlp):
    component.set({"joy": 0.0}, 0.0)
    doc = nlp.make_doc("")
    doc.cats = {"joy": 0.0}
    assert component(doc)._.emotions == []


def test_an_untuned_component_says_so(nlp):
    with pytest.raises(ValueError, match="no thresholds yet"):
        Decide(nlp.vocab)(scored_doc(nlp, joy=1.0))


def test_a_missing_score_is_named(component, nlp):
    with pytest.raises(ValueError, match="no score for anger, neutral"):
        component(scored_doc(nlp, joy=1.0))


@pytest.mark.parametrize("thresholds", [{}, {"joy": 1.5}])
def test_thresholds_outside_0_to_1_are_refused(component, thresholds):
    with pytest.raises(ValueError, match="Expected one per label in 0 to 1"):
        component.set(thresholds, 0.5)


def test_two_wheels_may_bring_the_factory(tmp_path):
    path = shutil.copy(ROOT / "plugins" / "decide.py", tmp_path)  # the same file would be let pass
    spec = importlib.util.spec_from_file_location("another_wheel.decide", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert spacy.blank("en").add_pipe("decide").name == "decide"


def test_thresholds_survive_bytes_and_disk(component, tmp_path):
    vocab = spacy.blank("en").vocab
    component.to_disk(tmp_path / "decide")
    copies = [
        Decide(vocab).from_bytes(component.to_bytes()),
        Decide(vocab).from_disk(tmp_path / "decide"),
    ]
    for copy in copies:
        assert copy.thresholds == component.thresholds
        assert list(copy.thresholds) == LABELS
        assert copy.global_threshold == 0.4 and copy.settings == {"method": "exact"}


@pytest.mark.slow
def test_decide_writes_a_pipeline_that_decides_after_loading(files, tmp_path):
    result = decide(files["model"], files["dev.spacy"], tmp_path / "pipeline", min_support=1)
    assert list(result["thresholds"]) == LABELS
    assert result["settings"]["docs"] == 8
    loaded = spacy.load(tmp_path / "pipeline")
    doc = loaded("You won! I hate that I love this so much")
    assert set(doc._.emotions) == {"joy", "anger"}
    assert not (files["model"] / "decide").exists()


@pytest.mark.slow
def test_a_pipeline_of_classifiers_forgets_the_words_it_was_trained_on(files, tmp_path):
    model, dev = files["model"], files["dev.spacy"]
    decide(model, dev, tmp_path / "pipeline")
    assert json.loads((tmp_path / "pipeline" / "vocab" / "strings.json").read_text()) == []
    assert json.loads((model / "vocab" / "strings.json").read_text()) != []
    texts = ["I love it", "so bad [NAME]"]
    found, expected = (
        [doc.cats for doc in spacy.load(path).pipe(texts)]
        for path in (tmp_path / "pipeline", model)
    )
    assert found == expected


@pytest.mark.slow
def test_words_stay_where_another_component_may_look_them_up(files, tmp_path):
    model, dev = files["model"], files["dev.spacy"]
    nlp = spacy.load(model)
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "model")
    decide(tmp_path / "model", dev, tmp_path / "pipeline")
    words = (tmp_path / "pipeline" / "vocab" / "strings.json").read_text()
    assert set(json.loads((tmp_path / "model/vocab/strings.json").read_text())) <= set(
        json.loads(words)
    )


@pytest.mark.slow
def test_decide_can_be_repeated_on_its_own_output(files, tmp_path):
    first = decide(files["model"], files["dev.spacy"], tmp_path / "one")
    second = decide(tmp_path / "one", files["dev.spacy"], tmp_path / "two")
    assert second["thresholds"] == first["thresholds"]
    assert spacy.load(tmp_path / "two").pipe_names == ["textcat_multilabel", "decide"]


@pytest.mark.slow
def test_a_corpus_with_other_labels_is_refused_and_the_old_pipeline_stays(files, tmp_path):
    output = tmp_path / "pipeline"
    decide(files["model"], files["dev.spacy"], output)
    other = make_nlp([("fine", {"joy"})], steps=0)
    textcat = other.get_pipe("textcat_multilabel")
    textcat.add_label("extra")
    other.to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match=r"dev\.spacy, doc 0: labels differ .*extra"):
        decide(tmp_path / "other", files["dev.spacy"], output)
    assert spacy.load(output)("x")._.emotions is not None


def test_a_missing_model_or_corpus_is_named(files, tmp_path):
    with pytest.raises(ValueError, match="nothing: no pipeline here"):
        decide(tmp_path / "nothing", files["dev.spacy"], tmp_path / "out")
    with pytest.raises(ValueError, match=r"gone\.spacy: no such corpus"):
        decide(files["model"], tmp_path / "gone.spacy", tmp_path / "out")
    assert not (tmp_path / "out").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from spacy.language import Language
from scripts.decide import decide
write = Language.to_disk
def write_and_die(nlp, path, **kwargs):
    write(nlp, path, **kwargs)
    (Path(path) / "meta.json").unlink()
    os.kill(os.getpid(), signal.SIGKILL)
Language.to_disk = write_and_die
decide(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_killed_run_leaves_the_previous_pipeline_and_the_next_completes(files, tmp_path):
    output = tmp_path / "pipeline"
    decide(files["model"], files["dev.spacy"], output)
    before = hash_of(output)
    command = [sys.executable, "-c", KILLED, files["model"], files["dev.spacy"], output]
    run = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert run.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pipeline.tmp", "pipeline"]
    assert hash_of(output) == before
    decide(files["model"], files["dev.spacy"], output, objective="micro")
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline"]
    assert spacy.load(output).get_pipe("decide").settings["objective"] == "micro"
