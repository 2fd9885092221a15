"""Metrics against hand-computed cases and scikit-learn on the same arrays."""

import numpy
import pytest
from sklearn import metrics as sk

from scripts.metrics import complete_groups, compute_metrics

LABELS = ["joy", "anger", "fear", "neutral"]
SCORES = numpy.array(
    [[0.9, 0.1, 0.2, 0.1], [0.6, 0.7, 0.1, 0.2], [0.2, 0.4, 0.3, 0.8], [0.1, 0.2, 0.45, 0.4]]
)
TRUTH = numpy.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]], dtype=float)
THRESHOLDS = numpy.array([0.7, 0.4, 0.4, 0.4])
VIEWS = {"polarity": {"negative": ["anger", "fear"]}}


def compute(**changes):
    arguments = {"views": VIEWS, "resamples": 20, **changes}
    return compute_metrics(SCORES, TRUTH, LABELS, THRESHOLDS, 0.3, **arguments)


def test_a_hand_computed_case():
    result = compute()
    per_label = {label: row["f1"] for label, row in result["per_label"].items()}
    assert per_label == pytest.approx({"joy": 1, "anger": 1, "fear": 1, "neutral": 2 / 3})
    assert result["macro_f1"] == pytest.approx((3 + 2 / 3) / 4)
    assert result["micro_f1"] == pytest.approx(10 / 11)
    best = result["decisions"]["at_per_label"]
    assert best["subset_accuracy"] == 0.75
    assert best["hamming_loss"] == pytest.approx(1 / 16)
    assert best["labels_per_doc"] == 1.5


@pytest.mark.parametrize("name,least", [("at_0.5", 0.5), ("at_global", 0.3)])
def test_decisions_equal_scikit_learn(name, least):
    found = compute()["decisions"][name]
    picked = least <= SCORES
    for average in ("macro", "micro", "weighted"):
        expected = sk.f1_score(TRUTH, picked, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    assert found["hamming_loss"] == pytest.approx(sk.hamming_loss(TRUTH, picked))


def test_ranking_metrics_equal_scikit_learn():
    rng = numpy.random.default_rng(0)
    truth = (rng.random((200, 4)) < 0.3).astype(float)
    scores = 0.3 * truth + 0.7 * rng.random((200, 4))
    found = compute_metrics(scores, truth, LABELS, THRESHOLDS, 0.3, resamples=0)
    assert found["mean_average_precision"] == pytest.approx(
        sk.average_precision_score(truth, scores, average="macro")
    )
    assert found["macro_auc"] == pytest.approx(sk.roc_auc_score(truth, scores, average="macro"))
    assert found["confidence_95"] == {}


def test_a_label_without_positives_counts_in_f_and_is_left_out_of_ranking_metrics():
    truth = TRUTH.copy()
    truth[:, 2] = 0
    found = compute_metrics(SCORES, truth, LABELS, THRESHOLDS, 0.3, resamples=0)
    used = [0, 1, 3]
    expected = sk.average_precision_score(truth[:, used], SCORES[:, used], average="macro")
    assert found["mean_average_precision"] == pytest.approx(expected)
    assert found["per_label"]["fear"]["average_precision"] is None
    assert found["per_label"]["fear"]["f1"] == 0


def test_a_label_that_every_doc_has_is_left_out_of_ranking_metrics():
    truth = TRUTH.copy()
    truth[:, 1] = 1
    found = compute_metrics(SCORES, truth, LABELS, THRESHOLDS, 0.3, resamples=0)
    used = [j for j in range(4) if 0 < truth[:, j].sum() < len(truth)]
    assert 1 not in used
    expected = sk.roc_auc_score(truth[:, used], SCORES[:, used], average="macro")
    assert found["macro_auc"] == pytest.approx(expected)


def test_views_pick_a_group_if_any_of_its_labels_is_picked():
    view = compute()["views"]["polarity"]
    assert view["f1"] == pytest.approx({"negative": 1.0, "joy": 1.0, "neutral": 2 / 3})


def test_groups_are_completed_and_checked():
    assert complete_groups({"bad": ["fear"]}, ["joy", "fear"]) == {"bad": ["fear"], "joy": ["joy"]}
    for wrong in ({"bad": ["rage"]}, {"bad": ["fear"], "worse": ["fear"]}):
        with pytest.raises(ValueError, match="each in one group"):
            complete_groups(wrong, ["joy", "fear"])


@pytest.mark.slow
def test_intervals_hold_the_score_and_repeat():
    rng = numpy.random.default_rng(0)
    truth = (rng.random((300, 4)) < 0.4).astype(float)
    scores = 0.3 * truth + 0.7 * rng.random((300, 4))
    one, two = (
        compute_metrics(scores, truth, LABELS, THRESHOLDS, 0.3, resamples=60) for _ in range(2)
    )
    assert one["confidence_95"] == two["confidence_95"]
    for name, (low, high) in one["confidence_95"].items():
        value = one.get(name, one["decisions"]["at_global"]["macro_f1"])
        assert low < value < high
