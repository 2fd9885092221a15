"""Check the name of a new task: good in every place where it will stand, and free there."""

import keyword
import re
import sys
from pathlib import Path

import srsly

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST = 30


def check_name(name: str, root: Path) -> None:
    """Check that a task may be called so.

    root: Folder of the project.
    RAISES ValueError: The name is no module's, or is taken.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise ValueError(
            f"Name {name!r}. Expected a small letter, then up to {LONGEST - 1} small letters, "
            "digits and single underscores, for example shop."
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in sys.stdlib_module_names:
        raise ValueError(f"Name {name!r}: Python has it already. Expected another.")
    project = srsly.read_yaml(root / "project.yml")
    known = {command["name"] for command in project["commands"]} | set(project["workflows"])
    steps = {name, *(f"{verb}-{name}" for verb in ("preprocess", "train", "package"))}
    if taken := sorted(known & steps):
        raise ValueError(f"Name {name!r}: project.yml has {taken[0]!r}. Expected another.")
    for path in new_paths(name):
        if (root / path).exists():
            raise ValueError(f"Name {name!r}: {path} exists. Expected another.")
    if reader_of(name) in "".join(p.read_text("utf8") for p in (root / "plugins").glob("*.py")):
        raise ValueError(f"Name {name!r}: {reader_of(name)} is registered. Expected another.")


def new_paths(name: str) -> list[str]:
    """Return where the files of a task go, from the folder of the project; a folder of data."""
    files = [
        f"plugins/{name}.py",
        f"configs/{name}.cfg",
        f"docs/{name}.md",
        f"tests/test_{name}.py",
    ]
    return [*files, f"assets/sample-{name}"]


def reader_of(name: str) -> str:
    """Return the registered name of the reader of a task."""
    return f"goemotions.{''.join(part.title() for part in name.split('_'))}.v1"
