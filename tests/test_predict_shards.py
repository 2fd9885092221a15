"""Files of predictions appear once and whole, whatever is killed."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import spacy
import srsly

from scripts.predict_shards import Worker, predict_shards
from tests.conftest import ROOT, ROWS

TEXTS = [text for text, _ in ROWS]


def write(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(
        json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(texts)
    )
    path.write_bytes(gzip.compress(rows.encode()) if path.suffix == ".gz" else rows.encode())


def read(path: Path) -> list[dict]:
    data = path.read_bytes()
    return [
        json.loads(line)
        for line in (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
    ]


@pytest.fixture
def worker(decided, tmp_path) -> Worker:
    (tmp_path / "in").mkdir()
    return Worker(Path.cwd(), decided, tmp_path / "in", tmp_path / "out", -1)


@pytest.mark.parametrize("name", ["a.jsonl", "b.jsonl.gz"])
def test_rows_keep_what_they_have_and_get_what_the_decided_says(
    worker, decided, tmp_path, name, monkeypatch
):
    monkeypatch.setattr("scripts.predict_shards.ZONE", 3)
    write(tmp_path / "in" / name, ["", *TEXTS])
    assert worker({"file": name}).items() >= {"file": name, "posts": 9, "error": ""}.items()
    rows = read(tmp_path / "out" / name)
    nlp = spacy.load(decided)
    for number, (row, text) in enumerate(zip(rows, ["", *TEXTS], strict=True)):
        doc = nlp(text)
        assert row["id"] == number and row["text"] == text
        assert row["emotions"] == doc._.emotions
        assert row["scores"] == pytest.approx(doc.cats, abs=1e-5)
    first = (tmp_path / "out" / name).read_bytes()
    time.sleep(0.01)
    worker({"file": name})
    assert (tmp_path / "out" / name).read_bytes() == first


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", r"line 9: .*Expected JSON"),
        ('{"txt": "a"}', r"line 9: .*Expected an object with 'text'"),
        ('{"text": "a", "scores": {}}', r"line 9: 'scores' is taken\. Expected rows without"),
        (json.dumps({"text": "a" * 1_000_001}), r"line 9: 1000001 characters\. Expected at most"),
    ],
)
def test_a_bad_row_is_named_and_what_was_there_stays(worker, tmp_path, line, problem):
    source, target = tmp_path / "in" / "a.jsonl", tmp_path / "out" / "a.jsonl"
    write(source, TEXTS)
    with source.open("a") as file:
        file.write(line + "\n")
    target.parent.mkdir()
    target.write_text("earlier")
    found = worker({"file": "a.jsonl"})
    with pytest.raises(ValueError, match=problem):
        raise ValueError(found["error"])
    assert target.read_text() == "earlier" and len(os.listdir(target.parent)) == 1


def test_what_cannot_be_predicted_is_refused_before_ray_starts(files, decided, tmp_path):
    write(tmp_path / "in" / "a.jsonl", TEXTS)
    with pytest.raises(ValueError, match=r"no tuned thresholds\. Run python -m scripts\.decide"):
        predict_shards(files["model"], tmp_path / "in", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: no \.jsonl or \.jsonl\.gz"):
        predict_shards(decided, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match="Expected a folder elsewhere"):
        predict_shards(decided, tmp_path / "in", tmp_path / "in" / "out")
    with pytest.raises(ValueError, match="Expected a folder elsewhere"):
        predict_shards(decided, tmp_path / "in", tmp_path)
    (tmp_path / "out").mkdir()
    row = {"file": "a.jsonl", "model": "other", "model_sha256": "0", "sha256": "0", "posts": 1}
    srsly.write_jsonl(tmp_path / "out" / "manifest.ndjson", [row])
    with pytest.raises(ValueError, match=r"out: predictions of other\. Expected a new folder"):
        predict_shards(decided, tmp_path / "in", tmp_path / "out")


def start(decided: Path, folder: Path, **options) -> subprocess.Popen:
    """Start the command; what it prints goes to a file."""
    command = [sys.executable, "-m", "scripts.predict_shards", decided, folder / "in"]
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            [*map(str, command), str(folder / "out")], cwd=ROOT, stdout=said, stderr=said
        )


def wait_for_rows(folder: Path, started: subprocess.Popen, count: int) -> None:
    manifest = folder / "out" / "manifest.ndjson"
    while not manifest.exists() or manifest.read_text().count("\n") < count:
        assert started.poll() is None, (folder / "said").read_text()
        time.sleep(0.02)


def assert_all_there(folder: Path, names: list[str]) -> None:
    found = sorted(path.name for path in (folder / "out").iterdir())
    assert found == sorted([*names, "manifest.ndjson"])
    noted = [row["file"] for row in srsly.read_jsonl(folder / "out" / "manifest.ndjson")]
    assert sorted(noted) == names
    for name in names:
        texts = [row["text"] for row in read(folder / "in" / name)]
        assert [row["text"] for row in read(folder / "out" / name)] == texts


@pytest.mark.slow
def test_a_second_run_does_what_is_new_and_a_bad_file_does_not_stop_the_others(decided, tmp_path):
    names = [f"{number}.jsonl" for number in range(4)]
    for name in names:
        write(tmp_path / "in" / name, TEXTS)
    found = predict_shards(decided, tmp_path / "in", tmp_path / "out")
    assert found.items() >= {"files": 4, "posts": 32, "files_before": 0}.items()
    assert_all_there(tmp_path, names)
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names}
    write(tmp_path / "in" / "1.jsonl", TEXTS[:3])
    (tmp_path / "in" / "3.jsonl").write_text("{\n")
    with pytest.raises(ValueError, match=r"(?s)3\.jsonl, line 1: .*\n1 of 2 files were predicted"):
        predict_shards(decided, tmp_path / "in", tmp_path / "out")
    after = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names}
    assert [name for name in names if after[name] != before[name]] == ["1.jsonl"]
    assert len(read(tmp_path / "out" / "1.jsonl")) == 3
    assert len(read(tmp_path / "out" / "3.jsonl")) == 8  # of the file as it was


@pytest.mark.slow
@pytest.mark.parametrize("who", ["worker", "command"])
def test_after_a_kill_every_file_is_there_once(decided, tmp_path, who):
    names = [f"{number:02}.jsonl" for number in range(30)]
    for name in names:
        write(tmp_path / "in" / name, TEXTS * 40)
    started = start(decided, tmp_path)
    wait_for_rows(tmp_path, started, 3)
    if who == "worker":
        children = psutil.Process(started.pid).children(recursive=True)
        workers = [one for one in children if "MapWorker" in " ".join(one.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
    else:
        started.kill()
    code = started.wait()
    if who == "command":
        assert not (tmp_path / "out" / "29.jsonl").exists()
        again = predict_shards(decided, tmp_path / "in", tmp_path / "out")
        assert 3 <= again["files_before"] < 30
    else:
        assert code == 0, (tmp_path / "said").read_text()
    assert_all_there(tmp_path, names)
