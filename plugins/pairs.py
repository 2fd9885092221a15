"""Pairs of texts, source and target, from CSV."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Literal

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import logger, registry

DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
SPLIT_COLUMN = "split"
# What a split may be called in the file.
SPLITS = {"train": "train", "test": "test"} | dict.fromkeys(
    ("dev", "devel", "valid", "validation"), "dev"
)
Split = Literal["train", "dev", "test"]
Report = Callable[[str, str], None]


@dataclass(frozen=True)
class Pair:
    """A source and its target; line is where its row begins in the file."""

    source: str
    target: str
    split: str
    line: int


@dataclass(frozen=True)
class Shares:
    """How much of a file without splits is dev and test; seed and source decide which rows."""

    dev: float = 0.2
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.dev, self.test) < 0 or self.dev + self.test >= 1:
            raise ValueError(
                f"dev share {self.dev}, test share {self.test}. Expected 0 or more, less than 1 "
                "in all."
            )

    def split_of(self, source: str) -> str:
        """Return the split that equal sources always are in."""
        place = int.from_bytes(_digest(f"{self.seed} {source}")) / 2**64
        if place < self.dev:
            return "dev"
        return "test" if place < self.dev + self.test else "train"


@registry.readers("goemotions.PairsCsv.v1")
def create_pairs_reader(
    path: Path,
    source_column: str = "orig_text",
    target_column: str = "annotated_text",
    split: Split | None = None,
    split_column: str | None = SPLIT_COLUMN,
    dev_share: float = 0.2,
    test_share: float = 0.0,
    seed: int = 0,
    max_chars: int = 1000,
    dedupe: bool = True,
    limit: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of pairs; the arguments not named here are those of read_pairs.

    What is left out is told to spaCy's logger, at the level of --verbose.

    dev_share, test_share, seed: Decide the split of a file that has no split column.
    limit (pairs): Read so many; 0 reads all.
    RETURNS: A function of nlp that yields an Example per pair: both docs have the source as their
        text, and the reference has the target in doc._.seq2seq.
    RAISES ValueError: A number is out of range, or a file as in read_pairs.
    """
    if limit < 0 or max_chars < 0:
        raise ValueError(f"limit {limit}, max_chars {max_chars}. Expected 0 or more.")
    shares = Shares(dev_share, test_share, seed)

    def read(nlp: Language) -> Iterator[Example]:
        pairs = read_pairs(
            Path(path),
            source_column=source_column,
            target_column=target_column,
            split=split,
            split_column=split_column,
            shares=shares,
            max_chars=max_chars,
            dedupe=dedupe,
            report=partial(logger.debug, "%s: %s"),
        )
        for pair in islice(pairs, limit or None):
            yield Example(nlp.make_doc(pair.source), make_reference(nlp, pair))

    return read


def make_reference(nlp: Language, pair: Pair) -> Doc:
    """Return a doc of the source with the target in doc._.seq2seq."""
    if not Doc.has_extension("seq2seq"):
        Doc.set_extension("seq2seq", default=None)
    doc = nlp.make_doc(pair.source)
    doc._.seq2seq = pair.target
    return doc


def read_pairs(
    path: Path,
    *,
    source_column: str = "orig_text",
    target_column: str = "annotated_text",
    split: Split | None = None,
    split_column: str | None = SPLIT_COLUMN,
    shares: Shares | None = None,
    min_chars: int = 0,
    max_chars: int = 0,
    dedupe: bool = True,
    report: Report = lambda kind, sentence: None,
) -> Iterator[Pair]:
    """Yield the pairs of a CSV with a header, in its order, in little memory.

    A quoted cell may have delimiters, line ends and, doubled, quotes in it (RFC 4180).

    path: .csv or, with tabs, .tsv; also with .gz. UTF-8.
    source_column, target_column: Which column is what decides the direction.
    split: Read these pairs alone; None reads all.
    split_column: Says train, dev (also devel, valid or validation) or test. A file without a column
        "split" is split at random, and so is any if this is None.
    shares: How, at random; so much as Shares says when None.
    min_chars, max_chars: Pairs of which a side is shorter or longer are left out, and reported; 0
        keeps them.
    dedupe: Leave out pairs that are in their split already, and report them.
    report: Takes a kind and a sentence, with file and line: short, long, repeated, or shared, for
        a pair that another split has too.
    RAISES ValueError: No pair is left, or a row or the file is malformed; names file and line.
    """
    rows = _rows(path)
    _, header = next(rows, (1, []))
    columns = _columns(path, header, source_column, target_column, split_column)
    shares, seen, found = shares or Shares(), {}, False
    for line, cells in rows:
        pair = _pair(f"{path}, line {line}", line, cells, columns, shares)
        key = _digest(f"{len(pair.source)} {pair.source}{pair.target}")
        told = _told(pair, seen.setdefault(key, []), min_chars, max_chars, dedupe)
        if split not in (None, pair.split):
            continue
        for kind, sentence in told.items():
            report(kind, f"{path}, line {line}: {sentence}")
        if told.keys() <= {"shared"}:
            found = True
            yield pair
    if not found:
        raise ValueError(f"{path}: no pairs{f' for {split}' if split else ''}. Expected at least "
                         "one that is not left out.")  # fmt: skip


