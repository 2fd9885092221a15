"""Texts whose words have a tag each, from lines with elements around words or from JSONL."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Literal

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

ENDINGS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
ELEMENT = re.compile(r"<(/?)([A-Za-z][\w.-]*)>")
Split = Literal["train", "dev", "test"]


@dataclass(frozen=True)
class Tagged:
    """Words of a text and the tag of each, "" where it has none; line is where it stands."""

    words: list[str]
    tags: list[str]
    line: int

    @property
    def text(self) -> str:
        """Return the words with a blank between them."""
        return " ".join(self.words)


@dataclass(frozen=True)
class Splitting:
    """How a file without splits is split: by a hash of the seed and the letters of a text.

    dev, test (0 to 1): Shares, unless there are folds.
    folds, fold: With 10 and 3, the fourth tenth is test, the next one dev, the rest train.
    together: Label; texts whose words with it are equal are in the same split, and those without
        it, if their letters are. Else a paper that is cited twice can be in train and in test.
    RAISES ValueError: A number is out of range.
    """

    dev: float = 0.1
    test: float = 0.2
    seed: int = 0
    folds: int = 0
    fold: int = 0
    together: str = ""

    def __post_init__(self) -> None:
        if min(self.dev, self.test) < 0 or self.dev + self.test >= 1:
            found = f"dev share {self.dev}, test share {self.test}"
            raise ValueError(f"{found}. Expected 0 or more, less than 1 in all.")
        if self.folds < 0 or self.folds in (1, 2) or not 0 <= self.fold < max(self.folds, 1):
            found = f"folds {self.folds}, fold {self.fold}"
            raise ValueError(f"{found}. Expected no folds, or 3 or more and one of them from 0.")

    def key_of(self, tagged: Tagged) -> str:
        """Return the letters that decide the split of a text."""
        some = [w for w, tag in zip(tagged.words, tagged.tags, strict=True) if tag == self.together]
        return re.sub(r"\W", "", "".join(some if self.together and some else tagged.words)).lower()

    def split_of(self, tagged: Tagged) -> Split:
        """Return the split of a text."""
        digest = blake2b(f"{self.seed} {self.key_of(tagged)}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest) / 2**64
        if self.folds:
            number = (int(place * self.folds) - self.fold) % self.folds
            return "test" if number == 0 else "dev" if number == 1 else "train"
        if place < self.dev:
            return "dev"
        return "test" if place < self.dev + self.test else "train"


@registry.readers("goemotions.TaggedWords.v1")
def create_tagged_words_reader(
    path: Path,
    split: Split | None = None,
    dev_share: float = 0.1,
    test_share: float = 0.2,
    seed: int = 0,
    folds: int = 0,
    fold: int = 0,
    together: str = "",
    ignored: str = "O",
    limit: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of texts whose words have tags, for token_classifier.

    path: .txt, a text per line such as `<author> A. Cau. </author> <date> 1992. </date>`; or
        .jsonl with lists "tokens" and "labels" per line. Both also with .gz.
    split: Read these texts alone; None reads all.
    dev_share, test_share, seed, folds, fold, together: Decide the split, see Splitting.
    ignored: Label of words that teach nothing, as do those outside all elements.
    limit (texts): Read so many; 0 reads all.
    RETURNS: A function of nlp that yields an Example per text, token.tag_ in the reference.
    RAISES ValueError: A number is out of range, a split has no text, or a file as in read_tagged.
    """
    if limit < 0:
        raise ValueError(f"limit {limit}. Expected 0 or more.")
    splitting = Splitting(dev_share, test_share, seed, folds, fold, together)

    def read(nlp: Language) -> Iterator[Example]:
        found = list(read_tagged(Path(path), ignored=ignored))
        check_together(Path(path), splitting, found)
        chosen = (one for one in found if split in (None, splitting.split_of(one)))
        one = None
        for one in islice(chosen, limit or None):
            yield Example(nlp.make_doc(one.text), make_reference(nlp, one))
        if one is None:
            raise ValueError(f"{path}: no texts for {split}. Expected at least one.")

    return read


