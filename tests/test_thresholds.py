"""The search for thresholds."""

from itertools import product

import numpy
import pytest
from sklearn.metrics import f1_score

from scripts.thresholds import Ranking, best_global, probabilities, tune_thresholds


def random_case(seed, docs=40, labels=3, digits=2):
    rng = numpy.random.default_rng(seed)
    truth = (rng.random((docs, labels)) < [0.5, 0.2, 0.1]).astype(float)
    truth[0] = 1
    scores = numpy.round(0.35 * truth + rng.random((docs, labels)) * 0.6, digits)
    return scores, truth


def f_macro(truth, picked):
    return f1_score(truth, picked, average="macro", zero_division=0)


@pytest.mark.parametrize("seed", range(5))
def test_exact_macro_thresholds_are_the_best_of_all(seed):
    scores, truth = random_case(seed)
    thresholds, _ = tune_thresholds(scores, truth, method="exact", min_support=0)
    for j in range(scores.shape[1]):
        found = f1_score(truth[:, j], scores[:, j] >= thresholds[j])
        every = [f1_score(truth[:, j], scores[:, j] >= t) for t in numpy.unique(scores[:, j])]
        assert found == pytest.approx(max(every))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_exact_micro_thresholds_are_the_best_of_all_combinations(seed):
    scores, truth = random_case(seed, docs=10, digits=1)
    thresholds, _ = tune_thresholds(scores, truth, objective="micro", method="exact", min_support=0)
    found = f1_score(truth, scores >= thresholds, average="micro", zero_division=0)
    grids = [[*numpy.unique(scores[:, j]), 2.0] for j in range(3)]
    every = [
        f1_score(truth, scores >= numpy.array(t), average="micro", zero_division=0)
        for t in product(*grids)
    ]
    assert found == pytest.approx(max(every))


def test_a_threshold_lies_half_way_between_the_scores_it_separates():
    scores = numpy.array([[0.9], [0.6], [0.2], [0.1]])
    truth = numpy.array([[1.0], [1.0], [0.0], [0.0]])
    thresholds, _ = tune_thresholds(scores, truth, method="exact", min_support=0)
    assert thresholds == pytest.approx([0.4])


def test_equal_scores_are_never_separated():
    scores = numpy.array([[0.5], [0.5], [0.5], [0.1]])
    ranking = Ranking(scores, numpy.array([[1.0], [0.0], [0.0], [1.0]]))
    assert ranking.possible[:, 0].tolist() == [False, False, True, True]


def test_labels_below_the_support_floor_use_the_global_threshold():
    scores, truth = random_case(1)
    truth[:, 2] = 0
    truth[:4, 2] = 1
    few, common = tune_thresholds(scores, truth, method="exact", min_support=5)
    enough, _ = tune_thresholds(scores, truth, method="exact", min_support=4)
    assert few[2] == common
    assert enough[2] != common


def test_bootstrap_is_repeatable_and_follows_its_seed():
    scores, truth = random_case(3)
    first, second, other = (
        tune_thresholds(scores, truth, method="bootstrap", seed=s)[0] for s in (0, 0, 1)
    )
    assert (first == second).all() and (first != other).any()


def test_bootstrap_is_the_median_of_the_optima_of_resampled_docs():
    scores, truth = random_case(3)
    settings = {"method": "bootstrap", "resamples": 5, "min_support": 0, "seed": 7}
    found, _ = tune_thresholds(scores, truth, **settings)
    rng = numpy.random.default_rng(7)
    optima = []
    for _ in range(5):
        counts = rng.multinomial(len(scores), [1 / len(scores)] * len(scores))
        optima.append(Ranking(scores, truth).best_macro(counts.astype(float)))
    numpy.testing.assert_allclose(found, numpy.median(optima, axis=0))
    assert not numpy.allclose(found, numpy.mean(optima, axis=0))


def drawn(positives, docs=4000, seed=0):
    """Return log-odds whose logistic is how likely each doc has the label, and who has it."""
    rng = numpy.random.default_rng(seed)
    likely = rng.beta(0.3, 0.3 * (docs / positives - 1), size=(docs, 1))
    return likely, (rng.random((docs, 1)) < likely).astype(float)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_expected_is_the_best_cut_for_the_right_probabilities_whatever_scores_say(sharpness):
    likely, truth = drawn(400)
    odds = numpy.log(likely / (1 - likely)).clip(-12, 12)
    scores = 1 / (1 + numpy.exp(-sharpness * odds + 1))
    (found,), _ = tune_thresholds(scores, truth, method="expected")
    picked = scores >= found
    every = [likely[likely >= t].sum() * 2 / ((likely >= t).sum() + likely.sum()) for t in likely]
    expected = 2 * likely[picked].sum() / (picked.sum() + likely.sum())
    assert expected == pytest.approx(max(every), abs=0.002)
    # At the best cut a doc is as likely to have the label as half of the F-score.
    assert likely[picked].min() == pytest.approx(max(every) / 2, abs=0.05)


def test_expected_deviates_less_than_the_optimum_where_positives_are_few():
    found = {"expected": [], "exact": [], "bootstrap": []}
    for seed in range(20):
        likely, truth = drawn(20, docs=1500, seed=seed)
        for method, values in found.items():
            (threshold,), _ = tune_thresholds(likely, truth, method=method, resamples=20)
            values.append(threshold)
    spread = {method: numpy.std(values) for method, values in found.items()}
    assert spread["expected"] < 0.7 * spread["bootstrap"] < 0.7 * spread["exact"]


def rises(probability, scores) -> bool:
    """Say whether a higher score never has a lower probability."""
    order = numpy.argsort(scores, axis=0)
    return bool((numpy.diff(numpy.take_along_axis(probability, order, 0), axis=0) > -1e-12).all())


def test_expected_shares_a_curve_where_there_is_none_of_its_own():
    scores, truth = random_case(1)
    enough = numpy.array([True, True, False])
    found = probabilities(scores, truth, enough)
    assert rises(found, scores)
    assert found.sum(axis=0)[:2] == pytest.approx(truth.sum(axis=0)[:2], abs=0.05)
    falling = scores.copy()
    falling[:, 0] = 1 - scores[:, 0]  # the higher the less likely: such a curve is not used
    assert rises(probabilities(falling, truth, enough), falling)
    numpy.testing.assert_array_equal(probabilities(scores, truth * 0, enough), truth * 0)


def test_the_global_threshold_is_the_best_of_the_grid():
    scores, truth = random_case(2)
    found = best_global(scores, truth, "macro")
    every = [f_macro(truth, scores >= t / 100) for t in range(1, 100)]
    assert f_macro(truth, scores >= found) == pytest.approx(max(every))


def test_nothing_to_tune_on_is_refused():
    with pytest.raises(ValueError, match="not empty"):
        tune_thresholds(numpy.zeros((0, 3)), numpy.zeros((0, 3)))
