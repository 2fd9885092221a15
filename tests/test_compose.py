"""Configs composed of parts: what is merged, what is refused, and that all of it trains."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import spacy
from spacy.util import load_config, walk_dict
from thinc.api import Config
from typer import Typer
from typer.testing import CliRunner

from scripts.compose import compose, listing, main
from scripts.config_groups import groups, with_fragment
from scripts.preprocess import preprocess
from scripts.preprocess_entities import preprocess_entities
from scripts.train import train
from tests.conftest import ROOT

pytest_plugins = ["tests.small_recipes"]

KNOWN = groups(ROOT)
PAGE = ROOT / "docs" / "compose.md"
MODELS, DEBUG = KNOWN["model"], KNOWN["debug"]


def composed(*settings: str) -> Config:
    return Config().from_str(compose(list(settings), ROOT), interpolate=False)


def test_there_are_groups():
    assert list(KNOWN)[:4] == ["model", "labels", "data", "distil"]
    assert {"bert", "ner_crf", "seq2seq", "stream"} <= set(MODELS) and "assemble" not in MODELS
    assert set(DEBUG) == {"limit", "overfit", "profiler", "step"}
    assert all(what for options in KNOWN.values() for what in options.values())


@pytest.mark.parametrize(("model", "debug"), [*product(MODELS, DEBUG)])
def test_every_model_composes_with_every_debug_preset(model, debug):
    training = composed(f"model={model}", f"debug={debug}").interpolate()["training"]
    steps = {"step": (1, 1), "overfit": (60, 3), "limit": (30, 10), "profiler": (30, 30)}[debug]
    assert (training["max_steps"], training["eval_frequency"]) == steps


def small(request, name: str, *settings: str) -> list[str]:
    """Return settings of a recipe's config and its small sizes, without its count of steps."""
    config, overrides = request.getfixturevalue(name)
    steps = ("training.max_steps", "training.eval_frequency")
    values = [f"{key}={json.dumps(overrides[key])}" for key in overrides if key not in steps]
    return [f"model={config.stem}", *settings, *values]


@pytest.mark.slow
@pytest.mark.parametrize("debug", DEBUG)
# A config of each task, a stream, and one with a vocabulary.
@pytest.mark.parametrize(
    "name", ["cnn", "stream", "torch_lstm", "ner_crf", "references", "seq2seq"]
)
def test_every_debug_preset_trains(name, debug, tmp_path, request):
    profile = f"training.logger.path={tmp_path / 'x.prof'}"
    more = [profile] if debug == "profiler" else []
    config = tmp_path / "composed.cfg"
    config.write_text(compose([*small(request, name, f"debug={debug}"), *more], ROOT))
    train(config, tmp_path / "out")
    with (tmp_path / "out" / "log.csv").open(encoding="utf8") as stream:
        rows = list(csv.DictReader(stream))
    expected = {
        "step": [0, 1],
        "overfit": [*range(0, 61, 3)],
        "limit": [0, 10, 20, 30],
        "profiler": [0, 30],
    }[debug]
    last = expected.index(int(rows[-1]["step"])) + 1
    assert [int(row["step"]) for row in rows] == expected[:last] and last > 1
    assert (tmp_path / "x.prof").exists() == (debug == "profiler")
    if debug == "overfit":
        assert float(rows[-1]["loss"]) < float(rows[1]["loss"])


def test_parts_are_merged_in_the_order_of_groups_and_values_come_last():
    found = composed(
        "training.max_steps=7", "debug=step", "trainer=short", "model=cnn", "training.dropout=0.3"
    )
    training = found["training"]
    assert (training["max_steps"], training["eval_frequency"]) == (7, 1)
    assert training["dropout"] == 0.3 and training["seed"] == "${system.seed}"
    base = load_config(ROOT / "configs" / "cnn.cfg", interpolate=False)
    assert found["components"] == base["components"] and found["paths"] == base["paths"]


