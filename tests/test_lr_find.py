"""The learn-rate finder: what it suggests, what it measures, and that it takes every config."""

import json
import math
import shlex
from pathlib import Path

import numpy
import pytest
import spacy
from spacy.cli._util import parse_config_overrides
from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import SGD
from typer import Typer
from typer.testing import CliRunner

from scripts import lr_find as lr_find_module
from scripts.config_yaml import config_yaml
from scripts.files import hash_of
from scripts.lr_find import LEARN_RATE, commands_of, loss_of, lr_find, main, scan, smooth, suggest
from tests.small_recipes import RECIPES

pytest_plugins = ["tests.small_recipes"]

RATES = numpy.geomspace(1e-6, 1, 61).tolist()  # ten steps to a power of ten
NOISE = numpy.random.RandomState(0).normal(size=61) * 0.01


def hill(centre: float, rates=RATES, floor=0.1) -> list[float]:
    """Return losses that fall from 1 around one rate and rise again a thousandfold later."""
    found = []
    for rate in rates:
        fall = 1 / (1 + (rate / centre) ** 2)
        found.append(floor + (1 - floor) * fall + (rate / (1000 * centre)) ** 2)
    return found


def test_the_average_is_that_of_a_hand_computed_case():
    # A weight of 0.5: averages 2, 3, 2.5, divided by 0.5, 0.75, 0.875
    assert smooth([4, 4, 2], 40) == pytest.approx([4, 4, 20 / 7])
    assert smooth([4, 8], 20) == [4, 8]
    assert smooth([], 100) == []


def test_the_average_remembers_a_twentieth_of_the_scan():
    for steps, weight in ((100, 0.8), (1000, 0.98)):
        found = smooth([1.0] * steps + [0.0], steps)
        assert found[steps - 1] == pytest.approx(1)
        assert found[steps] == pytest.approx(weight)


def test_the_steepest_rate_is_where_the_loss_falls_and_the_minimum_comes_after():
    found = suggest(RATES, hill(1e-4))
    assert list(found) == ["steepest", "minimum", "tenth_of_minimum"]
    assert 1e-4 <= found["steepest"] <= 2.1e-4  # the average lags by two steps
    assert 1e-3 <= found["minimum"] <= 1e-2
    assert found["tenth_of_minimum"] == found["minimum"] / 10
    assert suggest(RATES, hill(1e-3))["steepest"] == pytest.approx(10 * found["steepest"])


def test_without_an_average_the_steepest_rate_is_exact():
    rates = numpy.geomspace(1e-3, 1, 20).tolist()
    losses = [*[5] * 10, 4, 2, 1.5, 1, 1.2, 2, 3, 9]
    found = suggest(rates, losses, 20)
    assert found["steepest"] == rates[10] and found["minimum"] == rates[13]
    falls_later = [*losses[:14], 6, 6, 1.2]
    assert suggest(rates, falls_later, 20) == found


def test_noise_does_not_move_the_suggestion_far():
    clean = suggest(RATES, hill(1e-4))["steepest"]
    found = suggest(RATES, (hill(1e-4) + NOISE).tolist())["steepest"]
    assert clean / 1.6 < found < clean * 1.6


@pytest.mark.parametrize(
    "losses",
    [
        [1.0] * 61,
        (1 + NOISE).tolist(),
        numpy.linspace(1, 2, 61).tolist(),
        [0.9, 0.8, 0.7, 0.6, 0.5, *numpy.linspace(0.5, 3, 56)],  # within the first tenth only
        [1.0] * 7,
        [],
    ],
)
def test_a_loss_that_never_falls_has_no_suggestion(losses):
    assert suggest(RATES, losses) is None


def test_the_first_tenth_is_left_out():
    losses = hill(1e-3)
    wanted = suggest(RATES, losses)
    losses[:3] = [1.6, 1.3, 1.0]  # a steeper fall than any later one
    assert numpy.diff(losses).argmin() < 3
    assert suggest(RATES, losses) == wanted


@pytest.fixture
def batch() -> list[Example]:
    """Three docs of six words."""
    nlp = spacy.blank("en")
    return [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in ("a b c", "d e", "f")]


def losses_instead(monkeypatch, losses: dict[str, float]) -> None:
    def update(nlp, batch, dropout, found, T):
        found.update(losses)

    monkeypatch.setattr(lr_find_module, "update", update)


