"""Parallel training: the same as `spacy train`, the same on all workers, the same after a kill."""

import contextlib
import errno
import io
import json
import os
import socket
import subprocess
import sys
import time
from filecmp import dircmp
from pathlib import Path

import numpy
import psutil
import pytest
import spacy
import srsly
import torch
import torch.multiprocessing as mp
from filelock import FileLock
from spacy.cli.train import train as spacy_train
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.util import registry
from thinc.api import Config, PyTorchWrapper

from scripts import exchange as exchange_module
from scripts.exchange import Exchange, process_group
from scripts.on_ray import connected
from scripts.train_parallel import train_parallel
from scripts.train_worker import Worker
from scripts.training_state import (
    digest_of,
    parameters_of,
    scalers_from_list,
    scalers_to_list,
    weights_to_dict,
)
from tests.conftest import ROOT
from tests.tiny_transformer import save_tiny_transformer

TEXTCAT = "components.textcat_multilabel"
TOK2VEC = f"{TEXTCAT}.model.tok2vec"
LABELS = ("joy", "anger", "neutral")
SMALL_CNN = {
    f"{TOK2VEC}.encode.width": 16,
    f"{TOK2VEC}.encode.depth": 1,
    f"{TOK2VEC}.embed.width": 16,
    f"{TOK2VEC}.embed.rows": [200, 50],
    f"{TOK2VEC}.embed.ngram_rows": 200,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict:
    """Overrides of any config: forty posts of three labels, a few steps."""
    folder, nlp = tmp_path_factory.mktemp("corpus"), spacy.blank("en")
    words = ["great day", "awful stuff", "the bus", "what a great bus", "so awful a day"]
    docs = DocBin()
    for number in range(40):
        doc = nlp(" ".join(words[(number * step) % 5] for step in range(1, 2 + number % 4)))
        on = ["great" in doc.text, "awful" in doc.text, "bus" in doc.text]
        doc.cats = dict(zip(LABELS, map(float, on), strict=True))
        docs.add(doc)
    docs.to_disk(folder / "train.spacy")
    srsly.write_json(folder / "labels.json", LABELS)
    return {
        "paths.train": str(folder / "train.spacy"),
        "paths.dev": str(folder / "train.spacy"),
        "paths.labels": str(folder / "labels.json"),
        "training.batcher.size": 8,
        "training.max_steps": 12,
        "training.eval_frequency": 4,
    }


@pytest.fixture(scope="module")
def cnn(small) -> tuple[Path, dict]:
    return ROOT / "configs" / "cnn.cfg", {**small, **SMALL_CNN}


@pytest.fixture(scope="module")
def stream(small, tmp_path_factory) -> tuple[Path, dict]:
    path = tmp_path_factory.mktemp("stream") / "posts.jsonl"
    docs = list(DocBin().from_disk(small["paths.train"]).get_docs(spacy.blank("en").vocab))
    rows = [
        {"text": doc.text, "labels": [label for label in LABELS if doc.cats[label]]} for doc in docs
    ]
    srsly.write_jsonl(path, [row for row in rows if row["labels"]])
    paths = {"paths.train": str(path), "paths.dev": str(path)}
    return ROOT / "configs" / "stream.cfg", {**small, **SMALL_CNN, **paths}


@pytest.fixture(scope="module")
def shards(cnn, tmp_path_factory) -> tuple[Path, dict]:
    folder, nlp = tmp_path_factory.mktemp("shards"), spacy.blank("en")
    docs = list(DocBin().from_disk(cnn[1]["paths.train"]).get_docs(nlp.vocab))
    for start in range(0, 40, 10):
        DocBin(docs=docs[start : start + 10]).to_disk(folder / f"{start}.spacy")
    more = {
        "paths.train": str(folder),
        "corpora.train.@readers": "goemotions.Shards.v1",
        "corpora.train.shuffle_buffer": 15,
        "training.max_epochs": -1,
    }
    return cnn[0], {**cnn[1], **more}


@pytest.fixture(scope="module")
def torch_lstm(small) -> tuple[Path, dict]:
    widths = {f"{TEXTCAT}.model.lstm_width": 8, f"{TEXTCAT}.model.embed_width": 8}
    return ROOT / "configs" / "torch_lstm.cfg", {**small, **widths}


@pytest.fixture(scope="module")
def bert(small, tmp_path_factory) -> tuple[Path, dict]:
    model = save_tiny_transformer(tmp_path_factory.mktemp("models") / "tiny")
    return ROOT / "configs" / "bert.cfg", {**small, "vars.transformer": str(model)}


@pytest.fixture(scope="module")
def multitask(small, tmp_path_factory) -> tuple[Path, dict]:
    """Words are predicted from others that are hidden, by numbers that the encoder draws."""
    folder, nlp = tmp_path_factory.mktemp("raw"), spacy.blank("en")
    docs = list(DocBin().from_disk(small["paths.train"]).get_docs(nlp.vocab))
    numbers = numpy.random.RandomState(0)
    for word in sorted({token.text for doc in docs for token in doc}):
        nlp.vocab.set_vector(word, numbers.normal(size=8).astype("f"))
    nlp.to_disk(folder / "vectors")
    srsly.write_jsonl(folder / "raw.jsonl", [{"text": f"{doc.text} {doc.text}"} for doc in docs])
    objective = "components.pretraining_objective.objective"
    more = {
        "paths.raw_text": str(folder / "raw.jsonl"),
        "paths.vectors": str(folder / "vectors"),
        f"{objective}.hidden_size": 16,
        f"{objective}.loss": "cosine",
        f"{objective}.mask_prob": 0.3,
    }
    return ROOT / "configs" / "multitask.cfg", {**small, **SMALL_CNN, **more}


@registry.callbacks("count_steps")
def create_count_steps():
    def count(nlp, args: dict) -> None:
        """Leave in the saved pipeline which step was the last, and in the weights that it was."""
        nlp.get_pipe("textcat_multilabel").cfg["last"] = [args["step"], args["epoch"]]
        model = nlp.get_pipe("textcat_multilabel").model
        node = next(node for node in model.walk() if node.name == "layernorm")
        node.set_param("G", node.get_param("G") + 0.001 * args["step"])

    return count


@pytest.fixture(scope="module")
def frozen(cnn, tmp_path_factory) -> tuple[Path, dict]:
    """A tagger of another pipeline, frozen, whose tags the encoder sees, and before_update."""
    folder, overrides = tmp_path_factory.mktemp("frozen"), cnn[1]
    nlp = spacy.blank("en")
    nlp.add_pipe("tagger")
    docs = DocBin().from_disk(overrides["paths.train"]).get_docs(nlp.vocab)
    examples = []
    for doc in docs:
        reference = doc.copy()
        for token in reference:
            token.tag_ = "NN" if len(token) < 4 else "JJ"
        examples.append(Example(nlp.make_doc(doc.text), reference))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder / "tagger")
    config = Config().from_disk(cnn[0], interpolate=False)
    config["nlp"]["pipeline"] = ["tagger", "textcat_multilabel"]
    config["components"]["tagger"] = {"source": str(folder / "tagger")}
    embed = config["components"]["textcat_multilabel"]["model"]["tok2vec"]["embed"]
    embed["attrs"] = ["NORM", "TAG"]
    training = config["training"]
    training["frozen_components"] = training["annotating_components"] = ["tagger"]
    training["before_update"] = {"@callbacks": "count_steps"}
    config.to_disk(folder / "frozen.cfg")
    return folder / "frozen.cfg", overrides


