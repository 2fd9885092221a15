"""A stream of batches: read a corpus again and again, shuffle, cut; and docs without their gold."""

import random
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any

from spacy.attrs import NORM
from spacy.tokens import Doc
from spacy.training import Example

Examples = Iterable[Example]


def shuffle_of(said: str, max_epochs: int) -> str | int:
    """Return how to shuffle: "dataset", "none", or the number of docs in a block.

    said: "dataset", "none", "100 docs", or "config" for what `spacy train` does: none if max_epochs
        is -1, for streams, otherwise the data set.
    RAISES ValueError: It is something else.
    """
    block = re.fullmatch(r"([1-9]\d*) docs", said)
    if said not in ("config", "dataset", "none") and not block:
        raise ValueError(f'--shuffle "{said}". Expected dataset, "100 docs", none or config.')
    if said == "config":
        return "none" if max_epochs < 0 else "dataset"
    return int(block[1]) if block else said


def batcher_of(said: str) -> dict[str, Any] | None:
    """Return the section [training.batcher] for a size, or None to leave the config's own.

    said: "4096 tokens", of which a batch has at most so many, unless one doc alone has more; "32
        docs"; or "config".
    RAISES ValueError: It is something else.
    """
    size = re.fullmatch(r"([1-9]\d*) (tokens|docs)", said)
    if said != "config" and not size:
        raise ValueError(f'--batch "{said}". Expected "4096 tokens", "32 docs" or config.')
    if said == "config":
        return None
    if size[2] == "docs":
        return {"@batchers": "spacy.batch_by_sequence.v1", "size": int(size[1])}
    return {
        "@batchers": "spacy.batch_by_words.v1",
        "size": int(size[1]),
        "tolerance": 0.0,
        "discard_oversize": False,
    }


def stream_batches(
    read: Callable[[], Examples],
    batcher: Callable[[Examples], Iterable[list[Example]]],
    *,
    max_epochs: int,
    shuffle: str | int,
) -> Iterator[tuple[int, list[Example]]]:
    """Yield the number of the epoch and a batch, epoch after epoch.

    Only "dataset" needs memory for all examples; otherwise each epoch reads them again.

    read: Begins to read the corpus anew at each call.
    max_epochs: Number of epochs; 0 or -1 goes on for ever. With -1 each epoch is read anew.
    shuffle: As shuffle_of returns it.
    RAISES ValueError: An epoch without a batch.
    """
    held = list(read()) if shuffle == "dataset" and max_epochs >= 0 else None
    for epoch in count() if max_epochs < 1 else range(max_epochs):
        is_empty = True
        for batch in batcher(shuffled(read() if held is None else held, shuffle)):
            is_empty = False
            yield epoch, list(batch)
        if is_empty:
            raise ValueError(
                f"Epoch {epoch} of the training corpus has no batch. Expected examples, and a "
                "batcher that does not discard them all."
            )


def shuffled(examples: Examples, shuffle: str | int) -> Examples:
    """Return examples in a random order; a list is shuffled in place, as spaCy does it."""
    if shuffle == "none":
        return examples
    if shuffle == "dataset":
        held = examples if isinstance(examples, list) else list(examples)
        random.shuffle(held)
        return held
    return _in_blocks(iter(examples), int(shuffle))


def _in_blocks(examples: Iterator[Example], size: int) -> Iterator[Example]:
    while block := list(islice(examples, size)):
        random.shuffle(block)
        yield from block


def cleared(examples: Examples) -> Iterator[Example]:
    """Yield examples whose predicted docs have words, blanks and norms only.

    A reader may have left annotation in them, which components could take for their own.

    RAISES ValueError: There are none.
    """
    is_empty = True
    for example in examples:
        is_empty = False
        given = example.predicted
        blanks = [bool(token.whitespace_) for token in given]
        doc = Doc(given.vocab, words=[token.text for token in given], spaces=blanks)
        if len(doc):  # norms of the tokenizer's exceptions are not those of the words
            doc.from_array([NORM], given.to_array([NORM]).reshape(-1, 1))
        yield Example(doc, example.reference)
    if is_empty:
        raise ValueError("The dev corpus is empty. Expected examples to evaluate on.")
