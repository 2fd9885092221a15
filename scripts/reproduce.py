"""Make the numbers of the README's table again, from assets on, in a folder of their own."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

from scripts.files import remove, replacing
from scripts.reproduce_check import TOLERANCE, check
from scripts.reproduce_plan import Sources, Step, chosen, plan

CODE = ("configs", "plugins", "scripts", "benchmarks")
NOTES = "reproduced.json"  # hash of the code, and commands that are done with their seconds
Runner = Callable[[Sequence[str], Path], int]


def call(command: Sequence[str], work: Path) -> int:
    """Run a command of Python in a folder, and return its exit code."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *command[1:]], cwd=work, env=environment).returncode


def reproduce(steps: list[Step], work: Path, runner: Runner = call) -> int:
    """Run steps that are not done, in a copy of the code; nothing outside of `work` is written.

    steps: In the order to run them.
    work: Folder for everything. Run again after a kill, what was done there is not done again.
    runner: Gets a command and the folder, returns an exit code.
    RETURNS: How many were run.
    RAISES ValueError: An option is lacking, the folder holds other code, a step fails.
    """
    waiting = [step for step in steps if not is_done(step, work)]
    for step in waiting:
        if step.lacks:
            raise ValueError(f"{step.name} needs a file of yours. Expected {step.lacks} FILE.")
    prepare(steps, work)
    for number, step in enumerate(waiting, 1):
        left = sum(other.minutes for other in waiting[number - 1 :])
        msg.divider(f"{number} of {len(waiting)}: {step.name}, {left:.0f} minutes left")
        print(shlex.join(step.command), flush=True)
        start = time.perf_counter()
        code = runner(step.command, work)
        if code or not (work / step.output).exists():
            found = f"exit code {code}" if code else f"no {step.output}"
            raise ValueError(
                f"{step.name}: {found}. Expected it to work; run again to go on there."
            )
        notes = _notes(work)
        notes["done"][shlex.join(step.command)] = round(time.perf_counter() - start, 1)
        _write(work, notes)
    return len(waiting)


def prepare(steps: list[Step], work: Path) -> None:
    """Copy the code, and assets that are in the project already, unless they are there.

    RAISES ValueError: The folder is of other code, or is something else.
    """
    code = code_hash(Path())
    if not (work / NOTES).exists():
        if work.exists() and any(work.iterdir()):
            raise ValueError(f"{work} is not empty. Expected a new folder, or one of this command.")
        _write(work, {"code": "", "done": {}})
    if not (before := _notes(work)["code"]):
        for folder in CODE:
            remove(work / folder)  # half of it, of a killed run
            _copy(Path(folder), work)
        _write(work, {"code": code, "done": {}})
    elif before != code:
        raise ValueError(f"{work} was made by other code. Expected a new folder: --work.")
    fetched = {step.output for step in steps if step.name.startswith("assets ")}
    inputs = [step.command[3] for step in steps if step.name.startswith("preprocess ")]
    models = [step.output for step in steps if step.name.startswith("models ")]
    for folder in (Path(name) for name in [*inputs, *models] if name not in fetched):
        if folder.exists() and not (work / folder).exists():
            _copy(folder, work)


def is_done(step: Step, work: Path) -> bool:
    """Return whether the very command ended well in that folder, and its output is still there."""
    done = (work / NOTES).exists() and shlex.join(step.command) in _notes(work)["done"]
    return done and (work / step.output).exists()


def code_hash(root: Path) -> str:
    """Return the SHA-256 of the names and contents of all files of code."""
    digest = hashlib.sha256()
    files = [path for folder in CODE for path in (root / folder).rglob("*") if path.is_file()]
    for path in sorted(files):
        if "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _copy(folder: Path, work: Path) -> None:
    with replacing(work / folder) as temporary:
        shutil.copytree(folder, temporary, ignore=shutil.ignore_patterns("__pycache__"))


def _notes(work: Path) -> dict[str, Any]:
    return json.loads((work / NOTES).read_text(encoding="utf8"))


def _write(work: Path, notes: dict[str, Any]) -> None:
    with replacing(work / NOTES) as temporary:
        temporary.write_text(json.dumps(notes, indent=2) + "\n", encoding="utf8")


def _print_plan(steps: list[Step], work: Path) -> None:
    for step in steps:
        state = "done" if is_done(step, work) else f"{step.minutes:.1f} min"
        hints = [f"needs {step.lacks} FILE"] if step.lacks else []
        hints += [step.note] if step.note else []
        print(f"{state:>8}  {'; '.join([step.name, *hints])}")
        print(f"{'':>10}{shlex.join(step.command)}")
    minutes = sum(step.minutes for step in steps if not is_done(step, work))
    print(f"{minutes:.1f} min".rjust(8) + "  in all, trained on one core beside another")


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help="Configs or runs", show_default="all of the table")
    ] = None,
    data: Annotated[str, typer.Option(help="Data set, a folder in metrics/")] = "goemotions",
    work: Annotated[Path, typer.Option(help="Folder for everything")] = Path("training/reproduced"),
    mirror: Annotated[
        Path | None, typer.Option(help="Take the data set's files from there", exists=True)
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option(help="Take wheels of models from there", exists=True)
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="Raw texts, for what learns from them", exists=True)
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest difference in macro-F1 of a run", min=0)
    ] = TOLERANCE,
    run: Annotated[bool, typer.Option("--run", help="Do it; without, print the plan")] = False,
) -> None:
    """Print or take the way from assets to each number of the table, and compare what comes out."""
    metrics = Path("metrics") / data
    try:
        runs = chosen(names or [], metrics)
        steps = plan(runs, metrics, Sources(mirror, wheels, raw))
        if run:
            reproduce(steps, work)
        else:
            _print_plan(steps, work)
        rows = check(runs, metrics, work, tolerance)
    except ValueError as error:
        msg.fail("Not reproduced", str(error), exits=1)
    for name, row in rows.items():
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in row.items())}")
    different = [name for name, row in rows.items() if row["verdict"].startswith("different")]
    if different:
        msg.fail("Other results", f"{', '.join(different)}; tolerance {tolerance}", exits=1)
    if run:
        msg.good(f"{len(rows)} of {len(runs)} runs compared with {metrics}: none is different")


if __name__ == "__main__":
    typer.run(main)
