"""Scorers of entities: exact, by token, and by overlap, over all labels and for each."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

Place = tuple[int, int]  # characters, from the first to behind the last
Counts = dict[str, list[int]]  # by label: found and true, found, true


@registry.scorers("goemotions.ner_exact_scorer.v1")
def make_ner_exact_scorer(spans_key: str | None = None) -> Callable:
    """Make a scorer for which an entity is right if its place and its label are.

    spans_key: Score this group of doc.spans; doc.ents when None.
    RETURNS: A function that returns ents_p, ents_r, ents_f and, by label, ents_per_type.
    SOURCE: Tjong Kim Sang and De Meulder 2003, CoNLL-2003.
    """
    return partial(_score, name="ents", count=count_exact, spans_key=spans_key)


@registry.scorers("goemotions.ner_token_scorer.v1")
def make_ner_token_scorer(spans_key: str | None = None) -> Callable:
    """Make a scorer of the tokens inside entities, whatever the borders; see the exact one.

    RETURNS: A function that returns ents_token_p, ents_token_r, ents_token_f, ents_token_per_type.
    """
    return partial(_score, name="ents_token", count=count_tokens, spans_key=spans_key)


@registry.scorers("goemotions.ner_overlap_scorer.v1")
def make_ner_overlap_scorer(spans_key: str | None = None, dice: float = 0.5) -> Callable:
    """Make a scorer for which an entity is right if it overlaps a true one of its label enough.

    dice (above 0, to 1): Least Dice coefficient, twice the common characters by those of both.
        Each entity counts for one other at most, those with most in common first.
    RETURNS: A function that returns ents_overlap_p and so on; see the exact one.
    RAISES ValueError: dice is out of range.
    """
    if not 0 < dice <= 1:
        raise ValueError(f"dice {dice}. Expected a number above 0, to 1.")
    count = partial(count_overlapping, dice=dice)
    return partial(_score, name="ents_overlap", count=count, spans_key=spans_key)


def spans_of(doc: Doc, spans_key: str | None) -> dict[str, list[Place]]:
    """Return the places of a doc's entities by label, each once."""
    spans = doc.ents if spans_key is None else doc.spans.get(spans_key, [])
    found: dict[str, set[Place]] = {}
    for span in spans:
        found.setdefault(span.label_, set()).add((span.start_char, span.end_char))
    return {label: sorted(places) for label, places in found.items()}


def count_exact(example: Example, spans_key: str | None = None) -> Counts:
    """Count the entities of an example: by label, found and true, found, true."""
    return _count(example, spans_key, lambda found, true: len(set(found) & set(true)))


def count_overlapping(example: Example, spans_key: str | None = None, dice: float = 0.5) -> Counts:
    """Count the entities of an example, with those as true that overlap a true one enough."""
    return _count(example, spans_key, partial(_pair, dice=dice))


def count_tokens(example: Example, spans_key: str | None = None) -> Counts:
    """Count the tokens inside the entities of an example."""
    starts = [token.idx for token in example.reference]

    def inside(places: list[Place]) -> set[int]:
        return {idx for idx in starts for start, end in places if start <= idx < end}

    found, true = _both(example, spans_key)
    counts = {}
    for label in found.keys() | true.keys():
        ours, theirs = inside(found.get(label, [])), inside(true.get(label, []))
        counts[label] = [len(ours & theirs), len(ours), len(theirs)]
    return counts


def summarise(counts: Iterable[Counts]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return precision, recall, F and counts, over all labels together and for each.

    RETURNS: {p, r, f (0 to 1), tp, positives, support}; the same by label.
    """
    total: Counts = {}
    for one in counts:
        for label, numbers in one.items():
            known = total.setdefault(label, [0, 0, 0])
            total[label] = [a + b for a, b in zip(known, numbers, strict=True)]
    everything = [sum(column) for column in zip([0, 0, 0], *total.values(), strict=True)]
    return prf(*everything), {label: prf(*total[label]) for label in sorted(total)}


def prf(tp: int, positives: int, support: int) -> dict[str, Any]:
    """Return precision, recall and F of counts; 0 where there is nothing to divide by."""
    p, r = tp / positives if positives else 0.0, tp / support if support else 0.0
    f = 2 * tp / (positives + support) if positives + support else 0.0
    return {"p": p, "r": r, "f": f, "tp": tp, "positives": positives, "support": support}


def _count(example: Example, spans_key: str | None, common: Callable) -> Counts:
    found, true = _both(example, spans_key)
    counts = {}
    for label in found.keys() | true.keys():
        ours, theirs = found.get(label, []), true.get(label, [])
        counts[label] = [common(ours, theirs), len(ours), len(theirs)]
    return counts


def _both(example: Example, spans_key: str | None) -> tuple[dict, dict]:
    return spans_of(example.predicted, spans_key), spans_of(example.reference, spans_key)


def _pair(found: list[Place], true: list[Place], dice: float) -> int:
    """Return how many pairs there are of a found and a true place that overlap enough."""
    pairs = []
    for i, (a, b) in enumerate(found):
        for j, (c, d) in enumerate(true):
            score = 2 * max(0, min(b, d) - max(a, c)) / (b - a + d - c)
            if score >= dice:
                pairs.append((-score, i, j))
    ours: set[int] = set()
    theirs: set[int] = set()
    for _, i, j in sorted(pairs):
        if i not in ours and j not in theirs:
            ours.add(i)
            theirs.add(j)
    return len(ours)


def is_annotated(reference: Doc, spans_key: str | None) -> bool:
    """Say whether it is known which entities a doc has."""
    if spans_key is None:
        return reference.has_annotation("ENT_IOB")
    return spans_key in reference.spans


def _score(
    examples: Iterable[Example],
    *,
    name: str,
    count: Callable[[Example, str | None], Counts],
    spans_key: str | None,
    **settings: Any,
) -> dict[str, Any]:
    known = [example for example in examples if is_annotated(example.reference, spans_key)]
    keys = [f"{name}_{end}" for end in ("p", "r", "f", "per_type")]
    if not known:
        return dict.fromkeys(keys)
    total, labels = summarise(count(example, spans_key) for example in known)
    return dict(zip(keys, (total["p"], total["r"], total["f"], labels), strict=True))
