"""Pretraining: what is held out, the best checkpoint, going on after a kill, weights that fit."""

import gzip
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import load_config

from plugins.raw_text import create_raw_text
from scripts import pretrain as module
from scripts.check_config import check_inputs
from scripts.pretrain import Pretraining, _facts, hold_out, pretrain
from scripts.raw_text import raw_text

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "cnn.cfg"
MODEL = "components.textcat_multilabel.model.tok2vec"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The first 200 texts of the sample, without their labels."""
    path = tmp_path_factory.mktemp("text") / "raw.jsonl"
    lines = (ROOT / "assets" / "sample" / "train.tsv").read_text(encoding="utf8").splitlines()
    srsly.write_jsonl(path, [{"text": line.split("\t")[0]} for line in lines[:200]])
    return path


@pytest.fixture(scope="module")
def vectors(text, tmp_path_factory):
    """A pipeline with a vector for each word of the text."""
    nlp, numbers = spacy.blank("en"), numpy.random.RandomState(0)
    for row in srsly.read_jsonl(text):
        for token in nlp(row["text"]):
            nlp.vocab.set_vector(token.text, numbers.normal(size=8).astype("f"))
    path = tmp_path_factory.mktemp("vectors") / "vectors"
    nlp.to_disk(path)
    return path


@pytest.fixture(scope="module")
def small(text, vectors):
    """Overrides that make the encoder and its pretraining small."""
    return {
        "paths.raw_text": str(text),
        "paths.vectors": str(vectors),
        f"{MODEL}.encode.width": 16,
        f"{MODEL}.encode.depth": 1,
        f"{MODEL}.embed.rows": [200, 50],
        f"{MODEL}.embed.ngram_rows": 200,
        "pretraining.objective.hidden_size": 16,
        "pretraining.objective.mask_prob": 0.15,
        "pretraining.objective.loss": "cosine",
        "pretraining.batcher.size": 300,
        "pretraining.max_epochs": 3,
    }


@pytest.fixture
def settings(small):
    return dict(small)


@pytest.fixture(scope="module")
def weights(small, tmp_path_factory):
    """What one epoch of pretraining has learned."""
    folder = tmp_path_factory.mktemp("weights")
    pretrain(CONFIG, folder / "out", overrides={**small, "pretraining.max_epochs": 1})
    return folder / "out" / "model-best.bin"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work where there is no corpus: pretraining needs none."""
    monkeypatch.chdir(tmp_path)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.bin")}


