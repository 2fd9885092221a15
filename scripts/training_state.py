"""Weights, gradients, optimizer and random numbers of a training, named alike in every process."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy
import torch
from thinc.api import Model, Optimizer, PyTorchGradScaler, PyTorchShim, fix_random_seed
from thinc.types import FloatsXd
from thinc.util import to_numpy, torch2xp, xp2torch

MOMENTS = ("mom1", "mom2", "averages", "nr_update", "last_seen")


@dataclass
class Parameter:
    """A weight of a thinc or PyTorch layer; `key` is the optimizer's name, of this process only."""

    name: str
    key: tuple[int, str]
    node: Model
    weight: torch.nn.Parameter | None = None

    def get(self) -> FloatsXd:
        """Return the weight as an array of the layer's device."""
        if self.weight is not None:
            return torch2xp(self.weight.data)
        return self.node.get_param(self.key[1])

    def set(self, value: FloatsXd) -> None:
        """Copy a value into the weight."""
        if self.weight is not None:
            self.weight.data.copy_(torch.as_tensor(numpy.array(value)))
        else:
            self.node.set_param(self.key[1], self.node.ops.xp.array(value))

    def gradient(self) -> torch.Tensor | None:
        """Return what updates have added up, or None if there was none yet."""
        if self.weight is not None:
            return self.weight.grad
        name = self.key[1]
        return xp2torch(self.node.get_grad(name)) if self.node.has_grad(name) else None

    def set_gradient(self, value: torch.Tensor) -> None:
        """Copy a value into the gradient."""
        if self.weight is not None:
            self.weight.grad = value.clone()
        else:
            self.node.set_grad(self.key[1], torch2xp(value.clone()))


def parameters_of(models: Iterable[tuple[str, Model]]) -> list[Parameter]:
    """Return the weights of models, each once and in the same order in every process.

    models: Pairs of a name and a model.
    """
    found, seen = [], set()
    for part, model in models:
        for number, node in enumerate(model.walk()):
            for parameter in _parameters_of_node(f"{part}/{number}", node):
                if parameter.key not in seen:
                    seen.add(parameter.key)
                    found.append(parameter)
    return found


def _parameters_of_node(where: str, node: Model) -> Iterator[Parameter]:
    for name in node.param_names:
        if node.has_param(name):
            yield Parameter(f"{where}/{name}", (node.id, name), node)
    for number, shim in enumerate(node.shims):
        if isinstance(shim, PyTorchShim):
            for name, weight in shim._model.named_parameters():
                yield Parameter(f"{where}/{number}/{name}", (shim.id, name), node, weight)


def scalers_of(parameters: list[Parameter]) -> list[PyTorchGradScaler]:
    """Return what scales the gradients of PyTorch layers in mixed precision, each once."""
    shims = {
        shim.id: shim
        for parameter in parameters
        for shim in parameter.node.shims
        if isinstance(shim, PyTorchShim)
    }
    return [shim._grad_scaler for shim in shims.values()]


def scalers_to_list(scalers: list[PyTorchGradScaler]) -> list[list[float]]:
    """Return the scale of each and the steps since it changed."""
    return [[float(one._scale), int(one._growth_tracker)] for one in scalers]


def scalers_from_list(scalers: list[PyTorchGradScaler], state: list[list[float]]) -> None:
    """Take what `scalers_to_list` returned."""
    for scaler, (scale, steps) in zip(scalers, state, strict=True):
        scaler._scale.fill_(scale)
        scaler._growth_tracker.fill_(steps)


def digest_of(parameters: list[Parameter]) -> str:
    """Return the SHA-256 of all weights."""
    digest = sha256()
    for parameter in parameters:
        digest.update(numpy.ascontiguousarray(to_numpy(parameter.get())).tobytes())
    return digest.hexdigest()


def weights_to_dict(parameters: list[Parameter]) -> dict[str, Any]:
    """Return the weights by name, in the types of msgpack."""
    return {parameter.name: to_numpy(parameter.get()) for parameter in parameters}


def weights_from_dict(parameters: list[Parameter], state: dict[str, Any]) -> None:
    """Take weights that `weights_to_dict` returned."""
    for parameter in parameters:
        parameter.set(state[parameter.name])


def optimizer_to_dict(optimizer: Optimizer, parameters: list[Parameter]) -> dict[str, Any]:
    """Return moments, averages and counts by name, in the types of msgpack."""
    names = {parameter.key: parameter.name for parameter in parameters}
    state = {}
    for moment in MOMENTS:
        values = getattr(optimizer, moment) or {}
        state[moment] = {names[key]: _plain(value) for key, value in values.items()}
    return state


def optimizer_from_dict(
    optimizer: Optimizer, parameters: list[Parameter], state: dict[str, Any], steps: int
) -> None:
    """Take what `optimizer_to_dict` returned, and move the schedules on by so many steps."""
    owners = {parameter.name: parameter for parameter in parameters}
    for moment, values in state.items():
        for name, value in values.items():
            owner = owners[name]
            mine = owner.node.ops.xp.array(value) if numpy.ndim(value) else value
            getattr(optimizer, moment)[owner.key] = mine
    for _ in range(steps):
        optimizer.step_schedules()


def _plain(value: Any) -> Any:
    return to_numpy(value) if numpy.ndim(value) else value


def random_to_list() -> list[Any]:
    """Return the state of the random numbers of Python, numpy and PyTorch."""
    version, numbers, gauss = random.getstate()
    return [
        [version, list(numbers), gauss],
        list(numpy.random.get_state()),
        torch.get_rng_state().numpy(),
    ]


def random_from_list(state: list[Any]) -> None:
    """Take what `random_to_list` returned."""
    version, numbers, gauss = state[0]
    random.setstate((version, tuple(numbers), gauss))
    numpy.random.set_state(tuple(state[1]))
    torch.set_rng_state(torch.from_numpy(numpy.array(state[2], "uint8")))


def random_of(rank: int) -> list[Any]:
    """Return the state of random numbers of a worker's own, without moving those in use."""
    before = random_to_list()
    fix_random_seed(random.Random(f"{random.random()} {rank}").getrandbits(32))
    state = random_to_list()
    random_from_list(before)
    return state
