"""Report what is in the splits of a corpus of pairs."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from wasabi import msg

from plugins.markup import Markup
from scripts.entity_report import SENTENCES, digest_of

MARKUP = Markup()


@dataclass
class Lengths:
    """How many symbols the texts of a side have."""

    total: int = 0
    most: int = 0

    def add(self, length: int) -> None:
        """Count a text."""
        self.total += length
        self.most = max(self.most, length)


@dataclass
class Facts:
    """What one pass over a split leaves behind.

    tagged: Targets that mark something.
    equal: Targets that are their sources.
    differing: Targets with tags that, without them, are not their sources.
    normalised: Targets that were written in another way than they are stored in.
    misaligned, overlapping: Entities that are not whole tokens, or that doc.ents has no room for.
    told: How often the reader reported something, by its kind.
    copied: Of each symbol of the targets, how many are in the source of their pair too.
    """

    pairs: int = 0
    tagged: int = 0
    equal: int = 0
    differing: int = 0
    normalised: int = 0
    misaligned: int = 0
    overlapping: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)
    texts: set[bytes] = field(default_factory=set)
    source: Counter[str] = field(default_factory=Counter)
    target: Counter[str] = field(default_factory=Counter)
    copied: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, Lengths] = field(
        default_factory=lambda: {"source": Lengths(), "target": Lengths()}
    )

    def add(self, source: str, symbols: list[str]) -> None:
        """Count a pair.

        symbols: Of the target.
        """
        read, (plain, spans) = MARKUP.split(source), MARKUP.spans_of(symbols)
        there = set(read)
        self.pairs += 1
        self.tagged += bool(spans)
        self.equal += symbols == read
        self.differing += bool(spans) and plain != source
        self.labels.update(label for *_, label in spans)
        self.texts.add(digest_of(source))
        self.source.update(read)
        self.target.update(symbols)
        self.copied.update(symbol for symbol in symbols if symbol in there)
        self.lengths["source"].add(len(read))
        self.lengths["target"].add(len(symbols))

    def tell(self, kind: str, sentence: str) -> None:
        """Take what the reader reports."""
        self.told[kind] += 1
        self.sentences += [sentence][: SENTENCES - len(self.sentences)]


def make_report(facts: dict[str, Facts], tags: str) -> dict[str, Any]:
    """Return the report: numbers of each split, what train does not have or has too, warnings.

    tags: What they mark: entities, labels or none.
    """
    labels = sorted(set(chain(*(found.labels for found in facts.values()))))
    others = {split: found for split, found in facts.items() if split != "train"}
    report = {
        "tags": tags,
        "labels": labels,
        "splits": {split: _numbers(found, labels) for split, found in facts.items()},
        "unseen": {split: _unseen(found, facts["train"]) for split, found in others.items()},
        "overlap": {s: len(found.texts & facts["train"].texts) for s, found in others.items()},
    }
    return report | {"warnings": _warnings(report)}


def _numbers(facts: Facts, labels: list[str]) -> dict[str, Any]:
    names = ("pairs", "tagged", "equal", "differing", "normalised", "misaligned", "overlapping")
    sizes = {
        f"{side}_symbols": {"mean": round(found.total / facts.pairs, 2), "max": found.most}
        for side, found in facts.lengths.items()
    }
    return {
        **{name: getattr(facts, name) for name in names},
        **sizes,
        "labels": {label: facts.labels[label] for label in labels},
        "told": dict(sorted(facts.told.items())),
        "first": facts.sentences,
    }


def _unseen(found: Facts, train: Facts) -> dict[str, float]:
    """Return which share of the symbols train has not, and how many of them a source has."""
    rare = [symbol for symbol in found.target if symbol not in train.target]
    source = sum(n for symbol, n in found.source.items() if symbol not in train.source)
    target = sum(found.target[symbol] for symbol in rare)
    return {
        "source_share": round(source / max(1, found.source.total()), 4),
        "target_share": round(target / max(1, found.target.total()), 4),
        "target": target,
        "copied": sum(found.copied[symbol] for symbol in rare),
    }


def _warnings(report: dict[str, Any]) -> list[str]:
    splits, said = report["splits"], []
    said += [f"{s}: {n} texts are in train too" for s, n in report["overlap"].items() if n]
    for split, found in splits.items():
        if found["differing"] and report["tags"] == "entities":
            said.append(f"{split}: {found['differing']} targets with tags are not their sources "
                        "without them, and have no entities")  # fmt: skip
    for label in report["labels"] if report["tags"] != "none" else ():
        if lacking := [split for split, found in splits.items() if not found["labels"][label]]:
            said.append(f"no {label} in {' and '.join(lacking)}")
    return said if "test" in splits else [*said, "no test split"]


def print_report(report: dict[str, Any]) -> None:
    """Print the report as tables."""
    splits = report["splits"]
    names = ("pairs", "tagged", "equal", "differing", "normalised", "misaligned")
    header = ("split", "pairs", "with tags", "as source", *names[3:], "source mean", "max",
              "target mean", "max")  # fmt: skip
    rows = [
        (split, *(x[name] for name in names), *x["source_symbols"].values(),
         *x["target_symbols"].values())
        for split, x in splits.items()
    ]  # fmt: skip
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))
    if report["labels"]:
        rows = [(x, *(found["labels"][x] for found in splits.values())) for x in report["labels"]]
        msg.table(rows, header=("tag", *splits), divider=True, aligns=("l", *"r" * len(splits)))
    for split, found in report["unseen"].items():
        share, copied = 100 * found["target_share"], found["copied"]
        msg.text(f"{split}: {share:.2f} % of the symbols of the targets ({found['target']}) are "
                 f"not in train's; {copied} of them are in their source")  # fmt: skip
    for split, found in splits.items():
        for kind, count in found["told"].items():
            msg.warn(f"{split}: {kind} {count} times, see report.json")
    for warning in report["warnings"]:
        msg.warn(warning)
