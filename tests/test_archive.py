"""The folders of an archive: what is taken out, what is refused, and that nothing else is left."""

import gzip
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import archive as module
from scripts.archive import fetch_folders, problem_of_folder, read_archive
from scripts.asset_list import ARCHIVES, Archive, Folder
from scripts.download import receive
from tests.file_server import serving

ROOT = Path(__file__).parent.parent
FILES = {
    "train": {
        "a.txt": b"The knee hurts.",
        "a.ann": b"T1\tOrgan 4 8\tknee\n",
        "b.txt": b"Caf\xc3\xa9",
    },
    "devel": {"c.txt": b"No organ.", "c.ann": b""},
}
STRAY = {
    "root/README": b"Read me",
    "root/data/train/a.conll": b"The\tO",
    "root/data/all/a.txt": b"elsewhere",
    "root/data/train/deep/a.txt": b"deeper",
    "a.txt": b"beside the root",
}


def digest_of(files: dict[str, bytes]) -> str:
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def folder_of(name: str, of: str) -> Folder:
    size = sum(map(len, FILES[of].values()))
    return Folder(name, f"data/{of}", digest_of(FILES[of]), len(FILES[of]), size)


FOLDERS = (folder_of("train", "train"), folder_of("dev", "devel"))
RIGHT = {"train": FILES["train"], "dev": FILES["devel"]}


def member_of(name: str, content: bytes = b"", **changes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in changes.items():
        setattr(member, key, value)
    return member, content


def pack(path: Path, *extra: tuple[tarfile.TarInfo, bytes], files=FILES) -> Path:
    members = [member_of("root/data/train", type=tarfile.DIRTYPE)]
    members += [member_of(name, content) for name, content in STRAY.items()]
    for folder, its in files.items():
        members += [member_of(f"root/data/{folder}/{name}", its[name]) for name in its]
    with tarfile.open(path, "w:gz") as archive:
        for member, content in [*members, *extra]:
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def server(tmp_path: Path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "public").mkdir()
    with serving(tmp_path / "public") as server:
        server.file = pack(tmp_path / "public/data.tar.gz")
        server.archive = Archive(f"{server.url}/data.tar.gz", FOLDERS)
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a wrong `train`, which must stay unless all is right."""
    folder = tmp_path / "assets/here"
    (folder / "train").mkdir(parents=True)
    (folder / "train/old.txt").write_bytes(b"old")
    return folder


OLD = {"train": {"old.txt": b"old"}}


def contents(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of each folder; fails on a file that lies beside them."""
    return {
        path.name: {file.relative_to(path).as_posix(): file.read_bytes() for file in path.iterdir()}
        for path in folder.iterdir()
    }


def test_the_wanted_files_are_taken_out_and_nothing_else_is_left(server, folder):
    assert fetch_folders(server.archive, folder) == ["train", "dev"]
    assert contents(folder) == RIGHT


def test_folders_that_are_right_are_not_fetched_again_unless_forced(server, folder):
    fetch_folders(server.archive, folder)
    server.seen.clear()
    assert fetch_folders(server.archive, folder) == []
    assert server.seen == []
    (folder / "dev/c.ann").write_bytes(b"T1\tOrgan 3 8\torgan\n")
    assert fetch_folders(server.archive, folder) == ["dev"]
    assert contents(folder) == RIGHT
    assert fetch_folders(server.archive, folder, force=True) == ["train", "dev"]
    assert len(server.seen) == 2


def test_an_archive_packed_anew_is_accepted_for_the_same_content(server, folder):
    before = server.file.read_bytes()
    with gzip.open(server.file) as stream:
        server.file.write_bytes(gzip.compress(stream.read(), compresslevel=1, mtime=7))
    assert server.file.read_bytes() != before
    fetch_folders(server.archive, folder)
    assert contents(folder) == RIGHT


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"c.ann": b"x"}, r"2 files, 10 bytes\. Expected 2, 9\."),
        ({"c.txt": b"An organ."}, r"SHA-256 \w{64}\. Expected \w{64}\."),
        ({"d.txt": b""}, r"3 files, 9 bytes\. Expected 2, 9\."),
    ],
)
def test_wrong_content_is_refused_and_replaces_nothing(server, folder, change, found):
    pack(server.file, files={**FILES, "devel": {**FILES["devel"], **change}})
    with pytest.raises(ValueError, match=rf"data\.tar\.gz, data/devel: {found}"):
        fetch_folders(server.archive, folder)
    assert contents(folder) == OLD, "one bad folder must keep the other out"


