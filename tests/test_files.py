"""Whole outputs or none."""

import pytest

from scripts.files import check_output, hash_of, replacing


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


def test_a_file_never_replaces_a_folder(tmp_path):
    path = tmp_path / "metrics"
    write_folder(path, "kept")
    with pytest.raises(ValueError, match="metrics: a folder"), replacing(path) as temporary:
        temporary.write_text("{}")
    assert (path / "part").read_text() == "kept" and names(tmp_path) == ["metrics"]


def test_only_an_output_of_its_kind_may_be_replaced(tmp_path):
    check_output(tmp_path / "new", "model", ["meta.json"])
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty", "model", ["meta.json"])
    write_folder(tmp_path / "mine", "precious")
    with pytest.raises(ValueError, match=r"mine: no model\. Expected a new folder or an old"):
        check_output(tmp_path / "mine", "model", ["meta.json"])
    check_output(tmp_path / "mine", "model", ["meta.json", "part"])
    for given in ("mine", "mine/part", "mine/deep/er"):
        with pytest.raises(ValueError, match="would replace the input"):
            check_output(tmp_path / "mine", "model", ["part"], [tmp_path / given])
    check_output(tmp_path / "mine", "model", ["part"], [tmp_path / "other"])
    with pytest.raises(ValueError, match="no model"):
        check_output(tmp_path / "mine" / "part", "model", ["meta.json"])
