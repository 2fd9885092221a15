"""Pipelines are found, named, and described by metrics that are theirs."""

import json
from pathlib import Path

import pytest
import spacy

from scripts.facts import facts_of, find_pipelines, names_of
from scripts.files import hash_of
from scripts.predictor import Predictor
from tests.conftest import LABELS
from tests.small_tasks import make_entities, make_pairs

THRESHOLDS = dict(zip(LABELS, (0.3, 0.25, 0.6), strict=True))


@pytest.fixture(scope="module")
def pipeline(files, tmp_path_factory) -> Path:
    """training/sample/tiny/pipeline, with thresholds."""
    folder = tmp_path_factory.mktemp("facts") / "training" / "sample" / "tiny" / "pipeline"
    folder.mkdir(parents=True)
    nlp = spacy.load(files["model"])
    nlp.add_pipe("decide").set(THRESHOLDS, 0.3)
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def predictor(pipeline) -> Predictor:
    return Predictor(pipeline)


@pytest.fixture
def metrics(pipeline):
    """Where the metrics of the pipeline belong; gone after the test."""
    path = pipeline.parents[3] / "metrics" / "sample" / "tiny.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def result(**changes) -> str:
    found = {
        "docs": 1430,
        "macro_f1": 0.4641,
        "micro_f1": 0.4868,
        "confidence_95": {"macro_f1": [0.409, 0.498]},
        "conditions": {"corpus": "corpus/sample/dev.spacy"},
        "per_label": {label: {"threshold": value + 1e-16} for label, value in THRESHOLDS.items()},
    }
    return json.dumps({**found, **changes})


def test_pipelines_are_found_by_name_and_nothing_else_is(tmp_path):
    for name in ("b/cnn", "a/lstm", "a/cnn"):
        (tmp_path / name / "pipeline").mkdir(parents=True)
        (tmp_path / name / "pipeline" / "meta.json").write_text("{}")
    (tmp_path / "a/begun/pipeline").mkdir(parents=True)
    (tmp_path / "a/cnn/trained").mkdir()
    (tmp_path / "a/cnn/trained/meta.json").write_text("{}")
    found = [path.relative_to(tmp_path).as_posix() for path in find_pipelines(tmp_path)]
    assert found == ["a/cnn/pipeline", "a/lstm/pipeline", "b/cnn/pipeline"]


def test_without_pipelines_it_says_how_to_make_one(tmp_path):
    with pytest.raises(ValueError, match=r"no pipelines\. Expected one at least; `make run`"):
        find_pipelines(tmp_path / "training")


def test_names_are_short_and_lead_to_one_pipeline_each():
    ours, theirs = "training/a/cnn/pipeline", "elsewhere/training/a/cnn/pipeline"
    models = [ours, "en_core", ours, theirs, "training/a/cnn/assembled"]
    assert names_of(models) == {
        "a/cnn": ours,
        "en_core": "en_core",
        theirs: theirs,
        "training/a/cnn/assembled": "training/a/cnn/assembled",
    }


def test_facts_are_place_thresholds_and_scores(pipeline, predictor, metrics):
    metrics.write_text(result())
    about, least, scores, warning = facts_of(str(pipeline), predictor)
    assert about.startswith(f"{pipeline}, version 0.0.0, ") and about.endswith("<3.9.0.")
    assert least == "3 labels, each with a threshold of its own: 0.25 to 0.60."
    assert scores == (
        "macro-F1 0.464 (95 % interval 0.409 to 0.498), micro-F1 0.487, on 1,430 posts of "
        "corpus/sample/dev.spacy."
    )
    assert warning == "The sample only proves that the parts fit; its scores mean nothing else."


def test_only_scores_of_the_sample_come_with_its_warning(pipeline, predictor, metrics):
    metrics.write_text(result(conditions={"corpus": "corpus/samples/dev.spacy"}))
    assert len(facts_of(str(pipeline), predictor)) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "tiny.json: no such file; `spacy project run evaluate` writes it."),
        ("{", "tiny.json: cannot be read. Expected a JSON of scripts.evaluate."),
        ("[]", "tiny.json: cannot be read. Expected a JSON of scripts.evaluate."),
        (result(confidence_95=None), "tiny.json: cannot be read. Expected a JSON of"),
        (
            result(per_label={label: {"threshold": 0.3} for label in LABELS}),
            "tiny.json: has other thresholds, so it was made with another pipeline.",
        ),
        (result(per_label={"joy": {"threshold": 0.3}}), "tiny.json: has other thresholds"),
    ],
)
def test_scores_of_another_pipeline_or_none_are_not_shown(
    pipeline, predictor, metrics, content, said
):
    if content is not None:
        metrics.write_text(content)
    facts = facts_of(str(pipeline), predictor)
    assert len(facts) == 3 and said in facts[2]


def test_a_pipeline_elsewhere_has_no_scores(decided):
    facts = facts_of(str(decided), Predictor(decided))
    assert facts[2].startswith("Its scores are not known here")


OTHER = {"docs": 1430, "exact": {"micro": {"f": 0.8126}}, "token": {"micro": {"f": 0.9}}}


@pytest.fixture(scope="module")
def finder(tmp_path_factory) -> Predictor:
    """A pipeline that finds entities, as training/tiny/ner/pipeline."""
    folder = tmp_path_factory.mktemp("finder") / "training" / "tiny" / "ner" / "pipeline"
    folder.parent.mkdir(parents=True)
    make_entities().to_disk(folder)
    return Predictor(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "F 0.813, token F 0.900, on 1,430 texts of corpus/tiny/dev.spacy."),
        ({"config_sha256": "0"}, "ner.json: has another config, so it was made with another"),
        ({"config_sha256": None}, "ner.json: has another config"),
        (None, "ner.json: cannot be read. Expected a JSON of scripts.evaluate."),
    ],
)
def test_facts_of_other_tasks_have_their_scores(finder, change, said):
    digest = hash_of(finder.folder / "config.cfg")
    conditions = {"corpus": "corpus/tiny/dev.spacy", "config_sha256": digest, **(change or {})}
    found = {**OTHER, "conditions": conditions} if change is not None else {}
    path = finder.folder.parents[3] / "metrics" / "tiny" / "ner.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    facts = facts_of("tiny/ner", finder)
    assert facts[0].startswith("tiny/ner, version 0.0.0, ")
    assert facts[1] == "It finds entities; 2 labels: PERSON, PLACE."
    assert len(facts) == 3 and said in facts[2]


def test_a_pipeline_that_writes_and_knows_no_labels_says_what_it_does(tmp_path):
    make_pairs().to_disk(tmp_path / "pairs")
    assert facts_of("pairs", Predictor(tmp_path / "pairs"))[1] == "It writes texts."


def test_metrics_without_intervals_are_shown_without(pipeline, predictor, metrics):
    metrics.write_text(result(confidence_95={}))
    assert "macro-F1 0.464, micro-F1 0.487, on 1,430" in facts_of(str(pipeline), predictor)[2]
