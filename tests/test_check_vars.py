import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import srsly

from scripts.check_vars import (
    COMMAND_LINE,
    SPACY_ENV,
    THRESHOLDS,
    WEASEL_ENV,
    arguments_of,
    check_vars,
    group_options,
)
from scripts.thresholds import Method

ROOT = Path(__file__).parent.parent
SPACY = Path(sys.executable).parent / "spacy"
VALUES = {
    **{name: str(value) for name, value in srsly.read_yaml(ROOT / "project.yml")["vars"].items()},
    "data": "sample",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the project that has what check-vars reads, and a small data set."""
    search = "configs/search/lmao.yml"
    for name in ("project.yml", "configs/cnn.cfg", search, "assets/sample/emotions.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "scripts").mkdir()
    for name in ("__init__", "asset_list", "check_vars"):
        shutil.copy(ROOT / f"scripts/{name}.py", tmp_path / "scripts")
    return tmp_path


def check(project: Path, *arguments: str, env: str = "", spacy_env: str = "", **changes: str):
    options = group_options(arguments, COMMAND_LINE)
    options += group_options(env.split(), WEASEL_ENV) + group_options(spacy_env.split(), SPACY_ENV)
    return check_vars({**VALUES, **changes}, options, project)


def run(project: Path, *arguments: str, runner: tuple[str, ...] = ("-m", "weasel"), **env: str):
    clean = {name: value for name, value in os.environ.items() if "OVERRIDES" not in name}
    done = subprocess.run(
        [sys.executable, *runner, "run", "check-vars", *arguments],
        cwd=project,
        env={**clean, **env},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_table_has_every_variable_with_its_value_and_origin(project):
    rows = check(project, "--vars.data=sample", env="--vars.seed=3", seed="3")
    assert [name for name, _, _ in rows] == list(VALUES)
    assert ("data", "sample", COMMAND_LINE) in rows
    assert ("seed", "3", WEASEL_ENV) in rows
    assert ("gpu_id", "-1", "project.yml") in rows


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["--vars.gpu-id", "0"], {}, r"'gpu-id', so it was ignored\. .*mean --vars\.gpu_id=0\?"),
        (["--vars.confg=cnn"], {}, r"no variable 'confg'.*mean --vars\.config=cnn\?"),
        (["--vars.zzz=1"], {}, r"no variable 'zzz'.*Expected one of: name, lang"),
        (["--project.title=x"], {}, r"no variable\. Expected --vars\.name=value"),
        (["--vars.data"], {"data": "true"}, r"no value\. Expected --vars\.data=VALUE"),
        (["--vars.version=0.10"], {"version": "0.1"}, r"read as float; .*--vars\.version='\"0\.10"),
        (["--vars.seed=1", "--vars.seed=2"], {"seed": "2"}, r"seed is '2' all the same\..*twice"),
        (["--vars.name=a b"], {"name": "a"}, r"The runner changed it on the way"),
    ],
)
def test_options_without_the_effect_they_name_are_refused(project, arguments, changes, message):
    with pytest.raises(ValueError, match=message):
        check(project, *arguments, **changes)


def test_options_that_had_their_effect_are_accepted(project):
    forms = ["--vars.gpu-id=0", "--vars.seed", "7", '--vars.version="0.10"']
    rows = check(project, *forms, gpu_id="0", seed="7", version="0.10")
    assert [name for name, _, origin in rows if origin == COMMAND_LINE] == [
        "version",
        "gpu_id",
        "seed",
    ]


def test_an_environment_override_that_beats_the_command_line_is_named(project):
    with pytest.raises(ValueError, match=r"WEASEL_CONFIG_OVERRIDES sets --vars\.seed=2 and beats"):
        check(project, "--vars.seed=1", env="--vars.seed=2", seed="2")


def test_the_same_value_from_both_is_fine(project):
    rows = check(project, "--vars.seed=2", env="--vars.seed=2", seed="2")
    assert ("seed", "2", WEASEL_ENV) in rows


def test_vars_in_the_variable_that_weasel_no_longer_reads_are_refused(project):
    with pytest.raises(ValueError, match=r"ignored, .* Set WEASEL_CONFIG_OVERRIDES instead"):
        check(project, spacy_env="--vars.seed=2")


def test_config_values_in_the_variable_of_spacy_are_its_own_business(project):
    assert len(check(project, spacy_env="--training.max_steps=2")) == len(VALUES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "goemotions"}, r"lacks train\.tsv, .*python -m scripts\.assets goemotions"),
        ({"data": "wnut17"}, r"lacks wnut17train\.conll, .*python -m scripts\.assets wnut17"),
        ({"data": "anatem"}, r"lacks train, dev, test\. .*python -m scripts\.assets anatem"),
        ({"data": "anatme"}, r"no folder assets/anatme\. Did you mean anatem\?"),
        ({"data": "sampel"}, r"no folder assets/sampel\. Did you mean sample\?"),
        ({"data": "../sample"}, r"data: '\.\./sample'\. Expected the name of a folder"),
        ({"config": "cn"}, r"no configs/cn\.cfg\. Did you mean cnn\?"),
        ({"config": "zzz"}, r"no configs/zzz\.cfg\. Expected one of: cnn"),
        ({"search": "lamo"}, r"no configs/search/lamo\.yml\. Did you mean lmao\?"),
        ({"data": "imdb"}, r"lacks train\.jsonl\. Get it by: .*assets imdb and .*scripts\.imdb"),
        ({"gpu_id": "-2"}, r"gpu_id: '-2'\. Expected a whole number from -1"),
        ({"gpu_id": "cuda"}, r"gpu_id: 'cuda'\. Expected a whole number"),
        ({"seed": "1.5"}, r"seed: '1\.5'\. Expected a whole number from 0"),
        ({"name": "my-model"}, r"name: 'my-model' cannot be part of a package's name"),
        ({"version": "one"}, r"version: 'one'\. Expected one like 0\.1\.0"),
        ({"lang": "english"}, r"spaCy has no language 'english'"),
        ({"lang": "qq"}, r"spaCy has no language 'qq'"),
        ({"label_separator": ""}, r"label_separator: empty"),
        (
            {"thresholds": "best"},
            r"thresholds: 'best'\. Expected one of bootstrap, exact, expected",
        ),
        (
            {"options": "thresholds expected"},
            r"options: 'thresholds'\. Expected keys of the config",
        ),
        ({"options": "training.dropout=0.2 --force"}, r"options: '--force'\. Expected keys"),
        ({"options": "training.dropout 0.2 seed 1"}, r"options: 'seed'\. Expected keys"),
        ({"raw": "assets/x.jsonl"}, r"raw: no file or folder 'assets/x\.jsonl'\. Expected texts"),
    ],
)
def test_values_that_no_command_can_use_are_refused(project, changes, message):
    with pytest.raises(ValueError, match=message):
        check(project, **changes)


@pytest.mark.parametrize(
    "options",
    [
        "training.dropout 0.2 system.seed 1",
        "--training.dropout 0.2 --system.seed=1",
        "training.dropout=0.2 paths.vectors assets/md",
        "--nlp.flag --system.seed 1",
        """training.logger '{"@loggers": "goemotions.TopKCheckpoints.v1"}' nlp.lang en""",
    ],
)
def test_options_are_keys_of_a_config_with_dashes_or_without(project, options):
    assert check(project, options=options, thresholds="expected")


def test_thresholds_are_those_that_decide_knows():
    assert sorted(THRESHOLDS) == sorted(get_args(Method))


def test_all_problems_are_reported_together(project):
    with pytest.raises(ValueError, match="gpu-id") as caught:
        check(project, "--vars.gpu-id", "0", config="cn", seed="-1")
    assert len(str(caught.value).splitlines()) == 3


def test_a_variable_that_project_yml_forgets_to_hand_over_is_named(project):
    values = {name: value for name, value in VALUES.items() if name != "seed"}
    with pytest.raises(ValueError, match=r"project\.yml: .* differ in seed\."):
        check_vars(values, [], project)


@pytest.mark.parametrize(
    ("command_line", "expected"),
    [
        (["/v/bin/python", "/v/bin/spacy", "project", "run", "all"], ["all"]),
        (["python", "-m", "spacy", "project", "run", "all", "."], ["all", "."]),
        (["/v/bin/weasel", "run", "all"], ["all"]),
        (["python.exe", "C/spacy.exe", "project", "run", "all"], ["all"]),
        (["python", "-m", "spacy", "train", "x.cfg"], None),
        (["bash", "-c", "spacy project run all"], None),
        ([], None),
    ],
)
def test_the_runner_is_recognised_by_its_command_line(command_line, expected):
    assert arguments_of(command_line) == expected


@pytest.mark.slow
def test_the_real_runner_prints_the_table(project):
    code, output = run(project, ".", "--vars.data=sample", "--vars.gpu_id", "0")
    assert code == 0, output
    rows = [line.split() for line in output.splitlines()]
    assert ["data", "sample", "the", "command", "line"] in rows
    assert ["gpu_id", "0", "the", "command", "line"] in rows
    assert ["config", "cnn", "project.yml"] in rows


@pytest.mark.slow
def test_the_real_runner_stops_at_what_it_would_have_ignored(project):
    code, output = run(project, ".", "--vars.data=sample", "--vars.gpu-id", "0")
    assert code == 1
    assert "Did you mean --vars.gpu_id=0?" in output


@pytest.mark.slow
def test_the_real_runner_stops_when_the_environment_beats_the_command_line(project):
    env = {WEASEL_ENV: "--vars.data=sample"}
    assert run(project, **env)[0] == 0
    code, output = run(project, ".", "--vars.data=other", **env)
    assert code == 1
    assert "WEASEL_CONFIG_OVERRIDES sets --vars.data=sample and beats the command line" in output


@pytest.mark.slow
def test_a_value_with_a_blank_reaches_the_script_whole(project):
    code, output = run(project, ".", "--vars.data=sample", "--vars.text_column=my text")
    assert code == 0, output
    assert "text_column       my text" in output


@pytest.mark.slow
@pytest.mark.parametrize("runner", [("-m", "spacy", "project"), (str(SPACY), "project")])
def test_spacy_as_module_and_as_command_behave_the_same(project, runner):
    if not SPACY.exists() and runner[0] != "-m":
        pytest.skip("spaCy's command is not beside this Python")
    code, output = run(project, ".", "--vars.data=sample", runner=runner)
    assert code == 0, output
    code, output = run(project, ".", "--vars.data=sample", "--vars.gpu-id", "0", runner=runner)
    assert code == 1
    assert "Did you mean --vars.gpu_id=0?" in output