def test_a_file_under_another_name_is_not_the_same_folder(server, folder):
    renamed = {"d.txt": FILES["devel"]["c.txt"], "c.ann": b""}
    pack(server.file, files={**FILES, "devel": renamed})
    with pytest.raises(ValueError, match="SHA-256"):
        fetch_folders(server.archive, folder)


def test_an_archive_without_a_folder_is_refused_with_all_that_is_wrong(server, folder):
    pack(server.file, files={"train": {"a.txt": b""}})
    with pytest.raises(ValueError, match=r"data/train: 1 files") as caught:
        fetch_folders(server.archive, folder)
    assert "data/devel: 0 files, 0 bytes. Expected 2, 9." in str(caught.value)


@pytest.mark.parametrize(
    ("member", "found"),
    [
        (member_of("root/data/train/../../x.txt", b"out"), "leads out of the archive"),
        (member_of("../x.txt", b"out"), "leads out of the archive"),
        (member_of("/root/data/train/x.txt", b"out"), "leads out of the archive"),
        (member_of("root/data/train/..\\..\\x.txt", b"out"), "leads out of the archive"),
        (
            member_of("root/data/train/x.txt", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            r"x\.txt, 0 bytes: a link",
        ),
        (
            member_of("root/data/train/x.txt", type=tarfile.LNKTYPE, linkname="root/README"),
            r"x\.txt, 0 bytes: a link",
        ),
        (member_of("root/data/train/x.txt", type=tarfile.FIFOTYPE), r"x\.txt, 0 bytes: a link"),
        (member_of("root/data/train/x.txt", b"x" * 101), r"101 bytes: a link, or longer than 100"),
    ],
)
def test_names_links_and_sizes_that_could_do_harm_are_refused(
    server, folder, tmp_path, monkeypatch, member, found
):
    monkeypatch.setattr(module, "LONGEST", 100)
    pack(server.file, member)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=rf"data\.tar\.gz: .*{found}.*What came is deleted"):
        fetch_folders(server.archive, folder)
    assert contents(folder) == OLD
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_that_is_not_wanted_does_no_harm(server, folder):
    link = member_of("root/data/all/b.txt", type=tarfile.SYMTYPE, linkname="../../../../etc/passwd")
    link_as_folder = member_of("root/data/more", type=tarfile.SYMTYPE, linkname="/etc")
    pack(server.file, link, link_as_folder)
    fetch_folders(server.archive, folder)
    assert contents(folder) == RIGHT


def is_x(parts: tuple[str, ...]) -> bool:
    return parts[-1:] == ("x.txt",)


@pytest.mark.parametrize("name", ["root/all.bin", "root/data/train/x.txt"])
def test_an_archive_that_unpacks_to_too_much_is_refused(server, tmp_path, name):
    pack(server.file, member_of(name, b"\0" * 10**6))
    assert server.file.stat().st_size < 10_000
    with pytest.raises(ValueError, match=r"unpacks to more than 500000 bytes"):
        list(read_archive(server.file, is_x, longest=10**7, most=500_000))


def test_a_header_that_is_endless_is_refused_before_it_fills_the_memory(tmp_path):
    member = tarfile.TarInfo("root/x.txt")
    member.pax_headers = {"comment": "x" * 10**6}
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    with pytest.raises(ValueError, match=r"unpacks to more than 500000 bytes"):
        list(read_archive(tmp_path / "a.tar.gz", is_x, longest=10, most=500_000))


