"""Serve trained pipelines over HTTP."""

import ipaddress
import signal
import socket
from functools import partial
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI
from wasabi import msg

from scripts.service import build_app
from scripts.service_models import load_served
from scripts.service_protocol import Impatient
from scripts.service_schema import Limits

LIMITS = Limits()


def serve(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Answer requests until the process is asked to end, then finish those that were begun.

    app: From scripts.service.
    listening: From `listen`.
    limits: The same as the app's.
    """
    config = uvicorn.Config(
        app,
        http=partial(Impatient, timeout=limits.timeout),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=5,
        # Headers, body, prediction, taking the answer: each has its own timeout.
        timeout_graceful_shutdown=int(3 * limits.timeout) + 1,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal again at the end
    uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    host: Address; of this machine only unless others shall come in.
    port: 0 takes one that is free.
    RAISES ValueError: The address is taken, or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        found = f"{host}, port {port}: {str(error.strerror).split(' (')[0]}"
        raise ValueError(f"{found}. Expected a free port of this machine.") from error


def is_local(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main(
    models: Annotated[
        list[str],
        typer.Argument(help="Folders, <data>/<config>, installed packages, wheels, addresses"),
    ],
    name: Annotated[
        list[str] | None, typer.Option(help="Of each model, in their order; else of its folder")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one", min=0, max=65535)] = 8000,
    max_texts: Annotated[int, typer.Option(help="Texts of a request", min=1)] = LIMITS.texts,
    max_characters: Annotated[
        int, typer.Option(help="Characters of a text", min=1)
    ] = LIMITS.characters,
    max_explained: Annotated[
        int, typer.Option(help="Texts of a request that asks for words", min=1)
    ] = LIMITS.explained,
    max_bytes: Annotated[int, typer.Option(help="Bytes of a request", min=1)] = LIMITS.size,
    max_connections: Annotated[
        int, typer.Option(help="Open connections; one more is refused", min=1)
    ] = LIMITS.connections,
    timeout: Annotated[
        float, typer.Option(help="Seconds for a request to come, and for its answer", min=0.1)
    ] = LIMITS.timeout,
    queue: Annotated[int, typer.Option(help="Requests that can wait", min=1)] = LIMITS.queue,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Serve pipelines over HTTP: POST /predict, GET /models, /health, /metrics, /docs."""
    try:
        limits = Limits(
            max_texts, max_characters, max_explained, max_bytes, queue, max_connections, timeout
        )
        served = load_served(models, names=name or (), characters=max_characters, gpu_id=gpu_id)
        listening = listen(host, port)
    except ValueError as error:
        msg.fail("Cannot serve", str(error), exits=1)
    if not is_local(host):
        msg.warn(f"{host}: others can reach this service, and it asks nobody for a password.")
    address = f"[{host}]" if ":" in host else host
    msg.good(f"{', '.join(served)}: http://{address}:{listening.getsockname()[1]}/docs")
    serve(build_app(served, limits), listening, limits)


if __name__ == "__main__":
    typer.run(main)
