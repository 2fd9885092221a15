"""Texts whose words have tags are read exactly, or refused by file and line."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Corpus
from spacy.util import registry

from plugins.tagged_words import (
    Splitting,
    Tagged,
    create_tagged_words_reader,
    make_reference,
    read_tagged,
)

TOKENIZER = {"@tokenizers": "goemotions.WordTokenizer.v1"}
NLP = spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})
LINES = "<who> A. Cau. </who> <when> 1992. </when>\n\n[7] <who>Kent,</who><what> Bread </what> x.\n"
ROWS = [
    {"tokens": ["A.", "Cau.", "1992."], "labels": ["who", "who", "when"]},
    {"tokens": ["[7]", "Kent,", "Bread", "x."], "labels": ["O", "who", "what", ""]},
]
JSONL = "".join(json.dumps(row) + "\n\n" for row in ROWS)
EXPECTED = [
    (["A.", "Cau.", "1992."], ["who", "who", "when"]),
    (["[7]", "Kent,", "Bread", "x."], ["", "who", "what", ""]),
]


def save(tmp_path: Path, content: str | bytes, name: str = "x.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
    return path


def read(tmp_path: Path, content: str | bytes, name: str = "x.txt", **options) -> list[Tagged]:
    return list(read_tagged(save(tmp_path, content, name), **options))


def some(text: str, *tags: str) -> Tagged:
    words = text.split()
    return Tagged(words, [*tags] or ["a"] * len(words), 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.txt", LINES), ("x.txt.gz", LINES), ("x.jsonl", JSONL), ("a.b.jsonl.gz", JSONL)],
)
def test_both_formats_give_words_tags_and_lines(tmp_path, name, content):
    data = ("\ufeff" + content).encode("utf8")
    found = read(tmp_path, gzip.compress(data) if name.endswith("gz") else data, name)
    assert [(one.words, one.tags) for one in found] == EXPECTED
    assert [one.line for one in found] == [1, 3]
    assert found[1].text == "[7] Kent, Bread x."


def test_a_label_can_be_ignored_and_o_can_be_one(tmp_path):
    found = read(tmp_path, LINES, ignored="who")
    assert [one.tags for one in found] == [["", "", "when"], ["", "", "what", ""]]
    (one,) = read(tmp_path, "<O> a </O> <x> b </x>", ignored="")
    assert one.tags == ["O", "x"]
    assert read(tmp_path, "<O> a </O> <x> b </x>")[0].tags == ["", "x"]


def test_elements_can_be_read_over(tmp_path):
    line = "<who> A. <br> Cau. </who><page> 7 </page> <when><br>1992.</when> </page>\n"
    (one,) = read(tmp_path, line, skip=("br", "page"))
    assert (one.words, one.tags) == (["A.", "Cau.", "7", "1992."], ["who", "who", "", "when"])
    with pytest.raises(ValueError, match=r"line 1: <br> inside <who>. Expected </who>\."):
        read(tmp_path, line, skip=["page"])


def test_what_only_looks_like_an_element_is_a_word(tmp_path):
    line = "<x-1.b> a<b c>d < e > f </ g> <7> <> &amp; </x-1.b>"
    (one,) = read(tmp_path, line)
    assert one.text == "a<b c>d < e > f </ g> <7> <> &amp;"
    assert set(one.tags) == {"x-1.b"}


def test_any_white_space_parts_words_and_empty_elements_have_none(tmp_path):
    (one,) = read(tmp_path, " <x>\ta\u00a0b\u2003\r</x> <y> </y>\x85c\r\n")
    assert (one.words, one.tags) == (["a", "b", "c"], ["x", "x", ""])


BAD = {
    "end of another": ("<a> x </b>", r"line 1: </b> inside <a>\. Expected the element's own end\."),
    "end outside": ("\nx </b>", r"line 2: </b> outside all elements\. Expected the element's own"),
    "element in element": ("<a> x <b> y </b> </a>", r"line 1: <b> inside <a>\. Expected </a>\."),
    "the same in itself": ("<a> x <a>", r"line 1: <a> inside <a>\. Expected </a>\."),
    "no end": ("<a> x </a>\n<a> y\n</a>", r"line 2: <a> has no end\. Expected </a>\."),
    "no words": ("<a> </a>\n", r"line 1: no words\. Expected at least one\."),
    "nothing": ("\n \n", r"x\.txt: no texts\. Expected at least one\."),
    "encoding": (b"<a> x </a>\ncaf\xe9\n", r"line 2: byte 0xe9 at column 4\. Expected UTF-8\."),
}
BAD_JSON = {
    "no json": ("{]", r"line 1: .*column 2 \(char 1\)\. Expected JSON\."),
    "no object": ("[]", r"line 1: 'tokens' is None\. Expected a list of texts\."),
    "no labels": ('{"tokens": []}', r"'labels' is None\. Expected a list of texts\."),
    "a text": ('{"tokens": "ab", "labels": []}', r"'tokens' is 'ab'\. Expected a list"),
    "a number": ('\n{"tokens": ["a"], "labels": [1]}', r"line 2: 'labels' is \[1\]\. Expected"),
    "long": (json.dumps({"tokens": [*map(str, range(50)), 1]}), r"is \['0', .{34}\. Expected a l"),
    "counts": ('{"tokens": ["a", "b"], "labels": ["x"]}', r"2 tokens, 1 labels\. Expected as man"),
    "blank": ('{"tokens": ["a b"], "labels": ["x"]}', r"token 'a b'\. Expected one without white"),
    "around": ('{"tokens": [" a"], "labels": ["x"]}', r"token ' a'\. Expected one without white"),
    "half": (r'{"tokens": ["\ud800"], "labels": ["x"]}', r"line 1: token .*half a surrogate pair"),
    "empty": ('{"tokens": [""], "labels": ["x"]}', r"token ''\. Expected one without white space"),
    "no tokens": ('{"tokens": [], "labels": []}', r"line 1: no words\. Expected at least one\."),
}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        *(("x.txt", *BAD[name]) for name in BAD),
        *(("x.jsonl", *BAD_JSON[name]) for name in BAD_JSON),
    ],
    ids=[*BAD, *BAD_JSON],
)
def test_what_is_malformed_is_refused_by_file_and_line(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, content, name)
    assert str(error.value).startswith(str(tmp_path / name))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    whole = gzip.compress((LINES * 50).encode())
    for data, message in (
        (whole[:-20], r"line \d\d: Compressed file ended"),
        (b"a", "line 0: Not"),
    ):
        with pytest.raises(ValueError, match=rf"x.txt.gz, after {message}.* Expected a whole"):
            read(tmp_path, data, "x.txt.gz")
    with pytest.raises(ValueError, match=r"none.txt, after line 0: .*No such file"):
        list(read_tagged(tmp_path / "none.txt"))
    message = r"x\.tsv: Expected a file in \.txt, \.txt\.gz, \.jsonl, \.jsonl\.gz\."
    with pytest.raises(ValueError, match=message):
        read(tmp_path, LINES, "x.tsv")


def test_a_line_that_is_reported_is_left_out(tmp_path):
    told = []
    content = "<a> x </a>\n<a> y\n<a> </a>\n\n<a> z </a>\n"
    found = read(tmp_path, content, report=told.append)
    path = tmp_path / "x.txt"
    assert [(one.text, one.line) for one in found] == [("x", 1), ("z", 5)]
    assert told == [
        f"{path}, line 2: <a> has no end. Expected </a>.",
        f"{path}, line 3: no words. Expected at least one.",
    ]
    with pytest.raises(ValueError, match="no texts"):
        read(tmp_path, "<a> y\n", report=told.append)
    with pytest.raises(ValueError, match="Expected UTF-8"):
        read(tmp_path, b"x\n\xff\n", report=told.append)


def test_a_split_never_changes():
    """Or a model would be tested on what another release trained it on."""
    texts = ["A. Cau", "Bread and brine", "[7] Ada Kent, Oslo", "2001", "x", "Grønlie"]
    for options, expected in [
        ({}, "train test train train test test"),
        ({"seed": 1}, "dev train test train train train"),
        ({"dev": 0.3, "test": 0.3}, "train dev train train dev dev"),
        ({"folds": 10}, "train train train train dev dev"),
        ({"folds": 10, "fold": 1}, "train dev train train test test"),
    ]:
        splitting = Splitting(**options)
        assert " ".join(splitting.split_of(some(text)) for text in texts) == expected


MANY = [some(f"w{number} x", "title", "date") for number in range(2000)]


def test_the_shares_are_about_those_asked_for():
    for options, expected in [
        ({}, {"train": 1394, "dev": 199, "test": 407}),
        ({"seed": 1}, {"train": 1392, "dev": 220, "test": 388}),
        ({"dev": 0.3, "test": 0.1}, {"train": 1181, "dev": 606, "test": 213}),
        ({"dev": 0.0, "test": 0.0}, {"train": 2000}),
    ]:
        assert Counter(map(Splitting(**options).split_of, MANY)) == expected


@pytest.mark.parametrize("folds", [3, 10])
def test_each_text_is_test_in_one_fold_and_dev_in_the_one_before(folds):
    splits = [
        [Splitting(folds=folds, fold=fold, seed=5).split_of(one) for one in MANY]
        for fold in range(folds)
    ]
    for row in zip(*splits, strict=True):
        assert sorted(row) == ["dev", "test", *["train"] * (folds - 2)]
        assert row[row.index("test") - 1] == "dev"
    for found in splits:
        counts = Counter(found)
        assert counts["dev"] == pytest.approx(2000 / folds, rel=0.2)
        assert counts["test"] == pytest.approx(2000 / folds, rel=0.2)


def test_the_letters_alone_decide_or_those_of_one_label():
    plain = Splitting()
    assert plain.key_of(some("A. Cau (1992), pp. 7-9_a")) == "acau1992pp79_a"
    assert plain.key_of(some("a cau, 1992 PP 79_A.")) == "acau1992pp79_a"
    titles = Splitting(together="title")
    one = some("Cau. Bread and 1992 brine,", "who", "title", "title", "when", "title")
    assert titles.key_of(one) == titles.key_of(some("Bread: and brine")) == "breadandbrine"
    assert plain.key_of(one) == "caubreadand1992brine"


def test_equal_titles_stay_together():
    titles = Splitting(together="title", seed=3)
    for number in range(200):
        pair = [
            some(f"A{number} Bread w{number}, 1992", "who", "title", "title", "when"),
            some(f"[7] bread W{number}.", "", "title", "title"),
        ]
        assert len({titles.split_of(one) for one in pair}) == 1
    assert len({Splitting(seed=3).split_of(some(f"A{n} bread w7")) for n in range(50)}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dev": -0.1},
            r"dev share -0\.1, test share 0\.2\. Expected 0 or more, less than 1",
        ),
        ({"test": -0.1}, r"dev share 0\.1, test share -0\.1\. Expected 0 or more"),
        ({"dev": 0.5, "test": 0.5}, r"dev share 0\.5, test share 0\.5\. Expected 0 or more"),
        ({"folds": 1}, r"folds 1, fold 0\. Expected no folds, or 3 or more and one of them from 0"),
        ({"folds": 2}, r"folds 2, fold 0\. Expected no folds"),
        ({"folds": -3}, r"folds -3, fold 0\. Expected no folds"),
        ({"folds": 3, "fold": 3}, r"folds 3, fold 3\. Expected no folds"),
        ({"folds": 3, "fold": -1}, r"folds 3, fold -1\. Expected no folds"),
        ({"fold": 1}, r"folds 0, fold 1\. Expected no folds"),
    ],
)
def test_a_splitting_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Splitting(**options)


def test_the_reader_yields_examples_twice_and_tags_survive_a_corpus(tmp_path):
    reader = create_tagged_words_reader(save(tmp_path, LINES))
    for _ in range(2):
        _, example = reader(NLP)
        assert example.predicted.text == example.reference.text == "[7] Kent, Bread x."
        assert [token.text for token in example.predicted] == EXPECTED[1][0]
        assert [token.tag_ for token in example.reference] == EXPECTED[1][1]
        assert example.get_aligned("TAG", as_string=True) == EXPECTED[1][1]
        assert [token.norm_ for token in example.predicted] == ["7", "kent", "bread", "x"]
        assert not example.predicted.has_annotation("TAG")
    docs = [make_reference(NLP, one) for one in read_tagged(tmp_path / "x.txt")]
    DocBin(["ORTH", "TAG"], docs=docs).to_disk(tmp_path / "x.spacy")
    _, again = Corpus(tmp_path / "x.spacy")(NLP)
    assert [token.tag_ for token in again.reference] == EXPECTED[1][1]
    assert [token.norm_ for token in again.predicted] == ["7", "kent", "bread", "x"]


def test_the_config_finds_the_reader_and_checks_its_arguments(tmp_path):
    content = "".join(f"<title> w{number} </title> <date> x </date>\n" for number in range(60))
    settings = {"@readers": "goemotions.TaggedWords.v1", "path": str(save(tmp_path, content))}

    def texts(**changes) -> list[str]:
        reader = registry.resolve({"reader": settings | changes})["reader"]
        return [example.text for example in reader(NLP)]

    assert len(texts()) == 60 and texts(limit=2) == ["w0 x", "w1 x"]
    for options, arguments in [
        ({}, {}),
        ({"seed": 4}, {"seed": 4}),
        ({"dev_share": 0.3, "test_share": 0.4}, {"dev": 0.3, "test": 0.4}),
        ({"folds": 4, "fold": 1}, {"folds": 4, "fold": 1}),
        ({"together": "date", "folds": 3, "fold": 2}, {"together": "date", "folds": 3, "fold": 2}),
    ]:
        for split in ("train", "dev", "test"):
            splitting = Splitting(**arguments)
            expected = [one.text for one in MANY[:60] if splitting.split_of(one) == split]
            if expected:
                assert texts(split=split, **options) == expected
                assert texts(split=split, limit=1, **options) == expected[:1]
            else:
                with pytest.raises(ValueError, match=f"no texts for {split}. Expected at least"):
                    texts(split=split, **options)
    reader = registry.resolve({"reader": settings | {"ignored": "date", "limit": 1}})["reader"]
    assert [[t.tag_ for t in example.y] for example in reader(NLP)] == [["title", ""]]
    with pytest.raises(ValueError, match=r"limit -1\. Expected 0 or more"):
        texts(limit=-1)
    with pytest.raises(ValueError, match="folds 2, fold 0"):
        texts(folds=2)
    with pytest.raises(ValueError, match=r"'trian' is not typing\.Literal"):
        texts(split="trian")


def test_a_label_to_keep_together_that_no_word_has_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("<a> x </a> <b> y </b>\n")
    reader = create_tagged_words_reader(tmp_path / "x.txt", together="c")
    with pytest.raises(ValueError, match=r"x\.txt: no word is 'c'\. Expected one of a, b\."):
        list(reader(spacy.blank("en")))
