"""The guide to a new task, and the recipe in CONTRIBUTING, from the scaffold to the wheel.

What a page prints is what runs: its blocks are taken out of it and run in their order, in a copy of
the project.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import srsly

from scripts.task_kinds import KINDS
from tests.conftest import ROOT

GUIDE = (ROOT / "docs" / "new-task.md").read_text(encoding="utf8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
RECIPE = re.search(r"^## Add a task\n(.*?)^## ", CONTRIBUTING, re.MULTILINE | re.DOTALL)[1]
# Where each kind keeps what it is judged by.
SCORES = {
    "textcat": ("macro_f1",),
    "entities": ("exact", "micro", "f"),
    "tokens": ("micro_f1",),
    "pairs": ("text", "token_accuracy"),
}
NAMES = {
    "textcat": "shop",
    "entities": "goods_and_places_of_10_shops_x",
    "tokens": "lines",
    "pairs": "orders",
}


def blocks_of(page: str) -> list[tuple[str, str]]:
    """Return language and text of the blocks of a page that run."""
    return re.findall(r"^```(bash|python|diff)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def copy_project(folder: Path) -> Path:
    """Return a copy of what git knows, or would with `git add`, as it is now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def run(project: Path, command: str, language: str = "bash") -> str:
    """Run a block in a project; return what it prints."""
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": ""}
    environment["XDG_CACHE_HOME"] = str(project / ".cache")  # where wheels are unpacked
    arguments = ["bash", "-ec"] if language == "bash" else [sys.executable, "-c"]
    found = subprocess.run(
        [*arguments, command], cwd=project, env=environment, capture_output=True, text=True
    )
    assert found.returncode == 0, f"{command}\n{found.stdout[-3000:]}{found.stderr[-3000:]}"
    return found.stdout


def change(path: Path, diff: str) -> None:
    """Replace in a file each line that begins with - in a diff by the one after it, with +."""
    text = path.read_text(encoding="utf8")
    pairs = re.findall(r"^-(.*\n)\+(.*\n)", diff, re.MULTILINE)
    assert len(pairs) == len(diff.splitlines()) / 2
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf8")


def score_of(path: Path, kind: str) -> float:
    found = srsly.read_json(path)
    for key in SCORES[kind]:
        found = found[key]
    return found


def test_the_guide_is_read_in_ten_minutes_and_has_blocks_that_run():
    assert len(GUIDE.split()) <= 1500
    languages = [language for language, _ in blocks_of(GUIDE)]
    assert languages.count("bash") >= 5 and {"python", "diff"} < set(languages)
    assert [language for language, _ in blocks_of(RECIPE)] == ["bash"]
    for module in re.findall(r"-m (scripts\.\w+)", GUIDE):
        ran = " ".join(text for language, text in blocks_of(GUIDE) if language == "bash")
        assert module in ran or module == "scripts.lr_find"  # which has a page of its own


@pytest.mark.slow
def test_the_guide_leads_from_the_scaffold_to_a_wheel_that_predicts(tmp_path):
    project, printed = copy_project(tmp_path), []
    for language, text in blocks_of(GUIDE):
        if language == "diff":
            change(project / "plugins" / "my_shop.py", text)
        else:
            printed.append(run(project, text, language))
    assert "4 passed" in printed[0]
    for name in ("sample-my_shop/my_shop", "my_reviews/my_shop", "my_reviews/my_shop-plain"):
        assert 0.6 < score_of(project / "metrics" / f"{name}.json", "textcat") <= 1
    report = srsly.read_json(project / "corpus" / "my_reviews" / "report.json")
    assert (report["kind"], report["warnings"]) == ("textcat", [])
    assert report["labels"] == ["delivery", "price", "quality"]
    wheels = [path.name for path in project.glob("training/*/my_shop/wheel/*.whl")]
    assert sorted(wheels) == [
        "en_goemotions_my_shop-0.1.0-py3-none-any.whl",
        "en_my_shop-0.1.0-py3-none-any.whl",
    ]
    assert '"The chair broke at once."' in printed[-2] and '"quality"' in printed[-2]
    assert printed[-1].startswith("This cup is well made. ['quality']")


@pytest.mark.slow
def test_the_recipe_of_contributing_leads_to_a_trained_pipeline(tmp_path):
    project = copy_project(tmp_path)
    for language, text in blocks_of(RECIPE):
        assert "4 passed" in run(project, text, language)
    assert score_of(project / "metrics" / "sample-my_task" / "my_task.json", "tokens") > 0.8
    assert (project / "training" / "sample-my_task" / "my_task" / "pipeline").is_dir()


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory) -> Path:
    """A copy of the project with a task of each kind."""
    project = copy_project(tmp_path_factory.mktemp("scaffolded"))
    for kind, name in NAMES.items():
        run(project, f"python -m scripts.new_task {name} --kind {kind}")
    return project


@pytest.mark.slow
def test_what_is_written_is_as_ruff_wants_it(scaffolded):
    tests = " ".join(f"tests/test_{name}.py" for name in NAMES.values())
    run(scaffolded, f"ruff check plugins {tests} && ruff format --check plugins {tests}")


@pytest.mark.slow
def test_the_tests_of_the_project_take_new_tasks_without_further_work(scaffolded):
    files = "tests/test_project.py tests/test_docs.py tests/test_check_config.py"
    tests = " ".join(f"tests/test_{name}.py" for name in NAMES.values())
    printed = run(scaffolded, f"python -m pytest -q -m 'not slow' {files} {tests}")
    assert "failed" not in printed
    named = " or ".join(NAMES.values())
    collected = run(scaffolded, f"python -m pytest -q --collect-only tests -k '{named}'")
    for name in NAMES.values():
        for test in ("test_train_worker.py::", "test_lr_find.py::", "test_show_batch.py::"):
            assert re.search(rf"{re.escape(test)}.*{name}_task", collected), (test, name)
        assert f"test_recipes.py::test_a_printed_line_trains[{name}-0-spacy]" in collected
        assert f"test_check_config.py::test_every_key_of_every_config_is_read[{name}]" in collected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["entities", "pairs"])  # the guide and the recipe have the others
def test_the_workflow_of_each_kind_trains_scores_and_packs(scaffolded, kind):
    name, steps = NAMES[kind], KINDS[kind].few
    more = f"--vars.options='--training.max_steps {steps} --training.eval_frequency {steps}'"
    run(scaffolded, f"python -m spacy project run {name} . --vars.data=sample-{name} {more}")
    data, folder = f"sample-{name}", scaffolded / "training" / f"sample-{name}" / name
    assert 0.8 < score_of(scaffolded / f"metrics/{data}/{name}.json", kind) <= 1
    (wheel,) = (folder / "wheel").glob("*.whl")
    assert wheel.name == f"en_goemotions_{name}-0.1.0-py3-none-any.whl"
    printed = run(
        scaffolded, f"python -m scripts.predict {data}/{name} 'Elgin wants 3 cups' --json"
    )
    assert srsly.json_loads(printed)["text"] == "Elgin wants 3 cups"
