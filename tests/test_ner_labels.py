"""The shared file of labels, as spaCy's own entity recogniser takes it."""

import pytest
import spacy
import srsly
from spacy.tokens import Span
from spacy.training import Example

from plugins.ner_labels import read_ner_labels


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "labels.json"
    srsly.write_json(path, ["LOC", "PER"])
    return path


def example(nlp, label):
    reference = nlp.make_doc("Anna called")
    reference.set_ents([Span(reference, 0, 1, label)])
    return Example(nlp.make_doc("Anna called"), reference)


def test_labels_are_the_moves_that_ner_makes_of_data_with_them(path):
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner")
    examples = [example(nlp, label) for label in ("LOC", "PER")]
    ner.initialize(lambda: examples, nlp=nlp)
    from_data = {move: set(labels) for move, labels in ner.label_data.items() if labels}
    assert {move: set(labels) for move, labels in read_ner_labels(path).items()} == from_data
    assert set(read_ner_labels(path)[1]) == {"LOC", "PER"}


def test_ner_initialized_by_the_file_has_its_labels_and_learns_one(path):
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner")
    reader = {"@readers": "goemotions.NerLabels.v1", "path": str(path)}
    nlp.config["initialize"]["components"] = {"ner": {"labels": reader}}
    examples = [example(nlp, "PER")]
    sgd = nlp.initialize(lambda: examples)
    assert set(ner.labels) == {"LOC", "PER"}
    for _ in range(20):
        nlp.update(examples, sgd=sgd)
    assert [(span.text, span.label_) for span in nlp("Anna called").ents] == [("Anna", "PER")]


@pytest.mark.parametrize("content", [[], {"ner": ["A"]}, ["A", 1], "A"])
def test_a_file_without_a_list_of_labels_is_named(tmp_path, content):
    srsly.write_json(tmp_path / "labels.json", content)
    with pytest.raises(ValueError, match=r"labels\.json: .*Expected a list of labels"):
        read_ner_labels(tmp_path / "labels.json")
