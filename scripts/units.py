"""Cut lines into the texts to predict, and mend words and lines that a line end broke."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

Unit = Literal["line", "paragraph", "page", "file"]
Line = tuple[str, str]  # where it is, and what it says

HYPHENS = "-\u2010\u00ad"  # the last one is soft: it only ever stands where a word may break
ENDS = re.compile(rf"\w[{HYPHENS}][ \t\r]*$")
BROKEN_WORD = re.compile(rf"(\w)([{HYPHENS}])[ \t\r]*\n[ \t]*(?=(\w))")
BROKEN_LINE = re.compile(r"(?<=\S)[ \t\r]*\n[ \t]*(?=\S)")


def cut(lines: Iterable[Line], unit: Unit, *, dehyphen: bool = False) -> Iterator[Line]:
    """Yield texts, each with the place of its first line.

    lines: Without their ends.
    unit: A line, empty ones too; a paragraph, between empty lines; or all lines, if there are any.
        A page is all lines of it.
    dehyphen: Mend broken words; in what has several lines, the lines too.
    """
    if unit not in get_args(Unit):
        raise ValueError(f"unit {unit!r}. Expected one of {', '.join(get_args(Unit))}.")
    if unit == "line":
        yield from _mended(lines) if dehyphen else lines
        return
    for where, text in _gathered(lines, apart=unit == "paragraph"):
        yield where, dehyphenated(text) if dehyphen else text


def dehyphenated(text: str) -> str:
    """Return a text whose lines go on where the paragraph does, with words that were cut mended.

    Between two small letters the hyphen goes: exam-/ple is example, but so is co-/operate
    cooperate, and well-/known wellknown. Beside capitals and digits it stays: X-/ray is X-ray.
    """
    return BROKEN_LINE.sub(" ", _with_whole_words(text))


def _with_whole_words(text: str) -> str:
    def mend(found: re.Match[str]) -> str:
        before, hyphen, after = found.groups()
        is_cut = all(x.isalpha() and not x.isupper() for x in (before, after))
        return before if is_cut or hyphen == "\u00ad" else before + hyphen

    return BROKEN_WORD.sub(mend, text)


def _mended(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield lines; one that ends within a word has the line after it, too."""
    begun: Line | None = None
    for where, line in lines:
        if begun is not None:
            joined = _with_whole_words(f"{begun[1]}\n{line}")
            if "\n" in joined:
                yield begun
            else:
                where, line = begun[0], joined
        begun = (where, line) if ENDS.search(line) else None
        if begun is None:  # at once: the next line may be long in coming
            yield where, line
    if begun is not None:
        yield begun


def _gathered(lines: Iterable[Line], *, apart: bool) -> Iterator[Line]:
    """Yield all lines as one text, or those between empty ones."""
    first, kept = "", []
    for where, line in lines:
        if apart and not line.strip():
            if kept:
                yield first, "\n".join(kept)
            kept = []
            continue
        first = first if kept else where
        kept.append(line)
    if kept:
        yield first, "\n".join(kept)
