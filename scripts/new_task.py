"""Write what a new task needs: reader, config, commands, toy data, page and a passing test."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from scripts.files import remove, replacing
from scripts.task_files import edited_files, new_files
from scripts.task_names import check_name
from scripts.tasks import Task

ROOT = Path(__file__).parent.parent


def new_task(name: str, task: Task, *, root: Path = ROOT, dry_run: bool = False) -> list[str]:
    """Write the files of a task and add it to those that list all: everything, or nothing.

    name: Of plugin, config, page, test and workflow; the data is assets/sample-<name>.
    task: Kind of annotation that it learns.
    root: Folder of the project.
    dry_run: Write nothing.
    RETURNS: What is new and what is changed, from root.
    RAISES ValueError: A bad name, one that is taken, or a project without a place for it.
    """
    check_name(name, root)
    files = new_files(name, task, root) | edited_files(name, task, root)
    if not dry_run:
        write_all({root / path: text for path, text in files.items()})
    return list(files)


def write_all(files: dict[Path, str]) -> None:
    """Write files; after an error those that were there are as before, and all others gone."""
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    folders = {parent for path in files for parent in path.parents if not parent.exists()}
    done = []
    try:
        for path, text in files.items():
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf8")
            done.append(path)
    except BaseException:
        for path in done:
            if (content := before[path]) is None:
                remove(path)
            else:
                path.write_bytes(content)
        for folder in folders:
            remove(folder)
        raise


def main(
    name: Annotated[str, typer.Argument(help="Of the task, e.g. shop: small letters, digits, _")],
    kind: Annotated[
        Task,
        typer.Option(
            help="What it learns: labels of texts, texts for texts, tags of words, entities"
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be written, write nothing")
    ] = False,
) -> None:
    """Write reader, config, commands, toy data, page and test of a new task."""
    try:
        paths = new_task(name, kind, root=ROOT, dry_run=dry_run)
    except ValueError as error:
        msg.fail("Nothing was written", str(error), exits=1)
    for path in paths:
        print(path)
    if dry_run:
        msg.info(f"{len(paths)} files; nothing was written")
        return
    msg.good(f"The task {name}: {len(paths)} files. Next:")
    print(f"python -m pytest -q tests/test_{name}.py")
    print(f"python -m spacy project run {name} . --vars.data=sample-{name}")
    print(f"python -m scripts.experiment {name} --data sample-{name} --test --force")


if __name__ == "__main__":
    typer.run(main)
