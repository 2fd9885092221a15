from pathlib import Path

import pytest

from scripts.clean import clean


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("corpus/a", "corpus/b", "training/a", "metrics/a", "assets/a"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")
    return tmp_path


def test_clean_deletes_the_named_folders_and_no_others(project):
    folders = [Path("corpus/a"), Path("training/a"), Path("training/none")]
    assert clean(folders, project) == [project / "corpus/a", project / "training/a"]
    left = sorted(path.relative_to(project).as_posix() for path in project.rglob("file"))
    assert left == ["assets/a/file", "corpus/b/file", "metrics/a/file"]


@pytest.mark.parametrize(
    "folder",
    ["metrics/a", "assets/a", "corpus", "corpus/", "corpus/a/..", "corpus/../metrics/a", "..", "/"],
)
def test_clean_refuses_anything_but_what_lies_below_corpus_and_training(project, folder):
    with pytest.raises(ValueError, match="Expected a folder below corpus/ or training/"):
        clean([Path("corpus/a"), Path(folder)], project)
    assert (project / "corpus/a/file").exists(), "one refused folder must spare all of them"
    assert (project / "metrics/a/file").exists()


def test_clean_removes_a_link_but_not_what_it_points_to(project):
    (project / "corpus/link").symlink_to(project / "metrics/a")
    clean([Path("corpus/link")], project)
    assert not (project / "corpus/link").is_symlink()
    assert (project / "metrics/a/file").exists()


def test_clean_does_not_follow_a_link_out_of_the_project(project):
    (project / "corpus/link").symlink_to(project / "metrics")
    with pytest.raises(ValueError, match="corpus/link/a: not deleted"):
        clean([Path("corpus/link/a")], project)
    assert (project / "metrics/a/file").exists()