RECIPES = ["cnn", "stream", "shards", "torch_lstm", "bert", "multitask", "frozen"]


def train_here(recipe: tuple[Path, dict], work: Path) -> Worker:
    """Train in this process, as the only worker."""
    work.mkdir(exist_ok=True)
    worker = Worker(*recipe, work)
    worker.train(io.StringIO(), io.StringIO())
    return worker


def be_one(rank: int, workers: int, recipe: tuple[Path, dict], folder: Path) -> None:
    """Be one of several workers; write what weights there are after each step."""
    place = folder / "place"

    def tell(value):
        if rank == 0:
            srsly.write_json(folder / "place.tmp", value)
            os.rename(folder / "place.tmp", place)
        while not place.exists():
            pass
        return srsly.read_json(place)

    with process_group(rank, workers, "127.0.0.1", tell, "gloo"):
        worker = Worker(*recipe, folder)
        digests = [digest_of(worker.parameters)]
        for _ in worker.steps():
            digests.append(digest_of(worker.parameters))
    srsly.write_json(folder / f"digests-{rank}.json", digests)
    weights = weights_to_dict(worker.parameters)
    numpy.savez(folder / f"weights-{rank}.npz", **weights)
    with worker.nlp.use_params(worker.optimizer.averages):
        numpy.savez(folder / f"averages-{rank}.npz", **weights_to_dict(worker.parameters))


