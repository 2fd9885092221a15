"""A new task: names, what is written, and nothing after an error."""

import ast
import re
import shutil
from pathlib import Path

import pytest
import srsly
from spacy.util import load_config
from typer import Typer
from typer.testing import CliRunner

from scripts import new_task as new_task_module
from scripts.check_config import check_config
from scripts.code_deps import code_deps
from scripts.new_task import main, new_task, write_all
from scripts.task_config import derive_config
from scripts.task_files import add_ignored, add_import
from scripts.task_kinds import KINDS
from scripts.task_project import add_task
from scripts.tasks import FACTORIES
from scripts.toy_rows import SIZES, make_rows
from tests.conftest import ROOT

LISTS = ("plugins/__init__.py", "project.yml", ".gitignore", "CHANGELOG.md")
CONFIG = """# What it was.
# And more.

[paths]
train = "a"
# Says something of vectors.
vectors = null

[training]
# Stays.
dropout = 0.3
# Says why 4000.
max_steps = 4000

# Goes with its section.
[pretraining]
n = 1

[pretraining.deep]
n = 2

[pretraining_of_another_kind]
n = 3
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project without data and tests."""
    for name in ("configs", "plugins", "scripts"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / "project" / name, ignore=ignored)
    for name in LISTS[1:]:
        shutil.copy(ROOT / name, tmp_path / "project" / name)
    return tmp_path / "project"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_its_own_files_and_a_place_in_the_lists(project, kind):
    before = contents(project)
    paths = new_task("my_shop", kind, root=project)
    after = contents(project)
    assert sorted(paths) == sorted(path for path in after if before.get(path) != after[path])
    labels = ["assets/sample-my_shop/labels.txt"] if kind == "textcat" else []
    splits = [f"assets/sample-my_shop/{split}.jsonl" for split in SIZES]
    own = ["plugins/my_shop.py", "configs/my_shop.cfg", "docs/my_shop.md", "tests/test_my_shop.py"]
    assert paths == [*own, *splits, *labels, *LISTS]
    reader = (project / "plugins/my_shop.py").read_text(encoding="utf8")
    assert '@registry.readers("goemotions.MyShop.v1")' in reader
    assert 30 < len(reader.splitlines()) <= 60
    ast.parse((project / "tests/test_my_shop.py").read_text(encoding="utf8"))
    page = (project / "docs/my_shop.md").read_text(encoding="utf8")
    line = (
        "spacy train configs/my_shop.cfg --code plugins/__init__.py --output training/mine/my_shop"
    )
    assert f"\n{line}\n" in page
    assert f"# {line}\n" in (project / "configs/my_shop.cfg").read_text(encoding="utf8")


@pytest.mark.parametrize("kind", KINDS)
def test_its_config_is_that_of_the_kind_with_other_data_and_fewer_steps(project, kind):
    new_task("shop", kind, root=project)
    path = project / "configs" / "shop.cfg"
    check_config(path)
    config = load_config(path)
    base = load_config(ROOT / "configs" / f"{KINDS[kind].config}.cfg")
    (component,) = config["nlp"]["pipeline"]
    assert config["components"][component]["factory"] in FACTORIES[kind]
    assert config["components"][component]["model"] == base["components"][component]["model"]
    assert config["paths"]["train"] == "corpus/sample-shop/train.spacy"
    assert config["training"]["max_steps"] == int(KINDS[kind].values["training.max_steps"]) <= 200
    assert config["training"]["optimizer"]["@optimizers"] == "Adam.v1"
    assert not config.get("pretraining")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_same_each_time_and_no_text_is_in_two_splits(kind):
    splits = make_rows(kind)
    assert splits == make_rows(kind)
    assert {split: len(rows) for split, rows in splits.items()} == SIZES
    texts = [
        str(row.get("text") or row.get("source") or row["tokens"])
        for rows in splits.values()
        for row in rows
    ]
    assert len(set(texts)) == len(texts) == sum(SIZES.values())


def test_spans_of_entities_are_what_they_say():
    for row in make_rows("entities")["train"]:
        pieces = {row["text"][span["start"] : span["end"]] for span in row["spans"]}
        assert len(pieces) == 2 and all(re.fullmatch(r"[A-Za-z ]+", piece) for piece in pieces)


