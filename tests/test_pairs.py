"""Pairs of texts are read exactly, or refused by file and line."""

import csv
import gzip
from collections import Counter
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Corpus
from spacy.util import registry

from plugins.pairs import Pair, Shares, columns_of, create_pairs_reader, read_pairs

NLP = spacy.blank("en")
HEAD = "annotated_text,orig_text,split\n"
SOME = HEAD + "{{A}} cells{{/A}}  grew,cells grew,train\nno,no,dev\n{{A}} x{{/A}},x,test\n"


def save(tmp_path: Path, content: str | bytes, name: str = "pairs.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
    return path


def read(tmp_path: Path, content: str | bytes, name: str = "pairs.csv", **options) -> list[Pair]:
    return list(read_pairs(save(tmp_path, content, name), **options))


def sources(pairs: list[Pair]) -> list[str]:
    return [pair.source for pair in pairs]


def test_pairs_have_source_target_split_and_line(tmp_path):
    assert read(tmp_path, SOME) == [
        Pair("cells grew", "{{A}} cells{{/A}}  grew", "train", 2),
        Pair("no", "no", "dev", 3),
        Pair("x", "{{A}} x{{/A}}", "test", 4),
    ]


def test_quoted_cells_keep_their_quotes_delimiters_and_line_ends(tmp_path):
    rows = '"a, ""b""\r\nc",x,train\r\n\r\n" y\n\n",\u2028é,train\r\nlast,z,train'
    pairs = read(tmp_path, HEAD + rows)
    assert [(pair.target, pair.source, pair.line) for pair in pairs] == [
        ('a, "b"\r\nc', "x", 2),
        (" y\n\n", "\u2028é", 5),
        ("last", "z", 8),
    ]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.tsv", "x.y.tsv.gz"])
def test_a_file_may_be_gzipped_have_tabs_or_a_byte_order_mark(tmp_path, name):
    data = ("\ufeff" + SOME.replace(",", "\t" if "tsv" in name else ",")).encode("utf8")
    pairs = read(tmp_path, gzip.compress(data) if name.endswith("gz") else data, name)
    assert sources(pairs) == ["cells grew", "no", "x"]
    assert columns_of(tmp_path / name) == ["annotated_text", "orig_text", "split"]


def test_the_columns_decide_the_direction_and_others_are_left_alone(tmp_path):
    content = "id,a,b\n1,left,right\n"
    (pair,) = read(tmp_path, content, source_column="b", target_column="a", split_column=None)
    assert (pair.source, pair.target) == ("right", "left")


@pytest.mark.parametrize("said", ["dev", "devel", "valid", "validation"])
def test_a_split_is_read_by_its_names(tmp_path, said):
    content = HEAD + f"a,a,train\nb,b,{said}\nc,c,test\n"
    assert read(tmp_path, content, split="dev") == [Pair("b", "b", "dev", 3)]
    assert sources(read(tmp_path, content, split="test")) == ["c"]
    other = content.replace("split", "part", 1)
    assert sources(read(tmp_path, other, split="dev", split_column="part")) == ["b"]


def test_a_file_without_splits_is_split_by_source_and_seed(tmp_path):
    rows = "".join(f"target {i},source {i // 2}\n" for i in range(2000))
    path = save(tmp_path, "annotated_text,orig_text\n" + rows)
    shares = Shares(dev=0.3, test=0.1)
    first = list(read_pairs(path, shares=shares))
    counts = Counter(pair.split for pair in first)
    assert counts == {"train": 1226, "dev": 544, "test": 230}
    assert len({(pair.source, pair.split) for pair in first}) == 1000
    dev = list(read_pairs(path, shares=shares, split="dev"))
    assert dev == [pair for pair in first if pair.split == "dev"]
    other = list(read_pairs(path, shares=Shares(0.3, 0.1, seed=1), split="dev"))
    assert 500 < len(other) < 700 and len(set(sources(dev)) & set(sources(other))) < 150
    assert {pair.split for pair in read_pairs(path, shares=Shares(0, 0))} == {"train"}


def test_the_split_column_can_be_left_alone(tmp_path):
    pairs = read(tmp_path, SOME, split_column=None, shares=Shares(dev=0, test=0))
    assert [pair.split for pair in pairs] == ["train"] * 3


def test_what_is_left_out_is_reported_with_its_line(tmp_path):
    content = HEAD + 'a,aa,train\naa,aa,train\n"a\na",aa,train\naa,aa,train\naa,aa,dev\naaaa,aa,dev'
    told, options = [], {"min_chars": 2, "max_chars": 3}
    pairs = read(tmp_path, content, **options, report=lambda *said: told.append(said))
    assert [pair.line for pair in pairs] == [3, 4, 7]
    path = tmp_path / "pairs.csv"
    assert told == [
        ("short", f"{path}, line 2: 1 characters, less than 2, left out"),
        ("repeated", f"{path}, line 6: a pair again, left out"),
        ("shared", f"{path}, line 7: a pair of train in dev too"),
        ("long", f"{path}, line 8: 4 characters, more than 3, left out"),
    ]
    told.clear()
    read(tmp_path, content, **options, split="dev", report=lambda kind, _: told.append(kind))
    assert told == ["shared", "long"]
    assert len(read(tmp_path, content, dedupe=False)) == 6
    assert [pair.line for pair in read(tmp_path, content)] == [2, 3, 4, 7, 8]


BAD = {
    "empty": ("", {}, "pairs.csv: empty. Expected a line with the names"),
    "header alone": (HEAD, {}, "no pairs. Expected at least one that is not left out"),
    "no column": ("a,orig_text\nx,y\n", {}, r"line 1: no column 'annotated_text' in \['a', 'orig"),
    "no split column": (SOME, {"split_column": "part"}, "line 1: no column 'part' in"),
    "two of one name": ("a,orig_text,a\n", {}, "line 1: 'a' twice in .*Expected names once"),
    "one for both": (SOME, {"source_column": "annotated_text"}, "Expected another for each"),
    "count": (HEAD + "a,b,train\na,b\n", {}, "line 3: 2 columns. Expected 3"),
    "count after lines": (HEAD + '"a\n\nc",b,train\na,b\n', {}, "line 5: 2 columns. Expected 3"),
    "empty source": (HEAD + "a, ,train\n", {}, "line 2: an empty source. Expected a text"),
    "empty target": (HEAD + ",b,train\n", {}, "line 2: an empty target. Expected a text"),
    "split": (HEAD + "a,b,trian\n", {}, "line 2: split 'trian'. Expected one of train, test, dev"),
    "encoding": (HEAD.encode() + b"a,b,dev\na,caf\xe9,dev\n", {},
                 "line 3: byte 0xe9 at column 6. Expected UTF-8"),
    "utf-16": (HEAD.encode("utf-16"), {}, "line 1: a NUL byte. Expected UTF-8"),
    "nul": (HEAD + "a,b\0,dev\n", {}, "line 2: a NUL byte"),
    "quote": (HEAD + 'a,b,dev\n"a,b,dev\nc,d,dev\n', {}, "line 3: a quote that is never closed"),
    "long quote": (HEAD + '"a,b,dev\n' + "cccc,dddd,dev\n" * 10_000, {},
                   "line 2: a quote that is never closed, or more than .* characters in a cell"),
    "quote inside": (HEAD + 'a,"b" c,dev\n', {}, "line 2: ',' expected after '\"'. Expected cells"),
    "carriage return": (HEAD + "a,b,dev\rc,d,dev\n", {}, "line 2: a carriage return in a cell"),
    "split without pairs": (SOME.replace("dev", "train"), {"split": "dev"}, "no pairs for dev"),
    "all too long": (SOME, {"max_chars": 1, "split": "train"}, "no pairs for train"),
}  # fmt: skip


@pytest.fixture
def usual_limit():
    """The csv module's own limit of a cell, which other commands of the process have raised."""
    raised = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(raised)


@pytest.mark.usefixtures("usual_limit")
@pytest.mark.parametrize("name", BAD)
def test_what_is_malformed_is_refused_by_file_and_line(tmp_path, name):
    content, options, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, content, **options)
    assert str(error.value).startswith(str(tmp_path / "pairs.csv"))


