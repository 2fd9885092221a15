"""Texts with parts that are marked: as elements, as tags of tokens, and as HTML."""

import html
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

Span = tuple[int, int, str]  # first character, character after the last, label
STYLE = (
    "background:#2a7fc133;color:inherit;border-bottom:2px solid #2a7fc1;"
    "border-radius:3px;padding:0 .15em"
)


def tagged_text(text: str, spans: Iterable[Span]) -> str:
    """Return a text with each span in an element, `<label>part</label>`; the rest is as it was.

    spans: One in another is an element in the other. Of two that cross, the one that begins later
        gets none, for elements cannot cross.
    """
    return _written(text, nested(spans), "<{0}>", "</{0}>", str)


def marked_html(text: str, spans: Iterable[Span]) -> str:
    """Return HTML: a text with each span in a `<mark>`, and its label after it.

    spans: As for tagged_text.
    """
    end = ' <small style="opacity:.75">{0}</small></mark>'
    return _written(text, nested(spans), f'<mark style="{STYLE}">', end, html.escape)


def nested(spans: Iterable[Span]) -> list[Span]:
    """Return the spans that do not cross one that begins before them; outer ones come first."""
    kept: list[Span] = []
    ends: list[int] = []  # of those that are open, the next one last
    for start, end, label in sorted(spans, key=lambda span: (span[0], -span[1])):
        while ends and ends[-1] <= start:
            ends.pop()
        if not ends or end <= ends[-1]:
            ends.append(end)
            kept.append((start, end, label))
    return kept


def spans_of_tags(text: str, tokens: Sequence[str], tags: Sequence[str]) -> list[Span]:
    """Return a span for all neighbouring words with the same tag; white space stands between words.

    tokens: They are in the text in this order.
    tags: "" is none.
    """
    words, at = [], 0
    for token, tag in zip(tokens, tags, strict=True):
        start = text.index(token, at)
        at = start + len(token)
        if not token.isspace():
            words.append((start, at, tag))
    groups = (list(group) for _, group in groupby(words, key=lambda word: word[2]))
    return [(group[0][0], group[-1][1], group[0][2]) for group in groups if group[0][2]]


def spans_of_row(row: dict[str, Any]) -> list[Span]:
    """Return what is marked in the text of a predicted row: its entities, or its tagged words."""
    if "entities" in row:
        return [(found["start"], found["end"], found["label"]) for found in row["entities"]]
    return spans_of_tags(row["text"], row["tokens"], row["tags"])


def row_html(row: dict[str, Any]) -> str:
    """Return HTML: the text of a predicted row, its parts marked, and the text written for it."""
    is_marked = "tokens" in row
    text = marked_html(row["text"], spans_of_row(row)) if is_marked else html.escape(row["text"])
    parts = [text]
    if "target" in row:
        parts.append(f"→ {html.escape(row['target'])}")
    if row.get("emotions"):
        parts.append(html.escape(", ".join(row["emotions"])))
    return "".join(f'<p style="white-space:pre-wrap">{part}</p>' for part in parts)


def _written(text: str, spans: list[Span], begin: str, end: str, escape: Any) -> str:
    return "".join(_pieces(text, spans, begin, end, escape))


def _pieces(text: str, spans: list[Span], begin: str, end: str, escape: Any) -> Iterator[str]:
    """Yield the text between the places where spans begin and end, and what stands there."""
    at, open_spans = 0, []
    for start, stop, label in [*spans, (len(text), len(text), "")]:
        while open_spans and open_spans[-1][0] <= start:
            place, name = open_spans.pop()
            yield escape(text[at:place]) + end.format(escape(name))
            at = place
        yield escape(text[at:start])
        at = start
        if stop > start:
            yield begin.format(escape(label))
            open_spans.append((stop, label))
