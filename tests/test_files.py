"""Whole outputs or none."""

import pytest

from scripts.files import hash_of, replacing


def write_folder(path, text):
    path.mkdir()
    (path / "part").write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "file.json"
    with replacing(path) as temporary:
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(RuntimeError, match="half-way"), replacing(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half-way")
    assert path.read_text() == "old" and names(path.parent) == ["file.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "model"
    for text in ("old", "new"):
        with replacing(path) as temporary:
            write_folder(temporary, text)
    assert (path / "part").read_text() == "new" and names(tmp_path) == ["model"]
    with pytest.raises(RuntimeError, match="half-way"), replacing(path) as temporary:
        write_folder(temporary, "newer")
        raise RuntimeError("half-way")
    assert (path / "part").read_text() == "new" and names(tmp_path) == ["model"]


def test_left_overs_of_a_killed_run_are_cleared_and_the_previous_output_restored(tmp_path):
    path = tmp_path / "model"
    write_folder(tmp_path / ".model.tmp", "half")
    write_folder(tmp_path / ".model.old", "previous")
    with pytest.raises(RuntimeError, match="again"), replacing(path) as temporary:
        assert not temporary.exists()
        raise RuntimeError("again")
    assert (path / "part").read_text() == "previous" and names(tmp_path) == ["model"]


def test_hashes_follow_contents_and_names(tmp_path):
    for name in ("a", "b"):
        write_folder(tmp_path / name, "same")
    assert hash_of(tmp_path / "a") == hash_of(tmp_path / "b")
    assert hash_of(tmp_path / "a" / "part") != hash_of(tmp_path / "a")
    (tmp_path / "b" / "part").rename(tmp_path / "b" / "other")
    assert hash_of(tmp_path / "a") != hash_of(tmp_path / "b")
