"""Examples from many .spacy files: one in memory at a time, shuffled across files by a buffer."""

import json
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import TypeVar

from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab

Post = TypeVar("Post")


@registry.readers("goemotions.Shards.v1")
def create_shards(
    path: Path,
    labels: Path | None = None,
    shuffle_buffer: int = 10_000,
    seed: int = 0,
    limit: int = 0,
    shared_vocab: bool = False,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of what preprocess wrote, in memory that does not grow with the posts.

    With `training.max_epochs = -1` nothing else holds them either.

    path: A .spacy file, or a folder of them, searched to its depths, but not what is hidden by a
        dot. One file is in memory at a time.
    labels: The labels.json of preprocess; every post must have these, in this order. None takes
        posts as they are.
    shuffle_buffer (posts): Take the files in random order and draw from so many posts, which may
        be of several files; 0 keeps all order. Each pass has another order, decided by the seed.
    limit (posts): Use the first so many, by the names of the files, whose order then stays; 0 uses
        all.
    shared_vocab: Use the pipeline's vocabulary, as static vectors need; memory then grows with
        every new word. Otherwise each file has a vocabulary of its own.
    RETURNS: A function of nlp that yields an Example per post that is not empty; each call is a
        pass of its own.
    RAISES ValueError: No file, one that is damaged or has no posts, other labels; names the file.
    """
    for name, value in (("shuffle_buffer", shuffle_buffer), ("limit", limit)):
        if value < 0:
            raise ValueError(f"{name} {value}. Expected 0 or more.")
    passes = count()

    def read(nlp: Language) -> Iterator[Example]:
        random = Random(f"{seed} {next(passes)}")
        wanted = None if labels is None else _read_labels(Path(labels))
        files = _files(Path(path))
        if shuffle_buffer and not limit:
            random.shuffle(files)
        posts = islice(_posts(nlp, files, wanted, shared_vocab), limit or None)
        if shuffle_buffer:
            posts = _shuffled(posts, shuffle_buffer, random)
        for tokenize, reference in posts:
            yield _example(tokenize, reference)

    return read


def _posts(
    nlp: Language, files: list[Path], labels: list[str] | None, shared_vocab: bool
) -> Iterator[tuple[Callable[[str], Doc], Doc]]:
    """Yield each doc with the tokenizer over its vocabulary."""
    for file in files:
        tokenize = nlp.make_doc if shared_vocab else _new_tokenizer(nlp)
        vocab = nlp.vocab if shared_vocab else tokenize.vocab
        used = False
        for number, doc in enumerate(_docs(file, vocab), 1):
            if labels is not None and list(doc.cats) != labels:
                raise ValueError(
                    f"{file}, post {number}: labels {str(list(doc.cats))[:80]}. Expected "
                    f"{str(labels)[:80]}, as in the labels file."
                )
            if len(doc):
                used = True
                yield tokenize, doc
        if not used:
            raise ValueError(f"{file}: no posts. Expected at least one.")


def _docs(file: Path, vocab: Vocab) -> Iterator[Doc]:
    try:
        yield from DocBin().from_disk(file).get_docs(vocab)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        found = str(error).splitlines()[0][:80]
        raise ValueError(f"{file}: {found}. Expected a whole .spacy file.") from error


def _example(tokenize: Callable[[str], Doc], reference: Doc) -> Example:
    if reference.has_unknown_spaces:  # so its text is unknown: the words, as spaCy's reader does
        words = [token.text for token in reference]
        spaces = [bool(token.whitespace_) for token in reference]
        return Example(Doc(reference.vocab, words=words, spaces=spaces), reference)
    return Example(tokenize(reference.text), reference)


def _new_tokenizer(nlp: Language) -> Tokenizer:
    """Return a copy of the pipeline's tokenizer with a new vocabulary, which goes with its docs."""
    # Not nlp.memory_zone(): it frees words of docs that the buffer or a batcher still holds.
    old, vocab = nlp.tokenizer, nlp.vocab
    if type(old) is not Tokenizer or vocab.vectors_length:
        found = "static vectors" if vocab.vectors_length else f"tokenizer {type(old).__name__}"
        raise ValueError(f"The pipeline has {found}. Expected shared_vocab = true in the reader.")
    new = Vocab(
        dict(vocab.lex_attr_getters),
        lookups=vocab.lookups,
        writing_system=vocab.writing_system,
        get_noun_chunks=vocab.get_noun_chunks,
    )
    for string in vocab.strings:  # as an argument they would become words without attributes
        new.strings.add(string)
    return Tokenizer(new).from_bytes(old.to_bytes(exclude=["vocab"]))


def _shuffled(posts: Iterator[Post], size: int, random: Random) -> Iterator[Post]:
    buffer = list(islice(posts, size))
    for post in posts:
        index = random.randrange(size)
        yield buffer[index]
        buffer[index] = post
    random.shuffle(buffer)
    yield from buffer


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    inside = [file for file in path.rglob("*.spacy") if file.is_file()]
    parts = [file.relative_to(path).parts for file in inside]
    shown = [not any(part.startswith(".") for part in names) for names in parts]
    files = sorted(file for file, show in zip(inside, shown, strict=True) if show)
    if not files:
        raise ValueError(f"{path}: no .spacy files. Expected what preprocess wrote.")
    return files


def _read_labels(path: Path) -> list[str]:
    try:
        labels = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}. Expected a JSON list of labels.") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"{path}: {str(labels)[:80]}. Expected a JSON list of labels.")
    return labels
