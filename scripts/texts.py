"""Read texts to predict from files and folders, and name every line that is wrong."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.init_vectors import read_lines
from scripts.predictor import OWN

Row = dict[str, Any]
KINDS = (".txt", ".csv", ".tsv", ".jsonl")  # each also with .gz
LONGEST = 4_000_000  # characters of a field of a CSV
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_texts(source: Path, *, column: str = "text", longest: int = 0) -> Iterator[Row]:
    """Yield the rows of a file, or of all files of a folder, in constant memory.

    source: .txt, a text per line; .csv and .tsv with a header, or a .tsv in the GoEmotions format;
        .jsonl. All also with .gz. A folder is searched to its depths.
    column: Of the text; the row keeps it, and its other columns, and gets "text".
    longest (characters): Of a text, 0 for any; spaCy refuses longer ones without saying where.
    RETURNS: Rows with "text", those of a folder with "file" too.
    RAISES ValueError: No such file, or a row that cannot be read; names file and line.
    """
    if source.is_dir():
        for path in files_of(source):
            for row in read_texts(path, column=column, longest=longest):
                if "file" in row:
                    raise ValueError(f"{path}: a column 'file'. Expected none in a folder.")
                yield {"file": path.relative_to(source).as_posix(), **row}
        return
    kind = kind_of(source)
    if not source.exists() or kind not in KINDS:
        raise ValueError(f"{source}: Expected a file in {', '.join(KINDS)}, plain or .gz.")
    read = {".txt": _lines, ".jsonl": _objects}.get(kind, _table)
    for line, row in read(source, column):
        where, length = f"{source}, line {line}", len(row["text"])
        if any("\ud800" <= letter <= "\udfff" for letter in row["text"]):
            raise ValueError(f"{where}: half a surrogate pair. Expected text.")
        taken = sorted(set(OWN) & set(row))
        if taken:
            raise ValueError(f"{where}: {taken[0]!r} is taken. Expected rows without.")
        if longest and length > longest:
            raise ValueError(f"{where}: {length} characters. Expected at most {longest}.")
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
    """Return the ending of a file's name, without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _text_lines(source: Path) -> Iterator[tuple[int, str]]:
    for number, line in read_lines(source):
        yield number, line.removeprefix("\ufeff") if number == 1 else line


def _lines(source: Path, column: str) -> Iterator[tuple[int, Row]]:
    for number, line in _text_lines(source):
        yield number, {"text": line.rstrip("\r\n")}


def _objects(source: Path, column: str) -> Iterator[tuple[int, Row]]:
    for number, line in _text_lines(source):
        where = f"{source}, line {number}"
        if not line.strip():
            continue  # as other readers of JSONL do
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: {error}. Expected JSON.") from error
        if not isinstance(row, dict) or not isinstance(row.get(column), str):
            found = line.strip()[:60]
            raise ValueError(
                f"{source}, line {number}: {found}. Expected an object with {column!r}."
            )
        yield number, _with_text(row, column, f"{source}, line {number}")


def _table(source: Path, column: str) -> Iterator[tuple[int, Row]]:
    numbers = [0]

    def lines() -> Iterator[str]:
        for number, line in _text_lines(source):
            numbers[0] = number
            yield line

    csv.field_size_limit(LONGEST)
    kind = kind_of(source)
    quoting = csv.QUOTE_NONE if kind == ".tsv" else csv.QUOTE_MINIMAL
    reader = csv.reader(lines(), delimiter=DELIMITERS[kind], strict=True, quoting=quoting)
    try:
        header = next(reader, [])
        if kind == ".tsv" and column not in header and _is_goemotions(header):
            names = ["text", "labels", "id"]
            yield 1, dict(zip(names, header, strict=True))
            header, column = names, "text"
        elif header.count(column) != 1 or len(set(header)) != len(header):
            found = f"columns {', '.join(header)[:80] or 'none'}"
            raise ValueError(f"{source}, line 1: {found}. Expected {column!r} and others, once.")
        for cells in filter(None, reader):  # an empty line is no row
            where = f"{source}, line {numbers[0]}"
            if len(cells) != len(header):
                raise ValueError(f"{where}: {len(cells)} columns. Expected {len(header)}.")
            row = dict(zip(header, cells, strict=True))
            yield numbers[0], _with_text(row, column, where)
    except csv.Error as error:
        raise ValueError(f"{source}, line {numbers[0]}: {error}. Expected a table.") from error


def _is_goemotions(cells: list[str]) -> bool:
    """Return whether a row is text, label ids, id, which needs no header."""
    return len(cells) == 3 and cells[1] != "" and not cells[1].strip("0123456789,")


def _with_text(row: Row, column: str, where: str) -> Row:
    if column != "text" and "text" in row:
        raise ValueError(f"{where}: columns {column!r} and 'text'. Expected one of them.")
    return row if column == "text" else {**row, "text": row[column]}
