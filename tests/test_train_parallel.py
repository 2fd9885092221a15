"""Training on Ray: the same as that of plain processes, the same after a kill."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy
import psutil
import pytest
import spacy
import srsly
import torch.multiprocessing as mp
from filelock import FileLock

from scripts.on_ray import connected
from scripts.train_parallel import train_parallel
from scripts.training_state import parameters_of
from tests.conftest import ROOT
from tests.small_recipes import assert_same_files, be_one

pytest_plugins = ["tests.small_recipes"]


LONG = {"training.max_steps": 300, "training.eval_frequency": 30, "training.patience": 0}


def start_on_ray(recipe: tuple[Path, dict], output: Path, *more: str) -> subprocess.Popen:
    """Start the command with two workers."""
    config, overrides = recipe
    options = [part for key, value in overrides.items() for part in (f"--{key}", as_text(value))]
    command = [sys.executable, "-m", "scripts.train_parallel", config, output, "--workers", "2"]
    return subprocess.Popen(
        [*map(str, command), *more, *options],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def as_text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def processes_of(started: subprocess.Popen) -> list[psutil.Process]:
    """Return all that the command has started."""
    return psutil.Process(started.pid).children(recursive=True)


def wait_for_state(output: Path, started: subprocess.Popen) -> None:
    """Wait until the training on Ray has been evaluated twice."""
    log = output.with_name(f".{output.name}.partial") / "log.txt"
    while not log.exists() or len(log.read_text().splitlines()) < 4:
        assert started.poll() is None, started.stdout.read()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def uninterrupted(cnn, tmp_path_factory) -> tuple[Path, set[str]]:
    """A training of two workers on Ray, and the addresses that listened meanwhile."""
    output, addresses = tmp_path_factory.mktemp("ray") / "whole", set()
    started = start_on_ray((cnn[0], {**cnn[1], **LONG}), output)
    while started.poll() is None:
        for process in processes_of(started):
            with contextlib.suppress(psutil.Error):
                sockets = process.net_connections("inet")
                addresses |= {one.laddr.ip for one in sockets if one.status == "LISTEN"}
        time.sleep(0.2)
    assert started.returncode == 0, started.stdout.read()
    return output, addresses


@pytest.mark.slow
def test_training_on_ray_is_that_of_two_plain_processes(uninterrupted, cnn, tmp_path):
    recipe = (cnn[0], {**cnn[1], **LONG})
    mp.spawn(be_one, (2, recipe, tmp_path), nprocs=2)
    expected = numpy.load(tmp_path / "averages-0.npz")
    nlp = spacy.load(uninterrupted[0] / "model-last")
    found = parameters_of([("textcat_multilabel", nlp.get_pipe("textcat_multilabel").model)])
    assert len(found) == len(expected.files) > 5
    for parameter in found:
        numpy.testing.assert_array_equal(parameter.get(), expected[parameter.name])
    facts = srsly.read_json(uninterrupted[0] / "training.json")
    rows = (uninterrupted[0] / "log.csv").read_text().splitlines()
    assert (
        rows[0].startswith("epoch,step,score,loss,") and len(rows) == 1 + 5
    )  # ends after 30 epochs
    assert facts["workers"] == 2 and facts["overrides"]["training.max_steps"] == 300


@pytest.mark.slow
def test_nothing_listens_to_other_machines(uninterrupted):
    assert {ip.removeprefix("::ffff:") for ip in uninterrupted[1]} == {"127.0.0.1"}


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_model_is_the_same(uninterrupted, cnn, tmp_path):
    started = start_on_ray((cnn[0], {**cnn[1], **LONG}), tmp_path / "out")
    wait_for_state(tmp_path / "out", started)
    workers = [p for p in processes_of(started) if "RayTrainWorker" in " ".join(p.cmdline())]
    assert len(workers) == 2
    workers[1].kill()
    said = started.communicate()[0]
    assert started.returncode == 0, said
    for name in ("model-best", "model-last"):
        assert_same_files(uninterrupted[0] / name, tmp_path / "out" / name, ["training.json"])


@pytest.mark.slow
def test_a_killed_command_leaves_no_worker_and_is_gone_on_with(uninterrupted, cnn, tmp_path):
    recipe, output = (cnn[0], {**cnn[1], **LONG}), tmp_path / "out"
    started = start_on_ray(recipe, output)
    wait_for_state(output, started)
    # Two small ones of Ray's own, which only watch, go after a minute.
    others = [one for one in processes_of(started) if "Agent" not in " ".join(one.cmdline())]
    assert len(others) > 4
    started.kill()
    started.wait()
    assert not psutil.wait_procs(others, timeout=60)[1]
    assert not output.exists()
    refused = start_on_ray(recipe, output)
    assert "--resume" in refused.communicate()[0] and refused.returncode == 1
    again = start_on_ray(recipe, output, "--resume")
    said = again.communicate()[0]
    assert again.returncode == 0, said
    for name in ("model-best", "model-last"):
        assert_same_files(uninterrupted[0] / name, output / name, ["training.json"])


@pytest.mark.slow
def test_a_bad_post_in_a_stream_is_named_and_the_earlier_model_stays(stream, tmp_path):
    config, overrides = stream
    path, output = tmp_path / "posts.jsonl", tmp_path / "out"
    rows = list(srsly.read_jsonl(overrides["paths.train"]))
    srsly.write_jsonl(path, [*rows, {"text": "bad", "labels": ["hunger"]}])
    output.mkdir()
    (output / "training.json").write_text("{}")
    started = start_on_ray((config, {**overrides, "paths.train": str(path)}), output)
    said = " ".join(started.communicate()[0].split())
    assert started.returncode == 1
    assert f"line {len(rows) + 1}: label 'hunger'. Expected one of the labels file." in said
    assert "Traceback" not in said
    assert (output / "training.json").read_text() == "{}"


@pytest.mark.slow
def test_a_cluster_that_is_too_small_is_named():
    two = {"cpu": 1, "gpu": 0}
    with (
        pytest.raises(ValueError, match=r"1 CPU per task, 1 in all\. Expected enough for 2"),
        connected("local", 1, two, together=2),
    ):
        pass


def test_two_trainings_into_one_folder_are_refused(cnn, tmp_path):
    with (
        FileLock(tmp_path / ".out.partial.lock"),
        pytest.raises(ValueError, match=r"another training is at it\. Expected one at a time"),
    ):
        train_parallel(cnn[0], tmp_path / "out", overrides=cnn[1])


def test_an_address_where_nobody_answers_is_named(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        pytest.raises(ValueError, match=rf"No Ray cluster at 127\.0\.0\.1:{port}: .*refused"),
        connected(f"127.0.0.1:{port}", 1, {"cpu": 1, "gpu": 0}),
    ):
        pass


VALIDATE = """
import sys, srsly
from ray.autoscaler._private.util import prepare_config, validate_config
prepared = prepare_config(srsly.read_yaml(sys.argv[1]))
validate_config(prepared)
print(prepared["available_node_types"]["local.cluster.node"]["max_workers"])
"""


def validate(path: Path) -> subprocess.CompletedProcess:
    """Let Ray read a cluster file, in a process of its own: others set its variables first."""
    command = [sys.executable, "-c", VALIDATE, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_ray_accepts_the_cluster_that_the_page_starts(tmp_path):
    path = ROOT / "configs" / "cluster.yml"
    config = srsly.read_yaml(path)
    assert validate(path).stdout.split()[-1] == str(len(config["provider"]["worker_ips"])) == "2"
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert "RAY_AUTH_MODE=token" in config[commands][-1]
    srsly.write_yaml(tmp_path / "bad.yml", {**config, "provider": {"type": "local", "head": "a"}})
    assert validate(tmp_path / "bad.yml").returncode == 1
