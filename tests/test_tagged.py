"""Marked texts keep every letter, and elements never cross."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.tagged import marked_html, nested, row_html, spans_of_row, spans_of_tags, tagged_text

TEXT = "Ada Kent ran to Oslo."


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([], TEXT),
        ([(0, 8, "P")], "<P>Ada Kent</P> ran to Oslo."),
        ([(16, 21, "L"), (0, 8, "P")], "<P>Ada Kent</P> ran to <L>Oslo.</L>"),
        ([(4, 8, "N"), (0, 8, "P")], "<P>Ada <N>Kent</N></P> ran to Oslo."),
        ([(0, 8, "P"), (0, 8, "Q"), (0, 3, "N")], "<P><Q><N>Ada</N> Kent</Q></P> ran to Oslo."),
        ([(0, 8, "P"), (4, 12, "X"), (9, 12, "V")], "<P>Ada Kent</P> <V>ran</V> to Oslo."),
        ([(0, 3, "A"), (3, 8, "B")], "<A>Ada</A><B> Kent</B> ran to Oslo."),
        ([(0, 21, "S")], "<S>Ada Kent ran to Oslo.</S>"),
    ],
)
def test_spans_become_elements_and_those_that_cross_do_not(spans, said):
    assert tagged_text(TEXT, spans) == said


SPANS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 8), st.sampled_from("PQR")).map(
        lambda found: (found[0], min(21, found[0] + found[1]), found[2])
    )
)


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(SPANS)
def test_without_its_tags_the_text_is_as_it_was_and_tags_are_paired(spans):
    said = tagged_text(TEXT, spans)
    assert re.sub(r"</?[PQR]>", "", said) == TEXT
    waiting = []
    for closes, label in re.findall(r"<(/?)([PQR])>", said):
        if not closes:
            waiting.append(label)
        else:
            assert waiting.pop() == label
    assert not waiting
    assert said.count("</") == len(nested(spans))


def test_the_text_is_not_escaped_in_elements_but_is_in_html():
    text, spans = "a <b> & c", [(2, 5, "x<y")]
    assert tagged_text(text, spans) == "a <x<y><b></x<y> & c"
    page = marked_html(text, spans)
    assert page.startswith("a <mark style=") and page.endswith("</mark> &amp; c")
    assert ">&lt;b&gt; <small" in page and ">x&lt;y</small>" in page


def test_neighbouring_words_of_a_tag_are_one_span_with_the_white_space_between_them():
    text = "A.  B. On words.\n1992 x"
    tokens = ["A.", " ", "B.", "On", "words.", "\n", "1992", "x"]
    tags = ["author", "", "author", "title", "title", "", "date", ""]
    spans = spans_of_tags(text, tokens, tags)
    said = "<author>A.  B.</author> <title>On words.</title>\n<date>1992</date> x"
    assert tagged_text(text, spans) == said


def test_a_word_without_a_tag_parts_those_beside_it():
    spans = spans_of_tags("a b a", ["a", "b", "a"], ["x", "", "x"])
    assert spans == [(0, 1, "x"), (4, 5, "x")]


def test_the_same_word_twice_is_found_twice():
    assert spans_of_tags("aa a", ["a", "a", "a"], ["x", "y", "x"]) == [
        (0, 1, "x"),
        (1, 2, "y"),
        (3, 4, "x"),
    ]


def test_a_row_is_marked_by_its_entities_or_by_its_tags():
    row = {"text": TEXT, "tokens": ["Ada"], "tags": ["x"]}
    assert spans_of_row(row) == [(0, 3, "x")]
    entities = [{"start": 4, "end": 8, "label": "P", "text": "Kent"}]
    assert spans_of_row({**row, "entities": entities}) == [(4, 8, "P")]


def test_a_row_as_html_has_the_text_what_was_written_and_labels():
    page = row_html({"text": "<a>\nb", "target": "{{x}} & <b>", "emotions": ["joy", "<fear>"]})
    assert page.count('<p style="white-space:pre-wrap">') == 3
    assert re.findall(r">([^<]+)</p>", page) == [
        "&lt;a&gt;\nb",
        "→ {{x}} &amp; &lt;b&gt;",
        "joy, &lt;fear&gt;",
    ]
    row = {"text": "Ada", "tokens": ["Ada"], "tags": ["O"], "entities": []}
    assert row_html(row) == '<p style="white-space:pre-wrap">Ada</p>'
