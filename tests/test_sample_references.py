"""The committed sample of references: format, size, labels, nothing twice, nothing real."""

import re
from collections import Counter

import pytest

from tests.conftest import ROOT

SAMPLE = ROOT / "assets" / "sample-references"
FIELD = re.compile(r"<([a-z]+)>((?: [^\s<>]+)+) </\1>")
# label: fields, words
COUNTS = {
    "author": (232, 1194),
    "booktitle": (81, 554),
    "date": (235, 288),
    "editor": (39, 265),
    "institution": (45, 197),
    "journal": (56, 208),
    "location": (107, 143),
    "note": (55, 194),
    "pages": (105, 162),
    "publisher": (89, 223),
    "tech": (42, 110),
    "title": (232, 1613),
    "volume": (58, 94),
}
# Names that a list of real references in this field hardly does without.
REAL = re.compile(
    r"\b(ACM|IEEE|AAAI|IJCAI|SIGMOD|SIGPLAN|ICML|NIPS|NeurIPS|LNCS|ACL|VLDB|arXiv|INRIA|IBM|MIT"
    r"|Springer|Elsevier|Wiley|Kluwer|McGraw|Addison|Morgan Kaufmann|North-Holland|Academic Press"
    r"|Prentice|Oxford|Cambridge|Harvard|Stanford|Princeton|Yale|Berkeley|Carnegie|Cornell|doi"
    r"|Lecture Notes|Machine Learning|Artificial Intelligence|Computer Science|Lancet|CiteSeer)\b"
)


@pytest.fixture(scope="module")
def lines():
    return (SAMPLE / "references.txt").read_text(encoding="utf8").removesuffix("\n").split("\n")


@pytest.fixture(scope="module")
def fields(lines):
    return [(label, text.split()) for line in lines for label, text in FIELD.findall(line)]


def bare(text):
    return re.sub(r"\W+", " ", text).casefold().strip()


def test_each_of_240_lines_is_fields_one_space_apart_after_a_number_in_15(lines):
    frames = Counter(re.sub(r"\d+", "0", FIELD.sub("@", line)).replace(" @", "") for line in lines)
    assert frames == {"@": 225, "[0]": 15}


def test_the_13_labels_have_as_many_fields_and_words_as_the_readme_states(fields):
    number = Counter(label for label, _ in fields)
    words = Counter(label for label, found in fields for _ in found)
    assert {label: (number[label], words[label]) for label in number} == COUNTS
    readme = (SAMPLE / "README.md").read_text(encoding="utf8").replace(",", "")
    stated = re.findall(r"\| \**([a-z]+)\** \| \**(\d+)\** \| \**(\d+)\** ", readme)
    assert {label: (int(count), int(words)) for label, count, words in stated} == {
        **COUNTS,
        "all": (1376, 5245),
    }
    assert [sum(column) for column in zip(*COUNTS.values(), strict=True)] == [1376, 5245]


def test_no_reference_and_no_title_occurs_twice(lines, fields):
    titles = {bare(" ".join(words)) for label, words in fields if label == "title"}
    texts = {bare(re.sub(r"</?[a-z]+>|^\[\d+\]", " ", line)) for line in lines}
    assert len(titles) == 232 and len(texts) == 240


def test_no_real_publisher_meeting_school_or_address_occurs(lines):
    assert [line for line in lines if REAL.search(line)] == []
    hosts = {host for line in lines for host in re.findall(r"https?://([^/\s]+)", line)}
    assert len(hosts) == 5 and all(host.endswith(".example") for host in hosts)
