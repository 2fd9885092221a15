"""Evaluate a pipeline on several workers, each of which predicts a share of the docs."""

from collections.abc import Iterable
from timeit import default_timer
from typing import Any

import torch.distributed as dist
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from scripts.exchange import gather


def evaluate_together(
    nlp: Language, rank: int, workers: int, examples: Iterable[Example]
) -> dict[str, Any]:
    """Do what `nlp.evaluate` does; all workers call it, with the same examples in the same order.

    rank (0 to workers - 1): Of this worker. The first scores what all have predicted.
    RETURNS: The scores, on every worker; "speed" is that of all together.
    """
    examples = list(examples)
    share = [example.predicted.copy() for example in examples[rank::workers]]
    start = default_timer()
    docs = [doc.to_bytes(exclude=["tensor"]) for doc in nlp.pipe(share)]
    parts = gather((docs, default_timer() - start))
    scores: list[Any] = [None]
    if rank == 0:
        predicted = []
        for other, (part, _) in enumerate(parts):
            for example, data in zip(examples[other::workers], part, strict=True):
                predicted.append(Example(Doc(nlp.vocab).from_bytes(data), example.reference))
        scores = [Scorer(nlp=nlp).score(predicted)]
        words = sum(len(example.predicted) for example in predicted)
        scores[0]["speed"] = words / max(seconds for _, seconds in parts)
    dist.broadcast_object_list(scores)
    return scores[0]
