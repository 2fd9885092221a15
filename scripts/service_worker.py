"""One thread that predicts what waits in a queue of limited length."""

import contextvars
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from scripts.predictor import BATCH, Predictor


class Full(Exception):
    """No place in the queue."""


@dataclass(eq=False)
class Job:
    """Texts of one request. Cancel its future, and they are dropped if not begun."""

    model: str
    texts: list[str]
    explain: bool = False
    future: Future = field(default_factory=Future)


class Worker:
    """Predicts in a single thread, since a pipeline's vocabulary is not made for several."""

    def __init__(self, predictors: Mapping[str, Predictor], size: int) -> None:
        """Set up, without a thread yet.

        predictors: By the names that jobs use.
        size: Jobs that can wait.
        """
        self.predictors = predictors
        self.size = size
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun or given up."""
        with self._changed:
            return sum(not job.future.cancelled() for job in self._jobs)

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._stopping = False
        context = contextvars.copy_context()  # thinc keeps there which device it uses
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="predict")
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread:
            self._thread.join()

    def submit(self, jobs: list[Job]) -> None:
        """Queue all of the jobs or none.

        RAISES Full: They have no place.
        """
        with self._changed:
            if len(self._jobs) + len(jobs) > self.size:
                self._jobs = deque(job for job in self._jobs if not job.future.cancelled())
            if len(self._jobs) + len(jobs) > self.size:
                raise Full
            self._jobs.extend(jobs)
            self._changed.notify()

    def _run(self) -> None:
        while (jobs := self._take()) is not None:
            begun = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if begun:
                self._answer(begun)

    def _take(self) -> list[Job] | None:
        """Wait for jobs; return those at the front that one batch can hold, None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._stopping)
            if not self._jobs:
                return None
            jobs = [self._jobs.popleft()]
            texts = len(jobs[0].texts)
            while self._jobs and _alike(jobs[0], self._jobs[0]):
                texts += len(self._jobs[0].texts)
                if texts > BATCH:
                    break
                jobs.append(self._jobs.popleft())
            return jobs

    def _answer(self, jobs: list[Job]) -> None:
        rows: list[dict[str, Any]] = [{"text": text} for job in jobs for text in job.texts]
        predictor = self.predictors[jobs[0].model]
        try:
            found = list(predictor.predict(rows, with_words=jobs[0].explain))
        except Exception as error:  # belongs to whoever asked; the thread goes on
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:  # the others shall not fail with one
                self._answer([job])
            return
        for job in jobs:
            job.future.set_result(found[: len(job.texts)])
            del found[: len(job.texts)]


def _alike(one: Job, other: Job) -> bool:
    # Explaining takes long: text by text, so that one whose client has gone is not begun.
    return one.model == other.model and not one.explain and not other.explain
