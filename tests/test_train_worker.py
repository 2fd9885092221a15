"""One worker: the same as `spacy train`, the same as the others, the same after a kill."""

import errno
from pathlib import Path

import numpy
import pytest
import srsly
import torch
import torch.multiprocessing as mp
from spacy.cli.train import train as spacy_train
from thinc.api import PyTorchWrapper

from scripts import exchange as exchange_module
from scripts.exchange import Exchange
from scripts.train_worker import Worker
from scripts.training_state import digest_of, parameters_of, scalers_from_list, scalers_to_list
from tests.small_recipes import RECIPES, assert_same_files, be_one, train_here

pytest_plugins = ["tests.small_recipes"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECIPES, "patience"])
def test_one_worker_makes_the_files_of_spacy_train(name, tmp_path, request):
    config, overrides = request.getfixturevalue("cnn" if name == "patience" else name)
    if name == "patience":  # ends before max_steps
        overrides = {**overrides, "training.patience": 4, "training.max_steps": 200}
    spacy_train(config, tmp_path / "spacy", overrides=overrides)
    train_here((config, overrides), tmp_path / "here")
    for model in ("model-best", "model-last"):
        assert_same_files(tmp_path / "spacy" / model, tmp_path / "here" / model)


MORE = {"accumulate": {"training.accumulate_gradient": 3}, "no seed": {"system.seed": None}}


@pytest.fixture(scope="module")
def pairs(request, cnn, tmp_path_factory) -> Path:
    """A folder for each recipe, in which two workers have trained it."""
    folder = tmp_path_factory.mktemp("pairs")
    recipes = {name: request.getfixturevalue(name) for name in RECIPES}
    recipes |= {name: (cnn[0], {**cnn[1], **more}) for name, more in MORE.items()}
    mp.spawn(be_one_of_each, (2, recipes, folder), nprocs=2)
    return folder


def be_one_of_each(rank: int, workers: int, recipes: dict, folder: Path) -> None:
    """Be one of several workers that train one recipe after the other."""
    for name, recipe in recipes.items():
        (folder / name).mkdir(exist_ok=True)
        be_one(rank, workers, recipe, folder / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECIPES, *MORE])
def test_two_workers_have_the_same_weights_after_every_step(name, pairs):
    one, other = (srsly.read_json(pairs / name / f"digests-{rank}.json") for rank in range(2))
    assert len(set(one)) >= 13  # each step changes them, but the first of a warm-up from 0
    assert len(one) == 14
    assert one == other


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "bert"])
def test_three_workers_compute_the_gradient_of_the_whole_batch(name, tmp_path, request):
    config, overrides = request.getfixturevalue(name)
    more = {"training.dropout": 0.0, "training.batcher.size": 2}  # one worker has no share
    if name == "bert":
        rate = "training.optimizer.learn_rate"
        more |= {f"{rate}.initial_rate": 0.01, f"{rate}.warmup_steps": 1}
        model = Path(overrides["vars.transformer"]) / "config.json"
        no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        srsly.write_json(model, {**srsly.read_json(model), **no_dropout})
        # Some gradients of attention are zero but for rounding: Adam would make whole steps of it.
        more["training.optimizer.eps"] = 0.01
    recipe = (config, {**overrides, **more})
    mp.spawn(be_one, (3, recipe, tmp_path), nprocs=3)
    together = numpy.load(tmp_path / "weights-2.npz")
    alone = Worker(*recipe, tmp_path)
    first = {parameter.name: parameter.get().copy() for parameter in alone.parameters}
    list(alone.steps())
    moved = 0.0
    for parameter in alone.parameters:
        numpy.testing.assert_allclose(parameter.get(), together[parameter.name], atol=2e-4)
        moved = max(moved, numpy.abs(parameter.get() - first[parameter.name]).max())
    assert moved > 0.01


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "step"),
    [("cnn", 1), ("cnn", 6), ("cnn", 8), *((name, 7) for name in RECIPES if name != "cnn")],
)
def test_a_killed_training_goes_on_to_the_same_model(name, step, tmp_path, monkeypatch, request):
    recipe = request.getfixturevalue(name)
    whole = train_here(recipe, tmp_path / "whole")
    update = Worker._update

    def killed(self, *args):
        if self.optimizer.nr_update and max(self.optimizer.nr_update.values()) == step:
            raise Killed
        update(self, *args)

    monkeypatch.setattr(Worker, "_update", killed)
    with pytest.raises(Killed):
        train_here(recipe, tmp_path / "killed")
    monkeypatch.setattr(Worker, "_update", update)
    again = train_here(recipe, tmp_path / "killed")
    assert digest_of(again.parameters) == digest_of(whole.parameters)
    for name in ("model-best", "model-last"):
        assert_same_files(tmp_path / "whole" / name, tmp_path / "killed" / name)


