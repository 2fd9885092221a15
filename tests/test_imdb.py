"""The splits of the IMDB reviews, of the archive and of a folder, and what is refused."""

import gzip
import io
import json
import tarfile

import pytest
import srsly

from scripts import imdb as module
from scripts.imdb import imdb

NAMES = [f"{split}/{label}/{n}_7" for split in ("train", "test") for label in ("neg", "pos")
         for n in range(6)]  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Expect six reviews of each kind, five of them for dev."""
    monkeypatch.setattr(module, "REVIEWS", 6)
    monkeypatch.setattr(module, "DEV", 5)


def text_of(name):
    return f"A film.<br /><br />It is {name}."


def archive_of(path, names=NAMES, extra=()):
    with tarfile.open(path, "w:gz") as archive:
        for name in [*names, "train/unsup/0_0"]:
            content = text_of(name).encode()
            member = tarfile.TarInfo(f"aclImdb/{name}.txt")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in extra:
            archive.addfile(member)
    return path


def folder_of(path):
    path.mkdir()
    for split in ("train", "test"):
        with gzip.open(path / f"{split}.jsonl.gz", "wt") as stream:
            for name in NAMES[::-1]:
                if name.startswith(split):
                    row = {"text": text_of(name), "meta": {"id": name}}
                    stream.write(json.dumps(row) + "\n")
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_archive_and_folder_make_the_same_files(tmp_path):
    counts = imdb(archive_of(tmp_path / "a.tar.gz"), tmp_path / "one")
    assert counts == {"train": 7, "dev": 5, "test": 12}
    imdb(folder_of(tmp_path / "folder"), tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert sorted(contents(tmp_path / "one")) == [
        "dev.jsonl", "labels.txt", "test.jsonl", "train.jsonl"
    ]  # fmt: skip


def test_each_review_is_in_one_split_with_its_label_and_without_tags(tmp_path):
    imdb(archive_of(tmp_path / "a.tar.gz"), tmp_path / "out")
    rows = {
        s: list(srsly.read_jsonl(tmp_path / f"out/{s}.jsonl")) for s in ("train", "dev", "test")
    }
    ids = [row["id"] for split in rows.values() for row in split]
    assert sorted(ids) == sorted(NAMES)
    assert all(row["id"].startswith("test") for row in rows["test"])
    for row in rows["train"] + rows["dev"] + rows["test"]:
        assert row["labels"] == ["POSITIVE" if "/pos/" in row["id"] else "NEGATIVE"]
        assert row["text"] == f"A film.\n\nIt is {row['id']}."
    assert [row["id"] for row in rows["train"]] != sorted(row["id"] for row in rows["train"])
    assert (tmp_path / "out/labels.txt").read_text() == "NEGATIVE\nPOSITIVE\n"


def test_another_seed_is_another_split(tmp_path):
    source = archive_of(tmp_path / "a.tar.gz")
    imdb(source, tmp_path / "one")
    imdb(source, tmp_path / "two", seed=1)
    assert contents(tmp_path / "one")["dev.jsonl"] != contents(tmp_path / "two")["dev.jsonl"]


def test_what_is_not_the_data_set_is_refused_and_earlier_files_stay(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train.jsonl").write_text("earlier")
    few = archive_of(tmp_path / "few.tar.gz", NAMES[1:])
    link = tarfile.TarInfo("aclImdb/train/pos/9_9.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    linked = archive_of(tmp_path / "linked.tar.gz", extra=[link])
    (tmp_path / "no.tar.gz").write_text("no archive")
    (tmp_path / "empty").mkdir()
    for source, found in [
        (few, r"'train/neg': 5.*Expected \{'train/neg': 6"),
        (linked, r"9_9\.txt, 0 bytes: no review"),
        (tmp_path / "no.tar.gz", r"Expected aclImdb_v1\.tar\.gz"),
        (tmp_path / "empty", r"train\.jsonl\.gz: no such file"),
    ]:
        with pytest.raises(ValueError, match=found):
            imdb(source, tmp_path / "out")
    assert contents(tmp_path / "out") == {"train.jsonl": b"earlier"}


def test_a_bad_row_is_named(tmp_path):
    folder = folder_of(tmp_path / "folder")
    with gzip.open(folder / "test.jsonl.gz", "at") as stream:
        stream.write('{"text": "x"}\n')
    with pytest.raises(ValueError, match=r"test\.jsonl\.gz, line 13: .*Expected"):
        imdb(folder, tmp_path / "out")
