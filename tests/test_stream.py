"""Streams: what they yield, in which order, from which files, and what they refuse."""

import gc
import gzip
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.training.initialize import init_nlp
from spacy.training.loop import create_train_batches
from spacy.util import load_config, load_model_from_config, registry
from spacy.vocab import Vocab
from thinc.api import Config

from plugins.my_stream import create_my_stream
from plugins.stream import create_min_words, create_plain_text, create_stream, read_labels_file
from tests.conftest import LABELS, ROOT, TOKENIZER

CONFIG = ROOT / "configs" / "stream.cfg"
SAMPLE = ROOT / "assets" / "sample"
LABEL_FILE = SAMPLE / "emotions.txt"
POSTS = [(f"Post number {number} of many", [LABELS[number % 3]]) for number in range(40)]
SMALL = {
    "training.max_steps": 2,
    "training.eval_frequency": 1,
    "components.textcat_multilabel.model.tok2vec.embed.rows": [200, 100],
    "components.textcat_multilabel.model.tok2vec.embed.ngram_rows": 200,
}
NLP = spacy.blank("en")
# A vocabulary of its own costs a tenth of a second.
stream_of = partial(create_stream, vocab_posts=0)


def as_tsv(posts: list[tuple[str, list[str]]]) -> str:
    rows = enumerate(posts)
    return "".join(
        f"{text}\t{','.join(str(LABELS.index(label)) for label in on)}\tid{number}\n"
        for number, (text, on) in rows
    )


def as_jsonl(posts: list[tuple[str, list[str]]]) -> str:
    return "".join(srsly.json_dumps({"text": text, "labels": on}) + "\n" for text, on in posts)


def texts_of(read, nlp=NLP) -> list[str]:
    return [example.reference.text for example in read(nlp)]


