"""Any registered reader becomes a corpus; what cannot be used is refused with its place."""

import json
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import registry
from typer import Typer
from typer.testing import CliRunner

from scripts.annotations import find_task, is_annotated, labels_of
from scripts.any_reader import make_reader, parse_arguments
from scripts.convert import convert, main
from tests.conftest import ROOT

ASSETS = ROOT / "assets"
STREAM = "goemotions.Stream.v1"
WORDS = "goemotions.TaggedWords.v1"


@registry.readers("test_cats.v1")
def create_cats_reader(path: str, doubled: bool = False):
    """Read lines `label label<TAB>text`; the labels of a text are those that the line has."""

    def read(nlp):
        for line in Path(path).read_text().splitlines():
            labels, _, text = line.partition("\t")
            doc = nlp.make_doc(text)
            reference = doc.copy()
            reference.cats = {label.strip("!"): float("!" not in label) for label in labels.split()}
            if doubled:
                reference.set_ents([], default="outside")
            yield Example(doc, reference)

    return read


@registry.readers("test_list.v1")
def create_list(path: str) -> list[str]:
    return [path]


def docs_of(path: Path) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def write_cats(folder: Path, **splits: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for split, lines in splits.items():
        (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_labels_of_texts_become_a_corpus_with_all_that_an_experiment_reads(tmp_path):
    source = write_cats(
        tmp_path / "in", train=["b !a\tOh well", "!b a\tOh"], dev=["b a\tOh"], test=["!b !a\tNo"]
    )
    report = convert("test_cats.v1", source, tmp_path / "out")
    assert report == {
        "kind": "textcat",
        "labels": ["b", "a"],
        "splits": {
            "train": {"texts": 2, "tokens": 3, "labels": {"b": 1, "a": 1}},
            "dev": {"texts": 1, "tokens": 1, "labels": {"b": 1, "a": 1}},
            "test": {"texts": 1, "tokens": 1, "labels": {"b": 0, "a": 0}},
        },
        "overlap": {"dev": 1, "test": 0},
        "warnings": ["dev: 1 texts are in train too", "no b in test", "no a in test"],
    }
    assert srsly.read_json(tmp_path / "out" / "report.json") == report
    assert srsly.read_json(tmp_path / "out" / "labels.json") == ["b", "a"]
    assert srsly.read_json(tmp_path / "out" / "views.json") == {}
    docs = docs_of(tmp_path / "out" / "train.spacy")
    assert [(doc.text, list(doc.cats.items())) for doc in docs] == [
        ("Oh well", [("b", 1.0), ("a", 0.0)]),
        ("Oh", [("b", 0.0), ("a", 1.0)]),
    ]


def test_entities_of_standoff_keep_ends_and_groups(tmp_path):
    report = convert("goemotions.Standoff.v1", ASSETS / "sample-entities", tmp_path / "out")
    assert report["kind"] == "entities"
    assert report["labels"] == ["EXPRESSION", "FEELING", "PERSON", "PLACE"]
    assert not (tmp_path / "out" / "views.json").exists()
    docs = docs_of(tmp_path / "out" / "dev.spacy")
    count = sum(len(doc.spans["entities"]) for doc in docs)
    assert count == sum(report["splits"]["dev"]["labels"].values()) == 151
    assert sum(len(doc.ents) for doc in docs) > 100
    assert all(doc.has_annotation("ENT_IOB") for doc in docs)


def test_one_file_is_split_by_a_reader_that_can(tmp_path):
    source = ASSETS / "sample-references" / "references.txt"
    report = convert(WORDS, source, tmp_path / "out", arguments={"dev_share": 0.2})
    assert report["kind"] == "tokens"
    sizes = [found["texts"] for found in report["splits"].values()]
    assert sum(sizes) == 240 and min(sizes) > 20
    assert report["overlap"] == {"dev": 0, "test": 0}
    doc = docs_of(tmp_path / "out" / "train.spacy")[0]
    assert [token.tag_ for token in doc][:2] == ["author", "author"]


def test_pairs_keep_their_targets_and_have_no_labels(tmp_path):
    source = ASSETS / "sample-pairs" / "pairs.csv"
    report = convert("goemotions.PairsCsv.v1", source, tmp_path / "out")
    assert (report["kind"], report["labels"]) == ("pairs", [])
    docs = docs_of(tmp_path / "out" / "test.spacy")
    assert len(docs) == report["splits"]["test"]["texts"] > 50
    assert all("{{" in doc._.seq2seq for doc in docs[:3])


def test_files_can_be_named_and_test_may_lack(tmp_path):
    source = write_cats(tmp_path / "in", train=["a\tx"], dev=["a\ty"], other=["a\tz"], training=[])
    report = convert("test_cats.v1", source, tmp_path / "one", files={"dev": "other.txt"})
    assert list(report["splits"]) == ["train", "dev"]
    assert report["warnings"] == ["no test split"]
    assert [doc.text for doc in docs_of(tmp_path / "one" / "dev.spacy")] == ["z"]
    assert not (tmp_path / "one" / "test.spacy").exists()


@pytest.mark.parametrize(
    ("splits", "options", "message"),
    [
        ({"train": ["a\tx"]}, {}, r"in: no dev\. Expected a file of this name"),
        ({"train": ["a\tx"], "dev": []}, {}, r"no texts for dev\. Expected at least one"),
        ({"train": ["a\tx"], "dev": ["\ty"]}, {}, r"in, dev, text 1: nothing in doc\.cats"),
        (
            {"train": ["a b\tx", "b a\ty"], "dev": ["a b\tz"]},
            {},
            r"train, text 2: labels \['b', 'a'\]\. Expected \['a', 'b'\]",
        ),
        ({"train": ["a\tx"], "dev": ["b\tz"]}, {}, r"dev, text 1: labels \['b'\]"),
        ({"train": ["\tx"], "dev": ["\ty"]}, {}, r"No annotation\. Expected doc\.cats, "),
        ({"train": ["a\tx"], "dev": ["a\ty"]}, {"kind": "pairs"}, r"nothing in doc\._\.seq2seq"),
        ({"train": ["a\tx"], "dev": ["a\ty"]}, {"kind": "tokens"}, r"no labels of tokens in any"),
        ({"train": ["a\tx"], "dev": ["a\ty"]}, {"files": {"dev": "no"}}, r"no: no such dev"),
        (
            {"train": ["a\tx"], "dev": ["a\ty"]},
            {"arguments": {"double": True}},
            r"test_cats\.v1: argument 'double'\. Expected one of path, doubled",
        ),
        (
            {"train": ["a\tx"], "dev": ["a\ty"]},
            {"arguments": {"doubled": "much"}},
            r"test_cats\.v1: doubled: .*\. Expected other arguments",
        ),
        (
            {"train": ["a\tx"], "dev": ["a\ty"]},
            {"arguments": {"doubled": True}},
            r"doc\.cats and doc\.ents .* in 'x'\. Expected one of them, or --kind",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_written(tmp_path, splits, options, message):
    source = write_cats(tmp_path / "in", **splits)
    with pytest.raises(ValueError, match=message):
        convert("test_cats.v1", source, tmp_path / "out", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_files_that_a_reader_cannot_read_are_named(tmp_path):
    source = write_cats(tmp_path / "in", train=["a\tx"], dev=["a\ty"])
    (source / "dev.txt").write_bytes(b"a\t\xff\n")
    with pytest.raises(ValueError, match=r"dev\.txt: invalid start byte at 2\. Expected UTF-8"):
        convert("test_cats.v1", source, tmp_path / "out")
    (source / "dev.txt").unlink()
    (source / "dev.txt").mkdir()
    with pytest.raises(ValueError, match=r"dev\.txt: Is a directory\. Expected what the reader"):
        convert("test_cats.v1", source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_kind_decides_where_there_are_two(tmp_path):
    source = write_cats(tmp_path / "in", train=["a\tx"], dev=["a\ty"])
    more = {"arguments": {"doubled": True}, "kind": "textcat"}
    assert convert("test_cats.v1", source, tmp_path / "out", **more)["labels"] == ["a"]


def test_a_label_counts_from_one_half_up():
    doc = Doc(spacy.blank("en").vocab, ["x"])
    doc.cats = {"a": 0.5, "b": 0.4, "c": 1.0}
    assert labels_of(doc, "textcat") == ["a", "c"]


def test_two_files_of_a_split_and_one_file_of_all_are_refused(tmp_path):
    source = write_cats(tmp_path / "in", train=["a\tx"], dev=["a\ty"])
    (source / "train.csv").write_text("")
    with pytest.raises(
        ValueError, match=r"train\.csv and train\.txt\. Expected one of them, or --t"
    ):
        convert("test_cats.v1", source, tmp_path / "out")
    with pytest.raises(ValueError, match=r"dev\.txt: one file\. Expected a folder"):
        convert("test_cats.v1", source / "dev.txt", tmp_path / "out")
    references = ASSETS / "sample-references" / "references.txt"
    with pytest.raises(ValueError, match=r"references\.txt: one file"):
        convert(WORDS, references, tmp_path / "out", arguments={"split": "train"})
    with pytest.raises(ValueError, match=r"would replace the input"):
        convert("test_cats.v1", source, source)


def test_readers_that_are_none_are_refused_with_those_of_like_names():
    with pytest.raises(ValueError, match=r"'goemotions.Streams.v1': not registered.*Stream\.v1"):
        make_reader("goemotions.Streams.v1", {})
    with pytest.raises(ValueError, match=r"test_list\.v1: makes a list\. Expected a reader"):
        make_reader("test_list.v1", {"path": "x"})


def test_words_that_all_teach_nothing_are_no_mistake():
    nlp = spacy.blank("en")
    tagged = Doc(nlp.vocab, ["a", "b"], tags=["x", ""])
    silent = Doc(nlp.vocab, ["a", "b"], tags=["", ""])
    assert (is_annotated(tagged, "tokens"), is_annotated(silent, "tokens")) == (True, False)
    assert find_task([silent, tagged]) == "tokens"


def test_arguments_are_read_as_json_or_else_as_text():
    words = ["--limit", "3", "--labels=a/b.txt", "--dev-share", "0.5", "--lower", "true"]
    found = {"limit": 3, "labels": "a/b.txt", "dev_share": 0.5, "lower": True}
    assert parse_arguments(words) == found
    for bad in (["limit", "3"], ["--limit"]):
        with pytest.raises(ValueError, match=r"limit'\. Expected arguments of the reader as --key"):
            parse_arguments(bad)


def test_the_command_prints_the_report_and_fails_with_a_sentence(tmp_path):
    app = Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    source = ASSETS / "sample-references" / "references.txt"
    arguments = [WORDS, str(source), str(tmp_path / "out"), "--dev-share", "0.3", "--limit", "20"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "60 texts in" in result.output and "booktitle" in result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["splits"]["train"]["texts"] == 20
    result = CliRunner().invoke(app, [*arguments, "--limits", "3"])
    assert result.exit_code == 1
    assert "argument 'limits'" in result.output
