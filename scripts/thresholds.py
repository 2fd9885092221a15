"""Find the thresholds that turn scores into decisions: by what is true, or what is likely."""

from typing import Literal

import numpy
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from plugins.decide import LEAST

Objective = Literal["macro", "micro"]
Method = Literal["bootstrap", "expected", "exact"]
Floats = NDArray[numpy.float64]


def tune_thresholds(
    scores: Floats,
    truth: Floats,
    *,
    objective: Objective = "macro",
    method: Method = "bootstrap",
    min_support: int = 5,
    resamples: int = 200,
    seed: int = 0,
) -> tuple[Floats, float]:
    """Find one threshold per label, and the best single one.

    scores ([docs, labels], 0 to 1): Scores.
    truth ([docs, labels], 0 or 1): What is true.
    objective: Which F-score the thresholds maximise; macro treats each label by itself, micro all
        labels together.
    method: exact takes the optimum on these docs; bootstrap the median of the optima of resampled
        docs; expected the optimum if each doc has a label as likely as its score says. That goes by
        all docs, not the few that have a rare label, but needs scores whose odds say so.
    min_support (docs): Labels with fewer positives use the global threshold.
    resamples: Bootstraps, if any.
    seed: Of the bootstraps.
    RETURNS ([labels], scalar): Thresholds, to be compared with >=, and the global threshold.
    RAISES ValueError: Shapes differ, or there is nothing to tune on.
    SOURCE: Ye et al. 2012, Optimizing F-measures: A Tale of Two Approaches, arXiv 1206.4625.
    """
    if scores.shape != truth.shape or not scores.size:
        raise ValueError(
            f"Scores {scores.shape}, truth {truth.shape}. Expected the same, not empty."
        )
    enough = truth.sum(axis=0) >= max(min_support, 1)
    likely = probabilities(scores, truth, enough) if method == "expected" else truth
    ranking = Ranking(scores, likely)
    ones = numpy.ones(len(scores))
    weights = [ones]
    if method == "bootstrap":
        rng = numpy.random.default_rng(seed)
        even = numpy.full(len(scores), 1 / len(scores))
        weights = [rng.multinomial(len(scores), even).astype("float64") for _ in range(resamples)]
    best = ranking.best_macro if objective == "macro" else ranking.best_micro
    thresholds = numpy.median([best(weight) for weight in weights], axis=0)
    global_threshold = best_global(scores, truth, objective)
    thresholds[~enough] = global_threshold
    return thresholds.clip(0, 1), global_threshold


def probabilities(scores: Floats, truth: Floats, enough: NDArray[numpy.bool_]) -> Floats:
    """Return how likely each doc has each label, [docs, labels], by a logistic curve per label.

    enough ([labels]): Which labels have positives enough for a curve of their own. The others, and
        those whose curve would fall, share one.
    SOURCE: Platt 1999, Probabilistic Outputs for Support Vector Machines.
    """
    odds = logit(scores.clip(LEAST, 1 - LEAST))
    common = _curve(odds.reshape(-1, 1), truth.ravel())
    if common is None:
        return truth
    found = numpy.empty_like(odds)
    for label in range(odds.shape[1]):
        column = odds[:, [label]]
        own = _curve(column, truth[:, label]) if enough[label] else None
        found[:, label] = (own or common).predict_proba(column)[:, 1]
    return found


def _curve(odds: Floats, truth: Floats) -> LogisticRegression | None:
    """Return a curve of odds [docs, 1]; None where all docs are the same or it does not rise."""
    if truth.min() == truth.max():
        return None
    curve = LogisticRegression(C=1e4).fit(odds, truth > 0)
    return curve if curve.coef_[0, 0] > 0 else None


class Ranking:
    """Docs of every label, sorted once by falling score, to find optima under doc weights.

    cut ([docs, labels]): The threshold that decides for this doc and all above it; between two
        scores it lies half-way, among equal scores all but the last are impossible.
    """

    def __init__(self, scores: Floats, truth: Floats) -> None:
        self.order = numpy.argsort(-scores, axis=0, kind="stable")
        ranked = numpy.take_along_axis(scores, self.order, axis=0).astype("float64")
        self.truth = numpy.take_along_axis(truth, self.order, axis=0)
        below = numpy.vstack([ranked[1:], numpy.zeros((1, scores.shape[1]))])
        self.possible = ranked > below
        self.possible[-1] = True
        self.cut = numpy.where(self.possible, (ranked + below) / 2, ranked)

    def counts(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Return true positives and picked docs at each cut, [docs, labels], and the positives."""
        weight = weights[self.order]
        true = numpy.cumsum(weight * self.truth, axis=0)
        return true, numpy.cumsum(weight, axis=0), true[-1]

    def best_macro(self, weights: Floats) -> Floats:
        """Return the cut of every label that maximises its own F-score."""
        true, picked, positives = self.counts(weights)
        f_score = 2 * true / numpy.maximum(picked + positives, 1e-12)
        return self._at(f_score)

    def best_micro(self, weights: Floats) -> Floats:
        """Return the cuts that maximise the F-score over all labels (Dinkelbach's iteration)."""
        true, picked, positives = self.counts(weights)
        f_score = 0.0
        for _ in range(100):
            gain = 2 * true - f_score * picked
            gain = numpy.where(self.possible, gain, -numpy.inf)
            rows = gain.argmax(axis=0)
            none = gain.max(axis=0) <= 0  # picking no doc at all is better
            columns = numpy.arange(gain.shape[1])
            hits = numpy.where(none, 0, true[rows, columns]).sum()
            chosen = numpy.where(none, 0, picked[rows, columns]).sum()
            improved = 2 * hits / max(chosen + positives.sum(), 1e-12)
            if improved <= f_score + 1e-12:
                break
            f_score = improved
        return numpy.where(none, 1.0, self.cut[rows, columns])

    def _at(self, value: Floats) -> Floats:
        rows = numpy.where(self.possible, value, -numpy.inf).argmax(axis=0)
        return self.cut[rows, numpy.arange(value.shape[1])]


def best_global(scores: Floats, truth: Floats, objective: Objective) -> float:
    """Return the threshold on a grid of 0.01 to 0.99 with the best F-score for all labels."""
    grid = numpy.arange(1, 100) / 100
    true = numpy.array([((scores >= t) * truth).sum(axis=0) for t in grid])
    picked = numpy.array([(scores >= t).sum(axis=0) for t in grid])
    positives = truth.sum(axis=0)
    if objective == "micro":
        true, picked = true.sum(axis=1, keepdims=True), picked.sum(axis=1, keepdims=True)
        positives = positives.sum(keepdims=True)
    f_scores = (2 * true / numpy.maximum(picked + positives, 1)).mean(axis=1)
    return float(grid[f_scores.argmax()])
