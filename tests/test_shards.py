"""Shards: the same examples as spaCy's reader, in another order, a file at a time."""

import gc
import os
import subprocess
import sys
import zlib
from functools import partial
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus
from spacy.vocab import Vocab
from thinc.api import Config

from plugins.shards import create_shards
from scripts.check_config import check_config
from scripts.preprocess import preprocess
from tests.conftest import LABELS, ROOT, TOKENIZER

SAMPLE = ROOT / "assets" / "sample"
TEXTS = [f"Post number {number} of many" for number in range(40)]
# A vocabulary of its own for each shard costs a tenth of a second.
shards_of = partial(create_shards, shared_vocab=True)
KEYS = ["ORTH", "NORM", "LOWER", "SHAPE", "PREFIX", "SUFFIX", "IS_STOP", "LIKE_NUM", "SPACY"]


def write_shard(path: Path, texts: list[str], labels: list[str] = LABELS) -> Path:
    nlp, docs = spacy.blank("en"), DocBin(attrs=["ORTH"])
    for number, text in enumerate(texts):
        doc = nlp.make_doc(text)
        doc.cats = {label: float(number % 3 == k) for k, label in enumerate(labels)}
        docs.add(doc)
    docs.to_disk(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the posts in four shards, ten each, and what is no shard."""
    path = tmp_path / "train.spacy"
    path.mkdir()
    for number in range(4):
        write_shard(path / f"{number:05d}.spacy", TEXTS[10 * number : 10 * number + 10])
    (path / "report.json").write_text("{}")
    (path / ".00009.spacy").write_text("hidden")
    return path


@pytest.fixture(scope="module")
def blank() -> spacy.Language:
    return spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})


def texts_of(read, nlp) -> list[str]:
    return [example.reference.text for example in read(nlp)]


def facts_of(doc: Doc) -> tuple:
    return doc.text, doc.cats, doc.to_array(KEYS).tolist(), [token.norm_ for token in doc]


def test_without_a_buffer_the_examples_are_those_of_spacys_reader_in_order(tmp_path, blank):
    preprocess(SAMPLE, tmp_path / "corpus", n_process=1, shard_size=200)
    path = tmp_path / "corpus" / "dev.spacy"
    assert len(list(path.iterdir())) == 3
    read = create_shards(path, tmp_path / "corpus" / "labels.json", shuffle_buffer=0)
    first, second, expected = list(read(blank)), list(read(blank)), list(Corpus(path)(blank))
    assert len(first) == len(second) == len(expected) == 430
    for one, two, other in zip(first, second, expected, strict=True):
        assert facts_of(one.reference) == facts_of(two.reference) == facts_of(other.reference)
        assert facts_of(one.predicted) == facts_of(two.predicted) == facts_of(other.predicted)
        assert len(one.reference.cats) == 28


def test_a_model_reads_the_same_in_them(folder, nlp):
    model = nlp.get_pipe("textcat_multilabel").model
    ours = [example.predicted for example in create_shards(folder, shuffle_buffer=0)(nlp)]
    spacys = [example.predicted for example in Corpus(folder)(nlp)]
    assert ours[0].vocab is not spacys[0].vocab
    assert model.predict(ours).tolist() == model.predict(spacys).tolist()


def test_a_file_is_read_as_a_folder_is(folder, blank):
    path = folder / "00002.spacy"
    assert texts_of(shards_of(path, shuffle_buffer=0), blank) == TEXTS[20:30]


def test_the_order_is_decided_by_seed_and_pass(folder, blank):
    first, again, other = (shards_of(folder, shuffle_buffer=15, seed=s) for s in (1, 1, 2))
    passes = [texts_of(first, blank) for _ in range(3)]
    assert passes == [texts_of(again, blank) for _ in range(3)]
    assert passes[0] != passes[1] != passes[2] != passes[0]
    assert passes[0] != texts_of(other, blank)
    assert all(sorted(found) == sorted(TEXTS) for found in passes)


def test_shards_come_in_another_order_and_the_buffer_spans_them(folder, blank):
    read = shards_of(folder, shuffle_buffer=15)
    passes = [[TEXTS.index(text) // 10 for text in texts_of(read, blank)] for _ in range(8)]
    assert all(len(set(found[:8])) > 1 for found in passes)  # of two shards at least
    lasts = {max(range(4), key=found[-10:].count) for found in passes}
    assert len(lasts) > 1


def test_a_buffer_of_one_still_shuffles_the_shards_but_keeps_their_posts_together(folder, blank):
    found = texts_of(shards_of(folder, shuffle_buffer=1, seed=3), blank)
    shards = [found[start : start + 10] for start in range(0, 40, 10)]
    assert found != TEXTS
    assert sorted(shards) == sorted(TEXTS[start : start + 10] for start in range(0, 40, 10))


def test_a_buffer_that_holds_all_shuffles_all(folder, blank):
    found = texts_of(shards_of(folder / "00000.spacy", shuffle_buffer=99), blank)
    assert found != TEXTS[:10]
    assert sorted(found) == TEXTS[:10]


def test_limit_uses_the_first_posts_by_name_in_each_pass(folder, blank):
    read = shards_of(folder, limit=12, shuffle_buffer=5)
    passes = [texts_of(read, blank) for _ in range(2)]
    assert passes[0] != passes[1]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(TEXTS[:12])
    assert texts_of(shards_of(folder, limit=12, shuffle_buffer=0), blank) == TEXTS[:12]


def test_empty_docs_are_left_out_and_unknown_spaces_are_read_as_spacy_does(tmp_path):
    nlp = spacy.blank("en")
    docs = [Doc(nlp.vocab), Doc(nlp.vocab, words=["don't", "go"])]
    path = tmp_path / "train.spacy"
    DocBin(docs=docs).to_disk(path)
    (ours,), (spacys,) = (list(x(nlp)) for x in (create_shards(path), Corpus(path)))
    assert ours.reference.has_unknown_spaces
    for doc in (ours.predicted, spacys.predicted):
        assert [token.text for token in doc] == ["don't", "go"]


def test_other_annotation_stays(tmp_path):
    nlp = spacy.blank("en")
    doc = Doc(nlp.vocab, words=["Ann", "left"], tags=["NNP", "VBD"], ents=["B-PERSON", "O"])
    DocBin(docs=[doc]).to_disk(tmp_path / "train.spacy")
    (example,) = create_shards(tmp_path / "train.spacy")(spacy.blank("en"))
    assert [token.tag_ for token in example.reference] == ["NNP", "VBD"]
    assert [(span.text, span.label_) for span in example.reference.ents] == [("Ann", "PERSON")]


# Memory


def alive(kind: type) -> int:
    gc.collect()
    return sum(type(found) is kind for found in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize(("buffer", "most"), [(0, 1), (5, 2)])
def test_one_shard_is_in_memory_and_a_vocabulary_goes_with_its_last_doc(
    folder, blank, buffer, most
):
    shards, vocabularies = alive(DocBin), alive(Vocab)
    found = []
    for number, _ in enumerate(create_shards(folder, shuffle_buffer=buffer)(blank)):
        if number % 10 == 4:
            found.append((alive(DocBin) - shards, alive(Vocab) - vocabularies))
    assert len(found) == 4
    assert all(loaded == 1 for loaded, _ in found[:3])  # at the end there is the buffer only
    assert max(vocabs for _, vocabs in found) == most
    del _
    assert (alive(DocBin), alive(Vocab)) == (shards, vocabularies)


def test_the_pipelines_vocabulary_does_not_grow(folder):
    nlp = spacy.blank("en")
    nlp.vocab.strings.add("a label of some component")
    strings = list(nlp.vocab.strings)
    examples = list(create_shards(folder)(nlp))
    assert list(nlp.vocab.strings) == strings
    assert len({id(example.predicted.vocab) for example in examples}) == 4
    for example in examples:
        assert example.predicted.vocab is example.reference.vocab
        assert all(string in example.predicted.vocab.strings for string in strings)


def test_vectors_and_foreign_tokenizers_need_the_pipelines_vocabulary(folder):
    nlp = spacy.blank("en")
    nlp.vocab.reset_vectors(width=3)
    nlp.vocab.set_vector("many", [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"static vectors\. Expected shared_vocab = true"):
        next(create_shards(folder)(nlp))
    example = next(create_shards(folder, shared_vocab=True)(nlp))
    assert example.predicted[4].vector.tolist() == [1.0, 2.0, 3.0]
    nlp = spacy.blank("en")
    nlp.tokenizer = lambda text: None
    with pytest.raises(ValueError, match=r"tokenizer function\. Expected shared_vocab = true"):
        next(create_shards(folder)(nlp))


# What is refused


GOOD = DocBin(docs=[Doc(Vocab(), words=["fine"])]).to_bytes()
BAD = {
    "empty": (b"", "whole .spacy file"),
    "no DocBin": (b"a picture", "whole .spacy file"),
    "truncated": (GOOD[:-9], "whole .spacy file"),
    "a byte changed": (GOOD[:40] + bytes([GOOD[40] ^ 1]) + GOOD[41:], "whole .spacy file"),
    "a list": (zlib.compress(srsly.msgpack_dumps([1])), "whole .spacy file"),
    "another object": (zlib.compress(srsly.msgpack_dumps({"a": 1})), "whole .spacy file"),
    "no posts": (DocBin().to_bytes(), "no posts. Expected at least one"),
    "an empty doc": (DocBin(docs=[Doc(Vocab())]).to_bytes(), "no posts. Expected at least one"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_shard_is_named(folder, blank, name):
    data, message = BAD[name]
    (folder / "00002.spacy").write_bytes(data)
    posts = shards_of(folder, shuffle_buffer=0)(blank)
    assert [next(posts).reference.text for _ in range(20)] == TEXTS[:20]
    with pytest.raises(ValueError, match=rf"00002\.spacy: .*{message}"):
        next(posts)


@pytest.mark.parametrize("labels", [["joy", "anger"], ["joy", "neutral", "anger"], []])
def test_other_labels_than_those_of_the_file_are_refused(folder, tmp_path, blank, labels):
    srsly.write_json(tmp_path / "labels.json", LABELS)
    write_shard(folder / "00001.spacy", ["a", "b"], labels)
    posts = shards_of(folder, tmp_path / "labels.json", shuffle_buffer=0)(blank)
    assert list(next(posts).reference.cats) == LABELS
    with pytest.raises(ValueError, match=r"00001\.spacy, post 1: labels \[.*Expected \['joy'"):
        list(posts)


@pytest.mark.parametrize(
    ("text", "message"), [(None, "No such file"), ("joy\n", "JSON list"), ('{"a": 1}', "JSON list")]
)
def test_a_bad_labels_file_is_named(folder, tmp_path, blank, text, message):
    path = tmp_path / "labels.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=rf"labels\.json: .*{message}"):
        next(shards_of(folder, path)(blank))


def test_a_folder_without_shards_is_refused(tmp_path, blank):
    (tmp_path / "train.jsonl").write_text("{}")
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=rf"{path.name}: no \.spacy files"):
            next(create_shards(path)(blank))


@pytest.mark.parametrize("name", ["shuffle_buffer", "limit"])
def test_negative_counts_are_refused(folder, name):
    with pytest.raises(ValueError, match=f"{name} -1. Expected 0 or more"):
        create_shards(folder, **{name: -1})


# The configs


SWITCH = {
    "corpora.train.@readers": "goemotions.Shards.v1",
    "corpora.train.shuffle_buffer": 15,
    "training.max_epochs": -1,
}


@pytest.mark.parametrize("name", ["cnn", "bert", "torch_lstm"])
def test_any_config_takes_the_reader_as_an_override(name):
    check_config(ROOT / "configs" / f"{name}.cfg", SWITCH)


@pytest.mark.slow
def test_spacy_trains_from_shards_and_stops_at_a_bad_one(folder, tmp_path):
    srsly.write_json(tmp_path / "labels.json", LABELS)
    encoder = "components.textcat_multilabel.model.tok2vec"
    overrides = {
        **SWITCH,
        "paths.train": folder,
        "paths.dev": folder / "00000.spacy",
        "paths.labels": tmp_path / "labels.json",
        "corpora.train.labels": tmp_path / "labels.json",
        "training.max_steps": 12,
        "training.eval_frequency": 6,
        "training.batcher.size": 8,
        f"{encoder}.encode.width": 8,
        f"{encoder}.embed.rows": "[50, 50]",
        f"{encoder}.embed.ngram_rows": "50",
    }
    command = [sys.executable, "-m", "scripts.train", "configs/cnn.cfg", str(tmp_path / "out")]
    command += [part for key, value in overrides.items() for part in (f"--{key}", str(value))]

    def run() -> subprocess.CompletedProcess:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    good = run()
    assert good.returncode == 0, good.stderr
    config = Config().from_disk(tmp_path / "out" / "model-last" / "config.cfg")
    assert config["corpora"]["train"]["@readers"] == "goemotions.Shards.v1"
    before = (tmp_path / "out" / "training.json").read_text()
    (folder / "00003.spacy").write_bytes(b"half")
    failed = run()
    assert failed.returncode == 1
    assert "00003.spacy: " in " ".join((failed.stdout + failed.stderr).split())
    assert (tmp_path / "out" / "training.json").read_text() == before
