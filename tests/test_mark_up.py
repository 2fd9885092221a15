"""Posts and standoff become pairs of texts that say the same."""

import csv
import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from scripts.mark_up import main, mark_up
from scripts.pair_facts import MARKUP
from tests.conftest import ROOT

SAMPLE = ROOT / "assets" / "sample-entities"
PAIRS = ROOT / "assets" / "sample-pairs" / "pairs.csv"
COLUMNS = ["orig_text", "annotated_text", "source", "split"]


def write_data(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf8", newline="")
    return folder


def rows_of(folder: Path) -> list[list[str]]:
    """Return rows without the header."""
    with gzip.open(folder / "pairs.csv.gz", "rt", encoding="utf8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == COLUMNS
    return rows


POSTS = {
    "emotions.txt": "joy\nanger\nneutral\n",
    "train.tsv": 'We won, "yes"\t0\ta\nGrr but ha\t1,0\tb\n',
    "dev.tsv": "It opens at 9\t2\tc\n",
    "ekman_mapping.json": '{"good": ["joy"]}',
    "notes.md": "not needed",
}


def test_labels_stand_around_the_post_in_the_order_of_the_labels_file(tmp_path):
    counts = mark_up(write_data(tmp_path / "in", POSTS), tmp_path / "out")
    assert counts == {"train": 2, "dev": 1}
    assert rows_of(tmp_path / "out") == [
        ['We won, "yes"', '{{joy}} We won, "yes"{{/joy}}', "train.tsv:1", "train"],
        ["Grr but ha", "{{joy}} {{anger}} Grr but ha{{/anger}} {{/joy}}", "train.tsv:2", "train"],
        ["It opens at 9", "{{neutral}} It opens at 9{{/neutral}}", "dev.tsv:1", "dev"],
    ]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"pairs.csv.gz", "emotions.txt", "ekman_mapping.json"}
    assert (tmp_path / "out" / "emotions.txt").read_text() == POSTS["emotions.txt"]
    assert json.loads((tmp_path / "out" / "ekman_mapping.json").read_text()) == {"good": ["joy"]}


STANDOFF = {
    # An abbreviation's point and a line end would cut entities; one more is within another, and
    # one is a part of a word.
    "train/a.txt": "St. Ives is far.\tOld\r\ncells grew! The tumor-\n\nAntibody.",
    "train/a.ann": "T1\tPlace 0 8\tSt. Ives\nT2\tCell 17 27\tOld  cells\nT3\tCell 22 27\tcells\n"
    "T4\tX 38 43;46 50\ttumor Anti\n",
    "test/sub/b.txt": "Nothing here",
    "test/sub/b.ann": "",
    "test/c.txt": "not annotated",
}


def test_entities_are_marked_in_sentences_that_never_cut_them(tmp_path):
    files = STANDOFF | {"train/a.ann": STANDOFF["train/a.ann"].split("T4")[0]}
    counts = mark_up(write_data(tmp_path / "in", files), tmp_path / "out")
    assert counts == {"train": 4, "test": 1, "nested": 1, "cut": 1, "unannotated": 1}
    assert rows_of(tmp_path / "out") == [
        ["St. Ives is far.", "{{Place}} St. Ives{{/Place}}  is far.", "a", "train"],
        ["Old  cells grew!", "{{Cell}} Old  cells{{/Cell}}  grew!", "a", "train"],
        ["The tumor-", "The tumor-", "a", "train"],
        ["Antibody.", "Antibody.", "a", "train"],
        ["Nothing here", "Nothing here", "sub/b", "test"],
    ]


def test_entities_in_parts_of_words_or_in_fragments_are_widened(tmp_path):
    counts = mark_up(write_data(tmp_path / "in", STANDOFF), tmp_path / "out")
    assert counts["misaligned"] == counts["discontinuous"] == 1
    assert rows_of(tmp_path / "out")[2][1] == "The {{X}} tumor-  Antibody{{/X}} ."


def test_standoff_is_cut_where_it_is_asked_to_and_at_sentences(tmp_path):
    files = {"dev/a.txt": "one\ntwo; three. Four", "dev/a.ann": "T1\tN 4 7\ttwo\n"}
    mark_up(write_data(tmp_path / "in", files), tmp_path / "out", split=";")
    assert [row[1] for row in rows_of(tmp_path / "out")] == [
        "one {{N}} two{{/N}}",
        "three.",
        "Four",
    ]


def test_texts_that_have_tags_already_are_left_out(tmp_path):
    files = POSTS | {"dev.tsv": "It {{opens}} at 9\t2\tc\nIt {{ opens\t2\td\n"}
    counts = mark_up(write_data(tmp_path / "in", files), tmp_path / "out")
    assert counts == {"train": 2, "dev": 1, "tags": 1}
    assert rows_of(tmp_path / "out")[2][1] == "{{neutral}} It {{ opens{{/neutral}}"


def test_the_bytes_are_the_same_again_and_other_files_of_the_folder_stay(tmp_path):
    folder = write_data(tmp_path / "in", POSTS)
    mark_up(folder, tmp_path / "out")
    first = (tmp_path / "out" / "pairs.csv.gz").read_bytes()
    (tmp_path / "out" / "README.md").write_text("mine")
    mark_up(folder, tmp_path / "out")
    assert (tmp_path / "out" / "pairs.csv.gz").read_bytes() == first
    assert (tmp_path / "out" / "README.md").read_text() == "mine"


def test_the_sample_is_what_the_command_makes_and_sentences_of_our_own(tmp_path):
    counts = mark_up(SAMPLE, tmp_path)
    assert counts == {"train": 261, "dev": 74, "test": 76, "nested": 182, "discontinuous": 1}
    with PAIRS.open(encoding="utf8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == COLUMNS
    assert [row for row in rows if row[2] != "own"] == rows_of(tmp_path)
    own = [row for row in rows if row[2] == "own"]
    assert Counter(row[3] for row in own) == {"train": 51, "dev": 12, "test": 12}
    for text, marked, *_ in rows:
        plain, spans = MARKUP.parse(marked)
        assert plain == text and MARKUP.write(plain, spans) == marked
        assert {label for *_, label in spans} <= {"PERSON", "FEELING", "EXPRESSION", "PLACE"}


BAD = {
    "nothing": ({"x.txt": "x"}, {}, "in: nothing to mark up. Expected emotions.txt or labels.txt"),
    "no posts": ({"labels.txt": "joy\n"}, {}, "in: no texts. Expected at least one"),
    "split of posts": (POSTS, {"split": "x"}, "--split 'x' with posts. Expected it with standoff"),
    "a bad post": (POSTS | {"dev.tsv": "x\t7\ta\n"}, {}, "dev.tsv, line 1: label '7'"),
    "a bad entity": ({"train/a.txt": "x", "train/a.ann": "T1\tA 0 2\tx\n"}, {}, "a.ann, line 1"),
    "language": (STANDOFF, {"lang": "zz"}, "Language 'zz' cannot be used"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_marked_up_is_told_and_leaves_no_output(tmp_path, name):
    files, options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        mark_up(write_data(tmp_path / "in", files), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_only_earlier_pairs_are_replaced(tmp_path):
    folder = write_data(tmp_path / "in", POSTS)
    with pytest.raises(ValueError, match=r"no marked-up data\. Expected a new folder"):
        mark_up(folder, write_data(tmp_path / "out", {"x.txt": "mine"}))
    with pytest.raises(ValueError, match="would replace the input"):
        mark_up(folder, folder)


def test_the_command_says_what_was_not_marked(tmp_path):
    app = Typer()
    app.command()(main)
    folder = write_data(tmp_path / "in", STANDOFF)
    result = CliRunner().invoke(app, [str(folder), str(tmp_path / "out"), "--split", "!"])
    assert result.exit_code == 0, result.output
    assert "1 entities within or across longer ones are not marked" in result.output
    assert "Pairs of train 3, test 1" in result.output
    result = CliRunner().invoke(app, [str(tmp_path), str(tmp_path / "other")])
    assert result.exit_code == 1 and "Nothing was marked up" in result.output
