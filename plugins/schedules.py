"""A schedule that rises once and falls once: for the learn rate, and upside down for beta1."""

import math
from collections.abc import Iterable, Iterator

from spacy.util import registry


@registry.schedules("goemotions.one_cycle.v1")
def build_one_cycle(
    max_rate: float,
    total_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Iterable[float]:
    """Build a schedule of two half cosines, step for step that of torch's OneCycleLR.

    The momentum that torch moves the other way is beta1 of Adam.v1, which takes a schedule too:
    from 0.95 to 0.85 and back is max_rate 0.85, div_factor 0.8947368421 (which is 0.85 / 0.95) and
    final_div_factor 1.

    max_rate: Value between the halves. It is the lowest one if div_factor is below 1.
    total_steps: Of both halves. Afterwards the last value stays.
    pct_start (0 to 1): Share of the steps that the first half has.
    div_factor (> 0): The first value is max_rate divided by it.
    final_div_factor (> 0): The last value is the first divided by it.
    RETURNS: A value per update, without end.
    RAISES ValueError: A number out of range.
    SOURCE: Smith and Topin 2018, Super-Convergence, arXiv 1708.07120.
    """
    factors = {"div_factor": div_factor, "final_div_factor": final_div_factor}
    for name, value in {"max_rate": max_rate, **factors}.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} {value}. Expected a number above 0.")
    if total_steps < 1:
        raise ValueError(f"total_steps {total_steps}. Expected 1 or more.")
    if not 0 <= pct_start <= 1:
        raise ValueError(f"pct_start {pct_start}. Expected a number from 0 to 1.")
    first = max_rate / div_factor
    return _one_cycle(first, max_rate, first / final_div_factor, total_steps, pct_start)


def _one_cycle(
    first: float, middle: float, last: float, total_steps: int, pct_start: float
) -> Iterator[float]:
    top, end = pct_start * total_steps - 1, total_steps - 1  # of steps that count from 0
    value = first
    for step in range(total_steps):
        if step <= top:
            value = _half_cosine(first, middle, step / top if top else 1.0)
        else:
            value = _half_cosine(middle, last, (step - top) / (end - top))
        yield value
    while True:
        yield value


def _half_cosine(start: float, stop: float, share: float) -> float:
    return stop + (start - stop) / 2 * (math.cos(math.pi * share) + 1)
