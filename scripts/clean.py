"""Delete folders that the project can make again: what lies below corpus/ and training/."""

import os
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from scripts.files import remove

ALLOWED = ("corpus", "training")


def clean(folders: list[Path], project: Path | None = None) -> list[Path]:
    """Delete the folders, or none of them if one is not allowed.

    folders: Folders below corpus/ or training/, relative to the project. A missing one is fine.
    project: Root of the project; the working folder if left out.
    RETURNS: The folders that were there and are now gone.
    RAISES ValueError: A folder is not below corpus/ or training/ of the project.
    """
    root = (project or Path()).resolve()
    targets = [_checked(root, folder) for folder in folders]
    present = [target for target in targets if target.exists() or target.is_symlink()]
    for target in present:
        remove(target)
    return present


def _checked(root: Path, folder: Path) -> Path:
    """Return the absolute path to delete.

    RAISES ValueError: It is not below an allowed folder, links on the way there followed.
    """
    path = Path(os.path.normpath(root / folder))
    # The last part stays unresolved: of a link only the link goes, never what it points to.
    path = path.parent.resolve() / path.name
    if not any(path.is_relative_to(root / name) and path != root / name for name in ALLOWED):
        raise ValueError(f"{folder}: not deleted. Expected a folder below corpus/ or training/.")
    return path


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders below corpus/ or training/")],
) -> None:
    """Delete folders below corpus/ or training/."""
    try:
        deleted = clean(folders)
    except ValueError as error:
        msg.fail("Cannot clean", str(error), exits=1)
    msg.good(f"Deleted {', '.join(path.name for path in deleted)}" if deleted else "Already clean")


if __name__ == "__main__":
    typer.run(main)
