"""Let trained pipelines label the posts of a corpus and raw texts softly, for a student."""

import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer
from spacy.tokens import DocBin
from spacy.training.corpus import walk_corpus
from spacy.vocab import Vocab
from tqdm import tqdm
from wasabi import msg

from scripts.answers import DIGITS
from scripts.digests import digest, normalise
from scripts.files import hash_of, replacing
from scripts.predict_shards import predict_shards
from scripts.predictor import Predictor
from scripts.texts import read_texts

SHARD = 5000  # texts in a file, which is what a kill can cost
MADE_OF = "made_of.json"


def soft_labels(
    teachers: list[Path],
    corpus: Path,
    output: Path,
    *,
    raw: Path | None = None,
    limit: int = 120_000,
    min_words: int = 3,
    max_words: int = 30,
    workers: int = 2,
    gpu_id: int = -1,
    address: str = "local",
) -> dict[str, Any]:
    """Write the mean of what the teachers say of the posts to learn from, and of raw texts.

    teachers: Pipelines with tuned thresholds, all with the same labels.
    corpus: Folder of train.spacy, whose posts are labelled, and of others, such as dev.spacy and
        test.spacy. A raw text that is in one of them but for case and punctuation is left out.
    output: Folder for soft.jsonl.gz. What each teacher said of each file of texts is kept there:
        run again, the command goes on.
    raw: File or folder of texts, see scripts.texts; None for the posts alone.
    limit (texts): Raw texts to take, the first ones that fit.
    min_words, max_words: Of a raw text, as white space divides it.
    workers: Processes, see scripts.predict_shards, as are gpu_id and address.
    RETURNS: Counts of posts, raw, teachers; seconds of the teachers.
    RAISES ValueError: No corpus, no teachers, teachers of other labels, bad rows.
    """
    if not teachers or limit < 0 or not 1 <= min_words <= max_words:
        found = f"{len(teachers)} teachers, limit {limit}, {min_words} to {max_words} words"
        raise ValueError(f"{found}. Expected one or more, 0 or more, and a range from 1.")
    posts = corpus / "train.spacy"
    if not posts.exists():
        raise ValueError(f"{posts}: no such corpus. Expected it; run preprocess first.")
    if raw and not raw.exists():
        raise ValueError(f"{raw}: no such file or folder. Expected texts.")
    labels = _labels_of(teachers)
    settings = {"limit": limit, "min_words": min_words, "max_words": max_words}
    counts = _write_texts(corpus, raw, output / "texts", settings)
    seconds, folders = 0.0, []
    for teacher in teachers:
        folders.append(output / "teachers" / hash_of(teacher)[:12])
        msg.info(f"{teacher} labels {counts['posts'] + counts['raw']:,} texts: {folders[-1]}")
        shared = {"workers": workers, "gpu_id": gpu_id, "address": address}
        found = predict_shards(teacher, output / "texts", folders[-1], **shared)
        seconds += found["seconds"]
    _merge(sorted((output / "texts").glob("*.jsonl.gz")), folders, labels, output)
    return {**counts, "teachers": len(teachers), "seconds": round(seconds, 1)}


def _labels_of(teachers: list[Path]) -> list[str]:
    """Return the labels of all teachers."""
    labels: list[str] = []
    for teacher in teachers:
        found = Predictor(teacher)
        if found.task != "textcat":
            raise ValueError(f"{teacher}: no text classifier. Expected one with tuned thresholds.")
        labels = labels or found.labels
        if found.labels != labels:
            raise ValueError(f"{teacher}: labels {found.labels}. Expected {labels}, as the others.")
    if len({hash_of(teacher) for teacher in teachers}) < len(teachers):
        raise ValueError("A teacher twice. Expected each once.")
    return labels


