"""Examples streamed from files in constant memory: TSV or JSONL, plain or gzipped, one or many."""

import gzip
import html
import json
import zlib
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from random import Random

from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab

SUFFIXES = (".tsv", ".jsonl", ".tsv.gz", ".jsonl.gz")
Post = tuple[str, list[str]]


@registry.readers("goemotions.Stream.v1")
def create_stream(
    path: Path | list[Path],
    labels: Path,
    shuffle_buffer: int = 0,
    seed: int = 0,
    limit: int = 0,
    map: Callable[[str, list[str]], Post] | None = None,
    filter: Callable[[str, list[str]], bool] | None = None,
    vocab_posts: int = 20_000,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader that holds a few posts at a time; use it with `training.max_epochs = -1`.

    path: File, folder (searched to its depths, in the order of names, but not what is hidden by a
        dot) or list of them. TSV is `text<TAB>label ids<TAB>id` without header; JSONL has "text"
        and a list "labels".
    labels: Labels file, see goemotions.LabelsFile.v1. Every label is set on every doc.
    shuffle_buffer (posts): Draw at random from so many; 0 keeps the order. Each pass has another
        order, decided by the seed.
    limit (posts): Use the first so many that the filter lets through; 0 uses all.
    map: Turns text and labels of a post into others.
    filter: Says of text and labels, after the map, whether to use the post.
    vocab_posts (posts): Replace the vocabulary of the docs after so many, so that memory does not
        grow with every new word; 0 uses the pipeline's, as static vectors need.
    RETURNS: A function of nlp that yields an Example per post; each call is a pass of its own.
    RAISES ValueError: A bad row, a broken file, or no posts; names file and line.
    """
    counts = {"shuffle_buffer": shuffle_buffer, "limit": limit, "vocab_posts": vocab_posts}
    for name, value in counts.items():
        if value < 0:
            raise ValueError(f"{name} {value}. Expected 0 or more.")
    paths = [Path(one) for one in (path if isinstance(path, list) else [path])]
    passes = count()

    def read(nlp: Language) -> Iterator[Example]:
        known = read_labels_file(Path(labels))
        posts = _posts(_files(paths), known, map, filter, nlp.max_length)
        posts = islice(posts, limit or None)
        if shuffle_buffer:
            posts = _shuffled(posts, shuffle_buffer, Random(f"{seed} {next(passes)}"))
        yield from _examples(nlp, posts, known, vocab_posts)

    return read


@registry.readers("goemotions.LabelsFile.v1")
def read_labels_file(path: Path) -> list[str]:
    """Return the labels of a file in its order: a .json list, or text with a label per line.

    RAISES ValueError: There is no label, an empty one, or one twice.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such labels file.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        labels = json.loads(text) if path.suffix == ".json" else text.rstrip("\n").split("\n")
    except ValueError as error:
        raise ValueError(f"{path}: {error}. Expected JSON or lines of UTF-8.") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"{path}: {str(labels)[:80]}. Expected a list of strings.")
    labels = [label.strip() for label in labels]
    for number, label in enumerate(labels, 1):
        if not label or label in labels[: number - 1]:
            raise ValueError(f"{path}, label {number}: {label!r}. Expected a label, each once.")
    if not labels:
        raise ValueError(f"{path}: no labels. Expected at least one.")
    return labels


@registry.misc("goemotions.min_words.v1")
def create_min_words(n_words: int) -> Callable[[str, list[str]], bool]:
    """Create a filter of posts with at least so many words, as white space divides them."""
    return lambda text, labels: len(text.split()) >= n_words


@registry.misc("goemotions.plain_text.v1")
def create_plain_text() -> Callable[[str, list[str]], Post]:
    """Create a map that turns HTML entities (&amp;) into characters and white space into blanks."""
    return lambda text, labels: (" ".join(html.unescape(text).split()), labels)


def _examples(
    nlp: Language, posts: Iterator[Post], labels: list[str], vocab_posts: int
) -> Iterator[Example]:
    tokenize = nlp.make_doc
    for number, (text, on) in enumerate(posts):
        if vocab_posts and number % vocab_posts == 0:
            tokenize = _renew_tokenizer(nlp)
        predicted = tokenize(text)
        reference = predicted.copy()  # cheaper than to tokenize again
        reference.cats = {label: float(label in on) for label in labels}
        yield Example(predicted, reference)


