"""Adam with groups: torch's arithmetic, what each group gets, and groups that find nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from spacy.util import registry
from thinc.api import Adam, Config, Linear, Model, PyTorchWrapper, chain, fix_random_seed

import plugins.adamw
from plugins.shims import create_torch_updates
from scripts.train import train
from scripts.training_state import optimizer_from_dict, optimizer_to_dict, parameters_of
from tests.test_shims import make_pipeline

pytest_plugins = ["tests.small_recipes"]

STEPS = plugins.adamw.STEPS_TO_CHECK
GROUPS = {
    "bias": {"select": "bias|^b$", "scale": 0.5, "weight_decay": 0.0},
    "second": {"select": r"^1\.", "scale": 3.0},
}
X = numpy.linspace(-1, 1, 20, dtype="float32").reshape(4, 5)


def adamw(**settings):
    settings = {"learn_rate": 0.05, "weight_decay": 0.3, "grad_clip": 0.0, **settings}
    return registry.optimizers.get("goemotions.AdamW.v1")(**settings)


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))


def steps(model: Model, optimizer, count: int, wanted: float = 1.0) -> None:
    for _ in range(count):
        Y, backprop = model(X, True)
        backprop(Y - wanted)
        model.finish_update(optimizer)
        optimizer.step_schedules()


def torch_steps(groups: Callable, count: int, **settings) -> dict[str, numpy.ndarray]:
    """Return the weights after steps of torch's own optimizer on the loss of `steps`."""
    model = net()
    optimizer = torch.optim.AdamW(groups(dict(model.named_parameters())), **settings)
    for _ in range(count):
        optimizer.zero_grad()
        ((model(torch.tensor(X)) - 1) ** 2 / 2).sum().backward()
        optimizer.step()
    return {name: weight.detach().numpy() for name, weight in model.named_parameters()}


def weights_of(model: Model) -> dict[str, numpy.ndarray]:
    named = model.shims[0]._model.named_parameters()
    return {name: weight.detach().numpy().copy() for name, weight in named}


def in_groups(weights: dict) -> list[dict]:
    """Return torch's groups for GROUPS at a learn rate of 0.05."""
    return [
        {"params": [weights["0.bias"], weights["1.bias"]], "lr": 0.025, "weight_decay": 0.0},
        {"params": [weights["1.weight"]], "lr": 0.15},
        {"params": [weights["0.weight"]]},
    ]


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("eps", [1e-8, 0.01])
def test_groups_step_as_those_of_torch_do(in_place, eps):
    model, nlp = make_pipeline(False)  # the same net
    if in_place:
        create_torch_updates()(nlp)
    steps(model, adamw(groups=GROUPS, eps=eps), 12)
    wanted = torch_steps(in_groups, 12, lr=0.05, weight_decay=0.3, eps=eps)
    start = {name: weight.detach().numpy() for name, weight in net().named_parameters()}
    for name, weight in weights_of(model).items():
        numpy.testing.assert_allclose(weight, wanted[name], atol=1e-6)
        assert numpy.abs(weight - start[name]).max() > 0.05


def test_without_groups_every_weight_steps_as_in_torch():
    model = PyTorchWrapper(net())
    steps(model, adamw(), 12)
    wanted = torch_steps(lambda weights: weights.values(), 12, lr=0.05, weight_decay=0.3)
    for name, weight in weights_of(model).items():
        numpy.testing.assert_allclose(weight, wanted[name], atol=1e-6)


def test_thincs_own_adam_steps_elsewhere_so_that_this_one_is_needed():
    model = PyTorchWrapper(net())
    steps(model, Adam(0.05, L2=0.3, grad_clip=0.0, use_averages=False), 12)
    wanted = torch_steps(lambda weights: weights.values(), 12, lr=0.05, weight_decay=0.3)
    assert numpy.abs(weights_of(model)["0.weight"] - wanted["0.weight"]).max() > 1e-3


def test_without_a_gradient_only_what_decays_gets_smaller():
    model, optimizer = Linear(3, 5), adamw(groups={"bias": GROUPS["bias"]})
    model.initialize()
    model.set_param("b", numpy.array([1.0, 2.0, 3.0], dtype="float32"))
    W = model.get_param("W").copy()
    for name in ("W", "b"):
        model.set_grad(name, numpy.zeros_like(model.get_param(name)))
    model.finish_update(optimizer)
    numpy.testing.assert_allclose(model.get_param("W"), W * (1 - 0.05 * 0.3), rtol=1e-6)
    assert model.get_param("b").tolist() == [1.0, 2.0, 3.0]


def test_the_first_group_that_finds_a_name_has_it():
    optimizer = adamw(groups=GROUPS)
    assert optimizer.group_of("1.bias") is optimizer.groups["bias"]
    assert optimizer.group_of("1.weight") is optimizer.groups["second"]
    assert optimizer.group_of("0.weight") is optimizer.rest