def test_the_comments_are_the_command_and_what_the_parts_are():
    lines = compose(["model=cnn", "debug=step", "paths.train=a b.spacy"], ROOT).splitlines()
    assert lines[0] == "# python -m scripts.compose model=cnn debug=step 'paths.train=a b.spacy'"
    assert lines[1].startswith("# model=cnn: Small CNN over hashed words")
    assert lines[2] == f"# debug=step: {DEBUG['step']}" and lines[3:5] == ["", "[paths]"]


def test_a_section_stands_before_those_in_it():
    lines = compose(["model=cnn", "debug=limit"], ROOT).splitlines()
    names = [line for line in lines if line.startswith("[corpora")]
    assert names == [
        *("[corpora]", "[corpora.train]", "[corpora.train.corpus]"),
        *("[corpora.dev]", "[corpora.dev.corpus]", "[corpora.pretrain]"),
    ]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("cnn", ["corpus/sample/train.spacy", "corpus/sample/dev.spacy"]),
        ("stream", ["assets/sample/train.tsv", "assets/sample/dev.tsv"]),
    ],
)
def test_data_is_another_folder_with_the_same_files(model, expected):
    paths = composed(f"model={model}", "data=sample")["paths"]
    assert [paths["train"], paths["dev"]] == expected
    assert Path(paths["labels"]).parent == Path(expected[0]).parent
    before = load_config(ROOT / "configs" / f"{model}.cfg")["paths"]
    assert paths.keys() == before.keys()


