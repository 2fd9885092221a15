"""Marked-up text: `The {{Cell}} cells{{/Cell}}  grew.` apart, and together again."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from spacy.util import registry

GLUE = "￭"  # before a symbol that no blank separates from what is before it
TAG = re.compile(r"\{\{(/?)([^{}\s/][^{}\s]*)\}\}( ?)")
PIECE = re.compile(r"\w+|[^\w\s]|\s+")

Span = tuple[int, int, str]  # first character, character after the last, label
Tags = list[tuple[str, int]]  # each with the character that it stands before


@registry.misc("goemotions.Markup.v1")
def create_markup() -> "Markup":
    """Create what takes marked-up texts apart into symbols and puts them together again.

    A tag is `{{Label}} ` before the first character and `{{/Label}} ` after the last; its blank
    belongs to it, so that a text without its tags is the text that was marked up.
    """
    return Markup()


@dataclass(frozen=True)
class Markup:
    """Symbols are tags, words, single other characters, and white space that is not one blank.

    The symbols of a marked-up text are those of the text with the tags between them; a tag within
    a word cuts it. Of the texts that have the same symbols one is canonical, `join(split(text))`:
    there a blank follows each tag but one at the end, no opening tag stands before a blank between
    words, and no closing tag after one. A text without tags is canonical as it is.

    glue: Begins each symbol that no blank separates from what is before it.
    """

    glue: ClassVar[str] = GLUE

    def split(self, text: str) -> list[str]:
        """Return the symbols of a text, with tags or without."""
        plain, tags = _without_tags(text)
        symbols, done, after_blank = [], 0, True
        for start, piece in _pieces(plain, {at for _, at in tags}):
            while done < len(tags) and tags[done][1] <= start:
                symbols.append(tags[done][0])
                done += 1
            if not piece.isspace():
                symbols.append(piece if after_blank else GLUE + piece)
            elif not _is_single_blank(plain, start, piece):
                symbols.append(piece)
            after_blank = piece.isspace()
        return symbols + [tag for tag, _ in tags[done:]]

    def join(self, symbols: Iterable[str]) -> str:
        """Return the text of symbols; of those that `split` returned it has the same again."""
        return _with_tags(*_placed(symbols))

    def words(self, symbols: Iterable[str]) -> list[str]:
        """Return symbols without their glue."""
        return [_unglued(symbol) for symbol in symbols]

    def parse(self, text: str) -> tuple[str, list[Span]]:
        """Return a text without its tags, and what they mark; tags without a partner mark nothing.

        A closing tag belongs to the last open one of its label, so pairs may be nested or overlap.
        """
        plain, tags = _without_tags(text)
        return plain, _pairs(tags)

    def write(self, text: str, spans: Iterable[Span]) -> str:
        """Return a text with spans marked, which `parse` gives back.

        Of those that begin together the longest is outside, of equal ones the first. Two of one
        label that overlap come back as two of which one is within the other. A span may begin or
        end within a word or at a blank; the text is canonical if none does the latter.

        RAISES ValueError: The text has tags already, or there is nothing to mark at a place.
        """
        spans = list(spans)
        if found := TAG.search(text):
            raise ValueError(f"{text[:60]!r} has {found[0]!r}. Expected a text without tags.")
        for start, end, label in spans:
            if not 0 <= start < end <= len(text) or self.label_of(f"{{{{{label}}}}}") != label:
                wanted = f"a place in 0 to {len(text)}, and a label without blanks and braces"
                raise ValueError(f"{label!r} at {start} to {end}. Expected {wanted}.")
        tags = [(end, 0, -start, -order, f"{{{{/{label}}}}}")
                for order, (start, end, label) in enumerate(spans)]  # fmt: skip
        tags += [(start, 1, -end, order, f"{{{{{label}}}}}")
                 for order, (start, end, label) in enumerate(spans)]  # fmt: skip
        return _with_tags(text, [(tag, at) for at, *_, tag in sorted(tags)])

    def label_of(self, symbol: str) -> str | None:
        """Return the label that an opening tag stands for, None for other symbols."""
        found = TAG.fullmatch(symbol)
        return found[2] if found and not found[1] else None

    def spans_of(self, symbols: Iterable[str]) -> tuple[str, list[Span]]:
        """Return the text of symbols without tags, and what the tags mark."""
        plain, tags = _placed(symbols)
        return plain, _pairs(tags)


def _pieces(plain: str, cuts: set[int]) -> Iterator[tuple[int, str]]:
    """Yield words, other characters and white space with their places, cut where tags stand."""
    for match in PIECE.finditer(plain):
        inside = sorted(c for c in cuts if match.start() < c < match.end()) if cuts else []
        edges = [match.start(), *inside, match.end()]
        for start, end in pairwise(edges):
            yield start, plain[start:end]


def _is_single_blank(plain: str, start: int, piece: str) -> bool:
    """Return whether a piece is one blank between words, which `join` puts there by itself."""
    around = plain[max(0, start - 1) : start + 2].split(" ")
    return piece == " " and all(map(str.strip, around))


def _unglued(symbol: str) -> str:
    return symbol[1:] if symbol.startswith(GLUE) and len(symbol) > 1 else symbol


def _placed(symbols: Iterable[str]) -> tuple[str, Tags]:
    """Return the text of symbols without tags, and the tags."""
    parts: list[str] = []
    tags: Tags = []
    opening: list[str] = []  # tags that stand after the blank that may follow
    length, after_blank = 0, True
    for symbol in symbols:
        found = TAG.fullmatch(symbol)
        if found and not found[1]:
            opening.append(symbol)
            continue
        word = "" if found else _unglued(symbol)
        if word and not (after_blank or word != symbol or word.isspace()):
            parts.append(" ")
            length += 1
        tags += [(tag, length) for tag in opening]
        opening = []
        if found:
            tags.append((symbol, length))
        else:
            parts.append(word)
            length += len(word)
            after_blank = word.isspace()
    return "".join(parts), [*tags, *((tag, length) for tag in opening)]


def _without_tags(text: str) -> tuple[str, Tags]:
    """Return the text without tags, and the tags."""
    parts, tags, end, length = [], [], 0, 0
    for match in TAG.finditer(text):
        parts.append(text[end : match.start()])
        length += match.start() - end
        tags.append((match[0].rstrip(" "), length))
        end = match.end()
    return "".join([*parts, text[end:]]), tags


def _with_tags(plain: str, tags: Tags) -> str:
    parts, end = [], 0
    for tag, at in tags:
        parts += [plain[end:at], tag, " "]
        end = at
    text = "".join([*parts, plain[end:]])
    return text[:-1] if tags and end == len(plain) else text


def _pairs(tags: Tags) -> list[Span]:
    """Return what is between the tags of a pair, outer ones first."""
    waiting: dict[str, list[int]] = {}
    spans: dict[int, Span] = {}
    for number, (tag, end) in enumerate(tags):
        _, closing, label, _ = re.split(r"\{\{(/?)(.+)\}\}", tag)
        if not closing:
            waiting.setdefault(label, []).append(number)
        elif waiting.get(label):
            first = waiting[label].pop()
            if tags[first][1] < end:
                spans[first] = (tags[first][1], end, label)
    outer_first = sorted(spans, key=lambda first: (spans[first][0], -spans[first][1], first))
    return [spans[first] for first in outer_first]
