"""Logger that keeps a copy of the best few models of a training."""

import math
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.util import registry

COPY = re.compile(r"\.?step-\d{6,}-score--?\d+\.\d{4}(\.tmp)?")  # whole, or left by a kill


@registry.loggers("goemotions.TopKCheckpoints.v1")
def create_top_k(logger: Callable, k: int = 3, folder: str = "top") -> Callable:
    """Create a logger that keeps copies of the k best models beside model-best and model-last.

    A copy is named by step and score: top/step-000200-score-0.5123. Of equal scores the earlier
    stays. Copies of an earlier training in the same folder are deleted.

    logger: What else to log by, e.g. spacy.ConsoleLogger.v1.
    k (models): How many to keep at most.
    folder: Name of the folder for them in the output folder.
    RETURNS: What spaCy calls with the pipeline when training begins.
    RAISES ValueError: k or the name cannot be used; at the first evaluation, training has no
        output folder.
    """
    taken = ("", "..", "model-best", "model-last")
    if k < 1 or folder in taken or Path(folder).name != folder:
        raise ValueError(
            f"goemotions.TopKCheckpoints.v1: k {k}, folder {folder!r}. Expected 1 or more, and a "
            "name of its own."
        )

    def setup(nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr) -> tuple:
        log, finish = logger(nlp, stdout, stderr)

        def log_all(info: dict[str, Any] | None) -> None:
            log(info)
            if info is None:
                return
            if "output_path" not in info:
                raise ValueError("The training has no output folder. Expected --output FOLDER.")
            model = Path(info["output_path"])
            _keep(model, model.parent / folder, info, _best(info["checkpoints"], k))

        return log_all, finish

    return setup


def _keep(model: Path, folder: Path, info: dict[str, Any], wanted: list[str]) -> None:
    """Copy a model if it is among those wanted; delete copies that are not."""
    name = _name(info["score"], info["step"])
    folder.mkdir(exist_ok=True)
    found = [path for path in folder.iterdir() if COPY.fullmatch(path.name)]
    for path in found:
        if path.name not in wanted or path.name == name:
            shutil.rmtree(path)
    if name in wanted:
        temporary = folder / f".{name}.tmp"
        shutil.copytree(model, temporary)
        temporary.rename(folder / name)


def _best(checkpoints: list[tuple[float, int]], k: int) -> list[str]:
    """Return the names of the k best, by score and step of all evaluations."""
    # What is infinite is no score but goemotions.EarlyStopping.v1's sign to end.
    scored = [(score, step) for score, step in checkpoints if math.isfinite(score)]
    ranked = sorted(scored, key=lambda pair: (-pair[0], pair[1]))
    return [_name(*pair) for pair in ranked[:k]]


def _name(score: float, step: int) -> str:
    return f"step-{step:06d}-score-{score:.4f}"
