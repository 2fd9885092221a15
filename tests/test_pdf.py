"""Text of PDFs is read by page, by line or whole, and a PDF without any says why."""

import logging

import pytest

from scripts.pdf import read_pdf
from scripts.texts import read_texts
from tests.pdfs import PICTURE, lines_page, write_pdf

FIRST = lines_page("An exam-", "ple of text", "and more.")
LAST = lines_page("caf\u00e9 (well-known".replace("(", "\\("))
PAGES = (FIRST, "", LAST)  # a blank one between them


@pytest.fixture
def source(tmp_path):
    return write_pdf(tmp_path / "a.pdf", *PAGES)


def with_filter(data: bytes, name: bytes) -> bytes:
    return data.replace(b"<</Length", b"<</Filter" + name + b"/Length")


def texts_of(source, *settings, **more):
    return [row for _, row in read_pdf(source, *settings, **more)]


def test_pages_are_texts_with_their_numbers_and_blank_ones_are_none(source):
    assert list(read_pdf(source)) == [
        ("page 1", {"page": 1, "text": "An exam-\nple of text\nand more."}),
        ("page 3", {"page": 3, "text": "café (well-known"}),
    ]


def test_broken_words_and_lines_of_a_page_are_mended(source):
    assert [row["text"] for row in texts_of(source, dehyphen=True)] == [
        "An example of text and more.",
        "café (well-known",
    ]


def test_lines_are_texts_and_a_broken_word_joins_two(source):
    found = [(row["page"], row["text"]) for row in texts_of(source, "line")]
    assert found == [(1, "An exam-"), (1, "ple of text"), (1, "and more."), (3, "café (well-known")]
    found = [(row["page"], row["text"]) for row in texts_of(source, "line", dehyphen=True)]
    assert found == [(1, "An example of text"), (1, "and more."), (3, "café (well-known")]


def test_a_whole_file_is_one_text_and_words_go_on_over_pages(tmp_path):
    source = write_pdf(tmp_path / "a.pdf", lines_page("Long", "exam-"), lines_page("ple"))
    assert texts_of(source, "file") == [{"text": "Long\nexam-\nple"}]
    assert texts_of(source, "file", dehyphen=True) == [{"text": "Long example"}]


def test_a_lock_that_asks_nobody_for_a_password_is_opened(tmp_path):
    source = write_pdf(tmp_path / "a.pdf", FIRST, password="owner")
    assert texts_of(source, "line")[0] == {"page": 1, "text": "An exam-"}


def test_a_folder_has_pdfs_too_and_each_row_says_file_and_page(tmp_path):
    write_pdf(tmp_path / "A.PDF", FIRST, LAST)
    (tmp_path / "b.txt").write_text("one\ntwo\n")
    (tmp_path / "c.jsonl").write_text('{"text": "three"}\n')
    found = [(row["file"], row.get("page")) for row in read_texts(tmp_path, unit="file")]
    assert found == [("A.PDF", None), ("b.txt", None), ("c.jsonl", None)]
    found = [(row["file"], row.get("page")) for row in read_texts(tmp_path)]
    assert found == [
        ("A.PDF", 1),
        ("A.PDF", 2),
        ("b.txt", None),
        ("b.txt", None),
        ("c.jsonl", None),
    ]


@pytest.mark.parametrize(
    ("pages", "settings", "said"),
    [
        ((), {}, r"a\.pdf: no text on any of 0 pages\. Expected text"),
        (("", ""), {}, r"a\.pdf: no text on any of 2 pages"),
        (
            (PICTURE,),
            {},
            r"a\.pdf: page 1 a picture and no text; a scan needs OCR first\. Ex",
        ),
        (("", PICTURE, PICTURE), {}, r"a\.pdf: page 2, 3 a picture and no text"),
        ((FIRST,), {"password": "o", "opens": "u"}, r"a\.pdf: locked with a password\. Expected"),
    ],
)
def test_a_pdf_without_text_says_why(tmp_path, pages, settings, said):
    source = write_pdf(tmp_path / "a.pdf", *pages, **settings)
    with pytest.raises(ValueError, match=said):
        list(read_texts(source))


def test_pages_that_are_pictures_are_named_and_the_others_read(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("scripts.pdf.logger", logging.getLogger("of this test"))
    source = write_pdf(tmp_path / "a.pdf", FIRST, PICTURE, LAST)
    assert [row["page"] for row in texts_of(source)] == [1, 3]
    said = f"{source}: page 2 a picture and no text; a scan needs OCR first. Passed over."
    assert [record.getMessage() for record in caplog.records] == [said]


def test_a_page_with_text_and_a_picture_has_text(tmp_path):
    source = write_pdf(tmp_path / "a.pdf", f"{FIRST} {PICTURE}")
    assert texts_of(source)[0]["text"].startswith("An exam-")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"", r"a\.pdf: 0 bytes\. Expected a PDF"),
        (lambda data: b"hello" * 50, r"a\.pdf: cannot be read \(.+\)\. Expected a whole PDF"),
        (lambda data: data[:300], r"a\.pdf: cannot be read"),
        (lambda data: data.replace(b"/Kids", b"/Kid5"), r"no text on any of 0 pages"),
        (lambda data: with_filter(data, b"/Odd"), r"page 1: cannot be read \(Unsupported filter"),
        (lambda data: with_filter(data, b"/FlateDecode"), r"page 1: cannot be read \(Error -3"),
    ],
)
def test_a_damaged_pdf_is_one_sentence_and_nothing_else(source, change, said, capfd, caplog):
    source.write_bytes(change(source.read_bytes()))
    with pytest.raises(ValueError, match=said):
        list(read_texts(source))
    assert capfd.readouterr() == ("", "") and caplog.records == []


def test_what_can_be_mended_is_read_without_a_word(source, capfd, caplog):
    source.write_bytes(source.read_bytes().replace(b"startxref\n", b"startxref\n9"))
    assert texts_of(source)[0]["page"] == 1
    assert capfd.readouterr() == ("", "") and caplog.records == []


def test_half_a_letter_of_a_font_is_replaced(source, monkeypatch):
    monkeypatch.setattr("pypdf.PageObject.extract_text", lambda page: "a\ud83d\ude00b\ud83dc")
    assert texts_of(source)[0]["text"] == "a\U0001f600b\ufffdc"


@pytest.mark.parametrize(
    ("name", "unit", "said"),
    [
        ("a.pdf", "paragraph", r"a\.pdf: unit paragraph, and a PDF has none.*Expected line, page"),
        ("a.txt", "page", r"a\.txt: unit page, and no pages\. Expected line, paragraph or file"),
        ("a.csv", "line", r"a\.csv: unit line, and each row is a text\. Expected no unit"),
        ("a.pdf.gz", None, r"a\.pdf\.gz: Expected a file in .*, plain or \.gz, or in \.pdf"),
    ],
)
def test_a_unit_that_a_file_does_not_have_is_refused(source, name, unit, said):
    path = source.with_name(name)
    path.write_bytes(source.read_bytes() if ".pdf" in name else b"text\na\n")
    with pytest.raises(ValueError, match=said):
        list(read_texts(path, unit=unit))


def test_a_unit_in_a_folder_of_rows_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text\na\n")
    with pytest.raises(ValueError, match=r"unit line, and no \.txt or \.pdf\. Expected no unit"):
        list(read_texts(tmp_path, unit="line"))