def check_together(path: Path, splitting: Splitting, texts: Iterable[Tagged]) -> None:
    """Raise ValueError if no word of a file has the label that decides its split."""
    tags = {tag for one in texts for tag in one.tags}
    if splitting.together and splitting.together not in tags:
        expected = ", ".join(sorted(tags - {""}))
        raise ValueError(f"{path}: no word is {splitting.together!r}. Expected one of {expected}.")


def make_reference(nlp: Language, tagged: Tagged) -> Doc:
    """Return a doc of the words, each a token with its tag."""
    spaces = [True] * (len(tagged.words) - 1) + [False]  # or spaCy would not tokenize the text
    return Doc(nlp.vocab, tagged.words, spaces, tags=tagged.tags)


def read_tagged(
    path: Path,
    *,
    ignored: str = "O",
    skip: Sequence[str] = (),
    report: Callable[[str], None] | None = None,
) -> Iterator[Tagged]:
    """Yield the texts of a file in its order; empty lines are passed over.

    path, ignored: As for goemotions.TaggedWords.v1.
    skip: Names of elements that are read as if they were not there, such as br.
    report: Takes what is wrong with a line, which is then left out; None raises it.
    RAISES ValueError: No text, or a line that cannot be read; names file and line.
    """
    if not path.name.endswith(ENDINGS):
        raise ValueError(f"{path}: Expected a file in {', '.join(ENDINGS)}.")
    parse = (
        _parse_json
        if path.name.endswith((".jsonl", ".jsonl.gz"))
        else partial(_parse_line, skip=skip)
    )
    found = False
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            words, tags = parse(line, where)
            if not words:
                raise ValueError(f"{where}: no words. Expected at least one.")
        except ValueError as error:
            if report is None:
                raise
            report(str(error))
            continue
        found = True
        yield Tagged(words, ["" if tag == ignored else tag for tag in tags], number)
    if not found:
        raise ValueError(f"{path}: no texts. Expected at least one.")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf8")
    except UnicodeDecodeError as error:
        found = f"byte {error.object[error.start]:#x} at column {error.start + 1}"
        raise ValueError(f"{path}, line {number}: {found}. Expected UTF-8.") from error
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}, after line {number}: {error}. Expected a whole file.") from error


def _parse_line(line: str, where: str, skip: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return words and tags of a line with elements, which may not stand in one another."""
    line = ELEMENT.sub(lambda found: "" if found[2] in skip else found[0], line)
    words: list[str] = []
    tags: list[str] = []
    open_tag, end = "", 0
    for match in [*ELEMENT.finditer(line), None]:
        piece = line[end : match.start() if match else len(line)].split()
        words += piece
        tags += [open_tag] * len(piece)
        if match is None:
            break
        closes, name = match.groups()
        if closes and name != open_tag:
            inside = f"inside <{open_tag}>" if open_tag else "outside all elements"
            raise ValueError(f"{where}: {match[0]} {inside}. Expected the element's own end.")
        if not closes and open_tag:
            raise ValueError(f"{where}: {match[0]} inside <{open_tag}>. Expected </{open_tag}>.")
        open_tag, end = "" if closes else name, match.end()
    if open_tag:
        raise ValueError(f"{where}: <{open_tag}> has no end. Expected </{open_tag}>.")
    return words, tags


def _parse_json(line: str, where: str) -> tuple[list[str], list[str]]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: {error}. Expected JSON.") from error
    words, tags = (row.get(key) if isinstance(row, dict) else None for key in ("tokens", "labels"))
    for key, values in (("tokens", words), ("labels", tags)):
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{where}: {key!r} is {values!r:.40}. Expected a list of texts.")
    if len(words) != len(tags):
        found = f"{len(words)} tokens, {len(tags)} labels"
        raise ValueError(f"{where}: {found}. Expected as many.")
    for word in words:
        if not word or len(word.split()) != 1 or word != word.strip():
            raise ValueError(f"{where}: token {word!r}. Expected one without white space.")
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise ValueError(f"{where}: token {word!a}, half a surrogate pair. Expected text.")
    return words, tags
