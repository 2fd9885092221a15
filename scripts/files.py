"""Write whole files and folders or none: first to a temporary name, then renamed."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block ends without an error.

    path: File or folder to write. What stands there stays until the new one is complete. Left-overs
        of a killed run are removed first.
    RETURNS: Path to write to, not yet existing; its parent exists.
    RAISES ValueError: A file would replace a folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    previous = path.with_name(f".{path.name}.old")
    path.parent.mkdir(parents=True, exist_ok=True)
    if previous.exists() and not path.exists():
        previous.rename(path)  # killed between the two renames below
    remove(temporary)
    remove(previous)
    try:
        yield temporary
        if path.is_dir() and not temporary.is_dir():
            raise ValueError(f"Output {path}: a folder. Expected the name of a file.")
        if path.is_dir():
            path.rename(previous)
        temporary.replace(path)
        remove(previous)
    finally:
        remove(temporary)


def check_output(
    output: Path, what: str, parts: Iterable[str], inputs: Iterable[Path] = ()
) -> None:
    """Check that a folder would replace nothing but an earlier output of its kind.

    what: Name of the kind, e.g. "pipeline".
    parts: Names of files; an earlier output has one of them at least.
    inputs: What is read to make the output.
    RAISES ValueError: It would replace an input, or something else.
    """
    for path in inputs:
        if output.resolve() in (path.resolve(), *path.resolve().parents):
            raise ValueError(f"Output {output} would replace the input {path}. Expected another.")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not any((output / part).exists() for part in parts):
        raise ValueError(f"Output {output}: no {what}. Expected a new folder or an old {what}.")


def check_result(output: Path, inputs: Iterable[Path]) -> None:
    """Check that a file of results would replace nothing that it is made of.

    inputs: Files and folders.
    RAISES ValueError: It would.
    """
    for path in inputs:
        if path.resolve() in (output.resolve(), *output.resolve().parents):
            raise ValueError(f"Output {output} would replace the input {path}. Expected another.")


def remove(path: Path) -> None:
    """Delete a file or a folder with all that is in it; do nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's relative file names and their contents."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
