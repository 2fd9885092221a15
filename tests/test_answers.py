"""Rows have what the components wrote into the docs, whatever that is."""

import numpy
import pytest
import spacy
from spacy.tokens import Span

from scripts.answers import iob_of, read_entities, read_pairs, read_tokens
from tests.small_tasks import TARGET, TEXT, make_entities, make_pairs, make_tokens

ADA = {"start": 0, "end": 8, "label": "PERSON", "text": "Ada Kent"}
KENT = {"start": 4, "end": 8, "label": "PLACE", "text": "Kent"}
OSLO = {"start": 16, "end": 20, "label": "PLACE", "text": "Oslo"}
TOKENS = ["Ada", "Kent", "ran", "to", "Oslo", "."]


def say(nlp, name: str, found: list) -> None:
    """Let a component find this in every doc."""
    nlp.get_pipe(name).predict = lambda docs: [found for _ in docs]


def test_entities_have_places_in_characters_tags_and_confidence():
    nlp = make_entities()
    say(nlp, "ner_crf", [(0, 2, 0, 0.912345678), (4, 5, 1, 0.5)])
    assert read_entities(nlp, nlp(TEXT)) == {
        "entities": [{**ADA, "confidence": 0.91235}, {**OSLO, "confidence": 0.5}],
        "tagged_text": "<PERSON>Ada Kent</PERSON> ran to <PLACE>Oslo</PLACE>.",
        "tokens": TOKENS,
        "tags": ["B-PERSON", "I-PERSON", "O", "O", "B-PLACE", "O"],
    }


@pytest.mark.parametrize(
    ("set_ents", "first"), [(True, ["O", "B-PLACE"]), (False, ["B-PERSON", "I-PERSON"])]
)
def test_entities_in_a_group_of_spans_may_be_nested_and_tags_are_of_one_of_them(set_ents, first):
    nlp = make_entities(spans_key="all", set_ents=set_ents)
    say(nlp, "ner_crf", [(0, 2, 0, 0.7), (1, 2, 1, 0.9)])  # doc.ents takes the likeliest
    row = read_entities(nlp, nlp(TEXT))
    assert row["entities"] == [{**ADA, "confidence": 0.7}, {**KENT, "confidence": 0.9}]
    assert row["tagged_text"] == "<PERSON>Ada <PLACE>Kent</PLACE></PERSON> ran to Oslo."
    assert row["tags"] == [*first, "O", "O", "O", "O"]


def test_entities_without_confidence_have_none():
    nlp = spacy.blank("en")
    nlp.add_pipe("ner").add_label("PLACE")
    nlp.initialize()
    doc = nlp.make_doc(TEXT)
    doc.ents = [Span(doc, 4, 5, "PLACE")]
    assert read_entities(nlp, doc)["entities"] == [OSLO]


def test_neighbours_of_one_label_are_two_entities():
    doc = spacy.blank("en")("a b c")
    spans = [Span(doc, 0, 1, "X"), Span(doc, 1, 3, "X")]
    assert iob_of(doc, spans) == ["B-X", "B-X", "I-X"]


def test_words_have_a_tag_each_and_white_space_has_none():
    nlp = make_tokens()
    labels = nlp.get_pipe("token_classifier").labels
    numbers = [labels.index(label) for label in ("who", "who", "who", "does", "where")]
    say(nlp, "token_classifier", numpy.array(numbers))
    row = read_tokens(nlp, nlp("Ada  Kent ran Oslo"))
    assert row == {
        "tagged_text": "<who>Ada  Kent</who> <does>ran</does> <where>Oslo</where>",
        "tokens": ["Ada", " ", "Kent", "ran", "Oslo"],
        "tags": ["who", "", "who", "does", "where"],
    }


WRITTEN = ["{{PERSON}}", "Ada", "Kent", "{{/PERSON}}", "ran", "to", "{{PLACE}}", "Oslo"]
WRITTEN += ["{{/PLACE}}", "￭."]


def test_a_text_that_was_written_is_the_target():
    nlp = make_pairs()
    say(nlp, "seq2seq", [(WRITTEN, -0.5)])
    assert read_pairs(nlp, nlp(TEXT)) == {"target": TARGET}


def test_tags_that_are_entities_mark_the_text():
    nlp = make_pairs("entities")
    say(nlp, "seq2seq", [(WRITTEN, -0.5)])
    row = read_pairs(nlp, nlp(TEXT))
    assert list(row) == ["target", "entities", "tagged_text", "tokens", "tags"]
    assert (row["target"], row["entities"]) == (TARGET, [ADA, OSLO])
    assert row["tags"] == ["B-PERSON", "I-PERSON", "O", "O", "B-PLACE", "O"]


def test_tags_that_are_labels_are_decisions():
    nlp = make_pairs("labels")
    say(nlp, "seq2seq", [(["{{PLACE}}", "Oslo", "{{/PLACE}}"], -0.5)])
    row = read_pairs(nlp, nlp(TEXT))
    assert list(row) == ["target", "emotions"] and row["emotions"] == ["PLACE"]


@pytest.mark.parametrize(
    ("nlp", "read", "empty"),
    [
        (make_entities, read_entities, {"entities": [], "tagged_text": ""}),
        (make_tokens, read_tokens, {"tagged_text": ""}),
        (make_pairs, read_pairs, {"target": ""}),
    ],
)
def test_an_empty_text_has_nothing(nlp, read, empty):
    nlp = nlp()
    lists = {} if "target" in empty else {"tokens": [], "tags": []}
    assert read(nlp, nlp("")) == {**empty, **lists}
