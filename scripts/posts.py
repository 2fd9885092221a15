"""Read labelled posts from GoEmotions TSV, CSV or JSONL, and name every line that is wrong."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scripts.digests import Digests, digest, find_repeated

Format = Literal["auto", "goemotions", "csv", "jsonl"]
SUFFIXES: dict[str, Format] = {".tsv": "goemotions", ".csv": "csv", ".jsonl": "jsonl"}
LABEL_FILES = ("emotions.txt", "labels.txt")
MAX_LENGTH = 1_000_000  # characters; spaCy refuses longer texts without naming the row


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are laid out.

    format: goemotions is `text<TAB>label ids<TAB>id` without header or quoting; csv has a header
        row; jsonl has an object per line. auto goes by the file's ending.
    delimiter: Between the fields of a csv.
    separator: Between several labels of a post.
    """

    format: Format = "auto"
    text: str = "text"
    labels: str = "labels"
    delimiter: str = ","
    separator: str = ","


@dataclass
class Problems:
    """What is wrong with a file: the first lines in words, all of them as a count.

    fatal: Leaving rows out would not help: rows after the bad one are lost, or it is not known
        which row is the bad one.
    """

    file: Path
    cap: int = 20
    count: int = 0
    fatal: bool = False
    said: list[str] = field(default_factory=list)

    def add(self, line: int, found: str, expected: str, *, fatal: bool = False) -> None:
        """Note one problem."""
        self.count += 1
        self.fatal |= fatal
        if len(self.said) < self.cap:
            self.said.append(f"{self.file}, line {line}: {found}. Expected {expected}.")

    def report(self) -> str:
        """Return all that was said, and how much more there is."""
        rest = self.count - len(self.said)
        return "\n".join(self.said + ([f"... and {rest} more in {self.file}"] if rest else []))


def read_labels(folder: Path) -> list[str]:
    """Read the labels of a data set, one per line, from emotions.txt or labels.txt.

    RAISES ValueError: There is no such file, or a label is empty or there twice.
    """
    found = [folder / name for name in LABEL_FILES if (folder / name).exists()]
    if not found:
        raise ValueError(f"{folder}: no labels. Expected {' or '.join(LABEL_FILES)} there.")
    try:
        labels = found[0].read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{found[0]}: not UTF-8 at byte {error.start}.") from error
    labels = [label.strip() for label in labels]
    for number, label in enumerate(labels, 1):
        if not label or label in labels[: number - 1]:
            raise ValueError(
                f"{found[0]}, line {number}: label {label!r}. Expected a label, each once."
            )
    return labels


def find_split(folder: Path, split: str) -> Path | None:
    """Return the file of a split, or None.

    RAISES ValueError: There is more than one.
    """
    found = [p for suffix in SUFFIXES if (p := folder / f"{split}{suffix}").exists()]
    if len(found) > 1:
        raise ValueError(f"{folder}: {' and '.join(p.name for p in found)}. Expected one of them.")
    return found[0] if found else None


def read_posts(
    path: Path, labels: list[str], layout: Layout, problems: Problems, ids: Digests
) -> Iterator[tuple[int, str, list[int]]]:
    """Yield line number, text and sorted label numbers of every good row, in constant memory.

    problems: Takes the bad rows; they are not yielded. Repeated ids are noted at the end.
    ids: Takes the digests of the ids and their lines; two columns.
    """
    kind = SUFFIXES[path.suffix] if layout.format == "auto" else layout.format
    rows = {"goemotions": _tsv_rows, "csv": _csv_rows, "jsonl": _json_rows}[kind]
    names = {label: number for number, label in enumerate(labels)}
    if kind == "goemotions":
        names = {str(number): number for number in range(len(labels))}
    expected = f"0 to {len(labels) - 1}" if kind == "goemotions" else "one of the labels file"
    read = False
    for line, text, said, key in rows(path, layout, problems):
        read = True
        numbers = _label_numbers(line, said, names, expected, problems)
        if not text.strip():
            problems.add(line, "empty text", "a text")
        elif len(text) > MAX_LENGTH:
            problems.add(line, f"{len(text)} characters", f"at most {MAX_LENGTH}")
        elif numbers:
            if key:
                ids.append(digest(key), line)
            yield line, text, numbers
    if not read and not problems.count:
        problems.add(1, "no rows", "at least one")
    repeated, first = find_repeated(ids, problems.cap)
    for line, earlier in first:
        problems.add(line, f"the id of line {earlier} again", "ids once each", fatal=True)
    problems.count += repeated - len(first)


