"""Read the text of PDFs, and say in a sentence why one has none."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from spacy.util import logger

from scripts.units import Unit, cut


def read_pdf(
    source: Path, unit: Unit = "page", *, dehyphen: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and row of each text of a PDF that is not empty; blank pages have none.

    unit: Lines do not go on over the end of a page; a file does. Paragraphs are not known.
    RETURNS: Rows with page (from 1) and text, that of a file with text alone.
    RAISES ValueError: It is empty, damaged, locked or scanned; names file and page. Or it is to be
        cut into paragraphs. Of pages some of which are mere pictures, a warning names those.
    """
    if unit == "paragraph":
        found = f"{source}: unit paragraph, and a PDF has none, only lines"
        raise ValueError(f"{found}. Expected line, page or file.")
    if unit == "file":
        lines = [line for _, text in _pages(source) for line in _lines(text, "")]
        yield from (("file", {"text": text}) for _, text in cut(lines, "file", dehyphen=dehyphen))
        return
    for number, text in _pages(source):
        place = f"page {number}"
        for _, part in cut(_lines(text, place), unit, dehyphen=dehyphen):
            if part.strip():
                yield place, {"page": number, "text": part}


def _lines(text: str, place: str) -> Iterator[tuple[str, str]]:
    return ((place, line) for line in text.split("\n"))


def _pages(source: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each page that has text."""
    if not source.stat().st_size:
        raise ValueError(f"{source}: 0 bytes. Expected a PDF.")
    with source.open("rb") as file:
        with _damage_named(source):
            reader = PdfReader(file)
            is_locked = reader.is_encrypted and not reader.decrypt("")
            count = 0 if is_locked else len(reader.pages)
        if is_locked:
            raise ValueError(f"{source}: locked with a password. Expected one without.")
        texts, pictures = 0, []
        for number in range(1, count + 1):
            text, is_picture = _read(source, reader, number)
            texts += bool(text)
            if is_picture:
                pictures.append(str(number))
            if text:
                yield number, text
    scans = f"{source}: page {', '.join(pictures)} a picture and no text; a scan needs OCR first"
    if not texts:
        found = scans if pictures else f"{source}: no text on any of {count} pages"
        raise ValueError(f"{found}. Expected text.")
    if pictures:
        logger.warning("%s. Passed over.", scans)


def _read(source: Path, reader: PdfReader, number: int) -> tuple[str, bool]:
    """Return the text of a page without white space around it, and whether it is a mere picture."""
    with _damage_named(f"{source}, page {number}"):
        page = reader.pages[number - 1]
        text = page.extract_text().strip()
        is_picture = not text and len(page.images) > 0
    # A font can map to half of a pair that stands for one letter.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), is_picture


@contextmanager
def _damage_named(where: Path | str) -> Iterator[None]:
    """Raise ValueError for whatever is wrong; what can be mended is not worth a word."""
    log, heard = logging.getLogger("pypdf"), _Heard()
    before = log.level, log.propagate
    log.addHandler(heard)
    log.setLevel(logging.WARNING)
    log.propagate = False
    try:
        yield
        # It goes on with what it could unpack of a page, which may be nothing.
        problem = next((said for said in heard.said if "decompressing" in said), "")
    except Exception as error:  # whatever a damaged file makes of the library
        problem = " ".join(str(error).split()) or type(error).__name__
    finally:
        log.removeHandler(heard)
        log.setLevel(before[0])
        log.propagate = before[1]
    if problem:
        raise ValueError(f"{where}: cannot be read ({problem[:200]}). Expected a whole PDF.")


class _Heard(logging.Handler):
    """Notes what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
