"""Report what is in the splits of a corpus of any task."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from spacy.tokens import Doc
from wasabi import msg

from scripts.annotations import check_annotated, labels_of
from scripts.entity_report import digest_of
from scripts.tasks import Task


@dataclass
class Facts:
    """What one pass over a split leaves behind.

    cats: Labels of textcat, which every doc has in this order; those of the first doc when None.
    """

    task: Task
    cats: list[str] | None = None
    texts: int = 0
    tokens: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    digests: set[bytes] = field(default_factory=set)

    def add(self, doc: Doc) -> None:
        """Check and count a doc.

        RAISES ValueError: It has nothing that the task learns from.
        """
        check_annotated(doc, self.task, self.cats)
        if self.cats is None:
            self.cats = list(doc.cats)
        self.texts += 1
        self.tokens += len(doc)
        self.labels.update(labels_of(doc, self.task))
        self.digests.add(digest_of(doc.text))


def make_report(facts: dict[str, Facts]) -> dict[str, Any]:
    """Return the report: labels, numbers of each split, texts that train has too, warnings."""
    train = facts["train"]
    found = set().union(*(one.labels for one in facts.values()))
    labels = train.cats if train.task == "textcat" else sorted(found)
    splits = {
        split: {
            "texts": one.texts,
            "tokens": one.tokens,
            "labels": {label: one.labels[label] for label in labels},
        }
        for split, one in facts.items()
    }
    same = {s: len(facts[s].digests & train.digests) for s in facts if s != "train"}
    report = {"kind": train.task, "labels": labels, "splits": splits, "overlap": same}
    return report | {"warnings": _warnings(report)}


def _warnings(report: dict[str, Any]) -> list[str]:
    splits = report["splits"]
    said = [f"{split}: {n} texts are in train too" for split, n in report["overlap"].items() if n]
    for label in report["labels"]:
        if lacking := [split for split, found in splits.items() if not found["labels"][label]]:
            said.append(f"no {label} in {' and '.join(lacking)}")
    return said if "test" in splits else [*said, "no test split"]


def print_report(report: dict[str, Any]) -> None:
    """Print the report as tables."""
    splits = report["splits"]
    rows = [(split, found["texts"], found["tokens"]) for split, found in splits.items()]
    msg.table(rows, header=("split", "texts", "tokens"), divider=True, aligns=("l", "r", "r"))
    rows = [(x, *(found["labels"][x] for found in splits.values())) for x in report["labels"]]
    if rows:
        msg.table(rows, header=("label", *splits), divider=True, aligns=("l", *"r" * len(splits)))
    for warning in report["warnings"]:
        msg.warn(warning)