def test_sums_are_per_word_and_means_stay_and_gradients_are_no_loss(batch, monkeypatch):
    nlp = spacy.blank("en")
    for name in ("tok2vec", "tagger", "textcat"):
        nlp.add_pipe(name)
    nlp.add_pipe("textcat_multilabel", name="second")
    losses = {"tok2vec": 500.0, "tagger": 12.0, "textcat": 0.25, "second": 0.5}
    losses_instead(monkeypatch, losses)
    assert loss_of(nlp, batch, 0.1, {"accumulate_gradient": 1}) == 12 / 6 + 0.25 + 0.5
    # Halves of three docs, and one is left: each of the three parts has added a mean.
    assert loss_of(nlp, batch, 0.1, {"accumulate_gradient": 2}) == 12 / 6 + 0.75 / 3


def test_a_batch_of_empty_docs_has_a_loss(monkeypatch):
    nlp = spacy.blank("en")
    nlp.add_pipe("tagger")
    losses_instead(monkeypatch, {"tagger": 0.0})
    empty = [Example(nlp.make_doc(""), nlp.make_doc(""))]
    assert loss_of(nlp, empty, 0.1, {"accumulate_gradient": 1}) == 0


def test_a_pipeline_that_does_not_learn_is_refused(batch, monkeypatch):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    losses_instead(monkeypatch, {"tok2vec": 3.0})
    with pytest.raises(ValueError, match=r"none has a loss\. Expected a component that is trained"):
        loss_of(nlp, batch, 0.1, {"accumulate_gradient": 1})


@pytest.mark.parametrize(("code", "is_a_loss"), [("E910", True), ("E911", False)])
def test_a_component_that_stops_at_a_loss_that_is_no_number_ends_a_scan(
    code, is_a_loss, batch, monkeypatch
):
    def update(*arguments):
        raise ValueError(f"[{code}] Encountered NaN value when computing loss")

    monkeypatch.setattr(lr_find_module, "update", update)
    if is_a_loss:
        assert math.isnan(loss_of(spacy.blank("en"), batch, 0.1, {}))
    else:
        with pytest.raises(ValueError, match=code):
            loss_of(spacy.blank("en"), batch, 0.1, {})


@pytest.fixture(scope="module")
def nlp(cnn) -> Language:
    return init_nlp(load_config(cnn[0], overrides=cnn[1], interpolate=False))


def scan_of(losses: list[float], nlp: Language, monkeypatch) -> tuple[list[float], str]:
    """Scan as many rates as there are losses; these are in place of real ones."""
    found = iter(losses)
    monkeypatch.setattr(lr_find_module, "loss_of", lambda *arguments: next(found))
    return scan(nlp, RATES[: len(losses)])


def test_a_scan_ends_when_the_loss_is_above_four_times_its_minimum(nlp, monkeypatch):
    losses = [0.1, 9.0, *[1.0] * 18, 3.99, 4.01, 0.0, 0.0]  # 24: no average, 2 are left out
    monkeypatch.setattr(lr_find_module, "smooth", lambda losses, steps: losses)
    found, why = scan_of(losses, nlp, monkeypatch)
    assert found == losses[:22] and why == "the smoothed loss was above 4 times its minimum"
    found, why = scan_of(losses[:21], nlp, monkeypatch)
    assert found == losses[:21] and why == "the highest rate was reached"


def test_a_loss_below_0_may_go_on_falling(nlp, monkeypatch):
    losses = [*[1.0] * 10, *[-1.0] * 10, *[-2.0] * 10]
    assert scan_of(losses, nlp, monkeypatch) == (losses, "the highest rate was reached")


@pytest.mark.parametrize("last", [math.inf, math.nan])
def test_a_loss_that_is_no_finite_number_ends_a_scan_and_is_left_out(last, nlp, monkeypatch):
    losses = [*[1.0] * 29, last]
    found, why = scan_of(losses, nlp, monkeypatch)
    assert found == losses[:29] and why == "the next loss was no finite number"


@pytest.fixture(scope="module")
def scanned(cnn, tmp_path_factory) -> tuple[dict, Path]:
    """A scan, and the folder that its output is in."""
    folder = tmp_path_factory.mktemp("scanned")
    overrides = cnn[1] | {LEARN_RATE.replace("learn_rate", "L2"): 0.0}
    return lr_find(cnn[0], folder / "lr", lowest=1e-5, steps=40, overrides=overrides), folder


def test_a_scan_that_ends_at_once_can_be_drawn(tmp_path):
    nothing = dict.fromkeys(("steepest", "tenth_of_minimum"))
    lists = {"rates": [], "losses": [], "smoothed": []}
    figure = lr_find_module.draw({**nothing, **lists, "lowest": 1e-7, "highest": 10.0})
    figure.savefig(tmp_path / "empty.png")
    assert figure.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(("lowest", "count"), [(1e-7, 1), (1e-3, 3)])