def test_files_that_are_no_csv_are_refused(tmp_path):
    whole = gzip.compress((SOME + "more,more,dev\n" * 50).encode())
    for data, message in (
        (whole[:-20], "line 4: Compressed file ended"),
        (b"a,b\n", "line 1: Not a g"),
    ):
        with pytest.raises(ValueError, match=rf"pairs.csv.gz, {message}.* Expected a whole gzip"):
            read(tmp_path, data, "pairs.csv.gz")
    with pytest.raises(ValueError, match=r"pairs.txt: an unknown ending. Expected .csv, .csv.gz"):
        read(tmp_path, SOME, "pairs.txt")
    with pytest.raises(ValueError, match=r"none.csv: no such file"):
        list(read_pairs(tmp_path / "none.csv"))


@pytest.mark.parametrize("dev, test", [(-0.1, 0), (0, -0.1), (0.5, 0.5), (1, 0)])
def test_shares_leave_something_for_train(dev, test):
    with pytest.raises(ValueError, match=f"dev share {dev}, test share {test}. Expected 0 or more"):
        Shares(dev, test)


def test_the_reader_yields_examples_twice_and_the_target_survives_a_corpus(tmp_path):
    path = save(tmp_path, SOME + "more,more,train\n")
    reader = create_pairs_reader(path, split="train")
    for _ in range(2):
        first, _ = reader(NLP)
        assert [doc.text for doc in (first.predicted, first.reference)] == ["cells grew"] * 2
        assert first.reference._.seq2seq == "{{A}} cells{{/A}}  grew"
        assert first.predicted._.seq2seq is None
    docs = [example.reference for example in reader(NLP)]
    DocBin(["ORTH"], store_user_data=True, docs=docs).to_disk(tmp_path / "train.spacy")
    again = [example.reference._.seq2seq for example in Corpus(tmp_path / "train.spacy")(NLP)]
    assert again == ["{{A}} cells{{/A}}  grew", "more"]


def test_the_config_finds_the_reader_and_checks_its_arguments(tmp_path):
    settings = {
        "@readers": "goemotions.PairsCsv.v1",
        "path": str(save(tmp_path, HEAD + "abc,ab,train\na,b,train\na,b,train\nc,d,dev\n")),
        "source_column": "annotated_text",
        "target_column": "orig_text",
        "split": None,
        "max_chars": 2,
        "limit": 2,
    }

    def texts(**changes) -> list[str]:
        reader = registry.resolve({"reader": settings | changes})["reader"]
        return [example.text for example in reader(NLP)]

    assert texts() == ["a", "c"]
    assert texts(limit=0, split="train", dedupe=False, max_chars=0) == ["abc", "a", "a"]
    assert texts(split_column=None, dev_share=0.0, split="train", max_chars=0) == ["abc", "a"]
    with pytest.raises(ValueError, match=r"limit -1, max_chars 1\. Expected 0 or more"):
        texts(limit=-1, max_chars=1)
    with pytest.raises(ValueError, match=r"'trian' is not typing\.Literal"):
        texts(split="trian")
