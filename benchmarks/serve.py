"""Time the service against the same pipeline in a process, or load it for minutes."""

import http.client
import itertools
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from wasabi import msg

from benchmarks.conditions import alone, conditions, write_result
from scripts.corpus import read_corpus
from scripts.predictor import Predictor

# configs/cnn.cfg remembers the n-grams of its last 100,000 words.
KNOWN = 100_000
HEADERS = {"content-type": "application/json"}


@dataclass
class Asked:
    """What became of the requests of some clients."""

    requests: int = 0
    texts: int = 0
    failures: int = 0


def compare(model: Path, texts: list[str], batch: int, clients: int, turns: int) -> dict[str, Any]:
    """Predict texts in a process and through the service, in turns.

    batch: Texts of a request, and of a call in the process.
    clients: Threads of this process that ask, each with one connection.
    RETURNS: Texts per second of both, and their ratio: medians over the turns.
    """
    inside, through = [], []
    for _ in range(turns):
        inside.append(alone(time_inside, model, texts, batch))
        through.append(time_service(model, texts, batch, clients))
    ratios = [two / one for one, two in zip(inside, through, strict=True)]
    return {
        "in_process": round(statistics.median(inside), 1),
        "service": round(statistics.median(through), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def time_inside(model: Path, texts: list[str], batch: int) -> float:
    """Return the texts per second of a pipeline that is loaded and warm."""
    predictor = Predictor(model)
    rows = [{"text": text} for text in texts]
    for part in (rows[: 4 * batch], rows):
        start = time.perf_counter()
        for first in range(0, len(part), batch):
            list(predictor.predict(part[first : first + batch], batch_size=batch))
    return len(rows) / (time.perf_counter() - start)


def time_service(model: Path, texts: list[str], batch: int, clients: int) -> float:
    """Return the texts per second of a service that is started and warm.

    RAISES ValueError: A request failed.
    """
    bodies = [_body(texts[first : first + batch]) for first in range(0, len(texts), batch)]
    with service(model) as (_, port):
        _ask_all(port, bodies[:4], clients)
        start = time.perf_counter()
        asked = _ask_all(port, bodies, clients)
        seconds = time.perf_counter() - start
    if asked.failures or asked.texts != len(texts):
        raise ValueError(f"{asked}. Expected {len(texts)} texts and no failure.")
    return len(texts) / seconds


def soak(model: Path, texts: list[str], batch: int, clients: int, minutes: float) -> dict[str, Any]:
    """Load a service with as much as it takes, every text with a word that was never there.

    RETURNS: Requests, texts, failures, and the resident memory of the service over time, in MB,
        from where it has seen 110,000 words.
    """
    numbers = itertools.count()
    with service(model) as (process, port):
        _ask(port, _many_words(KNOWN * 11 // 10))
        ends = time.monotonic() + 60 * minutes
        memory = []

        def bodies() -> Iterator[bytes]:
            while time.monotonic() < ends:
                number = next(numbers)
                chosen = [texts[(number * batch + n) % len(texts)] for n in range(batch)]
                yield _body([f"{text} word{number}x{n}" for n, text in enumerate(chosen)])

        with ThreadPoolExecutor(clients) as pool:
            waiting = [pool.submit(_ask, port, bodies()) for _ in range(clients)]
            while not all(one.done() for one in waiting):
                time.sleep(min(5.0, 6 * minutes))
                memory.append(round(process.memory_info().rss / 1e6, 1))
        asked = _sum(one.result() for one in waiting)
    memory = memory[:-1] or memory  # the last can be of a service that rests
    return {
        **vars(asked),
        "minutes": minutes,
        "memory_mb": {
            "start": memory[0],
            "middle": memory[len(memory) // 2],
            "end": memory[-1],
            "most": max(memory),
        },
    }


@contextmanager
def service(model: Path) -> Iterator[tuple[psutil.Process, int]]:
    """Start the command on a free port; end it afterwards.

    RAISES ValueError: It does not start, or does not end well.
    """
    command = [sys.executable, "-m", "scripts.serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = ""
        while not (found := re.search(r":(\d+)/docs", said)):
            if not (line := process.stdout.readline()):
                raise ValueError(f"{' '.join(command)}: {said}. Expected it to listen.")
            said += line
        try:
            yield psutil.Process(process.pid), int(found[1])
        finally:
            process.terminate()
    if process.returncode:
        raise ValueError(f"The service ended with {process.returncode}. Expected 0.")


def _ask_all(port: int, bodies: list[bytes], clients: int) -> Asked:
    with ThreadPoolExecutor(clients) as pool:
        parts = [bodies[number::clients] for number in range(clients)]
        return _sum(pool.map(lambda part: _ask(port, iter(part)), parts))


def _ask(port: int, bodies: Iterator[bytes]) -> Asked:
    """Send one request after the other over one connection, and read the answers."""
    asked, connection = Asked(), http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for body in bodies:
        asked.requests += 1
        try:
            connection.request("POST", "/predict", body, HEADERS)
            answer = connection.getresponse()
            asked.texts += len(json.loads(answer.read())["predictions"])
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            asked.failures += 1  # another status has no predictions
            connection.close()
    connection.close()
    return asked


def _many_words(count: int) -> Iterator[bytes]:
    words = [f"early{number}" for number in range(count)]
    for first in range(0, count, 5000):
        yield _body(
            [" ".join(words[n : n + 50]) for n in range(first, min(first + 5000, count), 50)]
        )


def _sum(parts: Any) -> Asked:
    parts = list(parts)
    return Asked(*(sum(getattr(part, name) for part in parts) for name in vars(Asked())))


def _body(texts: list[str]) -> bytes:
    return json.dumps({"texts": texts}).encode()


def main(
    model: Annotated[Path, typer.Argument(help="Pipeline with tuned thresholds", exists=True)],
    data: Annotated[str, typer.Option(help="Data set in corpus/, its dev is asked")] = "goemotions",
    batch_size: Annotated[int, typer.Option(help="Texts of a request", min=1, max=256)] = 64,
    clients: Annotated[int, typer.Option(help="Clients at a time", min=1)] = 4,
    turns: Annotated[int, typer.Option(help="Measurements of each; the median counts", min=1)] = 5,
    passes: Annotated[int, typer.Option(help="Times that dev is asked in each", min=1)] = 3,
    minutes: Annotated[
        float, typer.Option("--soak", help="Load it for so long instead", min=0)
    ] = 0.0,
) -> None:
    """Time the service against the same predictions in a process, or load it for minutes."""
    before = conditions("serve", 0)
    name = "benchmark_serve_soak" if minutes else "benchmark_serve"
    try:
        texts, _ = read_corpus(Path("corpus") / data / "dev.spacy")
        if minutes:
            result = soak(model, texts, batch_size, clients, minutes)
        else:
            result = compare(model, texts * passes, batch_size, clients, turns)
    except ValueError as error:
        msg.fail("Cannot time", str(error), exits=1)
    settings = {"batch_size": batch_size, "clients": clients}
    output = Path("metrics") / data / f"{name}.json"
    write_result(output, {**settings, "results": result, "conditions": before})
    msg.table([(key, str(value)) for key, value in result.items()])
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
