"""Download to a part file, on top of what is there, and never more than a file may have."""

from pathlib import Path

import httpx
from tqdm import tqdm

TIMEOUT = httpx.Timeout(30, connect=10)  # seconds


def part_of(folder: Path, name: str) -> Path:
    """Return where a file lies until it is complete and right."""
    return folder / f".{name}.part"


def receive(url: str, part: Path, most: int, *, total: int | None = None) -> None:
    """Append the rest of a file to `part`, or all of it if the server sends all of it.

    most (bytes): Stop after a block that exceeds it: too long to be right, and perhaps endless.
    total (bytes): What the progress bar counts up to, if known.
    RAISES httpx.HTTPError: The server cannot be reached or refuses; what came so far is kept.
    """
    start = part.stat().st_size if part.exists() else 0
    if start == most:
        return  # complete, and the caller finds it wrong
    # Byte ranges count the bytes as sent, so the server must not compress them.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as reply:
        reply.raise_for_status()
        if not reply.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0  # 200 instead of 206: the whole file again
        name = part.stem.removeprefix(".")
        with (
            part.open("ab" if start else "wb") as stream,
            tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True) as bar,
        ):
            for block in reply.iter_raw():
                stream.write(block)
                bar.update(len(block))
                if stream.tell() > most:
                    return


def offline(what: str, reason: str, needed: str, data: str) -> str:
    """Say what could not be downloaded and what to do without a network."""
    return (
        f"{what}: download failed ({reason}). Without a network, get {needed} by other means into "
        f"a folder DIR and run python -m scripts.assets {data} --mirror DIR"
    )
