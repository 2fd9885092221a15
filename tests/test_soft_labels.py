"""Teachers label posts and raw texts softly: which texts, what labels, going on after a kill."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from typer import Typer
from typer.testing import CliRunner

from plugins.soft_labels import create_soft_labels
from scripts import predict_shards as shards
from scripts import soft_labels as module
from scripts.answers import DIGITS
from scripts.soft_labels import main, soft_labels
from tests.conftest import LABELS, ROWS, make_examples, make_nlp

POSTS = [text for text, _ in ROWS[:5]]
HELD_OUT = [text for text, _ in ROWS[5:]]
RAW = [
    "the raw one goes home",
    "two words",
    "  white \t space is   one blank ",
    "The raw one, goes home!!",  # again, but for case and punctuation
    "STOP parking in front of my door...",  # in dev
    "what a lovely morning i could sing",  # in train
    "this text has seven words in it",
    "one more text",
]


def rows_of(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def teachers(decided, tmp_path_factory) -> list[Path]:
    """Two pipelines that do not say the same; do not change them."""
    folder = tmp_path_factory.mktemp("teachers") / "other"
    nlp = make_nlp(steps=4)
    nlp.add_pipe("decide").set(dict.fromkeys(LABELS, 0.5), 0.5, {}, None)
    nlp.to_disk(folder)
    return [decided, folder]


@pytest.fixture
def corpus(tmp_path) -> Path:
    folder, nlp = tmp_path / "corpus", spacy.blank("en")
    folder.mkdir()
    references = [example.reference for example in make_examples(nlp)]
    DocBin(docs=[*references[:5], references[0]]).to_disk(folder / "train.spacy")
    DocBin(docs=references[5:]).to_disk(folder / "dev.spacy")
    return folder


@pytest.fixture
def raw(tmp_path) -> Path:
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in RAW))
    return path


@pytest.fixture
def predicted(monkeypatch) -> list[str]:
    """Predict in this process, without the start of Ray; return what was predicted."""
    seen: list[str] = []

    def run(files, workers, cores, gpu_id, places):
        worker = shards.Worker(*places, gpu_id)
        for name in files:
            seen.append(f"{places[1].name}/{name}")
            yield worker({"file": name})

    class Connected:
        def __init__(self, *arguments):
            pass

        def __enter__(self):
            pass

        def __exit__(self, *arguments):
            pass

    monkeypatch.setattr(shards, "connected", Connected)
    monkeypatch.setattr(shards, "_run", run)
    return seen


def texts_of(output: Path) -> list[str]:
    return [row["text"] for row in rows_of(output / "soft.jsonl.gz")]


def test_posts_come_first_each_once_and_raw_texts_that_are_nowhere_else(
    predicted, teachers, corpus, raw, tmp_path
):
    output = tmp_path / "soft"
    found = soft_labels(teachers[:1], corpus, output, raw=raw, max_words=6)
    assert texts_of(output) == [*POSTS, RAW[0], "white space is one blank", RAW[7]]
    assert {key: found[key] for key in ("posts", "raw", "teachers")} == {
        "posts": 5,
        "raw": 3,
        "teachers": 1,
    }
    assert found["seconds"] >= 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"min_words": 2, "max_words": 2}, [RAW[1]]),
        ({"min_words": 7, "max_words": 7}, [RAW[6]]),
        ({"min_words": 3, "limit": 1}, [RAW[0]]),
        ({"limit": 0}, []),
    ],
)
def test_lengths_and_limit_are_those_of_the_raw_texts(
    predicted, teachers, corpus, raw, tmp_path, settings, expected
):
    soft_labels(teachers[:1], corpus, tmp_path / "soft", raw=raw, **settings)
    assert texts_of(tmp_path / "soft") == [*POSTS, *expected]


def test_soft_labels_are_the_mean_of_the_teachers_scores(predicted, teachers, corpus, tmp_path):
    soft_labels(teachers, corpus, tmp_path / "soft")
    pipelines = [spacy.load(teacher) for teacher in teachers]
    for row in rows_of(tmp_path / "soft" / "soft.jsonl.gz"):
        one, other = (nlp(row["text"]).cats for nlp in pipelines)
        assert list(row["soft"]) == LABELS and one != other
        for label, value in row["soft"].items():
            assert value == pytest.approx((one[label] + other[label]) / 2, abs=10**-DIGITS * 1.01)


def test_what_is_written_is_what_the_reader_takes(predicted, teachers, corpus, raw, tmp_path):
    soft_labels(teachers[:1], corpus, tmp_path / "soft", raw=raw)
    posts = spacy.training.Corpus(corpus / "train.spacy")
    reader = create_soft_labels(posts, tmp_path / "soft" / "soft.jsonl.gz")
    examples = list(reader(spacy.blank("en")))
    assert len(examples) == 6 + 4  # a post that is there twice is learnt from twice
    assert all("soft_labels" in example.reference.user_data for example in examples)


def test_a_second_run_predicts_only_what_is_missing(
    predicted, teachers, corpus, raw, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "SHARD", 3)
    output = tmp_path / "soft"
    soft_labels(teachers, corpus, output, raw=raw)
    names = [path.name for path in sorted((output / "texts").glob("*.gz"))]
    assert names == ["00000.jsonl.gz", "00001.jsonl.gz", "00002.jsonl.gz"]
    folders = [teacher.name for teacher in teachers]
    assert predicted == [f"{folder}/{name}" for folder in folders for name in names]
    before = (output / "soft.jsonl.gz").read_bytes()
    predicted.clear()
    lost = sorted((output / "teachers").iterdir())[0] / names[1]
    lost.unlink()
    found = soft_labels(teachers, corpus, output, raw=raw)
    assert len(predicted) == 1 and predicted[0].endswith(names[1]) and lost.exists()
    assert (output / "soft.jsonl.gz").read_bytes() == before
    assert (found["posts"], found["raw"]) == (5, 4)


def test_another_teacher_leaves_what_the_first_one_said(predicted, teachers, corpus, tmp_path):
    for some in (teachers[:1], teachers):
        soft_labels(some, corpus, tmp_path / "soft")
    name = "00000.jsonl.gz"
    assert predicted == [f"{teacher.name}/{name}" for teacher in teachers]


def test_another_corpus_raw_file_or_length_rewrites_the_texts(
    predicted, teachers, corpus, raw, tmp_path
):
    output = tmp_path / "soft"
    soft_labels(teachers[:1], corpus, output, raw=raw)
    assert RAW[6] in texts_of(output)
    soft_labels(teachers[:1], corpus, output, raw=raw, max_words=6)
    assert RAW[6] not in texts_of(output)
    nlp = spacy.blank("en")
    DocBin(docs=[nlp(RAW[7])]).to_disk(corpus / "test.spacy")
    soft_labels(teachers[:1], corpus, output, raw=raw)
    assert texts_of(output) == [*POSTS, RAW[0], "white space is one blank", RAW[6]]
    raw.write_text(json.dumps({"text": "all of it is new"}) + "\n")
    soft_labels(teachers[:1], corpus, output, raw=raw)
    assert texts_of(output) == [*POSTS, "all of it is new"]
    soft_labels(teachers[:1], corpus, output)
    assert texts_of(output) == POSTS
    assert sorted(path.name for path in output.iterdir()) == ["soft.jsonl.gz", "teachers", "texts"]


def other_labels(folder: Path, labels: list[str]) -> Path:
    nlp = make_nlp([("a", {labels[0]}), ("b", set())], steps=0) if labels == LABELS else None
    nlp = nlp or spacy.blank("en")
    if labels != LABELS:
        pipe = nlp.add_pipe("textcat_multilabel")
        for label in labels:
            pipe.add_label(label)
        nlp.initialize()
    nlp.add_pipe("decide").set(dict.fromkeys(labels, 0.5), 0.5, {}, None)
    nlp.to_disk(folder)
    return folder


@pytest.mark.parametrize("labels", [["joy", "anger"], ["anger", "joy", "neutral"]])
def test_teachers_of_other_labels_are_refused(teachers, corpus, tmp_path, labels):
    other = other_labels(tmp_path / "third", labels)
    with pytest.raises(ValueError, match=r"third: labels \[.*\]\. Expected \['joy', 'anger', 'neu"):
        soft_labels([teachers[0], other], corpus, tmp_path / "soft")
    assert not (tmp_path / "soft").exists()


def test_a_teacher_twice_or_none_is_refused(teachers, corpus, tmp_path):
    copy = shutil.copytree(teachers[0], tmp_path / "copy")
    with pytest.raises(ValueError, match=r"A teacher twice\. Expected each once"):
        soft_labels([teachers[0], copy], corpus, tmp_path / "soft")
    with pytest.raises(ValueError, match=r"0 teachers, limit 120000, .*Expected one or more"):
        soft_labels([], corpus, tmp_path / "soft")


@pytest.mark.parametrize(
    "settings", [{"limit": -1}, {"min_words": 0}, {"min_words": 5, "max_words": 4}]
)
def test_settings_out_of_range_are_refused(teachers, corpus, tmp_path, settings):
    with pytest.raises(ValueError, match=r"Expected one or more, 0 or more, and a range from 1"):
        soft_labels(teachers, corpus, tmp_path / "soft", **settings)


def test_what_is_missing_is_named(teachers, files, corpus, tmp_path):
    with pytest.raises(ValueError, match=r"none/train\.spacy: no such corpus.*run preprocess"):
        soft_labels(teachers, tmp_path / "none", tmp_path / "soft")
    with pytest.raises(ValueError, match=r"no tuned thresholds"):
        soft_labels([files["model"]], corpus, tmp_path / "soft")
    with pytest.raises(ValueError, match=r"none\.jsonl: no such file or folder\. Expected texts"):
        soft_labels(teachers[:1], corpus, tmp_path / "soft", raw=tmp_path / "none.jsonl")


def test_a_post_of_white_space_is_refused_before_the_teachers_work(predicted, teachers, tmp_path):
    doc = Doc(Vocab(), words=[" "])
    DocBin(docs=[doc]).to_disk(tmp_path / "train.spacy")
    with pytest.raises(ValueError, match=r"train\.spacy: a post of white space\. Expected a text"):
        soft_labels(teachers[:1], tmp_path, tmp_path / "soft")
    assert predicted == [] and not (tmp_path / "soft").exists()


def test_teachers_label_where_they_are_told_to(teachers, corpus, tmp_path, monkeypatch):
    seen = {}

    def stop(model, source, output, **settings):
        seen.update(settings)
        raise ValueError("enough")

    monkeypatch.setattr(module, "predict_shards", stop)
    with pytest.raises(ValueError, match="enough"):
        soft_labels(teachers[:1], corpus, tmp_path / "soft", workers=3, gpu_id=1, address="auto")
    assert seen == {"workers": 3, "gpu_id": 1, "address": "auto"}


def test_the_command_says_how_much_and_what_is_wrong(predicted, teachers, corpus, raw, tmp_path):
    app = Typer()
    app.command()(main)
    arguments = [str(tmp_path / "soft"), str(teachers[0]), "--corpus", str(corpus)]
    found = CliRunner().invoke(app, [*arguments, "--raw", str(raw), "--max-words", "6"])
    said = " ".join(found.output.split())
    assert found.exit_code == 0, found.output
    assert "5 posts and 3 raw texts, mean of 1 teachers" in said
    found = CliRunner().invoke(app, [*arguments, "--raw="])  # as project.yml says none
    assert found.exit_code == 0 and "5 posts and 0 raw texts" in " ".join(found.output.split())
    bad = CliRunner().invoke(app, [*arguments, "--raw", str(tmp_path / "no.jsonl")])
    assert bad.exit_code == 1 and "No soft labels" in bad.output


@pytest.mark.slow
def test_the_workers_of_ray_say_the_same(teachers, corpus, raw, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD", 3)
    found = soft_labels(teachers, corpus, tmp_path / "soft", raw=raw, workers=2)
    assert (found["posts"], found["raw"], found["teachers"]) == (5, 4, 2)
    assert len(texts_of(tmp_path / "soft")) == 9
    again = soft_labels(teachers, corpus, tmp_path / "soft", raw=raw, workers=2)
    assert again["seconds"] < found["seconds"]