def test_a_schedule_moves_every_group():
    model = Linear(1, 1)
    model.initialize()
    groups = {"bias": {"select": "^b$", "scale": 0.5}}
    optimizer = adamw(learn_rate=iter([0.1, 0.01]), weight_decay=0.0, groups=groups)
    for rate in (0.1, 0.01):
        before = {name: float(model.get_param(name).sum()) for name in ("W", "b")}
        for name in ("W", "b"):
            model.set_grad(name, numpy.ones_like(model.get_param(name)))
        model.finish_update(optimizer)
        optimizer.step_schedules()
        for name, scale in (("W", 1.0), ("b", 0.5)):  # the same gradient again: whole steps
            moved = before[name] - float(model.get_param(name).sum())
            assert moved == pytest.approx(rate * scale, rel=1e-4)


def test_averages_are_of_the_weights_as_they_are_after_decay():
    model, optimizer = Linear(3, 5), adamw(use_averages=True, groups={"b": {"select": "^b$"}})
    model.initialize()
    steps(model, optimizer, 1)
    for name in ("W", "b"):
        average = optimizer.averages[model.id, name]
        share = 1 - 2 / 11  # of the first step in thinc's averages, which begin at 0
        numpy.testing.assert_allclose(average, share * model.get_param(name), rtol=1e-6)


def test_the_state_can_be_taken_over_in_the_middle():
    found = []
    for stop in (None, 5, 11):
        fix_random_seed(0)
        model = chain(PyTorchWrapper(net()), Linear(3, 3))
        model.initialize(X=X)
        rates = iter(numpy.linspace(0.1, 0.01, 15))
        optimizer = adamw(learn_rate=rates, groups=GROUPS, use_averages=True)
        if stop:
            steps(model, optimizer, stop)
            parameters = parameters_of([("net", model)])
            state = optimizer_to_dict(optimizer, parameters)
            rates = iter(numpy.linspace(0.1, 0.01, 15))
            optimizer = adamw(learn_rate=rates, groups=GROUPS, use_averages=True)
            optimizer_from_dict(optimizer, parameters, state, stop)
        steps(model, optimizer, 14 - (stop or 0))
        found.append({p.name: p.get().copy() for p in parameters_of([("net", model)])})
    assert len(found[0]) == 6
    for other in found[1:]:
        for name, weight in found[0].items():
            assert numpy.array_equal(weight, other[name]), name


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": {"select": "weight"}, "b": {"select": "wieght"}}, r"groups\.b: 'wieght' finds no"),
        ({"a": {"select": "weight"}, "b": {"select": "1.weight"}}, r"groups\.b: .*0\.weight"),
    ],
)
def test_a_group_that_finds_nothing_stops_the_training(groups, message):
    model, optimizer = PyTorchWrapper(net()), adamw(groups=groups)
    steps(model, optimizer, STEPS - 1)
    with pytest.raises(ValueError, match=message):
        steps(model, optimizer, 1)


def test_groups_that_find_something_train_on():
    model = PyTorchWrapper(net())
    steps(model, adamw(groups=GROUPS), STEPS + 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": {"a": {"select": "*"}}}, r"groups\.a: nothing to repeat"),
        ({"groups": {"a": {"select": "x", "scal": 1.0}}}, r"groups\.a: .*'scal'.*Expected select"),
        ({"groups": {"a": {"scale": 1.0}}}, r"groups\.a: missing .*'select'"),
        ({"groups": {"a": {"select": "x", "scale": -1.0}}}, r"groups\.a: scale -1\.0"),
        ({"groups": {"a": {"select": "x", "scale": "1"}}}, r"groups\.a: "),
        ({"beta1": 1.0}, "beta1 1.0"),
        ({"eps": 0.0}, "eps 0.0"),
        ({"weight_decay": -0.1}, "weight_decay -0.1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        adamw(**settings)


CONFIG = """
[training.optimizer]
@optimizers = "goemotions.AdamW.v1"
weight_decay = 0.02
use_averages = false

[training.optimizer.learn_rate]
@schedules = "warmup_linear.v1"
initial_rate = 0.003
warmup_steps = 2
total_steps = 20

[training.optimizer.groups]

[training.optimizer.groups.transformer]
select = "^(embeddings|encoder|pooler)"
scale = 0.1

[training.optimizer.groups.plain]
select = "^[bG]"
weight_decay = 0
"""


@pytest.mark.slow
def test_spacy_trains_with_groups_from_a_config(bert, tmp_path):
    config = Config().from_disk(bert[0], interpolate=False)
    section = Config().from_str(f"[training]\n{CONFIG}")["training"]["optimizer"]
    config["training"]["optimizer"] = section
    config.to_disk(path := Path(tmp_path / "groups.cfg"))
    train(path, tmp_path / "out", overrides=bert[1])
    saved = Config().from_disk(tmp_path / "out" / "model-best" / "config.cfg")
    groups = saved["training"]["optimizer"]["groups"]
    assert groups["transformer"] == {"select": "^(embeddings|encoder|pooler)", "scale": 0.1}
    with pytest.raises(ValueError, match=r"groups\.plain: '\^zz' finds no"):
        train(
            path,
            tmp_path / "bad",
            overrides={**bert[1], "training.optimizer.groups.plain.select": "^zz"},
        )
