"""Run the workers of a parallel training on Ray, and replace those that die."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from scripts.exchange import process_group
from scripts.files import remove
from scripts.train_worker import STATE, Worker
from scripts.training_log import noting

LOG, ERROR, DONE, TABLE, RAY = "log.txt", "error.txt", "done", "log.csv", "ray"
MAX_FAILURES = 3  # of workers, each gone on from


def fit(
    config: Path, work: Path, overrides: dict[str, Any], workers: int, cores: int, gpu_id: int
) -> None:
    """Run the workers of a training; Ray is connected.

    config, overrides: What to train.
    work: Folder that all workers see, for models, state and log.
    cores, gpu_id: CPU cores of each; -1 for the CPU, else each gets a GPU.
    RAISES ValueError: They gave up; with the reason.
    """
    from ray import train
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    mine = 0 if gpu_id >= 0 else -1  # of the GPUs that a worker sees
    settings = {"config": config, "work": work, "overrides": overrides, "gpu_id": mine}
    remove(work / RAY)
    remove(work / DONE)
    trainer = DataParallelTrainer(  # not TorchTrainer: it shows each worker the GPUs of all
        partial(_run, Path.cwd()),
        train_loop_config=settings,
        scaling_config=train.ScalingConfig(
            num_workers=workers, use_gpu=gpu_id >= 0, resources_per_worker={"CPU": cores}
        ),
        run_config=train.RunConfig(
            name=RAY,
            storage_path=str(work),
            failure_config=train.FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    failure = "A worker ended and could not say why. Is the disk full?"
    try:
        trainer.fit()
    except train.TrainingFailedError as error:
        failure = str(error).strip().splitlines()[-1]
    if not (work / DONE).exists():
        failure = _text_of(work / ERROR) or failure
        if (work / STATE).exists():
            failure += f"\nWhat was learned is in {work}; --resume goes on with it."
        else:
            remove(work)
        raise ValueError(failure)


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf8") if path.exists() else ""


def _run(project: Path, settings: dict[str, Any]) -> None:
    """Be one worker, in a process of Ray's."""
    from ray.train import get_context
    from ray.train.collective import broadcast_from_rank_zero
    from ray.util import get_node_ip_address

    os.chdir(project)
    me = get_context()
    group = process_group(
        me.get_world_rank(),
        me.get_world_size(),
        get_node_ip_address(),
        broadcast_from_rank_zero,
        "gloo" if settings["gpu_id"] < 0 else "nccl",
    )
    log, note = settings["work"] / LOG, settings["work"] / ERROR
    if note.exists():
        return  # trying again will not help
    with log.open("a", encoding="utf8", buffering=1) as stream:
        try:
            with noting(settings["config"], settings["overrides"], settings["work"] / TABLE), group:
                Worker(**settings).train(stream, stream)
            if me.get_world_rank() == 0:
                (settings["work"] / DONE).touch()
        except RuntimeError:  # among them that another worker is gone: Ray tries again
            raise
        except Exception as error:
            note.write_text(f"{type(error).__name__}: {error}", encoding="utf8")
            raise  # so that Ray ends the others


@contextmanager
def following(log: Path) -> Iterator[None]:
    """While the block runs, print what the first worker writes to its log, as it comes."""
    ended = threading.Event()
    position = log.stat().st_size if log.exists() else 0

    def follow() -> None:
        nonlocal position
        last = False
        while not last:
            last = ended.wait(0.5)
            if log.exists():
                with log.open(encoding="utf8") as lines:
                    lines.seek(position)
                    sys.stdout.write(lines.read())
                    sys.stdout.flush()
                    position = lines.tell()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
