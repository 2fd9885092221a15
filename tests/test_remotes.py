"""The runner's own storage: what `spacy project push` and `pull` do, and what they leave out."""

import io
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from weasel.cli.pull import project_pull
from weasel.cli.push import project_push
from weasel.cli.remote_storage import RemoteStorage

from tests.conftest import ROOT

CORPUS = "corpus/goemotions"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The real project.yml with storage, and what its command `preprocess` needs and makes."""
    folder = tmp_path / "project"
    for name in ("assets/goemotions/train.tsv", f"{CORPUS}/train.spacy"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    for name in ("plugins", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    remotes = f'\nremotes:\n  default: "{tmp_path / "storage"}"\n'
    text = (ROOT / "project.yml").read_text(encoding="utf8")
    (folder / "project.yml").write_text(text + remotes, encoding="utf8")
    return folder


@pytest.fixture
def clone(project: Path, tmp_path: Path) -> Path:
    """A copy without the corpus, which is in storage."""
    assert pushed(project) == {CORPUS}
    folder = shutil.copytree(project, tmp_path / "clone")
    shutil.rmtree(folder / "corpus")
    return folder


def pushed(project: Path) -> set[str]:
    # Once for each command that makes it: preprocess and preprocess-entities.
    return {path for path, _ in project_push(project, "default")}


def pulled(project: Path, remote: str = "default") -> list[str]:
    return [path for url, path in project_pull(project, remote) if url is not None]


def test_a_clone_pulls_what_was_pushed(clone, project):
    assert pulled(clone) == [CORPUS]
    name = f"{CORPUS}/train.spacy"
    assert (clone / name).read_bytes() == (project / name).read_bytes()


def test_storage_can_be_a_file_address(clone, tmp_path):
    address = (tmp_path / "storage").as_uri()
    text = (clone / "project.yml").read_text(encoding="utf8")
    changed = text.replace(f'"{tmp_path / "storage"}"', f'"{address}"')
    assert changed != text
    (clone / "project.yml").write_text(changed, encoding="utf8")
    assert pulled(clone) == [CORPUS]


@pytest.mark.parametrize("change", ["dep", "missing dep", "var", "lost storage"])
def test_what_does_not_fit_is_left_out_without_a_word(clone, tmp_path, change, capsys):
    if change == "dep":
        (clone / "assets/goemotions/train.tsv").write_text("other posts")
    elif change == "missing dep":
        shutil.rmtree(clone / "assets/goemotions")
    elif change == "var":
        text = (clone / "project.yml").read_text(encoding="utf8")
        (clone / "project.yml").write_text(text.replace('lang: "en"', 'lang: "de"'))
    else:
        shutil.rmtree(tmp_path / "storage")
    assert pulled(clone) == []
    assert not (clone / CORPUS).exists()
    assert capsys.readouterr().out == ""


def test_lost_storage_is_filled_again_by_push(clone, project, tmp_path):
    shutil.rmtree(tmp_path / "storage")
    assert pushed(project) == {CORPUS}
    assert pulled(clone) == [CORPUS]


def store(storage: Path, members: list[tarfile.TarInfo]) -> None:
    """Put an archive with these members, each with the same text, where `corpus/x` would be."""
    place = storage / "corpus%2Fx" / "command"
    place.mkdir(parents=True)
    with tarfile.open(place / "content", "w:gz") as archive:
        for member in members:
            member.size = 4 if member.isreg() else 0
            archive.addfile(member, io.BytesIO(b"evil") if member.isreg() else None)


@pytest.mark.parametrize("name", ["../outside", "{tmp_path}/outside"])
def test_an_archive_with_a_name_outside_the_project_is_refused(tmp_path, name):
    (tmp_path / "clone").mkdir()
    store(tmp_path / "storage", [tarfile.TarInfo(name.format(tmp_path=tmp_path))])
    with pytest.raises(ValueError, match="E801"):
        RemoteStorage(tmp_path / "clone", str(tmp_path / "storage")).pull(Path("corpus/x"))
    assert not (tmp_path / "outside").exists()


def test_an_archive_with_a_link_out_of_the_project_is_refused_from_python_3_12(tmp_path):
    (tmp_path / "clone").mkdir()
    (tmp_path / "outside").mkdir()
    link = tarfile.TarInfo("corpus/x")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
    store(tmp_path / "storage", [link, tarfile.TarInfo("corpus/x/file")])
    storage = RemoteStorage(tmp_path / "clone", str(tmp_path / "storage"))
    if sys.version_info >= (3, 12):
        with pytest.raises(tarfile.FilterError):
            storage.pull(Path("corpus/x"))
    else:  # the reason for the warning in docs/dvc.md
        storage.pull(Path("corpus/x"))
    assert (tmp_path / "outside" / "file").exists() == (sys.version_info < (3, 12))
