"""Batcher that puts posts of the same length in wordpieces together, so that little is padding."""

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from spacy.training import Example
from spacy.util import registry


@registry.batchers("goemotions.batch_by_wordpieces.v1")
def create_wordpiece_batcher(
    name: str, size: int, buffer: int = 3200
) -> Callable[[Iterable[Example]], Iterator[list[Example]]]:
    """Create a batcher that sorts by what the transformer will read, then shuffles the batches.

    Sorting posts of GoEmotions by their tokens instead leaves a fifth of each batch empty.

    name: Of the transformer, as in its model: a folder or a name on the hub.
    size (examples): Of a batch; the last one of a stretch may be smaller.
    buffer (examples): Length of the stretch that is sorted at a time. More examples pad less, but
        wait longer for the first batch of a stream.
    RETURNS: A function from examples to batches. Which batch comes first is up to the seed.
    RAISES ValueError: size or buffer is no positive number, or there is no such tokenizer.
    """
    if not 0 < size <= buffer:
        raise ValueError(f"size {size}, buffer {buffer}. Expected 0 < size <= buffer.")

    def batch(examples: Iterable[Example]) -> Iterator[list[Example]]:
        tokenizer = _load_tokenizer(name)
        stream = iter(examples)
        while stretch := list(islice(stream, buffer)):
            encoded = tokenizer([example.reference.text for example in stretch])
            lengths = [len(ids) for ids in encoded["input_ids"]]
            order = sorted(range(len(stretch)), key=lengths.__getitem__)
            batches = [order[start : start + size] for start in range(0, len(order), size)]
            random.shuffle(batches)  # seeded by spaCy, as its own batchers are
            for indices in batches:
                yield [stretch[index] for index in indices]

    return batch


def _load_tokenizer(name: str) -> Callable:
    from transformers import AutoTokenizer  # takes seconds, which only this batcher needs

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"tokenizer {name!r} cannot be loaded. Expected the transformer's folder or its name "
            f"on the model hub: {str(error).splitlines()[0]}"
        ) from error
