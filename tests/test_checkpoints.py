"""Copies of the best models: which, whole, and what happens to those of earlier trainings."""

import io
import json

import pytest
import spacy

from plugins import checkpoints as module
from plugins.checkpoints import create_top_k
from scripts.files import hash_of
from scripts.train import train

pytest_plugins = ["tests.small_recipes"]

CONSOLE = {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False}
SCORES = [0.2, 0.5, 0.5, 0.1, 0.9, 0.3]


def logger_of(told: list):
    return lambda nlp, stdout, stderr: (told.append, lambda: told.append("end"))


def run(output, scores=SCORES, start=0, told=None, **settings) -> list[str]:
    """Evaluate models with these scores; return the names of the copies."""
    setup = create_top_k(logger_of([] if told is None else told), **settings)
    log, finish = setup(spacy.blank("en"), io.StringIO(), io.StringIO())
    model, checkpoints = output / "model-last", []
    model.mkdir(parents=True, exist_ok=True)
    for number, score in enumerate(scores):
        checkpoints.append((score, 10 * number))
        if number < start:
            continue
        (model / "weights").write_text(f"{number}")
        info = {"score": score, "step": 10 * number, "checkpoints": checkpoints}
        log(None)
        log(info | {"output_path": str(model)})
    finish()
    return sorted(path.name for path in (output / settings.get("folder", "top")).iterdir())


def test_the_best_are_kept_and_of_equals_the_earlier(tmp_path):
    assert run(tmp_path, k=2) == ["step-000010-score-0.5000", "step-000040-score-0.9000"]
    copies = {path.name: (path / "weights").read_text() for path in (tmp_path / "top").iterdir()}
    assert copies == {"step-000010-score-0.5000": "1", "step-000040-score-0.9000": "4"}
    assert run(tmp_path / "one", k=1, folder="best") == ["step-000040-score-0.9000"]
    assert len(run(tmp_path / "all", k=9)) == len(SCORES)


def test_a_model_that_is_not_among_the_best_is_not_copied(tmp_path, monkeypatch):
    copied, copytree = [], module.shutil.copytree

    def noting(source, target):
        copied.append(target.name)
        copytree(source, target)

    monkeypatch.setattr(module.shutil, "copytree", noting)
    run(tmp_path, k=1)
    steps = [int(name[6:12]) for name in copied]
    assert steps == [0, 10, 40]


def test_the_logger_inside_is_told_everything(tmp_path):
    told = []
    run(tmp_path, scores=[0.5], told=told)
    assert told[0] is None and told[1]["score"] == 0.5 and told[2] == "end"


def test_scores_below_zero_and_those_that_are_no_numbers(tmp_path):
    scores = [-2.5, float("nan"), -1.25, float("-inf")]
    assert run(tmp_path, scores, k=3) == ["step-000000-score--2.5000", "step-000020-score--1.2500"]


def test_another_training_in_the_same_folder_begins_anew_and_leaves_other_files(tmp_path):
    run(tmp_path, k=9)
    (tmp_path / "top" / "step-000000-score-0.2000" / "old").touch()
    (tmp_path / "top" / "notes.txt").write_text("mine")
    (tmp_path / "top" / ".step-000010-score-0.5000.tmp").mkdir()  # left by a kill
    names = run(tmp_path, [0.2, 0.4], k=3)
    assert names == ["notes.txt", "step-000000-score-0.2000", "step-000010-score-0.4000"]
    assert [path.name for path in (tmp_path / "top" / names[1]).iterdir()] == ["weights"]


def test_a_training_that_goes_on_keeps_the_copies_there_are(tmp_path):
    run(tmp_path, SCORES[:3], k=2)
    found = run(tmp_path, SCORES, start=3, k=2)
    assert found == ["step-000010-score-0.5000", "step-000040-score-0.9000"]


def test_a_copy_that_fails_leaves_no_half_of_it(tmp_path, monkeypatch):
    def broken(source, target):
        target.mkdir()
        raise OSError("no space")

    monkeypatch.setattr(module.shutil, "copytree", broken)
    with pytest.raises(OSError, match="no space"):
        run(tmp_path)
    assert not list((tmp_path / "top").glob("step-*"))


def test_the_sign_of_early_stopping_is_no_score(tmp_path):
    setup = create_top_k(logger_of([]), k=1)
    log, _ = setup(spacy.blank("en"), io.StringIO(), io.StringIO())
    (tmp_path / "model-last").mkdir()
    checkpoints = [(float("inf"), -1000), (0.5, 0)]
    info = {"score": 0.5, "step": 0, "checkpoints": checkpoints}
    log(info | {"output_path": str(tmp_path / "model-last")})
    assert [path.name for path in (tmp_path / "top").iterdir()] == ["step-000000-score-0.5000"]


@pytest.mark.parametrize(
    "settings",
    [{"k": 0}, *({"folder": name} for name in ("", "a/b", "..", ".", "model-best", "/x"))],
)
def test_a_number_or_a_folder_that_cannot_be_is_refused(settings):
    with pytest.raises(ValueError, match=r"TopKCheckpoints.v1: k \d, folder .*Expected 1 or more"):
        create_top_k(logger_of([]), **settings)


def test_a_training_without_output_is_refused():
    log, _ = create_top_k(logger_of([]))(spacy.blank("en"), io.StringIO(), io.StringIO())
    with pytest.raises(ValueError, match=r"no output folder. Expected --output FOLDER"):
        log({"score": 0.5, "step": 0, "checkpoints": [(0.5, 0)]})


@pytest.mark.slow
def test_a_training_keeps_the_copies_with_its_models(cnn, tmp_path):
    config, overrides = cnn
    logger = {"@loggers": "goemotions.TopKCheckpoints.v1", "k": 2, "logger": CONSOLE}
    for _ in range(2):  # the second replaces the first as a whole
        facts = train(config, tmp_path / "out", overrides=overrides | {"training.logger": logger})
    rows = [line.split(",") for line in (tmp_path / "out" / "log.csv").read_text().splitlines()]
    scored = sorted((-float(row[2]), int(row[1])) for row in rows[1:])[:2]
    expected = {f"step-{step:06d}-score-{-score:.4f}" for score, step in scored}
    copies = {path.name: path for path in (tmp_path / "out" / "top").iterdir()}
    assert copies.keys() == expected
    best = copies[f"step-{scored[0][1]:06d}-score-{-scored[0][0]:.4f}"]
    assert hash_of(best) == hash_of(tmp_path / "out" / "model-best")
    assert all(
        json.loads((path / "training.json").read_text()) == facts for path in copies.values()
    )
    assert spacy.load(best)("so great a day").cats.keys() == {"joy", "anger", "neutral"}
