"""The search for thresholds."""

from itertools import product

import numpy
import pytest
from sklearn.metrics import f1_score

from scripts.thresholds import Ranking, best_global, tune_thresholds


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
    first, second, other = (tune_thresholds(scores, truth, seed=s)[0] for s in (0, 0, 1))
    assert (first == second).all() and (first != other).any()


def test_bootstrap_is_the_median_of_the_optima_of_resampled_docs():
    scores, truth = random_case(3)
    found, _ = tune_thresholds(scores, truth, resamples=5, min_support=0, seed=7)
    rng = numpy.random.default_rng(7)
    optima = []
    for _ in range(5):
        counts = rng.multinomial(len(scores), [1 / len(scores)] * len(scores))
        optima.append(Ranking(scores, truth).best_macro(counts.astype(float)))
    numpy.testing.assert_allclose(found, numpy.median(optima, axis=0))
    assert not numpy.allclose(found, numpy.mean(optima, axis=0))


def test_the_global_threshold_is_the_best_of_the_grid():
    scores, truth = random_case(2)
    found = best_global(scores, truth, "macro")
    every = [f_macro(truth, scores >= t / 100) for t in range(1, 100)]
    assert f_macro(truth, scores >= found) == pytest.approx(max(every))


def test_nothing_to_tune_on_is_refused():
    with pytest.raises(ValueError, match="not empty"):
        tune_thresholds(numpy.zeros((0, 3)), numpy.zeros((0, 3)))
