"""The tokenizer that cuts at white space alone."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.lang.en import English

from plugins.words import WordTokenizer

TOKENIZER = {"@tokenizers": "goemotions.WordTokenizer.v1"}


def blank() -> English:
    return spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})


def words_of(nlp, text) -> list[str]:
    return [token.text for token in nlp(text) if not token.is_space]


NLP = blank()
TEXT = "(Eds.), don't  pp.\t581--609, http://a.example/b?c=d Grønlie; U.S. :-) p.m."


def test_tokens_keep_their_punctuation():
    assert words_of(NLP, TEXT) == TEXT.split()
    assert len(words_of(spacy.blank("en"), TEXT)) > len(TEXT.split())


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        "a  b",
        "  a",
        "a ",
        "a   ",
        "\ta\t\tb",
        "a\n\n b",
        " \t\n",
        "a\u00a0b",
        "\u2003a",
    ],
)
def test_nothing_of_a_text_is_lost(text):
    doc = NLP(text)
    assert doc.text == text
    assert words_of(NLP, text) == text.split()
    assert all(token.is_space or not any(map(str.isspace, token.text)) for token in doc)


@given(
    st.text(
        alphabet=st.one_of(
            st.sampled_from(" \t\n\r\x0b\x85\u00a0\u2028a.,'-"),
            st.characters(exclude_categories=["Cs"]),
        )
    )
)
def test_any_text_is_kept_and_cut_as_python_does(text):
    assert NLP(text).text == text
    assert words_of(NLP, text) == text.split()


@pytest.mark.parametrize(
    ("word", "norm"),
    [
        ("Science", "science"),
        ("science.", "science"),
        ("(Eds.),", "eds"),
        ("U.S.", "u.s"),
        ("581--609,", "581--609"),
        ("don't", "don't"),
        ("\u201cÜber\u201d", "über"),
        ("_x_", "_x_"),
        ("--", "--"),
        ("&", "&"),
        ("...", "..."),
    ],
)
def test_the_norm_is_in_small_letters_and_without_punctuation_around(word, norm):
    (token,) = NLP(word)
    assert (token.text, token.norm_) == (word, norm)
    assert token.lower_ == word.lower()
    plain, marked = NLP(f"{norm} {word}")
    assert plain.norm == marked.norm


def test_white_space_has_a_norm():
    doc = NLP("a  b")
    assert [token.norm_ for token in doc] == ["a", " ", "b"]


def test_a_saved_pipeline_cuts_as_before(tmp_path):
    NLP.to_disk(tmp_path / "nlp")
    assert not (tmp_path / "nlp" / "tokenizer").exists()
    copies = [spacy.load(tmp_path / "nlp"), blank().from_bytes(NLP.to_bytes())]
    for nlp in copies:
        assert isinstance(nlp.tokenizer, WordTokenizer)
        assert nlp.tokenizer.vocab is nlp.vocab
        assert [(t.text, t.norm_) for t in nlp(TEXT)] == [(t.text, t.norm_) for t in NLP(TEXT)]


def test_two_processes_cut_as_one_does():
    texts = [TEXT, "", " a  (b).", "c"] * 3
    found = [[(t.text, t.norm_) for t in doc] for doc in NLP.pipe(texts, n_process=2, batch_size=5)]
    assert found == [[(t.text, t.norm_) for t in doc] for doc in NLP.pipe(texts)]
    assert found[2] == [(" ", " "), ("a", "a"), (" ", " "), ("(b).", "b")]
