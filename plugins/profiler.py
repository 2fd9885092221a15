"""Logger that finds out which functions a training spends its time in."""

import cProfile
import pstats
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from spacy.language import Language
from spacy.util import registry


@registry.loggers("goemotions.Profiler.v1")
def create_profiler(
    logger: Callable, path: Path = "training/profile.prof", top: int = 20
) -> Callable:
    """Create a logger that measures each function of the training from its first step to its last.

    logger: What else to log by, e.g. spacy.ConsoleLogger.v1.
    path: File for all that was measured; `python -m pstats` reads it, and viewers do.
    top (functions): How many to print at the end: those that took longest themselves.
    RETURNS: What spaCy calls with the pipeline when training begins.
    RAISES ValueError: top is negative, or another profiler is at work.
    """
    if top < 0:
        raise ValueError(f"goemotions.Profiler.v1: top {top}. Expected 0 or more.")

    def setup(nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr) -> tuple:
        log, finish = logger(nlp, stdout, stderr)
        profile = cProfile.Profile()
        profile.enable()

        def finish_all() -> None:
            profile.disable()
            finish()
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            profile.dump_stats(path)
            pstats.Stats(profile, stream=stdout).sort_stats("tottime").print_stats(top)
            stdout.write(f"All functions: {path}\n")

        return log, finish_all

    return setup
