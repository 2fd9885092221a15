"""Texts without labels mixed among labelled ones, for training on both."""

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, cycle

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry


@registry.readers("goemotions.Interleaved.v1")
def create_interleaved(
    labelled: Callable[[Language], Iterable[Example]],
    raw: Callable[[Language], Iterable[Example]],
    ratio: float = 1.0,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader that mixes texts without labels among labelled ones.

    An example without labels has no gradient for a text classifier, which spaCy sees to. Use it
    with max_epochs = -1: otherwise spaCy reads one epoch and keeps it.

    labelled: One pass over it is one epoch; kept and shuffled each time, as spaCy does.
    raw: Read on from epoch to epoch, and from its start again when it ends.
    ratio (raw per labelled, above 0): 0.5 puts one after every second labelled one.
    RAISES ValueError: ratio is not above 0.
    """
    if ratio <= 0:
        raise ValueError(f"ratio {ratio}. Expected raw texts per labelled one, above 0.")
    source: list[Iterator[Example]] = []
    kept: list[Example] = []

    def read(nlp: Language) -> Iterator[Example]:
        if not source:
            source.append(chain.from_iterable(raw(nlp) for _ in cycle([None])))
            kept.extend(labelled(nlp))
        random.shuffle(kept)  # seeded by spaCy, as its own batchers are
        due = 0.0
        for example in kept:
            yield example
            due += ratio
            while due >= 1:
                due -= 1
                yield next(source[0])

    return read
