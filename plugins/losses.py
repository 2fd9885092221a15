"""Output layers that decide which loss a stock spaCy text classifier minimises.

`textcat_multilabel` hands its model one gradient: score - truth, with 0 where the truth is missing.
Its own logistic layer multiplies that by s(1 - s), which is squared error: a rare label that is
missed at 0.02 then pulls fifty times less than under log loss. Each layer here applies the sigmoid
forward, reads the truth back from the gradient and returns the gradient of its own loss for the
logits. A soft truth of 0.3, see plugins/soft_textcat.py, has 0.3 of the loss of a positive and 0.7
of that of a negative. The component stays spaCy's, so the loss that training prints is always the
mean squared error, whatever is minimised.
"""

from collections.abc import Callable
from typing import Any

import numpy
from spacy.util import registry
from thinc.api import Model, get_array_module
from thinc.types import Floats2d

Loss = Callable[[Any, Any], tuple[Any, Any]]


@registry.layers("goemotions.SquaredError.v1")
def build_squared_error() -> Model[Floats2d, Floats2d]:
    """Build a sigmoid that is trained by half the squared error, as spaCy's own text classifier is.

    RETURNS ([docs, labels]): Scores in 0 to 1.
    """

    def loss(scores: Any, truth: Any) -> tuple[Any, Any]:
        difference = scores - truth
        return 0.5 * difference**2, difference * scores * (1 - scores)

    return _build_sigmoid("squared_error", loss)


@registry.layers("goemotions.CrossEntropy.v1")
def build_cross_entropy(pos_weight: float | list[float] = 1.0) -> Model[Floats2d, Floats2d]:
    """Build a sigmoid that is trained by binary cross-entropy.

    pos_weight (> 0): Factor on the loss of positives, one for all labels or one per label. It
        trades precision for recall at a fixed threshold; tuned thresholds make it redundant.
    RETURNS ([docs, labels]): Scores in 0 to 1.
    RAISES ValueError: A weight is not positive.
    """
    weights = numpy.asarray(pos_weight, dtype="float32")
    if not (weights > 0).all():
        raise ValueError(f"pos_weight {pos_weight}. Expected numbers above 0.")

    def loss(scores: Any, truth: Any) -> tuple[Any, Any]:
        weight = truth * _like(weights, scores) + (1 - truth)
        p_true = _probability_of_truth(scores, truth)
        return -weight * _log(p_true), weight * (scores - truth)

    return _build_sigmoid("cross_entropy", loss)


@registry.layers("goemotions.Focal.v1")
def build_focal(gamma: float = 2.0) -> Model[Floats2d, Floats2d]:
    """Build a sigmoid that is trained by focal loss: easy cases count less.

    gamma (>= 0): Exponent of the factor (1 - p)**gamma, p being the score of what is true. 0 is
        cross-entropy; larger values look away from easy cases more.
    RETURNS ([docs, labels]): Scores in 0 to 1.
    RAISES ValueError: gamma is negative.
    SOURCE: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv 1708.02002, without alpha.
    """
    if gamma < 0:
        raise ValueError(f"gamma {gamma}. Expected 0 or more.")

    def loss(scores: Any, truth: Any) -> tuple[Any, Any]:
        return _focal(scores, truth, gamma)

    return _build_sigmoid("focal", loss)


@registry.layers("goemotions.Asymmetric.v1")
def build_asymmetric(
    gamma_pos: float = 0.0, gamma_neg: float = 2.0, clip: float = 0.05
) -> Model[Floats2d, Floats2d]:
    """Build a sigmoid that is trained by asymmetric loss: easy negatives count less than positives.

    gamma_pos (>= 0): Focal exponent of the positives.
    gamma_neg (>= 0): Focal exponent of the negatives.
    clip (0 to 1): Negatives are scored `clip` lower; those below it no longer count at all.
    RETURNS ([docs, labels]): Scores in 0 to 1, not shifted.
    RAISES ValueError: A value lies outside its range.
    SOURCE: Ridnik et al. 2021, Asymmetric Loss For Multi-Label Classification, arXiv 2009.14119.
    """
    if min(gamma_pos, gamma_neg) < 0 or not 0 <= clip < 1:
        raise ValueError(
            f"gamma_pos {gamma_pos}, gamma_neg {gamma_neg}, clip {clip}. "
            "Expected exponents of 0 or more and a clip in 0 to 1."
        )

    def loss(scores: Any, truth: Any) -> tuple[Any, Any]:
        positive, d_positive = _focal(scores, truth, gamma_pos)
        shifted = (scores - clip) * (scores > clip)
        rest, rest_shifted = 1 - scores, 1 - shifted
        negative = shifted**gamma_neg * -_log(rest_shifted)
        # d shifted / d logit is s(1 - s); the ratio keeps a score of exactly 1 from becoming 0 / 0.
        ratio = rest / (rest_shifted + (rest_shifted == 0)) + (rest_shifted == 0)
        slope = shifted**gamma_neg * ratio
        if gamma_neg:
            slope = slope - gamma_neg * _power(shifted, gamma_neg - 1) * _log(rest_shifted) * rest
        d_negative = slope * (scores > clip) * scores
        return (
            truth * positive + (1 - truth) * negative,
            truth * d_positive + (1 - truth) * d_negative,
        )

    return _build_sigmoid("asymmetric", loss)


def _focal(scores: Any, truth: Any, gamma: float) -> tuple[Any, Any]:
    p_true = _probability_of_truth(scores, truth)
    sign = 2 * truth - 1  # d p_true / d score
    rest = 1 - p_true
    loss = -(rest**gamma) * _log(p_true)
    slope = gamma * rest**gamma * p_true * _log(p_true) - rest ** (gamma + 1)
    return loss, sign * slope


def _build_sigmoid(name: str, loss: Loss) -> Model[Floats2d, Floats2d]:
    """Wrap loss(scores, truth) -> (loss, gradient of the logits), all [docs, labels]."""
    return Model(name, _forward, attrs={"loss": loss})


def _forward(model: Model, X: Floats2d, is_train: bool) -> tuple[Floats2d, Callable]:
    Y = model.ops.sigmoid(X)

    def backprop(dY: Floats2d) -> Floats2d:
        loss, truth = model.attrs["loss"], (dY < 0).astype(Y.dtype)
        known = (dY != 0).astype(Y.dtype)
        soft = (Y - dY).clip(0, 1)
        if abs(soft - truth).max(initial=0) > 1e-6:
            _, dX_positive = loss(Y, known * 0 + 1)
            _, dX_negative = loss(Y, known * 0)
            dX = soft * dX_positive + (1 - soft) * dX_negative
        else:
            _, dX = loss(Y, truth)
        return (dX * known).astype(X.dtype)

    return Y, backprop


def _probability_of_truth(scores: Any, truth: Any) -> Any:
    return truth * scores + (1 - truth) * (1 - scores)


def _log(values: Any) -> Any:
    return get_array_module(values).log(values.clip(1e-12, None))


def _power(values: Any, exponent: float) -> Any:
    return values.clip(1e-12, None) ** exponent


def _like(weights: numpy.ndarray, scores: Any) -> Any:
    return get_array_module(scores).asarray(weights, dtype=scores.dtype)
