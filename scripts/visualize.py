"""Serve a page to try trained pipelines: type a text, see what they decide and why."""

import socket
from importlib.util import find_spec
from typing import Annotated

import typer
from wasabi import msg

from scripts.facts import find_pipelines
from scripts.find_model import find_model

ADDRESS = "127.0.0.1"  # whoever reaches the page can use the pipelines
# Ours, whatever a user's own settings of Streamlit say.
SETTINGS = {
    "server.address": ADDRESS,
    "server.allowedHosts": ADDRESS,  # not a name of another site that leads here
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": False,
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
}


def visualize(models: list[str], *, port: int = 8501, headless: bool = False) -> None:
    """Serve the page until it is interrupted.

    models: As scripts.find_model takes them; without any, all that were trained.
    headless: Do not open a browser.
    RAISES ValueError: Streamlit is missing, there is no pipeline, or the port is taken.
    """
    if find_spec("streamlit") is None:
        raise ValueError("Streamlit is not installed. Run pip install -r requirements.txt first.")
    for model in models:
        find_model(model)
    models = models or [path.as_posix() for path in find_pipelines()]
    _check_port(port)
    from streamlit.web.cli import main_run

    settings = {**SETTINGS, "server.port": port}
    if headless:  # else Streamlit looks whether there is a screen
        settings["server.headless"] = True
    flags = [f"--{key}={value}" for key, value in settings.items()]
    page = find_spec("scripts.page").origin  # for Streamlit to import, which warns if we did
    main_run([*flags, page, "--", *models], standalone_mode=False)


def _check_port(port: int) -> None:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((ADDRESS, port))
        except OSError as error:
            found = f"Port {port}: {error.strerror}"
            raise ValueError(f"{found}. Expected a free one; --port takes another.") from error


def main(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders, <data>/<config>, packages, wheels; all of training/ if none",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port on this machine", min=1, max=65535)] = 8501,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser")] = False,
) -> None:
    """Serve a page on this machine to try and compare pipelines; Ctrl-C ends it."""
    try:
        visualize(models or [], port=port, headless=headless)
    except ValueError as error:
        msg.fail("No page", str(error), exits=1)


if __name__ == "__main__":
    typer.run(main)