def test_the_data_sets_are_those_of_corpus_and_assets(tmp_path):
    for file in ("corpus/mine/train.spacy", "assets/raw/train.jsonl", "assets/models/x"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    found = groups(tmp_path)["data"]
    assert {"mine", "raw", "goemotions", "wnut17"} <= found.keys() and "models" not in found
    assert found["mine"] == "corpus/mine"
    assert found["raw"] == "corpus/raw, not preprocessed yet"
    assert found["wnut17"] == "corpus/wnut17, not fetched yet"


def test_loggers_stand_around_those_before_them():
    logger = composed("model=cnn", "logger=top,mlflow,early_stopping")["training"]["logger"]
    assert logger["@loggers"] == "goemotions.EarlyStopping.v1"
    chain = logger["logger"]
    assert chain["@loggers"] == "spacy.ChainLogger.v1"
    assert chain["logger2"] == {"@loggers": "goemotions.MLflow.v1", "console": False}
    assert chain["logger1"]["@loggers"] == "goemotions.TopKCheckpoints.v1"
    assert chain["logger1"]["logger"]["@loggers"] == "spacy.ConsoleLogger.v1"
    twice = composed("model=cnn", "logger=tensorboard", "logger=mlflow")["training"]["logger"]
    assert twice["logger1"]["logger2"]["@loggers"] == "goemotions.TensorBoard.v1"
    assert twice["logger1"]["logger1"]["@loggers"] == "spacy.ConsoleLogger.v1"


@pytest.mark.parametrize("model", ["cnn", "torch_lstm", "bert", "stream"])
def test_soft_labels_wrap_the_reader_of_a_classifier_and_lie_beside_the_data(model):
    found = composed(f"model={model}", "data=sample", "labels=soft")
    before = composed(f"model={model}", "data=sample")
    assert found["paths"] == {**before["paths"], "soft": "corpus/sample-soft/soft.jsonl.gz"}
    reader = found["corpora"]["train"]
    assert reader["@readers"] == "goemotions.SoftLabels.v1"
    inner = reader["corpus"]
    assert inner["@readers"] == before["corpora"]["train"]["@readers"]
    assert found["corpora"]["dev"] == before["corpora"]["dev"]
    part = found["components"]["textcat_multilabel"]
    assert (part["factory"], part["soft_weight"]) == ("soft_textcat_multilabel", 0.5)
    assert part["model"] == before["components"]["textcat_multilabel"]["model"]


def test_soft_labels_are_for_classifiers_of_texts():
    with pytest.raises(
        ValueError, match=r"labels=soft, \[components\]: .* no \[textcat_multilabel"
    ):
        compose(["model=ner", "labels=soft"], ROOT)


def test_the_learn_rate_of_a_student_falls_to_0_at_its_last_step():
    parts = ("model=cnn", "labels=soft", "distil=cnn", "training.max_steps=70")
    training = composed(*parts).interpolate()["training"]
    rate = training["optimizer"]["learn_rate"]
    assert (rate["@schedules"], rate["total_steps"]) == ("warmup_linear.v1", 70)
    assert (training["patience"], training["max_epochs"]) == (0, 0)
    embed = composed(*parts)["components"]["textcat_multilabel"]["model"]["tok2vec"]["embed"]
    assert embed["rows"] == [10000, 1000] and embed["attrs"]


@pytest.mark.parametrize("model", MODELS)
def test_nothing_drops_out_while_a_model_learns_by_heart(model):
    found = composed(f"model={model}", "debug=overfit")
    assert found["training"]["dropout"] == 0.0
    keys = [".".join(keys) for keys, _ in walk_dict(found) if keys[0] == "components"]
    assert not [key for key in keys if key.endswith("dropout") and value_at(found, key)]
    rate = found["training"]["optimizer"].get("learn_rate")
    assert not isinstance(rate, dict) or rate.get("warmup_steps", 0) == 0


def value_at(config: Config, key: str):
    for part in key.split("."):
        config = config[part]
    return config


def test_half_precision_is_for_models_with_a_transformer():
    model = composed("model=bert", "trainer=mixed")["components"]["transformer"]["model"]
    assert model["mixed_precision"] is True and model["cpu_bf16"] == "auto"
    with pytest.raises(ValueError, match=r"trainer=mixed, \[components\]: .* no \[transformer\]"):
        compose(["model=cnn", "trainer=mixed"], ROOT)


BASE = """
[training]
dropout = 0.1

[training.optimizer]
@optimizers = "Adam.v1"
learn_rate = 0.5

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = "a"
limit = 3
"""


def changed(fragment: str) -> Config:
    parts = [Config().from_str(text, interpolate=False) for text in (BASE, fragment)]
    return with_fragment(*parts, "x=y")


def test_a_block_of_a_function_replaces_and_another_is_merged():
    whole = '[corpora]\n[corpora.train]\n@readers = "spacy.Corpus.v1"\npath = "b"'
    assert changed(whole)["corpora"]["train"] == {"@readers": "spacy.Corpus.v1", "path": "b"}
    part = changed('[corpora]\n[corpora.train]\npath = "b"')["corpora"]["train"]
    assert part == {"@readers": "spacy.Corpus.v1", "path": "b", "limit": 3}


def test_base_is_a_copy_of_what_was_there_filled_with_spacys_defaults():
    text = '[corpora]\n[corpora.{}]\n@readers = "x"\ncorpus = ${{base.corpora.{}}}'
    train = changed(text.format("train", "train"))["corpora"]["train"]
    assert (train["corpus"]["path"], train["corpus"]["limit"]) == ("a", 3)
    assert train["corpus"]["gold_preproc"] is False
    dev = changed(text.format("dev", "train"))["corpora"]
    assert dev["dev"]["corpus"] == train["corpus"] and "corpus" not in dev["train"]
    parts = [f'[corpora.{one}]\n@readers = "x"\ncorpus = ${{base.corpora.train}}' for one in "ab"]
    both = changed("\n".join(["[corpora]", *parts]))["corpora"]
    both["a"]["corpus"]["path"] = "other"
    assert both["b"]["corpus"]["path"] == "a"
    logger = '[training]\n[training.logger]\n@loggers = "x"\nlogger = ${base.training.logger}'
    found = changed(logger)["training"]["logger"]
    assert found == {"@loggers": "x", "logger": {"@loggers": "spacy.ConsoleLogger.v1"}}


def test_a_key_with_a_question_mark_is_for_configs_that_have_it():
    found = changed('[training]\ndropout? = 0.0\nmax_steps? = 3\n[nlp]\nlang? = "de"')
    assert found["training"]["dropout"] == 0.0 and "max_steps" not in found["training"]
    assert found.get("nlp", {}) == {}
    rate = "[training]\n[training.optimizer]\n[training.optimizer.learn_rate]\nwarmup_steps? = 1"
    assert changed(rate)["training"]["optimizer"]["learn_rate"] == 0.5
    deep = "[components]\n[components.a]\n[components.a.model]\ndropout? = 0.0"
    assert changed(deep).get("components", {}) == {}


@pytest.mark.parametrize(
    ("fragment", "message"),
    [
        (
            "[components]\n[components.a]\nx = 1",
            r"x=y, \[components\]: .* has no \[a\]. Expected a",
        ),
        (
            "[training]\n[training.optimizer]\n[training.optimizer.learn_rate]\nwarmup_steps = 1",
            r"x=y, \[training\], \[optimizer\]: .* has learn_rate = 0.5. Expected a block",
        ),
        ("[training]\nx = ${base.corpora.test}", "x=y: the model's config has no corpora.test"),
    ],
)
def test_a_fragment_for_other_configs_is_refused(fragment, message):
    with pytest.raises(ValueError, match=message):
        changed(fragment)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["modl=cnn"], r"modl=cnn: no group 'modl'. Expected one of model, "),
        (["model=cn"], r"model=cn: no 'cn'. Expected one of cnn, "),
        (["model=assemble"], r"no 'assemble'. Expected one of"),
        (["model=cnn", "debug=stp"], r"debug=stp: no 'stp'. Expected one of step, "),
        (["model=cnn", "data=sampl"], r"no 'sampl'. Expected one of sample, "),
        (["debug=step"], r"model: nothing. Expected one of bert, cnn"),
        (["model=cnn,bert"], r"model: cnn, bert. Expected one of"),
        (["model=cnn", "data=sample", "data=wnut17"], r"data: sample, wnut17. Expected one of"),
        (["model=cnn", "step"], r"step: no =. Expected group=option"),
        (["model=cnn", "trainin.dropout=0.1"], r"no section 'trainin'. Expected one of training,"),
        (
            ["model=cnn", "training.droput=0.1"],
            r"model=cnn training.droput=0.1: nothing reads training.droput. Did you mean "
            r"training.dropout\? Expected one of training.dropout, ",
        ),
        (
            ["model=cnn", "components.textcat.threshold=0.1"],
            r"nothing reads components.textcat.threshold. .*one of components.textcat_multilabel",
        ),
        (["model=cnn", "paths.trian=x"], r"nothing reads paths.trian.*Expected one of paths.train"),
        (["model=cnn", "training.dropout.x=1"], r"training.dropout is 0.3. Expected a section"),
        (["model=cnn", "training.max_steps=x"], r"max_steps .*valid integer"),
        (["model=cnn", "training.dropout=0"], r"training.dropout 0. Expected 0.0, with a point"),
        (["model=cnn", "trainer=short", "training.patience=-"], r"patience .*valid integer"),
    ],
)
def test_what_is_unknown_is_named_with_the_nearest_first(settings, message):
    with pytest.raises(ValueError) as error:
        compose(settings, ROOT)
    assert re.search(message, " ".join(str(error.value).split())), error.value


