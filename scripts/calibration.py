"""Turn scores into probabilities that hold, and measure how far they do."""

from typing import Any, Literal

import numpy
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import KFold

from plugins.decide import LEAST, apply_curves

Calibration = Literal["none", "temperature", "isotonic"]
Floats = NDArray[numpy.float64]
Curve = dict[str, Any]
FOLDS = 5
BINS = 15


def fit_curves(
    scores: Floats, truth: Floats, method: Calibration, min_support: int = 5
) -> list[Curve]:
    """Find what makes probabilities of the scores, label by label.

    scores ([docs, labels], 0 to 1), truth ([docs, labels], 0 or 1): Of docs not trained on.
    method: temperature divides the log-odds by one number, isotonic is a curve that rises in steps.
    min_support (docs): Labels with fewer positives share what fits all labels together.
    RETURNS: A curve per label, as the component decide takes it; none for "none". Higher scores
        never get lower probabilities.
    SOURCE: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599; Zadrozny
        and Elkan 2002, Transforming Classifier Scores into Multiclass Probability Estimates.
    """
    if method == "none":
        return []
    fit = {"temperature": _temperature, "isotonic": _isotonic}[method]
    common = fit(scores.ravel(), truth.ravel())
    rare = truth.sum(axis=0) < max(min_support, 1)
    return [common if rare[j] else fit(scores[:, j], truth[:, j]) for j in range(scores.shape[1])]


def _temperature(scores: Floats, truth: Floats) -> Curve:
    odds = logit(scores.clip(LEAST, 1 - LEAST))

    def loss(log_temperature: float) -> float:
        return float(log_loss(truth, expit(odds / numpy.exp(log_temperature)), labels=[0, 1]))

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded").x
    return {"temperature": float(numpy.exp(best))}


def _isotonic(scores: Floats, truth: Floats) -> Curve:
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth)
    return {"score": model.X_thresholds_.tolist(), "probability": model.y_thresholds_.tolist()}


def cross_fit(
    scores: Floats, truth: Floats, method: Calibration, min_support: int = 5, seed: int = 0
) -> Floats:
    """Return the probabilities that each fifth of the docs gets from curves of the other four.

    Of fewer than five docs, each is a part. A single one keeps its scores.

    So the docs that a calibration is fitted on can also say how good it is.
    """
    found = numpy.array(scores, dtype="float64")
    if len(found) < 2:
        return found
    folds = KFold(min(FOLDS, len(found)), shuffle=True, random_state=seed)
    for rest, part in folds.split(scores):
        curves = fit_curves(scores[rest], truth[rest], method, min_support)
        found[part] = apply_curves(scores[part], curves)
    return found


def held_out(
    scores: Floats, truth: Floats, curves: list[Curve], settings: dict[str, Any], corpus: str
) -> tuple[Floats, bool]:
    """Return probabilities that these docs did not help to find.

    curves, settings: Of the component decide.
    corpus: SHA-256 of the docs; if it was tuned on them, `cross_fit` is what holds out.
    RETURNS ([docs, labels]): Probabilities, and whether they are cross-fitted.
    """
    if corpus != settings.get("corpus_sha256"):
        return apply_curves(scores, curves), False
    how = (settings["calibration"], settings["min_support"], settings["seed"])
    return cross_fit(scores, truth, *how), True


def calibration_errors(probabilities: Floats, truth: Floats) -> dict[str, float]:
    """Measure how far probabilities hold; all are best at 0.

    RETURNS: ece, the expected calibration error over all cells; label_ece, the mean of the labels'
        own; brier, the mean squared distance to the truth.
    """
    labels = range(truth.shape[1])
    return {
        "ece": expected_error(probabilities.ravel(), truth.ravel()),
        "label_ece": float(
            numpy.mean([expected_error(probabilities[:, j], truth[:, j]) for j in labels])
        ),
        "brier": float(brier_score_loss(truth.ravel(), probabilities.ravel(), pos_label=1)),
    }


def expected_error(probabilities: Floats, truth: Floats) -> float:
    """Return the mean distance of probability and frequency over 15 bins of equal width.

    SOURCE: Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning.
    """
    said, true, counts = reliability(probabilities, truth)
    return float(numpy.sum(counts * numpy.abs(said - true)) / len(truth))


def reliability(probabilities: Floats, truth: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean probability, frequency and count of each bin that is not empty."""
    bins = numpy.minimum((probabilities * BINS).astype(int), BINS - 1)
    counts = numpy.bincount(bins, minlength=BINS)
    used = counts > 0
    said = numpy.bincount(bins, probabilities, BINS)[used] / counts[used]
    true = numpy.bincount(bins, truth, BINS)[used] / counts[used]
    return said, true, counts[used].astype("float64")
