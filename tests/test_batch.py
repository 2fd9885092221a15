"""The batcher that sorts by wordpieces."""

import random

import pytest
import spacy
from spacy.training import Example
from spacy.util import registry
from transformers import AutoTokenizer

from tests.tiny_transformer import save_tiny_transformer


@pytest.fixture(scope="module")
def name(tmp_path_factory) -> str:
    """Folder of a small transformer."""
    return str(save_tiny_transformer(tmp_path_factory.mktemp("models") / "tiny"))


def make_batcher(name: str, **settings):
    """Resolve the batcher as a config does."""
    block = {"@batchers": "goemotions.batch_by_wordpieces.v1", "name": name, **settings}
    return registry.resolve({"batcher": block})["batcher"]


def make_examples(count: int) -> list[Example]:
    """Return examples of 1 to 7 words, as many wordpieces as `h a h a …` has letters."""
    nlp = spacy.blank("en")
    docs = [nlp.make_doc("love " * (1 + i * 5 % 7)) for i in range(count)]
    return [Example(doc, doc) for doc in docs]


def test_every_example_comes_once_in_batches_of_the_size(name):
    examples = make_examples(50)
    batches = list(make_batcher(name, size=8, buffer=50)(examples))
    assert sorted(len(batch) for batch in batches) == [2, 8, 8, 8, 8, 8, 8]
    assert sorted(id(e) for batch in batches for e in batch) == sorted(id(e) for e in examples)


def test_batches_hold_neighbours_in_length(name):
    tokenizer = AutoTokenizer.from_pretrained(name)
    (batches,) = [list(make_batcher(name, size=7, buffer=49)(make_examples(49)))]
    lengths = [[len(tokenizer(e.reference.text)["input_ids"]) for e in batch] for batch in batches]
    assert all(len(set(batch)) == 1 for batch in lengths)  # 7 examples of each of 7 lengths
    assert sorted(batch[0] for batch in lengths) == [3, 4, 5, 6, 7, 8, 9]


def test_only_the_buffer_is_read_ahead(name):
    read = []

    def stream():
        for example in make_examples(40):
            read.append(example)
            yield example

    batches = make_batcher(name, size=4, buffer=12)(stream())
    next(batches)
    assert len(read) == 12


def test_the_order_of_the_batches_follows_the_seed(name):
    batcher, examples = make_batcher(name, size=4, buffer=64), make_examples(64)
    orders = []
    for seed in (0, 0, 1):
        random.seed(seed)
        orders.append([examples.index(e) for batch in batcher(examples) for e in batch])
    assert orders[0] == orders[1] != orders[2]
    sorted_by_length = sorted(range(64), key=lambda i: len(examples[i].reference))
    assert orders[0] != sorted_by_length


@pytest.mark.parametrize(("size", "buffer"), [(0, 10), (-1, 10), (11, 10)])
def test_sizes_without_meaning_are_refused(name, size, buffer):
    with pytest.raises(ValueError, match=f"size {size}, buffer {buffer}"):
        make_batcher(name, size=size, buffer=buffer)


def test_a_tokenizer_that_is_not_there_is_named(tmp_path):
    batcher = make_batcher(str(tmp_path / "nope"), size=2)
    with pytest.raises(ValueError, match=r"tokenizer '.*nope' cannot be loaded"):
        next(batcher(make_examples(3)))