@pytest.fixture
def labels(tmp_path) -> Path:
    """A labels file, outside of the folder of the posts."""
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the posts in four kinds of file, ten each."""
    path = tmp_path / "posts"
    (path / "deeper").mkdir(parents=True)
    (path / "a.tsv").write_text(as_tsv(POSTS[:10]))
    (path / "b.jsonl").write_text(as_jsonl(POSTS[10:20]))
    (path / "c.tsv.gz").write_bytes(gzip.compress(as_tsv(POSTS[20:30]).encode()))
    (path / "deeper" / "d.jsonl.gz").write_bytes(gzip.compress(as_jsonl(POSTS[30:]).encode()))
    (path / "README.md").write_text("not a post")
    return path


def test_a_folder_is_read_file_by_file_with_every_label_on_every_doc(folder, labels):
    examples = list(stream_of(folder, labels)(NLP))
    assert [example.reference.text for example in examples] == [text for text, _ in POSTS]
    for example, (_, on) in zip(examples, POSTS, strict=True):
        assert list(example.reference.cats) == LABELS
        assert [label for label, value in example.reference.cats.items() if value == 1.0] == on
        assert set(example.reference.cats.values()) == {0.0, 1.0}
        assert example.predicted.cats == {}


def test_a_list_of_files_keeps_its_order(folder, labels):
    read = stream_of([folder / "b.jsonl", folder / "a.tsv"], labels)
    assert texts_of(read) == [text for text, _ in POSTS[10:20] + POSTS[:10]]


@pytest.mark.parametrize("write", [as_tsv, as_jsonl])
def test_gzipped_and_plain_are_the_same(tmp_path, labels, write):
    suffix = ".tsv" if write is as_tsv else ".jsonl"
    plain, packed = tmp_path / f"posts{suffix}", tmp_path / f"posts{suffix}.gz"
    plain.write_text(write(POSTS))
    packed.write_bytes(gzip.compress(write(POSTS).encode()))
    found = [
        [(example.reference.text, example.reference.cats) for example in read(NLP)]
        for read in (stream_of(plain, labels), stream_of(packed, labels))
    ]
    assert len(found[0]) == 40
    assert found[0] == found[1]


def test_line_ends_and_byte_order_marks_of_windows_are_no_part_of_a_post(tmp_path, labels):
    path = tmp_path / "posts.tsv"
    path.write_bytes(b"\xef\xbb\xbfOne\t0\tx\r\nTwo\t1\ty\r\n")
    assert texts_of(stream_of(path, labels)) == ["One", "Two"]


def test_the_shuffle_is_decided_by_seed_and_pass(folder, labels):
    first, again, other = (
        stream_of(folder, labels, shuffle_buffer=15, seed=seed) for seed in (1, 1, 2)
    )
    passes = [texts_of(first) for _ in range(3)]
    assert passes == [texts_of(again) for _ in range(3)]
    assert passes[0] != passes[1] != passes[2]
    assert passes[0] != texts_of(other)
    assert all(sorted(found) == sorted(text for text, _ in POSTS) for found in passes)


def test_a_buffer_holds_as_many_posts_as_it_says(folder, labels):
    found = texts_of(stream_of(folder, labels, shuffle_buffer=5))
    places = [found.index(text) for text, _ in POSTS]
    # Post n cannot come out before post n + 5 was read.
    assert all(place >= number - 5 for number, place in enumerate(places))
    assert found[:35] != [text for text, _ in POSTS[5:]]
    assert len(set(found[:5]) & {text for text, _ in POSTS[:9]}) == 5


def test_limit_uses_the_first_posts_that_the_filter_lets_through(folder, labels):
    read = stream_of(
        folder, labels, limit=3, shuffle_buffer=9, filter=lambda text, on: on == ["anger"]
    )
    expected = ["Post number 1 of many", "Post number 4 of many", "Post number 7 of many"]
    assert sorted(texts_of(read)) == sorted(texts_of(read)) == expected


def test_the_map_comes_before_the_filter_and_may_change_labels(tmp_path, labels):
    path = tmp_path / "posts.jsonl"
    path.write_text(as_jsonl([("so  &lt;3", ["Joy"]), ("&amp;", ["Joy"])]))
    plain, long = create_plain_text(), create_min_words(2)
    read = stream_of(
        path,
        labels,
        map=lambda text, on: (plain(text, on)[0], [label.lower() for label in on]),
        filter=long,
    )
    (example,) = read(NLP)
    assert example.reference.text == "so <3"
    assert example.reference.cats == {"joy": 1.0, "anger": 0.0, "neutral": 0.0}


def test_docs_are_those_of_the_pipelines_tokenizer():
    nlp = spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})
    keys = ["ORTH", "NORM", "LOWER", "SHAPE", "PREFIX", "SUFFIX", "IS_STOP", "LIKE_NUM", "SPACY"]
    read = create_stream(SAMPLE / "dev.tsv", LABEL_FILE, limit=150, vocab_posts=75)
    examples = list(read(nlp))
    assert len(examples) == 150
    for example in examples:
        doc = nlp.make_doc(example.reference.text)
        for found in (example.predicted, example.reference):
            assert found.text == doc.text
            assert found.to_array(keys).tolist() == doc.to_array(keys).tolist()
            assert [token.norm_ for token in found] == [token.norm_ for token in doc]


def test_a_vocabulary_is_replaced_but_not_under_docs_in_use(folder, labels):
    nlp = spacy.blank("en")
    nlp.vocab.strings.add("a label of some component")
    strings = list(nlp.vocab.strings)
    examples = list(create_stream(folder, labels, vocab_posts=20)(nlp))
    first, last = (examples[number].predicted.vocab for number in (0, 39))
    assert {id(example.predicted.vocab) for example in examples} == {id(first), id(last)}
    assert list(nlp.vocab.strings) == strings
    assert [example.predicted.text for example in examples] == [text for text, _ in POSTS]
    assert ("19" in first.strings, "19" in last.strings) == (True, False)
    assert all(string in last.strings for string in strings)


@pytest.mark.slow
def test_a_vocabulary_goes_with_its_last_doc(folder, labels):
    def alive() -> int:
        return sum(type(found) is Vocab for found in gc.get_objects())

    nlp = spacy.blank("en")
    before = alive()
    examples = create_stream(folder, labels, vocab_posts=10)(nlp)
    found = [alive() - before for number, _ in enumerate(examples) if number % 10 == 5]
    assert found == [1, 1, 1, 1]


def test_the_pipelines_vocabulary_is_used_on_demand(folder, labels):
    nlp = spacy.blank("en")
    examples = list(create_stream(folder, labels, vocab_posts=0)(nlp))
    assert {example.predicted.vocab for example in examples} == {nlp.vocab}


def test_vectors_and_foreign_tokenizers_need_the_pipelines_vocabulary(folder, labels):
    nlp = spacy.blank("en")
    nlp.vocab.reset_vectors(width=3)
    nlp.vocab.set_vector("many", [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"static vectors\. Expected vocab_posts = 0"):
        next(create_stream(folder, labels)(nlp))
    example = next(create_stream(folder, labels, vocab_posts=0)(nlp))
    assert example.predicted[4].vector.tolist() == [1.0, 2.0, 3.0]
    nlp = spacy.blank("en")
    nlp.tokenizer = lambda text: None
    with pytest.raises(ValueError, match=r"tokenizer function\. Expected vocab_posts = 0"):
        next(create_stream(folder, labels)(nlp))


ROWS = {
    "bad.tsv": [
        ("Some\t3\tx", "label id '3'. Expected 0 to 2"),
        ("Some\t\tx", "label id ''. Expected 0 to 2"),
        ("Some\t1,1\tx", r"labels \['anger', 'anger'\]. Expected at least one, each once"),
        ("Some\t1", "2 columns. Expected 3"),
        ("", "1 columns. Expected 3"),
        (" \t1\tx", "empty text"),
        ("x" * 1_000_001 + "\t1\tx", "1000001 characters. Expected at most 1000000"),
        (b"caf\xe9\t1\tx", "byte 0xe9 at column 4. Expected UTF-8"),
    ],
    "bad.jsonl": [
        ('{"text": "a", "labels": ["joy"]', "no JSON"),
        ('{"text": "\\ud800", "labels": ["joy"]}', "no JSON .*surrogates"),
        ('{"text": "a", "labels": ["pride"]}', "label 'pride'. Expected one of the labels file"),
        ('{"text": "a", "labels": "joy"}', 'Expected {"text"'),
        ('{"text": "a", "labels": []}', "at least one"),
        ('{"text": "a", "labels": [7]}', "label 7"),
        ('["a"]', 'Expected {"text"'),
    ],
}


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [(name, row, message) for name, rows in ROWS.items() for row, message in rows],
)
def test_a_bad_row_in_mid_stream_is_named_by_file_and_line(tmp_path, labels, name, row, message):
    row = row if isinstance(row, bytes) else row.encode("utf8")
    good = as_tsv(POSTS[:2]) if name == "bad.tsv" else as_jsonl(POSTS[:2])
    (tmp_path / name).write_bytes(good.encode() + row + b"\n")
    stream = stream_of(tmp_path / name, labels)(NLP)
    assert [next(stream).reference.text for _ in range(2)] == [text for text, _ in POSTS[:2]]
    with pytest.raises(ValueError, match=f"{name}, line 3: .*{message}"):
        next(stream)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-20], "end-of-stream"),
        (lambda data: data[:-8] + b"12345678", "CRC check failed"),
        (lambda data: data[:30] + bytes(20) + data[50:], "Error"),
    ],
    ids=["truncated", "checksum", "corrupt"],
)
def test_a_damaged_gzip_is_named_with_the_line_it_got_to(tmp_path, labels, damage, message):
    text = "".join(f"Post {os.urandom(12).hex()}\t0\tx\n" for _ in range(50))
    (tmp_path / "posts.tsv.gz").write_bytes(damage(gzip.compress(text.encode())))
    with pytest.raises(ValueError, match=rf"posts.tsv.gz, line \d+: .*{message}.*whole gzip"):
        list(stream_of(tmp_path / "posts.tsv.gz", labels)(NLP))


def test_no_gzip_at_all_is_named(tmp_path, labels):
    (tmp_path / "posts.tsv.gz").write_text(as_tsv(POSTS))
    with pytest.raises(ValueError, match=r"posts\.tsv\.gz, line 1: Not a gzipped file"):
        list(stream_of(tmp_path / "posts.tsv.gz", labels)(NLP))


def test_an_empty_stream_fails_instead_of_training_on_nothing(folder, labels):
    (folder / "a.tsv").write_text("")
    with pytest.raises(ValueError, match=r"a\.tsv: 0 posts read, none to use"):
        list(stream_of(folder / "a.tsv", labels)(NLP))
    with pytest.raises(ValueError, match="30 posts read, none to use"):
        list(stream_of(folder, labels, filter=create_min_words(99))(NLP))


@pytest.mark.parametrize("name", ["nowhere.tsv", "nowhere", "posts.txt", "empty"])
def test_a_path_without_posts_is_refused_before_the_first_post(folder, labels, name):
    (folder / "posts.txt").write_text(as_tsv(POSTS))
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: no file to stream"):
        next(stream_of([folder / "a.tsv", folder / name], labels)(NLP))


@pytest.mark.parametrize("name", ["shuffle_buffer", "limit", "vocab_posts"])
def test_negative_counts_are_refused(folder, labels, name):
    with pytest.raises(ValueError, match=f"{name} -1. Expected 0 or more"):
        create_stream(folder, labels, **{name: -1})


def test_labels_come_as_lines_or_as_json(tmp_path, labels):
    srsly.write_json(tmp_path / "labels.json", LABELS)
    assert read_labels_file(labels) == read_labels_file(tmp_path / "labels.json") == LABELS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.txt", "joy\n\nanger\n", "label 2: ''"),
        ("labels.txt", "joy\nanger\njoy\n", "label 3: 'joy'"),
        ("labels.txt", "", "label 1: ''"),
        ("labels.json", "[]", "no labels"),
        ("labels.json", '{"joy": 1}', "Expected a list of strings"),
        ("labels.json", "[1]", "Expected a list of strings"),
        ("labels.json", "[", "Expected JSON"),
        ("absent.txt", None, "no such labels file"),
    ],
)
def test_bad_labels_files_are_refused(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}.*{message}"):
        read_labels_file(tmp_path / name)


# The config


def config_of(**overrides) -> Config:
    paths = {"train": "train.tsv", "dev": "dev.tsv", "labels": "emotions.txt"}
    changes = {f"paths.{key}": str(SAMPLE / file) for key, file in paths.items()}
    return load_config(CONFIG, overrides={**SMALL, **changes, **overrides})


@pytest.mark.slow
def test_the_config_streams_with_all_labels_in_file_order_and_starts_over_at_the_end():
    config = config_of(**{"corpora.train.limit": 20, "training.batcher.size": 8})
    nlp = init_nlp(config)
    expected = (SAMPLE / "emotions.txt").read_text().split()
    assert list(nlp.get_pipe("textcat_multilabel").labels) == expected
    corpora = registry.resolve(nlp.config.interpolate()["corpora"])
    batcher = registry.resolve(nlp.config.interpolate()["training"])["batcher"]
    batches = create_train_batches(nlp, corpora["train"], batcher, -1)
    seen = {0: [], 1: []}
    for epoch, batch in batches:
        if epoch == 2:
            break
        seen[epoch] += [example.reference.text for example in batch]
    assert len(seen[0]) == 20
    assert sorted(seen[0]) == sorted(seen[1])
    assert seen[0] != seen[1]


def test_map_and_filter_are_named_in_the_config():
    config = config_of(**{"corpora.train.limit": 5}).interpolate()["corpora"]
    config["train"]["map"] = {"@misc": "goemotions.plain_text.v1"}
    config["train"]["filter"] = {"@misc": "goemotions.min_words.v1", "n_words": 20}
    resolved = registry.resolve({"corpora": config})["corpora"]
    found = texts_of(resolved["train"])
    assert len(found) == 5
    assert all(len(text.split()) >= 20 for text in found)


def run_spacy(arguments: list[str], **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "spacy", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        **options,
    )


UMBRELLA = "import plugins, plugins.stream, plugins.my_stream\n"


@pytest.mark.slow
def test_spacy_trains_from_the_stream_and_stops_at_a_bad_line(tmp_path):
    (tmp_path / "code.py").write_text(UMBRELLA)
    bad = tmp_path / "train.tsv"
    bad.write_text((SAMPLE / "train.tsv").read_text(encoding="utf8") + "Late\t99\tx\n", "utf8")
    overrides = {
        **SMALL,
        "paths.dev": str(SAMPLE / "dev.tsv"),
        "paths.labels": str(LABEL_FILE),
    }
    arguments = [part for key, value in overrides.items() for part in (f"--{key}", str(value))]
    command = ["train", str(CONFIG), "--code", str(tmp_path / "code.py"), *arguments]
    command += ["--output", str(tmp_path / "out"), "--paths.train"]
    good = run_spacy([*command, str(SAMPLE / "train.tsv")], cwd=ROOT)
    assert good.returncode == 0, good.stderr
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.config["training"]["max_epochs"] == -1
    assert len(nlp("So proud of you!").cats) == 28
    failed = run_spacy([*command, str(bad)], cwd=ROOT)
    assert failed.returncode == 1
    assert f"{bad}, line 1322: label id '99'. Expected 0 to 27." in failed.stderr


# my_data_stream.v1


@pytest.fixture
def my_path(tmp_path) -> Path:
    """A folder with the posts in two files, and the labels."""
    folder = tmp_path / "my_train_path"
    folder.mkdir()
    (folder / "emotions.txt").write_text("\n".join(LABELS) + "\n")
    (folder / "a.tsv").write_text(as_tsv(POSTS[:25]))
    (folder / "b.tsv").write_text(as_tsv(POSTS[25:]))
    return folder


def test_my_stream_yields_a_stable_part_that_is_in_every_larger_part(my_path):
    parts = [texts_of(create_my_stream(my_path, percent)) for percent in (42.6, 89.1, 100.0)]
    assert parts[2] == [text for text, _ in POSTS]
    assert set(parts[0]) < set(parts[1]) < set(parts[2])
    assert parts[0] == texts_of(create_my_stream(str(my_path), 42.6))
    assert (len(parts[0]), len(parts[1])) == (23, 37)


def test_my_stream_uses_about_the_percentage_of_many_posts(tmp_path):
    (tmp_path / "labels.txt").write_text("joy\n")
    rows = "".join(f"Post number {number}\t0\tx\n" for number in range(2000))
    (tmp_path / "posts.tsv").write_text(rows)
    found = len(texts_of(create_my_stream(tmp_path / "posts.tsv", 42.6)))
    assert 0.40 < found / 2000 < 0.45


def test_my_stream_sets_every_label_on_every_doc(my_path):
    for example in create_my_stream(my_path, 50.0)(NLP):
        assert list(example.reference.cats) == LABELS
        number = int(example.reference.text.split()[2])
        assert [x for x, value in example.reference.cats.items() if value] == [LABELS[number % 3]]


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.1, float("nan")])
def test_my_stream_refuses_a_percentage_out_of_range(my_path, percent):
    with pytest.raises(ValueError, match=r"another_arg .* Expected a percentage above 0, to 100"):
        create_my_stream(my_path, percent)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"Some\t1", "2 columns. Expected 3"),
        (b"Some\t3\tx", "label id '3'. Expected 0 to 2"),
        (b"caf\xe9\t1\tx", "Expected UTF-8"),
    ],
)
def test_my_stream_names_file_and_line_of_a_bad_row(my_path, row, message):
    (my_path / "b.tsv").write_bytes(as_tsv(POSTS[:3]).encode() + row + b"\n")
    with pytest.raises(ValueError, match=rf"b\.tsv, line 4: .*{message}"):
        list(create_my_stream(my_path, 1.0)(NLP))


def test_my_stream_refuses_no_posts_and_no_labels(my_path):
    with pytest.raises(ValueError, match=r"no posts in 0\.001 %"):
        list(create_my_stream(my_path, 0.001)(NLP))
    (my_path / "emotions.txt").unlink()
    with pytest.raises(ValueError, match=r"my_train_path: no labels\. Expected labels\.txt or"):
        list(create_my_stream(my_path, 50.0)(NLP))
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        list(create_my_stream(my_path / "nowhere", 50.0)(NLP))


# The page


BLOCKS = re.findall(
    r"```bash\n(.*?)```", (ROOT / "docs" / "streams.md").read_text(encoding="utf8"), flags=re.S
)


def test_the_page_has_commands_for_both_readers():
    assert [block.count("spacy train ") for block in BLOCKS] == [1, 0, 1]
    assert "-c plugins/my_stream.py" in BLOCKS[2]
    assert all(number in BLOCKS[2] for number in ("42.6", "89.1"))


@pytest.mark.slow
@pytest.mark.parametrize("block", [BLOCKS[0] + BLOCKS[1], BLOCKS[2]], ids=["stream", "my_stream"])
def test_commands_of_the_page_run_as_printed(tmp_path, block):
    for name in ("plugins", "configs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "project.yml", tmp_path)
    shutil.copytree(SAMPLE, tmp_path / "assets" / "sample")
    block = block.replace("max_steps = 200", "max_steps = 2")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SPACY_CONFIG_OVERRIDES": "--training.max_steps 2 --training.eval_frequency 2",
    }
    run = subprocess.run(
        ["bash", "-ec", block], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    (model,) = tmp_path.glob("training/sample/*/trained/model-last")
    assert set(spacy.load(model)("Well done!").cats) == set(read_labels_file(LABEL_FILE))


def test_hidden_files_are_not_read(folder, labels):
    before = [e.text for e in create_stream(folder, labels)(spacy.blank("en"))]
    copies = folder / ".ipynb_checkpoints"
    copies.mkdir()
    (copies / "copy.tsv").write_text("again\t0\tx\n")
    (folder / ".half.tsv").write_text("half\t0\tx\n")
    assert [e.text for e in create_stream(folder, labels)(spacy.blank("en"))] == before != []


@pytest.mark.parametrize("text", ["joy\n\nanger\n", "joy\njoy\n"])
def test_my_stream_refuses_labels_that_are_empty_or_there_twice(tmp_path, text):
    (tmp_path / "labels.txt").write_text(text)
    (tmp_path / "a.tsv").write_text("so\t0\tx\n")
    with pytest.raises(ValueError, match=r"labels\.txt: .*each once"):
        list(create_my_stream(tmp_path, 100)(spacy.blank("en")))


@pytest.mark.slow
def test_stream_trains_exactly_what_cnn_trains():
    configs = [load_config(ROOT / "configs" / f"{name}.cfg") for name in ("cnn", "stream")]
    cnn, stream = (load_model_from_config(x, auto_fill=True).config.interpolate() for x in configs)
    for section in ("nlp", "components"):
        assert stream[section] == cnn[section]
    for key in ("optimizer", "batcher", "dropout", "score_weights"):
        assert stream["training"][key] == cnn["training"][key], key
