"""Fetch the folders of an archive and accept only files that are exactly right."""

import gzip
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import httpx
from tqdm import tqdm

from scripts.asset_list import Archive, Folder
from scripts.download import offline, part_of, receive
from scripts.files import replacing

PACKED = 100_000_000  # bytes of an archive, at most
UNPACKED = 500_000_000  # bytes of all that is in it, at most
LONGEST = 1_000_000  # bytes of one wanted file, at most


def fetch_folders(
    archive: Archive, folder: Path, *, mirror: Path | None = None, force: bool = False
) -> list[str]:
    """Bring the folders of an archive to exactly these files; fetch only if one is wrong.

    The archive itself is not verified, for its bytes may change: what is verified is the name and
    the content of each wanted file, after it was taken out. Files of other suffixes stay there.

    folder: Where the folders go. None is replaced unless every one could be had and is right.
    mirror: The unpacked archive, or a folder that has the folders by their names here.
    force: Fetch the folders that are right, too.
    RETURNS: Names of the folders that were put there.
    RAISES ValueError: They could not be had or are not what they must be; names all of them.
    """
    folders = archive.folders
    needed = [part for part in folders if force or problem_of_folder(folder / part.name, part)]
    if not needed:
        return []
    try:
        with ExitStack() as stack:
            # Each is renamed when the block ends, and none if it ends in an error.
            new = {part: stack.enter_context(replacing(folder / part.name)) for part in needed}
            if mirror:
                _copy(mirror, new)
            else:
                _download(archive, folder, new)
            problems = [
                f"{mirror or archive.url}, {part.path}: {found.removeprefix(f'{place}: ')}"
                for part, place in new.items()
                if (found := problem_of_folder(place, part))
            ]
            if problems:
                raise ValueError("\n".join(problems))
    except OSError as error:
        raise ValueError(str(error)) from error
    return [part.name for part in needed]


def problem_of_folder(path: Path, part: Folder) -> str:
    """Say in words why a folder is not what it must be; empty if it is."""
    if not path.is_dir():
        return f"{path}: no such folder. Expected {part.files} files."
    files = {file.relative_to(path).as_posix(): file for file in _files(path, part)}
    size = sum(file.stat().st_size for file in files.values())
    if (len(files), size) != (part.files, part.size):
        return f"{path}: {len(files)} files, {size} bytes. Expected {part.files}, {part.size}."
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{hashlib.sha256(files[name].read_bytes()).hexdigest()}  {name}\n".encode())
    found = digest.hexdigest()
    return "" if found == part.sha256 else f"{path}: SHA-256 {found}. Expected {part.sha256}."


def read_archive(
    source: Path,
    wanted: Callable[[tuple[str, ...]], bool],
    *,
    longest: int,
    most: int,
) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Yield the wanted files of a .tar.gz; nothing is unpacked, whatever names and links it has.

    wanted: Says whether to yield a file, by the parts of its name below the archive's root.
    longest (bytes): Of a wanted file. most (bytes): Of all that is in the archive.
    RETURNS: The parts of the name below the root, and the content.
    RAISES ValueError: A name that leads out of the archive, a wanted link, more bytes than allowed,
        or no whole archive.
    """
    try:
        with (
            gzip.open(source) as stream,
            tarfile.open(fileobj=_Bounded(stream, most), mode="r|") as archive,
        ):
            for member in tqdm(archive, desc="reading", unit=" files"):
                parts = PurePosixPath(member.name).parts
                if member.name.startswith("/") or ".." in parts or "\\" in member.name:
                    raise ValueError(f"{member.name!r} leads out of the archive")
                if not wanted(parts[1:]):
                    continue
                if not member.isreg() or not 0 <= member.size <= longest:
                    raise ValueError(
                        f"{member.name}, {member.size} bytes: a link, or longer than {longest}"
                    )
                yield parts[1:], archive.extractfile(member).read()
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{source}: {error}. Expected a whole .tar.gz of plain files.") from error


class _Bounded:
    """A stream that fails after so many bytes: a small archive can unpack to endless ones."""

    def __init__(self, stream: BinaryIO, most: int):
        self.stream, self.most, self.left = stream, most, most

    def read(self, size: int) -> bytes:
        block = self.stream.read(size)
        self.left -= len(block)
        if self.left < 0:
            raise ValueError(f"unpacks to more than {self.most} bytes")
        return block


def _files(path: Path, part: Folder) -> list[Path]:
    return [file for file in path.rglob("*") if file.suffix in part.suffixes and file.is_file()]


def _copy(mirror: Path, new: dict[Folder, Path]) -> None:
    """Copy the folders of the mirror; what it lacks stays away, which the caller finds."""
    for part, place in new.items():
        unpacked = mirror / part.path
        source = unpacked if unpacked.is_dir() else mirror / part.name
        for file in _files(source, part):
            copy = place / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def _download(archive: Archive, folder: Path, new: dict[Folder, Path]) -> None:
    """Download the archive and write the wanted files of its folders.

    RAISES ValueError: It cannot be had, or cannot be read to its end.
    """
    packed = part_of(folder, archive.name)
    packed.unlink(missing_ok=True)  # it may have been packed anew since, so it cannot be resumed
    try:
        receive(archive.url, packed, PACKED)
        if packed.stat().st_size > PACKED:
            raise ValueError(f"more than {PACKED} bytes. Expected fewer.")
        _unpack(packed, new)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        unpacked = f"and unpack {archive.url}"
        raise ValueError(offline(archive.name, reason, unpacked, folder.name)) from error
    except ValueError as error:
        found = str(error).removeprefix(f"{packed}: ")
        raise ValueError(f"{archive.url}: {found} What came is deleted.") from error
    finally:
        packed.unlink(missing_ok=True)


def _unpack(packed: Path, new: dict[Folder, Path]) -> None:
    folders = {PurePosixPath(part.path).parts: part for part in new}

    def is_wanted(parts: tuple[str, ...]) -> bool:
        part = folders.get(parts[:-1])
        return part is not None and PurePosixPath(parts[-1]).suffix in part.suffixes

    for place in new.values():
        place.mkdir()
    for parts, content in read_archive(packed, is_wanted, longest=LONGEST, most=UNPACKED):
        (new[folders[parts[:-1]]] / parts[-1]).write_bytes(content)
