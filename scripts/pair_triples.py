"""Put what was to be written beside what was, and mark the differences."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Literal

from spacy.tokens import Doc
from spacy.training import Example

PIECE = re.compile(r"\{\{/?[^{}\s]+\}\} ?|\w+|\s+|[^\w\s]")
Kind = Literal["same", "missed", "added"]
MARKS = {"same": "%s", "missed": "[-%s-]", "added": "{+%s+}"}  # as GNU wdiff writes them


@dataclass(frozen=True)
class Triple:
    """An input, its target, and what was written; the score is None where there is none."""

    input: str
    target: str
    output: str
    score: float | None = None

    @property
    def right(self) -> bool:
        """Return whether the output is the target."""
        return self.output == self.target


def triples_of(examples: Iterable[Example]) -> list[Triple]:
    """Return a triple for each example."""
    return [
        Triple(x.reference.text, x.reference._.seq2seq, x.predicted._.seq2seq or "", score_of(x.x))
        for x in examples
    ]


def score_of(doc: Doc) -> float | None:
    """Return the score of a doc's output, None if it has none or a probability of 0."""
    best = doc._.seq2seq_best if doc.has_extension("seq2seq_best") else None
    return best[0]["score"] if best and math.isfinite(best[0]["score"]) else None


def pick(triples: Iterable[Triple], wrong: int, right: int) -> list[Triple]:
    """Return the first so many wrong ones, then the first right ones."""
    triples = list(triples)
    first = islice((triple for triple in triples if not triple.right), wrong)
    return [*first, *islice((triple for triple in triples if triple.right), right)]


def differences(target: str, output: str) -> list[tuple[Kind, str]]:
    """Return an output in parts: the same as in the target, missed there, or added.

    Tags, words, blanks and other characters are compared as wholes. What is the same and what is
    missed make the target, what is the same and what is added the output.
    """
    true, said = PIECE.findall(target), PIECE.findall(output)
    parts: list[tuple[Kind, str]] = []
    for tag, i, j, k, m in SequenceMatcher(None, true, said, autojunk=False).get_opcodes():
        missed, added = "".join(true[i:j]), "".join(said[k:m])
        if tag == "equal":
            parts.append(("same", added))
            continue
        parts += [("missed", missed)] if missed else []
        parts += [("added", added)] if added else []
    return parts


def print_triples(triples: Iterable[Triple], *, wrong: int = 5, right: int = 2) -> None:
    """Print some wrong and some right triples, with [-missed-] and {+added+} in the outputs."""
    for triple in pick(triples, wrong, right):
        print("\nright" if triple.right else "\nwrong")
        parts = differences(triple.target, triple.output)
        marked = "".join(MARKS[kind] % text for kind, text in parts)
        for name, text in (("input", triple.input), ("target", triple.target), ("output", marked)):
            print(f"{name:<8}{text}")
