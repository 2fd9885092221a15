"""Gradients and values of the loss layers."""

import numpy
import pytest
from numpy.testing import assert_allclose

from plugins.losses import (
    build_asymmetric,
    build_cross_entropy,
    build_focal,
    build_squared_error,
)

LAYERS = {
    "squared error": build_squared_error(),
    "cross-entropy": build_cross_entropy(),
    "weighted cross-entropy": build_cross_entropy([1.0, 3.0, 0.5, 2.0]),
    "focal": build_focal(2.0),
    "focal 0.5": build_focal(0.5),
    "asymmetric": build_asymmetric(1.0, 4.0, 0.05),
    "asymmetric without gammas": build_asymmetric(0.0, 0.0, 0.0),
    "asymmetric with clip alone": build_asymmetric(0.0, 0.0, 0.45),
}
X = numpy.array([[-3.0, -0.4, 0.3, 2.5], [0.1, 4.0, -2.0, -0.1]], dtype="float64")
TRUTH = numpy.array([[1, 0, 1, 0], [0, 1, 1, 0]], dtype="float64")


def sigmoid(logits):
    return 1 / (1 + numpy.exp(-logits))


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_is_the_finite_difference_of_the_loss(name):
    layer = LAYERS[name]
    Y, backprop = layer(X, True)
    dX = backprop(Y - TRUTH)
    step = 1e-6
    for index in numpy.ndindex(*X.shape):
        sides = []
        for sign in (1, -1):
            moved = X.copy()
            moved[index] += sign * step
            sides.append(layer.attrs["loss"](sigmoid(moved), TRUTH)[0].sum())
        assert dX[index] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5, abs=1e-8)


def test_cross_entropy_is_the_log_of_the_probability_of_the_truth():
    loss, _ = build_cross_entropy(3.0).attrs["loss"](
        numpy.array([[0.02, 0.02]]), numpy.array([[1.0, 0.0]])
    )
    assert_allclose(loss, [[-3 * numpy.log(0.02), -numpy.log(0.98)]])


def test_a_missed_rare_positive_pulls_fifty_times_harder_than_under_squared_error():
    logit = numpy.array([[numpy.log(0.02 / 0.98)]])
    pulls = []
    for layer in (build_cross_entropy(), build_squared_error()):
        Y, backprop = layer(logit, True)
        pulls.append(backprop(Y - 1)[0, 0])
    assert pulls[0] == pytest.approx(-0.98)
    assert pulls[1] == pytest.approx(-0.98 * 0.02 * 0.98)


def test_squared_error_gives_the_gradient_of_thinc_s_logistic_layer():
    from thinc.api import Logistic

    for layer in (Logistic(), build_squared_error()):
        layer.initialize()
    ours, backprop = build_squared_error()(X.astype("f"), True)
    theirs, backprop_theirs = Logistic()(X.astype("f"), True)
    difference = (ours - TRUTH).astype("f")
    assert_allclose(ours, theirs, rtol=1e-6)
    assert_allclose(backprop(difference), backprop_theirs(difference), rtol=1e-5)


def test_focal_with_gamma_0_and_asymmetric_without_shift_are_cross_entropy():
    Y, reference = build_cross_entropy()(X, True)
    for layer in (build_focal(0.0), build_asymmetric(0.0, 0.0, 0.0)):
        assert_allclose(layer(X, True)[1](Y - TRUTH), reference(Y - TRUTH), rtol=1e-9)


def test_asymmetric_forgets_negatives_below_the_clip():
    logits = numpy.array([[-4.0, -1.0]])
    Y, backprop = build_asymmetric(0.0, 2.0, 0.05)(logits, True)
    dX = backprop(Y - 0.0)
    assert Y[0, 0] < 0.05 and dX[0, 0] == 0.0
    assert dX[0, 1] > 0


@pytest.mark.parametrize("name", LAYERS)
def test_a_missing_truth_gives_no_gradient(name):
    Y, backprop = LAYERS[name](X, True)
    difference = (Y - TRUTH) * numpy.array([1.0, 0.0, 1.0, 1.0])
    assert (backprop(difference)[:, 1] == 0).all()


@pytest.mark.parametrize("name", LAYERS)
def test_extreme_scores_keep_gradients_finite(name):
    logits = numpy.array([[-90.0, 90.0, -90.0, 90.0]], dtype="f")
    Y, backprop = LAYERS[name](logits, True)
    dX = backprop((Y - TRUTH[:1]).astype("f"))
    assert numpy.isfinite(dX).all() and dX.dtype == numpy.float32


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"pos_weight \[1.0, 0.0\]"):
        build_cross_entropy([1.0, 0.0])
    with pytest.raises(ValueError, match="gamma -1"):
        build_focal(-1)
    with pytest.raises(ValueError, match=r"clip 1\.0"):
        build_asymmetric(clip=1.0)


SOFT = numpy.array([[0.9, 0.1, 0.5, 0.0], [0.3, 1.0, 0.02, 0.7]], dtype="float64")


@pytest.mark.parametrize("name", LAYERS)
def test_a_soft_truth_has_its_share_of_the_loss_of_a_positive_and_the_rest_of_a_negative(name):
    layer = LAYERS[name]
    loss = layer.attrs["loss"]

    def both(logits):
        scores = sigmoid(logits)
        positive, _ = loss(scores, numpy.ones_like(scores))
        negative, _ = loss(scores, numpy.zeros_like(scores))
        return (SOFT * positive + (1 - SOFT) * negative).sum()

    Y, backprop = layer(X, True)
    dX = backprop(Y - SOFT)
    step = 1e-6
    for index in numpy.ndindex(*X.shape):
        up, down = X.copy(), X.copy()
        up[index] += step
        down[index] -= step
        expected = (both(up) - both(down)) / (2 * step)
        assert dX[index] == pytest.approx(expected, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", LAYERS)
def test_a_hard_truth_has_exactly_the_gradient_of_the_loss_itself(name):
    # What spaCy's own component asks for: to the last bit, so that trainings stay the same.
    layer = LAYERS[name]
    logits = numpy.random.RandomState(0).normal(scale=4, size=(64, 4)).astype("f")
    truth = (numpy.random.RandomState(1).uniform(size=(64, 4)) < 0.3).astype("f")
    Y, backprop = layer(logits, True)
    _, expected = layer.attrs["loss"](Y, truth)
    assert backprop(Y - truth).tobytes() == expected.astype("f").tobytes()


@pytest.mark.parametrize("name", LAYERS)
def test_a_missing_truth_beside_a_soft_one_gives_no_gradient(name):
    Y, backprop = LAYERS[name](X, True)
    known = numpy.array([1.0, 0.0, 1.0, 1.0])
    dX = backprop((Y - SOFT) * known)
    assert (dX[:, 1] == 0).all()
    assert_allclose(dX, backprop(Y - SOFT) * known, rtol=1e-9, atol=1e-12)


def test_a_batch_without_docs_gives_a_gradient_without_rows():
    Y, backprop = build_cross_entropy()(X[:0].astype("f"), True)
    assert backprop(Y).shape == (0, 4)
