"""Train a config with several workers on Ray, each on a share of every batch."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from filelock import FileLock, Timeout
from spacy.cli._util import parse_config_overrides
from spacy.util import load_config
from wasabi import msg

from scripts.check_config import check_config, check_inputs
from scripts.files import check_output, hash_of, remove, replacing
from scripts.on_ray import connected
from scripts.train import with_dashes
from scripts.training_log import noting

FACTS, LOG, ERROR, STATE = "facts.json", "log.txt", "error.txt", "state.msgpack"
TABLE, DONE = "log.csv", "done"
MAX_FAILURES = 3  # of workers, each gone on from


def train_parallel(
    config: Path,
    output: Path,
    *,
    workers: int = 2,
    cores: int = 1,
    gpu_id: int = -1,
    address: str = "local",
    resume: bool = False,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train as `spacy train` does, with workers that each take a share of every batch.

    The gradients of the shares are added up, so that the settings mean what they mean with one
    worker, and one worker makes the same model as `spacy train`. Each evaluation is saved: a worker
    that dies is replaced and goes on from there.

    config: What to train.
    output: Folder for model-best, model-last, training.json and log.csv, as scripts.train makes it;
        an earlier one stays until this one is complete. Workers on other machines must see it, and
        the project, under the same path.
    workers: Processes.
    cores: CPU cores of each.
    gpu_id: -1 for the CPU; with any other each worker gets a GPU, which Ray chooses.
    address: Of a Ray cluster; "local" starts one for this training on this machine.
    resume: Go on with a training that was killed.
    RETURNS: What training.json holds.
    RAISES ValueError: A bad key or path, too few cores, an earlier training that was killed.
    """
    overrides = dict(overrides or {})
    check_output(output, "trained model", ["training.json"])
    check_config(config, overrides)
    check_inputs(config, overrides)
    work = output.with_name(f".{output.name}.partial").resolve()
    facts = _facts(config, overrides, workers, gpu_id)
    with _alone(work):
        before = _prepare(work, facts, resume)
        start = time.perf_counter()
        resources = {"cpu": cores, "gpu": int(gpu_id >= 0)}
        with connected(address, workers, resources, workers), _following(work / LOG):
            _fit(config, work, overrides, workers, cores, gpu_id)
        facts["seconds"] = round(before + time.perf_counter() - start, 1)
        text = json.dumps(facts, indent=2) + "\n"
        for folder in (work, work / "model-best", work / "model-last"):
            (folder / "training.json").write_text(text, encoding="utf8")
        with replacing(output) as temporary:
            work.rename(temporary)
        for name in (STATE, LOG, DONE, "ray", FACTS):
            remove(output / name)
    return facts


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Refuse a second training into the same folder while this one runs."""
    work.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{work}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"{work}: another training is at it. Expected one at a time.") from error
    try:
        yield
    finally:
        lock.release()
        remove(Path(lock.lock_file))


def _facts(config: Path, overrides: dict[str, Any], workers: int, gpu_id: int) -> dict[str, Any]:
    """Return what a training must have in common with the one that it goes on with."""
    whole = load_config(config, overrides=overrides, interpolate=True)
    files = [Path(str(path)) for path in whole.get("paths", {}).values() if path]
    data = {path.as_posix(): hash_of(path) for path in files if path.exists()}
    return {
        "config": config.as_posix(),
        "config_file_sha256": hash_of(config),
        "config_sha256": sha256(whole.to_str().encode("utf8")).hexdigest(),
        "overrides": overrides,
        "data": data,
        "workers": workers,
        "gpu_id": gpu_id,
    }


def _prepare(work: Path, facts: dict[str, Any], resume: bool) -> float:
    """Make the folder of a training, or see that the one there is the same training.

    RETURNS: Seconds that the one there has taken.
    """
    if resume and not (work / FACTS).exists():
        raise ValueError(f"{work}: no training to go on with. Expected none of --resume.")
    if not (work / STATE).exists():
        remove(work)  # of a training that had learned nothing yet
    elif not resume:
        raise ValueError(
            f"{work}: a training that did not end. Go on with it (--resume), or delete the folder."
        )
    else:
        before = json.loads((work / FACTS).read_text(encoding="utf8"))
        changed = [key for key, value in facts.items() if before.get(key) != value]
        if changed:
            raise ValueError(
                f"{work}: a training with other {', '.join(changed)}. Expected the same, or delete "
                "the folder to begin anew."
            )
    remove(work / ERROR)
    work.mkdir(parents=True, exist_ok=True)
    with replacing(work / FACTS) as temporary:
        temporary.write_text(json.dumps(facts), encoding="utf8")
    return srsly.read_msgpack(work / STATE)["seconds"] if (work / STATE).exists() else 0.0


def _fit(
    config: Path, work: Path, overrides: dict[str, Any], workers: int, cores: int, gpu_id: int
) -> None:
    """Run the workers, and raise ValueError with the reason if they gave up."""
    from ray import train
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    mine = 0 if gpu_id >= 0 else -1  # of the GPUs that a worker sees
    settings = {"config": config, "work": work, "overrides": overrides, "gpu_id": mine}
    remove(work / "ray")
    remove(work / DONE)
    trainer = DataParallelTrainer(  # not TorchTrainer: it shows each worker the GPUs of all
        partial(_run, Path.cwd()),
        train_loop_config=settings,
        scaling_config=train.ScalingConfig(
            num_workers=workers, use_gpu=gpu_id >= 0, resources_per_worker={"CPU": cores}
        ),
        run_config=train.RunConfig(
            name="ray",
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

    from scripts.exchange import process_group
    from scripts.train_worker import Worker

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
def _following(log: Path) -> Iterator[None]:
    """Print what the first worker writes to its log, as it comes."""
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


def main(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config to train", exists=True, dir_okay=False)],
    output: Annotated[Path, typer.Argument(help="Folder for model-best and model-last")],
    workers: Annotated[int, typer.Option(help="Processes that share each batch", min=1)] = 2,
    cores: Annotated[int, typer.Option(help="CPU cores per worker", min=1)] = 1,
    gpu_id: Annotated[
        int, typer.Option(help="-1 for the CPU, else a GPU of Ray's choice per worker", min=-1)
    ] = -1,
    address: Annotated[str, typer.Option(help="Of a Ray cluster; auto finds it")] = "local",
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill")] = False,
) -> None:
    """Train on several cores or machines; further options override the config's values."""
    try:
        overrides = parse_config_overrides(with_dashes(ctx.args))
        facts = train_parallel(
            config,
            output,
            workers=workers,
            cores=cores,
            gpu_id=gpu_id,
            address=address,
            resume=resume,
            overrides=overrides,
        )
    except ValueError as error:
        msg.fail("Cannot train", str(error), exits=1)
    msg.good(f"Trained in {facts['seconds'] / 60:.1f} minutes: {output / 'model-best'}")


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
