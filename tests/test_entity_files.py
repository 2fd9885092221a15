"""CoNLL columns and Prodigy's JSONL are read exactly, or refused by file and line."""

import gzip
import json
from pathlib import Path

import pytest
import spacy
from spacy.util import registry

from plugins.entity_files import (
    create_conll_reader,
    create_prodigy_reader,
    read_conll,
    read_prodigy,
)

NLP = spacy.blank("en")


def conll(tmp_path: Path, content: str | bytes, **options) -> list:
    path = tmp_path / "train.conll"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
    return list(read_conll(path, NLP, **options))


def prodigy(tmp_path: Path, *rows, **options) -> list:
    path = tmp_path / "train.jsonl"
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf8")
    return list(read_prodigy(path, NLP, **options))


def ents(doc) -> list[tuple[str, str]]:
    return [(ent.text, ent.label_) for ent in doc.ents]


WORDS = ["Ann", "Lee", "met", "Bo", "Li", "Ray", "in", "Oslo"]
SCHEMES = {
    "BIO": "B-P I-P O B-P I-P B-P O B-L",
    "BIOES": "B-P E-P O B-P E-P S-P O S-L",
    "BILUO": "B-P L-P O B-P L-P U-P O U-L",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_tags_of_each_scheme_give_the_same_entities(tmp_path, scheme):
    tags = SCHEMES[scheme].split()
    (doc,) = conll(tmp_path, "".join(f"{w}\t{t}\n" for w, t in zip(WORDS, tags, strict=True)))
    assert doc.text == "Ann Lee met Bo Li Ray in Oslo"
    assert ents(doc) == [("Ann Lee", "P"), ("Bo Li", "P"), ("Ray", "P"), ("Oslo", "L")]
    assert [(s.text, s.label_) for s in doc.spans["entities"]] == ents(doc)


def test_the_oldest_iob_begins_with_i_and_is_repaired_when_asked(tmp_path):
    tags = ["I-P", "I-P", "O", "I-P", "I-P", "B-P", "O", "I-L"]
    rows = "".join(f"{w}\t{t}\n" for w, t in zip(WORDS, tags, strict=True))
    with pytest.raises(ValueError, match=r"train\.conll, line 1: tag 'I-P' after no entity"):
        conll(tmp_path, rows)
    said = []
    (doc,) = conll(tmp_path, rows, bad_tags="repair", report=lambda *told: said.append(told))
    assert ents(doc) == [("Ann Lee", "P"), ("Bo Li", "P"), ("Ray", "P"), ("Oslo", "L")]
    where = f"{tmp_path / 'train.conll'}, line "
    expected = [f"{where}{n}: {tag!r} begins an entity" for n, tag in enumerate(tags, 1)]
    assert [told for _, told in said] == [expected[0], expected[3], expected[7]]


def test_a_tag_of_another_label_cannot_follow(tmp_path):
    rows = "Ann B-P\nLee I-L\n"
    with pytest.raises(ValueError, match=r"line 2: tag 'I-L' after 'P'\. Expected B-L before it"):
        conll(tmp_path, rows)
    (doc,) = conll(tmp_path, rows, bad_tags="repair")
    assert ents(doc) == [("Ann", "P"), ("Lee", "L")]


def test_nothing_follows_the_end_of_an_entity(tmp_path):
    with pytest.raises(ValueError, match=r"line 3: tag 'I-P' after no entity"):
        conll(tmp_path, "Ann B-P\nLee E-P\nRay I-P\n")


def test_sentences_end_at_blank_lines_even_with_stray_tabs(tmp_path):
    docs = conll(tmp_path, "\ufeffa\tO\r\n\t\r\nb\tB-X\t\r\n \n\n\nc\tO")
    assert [doc.text for doc in docs] == ["a", "b", "c"]
    assert [ents(doc) for doc in docs] == [[], [("b", "X")], []]
    assert docs[0][0].ent_iob_ == "O" and len(docs[0].spans["entities"]) == 0


def test_comments_are_skipped_but_a_hash_is_a_token(tmp_path):
    rows = "-DOCSTART- -X- O O\n\n# id = 3\n# O\n#tag O\n# newdoc\n\n#\tB-X\n"
    docs = conll(tmp_path, rows)
    assert [doc.text for doc in docs] == ["# #tag", "#"]
    assert ents(docs[1]) == [("#", "X")]


def test_tokens_stay_as_they_are_in_the_file_with_blanks_between_them(tmp_path):
    (doc,) = conll(tmp_path, "don't\tO\nU.S.A.)\tB-X\n😀!\tI-X\n")
    assert [token.text_with_ws for token in doc] == ["don't ", "U.S.A.) ", "😀!"]


def test_columns_are_counted_from_either_end(tmp_path):
    (doc,) = conll(tmp_path, "1 Ann B-P x\n2 ran O y\n", token_column=1, tag_column=-2)
    assert doc.text == "Ann ran" and ents(doc) == [("Ann", "P")]


BAD_CONLL = {
    "too few columns": ("a O\nb\n", {}, r", line 2: 1 columns\. Expected"),
    "no such column": (
        "a O\n",
        {"tag_column": 3},
        r", line 1: 2 columns\. Expected one numbered 3",
    ),
    "unknown prefix": ("a O\nb X-P\n", {}, r", line 2: tag 'X-P'\. Expected O, or B-"),
    "no label": ("a B-\n", {}, r", line 1: tag 'B-'"),
    "empty token": ("\tO\tO\n", {}, ", line 1: an empty token"),
    "no tokens": ("# nothing\n", {}, ": no tokens. Expected a token and its tag"),
    "not UTF-8": (b"a O\n\xe9 O\n", {}, ", line 2: .*Expected UTF-8"),
}


@pytest.mark.parametrize("name", BAD_CONLL)
def test_malformed_columns_are_refused_by_file_and_line(tmp_path, name):
    content, options, message = BAD_CONLL[name]
    with pytest.raises(ValueError, match=r"train\.conll" + message):
        conll(tmp_path, content, **options)


ROW = {"text": "Ann Lee met Bo", "spans": [{"start": 0, "end": 7, "label": "P"}]}


def test_spans_answers_and_rows_without_spans_are_read(tmp_path):
    said = []
    rows = [ROW, {**ROW, "answer": "reject"}, {**ROW, "answer": "accept", "spans": None},
            {"text": "x", "answer": "ignore"}, "", {"text": "Bo"}]  # fmt: skip
    docs = prodigy(tmp_path, *rows, report=lambda *told: said.append(told))
    assert [(doc.text, ents(doc)) for doc in docs] == [
        ("Ann Lee met Bo", [("Ann Lee", "P")]),
        ("Ann Lee met Bo", []),
        ("Bo", []),
    ]
    assert {token.ent_iob_ for token in docs[2]} == {"O"} and "entities" in docs[2].spans
    where = f"{tmp_path / 'train.jsonl'}, line "
    assert said == [
        ("answer", f"{where}2: answer 'reject', left out"),
        ("answer", f"{where}4: answer 'ignore', left out"),
    ]


def test_overlapping_spans_stay_in_the_group_and_the_longest_is_an_ent(tmp_path):
    spans = [{"start": 0, "end": 3, "label": "F"}, {"start": 0, "end": 7, "label": "P"}]
    (doc,) = prodigy(tmp_path, {**ROW, "spans": spans}, spans_key="all")
    assert [span.label_ for span in doc.spans["all"]] == ["F", "P"] and ents(doc)[0][1] == "P"
    (doc,) = prodigy(tmp_path, ROW, spans_key=None)
    assert not doc.spans and ents(doc) == [("Ann Lee", "P")]


def test_the_tokens_of_the_file_are_taken_when_asked(tmp_path):
    row = {"text": "don't go", "spans": [{"start": 0, "end": 5, "label": "X"}]}
    (doc,) = prodigy(tmp_path, {**row, "tokens": ["don't", "go"]}, use_tokens=True)
    assert [token.text for token in doc] == ["don't", "go"] and ents(doc) == [("don't", "X")]
    tokens = [{"text": "don", "start": 0}, {"text": "'t"}, {"text": "go"}]
    (doc,) = prodigy(tmp_path, {**row, "tokens": tokens}, use_tokens=True)
    assert [token.text for token in doc] == ["don", "'t", "go"] and doc.text == "don't go"
    (doc,) = prodigy(tmp_path, {**row, "tokens": ["don't", "go"]})
    assert [token.text for token in doc] == ["do", "n't", "go"]


def test_spans_that_are_not_whole_tokens_are_refused_widened_or_left_out(tmp_path):
    row = {"text": "Ann Leeward", "spans": [{"start": 0, "end": 7, "label": "P"}]}
    with pytest.raises(ValueError, match=r"line 1: P 'Ann Lee' at 0 to 7 is not the tokens 'Ann L"):
        prodigy(tmp_path, row)
    said = []
    (doc,) = prodigy(tmp_path, row, misaligned="expand", report=lambda *told: said.append(told))
    assert ents(doc) == [("Ann Leeward", "P")] and said[0][1].endswith("taken instead")
    (doc,) = prodigy(tmp_path, row, misaligned="skip", report=lambda *told: said.append(told))
    assert ents(doc) == [] and said[1][1].endswith("left out")


BAD_ROWS = {
    "no JSON": ("{", r", line 2: no JSON"),
    "no text": ({"spans": []}, ", line 2: .*Expected {.text"),
    "spans": ({"text": "x", "spans": 3}, r", line 2: spans 3\. Expected a list"),
    "span": ({"text": "x", "spans": [{"start": 0}]}, r", line 2: span .*Expected start, end and"),
    "no label": ({"text": "x", "spans": [{"start": 0, "end": 1, "label": ""}]}, ", line 2: span"),
    "bool": ({"text": "x", "spans": [{"start": False, "end": 1, "label": "X"}]}, ", line 2: span"),
    "place": ({"text": "x", "spans": [{"start": 0, "end": 2, "label": "X"}]},
              r", line 2: X at 0 to 2\. Expected a place in 0 to 1"),
    "backwards": ({"text": "xy", "spans": [{"start": 1, "end": 1, "label": "X"}]},
                  ", line 2: X at 1 to 1"),
    "tokens": ({"text": "x", "tokens": ["y"]},
               r", line 2: tokens 'y'\. Expected those of the text"),
    "no tokens": ({"text": "x"}, r", line 2: tokens None\. Expected a list of words"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_malformed_row_is_refused_by_file_and_line(tmp_path, name):
    row, message = BAD_ROWS[name]
    with pytest.raises(ValueError, match=r"train\.jsonl" + message):
        prodigy(tmp_path, {**ROW, "tokens": ROW["text"].split()}, row, use_tokens=True)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"train\.jsonl: no texts\. Expected an object in each"):
        prodigy(tmp_path, "")


def test_packed_files_are_read_and_damaged_ones_refused(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    data = gzip.compress(json.dumps(ROW).encode())
    path.write_bytes(data)
    assert ents(next(read_prodigy(path, NLP))) == [("Ann Lee", "P")]
    path.write_bytes(data[:-9])
    with pytest.raises(ValueError, match=r"a\.jsonl\.gz, line \d: .*Expected a whole gzip"):
        list(read_prodigy(path, NLP))
    (tmp_path / "a.conll.gz").write_bytes(gzip.compress(b"a\tO\n"))
    assert next(read_conll(tmp_path / "a.conll.gz", NLP)).text == "a"


def test_configs_name_the_readers_which_read_twice_up_to_their_limit(tmp_path):
    conll(tmp_path, "don't\tB-X\n\nb\tO\n\nc\tO\n")
    prodigy(tmp_path, ROW, {"text": "b"}, {"text": "c"})
    for name, file in (("Conll", "train.conll"), ("Prodigy", "train.jsonl")):
        block = {"@readers": f"goemotions.{name}.v1", "path": str(tmp_path / file), "limit": 2}
        read = registry.resolve({"reader": block})["reader"]
        for _ in range(2):
            first, second = read(NLP)
            assert len(first.reference.ents) == 1 and len(first.predicted.ents) == 0
            assert second.text == "b"
    assert [token.text for token in first.predicted] == ["Ann", "Lee", "met", "Bo"]
    for create in (create_conll_reader, create_prodigy_reader):
        with pytest.raises(ValueError, match=r"limit -1\. Expected 0 or more"):
            create(tmp_path, limit=-1)
    with pytest.raises(ValueError, match="bad_tags"):
        registry.resolve({"r": {"@readers": "goemotions.Conll.v1", "path": "x", "bad_tags": "x"}})
