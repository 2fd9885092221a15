"""A part of a reader's examples: which ones, the same each time, as few as batches need."""

import random
from functools import partial
from itertools import repeat

import pytest
import spacy
from spacy.training import Example
from spacy.util import registry

from plugins.part import create_part

BATCHERS = {
    "four": {"@batchers": "spacy.batch_by_sequence.v1", "size": 4},
    "words": {
        "@batchers": "spacy.batch_by_words.v1",
        "size": 9,
        "discard_oversize": False,
        "tolerance": 0.2,
    },
    "padded": {
        "@batchers": "spacy.batch_by_padded.v1",
        "size": 12,
        "buffer": 10,
        "discard_oversize": False,
    },
}


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def reader_of(count: int, calls: list | None = None, shuffle: bool = False):
    """Return a reader of texts of one to three words; it may bring them in any order."""

    def read(nlp):
        if calls is not None:
            calls.append(nlp)
        numbers = list(range(count))
        if shuffle:
            random.shuffle(numbers)
        for number in numbers:
            doc = nlp.make_doc(" ".join([f"w{number}"] * (1 + number % 3)))
            yield Example(doc, doc.copy())

    return read


def numbers_of(part, nlp) -> list[int]:
    return [int(example.reference[0].text[1:]) for example in part(nlp)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, list(range(10))),
        ({"limit": 3}, [0, 1, 2]),
        ({"limit": 30}, list(range(10))),
        ({"fraction": 0.3}, [0, 4, 7]),
        ({"fraction": 0.01}, [0]),
        ({"fraction": 0.5, "limit": 2}, [0, 2]),
    ],
)
def test_the_examples_are_taken_evenly_and_from_the_first_on(settings, expected, nlp):
    assert numbers_of(create_part(reader_of(10), **settings), nlp) == expected


def test_a_percent_of_a_thousand_is_ten_that_are_as_far_apart(nlp):
    found = numbers_of(create_part(reader_of(1000), fraction=0.01), nlp)
    assert found == [0, *range(100, 1000, 100)]


@pytest.mark.parametrize(
    ("name", "batches", "expected"), [("four", 3, 12), ("four", 1, 4), ("words", 3, 14)]
)
def test_so_many_are_taken_that_they_are_so_many_batches(name, batches, expected, nlp):
    batcher = registry.resolve({"batcher": BATCHERS[name]})["batcher"]
    part = create_part(reader_of(100), batches=batches, batcher=batcher)
    assert numbers_of(part, nlp) == list(range(expected))
    assert len(list(batcher(list(part(nlp))))) == batches


@pytest.mark.parametrize("name", BATCHERS)
def test_one_more_example_would_be_one_more_batch(name, nlp):
    batcher = registry.resolve({"batcher": BATCHERS[name]})["batcher"]
    found = list(create_part(reader_of(100), batches=3, batcher=batcher)(nlp))
    more = list(create_part(reader_of(100), limit=len(found) + 1)(nlp))
    assert len(list(batcher(found))) == 3 < len(list(batcher(more)))


def test_a_batcher_that_shuffles_its_batches_takes_the_first_examples_too(nlp):
    def shuffling(examples):
        batches = [examples[start : start + 4] for start in range(0, len(examples), 4)]
        random.shuffle(batches)
        return batches

    part = create_part(reader_of(30), batches=2, batcher=shuffling)
    assert numbers_of(part, nlp) == list(range(8))


def test_fewer_examples_than_batches_need_are_all_taken(nlp):
    batcher = registry.resolve({"batcher": BATCHERS["four"]})["batcher"]
    assert numbers_of(create_part(reader_of(5), batches=3, batcher=batcher), nlp) == [*range(5)]
    assert numbers_of(create_part(reader_of(0), batches=3, batcher=batcher), nlp) == []


def test_little_more_is_read_of_a_stream_than_the_batches_need(nlp):
    read = []

    def endless(nlp):
        for doc in repeat(nlp.make_doc("a")):
            read.append(doc)
            yield Example(doc, doc.copy())

    batcher = registry.resolve({"batcher": BATCHERS["four"]})["batcher"]
    part = create_part(endless, batches=3, batcher=batcher)
    assert len(list(part(nlp))) == 12 and len(read) <= 2 * 12
    assert len(list(create_part(endless, limit=5)(nlp))) == 5


def test_each_pass_has_the_same_examples_though_the_reader_shuffles(nlp):
    calls: list = []
    part = create_part(reader_of(50, calls, shuffle=True), limit=5)
    first = list(part(nlp))
    assert list(part(nlp)) == first and calls == [nlp]
    assert all(one is other for one, other in zip(first, part(nlp), strict=True))


def test_another_pipeline_gets_docs_of_its_own(nlp):
    other, calls = spacy.blank("en"), []
    part = create_part(reader_of(50, calls), limit=2)
    vocabs = [next(iter(part(one))).reference.vocab for one in (nlp, other, nlp)]
    assert vocabs == [nlp.vocab, other.vocab, nlp.vocab] and len(calls) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fraction": 0.0}, "fraction 0.0, limit 0, batches 0. Expected above 0 and up to 1"),
        ({"fraction": 1.5}, "fraction 1.5"),
        ({"limit": -1}, "limit -1"),
        ({"batches": -1, "batcher": list}, "batches -1"),
        ({"batches": 3}, "batches or batcher alone. Expected both"),
        ({"batcher": list}, "batches or batcher alone"),
    ],
)
def test_settings_that_take_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        partial(create_part, reader_of(3))(**settings)
