"""Connect to a Ray cluster, or start one for a single command."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths of configs are relative to the project
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "5",  # what a kill can cost of finished trials
    # Its own handler would count the trials that Ctrl-C cuts short as done.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",  # a stopped trial saves its model, then goes
}
LOCAL = {
    "RAY_AUTH_MODE": "token",  # other users of this machine can reach its ports
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # everywhere: listen on 127.0.0.1 only
    "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
}
TOKEN = Path.home() / ".ray" / "auth_token"
INSTALL = 'pip install "ray[tune]==2.60.0" optuna==5.0.0'
STORE = 256 * 2**20  # bytes that processes share; ours share none


@contextmanager
def connected(
    address: str, concurrent: int, resources: dict[str, float], together: int = 1
) -> Iterator[None]:
    """Connect to Ray, or start it for this command, and let go of it afterwards.

    address: Of a cluster; "local" starts one on this machine.
    concurrent: Tasks at a time that one on this machine has room for.
    resources: "cpu" and "gpu" of a task.
    together: Tasks that wait for each other; fewer than these at a time would wait for ever.
    RAISES ValueError: Ray is not installed, there is no such cluster, or it can never run a task.
    """
    os.environ.update(QUIET)
    own: dict[str, Any] = {}
    local = LOCAL if address == "local" else {}
    os.environ.update(local)
    if not local:
        _check_address(address)
    else:
        cpus = concurrent * int(resources["cpu"])
        own = {"num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False}
    try:
        import ray
    except ImportError as error:
        raise ValueError(f"Ray is not installed. Expected: {INSTALL}") from error
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    threads = {name: str(int(resources["cpu"])) for name in names}
    environment = {"env_vars": {**QUIET, **local, **threads, "PYTHONPATH": os.getcwd()}}
    options = {"logging_level": "ERROR", "log_to_driver": False, "runtime_env": environment}
    try:
        ray.init(address=address, **options, **own)
    except ConnectionError as error:
        expected = f"Expected a running one, and its token in {TOKEN}"
        raise ValueError(f"No Ray cluster at {address}: {error}. {expected}.") from error
    try:
        there = ray.cluster_resources()
        for name, key in (("cpu", "CPU"), ("gpu", "GPU")):
            if together * resources[name] > there.get(key, 0):
                found = f"{resources[name]:g} {key} per task, {there.get(key, 0):g} in all"
                expected = f"Expected enough for {together} at a time"
                raise ValueError(f"Ray, {address}: {found}. {expected}.")
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Refuse an address where nobody answers: Ray would try for minutes."""
    if TOKEN.exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        expected = "Expected auto, or host:port of a running one"
        raise ValueError(f"No Ray cluster at {address}: {error}. {expected}.") from error
