"""Fetch the files of a data set and accept only the ones that are exactly right."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urljoin

import httpx
import typer
from tqdm import tqdm
from wasabi import msg

COMMIT = "2adf640a14f11025ae5a9d0ec493b78530d276d3"
BASE_URL = f"https://raw.githubusercontent.com/google-research/google-research/{COMMIT}"
TIMEOUT = httpx.Timeout(30, connect=10)  # seconds


@dataclass(frozen=True)
class Asset:
    """A file as it must be.

    path: Below the base URL, or a URL of its own. size (bytes). rows: Lines, or groups of a JSON
        file; None of an archive.
    """

    path: str
    sha256: str
    size: int
    rows: int | None

    @property
    def name(self) -> str:
        """Return the file's name in assets/<data>/ and in a mirror."""
        return Path(self.path).name


# GoEmotions, Demszky et al. 2020, arXiv 2005.00547, CC BY 4.0.
ASSETS = {
    "goemotions": (
        Asset(
            "goemotions/data/train.tsv",
            "1c254a142be5c00e80d819b9ae1bbd36d94b2eeb8f4b1271846508d57e57d9c5",
            3_519_053,
            43_410,
        ),
        Asset(
            "goemotions/data/dev.tsv",
            "575489c079c9de1097062a01738f998590d6b7ead66dd1c9fd1d2ba01fd8bc62",
            439_059,
            5_426,
        ),
        Asset(
            "goemotions/data/test.tsv",
            "0587b2dd8b27b97352adbfc3fb083d46005c8946657fdc2b1ca8b1cc7f1f8be4",
            436_706,
            5_427,
        ),
        Asset(
            "goemotions/data/emotions.txt",
            "45c3ef86782d2a4d7fedcd6d8c111aa0d0e94720689bd164fac94fefb4495a89",
            248,
            28,
        ),
        Asset(
            "goemotions/data/ekman_mapping.json",
            "d6b1fea382917c1685c42e1324a0344106be9390f52a3850ce032656d103a328",
            396,
            6,
        ),
        Asset(
            "goemotions/data/sentiment_dict.json",
            "801f6f028082141bd38541a4b14d65b33bdc55d29c7b2aaa029fefecf206f76b",
            367,
            3,
        ),
    ),
    # Maas et al. 2011, Learning Word Vectors for Sentiment Analysis; for research, no licence.
    "imdb": (
        Asset(
            "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
            "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            84_125_825,
            None,
        ),
    ),
}


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
    mirror: Folder to copy the files from instead of downloading them.
    force: Fetch the files that are right, too.
    RETURNS: Names of the files that were put there.
    RAISES ValueError: Files could not be had or are not what they must be; names all of them.
    """
    needed = [asset for asset in assets if force or problem_of(folder / asset.name, asset)]
    folder.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    unreachable: dict[str, list[str]] = {}
    for asset in needed:
        part = part_of(folder, asset)
        try:
            if mirror:
                _copy(mirror / asset.name, part, asset)
            else:
                _download(urljoin(f"{base_url}/", asset.path), part, asset, resume=not force)
        except httpx.HTTPError as error:
            unreachable.setdefault(str(error) or type(error).__name__, []).append(asset.name)
        except (ValueError, OSError) as error:
            problems.append(str(error))
    problems += [_offline(names, reason, assets, folder) for reason, names in unreachable.items()]
    if problems:
        raise ValueError("\n".join(problems))
    for asset in needed:
        part_of(folder, asset).replace(folder / asset.name)
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
    rows = len(json.loads(content) if path.name.endswith(".json") else content.splitlines())
    return "" if rows == asset.rows else f"{path}: {rows} rows. Expected {asset.rows}."


def part_of(folder: Path, asset: Asset) -> Path:
    """Return where a file lies until it is complete and right."""
    return folder / f".{asset.name}.part"


def _copy(source: Path, part: Path, asset: Asset) -> None:
    """Copy a file of the mirror.

    RAISES ValueError: It is not there, or not the asset.
    """
    if found := problem_of(source, asset):
        raise ValueError(found)
    shutil.copyfile(source, part)


def _download(url: str, part: Path, asset: Asset, *, resume: bool) -> None:
    """Download to `part`, on top of what an interrupted run left there.

    RAISES ValueError: What came is not the asset; it is deleted.
    RAISES httpx.HTTPError: The server cannot be reached or refuses; what came so far is kept.
    """
    if not resume or (part.exists() and part.stat().st_size > asset.size):
        part.unlink(missing_ok=True)
    resumed = part.exists()
    if problem_of(part, asset):
        _receive(url, part, asset)
    if resumed and problem_of(part, asset):
        # What was left may have been wrong from its first byte.
        part.unlink(missing_ok=True)
        _receive(url, part, asset)
    if found := problem_of(part, asset):
        part.unlink(missing_ok=True)
        raise ValueError(f"{url}: {found.removeprefix(f'{part}: ')} What came is deleted.")


def _receive(url: str, part: Path, asset: Asset) -> None:
    """Append the rest of a file to `part`, or all of it if the server sends all of it."""
    start = part.stat().st_size if part.exists() else 0
    if start == asset.size:
        return  # complete, and the caller finds it wrong
    # Byte ranges count the bytes as sent, so the server must not compress them.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as reply:
        reply.raise_for_status()
        if not reply.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0  # 200 instead of 206: the whole file again
        with (
            part.open("ab" if start else "wb") as stream,
            tqdm(
                total=asset.size, initial=start, desc=asset.name, unit="B", unit_scale=True
            ) as bar,
        ):
            for block in reply.iter_raw():
                stream.write(block)
                bar.update(len(block))
                if stream.tell() > asset.size:
                    return  # too long to be right, and perhaps endless


def _offline(names: list[str], reason: str, assets: tuple[Asset, ...], folder: Path) -> str:
    """Say what could not be downloaded and what to do without a network."""
    return (
        f"{', '.join(names)}: download failed ({reason}). Without a network, get "
        f"{', '.join(asset.name for asset in assets)} by other means into a folder DIR and run "
        f"python -m scripts.assets {folder.name} --mirror DIR"
    )


def main(
    data: Annotated[str, typer.Argument(help="Which data set")] = "goemotions",
    mirror: Annotated[
        Path | None,
        typer.Option(help="Copy from this folder, no network", exists=True, file_okay=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch also what is right")] = False,
) -> None:
    """Fetch the files of a data set into assets/<data>; SHA-256, size and rows must be right."""
    folder = Path("assets") / data
    try:
        if data not in ASSETS:
            raise ValueError(f"Data set '{data}'. Expected one of: {', '.join(ASSETS)}.")
        fetched = fetch_assets(ASSETS[data], folder, mirror=mirror, force=force)
    except ValueError as error:
        msg.fail(f"Nothing in {folder} was replaced")
        print(error)  # not wrapped, so that the lines stay apart and commands can be copied
        raise typer.Exit(1) from None
    present = len(ASSETS[data]) - len(fetched)
    msg.good(f"{folder}: {len(fetched)} files fetched, {present} were there; all are right")


if __name__ == "__main__":
    typer.run(main)
