"""Connect to a Ray cluster, or start one for a single command."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

RAY = "ray[tune]==2.60.0"  # as in requirements.txt
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
STORE = 256 * 2**20  # bytes that processes share; ours share none


@contextmanager
def connected(address: str, concurrent: int, resources: dict[str, float]) -> Iterator[None]:
    """Connect to Ray, or start it for this command, and let go of it afterwards.

    address: Of a cluster; "local" starts one on this machine.
    concurrent: Tasks at a time that one on this machine has room for.
    resources: "cpu" and "gpu" of a task.
    RAISES ValueError: Ray is not installed, there is no such cluster, or it can never run a task.
    """
    os.environ.update(QUIET)
    own: dict[str, Any] = {}
    if address == "local":
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # its ports are open to other users
        cpus = concurrent * int(resources["cpu"])
        own = {"num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False}
    try:
        import ray
    except ImportError as error:
        raise ValueError(f'Ray is not installed. Install it: pip install "{RAY}"') from error

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    threads = {name: str(int(resources["cpu"])) for name in names}
    environment = {"env_vars": {**QUIET, **threads, "PYTHONPATH": os.getcwd()}}
    options = {"logging_level": "ERROR", "log_to_driver": False, "runtime_env": environment}
    try:
        ray.init(address=address, **options, **own)
    except ConnectionError as error:
        raise ValueError(f"No Ray cluster at {address}: {error}") from error
    try:
        there = ray.cluster_resources()
        for name, key in (("cpu", "CPU"), ("gpu", "GPU")):
            if resources[name] > there.get(key, 0):
                found = f"{resources[name]:g} {key} per task, {there.get(key, 0):g} in all"
                raise ValueError(f"{found}. Expected enough for one.")
        yield
    finally:
        ray.shutdown()