@pytest.mark.slow
def test_a_training_killed_at_its_very_end_is_only_finished(cnn, tmp_path, monkeypatch):
    whole = train_here(cnn, tmp_path / "whole")
    save = Worker._save_pipeline

    def killed(self, is_best=None):
        if is_best is None:
            raise Killed
        save(self, is_best)

    monkeypatch.setattr(Worker, "_save_pipeline", killed)
    with pytest.raises(Killed):
        train_here(cnn, tmp_path / "killed")
    monkeypatch.setattr(Worker, "_save_pipeline", save)
    again = train_here(cnn, tmp_path / "killed")
    assert digest_of(again.parameters) == digest_of(whole.parameters)
    assert_same_files(tmp_path / "whole" / "model-last", tmp_path / "killed" / "model-last")


@pytest.mark.slow
def test_a_full_disk_leaves_the_state_before_it(cnn, tmp_path, monkeypatch):
    whole = train_here(cnn, tmp_path / "whole")
    write, calls = srsly.write_msgpack, []

    def full(path, data):
        is_state = "state" in Path(path).name
        calls.extend([path] * is_state)
        if is_state and len(calls) == 3:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(srsly, "write_msgpack", full)
    with pytest.raises(OSError, match="No space left"):
        train_here(cnn, tmp_path / "full")
    assert srsly.read_msgpack(tmp_path / "full" / "state.msgpack")["step"] == 4
    again = train_here(cnn, tmp_path / "full")
    assert digest_of(again.parameters) == digest_of(whole.parameters)


def test_an_overflow_on_one_worker_is_one_on_all(monkeypatch):
    model = PyTorchWrapper(torch.nn.Linear(2, 1))
    scaler = model.shims[0]._grad_scaler
    exchange = Exchange(parameters_of([("model", model)]))
    monkeypatch.setattr(exchange_module.dist, "all_reduce", lambda buffer: buffer.add_(0))
    exchange.sum_gradients()
    assert not scaler.found_inf

    def other_overflows(buffer):
        if len(buffer) == len(exchange.flags):
            buffer[-1] += 1

    monkeypatch.setattr(exchange_module.dist, "all_reduce", other_overflows)
    exchange.sum_gradients()
    assert scaler.found_inf
    scaler._scale.fill_(8.0)
    state = scalers_to_list([scaler])
    other = PyTorchWrapper(torch.nn.Linear(2, 1)).shims[0]._grad_scaler
    scalers_from_list([other], state)
    assert float(other._scale) == 8.0


def fail_on_one(rank: int, workers: int, recipe: tuple[Path, dict], folder: Path) -> None:
    """Be a worker that fails, or the one that has to notice it."""
    with pytest.raises(RuntimeError if rank == 0 else ZeroDivisionError):
        update, steps = Worker._update, []

        def fails(self, *args):
            steps.append(1)
            if rank == 1 and len(steps) == 5:
                raise ZeroDivisionError
            update(self, *args)

        Worker._update = fails
        be_one(rank, workers, recipe, folder)
    (folder / f"noticed-{rank}").touch()


@pytest.mark.slow
def test_a_worker_that_fails_does_not_leave_the_others_waiting(cnn, tmp_path):
    mp.spawn(fail_on_one, (2, cnn, tmp_path), nprocs=2)
    assert (tmp_path / "noticed-0").exists() and (tmp_path / "noticed-1").exists()
