"""Gradients summed over the workers of a parallel training."""

from itertools import pairwise

import numpy
import torch
import torch.distributed as dist

from scripts.training_state import Parameter


class Exchange:
    """One flat buffer that holds the gradients of all weights, and a mark for each that has any."""

    def __init__(self, parameters: list[Parameter]):
        """Make the buffer on the device of the weights; all weights are on one."""
        self.parameters = parameters
        ends = numpy.cumsum([0, *(parameter.get().size for parameter in parameters)]).tolist()
        device = torch.as_tensor(parameters[0].get()).device
        whole = torch.zeros(ends[-1] + len(parameters), device=device)
        self.buffer, self.marks = whole, whole[ends[-1] :]
        self.parts = [whole[start:end] for start, end in pairwise(ends)]

    def sum_gradients(self) -> None:
        """Replace each gradient by the sum over the workers; one that no worker has stays away."""
        self.buffer.zero_()
        for number, parameter in enumerate(self.parameters):
            gradient = parameter.gradient()
            if gradient is not None:
                self.parts[number].copy_(gradient.reshape(-1))
                self.marks[number] = 1
        dist.all_reduce(self.buffer)
        for parameter, part, mark in zip(
            self.parameters, self.parts, self.marks.tolist(), strict=True
        ):
            if mark:
                parameter.set_gradient(part.reshape(parameter.get().shape))

    def copy_weights(self) -> None:
        """Give all workers the weights of the first."""
        for part, parameter in zip(self.parts, self.parameters, strict=True):
            part.copy_(torch.as_tensor(parameter.get()).reshape(-1))
        dist.broadcast(self.buffer, src=0)
        for part, parameter in zip(self.parts, self.parameters, strict=True):
            parameter.set(part.reshape(parameter.get().shape).cpu().numpy())