def test_the_best_epoch_is_the_one_with_the_lowest_loss_on_held_out_text(settings, tmp_path):
    out = tmp_path / "out"
    manifest = pretrain(CONFIG, out, overrides=settings)
    weights = ["model-best.bin", "model-last.bin", "objective-best.bin"]
    names = ["curve.png", "log.jsonl", "manifest.json", *weights]
    assert sorted(path.name for path in out.iterdir()) == names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # and nothing half-finished
    rows = list(srsly.read_jsonl(out / "log.jsonl"))
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    losses = [row["held_out_loss"] for row in rows]
    assert losses[-1] < losses[1] < losses[0]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert manifest["best_epoch"] == 1 + losses.index(min(losses))
    assert manifest == json.loads((out / "manifest.json").read_text())
    assert manifest["words_per_second"] > 0
    assert (out / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_an_earlier_epoch_that_was_better_is_kept(settings, tmp_path, monkeypatch):
    losses = iter([0.5, 0.2, 0.4])
    monkeypatch.setattr(Pretraining, "measure", lambda self, docs: next(losses))
    manifest = pretrain(CONFIG, tmp_path / "out", overrides=settings)
    assert manifest["best_epoch"] == 2
    files = files_of(tmp_path / "out")
    assert files["model-best.bin"] != files["model-last.bin"]


def test_a_killed_run_goes_on_to_the_same_bytes(settings, tmp_path, monkeypatch):
    pretrain(CONFIG, tmp_path / "whole", overrides=settings)
    epoch, calls = Pretraining.epoch, []

    def killed(self, title):
        calls.append(title)
        if len(calls) == 2:
            next(islice(self.corpus(self.nlp), 5, None))  # in the middle of an epoch
            raise KeyboardInterrupt
        return epoch(self, title)

    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(CONFIG, tmp_path / "half", overrides=settings)
    assert [path.name for path in tmp_path.iterdir() if path.name != "whole"] == [".half.partial"]
    titles = []
    with monkeypatch.context() as patch:
        patch.setattr(
            Pretraining, "epoch", lambda self, title: titles.append(title) or epoch(self, title)
        )
        pretrain(CONFIG, tmp_path / "half", overrides=settings)
    assert titles == ["epoch 2 of 3", "epoch 3 of 3"]
    assert files_of(tmp_path / "half") == files_of(tmp_path / "whole")


def test_a_run_of_another_text_is_not_gone_on_with(settings, tmp_path, monkeypatch, capsys):
    epoch = Pretraining.epoch

    def stop(self, title):
        if title.startswith("epoch 2"):
            raise KeyboardInterrupt
        return epoch(self, title)

    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(CONFIG, tmp_path / "out", overrides=settings)
    other = tmp_path / "other.jsonl"
    other.write_text("".join(f'{{"text": "text number {n} is new"}}\n' for n in range(300)))
    manifest = pretrain(
        CONFIG, tmp_path / "out", overrides={**settings, "paths.raw_text": str(other)}
    )
    assert "is not used" in capsys.readouterr().out
    assert manifest["text"] == other.as_posix() and len(manifest["epochs"]) == 3


@pytest.mark.parametrize(
    "objective",
    [
        {"@architectures": "spacy.PretrainVectors.v1", "loss": "cosine"},
        {"@architectures": "spacy.PretrainCharacters.v1", "n_characters": 2},
    ],
    ids=lambda objective: objective["@architectures"],
)
def test_objectives_of_spacy_can_stand_in_place_of_ours(settings, text, tmp_path, objective):
    """As a config in a file, because an override cannot take keys away."""
    small = {key: value for key, value in settings.items() if "objective" not in key}
    config = load_config(CONFIG, overrides=small, interpolate=False)
    sizes = {"maxout_pieces": 2, "hidden_size": 16}
    config["pretraining"]["objective"] = {**objective, **sizes}
    config.to_disk(tmp_path / "own.cfg")
    manifest = pretrain(tmp_path / "own.cfg", tmp_path / "out")
    losses = [row["held_out_loss"] for row in manifest["epochs"]]
    assert losses[-1] < losses[0]
    assert len(files_of(tmp_path / "out")) == 3


def test_training_starts_from_the_weights(settings, weights, tmp_path):
    corpus = tmp_path / "train.spacy"
    nlp = spacy.blank("en")
    doc = nlp("so good")
    doc.cats = {"joy": 1.0, "anger": 0.0}
    spacy.tokens.DocBin(docs=[doc]).to_disk(corpus)
    srsly.write_json(tmp_path / "labels.json", ["joy", "anger"])
    paths = {f"paths.{name}": str(corpus) for name in ("train", "dev")}
    paths |= {"paths.labels": str(tmp_path / "labels.json"), "paths.init_tok2vec": str(weights)}
    overrides = {**settings, **paths}
    check_inputs(CONFIG, overrides)
    nlp = init_nlp(load_config(CONFIG, overrides=overrides, interpolate=False))
    encoder = nlp.get_pipe("textcat_multilabel").model.get_ref("tok2vec")
    assert encoder.to_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({f"{MODEL}.encode.width": 24}, r"do not fit textcat_multilabel\.tok2vec"),
        ({f"{MODEL}.encode.depth": 2}, r"do not fit textcat_multilabel\.tok2vec"),
        ({f"{MODEL}.embed.rows": [300, 50]}, r"do not fit textcat_multilabel\.tok2vec"),
        ({f"{MODEL}.embed.min_n": 2}, r"do not fit .*\('\w+', 'min_n', 3\) in the weights"),
        ({f"{MODEL}.embed.attrs": ["LOWER", "SHAPE"]}, r"do not fit textcat_multilabel\.tok2vec"),
        ({"paths.init_tok2vec": "nowhere.bin"}, r"no pretrained weights at nowhere\.bin"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_a_sentence(settings, weights, change, found):
    with pytest.raises(ValueError, match=found) as caught:
        check_inputs(CONFIG, {**settings, "paths.init_tok2vec": str(weights), **change})
    assert len(str(caught.value).splitlines()) == 1


def test_an_encoder_that_reads_vectors_is_not_trained_with_others(settings, vectors, tmp_path):
    static = {**settings, f"{MODEL}.embed.include_static_vectors": True}
    pretrain(CONFIG, tmp_path / "out", overrides={**static, "pretraining.max_epochs": 1})
    start = {"paths.init_tok2vec": str(tmp_path / "out" / "model-best.bin")}
    paths = {f"paths.{name}": str(tmp_path) for name in ("train", "dev", "labels")}
    check_inputs(CONFIG, {**static, **start, **paths})
    nlp = spacy.load(vectors)
    nlp.vocab.vectors.data[:] = 1
    nlp.to_disk(tmp_path / "others")
    others = {"paths.vectors": str(tmp_path / "others")}
    with pytest.raises(ValueError, match="pretrained with the vectors of"):
        check_inputs(CONFIG, {**static, **start, **paths, **others})


@pytest.mark.parametrize(
    ("config", "change", "found"),
    [
        ("cnn", {"paths.raw_text": None}, r"no raw text\. Expected --paths\.raw_text"),
        ("cnn", {"pretraining.layer": "nothing"}, r"layer 'nothing' do not exist"),
        ("cnn", {"pretraining.component": "parser"}, r"component 'parser' and layer"),
        ("cnn", {"pretraining.max_epochs": 0}, "max_epochs 0. Expected"),
        ("cnn", {"pretraining.n_save_every": 3}, "n_save_every 3, max_epochs"),
        ("cnn", {"paths.init_tok2vec": "a.bin"}, r"init_tok2vec a\.bin. Expected null"),
        ("cnn", {"paths.raw_text": "nowhere.jsonl"}, r"no raw text at nowhere\.jsonl"),
        ("cnn", {"paths.vectors": None}, "the pipeline has none; pass --paths.vectors"),
        ("torch_lstm", None, r"torch_lstm\.cfg has no \[pretraining\]"),
    ],
)
def test_bad_input_is_refused_and_earlier_weights_stay(settings, tmp_path, config, change, found):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model-best.bin").write_text("earlier")
    overrides = {} if change is None else {**settings, **change}
    with pytest.raises(ValueError, match=found):
        pretrain(ROOT / "configs" / f"{config}.cfg", out, overrides=overrides)
    assert (out / "model-best.bin").read_text() == "earlier"


def test_a_folder_of_something_else_is_not_replaced(settings, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("out", "file"):
        with pytest.raises(ValueError, match="no pretraining"):
            pretrain(CONFIG, tmp_path / name, overrides=settings)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_other_vectors_begin_anew(settings, weights, vectors, tmp_path):
    first = srsly.read_json(weights.with_name("manifest.json"))
    nlp = spacy.load(vectors)
    nlp.vocab.vectors.data[:] = 1
    nlp.to_disk(tmp_path / "vectors")
    changed = {**settings, "paths.vectors": str(tmp_path / "vectors")}
    facts = _facts(CONFIG, changed)
    assert facts["vectors_sha256"] != first["vectors_sha256"]


def test_options_that_come_through_the_project_runner_have_no_dashes(settings, tmp_path):
    command = [sys.executable, "-m", "scripts.pretrain", str(CONFIG), str(tmp_path / "out")]
    for key, value in {**settings, "pretraining.max_epochs": 1}.items():
        command += [key, str(value)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert "epoch 1: held-out loss" in found.stdout


def test_held_out_texts_are_the_same_in_any_order_and_never_trained_on():
    nlp = spacy.blank("en")
    examples = [Example(doc, doc) for doc in nlp.pipe(f"text {n}" for n in range(2000))]
    held, other = [], []
    trained = {example.text for example in hold_out(iter(examples), held)}
    list(hold_out(iter(examples[::-1]), other))
    texts = {doc.text for *_, doc in held}
    assert texts == {doc.text for *_, doc in other}
    assert len(texts) == pytest.approx(40, abs=20)
    assert not texts & trained and len(texts | trained) == 2000


def test_at_most_so_many_texts_are_held_out(monkeypatch):
    monkeypatch.setattr(module, "MOST_HELD_OUT", 5)
    nlp, held = spacy.blank("en"), []
    examples = [Example(doc, doc) for doc in nlp.pipe(f"text {n}" for n in range(2000))]
    list(hold_out(iter(examples), held))
    assert len(held) == 5


def test_a_learn_rate_schedule_moves(settings):
    schedule = {"@schedules": "warmup_linear.v1", "initial_rate": 0.01}
    schedule |= {"warmup_steps": 2, "total_steps": 1000}
    config = load_config(CONFIG, overrides=settings, interpolate=False)
    config["pretraining"]["optimizer"]["learn_rate"] = schedule
    training = Pretraining(config.interpolate())
    before = training.optimizer.learn_rate
    training.epoch("epoch 1")
    assert training.optimizer.learn_rate != before


def test_raw_text_has_each_text_once_and_no_labels(tmp_path):
    (tmp_path / "a.tsv").write_text("so very good\t1\tx\nno\t2\ty\nSO very good\t3\tz\n")
    (tmp_path / "b.txt").write_text("another text here\n\n")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        file.write('{"text": "so VERY good", "labels": ["joy"]}\n{"text": "a last new one"}\n')
    sources = [tmp_path / name for name in ("a.tsv", "b.txt", "c.jsonl.gz")]
    out = tmp_path / "raw.jsonl.gz"
    assert raw_text(sources, out) == {"texts": 3, "repeated": 2, "short": 2}
    rows = [json.loads(line) for line in gzip.decompress(out.read_bytes()).decode().splitlines()]
    texts = ["so very good", "another text here", "a last new one"]
    assert rows == [{"text": text} for text in texts]
    first = out.read_bytes()
    raw_text(sources, out)
    assert out.read_bytes() == first
    assert [example.text for example in create_raw_text(out, shuffle_buffer=0)(spacy.blank("en"))]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.jsonl", '{"text": "so very good"}\n{"body": 1}\n', r"a\.jsonl, line 2"),
        ("a.csv", "text\nso\n", "Expected a file in"),
        ("a.txt", "so\n", "No text of 3 words"),
    ],
)
def test_raw_text_refuses_bad_sources_and_keeps_the_earlier_file(tmp_path, name, content, found):
    (tmp_path / name).write_text(content)
    out = tmp_path / "raw.jsonl"
    out.write_text('{"text": "earlier"}')
    with pytest.raises(ValueError, match=found):
        raw_text([tmp_path / name], out)
    assert out.read_text() == '{"text": "earlier"}'


def test_raw_text_replaces_neither_a_source_nor_a_file_with_labels(tmp_path):
    mine, other = tmp_path / "mine.jsonl", tmp_path / "other.jsonl"
    mine.write_text('{"text": "so very good", "labels": ["joy"]}\n')
    other.write_text("no json\n")
    (tmp_path / "a.txt").write_text("a text of words\n")
    with pytest.raises(ValueError, match=r"mine\.jsonl is a source too"):
        raw_text([mine], mine)
    for path, found in ((mine, "holds 'labels'"), (other, "holds 'no json")):
        before = path.read_text()
        with pytest.raises(ValueError, match=found):
            raw_text([tmp_path / "a.txt"], path)
        assert path.read_text() == before


def test_the_reader_cuts_long_texts_and_shuffles(tmp_path):
    path = tmp_path / "raw.txt"
    path.write_text("a b c d e\n\n" + "".join(f"text{n} end\n" for n in range(50)))
    nlp = spacy.blank("en")
    docs = [e.reference for e in create_raw_text(path, max_words=2, shuffle_buffer=0)(nlp)]
    assert [doc.text.strip() for doc in docs[:4]] == ["a b", "c d", "e", "text0 end"]
    assert len(docs) == 53
    assert len(list(create_raw_text(path, limit=2)(nlp))) == 2
    mixed = [e.text for e in create_raw_text(path, shuffle_buffer=10)(nlp)]
    plain = [e.text for e in create_raw_text(path, shuffle_buffer=0)(nlp)]
    assert mixed != plain and sorted(mixed) == sorted(plain)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.jsonl", b'{"text": "x"}\nnot json\n', r"a\.jsonl, line 2: no JSON"),
        ("a.jsonl", b'{"body": "x"}\n', r"a\.jsonl, line 1: .*Expected"),
        ("a.txt", b"fine\nb\xffd\n", r"a\.txt, line 2: .*Expected UTF-8"),
        ("a.txt", b"\n", r"a\.txt: no text"),
        (
            "a.txt.gz",
            gzip.compress(b"fine\n" * 9, mtime=0)[:-6],
            r"a\.txt\.gz, line \d+: .*whole gzip",
        ),
        ("a.csv", b"x", "Expected a file in"),
    ],
)
def test_the_reader_names_the_line_that_is_wrong(tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=found):
        list(create_raw_text(tmp_path / name)(spacy.blank("en")))


def test_the_reader_refuses_numbers_out_of_range_and_no_path():
    with pytest.raises(ValueError, match="max_words 0"):
        create_raw_text(Path("a.txt"), max_words=0)
    with pytest.raises(ValueError, match=r"No raw text\. Expected --paths\.raw_text"):
        list(create_raw_text(None)(spacy.blank("en")))
