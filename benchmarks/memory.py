"""Measure the most memory of preprocess, readers and training, for 50,000 to 5 million posts."""

import gzip
import json
import multiprocessing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import psutil
import spacy
import typer
from spacy.training import Example
from tqdm import tqdm
from wasabi import msg

from benchmarks.conditions import conditions, write_result
from benchmarks.stream import SHARD, generate
from plugins.shards import create_shards
from plugins.stream import create_stream
from plugins.tokenizer import create_tokenizer
from scripts.files import remove, replacing
from scripts.lang import PLACEHOLDERS
from scripts.plots import plot_memory
from scripts.posts import read_labels
from scripts.preprocess import preprocess
from scripts.train import train

SIZES = (50_000, 500_000, 5_000_000)
BUFFER, STEPS, DEV = 10_000, 2000, 2000
EVERY = 0.2  # seconds from one look at the memory to the next
ENCODER = "components.textcat_multilabel.model.tok2vec.encode"


def write_data(folder: Path, posts: int, labels: list[str]) -> None:
    """Write a data set of the first so many made-up posts, and them again as .jsonl.gz.

    folder: For train.tsv, dev.tsv, labels.txt and stream/; beside it is tsv/, with files of 50,000
        posts each.
    """
    files = sorted((folder.parent / "tsv").glob("*.tsv"))[: posts // SHARD]
    (folder / "stream").mkdir(parents=True)
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    lines = files[-1].read_text(encoding="utf8").splitlines(keepends=True)[-DEV:]
    (folder / "dev.tsv").write_text("".join(lines), encoding="utf8")
    with (folder / "train.tsv").open("w", encoding="utf8") as train_file:
        for file in tqdm(files, desc="data", unit="files"):
            text = file.read_text(encoding="utf8")
            train_file.write(text)
            packed = folder / "stream" / f"{file.stem}.jsonl.gz"
            with gzip.open(packed, "wt", compresslevel=1, encoding="utf8") as stream:
                for line in text.splitlines():
                    words, ids, _ = line.split("\t")
                    names = [labels[int(number)] for number in ids.split(",")]
                    stream.write(json.dumps({"text": words, "labels": names}) + "\n")


def run_nothing(folder: Path, posts: int) -> None:
    """Load what all of them load."""
    spacy.blank("en").make_doc("Nothing to see here")


def run_preprocess(folder: Path, posts: int) -> None:
    """Convert the posts in one process."""
    report = preprocess(folder, folder / "corpus", n_process=1)
    _expect(posts, report["splits"]["train"]["posts"])


def run_shards(folder: Path, posts: int) -> None:
    """Read the shards, shuffled, once."""
    labels = folder / "corpus" / "labels.json"
    _read(create_shards(folder / "corpus" / "train.spacy", labels, BUFFER), posts)


def run_stream(folder: Path, posts: int) -> None:
    """Stream the .jsonl.gz, shuffled, once."""
    _read(create_stream(folder / "stream", folder / "labels.txt", BUFFER), posts)


def run_training(folder: Path, posts: int) -> None:
    """Train configs/cnn.cfg, narrow for speed, from the shards."""
    corpus = folder / "corpus"
    overrides = {
        "paths.train": str(corpus / "train.spacy"),
        "paths.dev": str(corpus / "dev.spacy"),
        "paths.labels": str(corpus / "labels.json"),
        "corpora.train.@readers": "goemotions.Shards.v1",
        "corpora.train.shuffle_buffer": BUFFER,
        "training.max_epochs": -1,
        "training.max_steps": STEPS,
        "training.patience": 0,
        f"{ENCODER}.width": 32,
        f"{ENCODER}.depth": 1,
    }
    train(Path("configs/cnn.cfg"), folder / "trained", overrides=overrides)


STAGES: dict[str, Callable[[Path, int], None]] = {
    "preprocess": run_preprocess,
    "training": run_training,
    "shards": run_shards,
    "stream": run_stream,
}


def _read(read: Callable[[spacy.Language], Iterable[Example]], posts: int) -> None:
    nlp = spacy.blank("en")
    nlp.tokenizer = create_tokenizer(PLACEHOLDERS)(nlp)
    _expect(posts, sum(1 for _ in tqdm(read(nlp), total=posts, unit="posts")))


def _expect(posts: int, found: int) -> None:
    if found != posts:
        raise ValueError(f"{found} posts. Expected {posts}.")


def peak_of(work: Callable[..., None], *arguments: Any) -> float:
    """Run a function in a new process; return the most memory of it and its children, in MB.

    RAISES ValueError: It failed.
    """
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    most = 0.0
    while process.is_alive():
        most = max(most, _resident(process.pid or 0))
        process.join(EVERY)
    if process.exitcode:
        raise ValueError(f"{work.__name__} of {arguments[-1]} posts failed, see above.")
    return most


def _resident(pid: int) -> float:
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # it has just ended
        pass
    return total / 1e6


def compare(labels: list[str], sizes: list[int], work: Path, seed: int = 0) -> dict[str, Any]:
    """Measure every stage for every size; what is in `work` already is not measured again.

    sizes (posts): Whole fifty thousands.
    work: Folder for the posts and what has been measured.
    RETURNS: MB of a process that does nothing, of each stage by posts, and the ratios of the
        largest size to the smallest.
    RAISES ValueError: Another size, or a stage failed.
    """
    if not sizes or any(size < SHARD or size % SHARD for size in sizes):
        raise ValueError(f"{sizes} posts. Expected multiples of {SHARD}.")
    work.mkdir(parents=True, exist_ok=True)
    known = work / "measured.json"
    measured = json.loads(known.read_text()) if known.exists() else {}
    if not measured:
        remove(work / "tsv")
        (work / "tsv").mkdir()
        found = generate(work / "tsv", max(sizes), len(labels), seed)
        measured["distinct_words"] = {str(size): found[size] for size in sizes}
        measured["nothing_mb"] = round(peak_of(run_nothing, work, 0), 1)
        measured["peak_mb"] = {name: {} for name in STAGES}
        write_result(known, measured)
    for size in sorted(sizes):
        _measure(work, size, labels, measured)
    first, last = str(min(sizes)), str(max(sizes))
    peaks = measured["peak_mb"]
    ratios = {name: round(found[last] / found[first], 3) for name, found in peaks.items()}
    return {**measured, "ratio_last_to_first": ratios}


def _measure(work: Path, size: int, labels: list[str], measured: dict[str, Any]) -> None:
    """Measure the stages of a size that have not been, and keep each result."""
    folder = work / str(size)
    for name, stage in STAGES.items():
        found = measured["peak_mb"][name]
        if str(size) in found:
            continue
        if not folder.exists():
            with replacing(folder) as temporary:
                write_data(temporary, size, labels)
        found[str(size)] = round(peak_of(stage, folder, size), 1)
        msg.info(f"{name}, {size:,} posts: {found[str(size)]:,.0f} MB")
        write_result(work / "measured.json", measured)
    remove(folder)


def main(
    data: Annotated[str, typer.Option(help="Data set in assets/ with the labels")] = "goemotions",
    posts: Annotated[list[int], typer.Option(help="Sizes; again for each one")] = list(SIZES),  # noqa: B006
    work: Annotated[
        Path, typer.Option(help="Folder for 1.5 GB of posts; after a kill, the same one goes on")
    ] = Path("training/benchmark_memory"),
) -> None:
    """Measure the most memory of preprocess, readers and training, for 50 thousand to 5 million."""
    before = conditions("memory", 0)
    try:
        result = compare(read_labels(Path("assets") / data), posts, work)
    except ValueError as error:
        msg.fail("Cannot measure", str(error), exits=1)
    output = Path("metrics") / data / "benchmark_memory.json"
    settings = {"shuffle_buffer": BUFFER, "shard_size": SHARD, "training_steps": STEPS}
    write_result(output, {**result, "settings": settings, "conditions": before})
    plot_memory(result["peak_mb"], result["nothing_mb"], output.with_suffix(".png"))
    remove(work)
    header = ("MB", *(f"{size:,}" for size in sorted(posts)), "ratio")
    rows = [
        (name, *(f"{found[str(size)]:,.0f}" for size in sorted(posts)),
         result["ratio_last_to_first"][name])
        for name, found in result["peak_mb"].items()
    ]  # fmt: skip
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(posts) + 1)))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
