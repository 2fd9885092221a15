"""Fetch the files of a data set and accept only the ones that are exactly right."""

import gzip
import hashlib
import json
import shutil
import zlib
from pathlib import Path
from typing import Annotated
from urllib.parse import urljoin

import httpx
import typer
from wasabi import msg

from scripts.archive import fetch_folders
from scripts.asset_list import ARCHIVES, ASSETS, BASE_URL, Asset
from scripts.download import offline, part_of, receive


def fetch_assets(
    assets: tuple[Asset, ...],
    folder: Path,
    *,
    base_url: str = BASE_URL,
    mirror: Path | None = None,
    force: bool = False,
) -> list[str]:
    """Bring a folder to exactly these files; fetch only what is missing or wrong.

    folder: Where they go. Nothing in it is replaced unless every file could be had and is right.
    base_url: What the paths of the assets are relative to.
    mirror: Folder to copy the files from instead of downloading them; they may be gzipped there.
    force: Fetch the files that are right, too.
    RETURNS: Names of the files that were put there.
    RAISES ValueError: Files could not be had or are not what they must be; names all of them.
    """
    needed = [asset for asset in assets if force or problem_of(folder / asset.name, asset)]
    folder.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    unreachable: dict[str, list[str]] = {}
    for asset in needed:
        part = part_of(folder, asset.name)
        try:
            if mirror:
                _copy(mirror / asset.name, part, asset)
            else:
                _download(urljoin(f"{base_url}/", asset.path), part, asset, resume=not force)
        except httpx.HTTPError as error:
            unreachable.setdefault(str(error) or type(error).__name__, []).append(asset.name)
        except (ValueError, OSError) as error:
            problems.append(str(error))
    all_names = ", ".join(asset.name for asset in assets)
    problems += [
        offline(", ".join(names), reason, all_names, folder.name)
        for reason, names in unreachable.items()
    ]
    if problems:
        raise ValueError("\n".join(problems))
    for asset in needed:
        part_of(folder, asset.name).replace(folder / asset.name)
    return [asset.name for asset in needed]


def problem_of(path: Path, asset: Asset) -> str:
    """Say in words why a file is not the asset; empty if it is."""
    if not path.is_file():
        return f"{path}: no such file. Expected {asset.size} bytes."
    size = path.stat().st_size
    if size != asset.size:
        return f"{path}: {size} bytes. Expected {asset.size}."
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != asset.sha256:
        return f"{path}: SHA-256 {found}. Expected {asset.sha256}."
    if asset.rows is None:
        return ""
    rows = len(json.loads(content) if asset.name.endswith(".json") else content.splitlines())
    return "" if rows == asset.rows else f"{path}: {rows} rows. Expected {asset.rows}."


def _copy(source: Path, part: Path, asset: Asset) -> None:
    """Copy a file of the mirror, or unpack it if only name.gz is there.

    RAISES ValueError: It is not there, or not the asset.
    """
    packed = source.with_name(f"{source.name}.gz")
    if source.is_file() or not packed.is_file():
        if found := problem_of(source, asset):
            raise ValueError(found)
        shutil.copyfile(source, part)
        return
    try:
        with gzip.open(packed) as stream:
            # One byte too many is enough to be wrong, and the rest may be endless.
            part.write_bytes(stream.read(asset.size + 1))
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{packed}: {error}. Expected {asset.name}, gzipped.") from error
    if found := problem_of(part, asset):
        part.unlink()
        raise ValueError(f"{packed}, unpacked: {found.removeprefix(f'{part}: ')}")


def _download(url: str, part: Path, asset: Asset, *, resume: bool) -> None:
    """Download to `part`, on top of what an interrupted run left there.

    RAISES ValueError: What came is not the asset; it is deleted.
    RAISES httpx.HTTPError: The server cannot be reached or refuses; what came so far is kept.
    """
    if not resume or (part.exists() and part.stat().st_size > asset.size):
        part.unlink(missing_ok=True)
    resumed = part.exists()
    if problem_of(part, asset):
        receive(url, part, asset.size, total=asset.size)
    if resumed and problem_of(part, asset):
        # What was left may have been wrong from its first byte.
        part.unlink(missing_ok=True)
        receive(url, part, asset.size, total=asset.size)
    if found := problem_of(part, asset):
        part.unlink(missing_ok=True)
        raise ValueError(f"{url}: {found.removeprefix(f'{part}: ')} What came is deleted.")


def main(
    data: Annotated[str, typer.Argument(help="Which data set")] = "goemotions",
    mirror: Annotated[
        Path | None,
        typer.Option(help="Copy from this folder, also from name.gz", exists=True, file_okay=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch also what is right")] = False,
) -> None:
    """Fetch the files of a data set into assets/<data>; SHA-256, size and number must be right."""
    folder = Path("assets") / data
    try:
        if data in ARCHIVES:
            listed = ARCHIVES[data].folders
            fetched = fetch_folders(ARCHIVES[data], folder, mirror=mirror, force=force)
        elif data in ASSETS:
            listed = ASSETS[data]
            fetched = fetch_assets(listed, folder, mirror=mirror, force=force)
        else:
            known = ", ".join([*ASSETS, *ARCHIVES])
            raise ValueError(f"Data set '{data}'. Expected one of: {known}.")
    except ValueError as error:
        msg.fail(f"Nothing in {folder} was replaced")
        print(error)  # not wrapped, so that the lines stay apart and commands can be copied
        raise typer.Exit(1) from None
    what, present = "folders" if data in ARCHIVES else "files", len(listed) - len(fetched)
    msg.good(f"{folder}: {len(fetched)} {what} fetched, {present} were there; all are right")


if __name__ == "__main__":
    typer.run(main)
