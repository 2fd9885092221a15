"""Find what is there again among millions of texts or ids, in memory that stays small."""

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from unicodedata import category, normalize

import numpy

BLOCK = 2**16  # numbers written or read at a time
PART = 2**18  # rows compared at a time


def digest(text: str) -> int:
    """Return 64 bits that stand for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf8"), digest_size=8).digest(), "big")


def normalise(text: str) -> str:
    """Return the words of a text, small, with a blank between them; the text if it has none.

    What is left out: case, white space, punctuation, symbols, emoji; how accents are encoded.
    """
    return " ".join(normalize("NFC", text.lower()).translate(WORDS).split()) or text


class _Words(dict):
    """What becomes of a letter: letters, their marks and digits stay, all else is a blank."""

    def __missing__(self, code: int) -> int | str:
        kind = category(chr(code))
        marks = kind in ("Mn", "Mc") and not 0xFE00 <= code <= 0xFE0F  # which belong to emoji
        self[code] = code if marks or kind[0] in "LN" or kind == "Pc" else " "
        return self[code]


WORDS = _Words()


class Digests:
    """Rows of 64-bit numbers in a file, to be read again in parts.

    path: Of the file; not there yet.
    columns: Numbers in a row.
    """

    def __init__(self, path: Path, columns: int) -> None:
        self.path = path
        self.columns = columns
        self.rows = 0
        self._waiting = array("Q")
        path.touch(exist_ok=False)

    def append(self, *row: int) -> None:
        """Add a row."""
        self._waiting.extend(row)
        self.rows += 1
        if len(self._waiting) >= BLOCK:
            self._write()

    def part(self, number: int, of: int, column: int = 0) -> numpy.ndarray:
        """Return the rows whose number in a column leaves a remainder, in their order.

        number (0 to of - 1): The remainder. Equal numbers are in the same part.
        of: The divisor: how many parts there are.
        RETURNS ([rows, columns]): About one row of so many.
        """
        found = [rows[rows[:, column] % of == number] for rows in self._blocks()]
        return numpy.concatenate([numpy.zeros((0, self.columns), "uint64"), *found])

    def parts(self, column: int = 0) -> Iterator[numpy.ndarray]:
        """Yield all rows, in as many parts as keep each small."""
        for number in range(self.n_parts):
            yield self.part(number, self.n_parts, column)

    @property
    def n_parts(self) -> int:
        """How many parts there are, each of about 260,000 rows or fewer."""
        return 1 + self.rows // PART

    def _write(self) -> None:
        with self.path.open("ab") as stream:
            self._waiting.tofile(stream)
        self._waiting = array("Q")

    def _blocks(self) -> Iterator[numpy.ndarray]:
        self._write()
        with self.path.open("rb") as stream:
            while len(found := numpy.fromfile(stream, "uint64", self.columns * BLOCK)):
                yield found.reshape(-1, self.columns)


def count_repeated(digests: Digests, column: int = 0) -> int:
    """Return how many rows have a number that an earlier row has."""
    parts = digests.parts(column)
    return sum(len(part) - len(numpy.unique(part[:, column])) for part in parts)


def count_shared(digests: Digests, others: Digests, column: int = 0) -> int:
    """Return how many rows have a number that is among the others, too."""
    of = max(digests.n_parts, others.n_parts)
    pairs = ((digests.part(k, of, column), others.part(k, of, column)) for k in range(of))
    return sum(int(numpy.isin(one[:, column], two[:, column]).sum()) for one, two in pairs)


def find_repeated(digests: Digests, first: int) -> tuple[int, list[tuple[int, int]]]:
    """Find rows of two numbers whose first number an earlier row has.

    first: How many of the rows found to return.
    RETURNS: How many there are; of the first ones the second number, and that of the earliest row
        with the same first number.
    """
    total, found = 0, []
    for part in digests.parts():
        _, places, inverse = numpy.unique(part[:, 0], return_index=True, return_inverse=True)
        again = numpy.flatnonzero(places[inverse] != numpy.arange(len(part)))
        total += len(again)
        earlier = part[places[inverse[again]], 1]
        found += zip(part[again, 1][:first].tolist(), earlier[:first].tolist(), strict=True)
        found = sorted(found)[:first]
    return total, found
