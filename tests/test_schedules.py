"""One cycle of the learn rate and of beta1: torch's numbers, in an optimizer and in a training."""

from itertools import islice
from math import inf, nan
from pathlib import Path

import pytest
import torch
from spacy.util import load_config, registry
from thinc.api import Config, Linear, PyTorchWrapper

import plugins.schedules  # noqa: F401  registers it
from scripts import train_loop as train_loop_module
from scripts.train import train
from scripts.train_loop import train_loop

pytest_plugins = ["tests.small_recipes"]

RATE = "training.optimizer.learn_rate"
CYCLE = {"@schedules": "goemotions.one_cycle.v1", "max_rate": 0.01, "total_steps": 10}
MOMENTUM = {**CYCLE, "max_rate": 0.85, "div_factor": 0.8947368421, "final_div_factor": 1.0}


def one_cycle(*arguments, **settings):
    return registry.schedules.get("goemotions.one_cycle.v1")(*arguments, **settings)


def torch_cycle(optimizer: torch.optim.Optimizer, max_rate: float, steps: int, *settings: float):
    names = ("pct_start", "div_factor", "final_div_factor")
    settings = dict(zip(names, settings, strict=False))
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_rate, total_steps=steps, **settings)


def torch_values(*settings: float) -> tuple[list[float], list[float]]:
    """Return learn rate and momentum of each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler, found = torch_cycle(optimizer, *settings), []
    for step in range(settings[1]):
        group = optimizer.param_groups[0]
        found.append((float(group["lr"]), float(group["momentum"])))
        optimizer.step()
        if step < settings[1] - 1:
            scheduler.step()
    rates, momenta = zip(*found, strict=True)
    return list(rates), list(momenta)


@pytest.mark.parametrize(
    "settings",
    [
        (0.01, 100),
        (0.0011, 4000, 0.1),
        (1.0, 7, 0.25, 10.0, 1.0),
        (0.3, 11, 0.5, 2.0, 5.0),
        (0.5, 10, 0.0),
        (0.5, 10, 1.0, 100.0, 0.5),
        (0.5, 2, 0.3),
        (0.5, 1, 0.3),
    ],
)
def test_each_step_is_that_of_torch(settings):
    rates, momenta = torch_values(*settings)
    steps, share = settings[1], (*settings, 0.3)[2]
    assert list(islice(one_cycle(*settings), steps)) == pytest.approx(rates, abs=1e-9, rel=0)
    ours = one_cycle(0.85, steps, share, 0.85 / 0.95, 1.0)
    assert list(islice(ours, steps)) == pytest.approx(momenta, abs=1e-9, rel=0)


def test_the_first_the_highest_and_the_last_value_are_those_of_the_arguments():
    found = list(islice(one_cycle(0.5, 10, 0.3, 5.0, 100.0), 15))
    assert found[0] == pytest.approx(0.1)
    assert found[2] == max(found) == 0.5  # the third of ten steps ends the first half
    assert found[:3] == sorted(found[:3])
    assert found[2:10] == sorted(found[2:10], reverse=True)
    assert found[9] == pytest.approx(0.001)
    assert found[10:] == [found[9]] * 5


def test_where_torch_divides_by_0_the_first_step_is_the_highest():
    with pytest.raises(ZeroDivisionError):
        torch_values(0.5, 10, 0.1)
    found = list(islice(one_cycle(0.5, 10, 0.1), 10))
    assert found[0] == max(found) == 0.5
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_rate": 0}, "max_rate 0. Expected a number above 0"),
        ({"max_rate": nan}, "max_rate nan. Expected a number above 0"),
        ({"div_factor": -1.0}, r"div_factor -1\.0. Expected a number above 0"),
        ({"final_div_factor": inf}, "final_div_factor inf. Expected a number above 0"),
        ({"total_steps": 0}, "total_steps 0. Expected 1 or more"),
        ({"pct_start": 1.01}, r"pct_start 1\.01. Expected a number from 0 to 1"),
        ({"pct_start": nan}, "pct_start nan. Expected a number from 0 to 1"),
    ],
)
def test_numbers_out_of_range_are_refused_before_the_first_step(settings, message):
    with pytest.raises(ValueError, match=message):
        one_cycle(**{"max_rate": 0.1, "total_steps": 10, **settings})


def test_a_config_with_half_a_step_is_refused():
    with pytest.raises(ValueError, match=r"10\.5 is not <class 'int'>"):
        registry.resolve({"schedule": {**CYCLE, "total_steps": 10.5}})


def optimizer_of(**settings):
    config = Config({"optimizer": settings}).to_str()
    return registry.resolve(Config().from_str(config))["optimizer"]  # as from a file


@pytest.mark.parametrize("name", ["Adam.v1", "goemotions.AdamW.v1"])
def test_an_optimizer_has_the_first_value_at_the_first_update(name):
    optimizer = optimizer_of(**{"@optimizers": name, "learn_rate": CYCLE})
    found = []
    for _ in range(12):
        found.append(optimizer.learn_rate)
        optimizer.step_schedules()
    assert found == list(islice(one_cycle(0.01, 10), 12))


def test_adam_updates_with_both_cycles_as_torch_does():
    def net() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Linear(5, 3)

    X = torch.linspace(-1, 1, 20).reshape(4, 5)
    # eps is so small that it does not matter where it is added
    settings = {"@optimizers": "Adam.v1", "learn_rate": CYCLE, "beta1": MOMENTUM, "eps": 1e-16}
    optimizer = optimizer_of(**settings, grad_clip=0.0, use_averages=False)
    model = PyTorchWrapper(net())
    theirs = net()
    adam = torch.optim.Adam(theirs.parameters(), eps=1e-16)
    scheduler = torch_cycle(adam, 0.01, 10)
    betas, torch_betas = [], []
    for step in range(10):
        betas.append(optimizer.b1)
        Y, backprop = model(X.numpy(), True)
        backprop(Y - 1.0)
        model.finish_update(optimizer)
        optimizer.step_schedules()
        torch_betas.append(adam.param_groups[0]["betas"][0])
        adam.zero_grad()
        ((theirs(X) - 1) ** 2 / 2).sum().backward()
        adam.step()
        if step < 9:
            scheduler.step()
    assert betas == pytest.approx(torch_betas, abs=1e-9)
    assert betas[0] == pytest.approx(0.95) and betas[2] == 0.85
    ours = model.shims[0]._model
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert not torch.allclose(ours.weight, net().weight, atol=1e-3)


def test_a_momentum_that_stays_makes_other_weights():
    found = []
    for beta1 in (MOMENTUM, 0.95):
        optimizer = optimizer_of(**{"@optimizers": "Adam.v1", "learn_rate": 0.1, "beta1": beta1})
        model = Linear(1, 1)
        model.initialize()
        for gradient in (1.0, -2.0, 3.0):
            model.set_grad("b", model.ops.asarray1f([gradient]))
            model.finish_update(optimizer)
            optimizer.step_schedules()
        found.append(float(model.get_param("b")[0]))
    assert abs(found[0] - found[1]) > 0.001


def cycles(overrides: dict) -> dict:
    """Return overrides with both cycles, as long as the training is."""
    steps = {"total_steps": "${training.max_steps}"}
    both = {RATE: {**CYCLE, **steps}, "training.optimizer.beta1": {**MOMENTUM, **steps}}
    return {**overrides, **both, "training.max_steps": 4, "training.eval_frequency": 4}


@pytest.fixture
def noted(monkeypatch) -> list[tuple[float, float]]:
    """Learn rate and beta1 of each update of train_loop."""
    found, update = [], train_loop_module.update

    def noting(nlp, batch, dropout, losses, T):
        found.append((T["optimizer"].learn_rate, T["optimizer"].b1))
        update(nlp, batch, dropout, losses, T)

    monkeypatch.setattr(train_loop_module, "update", noting)
    return found


def saved_optimizer(folder: Path) -> dict:
    return load_config(folder / "model-last" / "config.cfg")["training"]["optimizer"]


def test_a_training_goes_through_both_cycles_and_saves_them(cnn, tmp_path, noted):
    train_loop(cnn[0], tmp_path / "out", overrides=cycles(cnn[1]))
    rates, momenta = zip(*noted, strict=True)
    assert list(rates) == list(islice(one_cycle(0.01, 4), 5))  # spaCy updates once more
    assert momenta[0] == pytest.approx(0.95) and momenta[3] == momenta[4] == pytest.approx(0.95)
    assert min(momenta) < 0.88
    saved = saved_optimizer(tmp_path / "out")
    assert saved["learn_rate"]["@schedules"] == "goemotions.one_cycle.v1"
    assert saved["learn_rate"]["total_steps"] == "${training.max_steps}"
    assert saved["learn_rate"]["pct_start"] == 0.3


@pytest.mark.slow
def test_a_saved_config_trains_with_the_same_values(cnn, tmp_path, noted):
    train_loop(cnn[0], tmp_path / "out", overrides=cycles(cnn[1]))
    first, noted[:] = noted[:], []
    train_loop(tmp_path / "out" / "model-last" / "config.cfg", tmp_path / "again")
    assert noted == first and len({rate for rate, _ in first}) == 4
    assert saved_optimizer(tmp_path / "again") == saved_optimizer(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "bert", "ner_crf_trf"])
def test_spacy_train_takes_one_cycle_in_place_of_a_number_or_a_schedule(name, tmp_path, request):
    config, overrides = request.getfixturevalue(name)
    overrides = cycles(overrides)
    if name == "ner_crf_trf":
        del overrides["training.optimizer.beta1"]  # a number for AdamW
    train(config, tmp_path / "out", overrides=overrides)
    saved = saved_optimizer(tmp_path / "out")["learn_rate"]
    assert saved == {**CYCLE, "total_steps": "${training.max_steps}", "pct_start": 0.3,
                     "div_factor": 25.0, "final_div_factor": 1e4}  # fmt: skip
