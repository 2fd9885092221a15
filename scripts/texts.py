"""Read texts to predict from files and folders, and name every line that is wrong."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from scripts.pdf import read_pdf
from scripts.row_files import Placed, Row, read_objects, read_table, text_lines
from scripts.tasks import OWN
from scripts.units import Unit, cut, dehyphenated

CUT = (".txt", ".pdf")  # into units; the others have rows
KINDS = (".txt", ".csv", ".tsv", ".jsonl", ".pdf")  # but for the last, each also with .gz


def read_texts(
    source: Path,
    *,
    column: str = "text",
    longest: int = 0,
    unit: Unit | None = None,
    dehyphen: bool = False,
    own: Collection[str] = OWN["textcat"],
) -> Iterator[Row]:
    """Yield the rows of a file, or of all files of a folder, in constant memory.

    source: .txt; .csv and .tsv with a header, or a .tsv in the GoEmotions format; .jsonl. All also
        with .gz. And .pdf. A folder is searched to its depths.
    column: Of the text; the row keeps it, and its other columns, and gets "text".
    longest (characters): Of a text, 0 for any; spaCy refuses longer ones without saying where.
    unit: What is a text in .txt and .pdf; None takes the line of the one, the page of the other.
    dehyphen: Mend words and lines that line ends broke, see scripts.units.
    own: Keys that no row may have, for predicting adds them.
    RETURNS: Rows with "text", those of a folder with "file" too, those of a PDF with "page".
    RAISES ValueError: No such file, or a row that cannot be read; names file and line.
    """
    settings = {"column": column, "longest": longest, "dehyphen": dehyphen, "own": own}
    if source.is_dir():
        yield from _read_folder(source, unit, settings)
        return
    for where, row in _placed(source, column, unit, dehyphen):
        if any("\ud800" <= letter <= "\udfff" for letter in row["text"]):
            raise ValueError(f"{where}: half a surrogate pair. Expected text.")
        taken = sorted(set(own) & set(row))
        if taken:
            raise ValueError(f"{where}: {taken[0]!r} is taken. Expected rows without.")
        if longest and len(row["text"]) > longest:
            found = f"{len(row['text'])} characters"
            raise ValueError(f"{where}: {found}. Expected at most {longest}.")
        yield row


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that hold texts, by name.

    RAISES ValueError: There are none.
    """
    found = sorted(p for p in folder.rglob("*") if p.is_file() and kind_of(p) in KINDS)
    if not found:
        raise ValueError(f"{folder}: no file in {', '.join(KINDS)}. Expected at least one.")
    return found


def kind_of(path: Path) -> str:
    """Return the ending of a file's name, without .gz unless it is a PDF's."""
    name = path.name.lower()
    plain = Path(name.removesuffix(".gz")).suffix
    return ".pdf.gz" if plain == ".pdf" and name.endswith(".gz") else plain


def _read_folder(folder: Path, unit: Unit | None, settings: dict[str, Any]) -> Iterator[Row]:
    files = files_of(folder)
    if unit and not any(kind_of(path) in CUT for path in files):
        raise ValueError(f"{folder}: unit {unit}, and no {' or '.join(CUT)}. Expected no unit.")
    if settings["column"] != "text" and all(kind_of(path) in CUT for path in files):
        found = f"{folder}: column {settings['column']!r}, and no columns"
        raise ValueError(f"{found}. Expected a table or JSONL.")
    for path in files:
        # What is for the other kind of files does not matter in a folder that has both.
        own = {"unit": unit, "column": "text"} if kind_of(path) in CUT else {}
        for row in read_texts(path, **settings | own):
            if "file" in row:
                raise ValueError(f"{path}: a column 'file'. Expected none in a folder.")
            yield {"file": path.relative_to(folder).as_posix(), **row}


def _placed(source: Path, column: str, unit: Unit | None, dehyphen: bool) -> Placed:
    """Yield the rows of a file, each with file and line or page."""
    kind = kind_of(source)
    if not source.exists() or kind not in KINDS:
        *packed, last = KINDS
        known = f"{', '.join(packed)}, plain or .gz, or in {last}"
        raise ValueError(f"{source}: Expected a file in {known}.")
    if column != "text" and kind in CUT:
        raise ValueError(f"{source}: column {column!r}, and no columns. Expected a table or JSONL.")
    if unit and kind not in CUT:
        raise ValueError(f"{source}: unit {unit}, and each row is a text. Expected no unit.")
    if kind == ".txt":
        found = _lines(source, unit or "line", dehyphen)
    elif kind == ".pdf":
        found = read_pdf(source, unit or "page", dehyphen=dehyphen)
    else:
        found = (read_objects if kind == ".jsonl" else read_table)(source, column)
        if dehyphen:
            found = ((at, {**row, "text": dehyphenated(row["text"])}) for at, row in found)
    for at, row in found:
        yield f"{source}, {at}", row


def _lines(source: Path, unit: Unit, dehyphen: bool) -> Placed:
    if unit == "page":
        raise ValueError(f"{source}: unit page, and no pages. Expected line, paragraph or file.")
    lines = ((f"line {number}", line.rstrip("\r\n")) for number, line in text_lines(source))
    for at, text in cut(lines, unit, dehyphen=dehyphen):
        yield at, {"text": text}
