"""Make a data set of the IMDB reviews, with the splits of the experiment in docs/lmao.md."""

import gzip
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm
from wasabi import msg

from scripts.files import replacing

REVIEWS = 12_500  # of each label in each split
DEV = 10_000  # the last of the shuffled training reviews
LABELS = {"neg": "NEGATIVE", "pos": "POSITIVE"}
LONGEST = 100_000  # bytes; the longest review has 14 thousand


def imdb(source: Path, output: Path, *, seed: int = 0) -> dict[str, int]:
    """Write train, dev, test and labels.txt of the large movie review data set.

    Reviews are sorted by name, then shuffled; the last 10,000 of those to train on become dev, so
    that `--corpora.train.limit 1000` reads the first thousand of the others.

    source: aclImdb_v1.tar.gz, or a folder with the same reviews in train.jsonl.gz and test.jsonl.gz
        ("text", and "id" of "meta" as in the archive: train/pos/0_9).
    output: Folder for the files, each replaced.
    seed: Of the shuffle.
    RETURNS: Counts of reviews written.
    RAISES ValueError: No such source, a review that is not text, or not 12,500 of each kind.
    SOURCE: Maas et al. 2011, Learning Word Vectors for Sentiment Analysis, ACL.
    """
    reviews = sorted(_from_archive(source) if source.is_file() else _from_folder(source))
    counts: dict[str, int] = {}
    for name, _ in reviews:
        kind = name.rpartition("/")[0]
        counts[kind] = counts.get(kind, 0) + 1
    expected = {f"{split}/{label}": REVIEWS for split in ("train", "test") for label in LABELS}
    if counts != expected:
        raise ValueError(f"{source}: {counts or 'no reviews'}. Expected {expected}.")
    random.Random(seed).shuffle(reviews)
    train = [review for review in reviews if review[0].startswith("train")]
    test = [review for review in reviews if review[0].startswith("test")]
    splits = {"train": train[:-DEV], "dev": train[-DEV:], "test": test}
    output.mkdir(parents=True, exist_ok=True)
    for split, part in splits.items():
        _write(output / f"{split}.jsonl", [_row(*review) for review in part])
    with replacing(output / "labels.txt") as temporary:
        temporary.write_text("\n".join(LABELS.values()) + "\n", encoding="utf8")
    return {split: len(part) for split, part in splits.items()}


def _from_archive(source: Path) -> Iterator[tuple[str, str]]:
    # Read member by member: nothing is unpacked, whatever names and links the archive has.
    try:
        with tarfile.open(source, "r|gz") as archive:
            for member in tqdm(archive, desc=source.name, unit=" files"):
                parts = Path(member.name).parts
                if len(parts) != 4 or parts[1] not in ("train", "test") or parts[2] not in LABELS:
                    continue
                file = archive.extractfile(member) if member.isfile() else None
                if file is None or member.size > LONGEST:
                    raise ValueError(f"{source}: {member.name}, {member.size} bytes: no review.")
                yield "/".join(parts[1:]).removesuffix(".txt"), _clean(file.read().decode("utf8"))
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{source}: {error}. Expected aclImdb_v1.tar.gz.") from error


def _from_folder(source: Path) -> Iterator[tuple[str, str]]:
    for split in ("train", "test"):
        path = source / f"{split}.jsonl.gz"
        if not path.is_file():
            raise ValueError(f"{path}: no such file. Expected it, or aclImdb_v1.tar.gz as SOURCE.")
        with gzip.open(path, "rt", encoding="utf8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    row = json.loads(line)
                    yield row["meta"]["id"], _clean(row["text"])
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{path}, line {number}: {error!r}. {EXPECTED}") from error


EXPECTED = 'Expected {"text": "…", "meta": {"id": "train/pos/0_9"}}.'


def _clean(text: str) -> str:
    return text.replace("<br />", "\n").strip()


def _row(name: str, text: str) -> dict[str, Any]:
    return {"text": text, "labels": [LABELS[name.split("/")[1]]], "id": name}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def main(
    source: Annotated[
        Path, typer.Argument(help="aclImdb_v1.tar.gz, or a folder of .jsonl.gz", exists=True)
    ] = Path("assets/imdb/aclImdb_v1.tar.gz"),
    output: Annotated[Path, typer.Argument(help="Folder for the data set")] = Path("assets/imdb"),
) -> None:
    """Make assets/imdb of the archive that `python -m scripts.assets imdb` downloads."""
    try:
        counts = imdb(source, output)
    except ValueError as error:
        msg.fail("No data set was made", str(error), exits=1)
    msg.good(f"{output}: " + ", ".join(f"{n} {split}" for split, n in counts.items()))


if __name__ == "__main__":
    typer.run(main)
