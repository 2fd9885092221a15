"""Report what is in the splits of a corpus with entities."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Any

from spacy.tokens import Doc
from wasabi import msg

KEY = "entities"  # of doc.spans
SENTENCES = 20  # in the report, per split


@dataclass
class Facts:
    """What one pass over a split leaves behind.

    overlapping: Entities that doc.ents has no room for.
    told: How often the readers reported something, by its kind.
    """

    docs: int = 0
    empty: int = 0
    left_out: int = 0
    tokens: int = 0
    overlapping: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)
    texts: set[bytes] = field(default_factory=set)

    def add(self, doc: Doc) -> None:
        """Count a doc."""
        spans = doc.spans[KEY]
        self.docs += 1
        self.empty += not spans
        self.tokens += len(doc)
        self.overlapping += len(spans) - len(doc.ents)
        self.labels.update(span.label_ for span in spans)
        self.texts.add(digest_of(doc.text))

    def tell(self, told: list[tuple[str, str]]) -> None:
        """Take what a reader reported: kinds and sentences."""
        self.told.update(kind for kind, _ in told)
        self.sentences += [said for _, said in told[: SENTENCES - len(self.sentences)]]


def digest_of(text: str) -> bytes:
    """Return the eight bytes that stand for a text."""
    return blake2b(text.encode("utf8"), digest_size=8).digest()


def make_report(facts: dict[str, Facts]) -> dict[str, Any]:
    """Return the report: labels, numbers of each split, texts that train has too, warnings."""
    labels = sorted(set(chain(*(found.labels for found in facts.values()))))
    splits = {
        split: {
            "docs": found.docs,
            "empty": found.empty,
            "left_out": found.left_out,
            "tokens": found.tokens,
            "entities": found.labels.total(),
            "overlapping": found.overlapping,
            "labels": {label: found.labels[label] for label in labels},
            "told": dict(sorted(found.told.items())),
            "first": found.sentences,
        }
        for split, found in facts.items()
    }
    same = {s: len(facts[s].texts & facts["train"].texts) for s in facts if s != "train"}
    warnings = [f"{s}: {n} texts are in train too" for s, n in same.items() if n]
    for label in labels:
        lacking = [split for split in facts if not facts[split].labels[label]]
        if lacking:
            warnings.append(f"no {label} in {' and '.join(lacking)}")
    if not labels:
        warnings.append("no entities at all")
    if "test" not in facts:
        warnings.append("no test split")
    return {"labels": labels, "splits": splits, "overlap": same, "warnings": warnings}


def print_report(report: dict[str, Any]) -> None:
    """Print the report as tables."""
    splits = report["splits"]
    keys = ("docs", "empty", "left_out", "tokens", "entities", "overlapping")
    header = ("split", "docs", "without entities", "left out", *keys[3:])
    rows = [(split, *(found[key] for key in keys)) for split, found in splits.items()]
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * len(keys)))
    rows = [(x, *(found["labels"][x] for found in splits.values())) for x in report["labels"]]
    msg.table(rows, header=("label", *splits), divider=True, aligns=("l", *"r" * len(splits)))
    for split, found in splits.items():
        for kind, count in found["told"].items():
            msg.warn(f"{split}: {kind} {count} times, see report.json")
    for warning in report["warnings"]:
        msg.warn(warning)