def _label_numbers(
    line: int, said: list[str], names: dict[str, int], expected: str, problems: Problems
) -> list[int]:
    said = [label.strip() for label in said]
    unknown = [label for label in said if label not in names]
    if not said or said == [""]:
        problems.add(line, "no label", "at least one")
    elif unknown:
        problems.add(line, f"label {unknown[0]!r}", expected)
    elif len(set(said)) != len(said):
        problems.add(line, f"a label twice in {','.join(said)}", "each once")
    else:
        return sorted(names[label] for label in said)
    return []


def _text_lines(path: Path, problems: Problems, *, rows: bool = True) -> Iterator[tuple[int, str]]:
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf8")
            except UnicodeDecodeError as error:
                found = f"byte 0x{raw[error.start]:02x} at column {error.start + 1}"
                # A line of a quoted field is not a row: without it the row would be another.
                problems.add(number, found, "UTF-8", fatal=not rows)
                continue
            yield number, text.removesuffix("\n").removesuffix("\r")


def _tsv_rows(path: Path, layout: Layout, problems: Problems) -> Iterator[tuple]:
    for number, text in _text_lines(path, problems):
        cells = text.split("\t")
        if len(cells) != 3:
            problems.add(number, f"{len(cells)} columns", "3: text, label ids, id")
        elif number == 1 and cells[1].strip(" ,0123456789"):
            problems.add(1, f"{cells[1]!r} for label ids, a header?", "rows from the first line on")
        else:
            yield number, cells[0], cells[1].split(","), cells[2]


def _csv_rows(path: Path, layout: Layout, problems: Problems) -> Iterator[tuple]:
    numbers = [0]

    def lines() -> Iterator[str]:
        for number, text in _text_lines(path, problems, rows=False):
            numbers[0] = number
            yield text + "\n"

    csv.field_size_limit(4 * MAX_LENGTH)  # the limit of a text is MAX_LENGTH, with line and all
    reader = csv.reader(lines(), delimiter=layout.delimiter, strict=True)
    try:
        header = next(reader, [])
        missing = [name for name in (layout.text, layout.labels) if name not in header]
        if missing:
            expected = f"a column {' and '.join(map(repr, missing))}"
            problems.add(1, f"columns {header}", expected, fatal=True)
            return
        if len(set(header)) != len(header):
            problems.add(1, f"columns {header}", "each name once", fatal=True)
            return
        columns = [header.index(layout.text), header.index(layout.labels)]
        key = header.index("id") if "id" in header else None
        for cells in reader:
            if len(cells) != len(header):
                problems.add(numbers[0], f"{len(cells)} columns", f"{len(header)}")
                continue
            text, said = (cells[column] for column in columns)
            yield numbers[0], text, said.split(layout.separator), "" if key is None else cells[key]
    except csv.Error as error:
        problems.add(numbers[0], str(error), "well-formed CSV", fatal=True)


def _json_rows(path: Path, layout: Layout, problems: Problems) -> Iterator[tuple]:
    for number, line in _text_lines(path, problems):
        try:
            row: Any = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode("utf8")  # half a surrogate pair is no text
        except (ValueError, RecursionError) as error:
            problems.add(number, f"no JSON ({str(error)[:80]})", "an object")
            continue
        if not isinstance(row, dict) or not isinstance(row.get(layout.text), str):
            problems.add(number, f"no string {layout.text!r}", "an object with one")
            continue
        said = row.get(layout.labels)
        if isinstance(said, str):
            said = said.split(layout.separator)
        if not isinstance(said, list) or not all(isinstance(label, str) for label in said):
            problems.add(number, f"{layout.labels!r}: {said!r}", "a list of label names")
            continue
        yield number, row[layout.text], said, "" if row.get("id") is None else str(row["id"])