def _renew_tokenizer(nlp: Language) -> Tokenizer:
    """Return the pipeline's tokenizer over a new vocabulary, which lives as long as its docs."""
    # Not nlp.memory_zone(): it frees words of docs that a batcher still holds.
    old, vocab = nlp.tokenizer, nlp.vocab
    if type(old) is not Tokenizer or vocab.vectors_length:
        found = "static vectors" if vocab.vectors_length else f"tokenizer {type(old).__name__}"
        raise ValueError(f"The pipeline has {found}. Expected vocab_posts = 0 in the stream.")
    new = Vocab(
        dict(vocab.lex_attr_getters),
        lookups=vocab.lookups,
        writing_system=vocab.writing_system,
        get_noun_chunks=vocab.get_noun_chunks,
    )
    for string in vocab.strings:  # as an argument they would become words without attributes
        new.strings.add(string)
    return Tokenizer(
        new,
        rules=old.rules,
        prefix_search=old.prefix_search,
        suffix_search=old.suffix_search,
        infix_finditer=old.infix_finditer,
        token_match=old.token_match,
        url_match=old.url_match,
        faster_heuristics=old.faster_heuristics,
        max_cache_size=old.max_cache_size,
    )


def _shuffled(posts: Iterator[Post], size: int, random: Random) -> Iterator[Post]:
    buffer = list(islice(posts, size))
    for post in posts:
        index = random.randrange(size)
        yield buffer[index]
        buffer[index] = post
    random.shuffle(buffer)
    yield from buffer


def _posts(
    files: list[Path],
    labels: list[str],
    map: Callable | None,
    filter: Callable | None,
    max_length: int,
) -> Iterator[Post]:
    names = {str(number): label for number, label in enumerate(labels)}
    read = kept = 0
    for file in files:
        is_json = file.name.removesuffix(".gz").endswith(".jsonl")
        for where, line in _lines(file):
            read += 1
            text, on = _from_json(where, line) if is_json else _from_tsv(where, line, names)
            if map is not None:
                text, on = map(text, on)
            if filter is not None and not filter(text, on):
                continue
            _check(where, text, on, labels, max_length)
            kept += 1
            yield text, on
    if not kept:
        folders = ", ".join(str(file) for file in files[:3])
        raise ValueError(f"{folders}: {read} posts read, none to use. Expected at least one.")


def _check(where: str, text: str, on: list[str], labels: list[str], max_length: int) -> None:
    unknown = [label for label in on if label not in labels]
    if unknown:
        raise ValueError(f"{where}: label {unknown[0]!r}. Expected one of the labels file.")
    if not on or len(set(on)) != len(on):
        raise ValueError(f"{where}: labels {on}. Expected at least one, each once.")
    if not text.strip():
        raise ValueError(f"{where}: empty text. Expected a text.")
    if len(text) > max_length:
        raise ValueError(f"{where}: {len(text)} characters. Expected at most {max_length}.")


def _from_tsv(where: str, line: str, names: dict[str, str]) -> Post:
    cells = line.split("\t")
    if len(cells) != 3:
        raise ValueError(f"{where}: {len(cells)} columns. Expected 3: text, label ids, id.")
    ids = cells[1].split(",")
    unknown = [number for number in ids if number not in names]
    if unknown:
        raise ValueError(f"{where}: label id {unknown[0]!r}. Expected 0 to {len(names) - 1}.")
    return cells[0], [names[number] for number in ids]


def _from_json(where: str, line: str) -> Post:
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode("utf8")  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: no JSON ({str(error)[:80]}). Expected an object.") from error
    text, on = (row.get("text"), row.get("labels")) if isinstance(row, dict) else (None, None)
    if not isinstance(text, str) or not isinstance(on, list):
        raise ValueError(f'{where}: {line[:80]}. Expected {{"text": "…", "labels": ["…"]}}.')
    return text, on


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf8")
                yield f"{path}, line {number}", line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
        raise ValueError(f"{path}, line {number}: {found}. Expected UTF-8.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}, line {number + 1}: {error}. Expected a whole gzip.") from error


def _files(paths: list[Path]) -> list[Path]:
    files = []
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else [path]
        files_inside = (file for file in inside if file.name.endswith(SUFFIXES) and file.is_file())
        found = sorted(file for file in files_inside if not _is_hidden(file.relative_to(path)))
        if not found:
            raise ValueError(f"{path}: no file to stream. Expected {', '.join(SUFFIXES)}.")
        files += found
    return files


def _is_hidden(path: Path) -> bool:
    # Such as .ipynb_checkpoints, which holds copies.
    return any(part.startswith(".") for part in path.parts)
