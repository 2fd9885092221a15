"""The reader that joins posts with soft labels and raw texts."""

import gzip
import json
from pathlib import Path

import numpy
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.tokens import DocBin
from spacy.training import Corpus

from plugins.soft_labels import create_soft_labels
from tests.conftest import LABELS, ROWS, make_examples

TEXTS = [text for text, _ in ROWS]
RAW = [f"raw text {number}" for number in range(5)]


def soft_of(number: int) -> dict[str, float]:
    return {label: round(0.1 * place + 0.01 * number, 2) for place, label in enumerate(LABELS)}


def lines_of(texts: list[str]) -> list[str]:
    return [json.dumps({"text": text, "soft": soft_of(n)}) for n, text in enumerate(texts)]


def write(path: Path, lines: list[str]) -> Path:
    data = "".join(line + "\n" for line in lines).encode("utf8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    path = tmp_path_factory.mktemp("corpus") / "train.spacy"
    nlp = spacy.blank("en")
    DocBin(docs=[example.reference for example in make_examples(nlp)]).to_disk(path)
    return Corpus(path)


def read(corpus, path: Path, passes: int = 1, **settings) -> list[list]:
    """Return the examples of some passes."""
    reader, nlp = create_soft_labels(corpus, path, **settings), spacy.blank("en")
    return [list(reader(nlp)) for _ in range(passes)]


@pytest.mark.parametrize("name", ["soft.jsonl", "soft.jsonl.gz"])
def test_every_post_and_every_raw_text_has_its_soft_labels(corpus, tmp_path, name):
    path = write(tmp_path / name, lines_of([*TEXTS, *RAW]))
    (examples,) = read(corpus, path)
    assert sorted(example.text for example in examples) == sorted([*TEXTS, *RAW])
    for example in examples:
        labels, values = example.reference.user_data["soft_labels"]
        number = [*TEXTS, *RAW].index(example.text)
        assert labels == tuple(LABELS) and values.dtype == numpy.float32
        assert_allclose(values, list(soft_of(number).values()), rtol=1e-6)
        on = dict(ROWS).get(example.text)
        assert example.reference.cats == ({} if on is None else {x: x in on for x in LABELS})
        assert not example.predicted.cats and not example.predicted.user_data


def test_the_order_is_another_in_each_pass_and_the_same_for_a_seed(corpus, tmp_path):
    path = write(tmp_path / "soft.jsonl", lines_of([*TEXTS, *RAW]))
    orders = []
    for _ in range(2):
        spacy.util.fix_random_seed(3)
        orders.append([[x.text for x in found] for found in read(corpus, path, passes=2)])
    assert orders[0] == orders[1] and orders[0][0] != orders[0][1]
    assert sorted(orders[0][0]) == sorted(orders[0][1])


@pytest.mark.parametrize(("limit", "expected"), [(None, 5), (0, 0), (2, 2), (9, 5)])
def test_raw_limit_takes_the_first_raw_texts(corpus, tmp_path, limit, expected):
    path = write(tmp_path / "soft.jsonl", lines_of([*RAW[:3], *TEXTS, *RAW[3:]]))
    (examples,) = read(corpus, path, raw_limit=limit)
    raw = sorted(example.text for example in examples if example.text in RAW)
    assert raw == RAW[:expected] and len(examples) == len(TEXTS) + expected


def test_long_raw_texts_are_left_out_before_the_limit_and_long_posts_are_not(corpus, tmp_path):
    long = "a" * 300
    path = write(tmp_path / "soft.jsonl", lines_of([*TEXTS, long + "b", long, *RAW]))
    (examples,) = read(corpus, path, raw_limit=2, raw_max_chars=300)
    assert [x.text for x in examples if x.text not in TEXTS] in ([long, RAW[0]], [RAW[0], long])
    (examples,) = read(corpus, path, raw_max_chars=1)
    assert sorted(x.text for x in examples) == sorted(TEXTS)


def test_raw_per_epoch_goes_on_where_the_pass_before_ended(corpus, tmp_path):
    path = write(tmp_path / "soft.jsonl", lines_of([*TEXTS, *RAW]))
    passes = read(corpus, path, passes=5, raw_per_epoch=2)
    raw = [{x.text for x in found if x.text in RAW} for found in passes]
    shares = [(0, 1), (2, 3), (4, 0), (1, 2), (3, 4)]
    assert raw == [{RAW[one], RAW[two]} for one, two in shares]
    assert {len(found) for found in passes} == {len(TEXTS) + 2}
    (none,) = read(corpus, path, raw_per_epoch=0)
    assert sorted(x.text for x in none) == sorted(TEXTS)
    (all_,) = read(corpus, path, raw_per_epoch=9)
    assert len(all_) == len(TEXTS) + 5


def test_another_pipeline_gets_docs_of_its_own_vocabulary(corpus, tmp_path):
    path = write(tmp_path / "soft.jsonl", lines_of([*TEXTS, *RAW]))
    reader, pipelines = create_soft_labels(corpus, path), [spacy.blank("en") for _ in range(2)]
    for nlp in pipelines:
        examples = list(reader(nlp))
        assert len(examples) == len(TEXTS) + len(RAW)
        assert all(x.predicted.vocab is x.reference.vocab is nlp.vocab for x in examples)


@pytest.mark.parametrize("name", ["raw_limit", "raw_per_epoch"])
def test_a_negative_number_is_refused(corpus, name):
    with pytest.raises(ValueError, match=rf"{name} -1\. Expected 0 or more, or null"):
        create_soft_labels(corpus, Path("x.jsonl"), **{name: -1})


def test_a_post_without_soft_labels_is_named(corpus, tmp_path):
    path = write(tmp_path / "soft.jsonl", lines_of([*TEXTS[:2], *TEXTS[3:]]))
    expected = r"soft\.jsonl: no soft labels for post 3, 'The shop opens at nine'\. Expected them"
    reader, nlp = create_soft_labels(corpus, path), spacy.blank("en")
    for _ in range(2):  # the second time, too
        with pytest.raises(ValueError, match=expected):
            list(reader(nlp))


LINE = '{"text": "x", "soft": %s}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"soft\.jsonl, line 2: \{\. Expected \{\"text\": \"\.\.\.\", \"soft\""),
        ('["x"]', r"line 2: \[\"x\"\]\. Expected"),
        ('{"text": "x"}', r"line 2: .*Expected \{\"text\""),
        (LINE % "[0.1]", r"line 2: .*Expected \{\"text\""),
        (LINE % '{"joy": "high"}', r"line 2: .*Expected \{\"text\""),
        (LINE % '{"joy": 1}', r"line 2: labels \['joy'\]\. Expected \['joy', 'anger', 'neutral'\]"),
        (LINE % '{"anger": 0, "joy": 0, "neutral": 0}', r"line 2: labels \['anger', 'joy'"),
        (LINE % '{"joy": 1.5, "anger": 0, "neutral": 0}', r"line 2: soft .*1\.5.*from 0 to 1"),
        (LINE % '{"joy": NaN, "anger": 0, "neutral": 0}', r"line 2: soft .*nan.*from 0 to 1"),
        (LINE % '{"joy": "0.5", "anger": 0, "neutral": 0}', r"line 2: .*Expected \{\"text\""),
        (LINE % '{"joy": true, "anger": 0, "neutral": 0}', r"line 2: .*Expected \{\"text\""),
        (LINE % '{"joy": [0.5], "anger": [0], "neutral": [0]}', r"line 2: .*Expected \{\"text\""),
        (json.dumps({"text": " ", "soft": soft_of(0)}), r"line 2: text ' '\. Expected a text"),
        (json.dumps({"text": 7, "soft": soft_of(0)}), r"line 2: text 7\. Expected a text"),
        (lines_of(TEXTS)[0], r"line 2: text 'What a lovely.*Expected a text, each once"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(corpus, tmp_path, line, message):
    path = write(tmp_path / "soft.jsonl", [lines_of(TEXTS)[0], line])
    with pytest.raises(ValueError, match=message):
        read(corpus, path)


def test_labels_without_a_name_or_rows_are_refused(corpus, tmp_path):
    path = write(tmp_path / "soft.jsonl", [LINE % "{}"])
    with pytest.raises(ValueError, match=r"line 1: no labels\. Expected a number for each"):
        read(corpus, path)
    with pytest.raises(ValueError, match=r"soft\.jsonl: no rows\. Expected at least one"):
        read(corpus, write(path, []))


def test_files_that_cannot_be_read_are_named(corpus, tmp_path):
    for path in (tmp_path / "none.jsonl", write(tmp_path / "soft.csv", ["text,soft"])):
        with pytest.raises(ValueError, match=rf"{path.name}: no such soft labels\. Expected a \."):
            read(corpus, path)
    path = write(tmp_path / "soft.jsonl", lines_of(TEXTS))
    path.write_bytes(path.read_bytes().replace(b"lovely", b"lov\xe9ly"))
    with pytest.raises(ValueError, match=r"soft\.jsonl, line 1: .*Expected UTF-8"):
        read(corpus, path)
    packed = write(tmp_path / "soft.jsonl.gz", lines_of(TEXTS))
    whole = packed.read_bytes()
    for damaged in (whole[:-20], whole[:30], b"no gzip at all", whole[:40] + b"0000" + whole[44:]):
        packed.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"soft\.jsonl\.gz, line \d+: .*Expected a whole gzip"):
            read(corpus, packed)