def test_a_fragment_that_is_no_config_is_named(tmp_path):
    fragment = tmp_path / "configs" / "groups" / "mine" / "bad.cfg"
    fragment.parent.mkdir(parents=True)
    fragment.write_text("# Bad.\n[a]\nb\n")
    shutil.copy(ROOT / "configs" / "cnn.cfg", tmp_path / "configs")
    with pytest.raises(ValueError, match=r"groups/mine/bad\.cfg: .*line 3"):
        compose(["model=cnn", "mine=bad"], tmp_path)
    fragment.write_text("# Good:\n# one seed.\n\n[system]\nseed = 7\n")
    text = compose(["model=cnn", "mine=bad"], tmp_path)
    assert "\nseed = 7\n" in text and "# mine=bad: Good: one seed.\n" in text


def test_values_are_json_or_text():
    found = composed(
        "model=cnn",
        "training.dropout=0.7",
        "paths.vectors=assets/vectors/mine",
        "training.max_epochs=-1",
        "paths.raw_text=null",
        'components.textcat_multilabel.model.pooling=["mean"]',
        "training.eval_frequency=${training.max_steps}",
        'training.logger={"@loggers": "goemotions.TensorBoard.v1", "run": "1"}',
    )
    assert (found["training"]["dropout"], found["training"]["max_epochs"]) == (0.7, -1)
    assert found["paths"]["vectors"] == "assets/vectors/mine" and found["paths"]["raw_text"] is None
    assert found["components"]["textcat_multilabel"]["model"]["pooling"] == ["mean"]
    assert found["training"]["eval_frequency"] == "${training.max_steps}"
    assert found["training"]["logger"]["run"] == "1"
    assert "dropout = 0.7\n" in compose(["model=cnn", "training.dropout=0.7"], ROOT)


