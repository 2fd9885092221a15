"""Compose the files of a new task, and what the project's lists of files become with it."""

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.task_config import derive_config
from scripts.task_kinds import KINDS, STEPS, Kind
from scripts.task_names import new_paths, reader_of
from scripts.task_project import add_task
from scripts.tasks import Task
from scripts.toy_rows import SIZES, labels_of, make_rows

TEMPLATES = ("task_reader.py.jinja", "task_page.md.jinja", "task_test.py.jinja")
LISTS = ("plugins/__init__.py", "project.yml", ".gitignore", "CHANGELOG.md")
IMPORT = re.compile(r"^import plugins\.(\w+)(?:  # noqa: F401)?\n", re.MULTILINE)


def new_files(name: str, task: Task, root: Path) -> dict[str, str]:
    """Return the files of a task by their paths from root, the folder of the project."""
    plugin, config, page, test, data = new_paths(name)
    kind = KINDS[task]
    reader_text, page_text, test_text = (_render(one, name, task, kind) for one in TEMPLATES)
    base = (root / "configs" / f"{kind.config}.cfg").read_text(encoding="utf8")
    files = {plugin: reader_text, config: _config(base, name, kind), page: page_text}
    files[test] = test_text
    rows = make_rows(task)
    for split, some in rows.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in some)
        files[f"{data}/{split}.jsonl"] = "".join(lines)
    if task == "textcat":
        files[f"{data}/labels.txt"] = "".join(f"{label}\n" for label in labels_of(rows))
    return files


def edited_files(name: str, task: Task, root: Path) -> dict[str, str]:
    """Return the files that list all of a kind, with the task in them.

    RAISES ValueError: One of them has no place for it.
    """
    texts = {path: (root / path).read_text(encoding="utf8") for path in LISTS}
    return {
        "plugins/__init__.py": add_import(texts["plugins/__init__.py"], name),
        "project.yml": add_task(texts["project.yml"], name, task, reader_of(name), root),
        ".gitignore": add_ignored(texts[".gitignore"], name),
        "CHANGELOG.md": texts["CHANGELOG.md"].rstrip("\n")
        + f"\n- The task `{name}`: `{reader_of(name)}`, `configs/{name}.cfg`, workflow `{name}`.\n",
    }


def add_import(text: str, name: str) -> str:
    """Return plugins/__init__.py with a module imported in its place.

    RAISES ValueError: It imports none.
    """
    names = IMPORT.findall(text)
    if not names:
        raise ValueError("plugins/__init__.py: no imports. Expected those of the plugins.")
    lines = [f"import plugins.{module}" for module in sorted({*names, name}, key=_natural)]
    return text[: IMPORT.search(text).start()] + "\n".join(lines) + "  # noqa: F401\n"


def add_ignored(text: str, name: str) -> str:
    """Return .gitignore where the sample of a task is not ignored, and its scores are.

    RAISES ValueError: It has no such lines of other samples.
    """
    for known, new in (("!assets/sample", f"!assets/sample-{name}/"),
                       ("metrics/sample", f"metrics/sample-{name}/")):  # fmt: skip
        lines = text.splitlines()
        places = [number for number, line in enumerate(lines, 1) if line.startswith(known)]
        if not places:
            raise ValueError(f".gitignore: no line that begins with {known}. Expected one.")
        text = "\n".join([*lines[: places[-1]], new, *lines[places[-1] :], ""])
    return text


def _config(base: str, name: str, kind: Kind) -> str:
    corpus = f"corpus/sample-{name}"
    files = {"train": "train.spacy", "dev": "dev.spacy", "labels": "labels.json"}
    values = {f"paths.{key}": f'"{corpus}/{file}"' for key, file in files.items()}
    header = [
        f"The task {name}: {kind.what}. Made of configs/{kind.config}.cfg by scripts.new_task.",
        "CPU. The invented sample: less than a minute. Not scored on real data yet.",
        f"Needs `spacy project run preprocess-{name} . --vars.data=sample-{name}`.",
        f"spacy train configs/{name}.cfg --code plugins/__init__.py --output training/mine/{name}",
    ]
    return derive_config(base, header, {**values, **STEPS, **kind.values}, kind.without)


def _render(template: str, name: str, task: Task, kind: Kind) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    facts: dict[str, Any] = {**vars(kind), "name": name, "kind": task, "data": f"sample-{name}"}
    return environment.get_template(template).render(
        facts, reader=reader_of(name), sizes=[*SIZES.values()]
    )


def _natural(name: str) -> list[tuple[bool, int | str]]:
    """Return what ruff sorts modules by: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(not part.isdigit(), int(part) if part.isdigit() else part) for part in parts if part]
