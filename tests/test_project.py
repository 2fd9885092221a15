import contextlib
import io
import re
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import srsly
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from weasel.cli.run import project_run

from scripts.code_deps import code_deps, imports_of

ROOT = Path(__file__).parent.parent
PROJECT = srsly.read_yaml(ROOT / "project.yml")
COMMANDS = {command["name"]: command for command in PROJECT["commands"]}
# Without outputs nothing is skipped, so there is nothing that deps could decide.
CACHED = [name for name, command in COMMANDS.items() if command.get("outputs")]
DECLARED = [name for name, command in COMMANDS.items() if command.get("deps")]
# Read by commands, and in no folder.
SINGLE = {"pyproject.toml"}
# With those that scripts.new_task has made.
TASKS = ["entities", "pairs", "tokens"] + [
    name.removeprefix("preprocess-")
    for name, command in COMMANDS.items()
    if "scripts.convert " in command["script"][0]
]
ALWAYS = ["check-vars", "clean", "imdb", "models", "search", "serve", "visualize"]
FOLDERS = "assets|corpus|configs|training|metrics|plugins|scripts"
PLUGINS = sorted(f"plugins/{path.name}" for path in (ROOT / "plugins").glob("*.py"))


def paths_of(command: dict[str, Any]) -> set[str]:
    """Return the paths that a command's script names, `-m scripts.x` included."""
    script = " ".join(command["script"])
    named = set(re.findall(rf"(?:^|(?<=[\s'\"=]))(?:{FOLDERS})/[^\s'\"]+", script))
    modules = re.findall(r"-m (scripts\.\w+)", script)
    named |= SINGLE & set(script.split())
    for line in command["script"]:
        if "-m scripts.experiment " in line:
            named |= paths_of_experiment(line.split())
    return named | {f"{module.replace('.', '/')}.py" for module in modules}


def paths_of_experiment(words: list[str]) -> set[str]:
    """Return what an experiment reads and writes, which it names by config, data and run."""
    config = words[words.index("scripts.experiment") + 1]
    data, name = (words[words.index(option) + 1] for option in ("--data", "--name"))
    files = ("train.spacy", "dev.spacy", "labels.json", "views.json")
    found = {f"configs/{config}.cfg", f"training/{data}/{name}", f"metrics/{data}/{name}.json"}
    found |= {f"corpus/{data}/{file}" for file in files}
    parts = [after for word, after in pairwise(words) if word == "--part"]
    found |= {f"configs/groups/{part.replace('=', '/')}.cfg" for part in parts}
    found |= {f"training/{data}/{name}.cfg"} if parts else set()
    return found | ({f"corpus/{data}-soft/soft.jsonl.gz"} if "labels=soft" in parts else set())


def code_of(script: str) -> set[str]:
    """Return the scripts and plugins that a script needs, itself included."""
    return set(code_deps([script], ROOT))


def needs_of(command: dict[str, Any]) -> set[str]:
    """Return all that a command reads or writes, by its script and by its code."""
    paths = paths_of(command)
    scripts = [path for path in paths if path.startswith("scripts/") and path.endswith(".py")]
    return paths.union(*(code_of(path) for path in scripts))


def covered(path: str, by: Iterable[str]) -> bool:
    return any(path == other or path.startswith(f"{other}/") for other in by)


def test_there_are_commands_workflows_and_plugins_to_test():
    assert {"preprocess", "train", "decide", "evaluate", "package"} <= set(CACHED)
    assert set(CACHED) | {"visualize"} <= set(DECLARED)
    assert len(PROJECT["workflows"]["all"]) >= 5
    assert "plugins/__init__.py" in PLUGINS
    assert len(PLUGINS) >= 4


def test_only_the_commands_meant_to_run_every_time_have_no_outputs():
    assert sorted(set(COMMANDS) - set(CACHED)) == ALWAYS


@pytest.mark.parametrize("name", CACHED)
def test_a_command_names_paths_and_code(name):
    paths = paths_of(COMMANDS[name])
    assert any(path.startswith("scripts/") for path in paths)
    assert len(paths) >= 3


@pytest.mark.parametrize("name", DECLARED)
def test_all_that_a_command_reads_or_writes_is_in_its_deps_or_outputs(name):
    command = COMMANDS[name]
    declared = command["deps"] + command.get("outputs", [])
    assert sorted(path for path in needs_of(command) if not covered(path, declared)) == []


@pytest.mark.parametrize("name", DECLARED)
def test_a_command_uses_all_its_deps_and_outputs(name):
    command = COMMANDS[name]
    needs = needs_of(command)
    unused = [
        path
        for path in command["deps"] + command.get("outputs", [])
        if path not in needs and not any(covered(need, [path]) for need in needs)
    ]
    assert unused == []