@pytest.fixture
def run(monkeypatch):
    monkeypatch.chdir(ROOT)
    app = Typer()
    app.command()(main)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_the_command_prints_a_config_and_nothing_else(run):
    found = run("model=cnn", "data=sample", "debug=step")
    assert found.exit_code == 0 and found.stderr == ""
    assert found.stdout == compose(["model=cnn", "data=sample", "debug=step"], ROOT)
    bad = run("model=cnn", "debug=stp")
    assert bad.exit_code == 1 and bad.stdout == ""
    assert "no 'stp'. Expected one of step," in " ".join(bad.stderr.split())


def test_the_command_writes_a_file_and_lists_all_parts(run, tmp_path):
    output = tmp_path / "new" / "x.cfg"
    assert "written" in run("model=cnn", "--output", str(output)).stdout
    assert output.read_text() == compose(["model=cnn"], ROOT)
    for name in (tmp_path / "x.txt", ROOT / "configs" / "cnn.cfg"):
        bad = run("model=cnn", "-o", str(name))
        assert bad.exit_code == 1 and "outside configs/" in " ".join(bad.stderr.split())
    printed = run("--list").stdout
    assert printed == listing(KNOWN) + "\n"
    assert re.search(r"^debug\n  limit +1 %", printed, re.MULTILINE)
    assert "model=cnn data=sample debug=overfit" in run("--help").stdout


LINES = [
    line
    for block in re.findall(r"^```\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_the_page_has_commands():
    assert len(LINES) == 5 and all(line.startswith("python -m scripts.") for line in LINES)
    page = PAGE.read_text(encoding="utf8")
    named = {group: re.search(rf"^\| `{group}` \|(.*)", page, re.MULTILINE)[1] for group in KNOWN}
    for group in ("labels", "distil", "trainer", "start", "logger", "debug"):
        assert [option for option in KNOWN[group] if f"`{option}`" not in named[group]] == []


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path):
    for name in ("configs", "plugins", "scripts"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    preprocess(ROOT / "assets" / "sample", tmp_path / "corpus" / "sample", n_process=1)
    preprocess_entities(
        ROOT / "assets" / "sample-entities", tmp_path / "corpus" / "sample-entities"
    )
    steps = "--training.max_steps 2 --training.eval_frequency 1"
    environment = {**os.environ, "SPACY_CONFIG_OVERRIDES": steps}
    for line in LINES:
        command = re.sub(r"(^|\| )python ", rf"\g<1>{shlex.quote(sys.executable)} ", line)
        if "scripts.train " in line:
            command += f" {steps}"
        found = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    made = tmp_path / "training" / "mine"
    saved = load_config(made / "overfit" / "model-last" / "config.cfg")
    assert saved["corpora"]["train"]["batches"] == 3 and saved["training"]["max_steps"] == 2
    assert len(list((made / "ner_crf" / "top").glob("step-*/meta.json"))) == 3
    assert spacy.load(made / "ner_crf" / "model-best").pipe_names == ["ner_crf"]


def test_what_is_given_twice_is_refused():
    for twice in (["debug=step,step"], ["debug=step", "debug=step"], ["a.b=1", "a.b=2"]):
        with pytest.raises(ValueError, match=r"twice\. Expected it once\."):
            compose(["model=cnn", *twice], ROOT)


@pytest.mark.parametrize("debug", DEBUG)
def test_early_stopping_goes_with_every_debug_preset(debug):
    text = compose(["model=cnn", "data=sample", "logger=early_stopping", f"debug={debug}"], ROOT)
    assert Config().from_str(text)["training"]["patience"] == 1_000_000_000
