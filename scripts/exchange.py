"""Gradients summed over the workers of a parallel training."""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy
import torch
import torch.distributed as dist

from scripts.training_state import Parameter, scalers_of

PATIENCE = timedelta(hours=2)  # with the slowest worker; a dead one is noticed at once


@contextmanager
def process_group(
    rank: int, workers: int, host: str, tell: Callable[[Any], Any], backend: str
) -> Iterator[None]:
    """Connect the workers of a training by torch.distributed.

    host: Address of this machine; the first worker listens there, PyTorch alone would everywhere.
    tell: Gives all workers what the first one passes.
    backend: "gloo", or "nccl" between GPUs.
    """
    if workers == 1:
        yield
        return
    listener = socket.create_server((host, 0)) if rank == 0 else None
    place = tell(listener.getsockname()[:2] if listener else None)
    file = listener.detach() if listener else None
    store = dist.TCPStore(*place, workers, rank == 0, PATIENCE, master_listen_fd=file)
    dist.init_process_group(backend, store=store, rank=rank, world_size=workers, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()  # so that the others do not wait


class Exchange:
    """Sums the gradients of all workers in one flat buffer."""

    def __init__(self, parameters: list[Parameter]):
        """Make the buffer on the device of the weights; all weights are on one."""
        self.parameters = parameters
        self.scalers = scalers_of(parameters)
        self.sizes = [parameter.get().size for parameter in parameters]
        device = torch.as_tensor(parameters[0].get()).device
        self.buffer = torch.zeros(sum(self.sizes), device=device)
        self.flags = torch.zeros(len(parameters) + len(self.scalers), device=device)

    def sum_gradients(self) -> None:
        """Replace each gradient by the sum over the workers; one that no worker has stays away."""
        gradients = [parameter.gradient() for parameter in self.parameters]
        flags = [gradient is not None for gradient in gradients]
        flags += [scaler.found_inf for scaler in self.scalers]
        self.flags.copy_(torch.tensor(flags))
        dist.all_reduce(self.flags)
        marks = self.flags.tolist()
        used = [number for number in range(len(gradients)) if marks[number]]
        parts = self._parts(used)
        for number, part in parts.items():
            gradient = gradients[number]
            part.copy_(gradient.reshape(-1)) if gradient is not None else part.zero_()
        dist.all_reduce(self.buffer[: sum(self.sizes[number] for number in used)])
        for number, part in parts.items():
            parameter = self.parameters[number]
            parameter.set_gradient(part.reshape(parameter.get().shape))
        for scaler, mark in zip(self.scalers, marks[len(gradients) :], strict=True):
            scaler._found_inf = mark > 0  # then no worker takes this step

    def copy_weights(self) -> None:
        """Give all workers the weights of the first."""
        parts = self._parts(range(len(self.parameters)))
        for number, part in parts.items():
            part.copy_(torch.as_tensor(self.parameters[number].get()).reshape(-1))
        dist.broadcast(self.buffer, src=0)
        for number, part in parts.items():
            parameter = self.parameters[number]
            parameter.set(part.reshape(parameter.get().shape).cpu().numpy())

    def _parts(self, numbers: Iterable[int]) -> dict[int, torch.Tensor]:
        """Return the places of some weights, one after the other from the start of the buffer."""
        ends = numpy.cumsum([0, *(self.sizes[number] for number in numbers)]).tolist()
        return {
            number: self.buffer[start:end]
            for number, (start, end) in zip(numbers, pairwise(ends), strict=True)
        }


def gather(value: Any) -> list[Any]:
    """Return what each worker has, on all of them."""
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
