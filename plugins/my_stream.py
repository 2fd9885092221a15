"""The smallest reader of a stream: a part of the posts of a folder. Start your own from it."""

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

LABEL_FILES = ("labels.txt", "emotions.txt")


@registry.readers("my_data_stream.v1")
def create_my_stream(some_arg: Path, another_arg: float) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of the same part of the posts in each pass and each run.

    some_arg: File, or folder of *.tsv files, with rows `text<TAB>label ids<TAB>id`. Beside the
        files stands labels.txt or emotions.txt: a label per line, its number from 0 is its id.
    another_arg (percent, above 0, to 100): How much to use. A hash of the text decides, so that
        the posts of a smaller part are in every larger one.
    RETURNS: A function of nlp that yields an Example per post, every label set on each.
    RAISES ValueError: A bad row, no posts or no labels; names file and line.
    """
    if not 0 < another_arg <= 100:
        raise ValueError(f"another_arg {another_arg}. Expected a percentage above 0, to 100.")
    return partial(stream_part, path=Path(some_arg), percent=another_arg)


def stream_part(nlp: Language, path: Path, percent: float) -> Iterator[Example]:
    """Yield an Example of each post whose hash is in the first so many percent of all hashes."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder.")
    labels = _labels_beside(path if path.is_dir() else path.parent)
    used = False
    for file in sorted(path.glob("*.tsv")) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                text, on = _parse(f"{file}, line {number}", raw, labels)
                if 100 * _position(text) < percent:
                    used = True
                    doc = nlp.make_doc(text)
                    cats = {label: float(label in on) for label in labels}
                    yield Example.from_dict(doc, {"cats": cats})
    if not used:
        raise ValueError(f"{path}: no posts in {percent} %. Expected at least one.")


def _position(text: str) -> float:
    """Return a number from 0 to 1 that depends on the text alone."""
    return int.from_bytes(blake2b(text.encode("utf8"), digest_size=8).digest(), "big") / 2**64


def _parse(where: str, raw: bytes, labels: list[str]) -> tuple[str, list[str]]:
    try:
        cells = raw.decode("utf8").rstrip("\r\n").split("\t")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: {error}. Expected UTF-8.") from error
    if len(cells) != 3:
        raise ValueError(f"{where}: {len(cells)} columns. Expected 3: text, label ids, id.")
    numbers = {str(number): label for number, label in enumerate(labels)}
    unknown = [number for number in cells[1].split(",") if number not in numbers]
    if unknown:
        raise ValueError(f"{where}: label id {unknown[0]!r}. Expected 0 to {len(labels) - 1}.")
    return cells[0], [numbers[number] for number in cells[1].split(",")]


def _labels_beside(folder: Path) -> list[str]:
    for name in LABEL_FILES:
        if (folder / name).exists():
            labels = (folder / name).read_text(encoding="utf-8-sig").splitlines()
            if not all(labels) or len(set(labels)) != len(labels):
                raise ValueError(
                    f"{folder / name}: {labels}. Expected a label per line, each once."
                )
            return labels
    raise ValueError(f"{folder}: no labels. Expected {' or '.join(LABEL_FILES)} there.")
