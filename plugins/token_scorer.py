"""Scorer of words with one label each: over all, by label, and of whole docs."""

from collections.abc import Callable, Iterable
from typing import Any

from spacy.training import Example
from spacy.util import registry

Counts = dict[str, list[int]]  # by label: found and true, found, true


@registry.scorers("goemotions.token_tags_scorer.v1")
def make_token_tags_scorer() -> Callable:
    """Make a scorer of token.tag_.

    RETURNS: A function that returns tags_micro_f, which is the accuracy since each word has one
        label; tags_macro_f, the mean F of the labels that are true of a word; tags_exact, how many
        docs have every word right; and tags_per_type with p, r and f by label. Words without a
        tag in the reference do not count.
    """
    return _score


def _score(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    counts: Counts = {}
    docs = exact = 0
    for example in examples:
        pairs = pairs_of(example)
        add_counts(counts, pairs)
        docs += bool(pairs)
        exact += bool(pairs) and all(said == true for said, true in pairs)
    if not docs:
        return dict.fromkeys(("tags_micro_f", "tags_macro_f", "tags_exact", "tags_per_type"))
    micro, macro, labels = summarise(counts)
    return {
        "tags_micro_f": micro,
        "tags_macro_f": macro,
        "tags_exact": exact / docs,
        "tags_per_type": labels,
    }


def pairs_of(example: Example) -> list[tuple[str, str]]:
    """Return what is said and what is true of each word that has a tag in the reference."""
    true = example.get_aligned("TAG", as_string=True)
    said = [token.tag_ for token in example.predicted]
    return [(a, b) for a, b in zip(said, true, strict=True) if b]


def add_counts(counts: Counts, pairs: Iterable[tuple[str, str]]) -> None:
    """Add the words of a doc to counts by label."""
    for said, true in pairs:
        counts.setdefault(true, [0, 0, 0])[2] += 1
        if said:
            counts.setdefault(said, [0, 0, 0])[1] += 1
        counts[true][0] += said == true


def summarise(counts: Counts) -> tuple[float, float, dict[str, dict[str, float]]]:
    """Return F over all words, the mean F of the labels that are true of one, and p, r, f by label.

    counts: Of at least one word.
    """
    labels = {}
    for label, (right, found, true) in sorted(counts.items()):
        labels[label] = {
            "p": right / max(1, found),
            "r": right / max(1, true),
            "f": 2 * right / (found + true),
            "support": true,
        }
    right, found, true = (sum(row[n] for row in counts.values()) for n in range(3))
    scores = [row["f"] for row in labels.values() if row["support"]]
    return 2 * right / (found + true), sum(scores) / len(scores), labels