def _write_texts(
    corpus: Path, raw: Path | None, output: Path, settings: dict[str, int]
) -> dict[str, int]:
    """Write all texts to label, in shards, unless they are there already."""
    splits = sorted(corpus.glob("*.spacy"))
    made_of = {path.name: hash_of(path) for path in splits}
    made_of |= {"raw": hash_of(raw) if raw else "", **settings}
    noted = output / MADE_OF
    if noted.exists():
        before = json.loads(noted.read_text(encoding="utf8"))
        counts = before.pop("counts")
        if before == made_of:
            return counts
    posts = dict.fromkeys(_texts(corpus / "train.spacy"))
    if not all(text.strip() for text in posts):
        raise ValueError(f"{corpus / 'train.spacy'}: a post of white space. Expected a text.")
    taken = {digest(normalise(text)) for path in splits for text in _texts(path)}
    found = list(islice(_unlike(raw, taken, settings), settings["limit"])) if raw else []
    texts = iter([*posts, *found])
    counts = {"posts": len(posts), "raw": len(found)}
    with replacing(output) as folder:
        folder.mkdir()
        number = 0
        while shard := list(islice(texts, SHARD)):
            _write(folder / f"{number:05}.jsonl.gz", ({"text": text} for text in shard))
            number += 1
        (folder / MADE_OF).write_text(json.dumps({**made_of, "counts": counts}), encoding="utf8")
    return counts


def _texts(split: Path) -> Iterator[str]:
    for part in walk_corpus(split, ".spacy"):
        yield from (doc.text for doc in DocBin().from_disk(part).get_docs(Vocab()))


def _unlike(raw: Path, taken: set[int], settings: dict[str, int]) -> Iterator[str]:
    """Yield raw texts of the wanted length that are not in the corpus, each once."""
    fits = range(settings["min_words"], settings["max_words"] + 1)
    for row in tqdm(read_texts(raw), desc=raw.name, unit=" texts"):
        text = " ".join(row["text"].split())
        key = digest(normalise(text))
        if len(text.split()) in fits and key not in taken:
            taken.add(key)
            yield text


def _merge(shards: list[Path], folders: list[Path], labels: list[str], output: Path) -> None:
    """Write the mean of the teachers' scores of each text."""
    with replacing(output / "soft.jsonl.gz") as temporary:
        _write(temporary, _means(shards, folders, labels))


def _means(shards: list[Path], folders: list[Path], labels: list[str]) -> Iterator[dict[str, Any]]:
    for shard in tqdm(shards, desc="means", unit=" files"):
        with ExitStack() as stack:
            files = [stack.enter_context(gzip.open(folder / shard.name)) for folder in folders]
            for lines in zip(*files, strict=True):
                rows = [json.loads(line) for line in lines]
                scores = [[row["scores"][label] for label in labels] for row in rows]
                means = numpy.mean(scores, axis=0).round(DIGITS).tolist()
                yield {"text": rows[0]["text"], "soft": dict(zip(labels, means, strict=True))}


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write rows packed, without a time: the same rows make the same file."""
    with path.open("wb") as plain, gzip.GzipFile("", "wb", 6, plain, 0) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode("utf8") + b"\n")


def main(
    output: Annotated[Path, typer.Argument(help="Folder for soft.jsonl.gz")],
    teachers: Annotated[
        list[Path], typer.Argument(help="Pipelines with tuned thresholds", exists=True)
    ],
    corpus: Annotated[Path, typer.Option(help="Folder of train.spacy and the held-out splits")],
    raw: Annotated[str, typer.Option(help="Texts without labels, file or folder; or none")] = "",
    limit: Annotated[int, typer.Option(help="Raw texts to take", min=0)] = 120_000,
    min_words: Annotated[int, typer.Option(help="Of a raw text", min=1)] = 3,
    max_words: Annotated[int, typer.Option(help="Of a raw text", min=1)] = 30,
    workers: Annotated[int, typer.Option(help="Processes", min=1)] = 2,
    gpu_id: Annotated[
        int, typer.Option(help="-1 for the CPU, else a GPU of Ray's choice per worker", min=-1)
    ] = -1,
    address: Annotated[str, typer.Option(help="Of a Ray cluster; auto finds it")] = "local",
) -> None:
    """Label posts and raw texts softly by one or several pipelines; run it again after a kill."""
    try:
        found = soft_labels(
            teachers,
            corpus,
            output,
            raw=Path(raw) if raw else None,
            limit=limit,
            min_words=min_words,
            max_words=max_words,
            workers=workers,
            gpu_id=gpu_id,
            address=address,
        )
    except ValueError as error:
        msg.fail("No soft labels", str(error), exits=1)
    what = f"{found['posts']:,} posts and {found['raw']:,} raw texts"
    said = f"{what}, mean of {found['teachers']} teachers, {found['seconds'] / 60:.1f} minutes"
    msg.good(f"{said}: {output / 'soft.jsonl.gz'}")


if __name__ == "__main__":
    typer.run(main)