def test_project_gets_commands_that_list_what_they_read_and_keeps_the_rest():
    before = (ROOT / "project.yml").read_text(encoding="utf8")
    after = add_task(before, "shop", "textcat", "goemotions.Shop.v1", ROOT)
    lines = after.splitlines()
    assert [line for line in before.splitlines() if line not in lines] == []
    project, old = srsly.yaml_loads(after), srsly.yaml_loads(before)
    steps = ["preprocess-shop", "train-shop", "package-shop"]
    assert project["workflows"] == {**old["workflows"], "shop": ["check-vars", *steps]}
    commands = {command["name"]: command for command in project["commands"]}
    assert [name for name in commands if name.endswith("-shop")] == steps
    assert list(commands)[-1] == list(srsly.yaml_loads(before)["commands"])[-1]["name"]
    for command in old["commands"]:
        deps, new = command.get("deps", []), commands[command["name"]].get("deps", [])
        added = ["plugins/shop.py"] if "plugins/__init__.py" in deps else []
        assert sorted(new) == sorted([*deps, *added])
    for step in steps:
        assert commands[step]["deps"].count("plugins/shop.py") == 1
    assert commands["preprocess-shop"]["script"] == [
        "python -m scripts.convert goemotions.Shop.v1 assets/${vars.data} corpus/${vars.data}"
        " --kind textcat --lang ${vars.lang}"
    ]
    assert "scripts/thresholds.py" in commands["train-shop"]["deps"]
    decide = commands["train-shop"]["script"][1]
    assert decide.startswith("python -m scripts.decide training/")
    assert decide.endswith(" --method ${vars.thresholds} --gpu-id ${vars.gpu_id}")
    assert "corpus/${vars.data}/views.json" in commands["train-shop"]["deps"]
    assert "metrics/${vars.data}/shop.json" in commands["train-shop"]["outputs"]


def test_plugins_in_deps_are_in_their_order():
    text = add_task(
        (ROOT / "project.yml").read_text(encoding="utf8"), "aaa", "pairs", "goemotions.Aaa.v1", ROOT
    )
    for name in ("zzz", "m10"):
        text = add_task(text, name, "tokens", "goemotions.X.v1", ROOT)
    old = {command["name"] for command in srsly.read_yaml(ROOT / "project.yml")["commands"]}
    found = {command["name"]: command for command in srsly.yaml_loads(text)["commands"]}
    assert "thresholds" not in " ".join(found["train-aaa"]["script"])  # an option of textcat alone
    commands = [command for name, command in found.items() if name in old]
    lists = [command.get("deps", []) for command in commands]
    plugins = [[p for p in deps if p.startswith("plugins/")][1:] for deps in lists]
    full = [found for found in plugins if len(found) > 20]
    assert len(full) > 10
    for found in full:
        assert found == sorted(found)
        assert {"plugins/aaa.py", "plugins/m10.py", "plugins/zzz.py"} <= set(found)


def test_code_is_found_through_imports_and_templates():
    found = code_deps(["scripts/card.py"], ROOT)
    assert {"scripts/card.py", "scripts/card.md.jinja", "scripts/files.py"} <= set(found)
    assert "plugins/__init__.py" not in code_deps(["scripts/files.py"], ROOT)
    found = code_deps(["scripts/convert.py"], ROOT)
    assert found[0] == "plugins/__init__.py" and "plugins/crf.py" in found


def test_a_derived_config_keeps_what_does_not_change_with_its_comments():
    values = {"training.max_steps": "30", "paths.train": '"b"'}
    text = derive_config(CONFIG, ["New."], values, ["pretraining", "paths.vectors"])
    expected = '# New.\n\n[paths]\ntrain = "b"\n\n[training]\n# Stays.\ndropout = 0.3\n'
    assert text == expected + "max_steps = 30\n\n[pretraining_of_another_kind]\nn = 3\n"
    for values, without in (({"training.steps": "3"}, []), ({}, ["training.steps"])):
        with pytest.raises(ValueError, match=r"training\.steps: not in the config to start from"):
            derive_config(CONFIG, [], values, without)


