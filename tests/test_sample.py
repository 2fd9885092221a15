"""The committed sample: format, size, variety, no near-duplicates."""

import re
from collections import Counter, defaultdict
from itertools import chain, pairwise

import pytest

from tests.conftest import ROOT

SAMPLE = ROOT / "assets" / "sample"
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
GOEMOTIONS = [
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
]


@pytest.fixture(scope="module")
def splits():
    found = {}
    for name in ("train", "dev", "test"):
        text = (SAMPLE / f"{name}.tsv").read_text(encoding="utf8")
        found[name] = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    return found


@pytest.fixture(scope="module")
def posts(splits):
    return list(chain(*splits.values()))


def words(text):
    return WORD.findall(text.lower().replace("\u2019", "'"))


def test_labels_are_those_of_goemotions_in_their_order():
    assert (SAMPLE / "emotions.txt").read_text().split() == GOEMOTIONS


def test_sizes_are_those_the_readme_states(splits):
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 1321,
        "dev": 430,
        "test": 424,
    }


def test_every_row_has_a_text_known_labels_and_an_id_of_its_own(posts):
    assert all(len(row) == 3 and row[0].strip() for row in posts)
    assert len({row[2] for row in posts}) == len(posts)
    assert all(0 <= int(i) < 28 for row in posts for i in row[1].split(","))


def test_every_label_has_positives_in_every_split(splits):
    for rows in splits.values():
        counts = Counter(int(i) for row in rows for i in row[1].split(","))
        assert len(counts) == 28 and min(counts.values()) >= 10


def test_about_15_percent_have_several_labels_and_neutral_stands_alone(posts):
    several = [row for row in posts if "," in row[1]]
    assert 0.13 < len(several) / len(posts) < 0.19
    assert not any("27" in row[1].split(",") for row in several)


def test_placeholders_emoji_and_questions_occur(posts):
    texts = [row[0] for row in posts]
    assert sum("[NAME]" in text for text in texts) > 200
    assert sum(bool(re.search("[\U0001f300-\U0001faff\u2600-\u27bf]", t)) for t in texts) > 100
    assert sum("[RELIGION]" in text for text in texts) > 5


def test_there_are_8307_distinct_words(posts):
    assert len({word for row in posts for word in words(row[0])}) == 8307


def test_no_two_posts_share_more_than_half_of_their_trigrams(posts):
    trigrams, where = [], defaultdict(list)
    for number, row in enumerate(posts):
        found = words(row[0])
        grams = {(a, *b) for a, b in zip(found, pairwise(found[1:]), strict=False)}
        grams = grams or {tuple(found)}
        shared = Counter(other for gram in grams for other in where[gram])
        for other, count in shared.items():
            smaller = min(len(grams), len(trigrams[other]))
            assert count <= smaller / 2, (row[0], posts[other][0])
        trigrams.append(grams)
        for gram in grams:
            where[gram].append(number)
    assert len(where) > 25_000
