"""Digests on disk: what is there again is found, whatever the number of blocks and parts."""

import numpy
import pytest

from scripts import digests as module
from scripts.digests import (
    Digests,
    count_repeated,
    count_shared,
    digest,
    find_repeated,
    normalise,
)


@pytest.fixture(params=[(2**16, 2**20), (4, 10), (6, 1)], ids=["one part", "parts", "many parts"])
def sizes(request, monkeypatch):
    """Blocks and parts as they are, and so small that ten rows need several."""
    monkeypatch.setattr(module, "BLOCK", request.param[0])
    monkeypatch.setattr(module, "PART", request.param[1])


def fill(path, rows: list[tuple[int, int]]) -> Digests:
    found = Digests(path, 2)
    for row in rows:
        found.append(*row)
    return found


def test_every_row_is_in_one_part_and_in_order(tmp_path, sizes):
    rows = [(number * 7 % 40, number) for number in range(50)]
    found = fill(tmp_path / "rows", rows)
    parts = [part.tolist() for part in found.parts()]
    assert sorted(tuple(row) for part in parts for row in part) == sorted(rows)
    assert all(part == sorted(part, key=lambda row: row[1]) for part in parts)
    assert found.rows == 50
    assert len(parts) == found.n_parts


def test_a_table_takes_more_rows_after_it_was_read(tmp_path, sizes):
    found = fill(tmp_path / "rows", [(1, 2), (3, 4)])
    assert count_repeated(found) == 0
    found.append(3, 5)
    assert count_repeated(found) == 1


def test_repeated_and_shared_numbers_are_counted_by_column(tmp_path, sizes):
    random = numpy.random.default_rng(0)
    one, two = (random.integers(0, 2**63, 60, dtype="uint64") for _ in range(2))
    first = [(int(one[k % 40]), int(two[k % 25])) for k in range(60)]
    others = [(int(one[30 + k % 30]), int(two[k])) for k in range(60)]
    found, train = fill(tmp_path / "a", first), fill(tmp_path / "b", others)
    assert (count_repeated(found, 0), count_repeated(found, 1)) == (20, 35)
    known = [{row[column] for row in others} for column in (0, 1)]
    expected = [sum(row[column] in known[column] for row in first) for column in (0, 1)]
    assert [count_shared(found, train, column) for column in (0, 1)] == expected
    assert expected == [10, 60]


def test_repeated_rows_come_in_order_with_the_earliest_before_them(tmp_path, sizes):
    keys = [5, 6, 7, 5, 8, 6, 5, 9, 7, 9]
    found = fill(tmp_path / "ids", [(key, line) for line, key in enumerate(keys, 1)])
    assert find_repeated(found, 3) == (5, [(4, 1), (6, 2), (7, 1)])
    assert find_repeated(found, 99) == (5, [(4, 1), (6, 2), (7, 1), (9, 3), (10, 8)])


def test_no_rows_are_no_repeats(tmp_path, sizes):
    assert find_repeated(Digests(tmp_path / "a", 2), 5) == (0, [])
    assert count_shared(Digests(tmp_path / "b", 2), Digests(tmp_path / "c", 2)) == 0


def test_a_digest_is_the_same_in_every_run():
    assert digest("So happy") == 4548220305685635316


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't  stop_it, NOW!", "don t stop_it now"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("वह की है।", "वह की है"),
        ("ไม่ดี", "ไม่ดี"),
        ("love \u2764\ufe0f it", "love it"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
    ],
)
def test_words_are_what_is_left_in_any_script(text, words):
    assert normalise(text) == words