def test_the_axis_names_rates_as_numbers(lowest, count, scanned, tmp_path):
    figure = lr_find_module.draw(scanned[0] | {"lowest": lowest, "highest": 0.05})
    figure.savefig(tmp_path / "some.png")
    axis = figure.axes[0].xaxis
    labels = [label.get_text() for label in axis.get_ticklabels()]
    assert "0.001" in labels
    assert len({f"{float(label):.0e}"[0] for label in labels}) == count  # 1, or 1, 2 and 5
    assert not any(label.get_text() for label in axis.get_ticklabels(minor=True))


def noting_optimizers(monkeypatch) -> list[tuple[float, float]]:
    """Return a list that will have the learn rate before and after each update."""
    found, update = [], lr_find_module.update

    def noting(nlp, batch, dropout, losses, T):
        before = T["optimizer"].learn_rate
        update(nlp, batch, dropout, losses, T)
        found.append((before, T["optimizer"].learn_rate))

    monkeypatch.setattr(lr_find_module, "update", noting)
    return found


def test_a_scan_leaves_a_picture_and_its_numbers_and_nothing_else(scanned, cnn):
    result, folder = scanned
    assert [path.name for path in folder.iterdir()] == ["lr"]
    files = sorted((folder / "lr").iterdir())
    assert [path.name for path in files] == ["lr_find.json", "lr_find.png"]
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert json.loads(files[0].read_text()) == result
    assert (result["config"], result["seed"]) == (cnn[0].as_posix(), 0)
    assert result["config_file_sha256"] == hash_of(cnn[0])
    assert result["overrides"] == {**cnn[1], "training.optimizer.L2": 0.0}
    assert (result["lowest"], result["highest"], result["steps"]) == (1e-5, 10.0, 40)


def test_rates_have_the_same_ratio_and_the_corpus_starts_over(scanned):
    result, _ = scanned
    count = result["stopped"]["steps"]
    assert count > 10  # and 40 docs are five batches
    rates = result["rates"]
    assert len(rates) == len(result["losses"]) == len(result["smoothed"]) == count
    assert rates == pytest.approx(numpy.geomspace(1e-5, 10, 40)[:count].tolist())
    assert result["smoothed"] == smooth(result["losses"], 40)


def test_the_suggestion_is_the_steepest_rate_and_the_loss_has_fallen(scanned):
    result, _ = scanned
    wanted = suggest(result["rates"], result["losses"], 40)
    assert {key: result[key] for key in wanted} == wanted
    assert result["suggestion"] == float(f"{wanted['steepest']:.2g}")
    assert 1e-4 < result["suggestion"] < wanted["minimum"] < 1
    assert min(result["smoothed"]) < 0.5 * result["smoothed"][4]


def test_the_commands_train_at_the_suggestion(scanned):
    result, _ = scanned
    ways = {}
    for way, command in result["commands"].items():
        start, found = shlex.split(command)[:7], shlex.split(command)[7:]
        assert start[:4] == ["python", "-m", "scripts.train_loop", "--config"]
        assert start[5:] == ["--output", f"training/mine/{way}"]
        ways[way] = parse_config_overrides(found)
    rate = result["suggestion"]
    assert ways["train"] == result["overrides"] | {LEARN_RATE: rate}
    cycle = {"@schedules": "goemotions.one_cycle.v1", "max_rate": rate}
    cycle["total_steps"] = "${training.max_steps}"
    assert ways["one_cycle"] == result["overrides"] | {LEARN_RATE: cycle, "training.patience": 0}