def columns_of(path: Path) -> list[str]:
    """Return the names of the columns.

    RAISES ValueError: The file is empty, or its first row is malformed.
    """
    return next(_rows(path), (1, []))[1]


def _columns(
    path: Path, header: list[str], source: str, target: str, split: str | None
) -> dict[str, int]:
    """Return the numbers of the columns source, target and, if there is one, split."""
    if again := [name for name in header if header.count(name) > 1]:
        raise ValueError(f"{path}, line 1: {again[0]!r} twice in {header}. Expected names once.")
    wanted = {"source": source, "target": target}
    if split in header or split not in (None, SPLIT_COLUMN):
        wanted["split"] = split
    if len(set(wanted.values())) < len(wanted):
        raise ValueError(f"{path}: columns {wanted}. Expected another for each.")
    if lacking := [name for name in wanted.values() if name not in header]:
        raise ValueError(f"{path}, line 1: no column {lacking[0]!r} in {header}. Expected one.")
    return {"count": len(header)} | {kind: header.index(name) for kind, name in wanted.items()}


def _pair(where: str, line: int, cells: list[str], columns: dict[str, int], shares: Shares) -> Pair:
    if len(cells) != columns["count"]:
        raise ValueError(f"{where}: {len(cells)} columns. Expected {columns['count']}.")
    for kind in ("source", "target"):
        if not cells[columns[kind]].strip():
            raise ValueError(f"{where}: an empty {kind}. Expected a text.")
    source, target = cells[columns["source"]], cells[columns["target"]]
    if "split" not in columns:
        return Pair(source, target, shares.split_of(source), line)
    said = cells[columns["split"]]
    if said not in SPLITS:
        raise ValueError(f"{where}: split {said[:60]!r}. Expected one of {', '.join(SPLITS)}.")
    return Pair(source, target, SPLITS[said], line)


def _told(
    pair: Pair, splits: list[str], min_chars: int, max_chars: int, dedupe: bool
) -> dict[str, str]:
    """Return kinds and sentences of what is to be said about a pair.

    splits: That have it already; gets its own.
    """
    sizes = sorted((len(pair.source), len(pair.target)))
    if sizes[0] < min_chars:
        return {"short": f"{sizes[0]} characters, less than {min_chars}, left out"}
    if 0 < max_chars < sizes[1]:
        return {"long": f"{sizes[1]} characters, more than {max_chars}, left out"}
    if pair.split in splits:
        return {"repeated": "a pair again, left out"} if dedupe else {}
    shared = {"shared": f"a pair of {splits[0]} in {pair.split} too"} if splits else {}
    splits.append(pair.split)
    return shared


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each row begins, from 1, and its cells; blank lines are no rows."""
    ending = next((end for end in DELIMITERS if path.name.endswith(end)), None)
    if ending is None:
        raise ValueError(f"{path}: an unknown ending. Expected {', '.join(DELIMITERS)}.")
    reader = csv.reader(_lines(path), delimiter=DELIMITERS[ending], strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{path}, line {line}: {_cause(str(error))}.") from error
        if cells is None:
            break
        if cells:
            yield line, cells
    if line == 1:
        raise ValueError(f"{path}: empty. Expected a line with the names of the columns.")


def _cause(said: str) -> str:
    """Return what is wrong and what was expected, for a message of csv."""
    if "unexpected end" in said:
        return "a quote that is never closed. Expected one at the end of the cell"
    if "field larger" in said:
        found = f"a quote that is never closed, or more than {csv.field_size_limit()} characters"
        return f"{found} in a cell. Expected less"
    if "new-line" in said:
        return "a carriage return in a cell. Expected quotes around it, or lines that end with \\n"
    return f"{said}. Expected cells with quotes around the whole, and quotes within doubled"


def _lines(path: Path) -> Iterator[str]:
    number = 0
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Expected a CSV.")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if b"\0" in raw:
                    raise ValueError(f"{path}, line {number}: a NUL byte. Expected UTF-8.")
                yield raw.decode("utf-8-sig" if number == 1 else "utf8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
        raise ValueError(f"{path}, line {number}: {found}. Expected UTF-8.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}, line {number + 1}: {error}. Expected a whole gzip.") from error


def _digest(text: str) -> bytes:
    """Return the eight bytes that stand for a text."""
    return blake2b(text.encode("utf8"), digest_size=8).digest()
