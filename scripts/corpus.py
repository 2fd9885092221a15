"""Read the texts and labels of a corpus."""

from dataclasses import dataclass, field
from pathlib import Path

import spacy
from spacy.tokens import DocBin

from scripts.digests import normalise

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, eq=False)
class Post:
    """A post of a corpus; doc is its number in the split, from 0."""

    split: str
    doc: int
    text: str
    labels: tuple[str, ...]
    normal: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "normal", normalise(self.text))


def read_corpus(path: Path) -> tuple[list[str], list[dict[str, float]]]:
    """Return texts and cats of a .spacy file or of a folder of parts.

    RAISES ValueError: There is none.
    """
    parts = sorted(path.glob("*.spacy")) if path.is_dir() else [path]
    if not parts or not parts[0].exists():
        raise ValueError(f"{path}: no such corpus. Expected .spacy; run preprocess first.")
    vocab = spacy.blank("en").vocab
    docs = [doc for part in parts for doc in DocBin().from_disk(part).get_docs(vocab)]
    return [doc.text for doc in docs], [doc.cats for doc in docs]


def read_splits(corpus: Path) -> tuple[dict[str, list[Post]], list[str]]:
    """Return the posts of each split that is there, and the labels.

    RAISES ValueError: There is no split, one is empty, or a doc has other labels than the first.
    """
    posts: dict[str, list[Post]] = {}
    labels: list[str] = []
    for split in SPLITS:
        path = corpus / f"{split}.spacy"
        if not path.exists():
            continue
        texts, cats = read_corpus(path)
        if not texts:
            raise ValueError(f"{path}: no docs. Expected at least one.")
        labels = labels or list(cats[0])
        for number, row in enumerate(cats):
            if not row or set(row) != set(labels):
                raise ValueError(f"{path}, doc {number}: labels {list(row)}. Expected {labels}.")
        posts[split] = [
            Post(split, number, text, tuple(label for label in labels if row[label] >= 0.5))
            for number, (text, row) in enumerate(zip(texts, cats, strict=True))
        ]
    if not posts:
        expected = ", ".join(f"{split}.spacy" for split in SPLITS)
        raise ValueError(f"{corpus}: none of {expected}. Expected one at least; preprocess first.")
    return posts, labels
