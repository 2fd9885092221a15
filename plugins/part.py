"""Reader of a part of another reader's examples, for trials of a training."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry


@registry.readers("goemotions.Part.v1")
def create_part(
    corpus: Callable[[Language], Iterable[Example]],
    fraction: float = 1.0,
    limit: int = 0,
    batches: int = 0,
    batcher: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of the same few examples of another reader in each pass.

    What was read is kept, so that a reader which shuffles does not bring others the next time. The
    settings may be joined: each takes its part of what those before it have left.

    corpus: Any reader, e.g. spacy.Corpus.v1.
    fraction (above 0, to 1): Take so many, evenly from all of them; the first is always taken.
    limit (examples): Take the first so many; 0 takes all.
    batches: Take the first examples of which the batcher makes so many batches; 0 takes all.
    batcher: That of the training, ${training.batcher}.
    RETURNS: A function of nlp that yields the examples in the order of the other reader.
    RAISES ValueError: A number is out of range, or only one of batches and batcher is given.
    """
    if not 0 < fraction <= 1 or limit < 0 or batches < 0:
        raise ValueError(
            f"fraction {fraction}, limit {limit}, batches {batches}. Expected above 0 and up to 1, "
            "0 or more, 0 or more."
        )
    if bool(batches) != (batcher is not None):
        raise ValueError("goemotions.Part.v1: batches or batcher alone. Expected both, or none.")
    kept: list[tuple[Language, list[Example]]] = []

    def read(nlp: Language) -> Iterator[Example]:
        if not kept or kept[0][0] is not nlp:  # its docs belong to the vocabulary of one pipeline
            examples = islice(_evenly(corpus(nlp), fraction), limit or None)
            taken = _batches(examples, batcher, batches) if batcher else list(examples)
            kept[:] = [(nlp, taken)]
        yield from kept[0][1]

    return read


def _evenly(examples: Iterable[Example], fraction: float) -> Iterator[Example]:
    for number, example in enumerate(examples):
        if number == 0 or int(number * fraction) > int((number - 1) * fraction):
            yield example


def _batches(examples: Iterable[Example], batcher: Callable, batches: int) -> list[Example]:
    """Return the most of the first examples that are no more than so many batches.

    Some batchers shuffle what they make, so the first batches are not those of the first examples;
    how many there are depends on the examples alone.
    """
    stream, taken = iter(examples), list[Example]()
    while more := list(islice(stream, len(taken) or 1)):
        taken += more
        if len(list(batcher(taken))) > batches:
            break
    sizes = range(len(taken) + 1)
    most = bisect_right(sizes, batches, key=lambda size: len(list(batcher(taken[:size])))) - 1
    return taken[:most]
