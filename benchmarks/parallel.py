"""Time updates of parallel training with one worker and with several, at the same share of each."""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import srsly
import torch.multiprocessing as mp
import typer
from spacy.util import load_config
from wasabi import msg

from benchmarks.conditions import conditions, write_result
from scripts.exchange import process_group
from scripts.train_worker import Worker


def compare(
    configs: list[Path], data: str, workers: int, steps: list[int], repeats: int
) -> dict[str, Any]:
    """Time one worker and several in turns.

    steps: Updates that are timed of each config, after a fifth as many that are not.
    repeats: Turns; the median counts.
    RETURNS: By config: posts_per_second of one and of all, their ratio, posts of a share, and
        milliseconds that one exchange of gradients takes.
    """
    results = {}
    for config, count in zip(configs, steps, strict=True):
        size = load_config(config, interpolate=True)["training"]["batcher"]["size"]
        turns = [
            {n: time_workers(config, data, n, size * n, count) for n in (1, workers)}
            for _ in range(repeats)
        ]
        one, all_ = (
            statistics.median(turn[n]["posts_per_second"] for turn in turns) for n in (1, workers)
        )
        results[config.stem] = {
            "one": round(one, 1),
            "all": round(all_, 1),
            "ratio": round(all_ / one, 2),
            "ratios": [
                round(turn[workers]["posts_per_second"] / turn[1]["posts_per_second"], 2)
                for turn in turns
            ],
            "posts_of_a_share": size,
            "exchange_ms": round(statistics.median(t[workers]["exchange_ms"] for t in turns), 1),
        }
    return results


def time_workers(config: Path, data: str, workers: int, size: int, steps: int) -> dict[str, float]:
    """Start workers, each with one core, and return what the first one measured."""
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_time, (workers, config, data, size, steps, Path(folder)), nprocs=workers)
        return srsly.read_json(Path(folder) / "result.json")


def joined_by_file(rank: int, workers: int, folder: Path) -> Any:
    """Join a group of processes of this machine, the first of which leaves its place in a file.

    RETURNS: The context of scripts.exchange.process_group.
    """

    def tell(place: Any) -> Any:
        if rank == 0:
            srsly.write_json(folder / ".place", place)
            (folder / ".place").rename(folder / "place.json")
        while not (folder / "place.json").exists():
            time.sleep(0.01)
        return srsly.read_json(folder / "place.json")

    return process_group(rank, workers, "127.0.0.1", tell, "gloo")


def _time(
    rank: int, workers: int, config: Path, data: str, size: int, steps: int, folder: Path
) -> None:
    corpus = Path("corpus") / data
    paths = {"train": "train.spacy", "dev": "dev.spacy", "labels": "labels.json"}
    overrides = {f"paths.{key}": str(corpus / name) for key, name in paths.items()}
    overrides["training.batcher.size"] = size
    with joined_by_file(rank, workers, folder):
        worker = Worker(config, overrides, folder)
        exchanges: list[float] = []
        if worker.exchange:
            _watch(worker.exchange, exchanges)
        posts, losses, start, unmeasured = 0, {}, 0.0, steps // 5
        for step, (_, batch) in enumerate(worker.batches({"step": -1})):
            if step == unmeasured:
                posts, start = 0, time.perf_counter()
                exchanges.clear()
            if step == unmeasured + steps:
                break
            worker._update(batch, 0.1, losses)
            posts += len(batch)
        seconds = time.perf_counter() - start
    if rank == 0:
        result = {"posts_per_second": posts / seconds}
        result["exchange_ms"] = 1000 * statistics.median(exchanges or [0.0])
        srsly.write_json(folder / "result.json", result)


def _watch(exchange: Any, times: list[float]) -> None:
    """Note how long each exchange takes, waiting for the slowest worker included."""
    original = exchange.sum_gradients

    def timed() -> None:
        start = time.perf_counter()
        original()
        times.append(time.perf_counter() - start)

    exchange.sum_gradients = timed


def main(
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
    workers: Annotated[int, typer.Option(help="Workers to compare with one", min=2)] = 2,
    steps: Annotated[int, typer.Option(help="Updates of cnn; a fifth as many of bert")] = 150,
    repeats: Annotated[int, typer.Option(help="Turns; the median counts", min=1)] = 3,
) -> None:
    """Time updates of cnn and bert with one worker and with several, each with its own core."""
    before = conditions("parallel", 0)
    if not (Path("corpus") / data / "train.spacy").exists():
        msg.fail(f"No corpus/{data}/train.spacy. Run preprocess first", exits=1)
    configs = [Path("configs/cnn.cfg"), Path("configs/bert.cfg")]
    result = compare(configs, data, workers, [steps, steps // 5], repeats)
    output = Path("metrics") / data / "benchmark_parallel.json"
    write_result(output, {"workers": workers, "results": result, "conditions": before})
    rows = [(name, *(str(value) for value in r.values())) for name, r in result.items()]
    header = ("config", "posts/s of 1", f"of {workers}", "ratio", "turns", "share", "exchange ms")
    msg.table(rows, header=header, divider=True)
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
