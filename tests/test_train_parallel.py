"""Parallel training: the same as `spacy train`, the same on all workers, the same after a kill."""

import io
from filecmp import dircmp
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
import torch.distributed as dist
import torch.multiprocessing as mp
from spacy.cli.train import train as spacy_train
from spacy.tokens import DocBin

from scripts.train_worker import Worker
from scripts.training_state import digest_of
from tests.conftest import ROOT

CONFIG = ROOT / "configs" / "cnn.cfg"
TOK2VEC = "components.textcat_multilabel.model.tok2vec"
LABELS = ("joy", "anger", "neutral")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict:
    """Overrides that make cnn.cfg small, and forty posts of three labels to train it on."""
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
        f"{TOK2VEC}.encode.width": 16,
        f"{TOK2VEC}.encode.depth": 1,
        f"{TOK2VEC}.embed.rows": [200, 50],
        f"{TOK2VEC}.embed.ngram_rows": 200,
        "training.batcher.size": 8,
        "training.max_steps": 12,
        "training.eval_frequency": 4,
    }


def train_here(overrides: dict, work: Path) -> Worker:
    """Train in this process, as the only worker."""
    work.mkdir(exist_ok=True)
    worker = Worker(CONFIG, overrides, work)
    worker.train(io.StringIO(), io.StringIO())
    return worker


def be_one(rank: int, workers: int, overrides: dict, folder: Path) -> None:
    """Be one of several workers; write what weights there are after each step."""
    init = f"file://{folder / 'meet'}"
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=workers)
    worker = Worker(CONFIG, overrides, folder)
    digests = [digest_of(worker.parameters)]
    for _ in worker.steps():
        digests.append(digest_of(worker.parameters))
    srsly.write_json(folder / f"digests-{rank}.json", digests)
    weights = {parameter.name: parameter.get() for parameter in worker.parameters}
    numpy.savez(folder / f"weights-{rank}.npz", **weights)
    dist.destroy_process_group()


def assert_same_files(one: Path, other: Path) -> None:
    compared = dircmp(one, other)
    assert not compared.left_only and not compared.right_only, (one, other)
    for name in compared.common_files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name in compared.common_dirs:
        assert_same_files(one / name, other / name)


@pytest.mark.slow
def test_one_worker_makes_the_files_of_spacy_train(small, tmp_path):
    spacy_train(CONFIG, tmp_path / "spacy", overrides=small)
    train_here(small, tmp_path / "here")
    for name in ("model-best", "model-last"):
        assert_same_files(tmp_path / "spacy" / name, tmp_path / "here" / name)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"training.accumulate_gradient": 3}], ids=str)
def test_two_workers_have_the_same_weights_after_every_step(small, more, tmp_path):
    mp.spawn(be_one, (2, {**small, **more}, tmp_path), nprocs=2)
    one, other = (srsly.read_json(tmp_path / f"digests-{rank}.json") for rank in range(2))
    assert len(set(one)) == 14  # each step changes them
    assert one == other


@pytest.mark.slow
def test_three_workers_compute_the_gradient_of_the_whole_batch(small, tmp_path):
    small = {**small, "training.dropout": 0.0, "training.batcher.size": 2}  # a worker has no share
    mp.spawn(be_one, (3, small, tmp_path), nprocs=3)
    together = numpy.load(tmp_path / "weights-2.npz")
    alone = Worker(CONFIG, small, tmp_path)
    first = {parameter.name: parameter.get().copy() for parameter in alone.parameters}
    list(alone.steps())
    moved = 0.0
    for parameter in alone.parameters:
        numpy.testing.assert_allclose(parameter.get(), together[parameter.name], atol=2e-4)
        moved = max(moved, numpy.abs(parameter.get() - first[parameter.name]).max())
    assert moved > 0.01


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("step", [1, 6, 8])
def test_a_killed_training_goes_on_to_the_same_model(small, step, tmp_path, monkeypatch):
    whole = train_here(small, tmp_path / "whole")
    update = Worker._update

    def killed(self, *args):
        if self.optimizer.nr_update and max(self.optimizer.nr_update.values()) == step:
            raise Killed
        update(self, *args)

    monkeypatch.setattr(Worker, "_update", killed)
    with pytest.raises(Killed):
        train_here(small, tmp_path / "killed")
    monkeypatch.setattr(Worker, "_update", update)
    again = train_here(small, tmp_path / "killed")
    assert digest_of(again.parameters) == digest_of(whole.parameters)
    for name in ("model-best", "model-last"):
        assert_same_files(tmp_path / "whole" / name, tmp_path / "killed" / name)
