"""What is received, and when it stops."""

from pathlib import Path

import pytest

from scripts.download import part_of, receive
from tests.file_server import serving

CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def server(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "public").mkdir()
    (tmp_path / "public/file").write_bytes(CONTENT)
    with serving(tmp_path / "public") as server:
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return part_of(tmp_path, "file")


def test_the_rest_is_appended_to_what_is_there(server, part):
    part.write_bytes(CONTENT[:1000])
    receive(f"{server.url}/file", part, len(CONTENT))
    assert part.read_bytes() == CONTENT
    assert server.seen == [("/file", "bytes=1000-")]


def test_a_part_that_is_complete_asks_for_nothing(server, part):
    part.write_bytes(CONTENT)
    receive(f"{server.url}/file", part, len(CONTENT))
    assert server.seen == []


def test_no_more_than_a_block_too_many_is_received(server, part):
    receive(f"{server.url}/file", part, 1000)
    assert 1000 < part.stat().st_size < len(CONTENT) / 2
