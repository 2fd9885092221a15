"""Adam with decoupled weight decay, and groups of parameters with settings of their own."""

import re
from dataclasses import dataclass
from typing import Any

import numpy
from spacy.util import registry
from thinc.api import Optimizer
from thinc.optimizers import FloatOrSeq
from thinc.types import FloatsXd

# Not after the first: mixed precision leaves out steps until the scale of its gradients fits.
STEPS_TO_CHECK = 10


@dataclass
class Group:
    """Parameters whose names a regular expression finds, and what holds for them."""

    select: str
    scale: float = 1.0
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        if self.scale < 0 or (self.weight_decay or 0) < 0:
            raise ValueError(f"scale {self.scale}, weight_decay {self.weight_decay}. Expected >= 0")
        self.finds = re.compile(self.select).search


@registry.optimizers("goemotions.AdamW.v1")
def create_adamw(
    learn_rate: FloatOrSeq = 0.001,
    weight_decay: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    grad_clip: float = 1.0,
    use_averages: bool = False,
    groups: dict[str, dict[str, str | float | int]] | None = None,
) -> Optimizer:
    """Create an optimizer that steps exactly as torch.optim.AdamW does, for all layers.

    thinc's Adam has no groups. With L2 it shrinks the weights after the step instead of before, and
    its eps weighs more in the first thousand steps, for which it is not corrected.

    learn_rate: Number or schedule.
    weight_decay: Share of a weight, times its learn rate, that each step takes away.
    beta1, beta2 (0 to 1, exclusive): Memory of the mean of the gradients, and of their squares.
    eps: Added to the root of the mean square.
    grad_clip: Largest norm of a gradient, of each parameter by itself as thinc does it; 0 for none.
    use_averages: Evaluate and save the averages of the weights. PyTorch layers are left out by
        spaCy, so that the saved model would be half of each.
    groups: By a name of your choice: `select`, a regular expression to be found in a parameter's
        own name (thinc's are W, b, E, G; those of PyTorch encoder.layer.0.output.dense.weight and
        the like), `scale` of the learn rate, and `weight_decay` in place of the one above. The
        first group that finds a parameter has it.
    RETURNS: The optimizer. After ten steps it raises ValueError if a group has found nothing.
    RAISES ValueError: A number out of range, a group with an unknown key or a bad expression.
    SOURCE: Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, arXiv 1711.05101.
    """
    if not (0 < beta1 < 1 and 0 < beta2 < 1):
        raise ValueError(f"beta1 {beta1}, beta2 {beta2}. Expected numbers between 0 and 1.")
    if weight_decay < 0 or eps <= 0 or grad_clip < 0:
        found = f"weight_decay {weight_decay}, eps {eps}, grad_clip {grad_clip}"
        raise ValueError(f"{found}. Expected none below 0, and an eps above.")
    made = {name: _group(name, settings) for name, settings in (groups or {}).items()}
    return AdamW(
        made,
        weight_decay,
        learn_rate=learn_rate,
        beta1=float(numpy.float32(beta1)),  # as thinc's kernels have them: the corrections fit
        beta2=float(numpy.float32(beta2)),
        eps=eps,
        grad_clip=grad_clip,
        use_averages=use_averages,
        L2=0.0,
    )


def _group(name: str, settings: dict[str, Any]) -> Group:
    try:
        return Group(**settings)
    except (TypeError, ValueError, re.error) as error:
        raise ValueError(
            f"training.optimizer.groups.{name}: {str(error).removeprefix('Group.__init__() ')}. "
            "Expected select (a regular expression), and scale or weight_decay."
        ) from error


class AdamW(Optimizer):
    """thinc's Adam with torch's decay and eps; what it remembers is what thinc's remembers."""

    def __init__(self, groups: dict[str, Group], weight_decay: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.groups, self.rest = groups, Group("", weight_decay=weight_decay)
        self.steps_to_check = STEPS_TO_CHECK if groups else 0

    def group_of(self, name: str) -> Group:
        """Return the first group that finds a parameter's name, or the one of all the rest."""
        return next((group for group in self.groups.values() if group.finds(name)), self.rest)

    def __call__(
        self, key: tuple[int, str], weights: FloatsXd, gradient: FloatsXd, *, lr_scale: float = 1.0
    ) -> tuple[FloatsXd, FloatsXd]:
        """Return the weights after a step, changed in place, and the gradient, now zero."""
        group = self.group_of(key[1])
        lr_scale *= group.scale
        decay = self.rest.weight_decay if group.weight_decay is None else group.weight_decay
        if decay:
            weights *= 1 - self.learn_rate * lr_scale * decay
        return super().__call__(key, weights, gradient, lr_scale=lr_scale)

    def _adam(self, ops: Any, *args: Any) -> tuple[FloatsXd, FloatsXd]:
        eps, updates = self.eps, args[-1]
        self.eps = eps * (1 - self.b2**updates) ** 0.5  # as if the root were corrected first
        try:
            return super()._adam(ops, *args)
        finally:
            self.eps = eps

    def step_schedules(self) -> None:
        """Move the schedules on; after a few steps see whether each group has found something."""
        if self.steps_to_check and self.nr_update:
            self.steps_to_check -= 1
            if not self.steps_to_check:
                self._check_groups({name for _, name in self.nr_update})
        super().step_schedules()

    def _check_groups(self, names: set[str]) -> None:
        found = [self.group_of(name) for name in names]
        for name, group in self.groups.items():
            if not any(group is other for other in found):
                raise ValueError(
                    f"training.optimizer.groups.{name}: {group.select!r} finds no parameter that "
                    f"is trained and in no group before it. Expected one of {sorted(names)}."
                )