@pytest.mark.parametrize("name", DECLARED)
def test_a_command_lists_everything_once_and_writes_none_of_its_inputs(name):
    deps, outputs = COMMANDS[name]["deps"], COMMANDS[name].get("outputs", [])
    assert len(set(deps + outputs)) == len(deps + outputs)
    assert not [path for path in deps if covered(path, outputs)]
    assert not [path for path in outputs if covered(path, deps)]


def test_no_two_commands_write_the_same_place_unless_they_are_for_other_tasks():
    outputs = [(name, path) for name in CACHED for path in COMMANDS[name]["outputs"]]
    clashes = [
        (one, other)
        for one, path in outputs
        for other, place in outputs
        if one != other and covered(path, [place]) and not alternatives(one, other)
    ]
    assert len(outputs) >= 5
    assert clashes == []


def alternatives(one: str, other: str) -> bool:
    """Say whether the one is for a task what the other is for another; no workflow has both."""
    names = {re.sub(f"-({'|'.join(TASKS)})(?=-|$)", "", name) for name in (one, other)}
    both = any({one, other} <= set(steps) for steps in PROJECT["workflows"].values())
    return len(names) == 1 and not both


def test_no_dep_is_a_folder_of_code():
    # weasel hashes every file of a folder, so __pycache__ would make a difference.
    deps = {path for name in CACHED for path in COMMANDS[name]["deps"]}
    assert len(deps) > 10
    assert not deps & {"plugins", "scripts", "configs"}


def test_scripts_and_plugins_in_deps_exist():
    code = {path for name in CACHED for path in COMMANDS[name]["deps"] if path.endswith(".py")}
    assert len(code) > 5
    assert [path for path in sorted(code) if not (ROOT / path).exists()] == []


def test_workflows_name_existing_commands_and_begin_with_check_vars():
    assert PROJECT["workflows"]
    for workflow in PROJECT["workflows"].values():
        assert [step for step in workflow if step not in COMMANDS] == []
        assert workflow[0] == "check-vars"


def test_a_workflow_runs_each_command_after_those_whose_outputs_it_reads():
    for workflow in PROJECT["workflows"].values():
        steps = [COMMANDS[name] for name in workflow]
        for number, step in enumerate(steps):
            later = [path for other in steps[number:] for path in other.get("outputs", [])]
            assert not [path for path in step.get("deps", []) if covered(path, later)]


def test_every_variable_is_printed_by_check_vars_and_used_by_another_command():
    printed = " ".join(COMMANDS["check-vars"]["script"])
    others = " ".join(str(command) for name, command in COMMANDS.items() if name != "check-vars")
    assert len(PROJECT["vars"]) >= 7
    for name in PROJECT["vars"]:
        assert f"{name}=${{vars.{name}}}" in printed
        assert f"${{vars.{name}}}" in others


def test_serve_names_all_that_it_needs():
    # Always run, but not without its deps.
    command = COMMANDS["serve"]
    assert sorted(needs_of(command)) == sorted(command["deps"])


# The behaviour: the real project.yml, run by weasel itself, with stubs in place of the scripts.

