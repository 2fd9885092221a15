"""Training ends by evaluations and epochs, with the models that it would have at that step."""

import io
import json
import math

import pytest
import spacy
import srsly
import torch.multiprocessing as mp

from benchmarks.parallel import joined_by_file
from plugins.early_stopping import NEVER, create_early_stopping
from scripts.files import hash_of
from scripts.train import train
from scripts.train_loop import train_loop
from scripts.train_worker import Worker
from scripts.training_state import digest_of
from tests.small_recipes import (
    be_one,  # noqa: F401  so that its fixtures are rewritten
    train_here,
)

pytest_plugins = ["tests.small_recipes"]

CONSOLE = {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False}


def logger_of(told: list):
    return lambda nlp, stdout, stderr: (told.append, lambda: told.append("end"))


def ends_after(scores: list[float], epochs: list[int] | None = None, **settings) -> int | None:
    """Return the number of the evaluation after which training ends; None if it goes on."""
    nlp = spacy.blank("en", config={"training": {"patience": NEVER}})
    log, _ = create_early_stopping(logger_of([]), **settings)(nlp, io.StringIO(), io.StringIO())
    checkpoints: list[tuple[float, int]] = []
    for number, score in enumerate(scores):
        step = 10 * number
        checkpoints.append((score, step))
        log(None)
        log({"epoch": (epochs or scores)[number], "step": step, "checkpoints": checkpoints})
        best = -max((value, -where) for value, where in checkpoints)[1]  # as spaCy does
        if step - best >= NEVER:
            return number
    return None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"patience": 1}, 3),
        ({"patience": 2}, 6),
        ({"patience": 3}, 7),
        ({"patience": 4}, None),
        ({"patience": 2, "min_epochs": 7}, 7),
        ({"patience": 2, "min_epochs": 6}, 6),
        ({"patience": 2, "min_epochs": 9}, None),
        ({"patience": 0, "max_epochs": 2}, 2),
        ({"patience": 2, "max_epochs": 4}, 4),
        ({"patience": 2, "min_delta": 0.05}, 4),
        ({"patience": 4, "min_delta": 0.05}, 6),
    ],
)
def test_patience_counts_evaluations_and_epochs_bound_it(settings, expected):
    scores = [0.1, 0.2, 0.3, 0.3, 0.34, 0.33, 0.34, 0.2]
    assert ends_after(scores, list(range(8)), **settings) == expected


def test_a_score_is_better_by_more_than_min_delta_not_by_as_much():
    for score, expected in ((0.75, 1), (0.7500001, None)):
        assert ends_after([0.5, score], [0, 0], patience=1, min_delta=0.25) == expected


def test_scores_that_are_no_numbers_are_no_better():
    epochs = [0] * 4
    assert ends_after([0.5, math.nan, math.nan, 0.1], epochs, patience=2) == 2
    assert ends_after([math.nan, 0.1, 0.2, 0.3], epochs, patience=2) == 2


def test_the_logger_inside_is_told_everything_and_the_reason_is_printed():
    told, printed = [], io.StringIO()
    nlp = spacy.blank("en", config={"training": {"patience": NEVER}})
    log, finish = create_early_stopping(logger_of(told), patience=1)(nlp, printed, printed)
    infos = [
        {"epoch": 3, "step": 7, "checkpoints": [(0.5, 0), (0.4, 7)]},
    ]
    log(None)
    log(infos[0])
    finish()
    assert told == [None, infos[0], "end"]
    expected = "Training ends at step 7: none of 1 evaluations was better.\n"
    assert printed.getvalue() == expected


def test_a_loop_that_does_not_end_is_an_error():
    nlp = spacy.blank("en", config={"training": {"patience": NEVER}})
    log, _ = create_early_stopping(logger_of([]), patience=0, max_epochs=1)(nlp)
    log({"epoch": 1, "step": 7, "checkpoints": [(0.5, 7)]})
    with pytest.raises(ValueError, match=r"goes on, though 1 epochs are complete. Expected spaCy"):
        log(None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": -1}, "patience -1, min_epochs 0, max_epochs 0, min_delta 0.0. Expected 0"),
        ({"min_delta": -0.1}, "min_delta -0.1"),
        ({"min_epochs": 3, "max_epochs": 2}, "no more min_epochs than max_epochs"),
        ({"patience": 0}, "patience 0, max_epochs 0. Expected one"),
    ],
)
def test_settings_that_end_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        create_early_stopping(logger_of([]), **settings)


