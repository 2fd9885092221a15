"""Time scripts.preprocess against the script that anyone would write first."""

import csv
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.tokens import DocBin
from wasabi import msg

from benchmarks.conditions import alone, conditions, write_result
from plugins.tokenizer import create_tokenizer
from scripts.lang import PLACEHOLDERS
from scripts.posts import read_labels
from scripts.preprocess import preprocess

SPLITS = ("train", "dev", "test")


def straightforward(source: Path, output: Path) -> int:
    """Convert a folder in GoEmotions format row by row, checking nothing; return the docs."""
    labels = read_labels(source)
    nlp = spacy.blank("en")
    nlp.tokenizer = create_tokenizer(PLACEHOLDERS)(nlp)
    output.mkdir()
    docs = 0
    for split in SPLITS:
        found = DocBin()
        with (source / f"{split}.tsv").open(encoding="utf8", newline="") as stream:
            for text, numbers, _ in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
                doc = nlp.make_doc(text)
                on = {int(number) for number in numbers.split(",")}
                doc.cats = {label: float(j in on) for j, label in enumerate(labels)}
                found.add(doc)
        docs += len(found)
        found.to_disk(output / f"{split}.spacy")
    return docs


def with_checks(source: Path, output: Path, n_process: int) -> int:
    """Convert a folder with scripts.preprocess; return the docs."""
    report = preprocess(source, output, n_process=n_process)
    return sum(split["posts"] for split in report["splits"].values())


WAYS = {
    "straightforward": straightforward,
    "preprocess_1": partial(with_checks, n_process=1),
    "preprocess_2": partial(with_checks, n_process=2),
}


def compare(source: Path, repeats: int = 3) -> dict[str, Any]:
    """Time both ways on the same files, in turns.

    source: Folder in GoEmotions format with train, dev and test.
    RETURNS: docs, docs/s of each way (median of the repeats), all seconds, ratios.
    RAISES ValueError: A split is missing.
    """
    for split in SPLITS:
        if not (source / f"{split}.tsv").exists():
            raise ValueError(f"{source / split}.tsv: no such file. Expected GoEmotions format.")
    docs = 0
    seconds: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, work in WAYS.items():
            # In a process of its own: whoever came second would find spaCy warm.
            docs, spent = alone(_time, work, source)
            seconds.setdefault(name, []).append(spent)
    speed = {name: docs / statistics.median(times) for name, times in seconds.items()}
    return {
        "docs": docs,
        "docs_per_second": {name: round(value, 1) for name, value in speed.items()},
        "ratio_to_straightforward": {
            name: round(value / speed["straightforward"], 2) for name, value in speed.items()
        },
        "seconds": {name: [round(s, 2) for s in times] for name, times in seconds.items()},
    }


def _time(work: Callable[[Path, Path], int], source: Path) -> tuple[int, float]:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        docs = work(source, Path(folder) / "corpus")
        return docs, time.perf_counter() - start


def main(
    data: Annotated[str, typer.Option(help="Data set in assets/, as TSV")] = "goemotions",
    repeats: Annotated[int, typer.Option(help="Turns; the median counts", min=1)] = 3,
) -> None:
    """Time scripts.preprocess with 1 and 2 processes against a straightforward script."""
    before = conditions("preprocess", 0)
    try:
        result = compare(Path("assets") / data, repeats)
    except ValueError as error:
        msg.fail("Cannot compare", str(error), exits=1)
    output = Path("metrics") / data / "benchmark_preprocess.json"
    write_result(output, {**result, "conditions": before})
    ratios = result["ratio_to_straightforward"]
    rows = [(n, f"{s:.0f}", f"{ratios[n]:.2f}") for n, s in result["docs_per_second"].items()]
    msg.table(rows, header=("way", "docs/s", "ratio"), divider=True, aligns=("l", "r", "r"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
