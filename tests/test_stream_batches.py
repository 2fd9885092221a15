"""Batches without end: their order, their size, what they keep in memory; docs without gold."""

import random
from itertools import islice

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry

from scripts.stream_batches import batcher_of, cleared, shuffle_of, shuffled, stream_batches
from tests.conftest import TOKENIZER

NLP = spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})


def examples_of(lengths: list[int]) -> list[Example]:
    """Return examples of so many tokens each."""
    docs = [Doc(NLP.vocab, words=["w"] * length) for length in lengths]
    return [Example(doc, doc.copy()) for doc in docs]


def made(said: str):
    """Return the batcher that --batch stands for."""
    return registry.resolve({"training": {"batcher": batcher_of(said)}})["training"]["batcher"]


def numbers(size: int):
    """Return a corpus of numbers that notes how far it was read, and how often."""
    read = []

    def begin():
        read.append(0)
        for number in range(size):
            read[-1] = number + 1
            yield number

    return begin, read


def pairs(examples):
    stream = iter(examples)
    while batch := list(islice(stream, 2)):
        yield batch


def test_the_tokens_of_a_batch_are_at_most_so_many():
    lengths = [random.Random(0).randrange(0, 9) for _ in range(200)]
    batches = [[len(one) for one in batch] for batch in made("20 tokens")(examples_of(lengths))]
    sums = [sum(batch) for batch in batches]
    assert [length for batch in batches for length in batch] == lengths
    assert max(sums) <= 20
    for one, following in zip(sums, batches[1:], strict=False):
        assert one + following[0] > 20  # or it would have had room


def test_a_doc_of_more_tokens_is_a_batch_by_itself():
    batches = [[len(one) for one in batch] for batch in made("5 tokens")(examples_of([2, 9, 3, 1]))]
    assert sorted(batches) == [[1], [2, 3], [9]]


def test_docs_are_counted():
    batches = list(made("3 docs")(examples_of([1, 50, 1, 1, 1])))
    assert [len(batch) for batch in batches] == [3, 2]


@pytest.mark.parametrize("said", ["", "0 docs", "32", "4k tokens", "3 words", "-1 docs", "3 docs "])
def test_other_batches_are_refused(said):
    with pytest.raises(ValueError, match=f'--batch "{said}". Expected "4096 tokens"'):
        batcher_of(said)
    assert batcher_of("config") is None


def test_shuffles_are_read():
    assert [shuffle_of(said, 0) for said in ("dataset", "none", "7 docs")] == ["dataset", "none", 7]
    assert [shuffle_of("config", epochs) for epochs in (-1, 0, 3)] == ["none", "dataset", "dataset"]
    for said in ("0 docs", "yes", "100", "docs", "100 tokens"):
        with pytest.raises(ValueError, match=f'--shuffle "{said}". Expected dataset'):
            shuffle_of(said, 0)


def test_blocks_mix_neighbours_only_and_wait_for_no_more():
    random.seed(0)
    begin, read = numbers(250)
    stream = shuffled(begin(), 100)
    first = [next(stream) for _ in range(100)]
    assert read == [100]
    assert sorted(first) == list(range(100)) and first != sorted(first)
    rest = list(stream)
    assert sorted(rest[:100]) == list(range(100, 200)) and rest[:100] != sorted(rest[:100])
    assert sorted(rest[100:]) == list(range(200, 250)) and rest[100:] != sorted(rest[100:])


def test_epochs_follow_each_other_in_new_orders_of_the_same():
    random.seed(0)
    begin, read = numbers(6)
    batches = list(stream_batches(begin, pairs, max_epochs=3, shuffle="dataset"))
    assert [epoch for epoch, _ in batches] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    epochs = [[one for number, batch in batches if number == n for one in batch] for n in range(3)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert read == [6]  # once


@pytest.mark.parametrize(
    ("epochs", "shuffle"), [(-1, "none"), (-1, "dataset"), (0, 4), (0, "none")]
)
def test_what_is_not_held_is_read_in_each_epoch_for_ever(epochs, shuffle):
    begin, read = numbers(6)
    stream = stream_batches(begin, pairs, max_epochs=epochs, shuffle=shuffle)
    found = [next(stream) for _ in range(8)]
    assert [epoch for epoch, _ in found] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert len(read) == 3
    assert sorted(one for epoch, batch in found if epoch == 1 for one in batch) == list(range(6))
    if shuffle == "none":
        assert [batch for _, batch in found[:3]] == [[0, 1], [2, 3], [4, 5]]
        assert read[0] == 6 and read[2] == 4  # no further than needed


@pytest.mark.parametrize(("epochs", "shuffle"), [(-1, "none"), (3, "dataset"), (0, 4)])
def test_an_empty_corpus_is_an_error_and_no_endless_loop(epochs, shuffle):
    stream = stream_batches(numbers(0)[0], pairs, max_epochs=epochs, shuffle=shuffle)
    with pytest.raises(ValueError, match="Epoch 0 of the training corpus has no batch"):
        next(stream)


def annotated(text: str) -> Doc:
    """Return a doc that carries all that there is to predict."""
    doc = NLP(text)
    doc.cats = {"joy": 1.0}
    doc.ents = [Span(doc, 0, 1, label="PERSON")]
    doc.spans["sc"] = [Span(doc, 0, 2, label="X")]
    doc.user_data["gold"] = "joy"
    for token in doc:
        token.tag_, token.pos_, token.lemma_, token.dep_ = "NN", "NOUN", "lemma", "dep"
        token.head = doc[0]
        token.set_morph("Number=Sing")
    return doc


def test_no_gold_is_left_in_what_is_predicted():
    reference = annotated("I don't  know [NAME] ")
    (found,) = cleared([Example(reference, reference)])
    doc = found.predicted
    assert doc is not reference and found.reference is reference
    assert not doc.cats and not doc.ents and not dict(doc.spans) and not doc.user_data
    for attribute in ("TAG", "POS", "LEMMA", "DEP", "MORPH", "ENT_IOB", "SENT_START"):
        assert reference.has_annotation(attribute)
        assert not doc.has_annotation(attribute), attribute
    assert reference.cats == {"joy": 1.0} and len(reference.ents) == 1


def test_words_blanks_and_norms_stay():
    given = NLP.make_doc("I  can't, [NAME]!")
    bare = Doc(NLP.vocab, words=["don", "'t"], spaces=[False, True])
    found = [example.predicted for example in cleared([Example(x, x) for x in (given, bare)])]
    assert [doc.to_bytes() for doc in found] == [given.to_bytes(), bare.to_bytes()]
    assert [token.norm_ for token in found[0]] == [token.norm_ for token in given]
    assert "not" in [token.norm_ for token in found[0]]  # and not n't


def test_a_doc_without_tokens_stays_one():
    empty = NLP.make_doc("")
    (found,) = cleared([Example(empty, empty)])
    assert len(found.predicted) == 0 and found.predicted is not empty


def test_a_component_that_adds_nothing_scores_nothing():
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler")
    reference = annotated("Ann sings")
    leaky = [Example(reference, reference)]
    assert nlp.evaluate(leaky)["ents_f"] == 1.0  # spaCy takes what the reader left
    assert nlp.evaluate(cleared(leaky))["ents_f"] == 0.0


def test_an_empty_dev_corpus_is_an_error():
    with pytest.raises(ValueError, match="The dev corpus is empty"):
        list(cleared([]))
