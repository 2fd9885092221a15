"""A served page and the system's browser, for the tests of the page and for its picture.

python -m tests.browser docs/visualize.png training/goemotions/cnn-seed0/pipeline [MODEL]
"""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

from scripts.files import replacing
from tests.conftest import ROOT

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
TEXT = "I can't believe you did this for me, thank you so much!"


@contextmanager
def served(models: list[Path], log: Path) -> Iterator[str]:
    """Start scripts.visualize on a free port, yield its address, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "scripts.visualize", *map(str, models), "--headless"]
    with log.open("w") as said:
        started = subprocess.Popen(
            [*command, "--port", str(port)], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        _wait(started, f"http://127.0.0.1:{port}/_stcore/health", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(20)


def _wait(started: subprocess.Popen, address: str, log: Path) -> None:
    for _ in range(300):
        if started.poll() is not None:
            raise RuntimeError(log.read_text())
        try:
            with urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"{address}: no answer in a minute. {log.read_text()}")


@contextmanager
def opened(address: str, **context: Any) -> Iterator[Page]:
    """Open a page in the system's browser; what context has is playwright's."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_context(**context).new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        yield page
        browser.close()


def type_text(page: Page, text: str) -> None:
    """Type a text, ask for it to be read, and wait for the answer."""
    page.get_by_role("textbox", name="Text").wait_for()
    page.get_by_role("textbox", name="Text").fill(text)
    page.get_by_role("button", name="Read", exact=True).click()
    settle(page)


def settle(page: Page) -> None:
    """Wait until the page is complete."""
    page.wait_for_timeout(300)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(300)


def compare_with(page: Page, name: str) -> None:
    """Choose the second pipeline."""
    page.get_by_role("combobox", name="Compare with").click()
    page.get_by_role("option", name=name).click()
    settle(page)


def photograph(output: Path, models: list[Path], **context: Any) -> None:
    """Write a picture of the page that reads TEXT, with the second model beside the first."""
    log = output.with_suffix(".log")
    with served(models, log) as address, opened(address, **context) as page:
        if len(models) > 1:
            page.get_by_role("combobox", name="Compare with").click()
            page.get_by_role("option").nth(1).click()
            settle(page)
        type_text(page, TEXT)
        height = page.locator("[data-testid=stMainBlockContainer]").bounding_box()["height"]
        page.set_viewport_size({"width": page.viewport_size["width"], "height": int(height) + 10})
        page.wait_for_timeout(1500)
        with replacing(output) as temporary:
            page.screenshot(path=temporary, type="png")
    log.unlink()


if __name__ == "__main__":
    photograph(
        Path(sys.argv[1]),
        [Path(model) for model in sys.argv[2:]],
        viewport={"width": 1100, "height": 900},
    )
