"""The evaluate and predict commands."""

import json

import pytest
import spacy
from sklearn.metrics import f1_score
from spacy.tokens import DocBin

from scripts.bootstrap import unpack
from scripts.decide import decide
from scripts.evaluate import evaluate, print_table
from scripts.files import hash_of
from scripts.predict import predict
from scripts.predictor import describe
from tests.conftest import LABELS


@pytest.fixture(scope="module")
def pipeline(files, tmp_path_factory):
    output = tmp_path_factory.mktemp("decided") / "pipeline"
    decide(files["model"], files["dev.spacy"], output, min_support=1)
    return output


@pytest.mark.slow
def test_evaluate_writes_what_scikit_learn_says_of_doc_emotions(pipeline, files, tmp_path, capsys):
    output = tmp_path / "metrics.json"
    result = evaluate(pipeline, files["dev.spacy"], output, views=files["views.json"], resamples=5)
    nlp = spacy.load(pipeline)
    references = list(DocBin().from_disk(files["dev.spacy"]).get_docs(nlp.vocab))
    truth = [[doc.cats[label] > 0 for label in LABELS] for doc in references]
    picked = [[label in nlp(doc.text)._.emotions for label in LABELS] for doc in references]
    assert result["macro_f1"] == pytest.approx(f1_score(truth, picked, average="macro"))
    assert result["docs"] == 8 and result["docs_per_second"] > 0
    assert unpack(result["documents"]["truth"], 8, 3).tolist() == truth
    assert unpack(result["documents"]["picked"], 8, 3).tolist() == picked
    assert set(result["views"]) == {"polarity"}
    assert json.loads(output.read_text()) == result
    conditions = result["conditions"]
    assert conditions["corpus_sha256"] == hash_of(files["dev.spacy"])
    assert conditions["config_sha256"] == hash_of(pipeline / "config.cfg")
    assert conditions["seed"] == 0 and conditions["versions"]["spacy"] == spacy.__version__
    print_table(result)
    assert "macro-F1" in capsys.readouterr().out


@pytest.mark.slow
def test_the_decisions_kept_are_those_at_the_thresholds_per_label(pipeline, files, tmp_path):
    nlp = spacy.load(pipeline)
    nlp.get_pipe("decide").set({"joy": 0.0, "anger": 1.0, "neutral": 0.5}, 0.5)
    nlp.to_disk(tmp_path / "pipeline")
    output = tmp_path / "metrics.json"
    result = evaluate(tmp_path / "pipeline", files["dev.spacy"], output, resamples=0)
    picked = unpack(result["documents"]["picked"], 8, 3)
    assert picked.sum(axis=0)[:2].tolist() == [8, 0]


def test_a_pipeline_without_thresholds_is_refused_and_the_old_metrics_stay(files, tmp_path):
    output = tmp_path / "metrics.json"
    output.write_text("old")
    with pytest.raises(ValueError, match="no tuned thresholds"):
        evaluate(files["model"], files["dev.spacy"], output)
    assert output.read_text() == "old"


def test_predict_gives_decisions_and_all_scores(pipeline):
    happy, empty = predict(pipeline, ["So happy we made it home", ""])
    assert happy["emotions"][0] == "joy" and list(happy["scores"]) == LABELS
    assert empty["emotions"] == [] and set(empty["scores"].values()) == {0.0}


def test_describe_names_the_nearest_label_when_none_is_decided():
    scores = {"joy": 0.31, "anger": 0.2}
    assert describe({"emotions": ["joy"], "scores": scores}) == "joy 0.31"
    assert describe({"emotions": [], "scores": scores}) == "no decision (nearest: joy 0.31)"
