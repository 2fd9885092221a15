"""Updates of PyTorch layers in place."""

import gc

import numpy
import spacy
import torch
from spacy.util import registry
from thinc.api import Adam, Model, PyTorchWrapper

from tests.conftest import make_nlp


def make_pipeline(in_place: bool) -> tuple[Model, spacy.language.Language]:
    """Return a small torch model, wrapped, as the model of a component that does nothing else."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))
    model = PyTorchWrapper(net)
    nlp = spacy.blank("en")
    component = nlp.add_pipe("sentencizer")
    component.model = model
    if in_place:
        registry.callbacks.get("goemotions.torch_updates_in_place.v1")()(nlp)
    return model, nlp


def steps(model: Model, count: int, optimizer: Adam) -> None:
    """Update on the same input."""
    X = numpy.linspace(-1, 1, 10, dtype="float32").reshape(2, 5)
    for _ in range(count):
        Y, backprop = model(X, True)
        backprop(Y - 1)
        model.finish_update(optimizer)


def weights_of(model: Model) -> list[numpy.ndarray]:
    shim = next(layer.shims[0] for layer in model.walk() if layer.shims)
    return [p.detach().numpy().copy() for p in shim._model.parameters()]


def live_tensors() -> int:
    gc.collect()
    return sum(type(x) is torch.Tensor for x in gc.get_objects())


def test_the_weights_come_out_the_same_as_thincs():
    for settings in ({}, {"L2": 0.01}, {"L2": 0.01, "grad_clip": 0.0}):
        found = []
        for in_place in (True, False):
            model, _ = make_pipeline(in_place)
            before = weights_of(model)
            steps(model, 7, Adam(0.01, use_averages=False, **settings))
            found.append(weights_of(model))
        for one, other, start in zip(*found, before, strict=True):
            assert numpy.array_equal(one, other)
            assert not numpy.array_equal(one, start)


def test_steps_leave_no_tensors_behind():
    optimizer = Adam(0.01, use_averages=False, L2=0.01)
    model, _ = make_pipeline(True)
    steps(model, 2, optimizer)
    before = live_tensors()
    steps(model, 10, optimizer)
    assert live_tensors() == before


def test_thinc_leaves_tensors_behind_so_that_the_callback_is_still_needed():
    optimizer = Adam(0.01, use_averages=False, L2=0.01)
    model, _ = make_pipeline(False)
    steps(model, 2, optimizer)
    before = live_tensors()
    steps(model, 10, optimizer)
    assert live_tensors() >= before + 40  # 4 parameters, 10 steps


def test_layers_without_torch_stay_as_they_are():
    nlp = make_nlp(steps=1)
    before = nlp.to_bytes()
    assert registry.callbacks.get("goemotions.torch_updates_in_place.v1")()(nlp) is nlp
    assert nlp.to_bytes() == before
