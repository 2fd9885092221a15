"""The picture of which labels are taken for which."""

from pathlib import Path

import numpy
import pytest
import srsly
from matplotlib.image import imread
from typer import Typer
from typer.testing import CliRunner

from scripts.confusion import confusion, main

ONE = {"a": {"a": 5, "b": 1}, "b": {"a": 0, "b": 0}}
OTHER = {"b": {"b": 2, "a": 3}, "a": {"b": 4, "a": 0}}  # in another order


def save(path: Path, table: object) -> Path:
    srsly.write_json(path, {"micro_f1": 0.5, "confusion": table})
    return path


@pytest.fixture
def files(tmp_path) -> list[Path]:
    return [save(tmp_path / "one.json", ONE), save(tmp_path / "other.json", OTHER)]


def test_counts_are_by_true_label_and_add_up(files, tmp_path):
    output = tmp_path / "new" / "x.png"
    assert confusion(files[:1], output).tolist() == [[5, 1], [0, 0]]
    assert confusion(files, output).tolist() == [[5, 5], [3, 2]]
    assert confusion(files[::-1], output).tolist() == [[2, 3], [5, 5]]


def test_the_picture_is_dark_where_a_label_is_often_taken_for_another(files, tmp_path):
    output = tmp_path / "x.png"
    confusion(files[:1], output)
    assert output.read_bytes().startswith(b"\x89PNG\r\n")
    before = imread(output)
    assert before.ndim == 3 and min(before.shape[:2]) > 200
    confusion(files[1:], output)
    after = imread(output)
    assert after.shape == before.shape and not numpy.array_equal(after, before)
    assert [path.name for path in tmp_path.glob("*.png")] == ["x.png"]
    many = {a: dict.fromkeys("abcdefghijklm", 1) for a in "abcdefghijklm"}
    confusion([save(tmp_path / "many.json", many)], output)
    assert imread(output).shape[0] > before.shape[0]  # as many labels need


BAD = {
    "other labels": ({"a": {"a": 1, "c": 1}, "c": {"a": 1, "c": 1}},
                     r"x\.json: differs in b, c\. Expected the labels of .*one\.json\."),
    "none": ({}, r"x\.json: no confusions\. Expected a JSON of scripts\.evaluate_tokens\."),
    "null": (None, r"x\.json: no confusions"),
    "a list": ([1], r"x\.json: no confusions"),
    "row lacks a label": ({"a": {"a": 1}, "b": {"a": 1, "b": 1}}, r"x\.json: no confusions"),
    "no number": ({"a": {"a": "x", "b": 1}, "b": {"a": 1, "b": 1}}, r"x\.json: no confusions"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_confusion_is_refused_and_an_earlier_picture_stays(name, files, tmp_path):
    table, message = BAD[name]
    output = tmp_path / "x.png"
    output.write_text("earlier")
    with pytest.raises(ValueError, match=message):
        confusion([files[0], save(tmp_path / "x.json", table)], output)
    assert output.read_text() == "earlier"


@pytest.mark.parametrize("content", [b"{}", b"[]", b"{", b"\xff"])
def test_a_file_without_confusions_is_named(content, tmp_path):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.json: no confusions"):
        confusion([tmp_path / "x.json"], tmp_path / "x.png")


def test_only_a_png_is_written(files, tmp_path):
    with pytest.raises(ValueError, match=r"x\.jpg: a picture\. Expected a name that ends in \.png"):
        confusion(files, tmp_path / "x.jpg")
    assert not (tmp_path / "x.jpg").exists()


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_says_how_many_words_are_wrong(files, tmp_path):
    code, said = run_main(*files, "--output", tmp_path / "x.png")
    assert code == 0, said
    assert "15 words, 8 of them wrong" in said and (tmp_path / "x.png").exists()
    srsly.write_json(tmp_path / "y.json", {})
    code, said = run_main(files[0], tmp_path / "y.json", "--output", tmp_path / "y.png")
    assert code == 1 and "Nothing to draw" in said and "y.json: no confusions" in said
    assert not (tmp_path / "y.png").exists()
    assert run_main(tmp_path, "--output", tmp_path / "y.png")[0] == 2
