"""The loop that stands in the open: the same as `spacy train`, and what it adds."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import Span
from spacy.training import Corpus as create_docbin_reader
from spacy.util import load_config, registry
from typer import Typer
from typer.testing import CliRunner

from scripts import train_loop as train_loop_module
from scripts.config_yaml import config_yaml
from scripts.files import hash_of
from scripts.train import train
from scripts.train_loop import main, train_loop, with_short
from tests.conftest import ROOT
from tests.small_recipes import RECIPES, assert_same_files

pytest_plugins = ["tests.small_recipes"]

SHORT = {"training.max_steps": 4, "training.eval_frequency": 2}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(encoding="utf8") as stream:
        return list(csv.DictReader(stream))


def test_every_config_that_trains_has_a_recipe():
    configs = {path.stem for path in (ROOT / "configs").glob("*.cfg")}
    assert configs - {"assemble"} == set(RECIPES) - {"shards", "soft", "frozen"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECIPES, "patience", "accumulate", "epochs"])
def test_the_files_are_those_of_spacy_train(name, tmp_path, request):
    more = {
        "patience": {"training.patience": 4, "training.max_steps": 200},
        "accumulate": {"training.accumulate_gradient": 3},
        "epochs": {"training.max_epochs": 2, "training.max_steps": 0},
    }.get(name)
    config, overrides = request.getfixturevalue("cnn" if more else name)
    overrides = {**overrides, **(more or {})}
    train(config, tmp_path / "spacy", overrides=overrides)
    train_loop(config, tmp_path / "loop", overrides=overrides)
    for model in ("model-best", "model-last"):
        one, other = (tmp_path / way / model for way in ("spacy", "loop"))
        assert_same_files(one, other, ["training.json"])
    log = (tmp_path / "spacy" / "log.csv").read_text()
    assert (tmp_path / "loop" / "log.csv").read_text() == log
    assert len(log.splitlines()) >= 3


@pytest.fixture(scope="module")
def trained(cnn, tmp_path_factory) -> Path:
    """A short training with sizes and blocks of our own."""
    output = tmp_path_factory.mktemp("trained") / "loop"
    train_loop(cnn[0], output, shuffle="10 docs", batch="30 tokens", overrides=short(cnn[1]))
    return output


def short(overrides: dict) -> dict:
    """Return overrides of a few steps, without the size of a batch."""
    return {key: overrides[key] for key in overrides if "batcher" not in key} | SHORT


def test_a_training_notes_its_conditions_and_a_row_per_evaluation(trained, cnn):
    facts = srsly.read_json(trained / "training.json")
    assert (facts["shuffle"], facts["batch"]) == ("10 docs", "30 tokens")
    assert facts["config"] == cnn[0].as_posix()
    assert facts["config_file_sha256"] == hash_of(cnn[0])
    assert facts["overrides"]["training.max_steps"] == 4
    assert srsly.read_json(trained / "model-best" / "training.json") == facts
    assert sorted(path.name for path in trained.iterdir()) == [
        *("log.csv", "model-best", "model-last", "training.json"),
    ]
    rows = rows_of(trained)
    assert [row["step"] for row in rows] == ["0", "2", "4"]
    best = srsly.read_json(trained / "model-best" / "meta.json")["performance"]["cats_macro_auc"]
    assert max(float(row["score"]) for row in rows) == pytest.approx(best, abs=1e-9)


def test_the_saved_config_has_the_batches_that_there_were(trained, cnn):
    batcher = load_config(trained / "model-best" / "config.cfg")["training"]["batcher"]
    assert (batcher["@batchers"], batcher["size"]) == ("spacy.batch_by_words.v1", 30)
    assert spacy.load(trained / "model-last").pipe_names == ["textcat_multilabel"]


def test_batches_are_of_the_size_that_was_asked_for(cnn, tmp_path, monkeypatch):
    sizes, update = [], train_loop_module.update

    def noting(nlp, batch, *rest):
        sizes.append((len(batch), sum(len(example) for example in batch)))
        update(nlp, batch, *rest)

    monkeypatch.setattr(train_loop_module, "update", noting)
    train_loop(cnn[0], tmp_path / "docs", batch="3 docs", overrides=short(cnn[1]))
    assert [docs for docs, _ in sizes] == [3] * 5
    sizes.clear()
    train_loop(cnn[0], tmp_path / "tokens", batch="12 tokens", overrides=short(cnn[1]))
    assert len(sizes) == 5 and max(tokens for _, tokens in sizes) <= 12
    assert len({docs for docs, _ in sizes}) > 1


@pytest.mark.slow
def test_another_seed_or_order_makes_another_model_and_the_same_the_same(cnn, tmp_path):
    runs = {"one": (1, "config"), "again": (1, "config"), "seed": (2, "config")}
    runs |= {"none": (1, "none"), "blocks": (1, "10 docs")}
    found = {}
    for name, (seed, shuffle) in runs.items():
        overrides = with_short(cnn[1] | SHORT, {"system.seed": seed, "training.seed": seed})
        train_loop(cnn[0], tmp_path / name, shuffle=shuffle, overrides=overrides)
        found[name] = hash_of(tmp_path / name / "model-last" / "textcat_multilabel")
    assert found["one"] == found["again"]
    assert len(set(found.values())) == 4


def test_a_yaml_trains_the_model_of_its_cfg(trained, cnn, tmp_path):
    config = tmp_path / "cnn.yaml"
    config.write_text(config_yaml(cnn[0]), encoding="utf8")
    settings = {"shuffle": "10 docs", "batch": "30 tokens", "overrides": short(cnn[1])}
    facts = train_loop(config, tmp_path / "out", **settings)
    assert (facts["config"], facts["config_file_sha256"]) == (config.as_posix(), hash_of(config))
    assert_same_files(trained / "model-best", tmp_path / "out" / "model-best", ["training.json"])


def test_a_seed_written_into_the_config_gives_way_to_the_option(cnn):
    config = load_config(cnn[0], overrides={"training.seed": 5})
    overrides = {"system.seed": 3, "training.seed": "${system.seed}"}
    config = config.from_str(config.to_str(interpolate=False), overrides=overrides)
    assert (config["training"]["seed"], config["system"]["seed"]) == (3, 3)


def test_model_best_is_of_the_best_evaluation_and_model_last_of_the_last(
    cnn, tmp_path, monkeypatch
):
    scores = [0.3, 0.9, 0.5]
    results = iter([(score, {"cats_macro_auc": score}) for score in scores])
    evaluations = "create_evaluation_callback"
    monkeypatch.setattr(train_loop_module, evaluations, lambda *args: lambda: next(results))
    train_loop(cnn[0], tmp_path / "out", overrides=cnn[1] | SHORT)
    folders = [tmp_path / "out" / name for name in ("model-best", "model-last")]
    metas = [srsly.read_json(folder / "meta.json")["performance"] for folder in folders]
    assert [meta["cats_macro_auc"] for meta in metas] == [0.9, 0.5]
    best, last = (hash_of(folder / "textcat_multilabel") for folder in folders)
    assert best != last


@registry.readers("leaky")
def create_leaky_reader(path: Path):
    """Create a reader that leaves the labels, and a lie, in the docs to be predicted."""

    def read(nlp):
        for example in create_docbin_reader(path)(nlp):
            example.predicted.cats = {"lie": 1.0}
            example.predicted.ents = [Span(example.predicted, 0, 1, label="LIE")]
            yield example

    return read


def test_evaluation_does_not_see_what_the_reader_left(cnn, tmp_path, monkeypatch):
    seen, evaluate = [], spacy.language.Language.evaluate

    def noting(nlp, examples, **settings):
        examples = list(examples)
        seen.extend((dict(one.predicted.cats), one.predicted.ents) for one in examples)
        return evaluate(nlp, examples, **settings)

    monkeypatch.setattr(spacy.language.Language, "evaluate", noting)
    leaky = {**cnn[1], **SHORT, "corpora.dev.@readers": "leaky"}
    train_loop(cnn[0], tmp_path / "leaky", overrides=leaky)
    assert len(seen) == 3 * 40
    assert all(one == ({}, ()) for one in seen)


@pytest.mark.parametrize("scored", [True, False])
def test_an_interrupted_training_keeps_what_it_learned(scored, cnn, tmp_path, monkeypatch):
    steps, update = [], train_loop_module.update

    def interrupted(*args):
        steps.append(args)
        if len(steps) == (4 if scored else 1):
            raise KeyboardInterrupt
        update(*args)

    monkeypatch.setattr(train_loop_module, "update", interrupted)
    output = tmp_path / "out"
    output.mkdir()
    (output / "training.json").write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        train_loop(cnn[0], output, overrides=cnn[1] | SHORT)
    kept = ["out", "out.unfinished"] if scored else ["out"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    assert (output / "training.json").read_text() == "{}"
    if scored:
        unfinished = tmp_path / "out.unfinished"
        assert spacy.load(unfinished / "model-best").pipe_names == ["textcat_multilabel"]
        assert [row["step"] for row in rows_of(unfinished)] == ["0", "2"]


@pytest.mark.slow
def test_a_killed_training_leaves_the_previous_one_and_the_next_completes(cnn, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "training.json").write_text("the previous result")
    command = [sys.executable, "-m", "scripts.train_loop", "--config", str(cnn[0])]
    command += ["--output", str(output), "--max-steps", "100000"]
    rest = {key: value for key, value in cnn[1].items() if key != "training.max_steps"}
    command += [part for key, value in rest.items() for part in (f"--{key}", str(value))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    half = tmp_path / ".out.tmp" / "model-best"
    deadline = time.monotonic() + 120
    while not half.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert half.exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (output / "training.json").read_text() == "the previous result"
    train_loop(cnn[0], output, overrides=cnn[1] | SHORT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert (output / "model-best" / "meta.json").exists()


@pytest.mark.parametrize(
    ("settings", "more", "message"),
    [
        ({"shuffle": "100"}, {}, '--shuffle "100". Expected dataset'),
        ({"batch": "32"}, {}, '--batch "32". Expected "4096 tokens"'),
        ({"batch": "32 docs"}, {"training.batcher.size": 3}, "--batch and --training.batcher"),
        ({}, {"training.droput": 0.3}, "training.droput.*Did you mean training.dropout"),
        ({}, {"paths.train": "nowhere.spacy"}, "--paths.train nowhere.spacy: no such file"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_touched(
    settings, more, message, cnn, tmp_path, monkeypatch
):
    monkeypatch.setattr(train_loop_module, "init_nlp", None)  # it does not come to that
    for suffix in ("cfg", "yml"):
        config = cnn[0]
        if suffix == "yml":
            config = tmp_path / "cnn.yml"
            config.write_text(config_yaml(cnn[0]), encoding="utf8")
        with pytest.raises(ValueError, match=message) as error:
            train_loop(config, tmp_path / "out", **settings, overrides=short(cnn[1]) | more)
        assert f"{config}:" in str(error.value) or "--" in message
        assert not (tmp_path / "out").exists() and not (tmp_path / ".out.tmp").exists()


@pytest.mark.parametrize(
    ("which", "epochs", "message"),
    [
        ("train", 3, "The training corpus is empty.* Expected examples"),
        ("train", -1, "The training corpus is empty.* Expected examples"),
        ("dev", 3, "The dev corpus is empty"),
    ],
)
def test_an_empty_corpus_is_refused(which, epochs, message, cnn, tmp_path):
    overrides = cnn[1] | SHORT | {"training.max_epochs": epochs, f"corpora.{which}.max_length": 1}
    with pytest.raises(ValueError, match=message):
        train_loop(cnn[0], tmp_path / "out", overrides=overrides)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_not_replaced(cnn, tmp_path):
    (tmp_path / "mine" / "run").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"mine: no trained model"):
        train_loop(cnn[0], tmp_path / "mine", overrides=cnn[1])
    assert (tmp_path / "mine" / "run").exists()


def test_the_command_takes_short_options_and_says_what_is_wrong(cnn, tmp_path):
    app = Typer()
    options = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=options)(main)
    arguments = ["--config", str(cnn[0]), "--output", str(tmp_path / "out"), "--seed", "3"]
    arguments += ["--max-steps", "2", "--evaluate-every", "1", "--batch", "9 docs"]
    rest = {key: short(cnn[1])[key] for key in short(cnn[1]) if key not in SHORT}
    arguments += [part for key, value in rest.items() for part in (f"--{key}", str(value))]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.stdout
    saved = load_config(tmp_path / "out" / "model-best" / "config.cfg")
    assert saved["system"]["seed"] == 3 and saved["training"]["seed"] == "${system.seed}"
    training = saved.interpolate()["training"]
    assert (training["seed"], training["max_steps"], training["eval_frequency"]) == (3, 2, 1)
    assert training["batcher"]["size"] == 9
    assert len(rows_of(tmp_path / "out")) == 3
    bad = CliRunner().invoke(app, [*arguments, "--training.max_steps", "5"])
    assert bad.exit_code == 1
    assert "--training.max_steps is given by a short option too" in " ".join(bad.stdout.split())


def test_sizes_that_are_no_option_stay_out():
    assert with_short({"a.b": 1}, {"c.d": None, "e.f": 0}) == {"a.b": 1, "e.f": 0}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stream", "multitask", "torch_lstm", "bert", "frozen"])
def test_other_recipes_train_in_blocks_and_by_tokens(name, tmp_path, request):
    config, overrides = request.getfixturevalue(name)
    train_loop(
        config, tmp_path / "out", shuffle="7 docs", batch="30 tokens", overrides=short(overrides)
    )
    assert [row["step"] for row in rows_of(tmp_path / "out")] == ["0", "2", "4"]
    assert spacy.load(tmp_path / "out" / "model-best")("so great a day").cats
