"""Posts become .spacy, and nothing wrong gets through."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Corpus

from scripts.files import hash_of
from scripts.posts import Layout
from scripts.preprocess import preprocess
from tests.conftest import ROOT

LABELS = "joy\nanger\nneutral\n"
GOOD = "So happy [NAME]!\t0\ta\nGo away\t1,0\tb\n"


def write_data(folder: Path, **files: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    contents = {"emotions_txt": LABELS, "train_tsv": GOOD, "dev_tsv": GOOD, "test_tsv": GOOD}
    for name, content in {**contents, **files}.items():
        if content:
            data = content if isinstance(content, bytes) else content.encode("utf8")
            (folder / ".".join(name.rsplit("_", 1))).write_bytes(data)
    return folder


def read(path: Path) -> list:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def convert(folder: Path, **options) -> list:
    preprocess(folder, folder / "out", n_process=1, **options)
    return read(folder / "out" / "train.spacy")


def test_every_doc_has_all_labels_in_file_order_and_whole_placeholders(tmp_path):
    happy, away = convert(write_data(tmp_path / "in"))
    assert list(happy.cats.items()) == [("joy", 1.0), ("anger", 0.0), ("neutral", 0.0)]
    assert away.cats == {"joy": 1.0, "anger": 1.0, "neutral": 0.0}
    assert [token.text for token in happy] == ["So", "happy", "[NAME]", "!"]
    assert json.loads((tmp_path / "in/out/labels.json").read_text()) == ["joy", "anger", "neutral"]


CSV = 'id,body,feels\n1,"So happy, [NAME]!\nreally",joy\n2,Go away,anger|joy\n'
JSONL = '{"body": "So happy", "feels": ["joy"]}\n{"body": "Go away", "feels": "anger|joy"}\n'


@pytest.mark.parametrize("name,content", [("train_csv", CSV), ("train_jsonl", JSONL)])
def test_csv_and_jsonl_of_the_user_s_own_are_read_by_column(tmp_path, name, content):
    folder = write_data(tmp_path / "in", train_tsv="", **{name: content})
    docs = convert(folder, layout=Layout(text="body", labels="feels", separator="|"))
    assert [doc.cats["joy"] for doc in docs] == [1.0, 1.0]
    assert docs[1].text == "Go away" and docs[1].cats["anger"] == 1.0


def test_quotes_and_odd_line_separators_in_a_tsv_are_text(tmp_path):
    row = 'He said "no\u2028way" \x0b "\t0\ta\r\n'
    (doc,) = convert(write_data(tmp_path / "in", train_tsv=row))
    assert doc.text == 'He said "no\u2028way" \x0b "'


BAD = {
    "wrong column count": ("only text\n", r"line 1: 1 columns\. Expected 3"),
    "unknown label": ("x\t7\ta\n", r"line 1: label '7'\. Expected 0 to 2"),
    "no label": ("x\t0\ta\ny\t\tb\n", r"line 2: no label"),
    "repeated label": ("x\t1,1\ta\n", r"line 1: a label twice in 1,1"),
    "empty text": (" \t0\ta\n", r"line 1: empty text"),
    "repeated id": ("x\t0\ta\ny\t0\tb\nz\t0\ta\n", r"line 3: the id of line 1 again"),
    "header": ("text\tlabels\tid\nx\t0\ta\n", r"line 1: 'labels' for label ids, a header\?"),
    "not UTF-8": (b"x\t0\ta\ncaf\xe9\t0\tb\n", r"line 2: byte 0xe9 at column 4\. Expected UTF-8"),
    "no rows": (b"\n", r"line 1: 1 columns"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_by_file_and_line(tmp_path, name):
    content, message = BAD[name]
    folder = write_data(tmp_path / "in", train_tsv=content)
    with pytest.raises(ValueError, match=r"train\.tsv, " + message):
        convert(folder)
    assert not (folder / "out").exists()


def test_an_empty_file_is_refused(tmp_path):
    folder = write_data(tmp_path / "in")
    (folder / "dev.tsv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"dev\.tsv, line 1: no rows"):
        convert(folder)


BAD_COLUMNS = {
    "csv header": ("train_csv", "a,b\n1,2\n", r"columns \['a', 'b'\]. Expected a column 'text'"),
    "csv columns": ("train_csv", "text,labels\n1\n", "line 2: 1 columns. Expected 2"),
    "csv label": ("train_csv", "text,labels\nx,rage\n", "line 2: label 'rage'. Expected one of"),
    "json": ("train_jsonl", "{\n", "line 1: no JSON"),
    "json text": ("train_jsonl", '{"labels": []}\n', "line 1: no string 'text'"),
    "json labels": ("train_jsonl", '{"text": "x", "labels": 3}\n', "line 1: 'labels': 3"),
}


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_wrong_columns_of_csv_and_jsonl_are_named(tmp_path, name):
    file, content, message = BAD_COLUMNS[name]
    with pytest.raises(ValueError, match=message):
        convert(write_data(tmp_path / "in", train_tsv="", **{file: content}))


def test_all_problems_come_in_one_report_that_is_capped(tmp_path):
    folder = write_data(tmp_path / "in", train_tsv="x\t9\ta\n" * 30, dev_tsv="x\n")
    with pytest.raises(ValueError) as caught:
        convert(folder)
    lines = str(caught.value).split("\n")
    assert len(lines) == 22
    assert lines[20].startswith("... and 10 more in") and "dev.tsv, line 1" in lines[21]


def test_skip_bad_leaves_rows_out_and_counts_them(tmp_path):
    folder = write_data(tmp_path / "in", train_tsv="x\t9\ta\n" + GOOD)
    report = preprocess(folder, folder / "out", n_process=1, skip_bad=True)
    assert len(read(folder / "out" / "train.spacy")) == 2
    assert report["splits"]["train"]["skipped"] == 1
    assert "train: 1 bad rows left out" in report["warnings"]


@pytest.mark.parametrize("labels", ["joy\n\nanger\n", "joy\nanger\njoy\n"])
def test_labels_files_with_empty_or_repeated_labels_are_refused(tmp_path, labels):
    with pytest.raises(ValueError, match=r"emotions\.txt, line \d: label '(joy)?'"):
        convert(write_data(tmp_path / "in", emotions_txt=labels))


def test_missing_files_are_named(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match=r"no labels\. Expected emotions\.txt or labels\.txt"):
        convert(tmp_path / "in")
    with pytest.raises(ValueError, match=r"no dev\. Expected \.tsv, \.csv or \.jsonl"):
        convert(write_data(tmp_path / "in", dev_tsv=""))


@pytest.mark.slow
def test_the_output_is_the_same_with_one_and_two_processes(tmp_path):
    rows = "".join(f"post number {i} is fine\t{i % 3}\t{i}\n" for i in range(2500))
    folder = write_data(tmp_path / "in", train_tsv=rows)
    for n_process in (1, 2):
        preprocess(folder, tmp_path / f"out{n_process}", n_process=n_process)
    assert hash_of(tmp_path / "out1") == hash_of(tmp_path / "out2")
    assert len(read(tmp_path / "out1" / "train.spacy")) == 2500


def test_a_long_split_becomes_a_folder_that_spacy_reads_in_order(tmp_path):
    rows = "".join(f"post {i}\t0\t{i}\n" for i in range(25))
    folder = write_data(tmp_path / "in", train_tsv=rows)
    preprocess(folder, folder / "out", n_process=1, shard_size=10)
    parts = sorted(path.name for path in (folder / "out" / "train.spacy").iterdir())
    assert parts == ["00000.spacy", "00001.spacy", "00002.spacy"]
    examples = Corpus(folder / "out" / "train.spacy")(spacy.blank("en"))
    assert [eg.text for eg in examples] == [f"post {i}" for i in range(25)]


def test_the_report_counts_labels_duplicates_and_overlap(tmp_path):
    train = "same\t0\ta\nsame\t0,1\tb\nGo away!\t1\tc\n"
    dev = "same\t0\ta\ngo  AWAY\t1\tb\nnew\t2\tc\n"
    folder = write_data(tmp_path / "in", train_tsv=train, dev_tsv=dev)
    report = preprocess(folder, folder / "out", n_process=1)
    found = report["splits"]["train"]
    assert found["labels"] == {"joy": 2, "anger": 2, "neutral": 0}
    assert found["several_labels"] == 1 and found["extra_duplicates"] == 1
    assert found["tokens"] == {"p0": 1, "p50": 1, "p90": 2, "p99": 2, "p100": 3}
    assert report["overlap"]["dev"] == {"exact": 1, "normalised": 2}
    assert "train: fewer than 10 posts for joy (2), anger (2), neutral (0)" in report["warnings"]


@pytest.mark.slow
def test_a_killed_run_leaves_the_old_corpus_and_the_next_one_completes(tmp_path):
    folder = write_data(tmp_path / "in")
    output = tmp_path / "out"
    preprocess(folder, output, n_process=1)
    before = hash_of(output)
    rows = "".join(f"post number {i} is fine\t{i % 3}\t{i}\n" for i in range(60_000))
    write_data(folder, train_tsv=rows)
    command = [sys.executable, "-m", "scripts.preprocess", str(folder), str(output)]
    process = subprocess.Popen([*command, "--n-process", "1"], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (tmp_path / ".out.tmp").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert hash_of(output) == before
    write_data(folder)
    preprocess(folder, output, n_process=1)
    assert hash_of(output) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
