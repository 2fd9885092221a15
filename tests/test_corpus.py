"""Texts and labels of a corpus come back in their order."""

import pytest
import spacy
from spacy.tokens import DocBin

from scripts.corpus import read_corpus, read_splits


def test_a_missing_corpus_is_named(tmp_path):
    with pytest.raises(ValueError, match="no such corpus"):
        read_corpus(tmp_path / "train.spacy")


def test_the_parts_of_a_folder_are_read_in_the_order_of_their_names(tmp_path):
    nlp = spacy.blank("en")
    for name, text in (("00001", "second one"), ("00000", "first one")):
        doc = nlp.make_doc(text)
        doc.cats = {"joy": float(name == "00000")}
        (tmp_path / "train.spacy").mkdir(exist_ok=True)
        DocBin(docs=[doc]).to_disk(tmp_path / "train.spacy" / f"{name}.spacy")
    texts, cats = read_corpus(tmp_path / "train.spacy")
    assert texts == ["first one", "second one"]
    assert cats == [{"joy": 1.0}, {"joy": 0.0}]


def test_a_doc_with_other_labels_and_an_empty_split_are_named(tmp_path):
    nlp = spacy.blank("en")
    docs = [nlp.make_doc("one"), nlp.make_doc("two")]
    docs[0].cats, docs[1].cats = {"joy": 1.0}, {"joy": 1.0, "fear": 0.0}
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    with pytest.raises(ValueError, match=r"dev\.spacy, doc 1: labels \['joy', 'fear'\]"):
        read_splits(tmp_path)
    DocBin(docs=[]).to_disk(tmp_path / "dev.spacy")
    with pytest.raises(ValueError, match=r"dev\.spacy: no docs"):
        read_splits(tmp_path)