def test_imports_stay_in_the_order_of_ruff():
    text = '"""All."""\n\nimport plugins.b2\nimport plugins.c  # noqa: F401\n'
    added = add_import(add_import(text, "b10"), "d")
    names = ["b2", "b10", "c", "d"]
    lines = "\n".join(f"import plugins.{name}" for name in names)
    assert added == f'"""All."""\n\n{lines}  # noqa: F401\n'
    with pytest.raises(ValueError, match=r"__init__\.py: no imports\. Expected"):
        add_import("", "shop")


def test_the_sample_is_kept_by_git_and_its_scores_are_not():
    text = "assets/*\n!assets/sample/\ncorpus/\nmetrics/sample/\nlast\n"
    expected = "assets/*\n!assets/sample/\n!assets/sample-shop/\ncorpus/\nmetrics/sample/\n"
    assert add_ignored(text, "shop") == expected + "metrics/sample-shop/\nlast\n"
    with pytest.raises(ValueError, match=r"\.gitignore: no line that begins with metrics/sample"):
        add_ignored("!assets/sample/\n", "shop")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Shop", r"Name 'Shop'\. Expected a small letter"),
        ("1shop", r"Name '1shop'\. Expected a small letter"),
        ("my__shop", r"Name 'my__shop'\. Expected"),
        ("shop_", r"Name 'shop_'\. Expected"),
        ("a" * 31, r"Expected a small letter, then up to 29"),
        ("../x", r"Name '\.\./x'\. Expected"),
        ("class", r"'class': Python has it already"),
        ("match", r"'match': Python has it already"),
        ("json", r"'json': Python has it already"),
        ("crf", r"'crf': plugins/crf\.py exists"),
        ("cnn", r"'cnn': configs/cnn\.cfg exists"),
        ("report", r"'report': project\.yml has 'report'"),
        ("pairs", r"'pairs': project\.yml has 'p.*pairs'"),
        ("dvc", r"'dvc': project\.yml has 'dvc'"),
        ("conll", r"'conll': goemotions\.Conll\.v1 is registered"),
    ],
)
def test_names_that_are_bad_or_taken_are_refused_and_nothing_written(project, name, message):
    before = contents(project)
    with pytest.raises(ValueError, match=message):
        new_task(name, "textcat", root=project)
    assert contents(project) == before


def test_a_task_is_made_once(project):
    new_task("shop", "textcat", root=project)
    before = contents(project)
    with pytest.raises(ValueError, match=r"'shop': project\.yml has 'package-shop'"):
        new_task("shop", "pairs", root=project)
    assert contents(project) == before


def test_a_project_without_a_place_is_refused_and_left_as_it_is(project):
    path = project / "project.yml"
    path.write_text(path.read_text().replace('- name: "clean"', '- name: "tidy"'))
    before = contents(project)
    with pytest.raises(ValueError, match=r"project\.yml: no workflows, or no '- name: \"clean\"'"):
        new_task("shop", "textcat", root=project)
    assert contents(project) == before


def test_after_an_error_files_are_as_they_were(tmp_path):
    (tmp_path / "old").write_text("old")
    names = ("new", "folder/in/new", "old", "old/no")
    with pytest.raises(OSError, match="old"):
        write_all({tmp_path / name: name for name in names})
    assert (tmp_path / "old").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_the_command_prints_what_it_writes_and_what_comes_next(project, monkeypatch):
    monkeypatch.setattr(new_task_module, "ROOT", project)
    app = Typer()
    app.command()(main)
    before = contents(project)
    dry = CliRunner().invoke(app, ["shop", "--kind", "tokens", "--dry-run"])
    assert dry.exit_code == 0 and "nothing was written" in dry.output
    assert contents(project) == before
    result = CliRunner().invoke(app, ["shop", "--kind", "tokens"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[:4] == dry.output.splitlines()[:4] == [
        "plugins/shop.py", "configs/shop.cfg", "docs/shop.md", "tests/test_shop.py"
    ]  # fmt: skip
    assert lines[-3:] == [
        "python -m pytest -q tests/test_shop.py",
        "python -m spacy project run shop . --vars.data=sample-shop",
        "python -m scripts.experiment shop --data sample-shop --test --force",
    ]
    assert contents(project) != before
    again = CliRunner().invoke(app, ["shop", "--kind", "tokens"])
    assert again.exit_code == 1 and "Nothing was written" in again.output
