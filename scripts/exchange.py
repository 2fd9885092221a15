"""Gradients summed over the workers of a parallel training."""

import socket
from collections.abc import Callable, Iterator
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
    """A flat buffer of all gradients, with a mark for each that there is and for each overflow."""

    def __init__(self, parameters: list[Parameter]):
        """Make the buffer on the device of the weights; all weights are on one."""
        self.parameters = parameters
        self.scalers = scalers_of(parameters)
        ends = numpy.cumsum([0, *(parameter.get().size for parameter in parameters)]).tolist()
        device = torch.as_tensor(parameters[0].get()).device
        whole = torch.zeros(ends[-1] + len(parameters) + len(self.scalers), device=device)
        self.buffer, self.marks = whole, whole[ends[-1] : ends[-1] + len(parameters)]
        self.overflows = whole[ends[-1] + len(parameters) :]
        self.parts = [whole[start:end] for start, end in pairwise(ends)]

    def sum_gradients(self) -> None:
        """Replace each gradient by the sum over the workers; one that no worker has stays away."""
        self.buffer.zero_()
        for number, parameter in enumerate(self.parameters):
            gradient = parameter.gradient()
            if gradient is not None:
                self.parts[number].copy_(gradient.reshape(-1))
                self.marks[number] = 1
        for number, scaler in enumerate(self.scalers):
            self.overflows[number] = float(scaler.found_inf)
        dist.all_reduce(self.buffer)
        for parameter, part, mark in zip(
            self.parameters, self.parts, self.marks.tolist(), strict=True
        ):
            if mark:
                parameter.set_gradient(part.reshape(parameter.get().shape))

        for scaler, overflow in zip(self.scalers, self.overflows.tolist(), strict=True):
            scaler._found_inf = overflow > 0  # then no worker takes this step

    def copy_weights(self) -> None:
        """Give all workers the weights of the first."""
        for part, parameter in zip(self.parts, self.parameters, strict=True):
            part.copy_(torch.as_tensor(parameter.get()).reshape(-1))
        dist.broadcast(self.buffer, src=0)
        for part, parameter in zip(self.parts, self.parameters, strict=True):
            parameter.set(part.reshape(parameter.get().shape).cpu().numpy())