STUB = """
import pathlib, sys
places = [p for p in sys.argv[1:] if p.startswith(("corpus/", "training/", "metrics/"))]
place = pathlib.Path(places[{index}])
files = [place] if place.suffix in (".json", ".md") else [place / name for name in {files}]
for file in files:
    file.parent.mkdir(parents=True, exist_ok=True)
    runs = int(file.read_text()) if file.exists() else 0
    file.write_text(str(runs + 1))
"""
CORPUS = ["train.spacy", "dev.spacy", "test.spacy", "labels.json", "views.json", "report.json"]
OUTPUTS = {
    "preprocess": (0, CORPUS),
    "train": (0, ["model-best/meta.json"]),
    "decide": (2, ["meta.json"]),
    "evaluate": (2, []),
    "report": (3, ["index.html"]),
    "probe": (1, []),
    "card": (2, []),
    "package": (1, ["a.whl"]),
}
AFTER_DECIDE = ["evaluate", "report", "probe", "card", "package"]
AFTER_TRAIN = ["train", "decide", *AFTER_DECIDE]
DATA = {"vars.data": "sample"}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> tuple[Path, list[str]]:
    """Return a project with stubs after its first run, and the steps of that run."""
    project = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "project.yml", project)
    for path in sorted({path for name in CACHED for path in COMMANDS[name]["deps"]}):
        if path.startswith(("plugins/", "scripts/")):
            (project / path).parent.mkdir(exist_ok=True)
            (project / path).write_text("")
    for name, (index, files) in OUTPUTS.items():
        (project / f"scripts/{name}.py").write_text(STUB.format(index=index, files=files))
    (project / "scripts/check_vars.py").write_text("")
    named = ("configs/cnn.cfg", "configs/other.cfg", "configs/probe.yml", "configs/about/x.yml")
    for path in (*named, "assets/sample/train.tsv", "pyproject.toml"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("")
    return project, steps_run(project)


@pytest.fixture
def finished(first_run, tmp_path: Path) -> Path:
    """Return a copy of the project after its first run."""
    return shutil.copytree(first_run[0], tmp_path / "copy")


def steps_run(project: Path, **overrides: Any) -> list[str]:
    """Run the workflow and return the steps that were not skipped."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        project_run(project, "all", overrides={**DATA, **overrides})
    return re.findall(r"Running command: .*?-m scripts\.(\w+)", printed.getvalue())


def test_the_first_run_runs_every_step(first_run):
    assert first_run[1] == ["check_vars", "preprocess", *AFTER_TRAIN]


def test_every_declared_output_exists_after_a_run(finished):
    outputs = [path for name in PROJECT["workflows"]["all"] for path in outputs_of(name)]
    assert len(outputs) == 8
    assert [path for path in outputs if not (finished / path).exists()] == []


def outputs_of(name: str) -> list[str]:
    found = COMMANDS[name].get("outputs", [])
    return [
        path.replace("${vars.data}", "sample").replace("${vars.config}", "cnn") for path in found
    ]


@pytest.mark.slow
def test_a_second_run_skips_everything_but_check_vars(finished):
    assert steps_run(finished) == ["check_vars"]


def test_compiled_plugins_do_not_cause_a_re_run(finished):
    (finished / "plugins/__pycache__").mkdir()
    (finished / "plugins/__pycache__/textcat.cpython-311.pyc").write_bytes(b"x")
    assert steps_run(finished) == ["check_vars"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("configs/cnn.cfg", AFTER_TRAIN),
        ("configs/other.cfg", []),
        ("plugins/losses.py", AFTER_TRAIN),
        ("plugins/tokenizer.py", ["preprocess", *AFTER_TRAIN]),
        ("assets/sample/train.tsv", ["preprocess", *AFTER_TRAIN]),
        ("corpus/sample/dev.spacy", ["preprocess", *AFTER_TRAIN]),
        ("scripts/preprocess.py", ["preprocess", *AFTER_TRAIN]),
        ("scripts/check_config.py", AFTER_TRAIN),
        ("scripts/decide.py", ["decide", *AFTER_DECIDE]),
        ("scripts/thresholds.py", ["decide", *AFTER_DECIDE]),
        ("scripts/metrics.py", AFTER_DECIDE),
        ("scripts/report.html.jinja", ["report"]),
        ("scripts/package.py", ["package"]),
        ("metrics/sample/cnn.json", ["evaluate", "report", "card", "package"]),
        ("metrics/sample/cnn.test.json", ["card", "package"]),
        ("configs/probe.yml", ["probe", "card", "package"]),
        ("configs/about/sample.yml", ["card", "package"]),
        ("scripts/card.md.jinja", ["card", "package"]),
        ("pyproject.toml", ["card", "package"]),
    ],
)
def test_a_change_re_runs_exactly_what_depends_on_it(finished, changed, expected):
    path = finished / changed
    path.write_text("# changed\n" + path.read_text() if path.suffix == ".py" else "7")
    assert steps_run(finished) == ["check_vars", *expected]


@pytest.mark.slow
def test_another_seed_trains_again_and_keeps_the_corpus(finished):
    assert steps_run(finished, **{"vars.seed": 1}) == ["check_vars", *AFTER_TRAIN]


# The pins.


def third_party_imports() -> set[str]:
    """Return the packages that the project's own files import."""
    files = [path for name in ("plugins", "scripts", "benchmarks", "tests")
             for path in (ROOT / name).glob("*.py")]  # fmt: skip
    own = {"plugins", "scripts", "benchmarks", "tests"}
    names = {module.split(".")[0] for path in files for module in imports_of(path)}
    owners = packages_distributions()
    return {canonicalize_name(owners[name][0]) for name in names - own - sys.stdlib_module_names}


def test_every_imported_package_is_pinned_exactly():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert [str(pin) for pin in pins if not str(pin.specifier).startswith("==")] == []
    imported = third_party_imports()
    assert {"spacy", "scikit-learn", "pytest"} <= imported
    assert imported - {canonicalize_name(pin.name) for pin in pins} == set()
