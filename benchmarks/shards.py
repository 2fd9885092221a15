"""Time scripts.predict_shards: one process without Ray, and workers with it."""

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from wasabi import msg

from benchmarks.conditions import alone, conditions, write_result
from scripts.corpus import read_corpus
from scripts.predict_shards import Worker, predict_shards


def compare(model: Path, data: str, files: int, workers: int) -> dict[str, float]:
    """Predict the training posts of a data set, cut into files.

    RETURNS: Posts per second of one process, reading and writing included, and of one and several
        workers on Ray, whose start is in the time.
    """
    texts, _ = read_corpus(Path("corpus") / data / "train.spacy")
    with tempfile.TemporaryDirectory() as folder:
        source, found = Path(folder) / "in", {}
        source.mkdir()
        for number in range(files):
            rows = (json.dumps({"text": text}) for text in texts[number::files])
            (source / f"{number:03}.jsonl").write_text("\n".join(rows) + "\n")
        found["one_process"] = alone(time_plain, model, source, Path(folder) / "plain")
        for count in (1, workers):
            output = Path(folder) / f"ray-{count}"
            found[f"ray_{count}"] = alone(time_ray, model, source, output, count)
    return {name: round(value, 1) for name, value in found.items()}


def time_plain(model: Path, source: Path, output: Path) -> float:
    """Return the posts per second of a process that has loaded the pipeline, on one core."""
    torch.set_num_threads(1)
    worker = Worker(Path.cwd(), model, source, output, -1)
    start = time.perf_counter()
    names = sorted(path.name for path in source.iterdir())
    posts = sum(worker({"file": name})["posts"] for name in names)
    return posts / (time.perf_counter() - start)


def time_ray(model: Path, source: Path, output: Path, workers: int) -> float:
    """Return the posts per second of the command, start of Ray included."""
    found = predict_shards(model, source, output, workers=workers)
    return found["posts"] / found["seconds"]


def main(
    model: Annotated[Path, typer.Argument(help="Pipeline with tuned thresholds", exists=True)],
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
    files: Annotated[int, typer.Option(help="Files to cut it into", min=2)] = 20,
    workers: Annotated[int, typer.Option(help="Workers to compare with one", min=2)] = 2,
) -> None:
    """Time the prediction of files, each process with one core."""
    before = conditions("shards", 0)
    result = compare(model, data, files, workers)
    output = Path("metrics") / data / "benchmark_shards.json"
    write_result(output, {"files": files, "results": result, "conditions": before})
    msg.table([(name, f"{value:,.0f}") for name, value in result.items()], header=("", "posts/s"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
