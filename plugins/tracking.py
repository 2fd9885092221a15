"""Track a training in TensorBoard or MLflow: config, losses, scores and speed."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.training.loggers import console_logger
from spacy.util import dict_to_dot, registry

BATCH, LONGEST = 100, 6000  # parameters that MLflow takes at a time, characters of each
WIDEST = 240  # characters of a name
Log = Callable[[dict[str, float], int], None]


@registry.loggers("goemotions.TensorBoard.v1")
def create_tensorboard_logger(
    path: Path = "training/tensorboard", run: str = "", console: bool = True
) -> Callable:
    """Create a logger that writes event files; `tensorboard --logdir training/tensorboard` reads.

    path: Folder for the runs.
    run: Folder of this one in it; date and time if empty.
    console: Print spaCy's table as well; not needed beside another logger that does.
    RETURNS: What spaCy calls with the pipeline when training begins.
    RAISES ValueError: The package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    except ImportError as error:
        raise ValueError("goemotions.TensorBoard.v1 needs `pip install tensorboard`.") from error

    def begin(settings: dict[str, Any]) -> tuple[Log, Callable]:
        name = run or f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        writer = SummaryWriter(str(Path(path) / name))
        for summary in hparams(settings, {"score": 0.0}):
            writer.file_writer.add_summary(summary)

        def log(numbers: dict[str, float], step: int) -> None:
            for key, value in numbers.items():
                writer.add_scalar(key, value, step)
            writer.flush()  # so that it can be watched, and is there after a crash

        return log, writer.close

    return _logger(begin, console)


@registry.loggers("goemotions.MLflow.v1")
def create_mlflow_logger(
    uri: str = "sqlite:///training/mlflow.db",
    experiment: str = "goemotions",
    run: str = "",
    console: bool = True,
) -> Callable:
    """Create a logger of runs that MLflow shows and compares.

    spacy.MLflowLogger.v2 notes all evaluations as step 0 and stores a copy of the model at each
    that is the best so far; this one does neither.

    uri: Where MLflow keeps its runs: a database, or the address of a server.
    experiment: Name that the runs stand under; made if it is new.
    run: Name of this one; MLflow makes one up if it is empty.
    console: Print spaCy's table as well; not needed beside another logger that does.
    RETURNS: What spaCy calls with the pipeline when training begins.
    RAISES ValueError: The package mlflow is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it reports on its use
    try:
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise ValueError("goemotions.MLflow.v1 needs `pip install mlflow-skinny`.") from error

    def begin(settings: dict[str, Any]) -> tuple[Log, Callable]:
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(uri)
        known = client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else client.create_experiment(experiment)
        identity = client.create_run(number, run_name=run or None).info.run_id
        named = _names(settings)
        parameters = [Param(named[k], str(v)[:LONGEST]) for k, v in settings.items()]
        for start in range(0, len(parameters), BATCH):
            client.log_batch(identity, params=parameters[start : start + BATCH])

        def log(numbers: dict[str, float], step: int) -> None:
            now = int(time.time() * 1000)
            named = _names(numbers)
            client.log_batch(identity, [Metric(named[k], v, now, step) for k, v in numbers.items()])

        def finish() -> None:
            # spaCy calls this whatever has happened.
            kind = sys.exc_info()[0]
            stopped = "KILLED" if kind and issubclass(kind, KeyboardInterrupt) else "FAILED"
            client.set_terminated(identity, stopped if kind else "FINISHED")

        return log, finish

    return _logger(begin, console)


def numbers_of(info: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of an evaluation by their names: score, loss/…, scores/… and so on.

    info: What spaCy tells its loggers.
    """
    found = {"score": info["score"], "epoch": info["epoch"]}
    found |= {f"loss/{name}": loss for name, loss in info["losses"].items()}
    scores = dict_to_dot(info["other_scores"])
    found |= {f"scores/{_path(name.split('.'))}": score for name, score in scores.items()}
    if info["seconds"]:
        found["words_per_second"] = info["words"] / info["seconds"]
    return {key: float(value) for key, value in found.items() if isinstance(value, int | float)}


def settings_of(nlp: Language) -> dict[str, bool | int | float | str]:
    """Return the values of a pipeline's config by dotted key, lists and null as JSON."""
    plain = (bool, int, float, str)
    return {
        key: value if isinstance(value, plain) else json.dumps(value, default=str)
        for key, value in dict_to_dot(nlp.config.interpolate()).items()
    }


def _logger(begin: Callable, console: bool) -> Callable:
    """Return a logger of spaCy's, of a function that takes settings and returns log and finish."""

    def setup(nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr) -> tuple:
        log, finish = begin(settings_of(nlp))
        printing = console_logger()(nlp, stdout, stderr) if console else None

        def log_all(info: dict[str, Any] | None) -> None:
            if printing:
                printing[0](info)
            if info is not None:
                log(numbers_of(info), info["step"])

        def finish_all() -> None:
            if printing:
                printing[1]()
            finish()

        return log_all, finish_all

    return setup


def _path(parts: list[str]) -> str:
    """Return parts with slashes between; a label may have dots and slashes of its own."""
    return "/".join(part.replace("/", "_") for part in parts if part)


def _names(found: Iterable[str]) -> dict[str, str]:
    """Return for each name one that MLflow takes, and that no other has."""
    allowed: dict[str, str] = {}
    for name in found:
        clean = new = re.sub(r"[^\w./ -]", "_", name.replace("@", ""))[:WIDEST]
        number = 1
        while new in allowed.values():
            number += 1
            new = f"{clean}_{number}"
        allowed[name] = new
    return allowed
