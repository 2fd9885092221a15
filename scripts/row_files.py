"""Read files in which each row has a text and what belongs to it: tables and JSONL."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.init_vectors import read_lines

Row = dict[str, Any]
Placed = Iterator[tuple[str, Row]]  # each with its line
LONGEST = 4_000_000  # characters of a field of a CSV
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def text_lines(source: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of every line; the first without a byte order mark."""
    for number, line in read_lines(source):
        yield number, line.removeprefix("\ufeff") if number == 1 else line


def read_objects(source: Path, column: str) -> Placed:
    """Yield the rows of JSONL; empty lines are none.

    RAISES ValueError: A line that is no object with a text.
    """
    for number, line in text_lines(source):
        where = f"{source}, line {number}"
        if not line.strip():
            continue  # as other readers of JSONL do
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: {error}. Expected JSON.") from error
        if not isinstance(row, dict) or not isinstance(row.get(column), str):
            found = line.strip()[:60]
            raise ValueError(f"{where}: {found}. Expected an object with {column!r}.")
        yield f"line {number}", _with_text(row, column, where)


def read_table(source: Path, column: str) -> Placed:
    """Yield the rows of a .csv or .tsv with a header, or of a .tsv in the GoEmotions format.

    RAISES ValueError: A bad header or row.
    """
    numbers = [0]

    def lines() -> Iterator[str]:
        for number, line in text_lines(source):
            numbers[0] = number
            yield line

    csv.field_size_limit(LONGEST)
    kind = Path(source.name.lower().removesuffix(".gz")).suffix
    quoting = csv.QUOTE_NONE if kind == ".tsv" else csv.QUOTE_MINIMAL
    reader = csv.reader(lines(), delimiter=DELIMITERS[kind], strict=True, quoting=quoting)
    try:
        header = next(reader, [])
        if kind == ".tsv" and column not in header and _is_goemotions(header):
            names = ["text", "labels", "id"]
            yield "line 1", dict(zip(names, header, strict=True))
            header, column = names, "text"
        elif header.count(column) != 1 or len(set(header)) != len(header):
            found = f"columns {', '.join(header)[:80] or 'none'}"
            raise ValueError(f"{source}, line 1: {found}. Expected {column!r} and others, once.")
        for cells in filter(None, reader):  # an empty line is no row
            where = f"{source}, line {numbers[0]}"
            if len(cells) != len(header):
                raise ValueError(f"{where}: {len(cells)} columns. Expected {len(header)}.")
            row = dict(zip(header, cells, strict=True))
            yield f"line {numbers[0]}", _with_text(row, column, where)
    except csv.Error as error:
        raise ValueError(f"{source}, line {numbers[0]}: {error}. Expected a table.") from error


def _is_goemotions(cells: list[str]) -> bool:
    """Return whether a row is text, label ids, id, which needs no header."""
    return len(cells) == 3 and cells[1] != "" and not cells[1].strip("0123456789,")


def _with_text(row: Row, column: str, where: str) -> Row:
    if column != "text" and "text" in row:
        raise ValueError(f"{where}: columns {column!r} and 'text'. Expected one of them.")
    return row if column == "text" else {**row, "text": row[column]}
