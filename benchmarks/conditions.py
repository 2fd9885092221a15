"""Note what a number depends on besides the code, keep results."""

import json
import multiprocessing
import os
import platform
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts.files import replacing

PACKAGES = ("spacy", "thinc", "numpy", "scipy", "scikit-learn", "torch", "transformers")


def conditions(name: str, seed: int) -> dict[str, Any]:
    """Return what is needed to judge or repeat a measurement.

    name: Of the benchmark's module.
    seed: Of all that is random in it.
    """
    return {
        "command": shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]]),
        "seed": seed,
        "hardware": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            # What else ran: times of a busy machine say little.
            "load_1_minute": round(os.getloadavg()[0], 2),
        },
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def peak_memory() -> float:
    """Return the most memory this process has had, in MB.

    Not from getrusage: a child starts there with the peak of its parent.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def alone(work: Callable, *arguments: Any) -> Any:
    """Run a function in a new process, which may start others, and return its result."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
