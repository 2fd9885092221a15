"""Texts without labels, read from files, to pretrain on."""

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

SUFFIXES = (".jsonl", ".jsonl.gz", ".txt", ".txt.gz")


@registry.readers("goemotions.RawText.v1")
def create_raw_text(
    path: Path | None, limit: int = 0, max_words: int = 500, shuffle_buffer: int = 10_000
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of texts for `[pretraining]`, or to mix with labelled ones.

    path: .jsonl with "text" on each line, or .txt with a text on each; also with .gz. None lets a
        config name the reader before there is a file.
    limit (texts): Read so many; 0 reads all.
    max_words (tokens): Cut longer texts into pieces, each of them a doc.
    shuffle_buffer (docs): Draw at random from so many; 0 keeps the order.
    RETURNS: A function of nlp that yields an Example per doc; no doc is empty or has labels.
    RAISES ValueError: A number out of range, no file, a bad row, no text; names file and line.
    """
    if limit < 0 or max_words < 1 or shuffle_buffer < 0:
        raise ValueError(
            f"limit {limit}, max_words {max_words}, shuffle_buffer {shuffle_buffer}. "
            "Expected 0 or more, 1 or more, 0 or more."
        )

    def read(nlp: Language) -> Iterator[Example]:
        if path is None:
            raise ValueError("No raw text. Expected --paths.raw_text with a .jsonl or .txt file.")
        docs = _docs(nlp, islice(_texts(Path(path)), limit or None), max_words)
        for doc in _shuffled(docs, shuffle_buffer) if shuffle_buffer else docs:
            yield Example(doc, doc.copy())

    return read


def _docs(nlp: Language, texts: Iterator[str], max_words: int) -> Iterator[Doc]:
    for text in texts:
        doc = nlp.make_doc(text)
        for start in range(0, len(doc), max_words):
            yield doc if len(doc) <= max_words else doc[start : start + max_words].as_doc()


def _shuffled(docs: Iterator[Doc], size: int) -> Iterator[Doc]:
    buffer = list(islice(docs, size))  # seeded by spaCy, as its own batchers are
    for doc in docs:
        index = random.randrange(size)
        yield buffer[index]
        buffer[index] = doc
    random.shuffle(buffer)
    yield from buffer


def _texts(path: Path) -> Iterator[str]:
    if not path.name.endswith(SUFFIXES) or not path.is_file():
        raise ValueError(f"{path}: no such text. Expected a file in {', '.join(SUFFIXES)}.")
    is_json = ".jsonl" in path.suffixes
    found = False
    for where, line in _lines(path):
        text = _from_json(where, line) if is_json else line
        if text.strip():
            found = True
            yield text
    if not found:
        raise ValueError(f"{path}: no text. Expected at least one.")


def _from_json(where: str, line: str) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: no JSON ({error}). Expected an object.") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError(f'{where}: {line[:80]}. Expected {{"text": "…"}}.')
    return row["text"]


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf8")
                yield f"{path}, line {number}", line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {number}: {error.reason}. Expected UTF-8.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}, line {number + 1}: {error}. Expected a whole gzip.") from error
