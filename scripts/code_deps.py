"""Find the code that a script runs, for the deps of a command of project.yml."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path


def code_deps(scripts: list[str], root: Path = Path()) -> list[str]:
    """Return the files that scripts need, they included: plugins first, each once, sorted.

    scripts: Paths from root, such as scripts/train.py. One that imports the package of the plugins
        needs all of them.
    root: Folder of the project.
    """
    needed: set[str] = set()
    waiting = list(scripts)
    while waiting:
        path = waiting.pop()
        if path in needed:
            continue
        needed.add(path)
        for module in imports_of(root / path):
            if module == "plugins":
                needed |= {f"plugins/{file.name}" for file in (root / "plugins").glob("*.py")}
            file = f"{module.replace('.', '/')}.py"
            if module.startswith(("scripts.", "plugins.")) and (root / file).exists():
                waiting.append(file)
        needed |= _templates(root / path)
    return sorted(needed, key=lambda path: (path != "plugins/__init__.py", path))


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, wherever it does, or names for another to run."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith("scripts."):
            yield node.value


def _templates(path: Path) -> set[str]:
    named = re.findall(r'"([\w.]+\.jinja)"', path.read_text(encoding="utf8"))
    return {f"{path.parent.name}/{name}" for name in named}
