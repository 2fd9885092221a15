"""Note each evaluation of a training in a CSV, whatever logger its config names."""

import csv
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from spacy.language import DEFAULT_CONFIG, Language
from spacy.util import load_config, registry


@contextmanager
def noting(config: Path, overrides: dict[str, Any], path: Path) -> Iterator[None]:
    """While the block trains a config, write a row per evaluation to a CSV.

    The config, and with it the saved pipeline, stays as it is: what its logger's name stands for is
    exchanged meanwhile. The columns are epoch, step, score, loss (the sum over components) and the
    scores of training.score_weights, without those that are null.

    path: CSV to write; its folder exists when the training begins.
    """
    own = load_config(config, overrides=overrides, interpolate=False)
    name = DEFAULT_CONFIG.merge(own)["training"]["logger"]["@loggers"]
    original = registry.get("loggers", name)
    noted: set[int] = set()  # steps; one logger may be part of another of the same name

    @functools.wraps(original)  # with its arguments, which the config sets
    def create(*args: Any, **settings: Any) -> Callable:
        return _Noting(original(*args, **settings), path, noted).setup

    find = registry.loggers.get_entry_point

    def find_noting(asked: str, default: Any = None) -> Any:
        return create if asked == name else find(asked, default)

    # Asked before what is registered, so that loggers of other packages are exchanged too.
    registry.loggers.get_entry_point = find_noting
    try:
        yield
    finally:
        del registry.loggers.get_entry_point  # the method of its class is there again


class _Noting:
    """A logger of spaCy's that writes a CSV and hands everything on to another logger."""

    def __init__(self, setup: Callable, path: Path, noted: set[int]) -> None:
        self.setup_other, self.path, self.noted = setup, path, noted
        self.scores: list[str] = []

    def setup(self, nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr) -> tuple:
        """Return what spaCy calls at each step and at the end."""
        weights = nlp.config["training"]["score_weights"]
        self.scores = [name for name, weight in weights.items() if weight is not None]
        self.log_other, finish = self.setup_other(nlp, stdout, stderr)
        return self.log, finish

    def log(self, info: dict[str, Any] | None) -> None:
        """Write a row if there was an evaluation."""
        if info is not None and info["step"] not in self.noted:
            self.noted.add(info["step"])
            row = {"epoch": info["epoch"], "step": info["step"], "score": info["score"]}
            row["loss"] = float(sum(info["losses"].values()))
            row |= {name: info["other_scores"].get(name) for name in self.scores}
            new = not self.path.exists()
            with self.path.open("a", newline="", encoding="utf8") as stream:
                writer = csv.DictWriter(stream, row)
                if new:
                    writer.writeheader()
                writer.writerow(row)
        self.log_other(info)
