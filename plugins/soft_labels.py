"""Soft labels of posts, read from a file and joined with the hard ones of a corpus."""

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from pathlib import Path

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

Soft = NDArray[numpy.float32]
Labelled = tuple[tuple[str, ...], Soft]  # labels, and a number for each


@registry.readers("goemotions.SoftLabels.v1")
def create_soft_labels(
    corpus: Callable[[Language], Iterable[Example]],
    path: Path,
    raw_limit: int | None = None,
    raw_per_epoch: int | None = None,
    raw_max_chars: int | None = None,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of labelled posts and raw texts, all with soft labels.

    The component that learns from them is soft_textcat_multilabel.

    corpus: Reader of the posts with hard labels; every one of them must have soft labels.
    path: .jsonl or .jsonl.gz as scripts.soft_labels writes it: rows have "text" and "soft", a
        number from 0 to 1 for each label. Rows that are no post of the corpus are raw texts.
    raw_limit (texts): Use the first so many raw texts; None takes all, 0 none.
    raw_per_epoch (texts): Yield so many of them in each pass, and go on with the others in the
        next; None yields all. It needs max_epochs = -1, or spaCy reads one pass and keeps it.
    raw_max_chars (characters): Leave longer raw texts out, before any limit; None takes all. One
        text of hundreds of wordpieces fills the batch of a transformer with padding, and memory.
    RETURNS: A function of nlp that yields an Example per post and text, in random order.
    RAISES ValueError: No such file, a bad row, other labels than in the rows before, a post of the
        corpus without soft labels; names file and line.
    """
    limits = {"raw_limit": raw_limit, "raw_per_epoch": raw_per_epoch}
    for name, value in {**limits, "raw_max_chars": raw_max_chars}.items():
        if value is not None and value < 0:
            raise ValueError(f"{name} {value}. Expected 0 or more, or null.")
    passes = count()
    kept: list[Language] = []
    raw: list[tuple[str, Labelled]] = []
    labelled: list[Example] = []

    def read(nlp: Language) -> Iterator[Example]:
        if not kept or kept[0] is not nlp:  # docs belong to the vocabulary of one pipeline
            raw.clear()
            labelled.clear()
            labels, rows = _read(Path(path))
            labelled.extend(_with_soft(corpus(nlp), labels, rows, Path(path)))
            texts = (  # the posts are no longer in there
                text for text in rows if raw_max_chars is None or len(text) <= raw_max_chars
            )
            raw.extend((text, (labels, rows[text])) for text in islice(texts, raw_limit))
            kept[:] = [nlp]  # last: what failed is read again, and fails again
        number = next(passes)
        chosen = [*labelled, *_share(raw, raw_per_epoch, number)]
        random.shuffle(chosen)  # seeded by spaCy, as its own batchers are
        for one in chosen:
            # Raw texts are tokenized when they are needed: docs of all would take gigabytes.
            yield one if isinstance(one, Example) else _example(nlp, *one)

    return read


def _share(
    raw: list[tuple[str, Labelled]], size: int | None, number: int
) -> list[tuple[str, Labelled]]:
    """Return the texts of a pass, which goes on where the one before it ended."""
    if size is None or size >= len(raw):
        return raw
    start = number * size % len(raw)
    return (raw + raw[:size])[start : start + size]


def _with_soft(
    examples: Iterable[Example], labels: tuple[str, ...], rows: dict[str, Soft], path: Path
) -> Iterator[Example]:
    used = set()
    for number, example in enumerate(examples, 1):
        text = example.reference.text
        if text not in rows:
            raise ValueError(
                f"{path}: no soft labels for post {number}, {text[:60]!r}. Expected them for every "
                "post: python -m scripts.soft_labels makes them."
            )
        used.add(text)
        example.reference.user_data["soft_labels"] = (labels, rows[text])
        yield example
    for text in used:
        del rows[text]


def _example(nlp: Language, text: str, soft: Labelled) -> Example:
    predicted = nlp.make_doc(text)
    reference = predicted.copy()  # cheaper than to tokenize again
    reference.user_data["soft_labels"] = soft
    return Example(predicted, reference)


def _read(path: Path) -> tuple[tuple[str, ...], dict[str, Soft]]:
    """Return the labels, and the soft labels by text."""
    labels: tuple[str, ...] = ()
    rows: dict[str, Soft] = {}
    for where, line in _lines(path):
        try:
            row = json.loads(line)
            text, soft = row["text"], row["soft"]
            if not all(type(value) in (int, float) for value in soft.values()):
                raise TypeError
            values = numpy.array(list(soft.values()), dtype="float32")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            expected = '{"text": "...", "soft": {"joy": 0.9, ...}}'
            raise ValueError(f"{where}: {line[:60]}. Expected {expected}.") from error
        labels = labels or tuple(soft)
        if not labels:
            raise ValueError(f"{where}: no labels. Expected a number for each.")
        if tuple(soft) != labels:
            raise ValueError(f"{where}: labels {list(soft)}. Expected {list(labels)}.")
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{where}: soft labels {soft}. Expected numbers from 0 to 1.")
        if not isinstance(text, str) or not text.strip() or text in rows:
            raise ValueError(f"{where}: text {text!r:.60}. Expected a text, each once.")
        rows[text] = values
    if not rows:
        raise ValueError(f"{path}: no rows. Expected at least one.")
    return labels, rows


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    if not path.name.endswith((".jsonl", ".jsonl.gz")) or not path.is_file():
        raise ValueError(f"{path}: no such soft labels. Expected a .jsonl or .jsonl.gz.")
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                yield f"{path}, line {number}", raw.decode("utf8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {number}: {error.reason}. Expected UTF-8.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}, line {number + 1}: {error}. Expected a whole gzip.") from error
