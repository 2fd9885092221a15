"""Logger that ends a training: patience in evaluations, a least and a greatest number of epochs."""

import math
import sys
from collections.abc import Callable
from typing import IO, Any

from spacy.language import Language
from spacy.util import registry

NEVER = 1_000_000_000  # steps that no training comes to


@registry.loggers("goemotions.EarlyStopping.v1")
def create_early_stopping(
    logger: Callable,
    patience: int = 5,
    min_epochs: int = 0,
    max_epochs: int = 0,
    min_delta: float = 0.0,
) -> Callable:
    """Create a logger that ends the training after an evaluation, as training.max_steps would.

    spaCy ends a training by its patience alone, so that must be on, but too long to act:
    training.patience = 1000000000. training.max_steps and training.max_epochs hold as ever.

    logger: What else to log by, e.g. spacy.ConsoleLogger.v1.
    patience (evaluations): End after so many in a row of which none was better; 0 never does.
    min_epochs (passes): Not before so many are complete.
    max_epochs (passes): End when so many are complete, at the next evaluation; 0 never does. Also
        for a stream, of which training.max_epochs counts none.
    min_delta: A score is better if it is higher by more than this.
    RETURNS: What spaCy calls with the pipeline when training begins.
    RAISES ValueError: A number is out of range or none would ever end the training; when it begins,
        training.patience is too short.
    """
    if min(patience, min_epochs, max_epochs, min_delta) < 0 or 0 < max_epochs < min_epochs:
        raise ValueError(
            f"patience {patience}, min_epochs {min_epochs}, max_epochs {max_epochs}, min_delta "
            f"{min_delta}. Expected 0 or more, and no more min_epochs than max_epochs."
        )
    if not patience and not max_epochs:
        raise ValueError("goemotions.EarlyStopping.v1: patience 0, max_epochs 0. Expected one.")

    def reason(info: dict[str, Any]) -> str:
        """Say why to end the training after this evaluation; nothing if it goes on."""
        waited = _waited([score for score, _ in info["checkpoints"]], min_delta)
        if 0 < max_epochs <= info["epoch"]:
            return f"{info['epoch']} epochs are complete"
        if 0 < patience <= waited and min_epochs <= info["epoch"]:
            return f"none of {waited} evaluations was better"
        return ""

    def setup(nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr) -> tuple:
        of_spacy = nlp.config.interpolate()["training"]["patience"]
        _check_patience(of_spacy)
        log, finish = logger(nlp, stdout, stderr)
        ended = ""

        def log_all(info: dict[str, Any] | None) -> None:
            nonlocal ended
            if ended:
                raise ValueError(f"The training goes on, though {ended}. Expected spaCy's loop.")
            log(info)
            if info is not None and (ended := reason(info)):
                stdout.write(f"Training ends at step {info['step']}: {ended}.\n")
                # spaCy looks at this list next: for it, the best evaluation of all was long ago.
                info["checkpoints"].insert(0, (math.inf, info["step"] - of_spacy))

        return log_all, finish

    return setup


def _waited(scores: list[float], min_delta: float) -> int:
    """Return the evaluations since the last one that was better than all before it."""
    best, waited = scores[0], 0
    for score in scores[1:]:
        better = score > best + min_delta
        best, waited = (score, 0) if better else (best, waited + 1)
    return waited


def _check_patience(found: int) -> None:
    if found < NEVER:
        raise ValueError(
            f"training.patience {found}. Expected {NEVER} beside goemotions.EarlyStopping.v1, "
            "whose own patience it then is that counts."
        )