def test_a_training_without_an_end_has_no_cycle():
    commands = commands_of(Path("a b.cfg"), {"x.y": "it's", "z.z": None}, 0.1, 0)
    assert list(commands) == ["train"]
    assert shlex.split(commands["train"])[4:] == [
        *("a b.cfg", "--output", "training/mine/train"),
        *("--x.y", "it's", "--z.z", "null", f"--{LEARN_RATE}", "0.1"),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lowest": 0.1, "highest": 0.1}, r"lowest 0\.1, highest 0\.1\. Expected rates above 0"),
        ({"lowest": 0.2, "highest": 0.1}, "the lowest first"),
        ({"lowest": 0.0}, r"lowest 0\.0"),
        ({"lowest": -1.0}, r"lowest -1\.0"),
        ({"lowest": math.nan}, "lowest nan"),
        ({"highest": math.inf}, "highest inf"),
        ({"steps": 19}, "steps 19. Expected 20 or more"),
        ({"overrides": {LEARN_RATE: 0.1}}, "--training.optimizer.learn_rate: the scan sets"),
        ({"overrides": {f"{LEARN_RATE}.max_rate": 1}}, "learn_rate.max_rate: the scan sets"),
        ({"overrides": {"training.optimizer.l2": 1}}, "l2"),
        ({"overrides": {"training.droopout": 1}}, r"training\.droopout.*Did you mean"),
        ({"overrides": {"paths.train": "no.spacy"}}, r"--paths\.train no\.spacy: no such file"),
    ],
)
def test_bad_settings_are_refused_and_nothing_is_written(settings, message, cnn, tmp_path):
    overrides = cnn[1] | settings.pop("overrides", {})
    with pytest.raises(ValueError, match=message):
        lr_find(cnn[0], tmp_path / "lr", **settings, overrides=overrides)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_corpus_is_refused(cnn, tmp_path):
    overrides = cnn[1] | {"corpora.train.max_length": 1}
    with pytest.raises(ValueError, match="The training corpus is empty"):
        lr_find(cnn[0], tmp_path / "lr", overrides=overrides)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_not_replaced(cnn, tmp_path):
    (tmp_path / "model-best").mkdir()
    with pytest.raises(ValueError, match="no scan of learn rates"):
        lr_find(cnn[0], tmp_path, overrides=cnn[1])
    assert [path.name for path in tmp_path.iterdir()] == ["model-best"]


def invoke(*arguments: str):
    app = Typer()
    options = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=options)(main)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_says_what_it_found_and_what_it_did_not(cnn, tmp_path):
    overrides = [x for key, value in cnn[1].items() for x in (f"--{key}", str(value))]
    arguments = [str(cnn[0]), str(tmp_path / "lr"), "--steps", "20", *overrides]
    found = invoke(*arguments, "--highest", "1e-6")
    assert found.exit_code == 0, found.output
    assert "No suggestion: the loss never fell" in found.output
    result = json.loads((tmp_path / "lr" / "lr_find.json").read_text())
    assert result["suggestion"] is result["steepest"] is result["commands"] is None
    assert result["highest"] == 1e-6 and len(result["losses"]) == 20
    assert result["overrides"]["training.batcher.size"] == 8
    bad = invoke(*arguments, "--lowest", "1", "--highest", "0.1")
    assert bad.exit_code == 1 and "Cannot scan" in bad.output
    assert "lowest 1.0, highest 0.1" in bad.output


@pytest.mark.slow
def test_the_same_seed_finds_the_same_and_a_yaml_what_its_cfg_does(scanned, cnn, tmp_path):
    settings = {"lowest": 1e-5, "steps": 40, "overrides": scanned[0]["overrides"]}
    config = tmp_path / "cnn.yaml"
    config.write_text(config_yaml(cnn[0]), encoding="utf8")
    again = lr_find(config, tmp_path / "yaml", **settings)
    assert again["losses"] == scanned[0]["losses"]
    assert again["config"] == config.as_posix()
    seeds = {"training.seed": 1, "system.seed": 1}
    other = lr_find(
        cnn[0], tmp_path / "yaml", **{**settings, "overrides": settings["overrides"] | seeds}
    )
    assert other["seed"] == 1 and other["losses"] != again["losses"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_config_can_be_scanned(name, tmp_path, request, monkeypatch):
    config, overrides = request.getfixturevalue(name)
    rates = noting_optimizers(monkeypatch)
    result = lr_find(config, tmp_path / "lr", lowest=1e-6, overrides=overrides)
    count = result["stopped"]["steps"]
    assert count > 20 and all(map(math.isfinite, result["losses"]))
    assert [before for before, _ in rates][:count] == result["rates"]
    assert all(before == after for before, after in rates)  # no schedule has moved it
    assert 1e-5 < result["suggestion"] < 1
    assert sorted(path.name for path in (tmp_path / "lr").iterdir()) == [
        *("lr_find.json", "lr_find.png"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_twice_the_batch_has_the_same_loss(name, request):
    """So that each component is among the means or not among them."""
    config, overrides = request.getfixturevalue(name)
    nlp = init_nlp(load_config(config, overrides=overrides, interpolate=False))
    T, batches = lr_find_module._parts(nlp, -1)
    T["optimizer"] = SGD(0.0)
    _, batch = next(batches)
    batch = [one for one in batch if len(one.predicted)]
    double = [Example(one.predicted.copy(), one.reference) for one in batch * 2]
    once, twice = (numpy.mean([loss_of(nlp, some, 0.0, T) for _ in range(5)])
                   for some in (batch, double))  # fmt: skip
    assert 0.7 < twice / once < 1.4