@pytest.mark.parametrize("patience", [0, 1000])
def test_spacys_own_patience_must_stay_out_of_the_way(patience):
    nlp = spacy.blank("en", config={"training": {"patience": patience}})
    with pytest.raises(ValueError, match=rf"training.patience {patience}. Expected 1000000000"):
        create_early_stopping(logger_of([]))(nlp)


def stopping(**settings) -> dict:
    logger = {"@loggers": "goemotions.EarlyStopping.v1", "logger": CONSOLE, **settings}
    return {"training.patience": NEVER, "training.logger": logger, "training.max_steps": 400}


def weights_of(folder) -> dict[str, str]:
    """Return hashes of what two trainings have in common that differ by when they had to end."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.name not in ("config.cfg", "training.json")]
    return {path.relative_to(folder).as_posix(): hash_of(path) for path in kept}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "stream"])
def test_the_models_are_those_of_a_training_of_as_many_steps(name, tmp_path, request, capsys):
    config, overrides = request.getfixturevalue(name)
    early = overrides | stopping(patience=0, max_epochs=2) | {"training.eval_frequency": 3}
    train(config, tmp_path / "early", overrides=early)
    assert "Training ends at step 12: 2 epochs are complete." in capsys.readouterr().out
    rows = (tmp_path / "early" / "log.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["0", "3", "6", "9", "12"]
    same = overrides | {"training.max_steps": 12, "training.eval_frequency": 3}
    train(config, tmp_path / "steps", overrides=same | {"training.patience": 0})
    train_loop(config, tmp_path / "loop", overrides=early)
    (tmp_path / "worker").mkdir()
    train_here((config, early), tmp_path / "worker")
    for model in ("model-best", "model-last"):
        expected = weights_of(tmp_path / "steps" / model)
        assert "textcat_multilabel/model" in expected
        for way in ("early", "loop", "worker"):
            assert weights_of(tmp_path / way / model) == expected, (way, model)
    for way in ("early", "loop"):
        assert json.loads((tmp_path / way / "training.json").read_text())["overrides"] == early


def train_one(rank: int, workers: int, recipe: tuple, folder) -> None:
    """Be one of several workers; write which steps there were."""
    with joined_by_file(rank, workers, folder):
        worker, steps = Worker(*recipe, folder), []
        update = worker._update
        worker._update = lambda *args: (steps.append(len(steps)), update(*args))
        printed = io.StringIO()
        worker.train(printed, printed)
    srsly.write_json(folder / f"steps-{rank}.json", [steps, printed.getvalue()])


@pytest.mark.slow
def test_all_workers_end_together(cnn, tmp_path):
    config, overrides = cnn
    early = stopping(patience=0, max_epochs=1) | {"training.eval_frequency": 3}
    mp.spawn(train_one, (2, (config, overrides | early), tmp_path), nprocs=2)
    found = [srsly.read_json(tmp_path / f"steps-{rank}.json") for rank in range(2)]
    assert found[0][0] == found[1][0] == list(range(7))
    assert "Training ends at step 6: 1 epochs are complete." in found[0][1] and not found[1][1]
    assert spacy.load(tmp_path / "model-last").pipe_names == ["textcat_multilabel"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.slow
def test_a_training_that_was_killed_ends_where_it_would_have(cnn, tmp_path, monkeypatch):
    config, overrides = cnn
    recipe = (config, overrides | stopping(patience=4) | {"training.eval_frequency": 2})
    whole = train_here(recipe, tmp_path / "whole")
    update, steps = Worker._update, []

    def killed(*args):
        steps.append(len(steps))
        if len(steps) == 8:
            raise Killed
        update(*args)

    monkeypatch.setattr(Worker, "_update", killed)
    with pytest.raises(Killed):
        train_here(recipe, tmp_path / "killed")
    again = train_here(recipe, tmp_path / "killed")
    assert digest_of(again.parameters) == digest_of(whole.parameters)
    one, other = (weights_of(tmp_path / name / "model-last") for name in ("whole", "killed"))
    assert one == other and 8 < len(steps) < 400
