"""What a service counts, for Prometheus."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
GONE = "499"  # the client left before there was an answer


class Counts:
    """Counters of one service; several services in a process do not mix."""

    def __init__(self, paths: list[str], waiting: Callable[[], int]) -> None:
        """Create the counters.

        paths: That are counted by name; whatever else is asked for counts as "other".
        waiting: Returns the length of the queue.
        """
        self.paths = paths
        self.registry = CollectorRegistry()
        shared = {"registry": self.registry}
        self.requests = Counter(
            "requests", "Requests by path and status; 499: gone", ["path", "status"], **shared
        )
        self.texts = Counter("texts", "Texts predicted", ["model"], **shared)
        self.seconds = Histogram(
            "request_seconds", "From headers to answer", ["path"], buckets=BUCKETS, **shared
        )
        Gauge("waiting", "Requests that wait in the queue", **shared).set_function(waiting)

    def as_text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self.registry)


class Counting:
    """Middleware that counts and times every request."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        """Wrap an app."""
        self.app = app
        self.counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, start = GONE, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception:
            status = "500"
            raise
        finally:
            path = scope["path"] if scope["path"] in self.counts.paths else "other"
            self.counts.requests.labels(path, status).inc()
            self.counts.seconds.labels(path).observe(time.perf_counter() - start)
