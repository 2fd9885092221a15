"""Train a config with several workers on Ray, each on a share of every batch."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from scripts.train_on_ray import DONE, ERROR, LOG, RAY, fit, following
from scripts.train_worker import STATE
from scripts.training_folder import write_facts

FACTS = "facts.json"


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
        with connected(address, workers, resources, workers), following(work / LOG):
            fit(config, work, overrides, workers, cores, gpu_id)
        facts["seconds"] = round(before + time.perf_counter() - start, 1)
        write_facts(work, facts)
        with replacing(output) as temporary:
            work.rename(temporary)
        for name in (STATE, LOG, DONE, RAY, FACTS):
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
