"""Label-wise attention: values by hand, gradients, room for more labels."""

import numpy
import pytest
from numpy.testing import assert_allclose
from thinc.layers.resizable import resize_model
from thinc.types import Ragged

from plugins.attention import build_label_attention

LENGTHS = numpy.array([3, 1, 2], dtype="i")


def make(labels: int = 2, width: int = 4, seed: int = 0):
    rng = numpy.random.default_rng(seed)
    model = build_label_attention(labels)
    X = Ragged(rng.normal(size=(6, width)).astype("f"), LENGTHS)
    model.initialize(X=X)
    layer = model.layers[0]
    for name, shape in (("query", (labels, width)), ("value", (labels, width)), ("b", (labels,))):
        layer.set_param(name, rng.normal(size=shape).astype("f"))
    return model, layer, X


def test_a_logit_is_the_value_of_the_label_s_own_mean_of_the_tokens():
    model, layer, X = make()
    Y = model.predict(X)
    query, value, b = (layer.get_param(name) for name in ("query", "value", "b"))
    for doc, tokens in enumerate(numpy.split(X.data, numpy.cumsum(LENGTHS)[:-1])):
        for label in range(2):
            weights = numpy.exp(tokens @ query[label])
            mean = (weights / weights.sum()) @ tokens
            assert Y[doc, label] == pytest.approx(mean @ value[label] + b[label], rel=1e-4)


@pytest.mark.parametrize("name", ["query", "value", "b", "X"])
def test_gradients_are_finite_differences(name):
    model, layer, X = make()
    dY = numpy.random.default_rng(5).normal(size=(3, 2)).astype("f")
    _, backprop = model(X, True)
    dX = backprop(dY).data
    gradient = dX if name == "X" else layer.get_grad(name)
    place = X.data if name == "X" else layer.get_param(name)
    for index in numpy.ndindex(*place.shape):
        sides, original = [], place[index]
        for step in (1e-2, -1e-2):
            place[index] = original + step
            if name != "X":
                layer.set_param(name, place)
            sides.append((model.predict(X) * dY).sum())
        place[index] = original
        assert gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-2, rel=0.02, abs=2e-3)


def test_a_new_head_says_nothing():
    model = build_label_attention()
    X = make()[2]
    model.initialize(X=X, Y=numpy.zeros((3, 5), "f"))
    assert_allclose(model.predict(X), numpy.zeros((3, 5)))
    assert abs(model.layers[0].get_param("query")).max() > 0


def test_more_labels_leave_the_old_logits_and_start_at_zero():
    model, _, X = make()
    before = model.predict(X)
    resize_model(model, 5)
    after = model.predict(X)
    assert_allclose(after[:, :2], before)
    assert_allclose(after[:, 2:], numpy.zeros((3, 3)))
