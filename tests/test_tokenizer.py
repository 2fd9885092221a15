"""The tokenizer that keeps placeholders whole."""

import pytest
import spacy

from plugins.tokenizer import create_tokenizer
from tests.conftest import TOKENIZER


@pytest.mark.parametrize(
    "text",
    [
        "[NAME]",
        "hi [NAME]!!!",
        "([NAME]'s",
        "-[NAME]",
        "~~[NAME]~~",
        "ex-[RELIGION] people",
        "[RELIGION]=x",
        "[NAME]/[NAME], [NAME]-[NAME]",
        '"[NAME]."',
        "hello[NAME]there",
    ],
)
def test_placeholders_stay_whole_wherever_they_stand(text):
    doc = spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})(text)
    whole = [token.text for token in doc if token.text in ("[NAME]", "[RELIGION]")]
    assert len(whole) == text.count("[")
    assert doc.text == text


def test_text_without_placeholders_is_split_as_spacy_does():
    text = "Don't [sic] me, it's 3km (really)... :) http://example.com/a-b?c=d"
    plain = [token.text for token in spacy.blank("en")(text)]
    assert [token.text for token in create_tokenizer(["[NAME]"])(spacy.blank("en"))(text)] == plain


def test_a_saved_pipeline_splits_as_before(tmp_path):
    spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}}).to_disk(tmp_path / "nlp")
    doc = spacy.load(tmp_path / "nlp")("~[NAME]'s dog")
    assert [token.text for token in doc] == ["~", "[NAME]", "'s", "dog"]


@pytest.mark.parametrize("text", ["", " ", "two words", " [X]"])
def test_placeholders_with_white_space_are_refused(text):
    with pytest.raises(ValueError, match="Expected a string without white space"):
        create_tokenizer([text])
