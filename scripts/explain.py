"""Show which words a decision rests on: leave each out and see what becomes of the scores."""

import html
import os
import sys
from collections.abc import Iterator
from typing import Any

from spacy.language import Language
from wasabi import color
from wasabi.util import supports_ansi

MOST = 300  # times that a text is predicted; of longer texts, several words are left out at once
STRONG = 0.05  # change of a score that the terminal marks
Part = tuple[str, float]


def explain(nlp: Language, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Compute what each word adds to the decided labels, or to the nearest if none was decided.

    row: Has text, and emotions if any were decided.
    RETURNS: For each label: label, score, and parts of the text as [text, effect], the score minus
        what it is without this part (-1 to 1; positive speaks for the label). The parts together
        are the text.
    SOURCE: Li, Monroe and Jurafsky 2016, Understanding Neural Networks through Representation
        Erasure, arXiv 1612.08220.
    """
    parts = _parts(nlp, row["text"])
    whole = _scores(nlp, [row["text"]])[0]
    texts = [_without(parts, number) for number in range(len(parts))]
    words = [number for number, part in enumerate(parts) if part.strip()]
    left = dict(zip(words, _scores(nlp, [texts[n] for n in words]), strict=True))
    labels = row.get("emotions") or [max(whole, key=whole.get)]
    return [
        {
            "label": label,
            "score": whole[label],
            "parts": [
                [part, round(whole[label] - left[n][label], 5) if n in left else 0.0]
                for n, part in enumerate(parts)
            ],
        }
        for label in labels
    ]


def _parts(nlp: Language, text: str) -> list[str]:
    """Return words with the white space after them, several at a time if there are too many."""
    with nlp.memory_zone():
        words = [token.text_with_ws for token in nlp.make_doc(text)]
    size = -(-len(words) // MOST) or 1
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def _without(parts: list[str], number: int) -> str:
    return "".join(parts[:number] + parts[number + 1 :])


def _scores(nlp: Language, texts: list[str]) -> list[dict[str, float]]:
    with nlp.memory_zone():
        return [dict(doc.cats) for doc in nlp.pipe(texts)]


def has_colour() -> bool:
    """Return whether standard output is a terminal that shows colours, and may."""
    return sys.stdout.isatty() and supports_ansi() and not os.environ.get("NO_COLOR")


def as_text(found: dict[str, Any], *, coloured: bool) -> str:
    """Return the text of one label for a terminal: what speaks for it blue, against it orange.

    coloured: If not, [+for+] and [-against-] stand in the text.
    """
    said = "".join(_marked_word(part, effect, coloured) for part, effect in found["parts"])
    return f"{found['label']} {found['score']:.2f}: {said.strip()}"


def _marked_word(part: str, effect: float, coloured: bool) -> str:
    if abs(effect) < STRONG:
        return part
    word = part.rstrip()
    space, sign = part[len(word) :], "+" if effect > 0 else "-"
    if not coloured:
        return f"[{sign}{word}{sign}]{space}"
    return color(word, fg=15, bg=25 if effect > 0 else 166) + space


def as_html(found: dict[str, Any]) -> str:
    """Return the text of one label as a paragraph; a title on each word says its effect."""
    return (
        f"<p><strong>{html.escape(found['label'])}</strong> {found['score']:.2f}: "
        f"{''.join(_marked(found['parts']))}</p>"
    )


def _marked(parts: list[Part]) -> Iterator[str]:
    """Yield HTML: blue speaks for the label, orange against it, and is underlined too."""
    for part, effect in parts:
        text = html.escape(part)
        if abs(effect) < STRONG / 5:
            yield text
            continue
        red, green, blue = (60, 130, 230) if effect > 0 else (240, 130, 30)
        line = "underline" if effect < 0 else "none"
        strength = min(0.65, 0.15 + 1.5 * abs(effect))  # more, and the word is hard to read
        yield (
            f'<span title="{effect:+.3f}" style="background:rgba({red},{green},{blue},'
            f'{strength:.2f});text-decoration:{line}">{text}</span>'
        )