def test_an_archive_that_is_too_large_is_not_downloaded_to_its_end(server, folder, monkeypatch):
    monkeypatch.setattr(module, "PACKED", 100)
    asked = []
    monkeypatch.setattr(
        module, "receive", lambda *arguments: asked.append(arguments[2]) or receive(*arguments)
    )
    with pytest.raises(ValueError, match=r"data\.tar\.gz: more than 100 bytes"):
        fetch_folders(server.archive, folder)
    assert asked == [100]
    assert contents(folder) == OLD


def test_a_download_that_breaks_off_replaces_nothing_and_begins_anew(server, folder):
    server.cut = 200
    with pytest.raises(ValueError, match=r"data\.tar\.gz: download failed \(.*--mirror DIR") as err:
        fetch_folders(server.archive, folder)
    assert f"get and unpack {server.archive.url} by other means" in str(err.value)
    assert contents(folder) == OLD
    server.cut = None
    fetch_folders(server.archive, folder)
    assert contents(folder) == RIGHT
    assert [wanted for _, wanted in server.seen] == [None, None]


def test_what_a_killed_run_left_is_not_built_upon(server, folder):
    (folder / ".data.tar.gz.part").write_bytes(b"left")
    (folder / ".dev.tmp").mkdir()
    (folder / ".dev.tmp/x.txt").write_bytes(b"left")
    fetch_folders(server.archive, folder)
    assert contents(folder) == RIGHT
    assert server.seen == [("/data.tar.gz", None)]


@pytest.mark.parametrize("end", [5, 300])
def test_half_an_archive_is_refused(server, folder, end):
    server.file.write_bytes(server.file.read_bytes()[:end])
    with pytest.raises(ValueError, match=r"Expected a whole \.tar\.gz of plain files\. What came"):
        fetch_folders(server.archive, folder)
    assert contents(folder) == OLD


def test_what_is_no_archive_is_refused(server, folder):
    server.file.write_text("<html>Not found</html>")
    with pytest.raises(ValueError, match=r"data\.tar\.gz: .*Expected a whole \.tar\.gz"):
        fetch_folders(server.archive, folder)


@pytest.mark.parametrize("names", [("train", "dev"), ("data/train", "data/devel")])
def test_a_mirror_has_the_folders_by_either_name_and_only_wanted_files_are_copied(
    server, folder, tmp_path, names
):
    for name, its in zip(names, FILES.values(), strict=True):
        (tmp_path / "mirror" / name).mkdir(parents=True)
        for file, content in {**its, "annotation.conf": b"[entities]"}.items():
            (tmp_path / "mirror" / name / file).write_bytes(content)
    assert fetch_folders(server.archive, folder, mirror=tmp_path / "mirror") == ["train", "dev"]
    assert contents(folder) == RIGHT
    assert server.seen == []


def test_a_mirror_is_verified_too(server, folder, tmp_path):
    (tmp_path / "mirror/train/deep").mkdir(parents=True)
    for name, content in {**FILES["train"], "deep/a.txt": b"more"}.items():
        (tmp_path / "mirror/train" / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"mirror, data/train: 4 files") as caught:
        fetch_folders(server.archive, folder, mirror=tmp_path / "mirror")
    assert "mirror, data/devel: no such folder. Expected 2 files." in str(caught.value)
    assert contents(folder) == OLD


def test_the_digest_is_the_one_of_common_tools(tmp_path):
    for name, content in FILES["train"].items():
        (tmp_path / name).write_bytes(content)
    command = "LC_ALL=C sha256sum * | sha256sum"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no sha256sum")
    assert done.stdout.split()[0] == FOLDERS[0].sha256
    assert problem_of_folder(tmp_path, FOLDERS[0]) == ""


def test_what_was_fetched_here_is_right():
    """Not a test of the code but of the table, where somebody has the files."""
    folders = ARCHIVES["anatem"].folders
    if not (ROOT / "assets/anatem").is_dir():
        pytest.skip("no assets/anatem")
    assert [problem_of_folder(ROOT / "assets/anatem" / part.name, part) for part in folders] == [
        "",
        "",
        "",
    ]
