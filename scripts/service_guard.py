"""Middleware that refuses bodies too large or too slow, and drops the work of clients that left."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scripts.service_schema import Limits


class Refused(Exception):
    """A body is not taken: the status, and why."""


class Guard:
    """Reads the whole body before anything else is done."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        """Wrap an app."""
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await self._body(scope, receive)
        except Refused as refused:
            status, problem = refused.args
            headers = {"Connection": "close"} if status == 408 else None
            await JSONResponse({"error": problem}, status, headers)(scope, receive, send)
            return
        if body is not None:
            await self._while_there(scope, body, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body, None if the client left."""
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit():
            self._check(int(announced))
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    self._check(len(body))
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError as error:
            found = f"body: {len(body)} bytes in {self.limits.timeout:g} seconds"
            raise Refused(408, f"{found}. Expected all of it.") from error

    def _check(self, size: int) -> None:
        if size > self.limits.size:
            found = f"body: {size} bytes or more"
            raise Refused(413, f"{found}. Expected at most {self.limits.size}.")

    async def _while_there(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the app; stop it when the client goes."""
        work = asyncio.ensure_future(self.app(scope, _replay(body), send))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
        with suppress(asyncio.CancelledError):
            await work


def _replay(body: bytes) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