def assert_same_files(one: Path, other: Path, ignore: list[str] | None = None) -> None:
    compared = dircmp(one, other, ignore)
    assert not compared.left_only and not compared.right_only, (one, other)
    for name in compared.common_files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name in compared.common_dirs:
        assert_same_files(one / name, other / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECIPES, "patience"])
def test_one_worker_makes_the_files_of_spacy_train(name, tmp_path, request):
    config, overrides = request.getfixturevalue("cnn" if name == "patience" else name)
    if name == "patience":  # ends before max_steps
        overrides = {**overrides, "training.patience": 4, "training.max_steps": 200}
    spacy_train(config, tmp_path / "spacy", overrides=overrides)
    train_here((config, overrides), tmp_path / "here")
    for model in ("model-best", "model-last"):
        assert_same_files(tmp_path / "spacy" / model, tmp_path / "here" / model)


MORE = {"accumulate": {"training.accumulate_gradient": 3}, "no seed": {"system.seed": None}}


@pytest.fixture(scope="module")
def pairs(request, cnn, tmp_path_factory) -> Path:
    """A folder for each recipe, in which two workers have trained it."""
    folder = tmp_path_factory.mktemp("pairs")
    recipes = {name: request.getfixturevalue(name) for name in RECIPES}
    recipes |= {name: (cnn[0], {**cnn[1], **more}) for name, more in MORE.items()}
    mp.spawn(be_one_of_each, (2, recipes, folder), nprocs=2)
    return folder


def be_one_of_each(rank: int, workers: int, recipes: dict, folder: Path) -> None:
    """Be one of several workers that train one recipe after the other."""
    for name, recipe in recipes.items():
        (folder / name).mkdir(exist_ok=True)
        be_one(rank, workers, recipe, folder / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECIPES, *MORE])
def test_two_workers_have_the_same_weights_after_every_step(name, pairs):
    one, other = (srsly.read_json(pairs / name / f"digests-{rank}.json") for rank in range(2))
    assert len(set(one)) >= 13  # each step changes them, but the first of a warm-up from 0
    assert len(one) == 14
    assert one == other


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "bert"])
def test_three_workers_compute_the_gradient_of_the_whole_batch(name, tmp_path, request):
    config, overrides = request.getfixturevalue(name)
    more = {"training.dropout": 0.0, "training.batcher.size": 2}  # one worker has no share
    if name == "bert":
        rate = "training.optimizer.learn_rate"
        more |= {f"{rate}.initial_rate": 0.01, f"{rate}.warmup_steps": 1}
        model = Path(overrides["vars.transformer"]) / "config.json"
        no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        srsly.write_json(model, {**srsly.read_json(model), **no_dropout})
        # Some gradients of attention are zero but for rounding: Adam would make whole steps of it.
        more["training.optimizer.eps"] = 0.01
    recipe = (config, {**overrides, **more})
    mp.spawn(be_one, (3, recipe, tmp_path), nprocs=3)
    together = numpy.load(tmp_path / "weights-2.npz")
    alone = Worker(*recipe, tmp_path)
    first = {parameter.name: parameter.get().copy() for parameter in alone.parameters}
    list(alone.steps())
    moved = 0.0
    for parameter in alone.parameters:
        numpy.testing.assert_allclose(parameter.get(), together[parameter.name], atol=2e-4)
        moved = max(moved, numpy.abs(parameter.get() - first[parameter.name]).max())
    assert moved > 0.01


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "step"),
    [("cnn", 1), ("cnn", 6), ("cnn", 8), *((name, 7) for name in RECIPES if name != "cnn")],
)
def test_a_killed_training_goes_on_to_the_same_model(name, step, tmp_path, monkeypatch, request):
    recipe = request.getfixturevalue(name)
    whole = train_here(recipe, tmp_path / "whole")
    update = Worker._update

    def killed(self, *args):
        if self.optimizer.nr_update and max(self.optimizer.nr_update.values()) == step:
            raise Killed
        update(self, *args)

    monkeypatch.setattr(Worker, "_update", killed)
    with pytest.raises(Killed):
        train_here(recipe, tmp_path / "killed")
    monkeypatch.setattr(Worker, "_update", update)
    again = train_here(recipe, tmp_path / "killed")
    assert digest_of(again.parameters) == digest_of(whole.parameters)
    for name in ("model-best", "model-last"):
        assert_same_files(tmp_path / "whole" / name, tmp_path / "killed" / name)


