"""Marked-up texts come apart into symbols and together again, whatever is in them."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.util import registry

from plugins.markup import GLUE, Markup

MARKUP = Markup()
PIECES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", GLUE, "{", "}", "{{", "}}", "/", "a", "bc", "é",
          "e\u0301", "👍🏽", "7", ".", "_", "東京"]  # fmt: skip
TAGS = ["{{A}}", "{{/A}}", "{{B}} ", "{{/B}} ", "{{A/é-1}}"]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
MARKED = st.lists(st.sampled_from(PIECES + TAGS), max_size=14).map("".join)


@pytest.mark.parametrize(
    "text, symbols",
    [
        ("", []),
        (" ", [" "]),
        ("Cells grew.", ["Cells", "grew", "￭."]),
        ("(p53)-like", ["(", "￭p53", "￭)", "￭-", "￭like"]),
        ("a  b\n c", ["a", "  ", "b", "\n ", "c"]),
        (" a ", [" ", "a", " "]),
        ("￭ ￭￭", ["￭", "￭", "￭￭"]),
        ("The {{Cell}} cells{{/Cell}} grew", ["The", "{{Cell}}", "cells", "{{/Cell}}", "￭grew"]),
        ("The {{Cell}} cells{{/Cell}}  grew", ["The", "{{Cell}}", "cells", "{{/Cell}}", "grew"]),
        ("anti{{Cell}} body{{/Cell}}", ["anti", "{{Cell}}", "￭body", "{{/Cell}}"]),
        ("{{a b}} {{}} {a}", ["{", "￭{", "￭a", "b", "￭}", "￭}", "{", "￭{", "￭}", "￭}", "{", "￭a",
                              "￭}"]),
    ],
)  # fmt: skip
def test_symbols_are_tags_words_other_characters_and_unusual_white_space(text, symbols):
    assert MARKUP.split(text) == symbols
    assert MARKUP.join(symbols) == text


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_every_text_without_tags_is_canonical(text):
    if MARKUP.parse(text)[0] == text:
        assert MARKUP.join(MARKUP.split(text)) == text


@given(MARKED)
@settings(max_examples=500, deadline=None)
def test_the_canonical_text_has_the_same_symbols_words_and_tags(text):
    symbols = MARKUP.split(text)
    canonical = MARKUP.join(symbols)
    assert MARKUP.split(canonical) == symbols
    assert MARKUP.parse(canonical)[0] == MARKUP.parse(text)[0]
    assert MARKUP.spans_of(symbols) == MARKUP.parse(canonical)


@given(MARKED)
@settings(max_examples=300, deadline=None)
def test_a_canonical_text_marks_what_the_other_one_does_but_for_blanks_at_the_ends(text):
    plain, spans = MARKUP.parse(text)
    _, canonical = MARKUP.parse(MARKUP.join(MARKUP.split(text)))
    said, kept = (
        Counter((plain[a:b].strip(), label) for a, b, label in found if plain[a:b].strip())
        for found in (spans, canonical)
    )
    assert said == kept


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("x {{A}}y{{/A}} z", "x {{A}} y{{/A}} z"),  # in both there is no blank after y
        ("x{{A}}  y {{/A}}z", "x {{A}} y{{/A}}  z"),
        ("x{{/A}}{{B}}y", "x{{/A}} {{B}} y"),
        ("x {{A}} y{{/A}} ", "x {{A}} y{{/A}}"),
        ("x {{A}}  \ty{{/A}}", "x {{A}}  \ty{{/A}}"),
        ("{{A}}", "{{A}}"),
    ],
)
def test_blanks_around_tags_become_canonical(text, canonical):
    assert MARKUP.join(MARKUP.split(text)) == canonical


@pytest.mark.parametrize(
    "text, spans, marked",
    [
        ("old cells grew", [(0, 9, "A"), (4, 9, "B")],
         "{{A}} old {{B}} cells{{/B}} {{/A}}  grew"),
        ("old cells grew", [(4, 9, "B"), (0, 9, "A")],
         "{{A}} old {{B}} cells{{/B}} {{/A}}  grew"),
        ("sad news", [(0, 8, "joy"), (0, 8, "fear")],
         "{{joy}} {{fear}} sad news{{/fear}} {{/joy}}"),
        ("a b c", [(0, 3, "A"), (2, 5, "B")], "{{A}} a {{B}} b{{/A}}  c{{/B}}"),
        ("ab", [(0, 1, "A"), (1, 2, "A")], "{{A}} a{{/A}} {{A}} b{{/A}}"),
        ("antibody.", [(4, 8, "A")], "anti{{A}} body{{/A}} ."),
        ("nothing", [], "nothing"),
    ],
)  # fmt: skip
def test_spans_are_marked_outer_ones_first_and_read_again(text, spans, marked):
    assert MARKUP.write(text, spans) == marked
    assert MARKUP.parse(marked) == (text, sorted(spans, key=lambda span: (span[0], -span[1])))
    assert MARKUP.join(MARKUP.split(marked)) == marked


@st.composite
def marked_words(draw):
    """Draw a text and spans of whole words that lie in or beside each other, or overlap."""
    words = draw(st.lists(st.sampled_from(["a", "bc", "é,", "👍🏽", "￭", "{", "x-y"]), min_size=1,
                          max_size=7))  # fmt: skip
    starts = [sum(map(len, words[:i])) + i for i in range(len(words))]
    ends = [start + len(word) for start, word in zip(starts, words, strict=True)]
    spans = []
    for label in draw(st.permutations(["A", "B", "c.1", "東"])):
        low = draw(st.integers(0, len(words) - 1))
        spans.append((starts[low], ends[draw(st.integers(low, len(words) - 1))], label))
    return " ".join(words), spans[: draw(st.integers(0, 4))]


@given(marked_words())
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_canonical_and_parsed_again(drawn):
    text, spans = drawn
    marked = MARKUP.write(text, spans)
    assert MARKUP.parse(marked) == (text, sorted(spans, key=lambda span: (span[0], -span[1])))
    assert MARKUP.join(MARKUP.split(marked)) == marked
    labels = [label for symbol in MARKUP.split(marked) if (label := MARKUP.label_of(symbol))]
    assert Counter(labels) == Counter(label for *_, label in spans)


@given(st.text(), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=5))
@settings(max_examples=200, deadline=None)
def test_spans_at_any_place_of_any_text_are_parsed_again(text, places):
    spans = [(start, start + length, f"L{number}") for number, (start, length) in enumerate(places)]
    spans = [span for span in spans if span[1] <= len(text)]
    plain, found = MARKUP.parse(MARKUP.write(text, spans))
    assert (plain, sorted(found)) == (text, sorted(spans))


def test_spans_of_one_label_that_overlap_become_one_within_the_other():
    marked = MARKUP.write("a b c", [(0, 3, "A"), (2, 5, "A")])
    assert MARKUP.parse(marked) == ("a b c", [(0, 5, "A"), (2, 3, "A")])


@pytest.mark.parametrize(
    "text, span, message",
    [
        ("x", (0, 0, "A"), "'A' at 0 to 0. Expected a place in 0 to 1"),
        ("x", (0, 2, "A"), "'A' at 0 to 2"),
        ("x", (-1, 1, "A"), "'A' at -1 to 1"),
        ("x", (0, 1, "a b"), "'a b' at 0 to 1.*a label without blanks and braces"),
        ("x", (0, 1, "/A"), "'/A' at 0 to 1"),
        ("x", (0, 1, ""), "'' at 0 to 1"),
        ("see {{B}} here", (0, 1, "A"), r"'see \{\{B}} here' has '\{\{B}} '. Expected a text with"),
    ],
)
def test_what_cannot_be_marked_is_refused(text, span, message):
    with pytest.raises(ValueError, match=message):
        MARKUP.write(text, [span])


def test_tags_without_a_partner_mark_nothing():
    assert MARKUP.parse("{{A}} x{{/B}} {{/A}}") == ("x", [(0, 1, "A")])
    assert MARKUP.parse("{{/A}} x{{A}} y") == ("xy", [])
    assert MARKUP.parse("{{A}} {{/A}} x") == ("x", [])
    assert MARKUP.parse("{{A}} x {{A}} y{{/A}}") == ("x y", [(2, 3, "A")])


def test_symbols_in_an_order_that_no_text_has_are_joined_all_the_same():
    assert MARKUP.join(["￭.", "a", "{{A}}", " ", "b"]) == ". a{{A}}  b"
    assert MARKUP.spans_of(["{{A}}", "a", "￭b", "{{/A}}", "c"]) == ("ab c", [(0, 2, "A")])
    assert MARKUP.join([]) == "" and MARKUP.join(["a", "", "b"]) == "a b"


def test_labels_are_those_of_opening_tags():
    found = [MARKUP.label_of(symbol) for symbol in ("{{A}}", "{{/A}}", "A", "{{}}", "{{a b}}")]
    assert found == ["A", None, None, None, None]


def test_words_are_symbols_without_glue_and_the_config_finds_the_markup():
    markup = registry.resolve({"markup": {"@misc": "goemotions.Markup.v1"}})["markup"]
    assert markup.words(["a", "￭.", "￭￭", "￭", "{{A}}"]) == ["a", ".", "￭", "￭", "{{A}}"]
    assert markup.glue == GLUE and markup == MARKUP
