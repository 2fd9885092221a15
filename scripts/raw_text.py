"""Write texts without their labels, for pretraining."""

import gzip
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from pathlib import Path
from typing import IO, Annotated

import typer
from spacy.tokens import DocBin
from spacy.training.corpus import walk_corpus
from spacy.vocab import Vocab
from tqdm import tqdm
from wasabi import msg

from scripts.files import replacing
from scripts.init_vectors import read_lines
from scripts.train_vectors import text_of

KINDS = (".spacy", ".tsv", ".jsonl", ".txt")  # the last three also with .gz


def raw_text(sources: list[Path], output: Path, *, min_words: int = 3) -> dict[str, int]:
    """Collect the texts of files, each text once.

    sources: .spacy, .tsv (first column), .jsonl ("text") and .txt (a text per line), the last three
        plain or .gz.
    output: .jsonl or .jsonl.gz to write; an earlier one stays until this one is complete.
    min_words: Leave out shorter texts, as white space divides them.
    RETURNS: Counts of texts written, repeated and short ones.
    RAISES ValueError: A missing file, another kind of file, a row without text, or nothing left.
    """
    if output.suffixes[-2:] != [".jsonl", ".gz"] and output.suffix != ".jsonl":
        raise ValueError(f"{output}: Expected a name in .jsonl or .jsonl.gz.")
    _check_replaced(sources, output)
    for path in sources:
        if not path.exists() or _kind(path) not in KINDS or path.name.endswith(".spacy.gz"):
            raise ValueError(f"{path}: Expected a file in {', '.join(KINDS)}, or .gz of a text.")
    counts = {"texts": 0, "repeated": 0, "short": 0}
    with replacing(output) as temporary:
        with temporary.open("wb") as plain, _packed(plain, output) as file:
            for text in _unlike(sources, min_words, counts):
                file.write(json.dumps({"text": text}, ensure_ascii=False).encode("utf8") + b"\n")
        if not counts["texts"]:
            raise ValueError(f"No text of {min_words} words in {', '.join(map(str, sources))}.")
    return counts


def _check_replaced(sources: list[Path], output: Path) -> None:
    """Raise ValueError if the output is a source, or holds more than texts."""
    if output.resolve() in [path.resolve() for path in sources]:
        raise ValueError(f"{output} is a source too. Expected another name as the last argument.")
    first = next((line for _, line in read_lines(output)), "{}") if output.is_file() else "{}"
    try:
        extra = set(json.loads(first)) - {"text"}
    except (TypeError, ValueError):
        extra = {first[:40]}
    if extra:
        raise ValueError(f"{output} holds {min(extra)!r} and would be lost. Expected another name.")


def _unlike(sources: list[Path], min_words: int, counts: dict[str, int]) -> Iterator[str]:
    seen: set[bytes] = set()
    for source in sources:
        for text in tqdm(_texts(source), desc=source.name, unit=" texts"):
            digest = blake2b(text.lower().encode("utf8"), digest_size=8).digest()
            reason = "short" if len(text.split()) < min_words else "repeated"
            if reason == "short" or digest in seen:
                counts[reason] += 1
                continue
            seen.add(digest)
            counts["texts"] += 1
            yield text


def _texts(source: Path) -> Iterator[str]:
    if source.suffix == ".spacy":
        for part in walk_corpus(source, ".spacy"):
            yield from (doc.text.strip() for doc in DocBin().from_disk(part).get_docs(Vocab()))
        return
    for number, line in read_lines(source):
        yield text_of(line, _kind(source), f"{source}, line {number}").strip()


def _packed(file: IO[bytes], path: Path) -> AbstractContextManager[IO[bytes]]:
    # Without a time of its own: the same texts make the same file.
    return gzip.GzipFile("", "wb", 9, file, 0) if path.suffix == ".gz" else nullcontext(file)


def _kind(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix


def main(
    sources: Annotated[
        list[Path], typer.Argument(help=".spacy, or .tsv, .jsonl or .txt, also with .gz")
    ],
    output: Annotated[Path, typer.Argument(help="File to write, .jsonl or .jsonl.gz")],
    min_words: Annotated[int, typer.Option(help="Leave out shorter texts", min=1)] = 3,
) -> None:
    """Write texts without their labels, each once, for `python -m scripts.pretrain`."""
    try:
        counts = raw_text(sources, output, min_words=min_words)
    except ValueError as error:
        msg.fail("No raw text was written", str(error), exits=1)
    left_out = f"{counts['repeated']} repeated and {counts['short']} short ones left out"
    msg.good(f"{counts['texts']} texts, {left_out}: {output}")


if __name__ == "__main__":
    typer.run(main)