@pytest.mark.slow
def test_a_training_killed_at_its_very_end_is_only_finished(cnn, tmp_path, monkeypatch):
    whole = train_here(cnn, tmp_path / "whole")
    save = Worker._save_pipeline

    def killed(self, is_best=None):
        if is_best is None:
            raise Killed
        save(self, is_best)

    monkeypatch.setattr(Worker, "_save_pipeline", killed)
    with pytest.raises(Killed):
        train_here(cnn, tmp_path / "killed")
    monkeypatch.setattr(Worker, "_save_pipeline", save)
    again = train_here(cnn, tmp_path / "killed")
    assert digest_of(again.parameters) == digest_of(whole.parameters)
    assert_same_files(tmp_path / "whole" / "model-last", tmp_path / "killed" / "model-last")


@pytest.mark.slow
def test_a_full_disk_leaves_the_state_before_it(cnn, tmp_path, monkeypatch):
    whole = train_here(cnn, tmp_path / "whole")
    write, calls = srsly.write_msgpack, []

    def full(path, data):
        is_state = "state" in Path(path).name
        calls.extend([path] * is_state)
        if is_state and len(calls) == 3:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(srsly, "write_msgpack", full)
    with pytest.raises(OSError, match="No space left"):
        train_here(cnn, tmp_path / "full")
    assert srsly.read_msgpack(tmp_path / "full" / "state.msgpack")["step"] == 4
    again = train_here(cnn, tmp_path / "full")
    assert digest_of(again.parameters) == digest_of(whole.parameters)


def test_an_overflow_on_one_worker_is_one_on_all(monkeypatch):
    model = PyTorchWrapper(torch.nn.Linear(2, 1))
    scaler = model.shims[0]._grad_scaler
    exchange = Exchange(parameters_of([("model", model)]))
    monkeypatch.setattr(exchange_module.dist, "all_reduce", lambda buffer: buffer.add_(0))
    exchange.sum_gradients()
    assert not scaler.found_inf

    def other_overflows(buffer):
        if len(buffer) == len(exchange.flags):
            buffer[-1] += 1

    monkeypatch.setattr(exchange_module.dist, "all_reduce", other_overflows)
    exchange.sum_gradients()
    assert scaler.found_inf
    scaler._scale.fill_(8.0)
    state = scalers_to_list([scaler])
    other = PyTorchWrapper(torch.nn.Linear(2, 1)).shims[0]._grad_scaler
    scalers_from_list([other], state)
    assert float(other._scale) == 8.0


def fail_on_one(rank: int, workers: int, recipe: tuple[Path, dict], folder: Path) -> None:
    """Be a worker that fails, or the one that has to notice it."""
    with pytest.raises(RuntimeError if rank == 0 else ZeroDivisionError):
        update, steps = Worker._update, []

        def fails(self, *args):
            steps.append(1)
            if rank == 1 and len(steps) == 5:
                raise ZeroDivisionError
            update(self, *args)

        Worker._update = fails
        be_one(rank, workers, recipe, folder)
    (folder / f"noticed-{rank}").touch()


@pytest.mark.slow
def test_a_worker_that_fails_does_not_leave_the_others_waiting(cnn, tmp_path):
    mp.spawn(fail_on_one, (2, cnn, tmp_path), nprocs=2)
    assert (tmp_path / "noticed-0").exists() and (tmp_path / "noticed-1").exists()


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
