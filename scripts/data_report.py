"""Report what is in the splits of a corpus: sizes, labels, lengths, duplicates, overlaps."""

import math
from bisect import bisect_right
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy
from wasabi import msg

from scripts.digests import Digests, count_repeated, count_shared, digest, normalise

EXACT, NORMAL = 0, 1  # columns of the digests


class Facts:
    """What one pass over a split leaves behind: counts, and digests on disk, never texts.

    n_labels: Of the labels file.
    path: Of a new file for the digests.
    """

    def __init__(self, n_labels: int, path: Path) -> None:
        self.labels = numpy.zeros(n_labels, dtype=int)
        self.several = 0
        self.skipped = 0
        self.lengths: Counter[int] = Counter()
        self.texts = Digests(path, 2)

    def add(self, text: str, numbers: list[int]) -> None:
        """Count a post with the labels of these numbers."""
        self.labels[numbers] += 1
        self.several += len(numbers) > 1
        self.texts.append(digest(text), digest(normalise(text)))


def make_report(facts: dict[str, Facts], labels: list[str]) -> dict[str, Any]:
    """Return the data report: sizes, labels, lengths, duplicates, overlaps, warnings."""
    report: dict[str, Any] = {"splits": {}, "overlap": {}, "warnings": []}
    for split, found in facts.items():
        report["splits"][split] = {
            "posts": found.lengths.total(),
            "skipped": found.skipped,
            "several_labels": found.several,
            "extra_duplicates": count_repeated(found.texts, EXACT),
            "tokens": {f"p{p}": percentile(found.lengths, p) for p in (0, 50, 90, 99, 100)},
            "labels": dict(zip(labels, found.labels.tolist(), strict=True)),
        }
        if split != "train":
            report["overlap"][split] = {
                name: count_shared(found.texts, facts["train"].texts, column)
                for name, column in (("exact", EXACT), ("normalised", NORMAL))
            }
    report["warnings"] = _warnings(report)
    return report


def percentile(counts: Counter[int], percent: float) -> int:
    """Return the percentile of values that are given as how often each is there, rounded down."""
    values = sorted(counts)
    ends = list(accumulate(counts[value] for value in values))
    place = percent / 100 * (ends[-1] - 1)
    low, high = (values[bisect_right(ends, end)] for end in (math.floor(place), math.ceil(place)))
    return int(low + (high - low) * (place - math.floor(place)))


def _warnings(report: dict[str, Any]) -> list[str]:
    found = []
    for split, facts in report["splits"].items():
        least = 10 if split == "train" else 1
        rare = [f"{label} ({n})" for label, n in facts["labels"].items() if n < least]
        if rare:
            found.append(f"{split}: fewer than {least} posts for {', '.join(rare)}")
        if facts["skipped"]:
            found.append(f"{split}: {facts['skipped']} bad rows left out")
        if facts["extra_duplicates"]:
            found.append(f"{split}: {facts['extra_duplicates']} texts are there again")
    for split, same in report["overlap"].items():
        if same["normalised"]:
            found.append(
                f"{split}: {same['exact']} texts are in train too, {same['normalised']} if case "
                "and punctuation are ignored"
            )
    if "test" not in report["splits"]:
        found.append("no test split: evaluate-test will not work")
    return found


def print_report(report: dict[str, Any]) -> None:
    """Print the data report as tables."""
    splits = report["splits"]
    keys = ("posts", "several_labels", "extra_duplicates", "skipped")
    rows = [(s, *(f[k] for k in keys), *f["tokens"].values()) for s, f in splits.items()]
    header = ("split", "posts", "several labels", "duplicates", "skipped",
              "tokens min", "50 %", "90 %", "99 %", "max")  # fmt: skip
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * 9))
    labels = sorted(splits["train"]["labels"], key=lambda x: -splits["train"]["labels"][x])
    rows = [(label, *(f["labels"][label] for f in splits.values())) for label in labels]
    msg.table(rows, header=("label", *splits), divider=True, aligns=("l", *"r" * len(splits)))
    for warning in report["warnings"]:
        msg.warn(warning)
