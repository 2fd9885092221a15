"""Probabilities hold on docs that did not help to find them, and decisions stay."""

import numpy
import pytest
import spacy
from scipy.special import expit, logit

from plugins.decide import Decide, apply_curves
from scripts.calibration import (
    calibration_errors,
    cross_fit,
    expected_error,
    fit_curves,
    held_out,
    reliability,
)
from scripts.decide import decide
from scripts.evaluate import evaluate


@pytest.fixture(scope="module")
def drawn():
    """Log-odds three times too large, as a temperature of 3 makes right; a rare second label."""
    numbers = numpy.random.default_rng(0)
    right = numpy.stack([numbers.uniform(0, 1, 6000), numbers.uniform(0, 0.001, 6000)], axis=1)
    truth = (numbers.uniform(size=right.shape) < right).astype(float)
    return expit(3 * logit(right)), truth, right


def test_the_error_is_the_weighted_distance_of_probability_and_frequency():
    probabilities = numpy.array([0.01, 0.03, 0.9, 0.9, 0.9, 1.0])
    truth = numpy.array([0, 1, 1, 1, 0, 1])
    said, true, counts = reliability(probabilities, truth)
    assert said.tolist() == pytest.approx([0.02, 0.9, 1.0])
    assert true.tolist() == pytest.approx([0.5, 2 / 3, 1.0])
    assert counts.tolist() == [2, 3, 1]
    expected = (2 * 0.48 + 3 * (0.9 - 2 / 3)) / 6
    assert expected_error(probabilities, truth) == pytest.approx(expected)


def test_a_temperature_is_found_again_and_the_rare_label_shares_what_fits_all(drawn):
    scores, truth, _ = drawn
    first, second = fit_curves(scores, truth, "temperature", min_support=100)
    assert first["temperature"] == pytest.approx(3, abs=0.15)
    assert second == fit_curves(scores.reshape(-1, 1), truth.reshape(-1, 1), "temperature")[0]
    assert fit_curves(scores, truth, "none") == []


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_probabilities_of_docs_held_out_are_near_the_right_ones(drawn, method):
    scores, truth, right = drawn
    found = cross_fit(scores, truth, method, min_support=1)
    assert numpy.abs(found - right)[:, 0].mean() < 0.03
    before, after = calibration_errors(scores, truth), calibration_errors(found, truth)
    assert after["ece"] < 0.2 * before["ece"] and after["brier"] < before["brier"]
    assert after["label_ece"] < 0.2 * before["label_ece"]


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_higher_score_never_gets_a_lower_probability(drawn, method):
    scores, truth, _ = drawn
    curves = fit_curves(scores, truth, method)
    rising = numpy.repeat(numpy.linspace(0, 1, 999)[:, None], 2, axis=1)
    found = apply_curves(rising, curves)
    assert (numpy.diff(found, axis=0) >= 0).all()
    assert found.min() >= 0 and found.max() <= 1


def test_cross_fitting_never_uses_the_doc_itself(drawn):
    scores, truth, _ = drawn
    before = cross_fit(scores, truth, "temperature")
    changed = truth.copy()
    changed[7] = 1 - changed[7]
    after = cross_fit(scores, changed, "temperature")
    assert after[7].tolist() == before[7].tolist()
    assert (after != before).any()


def test_docs_that_were_not_tuned_on_get_the_stored_curves(drawn):
    scores, truth, _ = drawn
    curves = fit_curves(scores, truth, "isotonic")
    settings = {"calibration": "isotonic", "min_support": 5, "seed": 0, "corpus_sha256": "a"}
    stored, crossed = held_out(scores, truth, curves, settings, "b")
    assert (stored == apply_curves(scores, curves)).all() and not crossed
    other, crossed = held_out(scores, truth, curves, settings, "a")
    assert (other == cross_fit(scores, truth, "isotonic")).all() and crossed


@pytest.mark.parametrize("together", [True, False])
def test_the_component_sets_probabilities_and_keeps_scores_and_decisions(together):
    nlp = spacy.blank("en")
    component = Decide(nlp.vocab)
    curves = [{"temperature": 2.0}, {"score": [0.0, 0.5, 1.0], "probability": [0.0, 0.2, 0.9]}]
    component.set({"joy": 0.5, "anger": 0.5}, 0.5, {}, curves)
    component = Decide(nlp.vocab).from_bytes(component.to_bytes())
    docs = [nlp.make_doc("a"), nlp.make_doc("b")]
    for doc, scores in zip(docs, ((0.8, 0.25), (0.0, 0.75)), strict=True):
        doc.cats = dict(zip(("joy", "anger"), scores, strict=True))
    docs = list(component.pipe(docs)) if together else [component(doc) for doc in docs]
    assert docs[0]._.probabilities == pytest.approx({"joy": expit(logit(0.8) / 2), "anger": 0.1})
    assert docs[1]._.probabilities == pytest.approx({"joy": 0.001, "anger": 0.55}, abs=1e-4)
    assert docs[0].cats == {"joy": 0.8, "anger": 0.25}
    assert [doc._.emotions for doc in docs] == [["joy"], ["anger"]]


def test_a_doc_without_scores_goes_to_the_error_handler_and_the_others_go_on():
    nlp = spacy.blank("en")
    component, seen = Decide(nlp.vocab), []
    component.set({"joy": 0.5}, 0.5, {}, [{"temperature": 1.0}])
    component.set_error_handler(lambda name, proc, docs, error: seen.append(str(error)))
    docs = [nlp.make_doc("a"), nlp.make_doc("b")]
    docs[1].cats = {"joy": 0.6}
    assert [doc._.emotions for doc in component.pipe(docs)] == [["joy"]]
    assert "no score for joy" in seen[0]


def test_as_many_curves_as_labels_are_expected():
    component = Decide(spacy.blank("en").vocab)
    with pytest.raises(ValueError, match=r"1 curves\. Expected 2"):
        component.set({"joy": 0.5, "anger": 0.5}, 0.5, {}, [{"temperature": 1.0}])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["none", "isotonic"])
def test_metrics_say_how_far_scores_and_probabilities_hold(files, tmp_path, method):
    pipeline = tmp_path / "pipeline"
    decide(files["model"], files["dev.spacy"], pipeline, min_support=1, calibration=method)
    found = evaluate(pipeline, files["dev.spacy"], tmp_path / "m.json", resamples=0)["calibration"]
    doc = spacy.load(pipeline)("So happy we made it home")
    if method == "none":
        assert found is None and doc._.probabilities is None
        return
    assert found["method"] == "isotonic" and found["cross_fitted"]
    assert set(found["before"]) == set(found["after"]) == {"ece", "label_ece", "brier"}
    assert set(doc._.probabilities) == set(doc.cats)


def test_few_docs_are_parts_of_their_own_and_one_keeps_its_scores(drawn):
    scores, truth, _ = drawn
    found = cross_fit(scores[:3], truth[:3], "temperature")
    curves = fit_curves(scores[1:3], truth[1:3], "temperature")
    assert (found[0] == apply_curves(scores[:1], curves)[0]).all()
    assert (cross_fit(scores[:1], truth[:1], "isotonic") == scores[:1]).all()
