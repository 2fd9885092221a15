"""Lines become texts, and what a line end broke is mended and nothing else."""

import pytest

from scripts.units import cut, dehyphenated

LINES = ["An exam-", "ple of", "  ", "", "words and", "more", ""]


def numbered(lines: list[str]) -> list[tuple[str, str]]:
    return [(f"line {number}", line) for number, line in enumerate(lines, 1)]


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("exam-\nple", "example"),
        ("exam-  \r\n  ple", "example"),
        ("exam\u00ad\nple", "example"),
        ("exam\u2010\nple", "example"),
        ("in-\nter-\nna-\ntional", "international"),
        ("über-\nößig", "überößig"),
        ("a well-known case", "a well-known case"),
        ("self-\nregulation", "selfregulation"),  # cannot be known
        ("X-\nray", "X-ray"),
        ("Smith-\nJones", "Smith-Jones"),
        ("NATO-\nled", "NATO-led"),
        ("1990-\n95", "1990-95"),
        ("EX\u00ad\nAM", "EXAM"),
        ("pages 5 -\nnine", "pages 5 - nine"),
        ("a dash -\nand more", "a dash - and more"),
        ("one\ntwo\r\nthree", "one two three"),
        ("one  \n   two", "one two"),
        ("one\n\ntwo\nthree\n", "one\n\ntwo three\n"),
        ("exam-\n\nple", "exam-\n\nple"),
        ("ends-\n", "ends-\n"),
        ("", ""),
        ("a  b\tc", "a  b\tc"),
    ],
)
def test_words_and_lines_are_mended(text, mended):
    assert dehyphenated(text) == mended


def test_a_line_is_a_text_as_it_is():
    assert list(cut(numbered(LINES), "line")) == numbered(LINES)


def test_a_line_that_ends_within_a_word_gets_the_line_after_it():
    assert list(cut(numbered(LINES), "line", dehyphen=True)) == [
        ("line 1", "An example of"),
        ("line 3", "  "),
        ("line 4", ""),
        ("line 5", "words and"),
        ("line 6", "more"),
        ("line 7", ""),
    ]
    lines = numbered(["in-", "ter-", "na-", "", "tional-"])
    assert list(cut(lines, "line", dehyphen=True)) == [
        ("line 1", "interna-"),
        ("line 4", ""),
        ("line 5", "tional-"),
    ]


def test_a_line_is_there_before_the_next_one_is_read():
    def endless():
        yield "line 1", "whole"
        raise AssertionError

    assert next(cut(endless(), "line", dehyphen=True)) == ("line 1", "whole")


def test_paragraphs_are_between_empty_lines():
    lines = numbered(["", *LINES, "", "last"])
    assert list(cut(lines, "paragraph")) == [
        ("line 2", "An exam-\nple of"),
        ("line 6", "words and\nmore"),
        ("line 10", "last"),
    ]
    assert [text for _, text in cut(lines, "paragraph", dehyphen=True)] == [
        "An example of",
        "words and more",
        "last",
    ]


@pytest.mark.parametrize("unit", ["file", "page"])
def test_all_lines_can_be_one_text(unit):
    assert list(cut(numbered(LINES), unit)) == [("line 1", "\n".join(LINES))]
    assert list(cut(numbered(LINES), unit, dehyphen=True)) == [
        ("line 1", "An example of\n  \n\nwords and more\n")
    ]
    assert list(cut([], unit)) == []


def test_a_unit_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^unit 'sentence'\. Expected one of line, paragraph"):
        list(cut([("line 1", "a")], "sentence"))
