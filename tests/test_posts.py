"""Rows that cannot be left out safely are refused, and the input is never replaced."""

from pathlib import Path

import pytest

from scripts.posts import Layout
from scripts.preprocess import preprocess

CSV = b"text,labels,id\n"


def write_data(folder: Path, train: bytes, suffix: str = "csv") -> Path:
    folder.mkdir()
    (folder / "labels.txt").write_text("joy\nanger\n")
    (folder / f"train.{suffix}").write_bytes(train)
    (folder / "dev.tsv").write_bytes(b"fine\t0\ta\n")
    return folder


UNSKIPPABLE = {
    "stray quote": (CSV + b'a,joy,1\n"b" c,joy,2\nd,joy,3\n', "line 3: .* well-formed CSV"),
    "open quote": (CSV + b'a,joy,1\n"b,joy,2\nc,joy,3\n', "line 4: unexpected end"),
    "bytes": (CSV + b'a,joy,1\n"b\n\xff\nc",joy,2\n', "line 4: byte 0xff"),
    "repeated id": (CSV + b"a,joy,1\nb,joy,1\n", "line 3: the id of line 2 again"),
    "repeated column": (b"text,labels,text\na,joy,b\n", "each name once"),
}


@pytest.mark.parametrize("name", UNSKIPPABLE)
def test_skip_bad_refuses_a_file_whose_bad_row_cannot_be_left_out(tmp_path, name):
    content, message = UNSKIPPABLE[name]
    folder = write_data(tmp_path / "in", content)
    with pytest.raises(ValueError, match=message):
        preprocess(folder, tmp_path / "out", layout=Layout(), n_process=1, skip_bad=True)
    assert not (tmp_path / "out").exists()


def test_an_output_that_would_replace_the_input_is_refused(tmp_path):
    folder = write_data(tmp_path / "in", CSV + b"a,joy,1\n")
    for output in (folder, tmp_path, folder / ".." / "in"):
        with pytest.raises(ValueError, match="would replace the input"):
            preprocess(folder, output, n_process=1)
    assert (folder / "train.csv").read_bytes() == CSV + b"a,joy,1\n"


def test_an_output_folder_that_is_no_corpus_is_refused_and_stays(tmp_path):
    folder = write_data(tmp_path / "in", CSV + b"a,joy,1\n")
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("years of work")
    with pytest.raises(ValueError, match="no corpus"):
        preprocess(folder, other, n_process=1)
    assert (other / "chapter.txt").read_text() == "years of work"


BAD_JSON = {
    "half a surrogate pair": b'{"text": "a \\ud800", "labels": ["joy"]}\n',
    "nested too deep": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_odd_json_is_refused_by_line(tmp_path, name):
    folder = write_data(tmp_path / "in", BAD_JSON[name], "jsonl")
    with pytest.raises(ValueError, match=r"train\.jsonl, line 1: no JSON"):
        preprocess(folder, tmp_path / "out", n_process=1)


def test_json_null_ids_are_no_ids(tmp_path):
    row = b'{"text": "a", "labels": ["joy"], "id": null}\n'
    report = preprocess(write_data(tmp_path / "in", row * 2, "jsonl"), tmp_path / "o", n_process=1)
    assert report["splits"]["train"]["posts"] == 2


def test_a_text_too_long_for_spacy_is_refused_by_line(tmp_path):
    folder = write_data(tmp_path / "in", b"ok\t0\t1\n" + b"w" * 1_000_001 + b"\t0\t2\n", "tsv")
    with pytest.raises(ValueError, match=r"train\.tsv, line 2: 1000001 characters"):
        preprocess(folder, tmp_path / "out", n_process=1)


@pytest.mark.parametrize("view", ["[]", '{"x": ["rage"]}', '{"x": "joy"}', '{"x": ["joy", "joy"]}'])
def test_views_that_do_not_fit_the_labels_are_refused(tmp_path, view):
    folder = write_data(tmp_path / "in", CSV + b"a,joy,1\n")
    (folder / "ekman_mapping.json").write_text(view)
    with pytest.raises(ValueError, match=r"ekman_mapping\.json"):
        preprocess(folder, tmp_path / "out", n_process=1)


def test_an_unknown_language_is_refused(tmp_path):
    folder = write_data(tmp_path / "in", CSV + b"a,joy,1\n")
    with pytest.raises(ValueError, match="Language 'zz' cannot be used"):
        preprocess(folder, tmp_path / "out", lang="zz", n_process=1)
