"""Connections that do not wait for ever: uvicorn times only those that are idle."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Impatient(H11Protocol):
    """Closes a connection whose client is too slow with its headers, or with taking the answer."""

    def __init__(self, *args: Any, timeout: float, **kwargs: Any) -> None:
        """Set up as uvicorn does.

        timeout (seconds): For all headers of a request, for what is left of one that was refused
            before it was read, and for a part of the answer.
        """
        super().__init__(*args, **kwargs)
        self._timeout = timeout
        self._asking: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for a request."""
        super().connection_made(transport)
        self._asking = self._close_later()

    def data_received(self, data: bytes) -> None:
        """Go on waiting unless a request is in work; its body is the app's to wait for."""
        super().data_received(data)
        in_work = self.cycle is not None and not self.cycle.response_complete
        if in_work and self._asking:
            self._asking.cancel()
            self._asking = None
        elif not in_work and not self._asking:
            self._asking = self._close_later()

    def pause_writing(self) -> None:
        """Wait for the client to take what was written."""
        super().pause_writing()
        self._taking = self._close_later()

    def resume_writing(self) -> None:
        """Stop waiting."""
        super().resume_writing()
        if self._taking:
            self._taking.cancel()

    def connection_lost(self, error: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(error)
        for timer in (self._asking, self._taking):
            if timer:
                timer.cancel()

    def _close_later(self) -> asyncio.TimerHandle:
        # abort, since close waits until the client has taken everything.
        return self.loop.call_later(self._timeout, self.transport.abort)
