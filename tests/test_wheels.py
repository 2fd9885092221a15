"""Pipelines of wheels are unpacked once, whole and right, and nothing of them is run."""

import shutil
import stat
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import spacy

from scripts import wheels as module
from scripts.files import hash_of
from scripts.find_model import find_model, name_of
from scripts.package import package
from scripts.wheels import cache_folder, fetch_wheel, unpack_wheel
from tests.small_tasks import TEXT, make_tokens

ROOT_OF = "en_x/en_x-0.1.0"
WHOLE = {f"{ROOT_OF}/meta.json": "{}", f"{ROOT_OF}/config.cfg": "[nlp]", f"{ROOT_OF}/a/b": "b"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "textcat_goemotions"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of scripts.package whose code ends whoever runs it."""
    folder = tmp_path_factory.mktemp("wheel")
    make_tokens(30).to_disk(folder / "pipeline")
    built = package(folder / "pipeline", folder, name="fields", release="0.1.0")
    spoilt = folder / "spoilt" / built.name
    spoilt.parent.mkdir()
    with zipfile.ZipFile(built) as old, zipfile.ZipFile(spoilt, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            new.writestr(
                member, b"raise SystemExit" if member.filename.endswith(".py") else content
            )
    return spoilt


@pytest.fixture
def address(wheel, monkeypatch):
    """The wheel on a server, with its hash; and how often it was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(wheel.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{wheel.name}#sha256={hash_of(wheel)}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def make_wheel(path: Path, files: dict[str, str], links: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFLNK if name in links else stat.S_IFREG) << 16
            archive.writestr(member, content)
    return path


def test_a_wheel_of_ours_is_unpacked_by_its_hash_and_no_code_of_it_is_run(wheel, cache):
    found = find_model(wheel)
    assert found == cache / hash_of(wheel) == find_model(str(wheel))
    assert [token.tag_ for token in spacy.load(found)(TEXT)][:3] == ["who", "who", "does"]
    assert not list(found.rglob("*.py"))


def test_a_wheel_is_unpacked_once(wheel, monkeypatch):
    first = unpack_wheel(wheel)
    monkeypatch.setattr(module, "_unpack", None)
    assert unpack_wheel(wheel) == first


def test_an_address_is_fetched_once_and_then_needs_no_network(wheel, address, cache):
    where, asked = address
    assert find_model(where) == cache / hash_of(wheel)
    assert asked == [f"/{wheel.name}"]
    assert find_model(where) == unpack_wheel(wheel)
    assert len(asked) == 1
    lock = f".{hash_of(wheel)}.lock"
    assert sorted(path.name for path in cache.iterdir()) == sorted([lock, hash_of(wheel)])


def test_what_is_not_the_wheel_that_was_meant_is_not_kept(address, cache):
    where, asked = address
    other = f"{where.split('=')[0]}={'0' * 64}"
    for _ in range(2):
        with pytest.raises(ValueError, match=r"en_fields-0\.1\.0.*whl: SHA-256 .*\. Expected 0000"):
            fetch_wheel(other)
    assert len(asked) == 2
    assert [path.name for path in cache.iterdir()] == [f".{'0' * 64}.lock"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "http://127.0.0.1:9/a.whl",
            r"a\.whl, hash none\. Expected the address of a \.whl, then #",
        ),
        ("http://127.0.0.1:9/a.whl#sha256=12", r"a\.whl, hash sha256=12\. Expected"),
        (f"http://127.0.0.1:9/a.whl#md5={'0' * 64}", r"a\.whl, hash md5=000"),
        (f"https://127.0.0.1:9/a.zip#sha256={'0' * 64}", r"a\.zip, hash sha256=0+\. Expected"),
        (f"http://127.0.0.1:9/#sha256={'0' * 64}", r"127\.0\.0\.1, hash sha256=0"),
        (f"http://127.0.0.1:9/a.whl#sha256={'0' * 64}", r"a\.whl: download failed \(.+refused\)"),
        (f"http://127.0.0.1:x/a.whl#sha256={'0' * 64}", r"a\.whl: download failed \(Invalid port"),
    ],
)
def test_an_address_that_cannot_be_had_or_trusted_is_one_sentence(where, said, cache):
    with pytest.raises(ValueError, match=said):
        find_model(where)
    assert [path for path in cache.glob("*") if path.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"en_x/__init__.py": ""}, r"x\.whl: 0 pipelines in it\. Expected a wheel of scripts\.pac"),
        ({**WHOLE, "a/b/meta.json": "", "a/b/config.cfg": ""}, "2 pipelines in it"),
        ({f"{ROOT_OF}/meta.json": "{}"}, "0 pipelines in it"),
        ({**WHOLE, f"{ROOT_OF}/../../../c": ""}, r"'en_x/.*/c' leads out of it\. Expected names"),
        ({**WHOLE, f"{ROOT_OF}/a\\..\\c": ""}, "leads out of it"),
        ({**WHOLE, f"{ROOT_OF}/link": "/etc/passwd"}, r"link' is a link\. Expected files"),
        ({**WHOLE, f"{ROOT_OF}/a": "both"}, r"a' is in it twice|File exists|Not a directory"),
        ({**WHOLE, f"{ROOT_OF}/big": "x" * 1000}, r"over 500 bytes in it\. Expected fewer"),
    ],
)
def test_a_wheel_that_could_do_harm_is_refused_and_leaves_nothing(
    files, said, tmp_path, cache, monkeypatch
):
    monkeypatch.setattr(module, "MOST", 500)
    wheel = make_wheel(tmp_path / "x.whl", files, links=(f"{ROOT_OF}/link",))
    with pytest.raises(ValueError, match=said):
        unpack_wheel(wheel)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert not list(tmp_path.rglob("c"))


def test_only_what_is_below_the_pipeline_is_unpacked(tmp_path):
    files = {**WHOLE, "../evil": "no", "en_x/__init__.py": "no", "/abs": "no"}
    found = unpack_wheel(make_wheel(tmp_path / "x.whl", files))
    names = sorted(p.relative_to(found).as_posix() for p in found.rglob("*") if p.is_file())
    assert names == ["a/b", "config.cfg", "meta.json"]
    assert not (tmp_path / "cache" / "evil").exists()


def test_a_file_that_is_in_a_wheel_twice_is_refused(tmp_path):
    wheel = make_wheel(tmp_path / "x.whl", WHOLE)
    with pytest.warns(UserWarning), zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(f"{ROOT_OF}/a/b", "other")
    with pytest.raises(ValueError, match=r"b' is in it twice\. Expected it once"):
        unpack_wheel(wheel)


def test_a_damaged_wheel_and_none_are_one_sentence(wheel, tmp_path):
    cut = tmp_path / wheel.name
    cut.write_bytes(wheel.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"\.whl: File is not a zip file\. Expected a whole wheel"):
        unpack_wheel(cut)
    data = bytearray(wheel.read_bytes())
    data[len(data) // 2] ^= 255
    cut.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"Expected a whole wheel"):
        unpack_wheel(cut)
    with pytest.raises(ValueError, match=r"gone\.whl: no such file\. Expected a wheel"):
        find_model("gone.whl")


def test_a_cache_that_cannot_be_written_is_named(wheel, cache):
    cache.parent.write_text("a file")
    with pytest.raises(ValueError, match=r"textcat_goemotions: .*\. Expected a folder to write to"):
        unpack_wheel(wheel)


def test_the_cache_is_at_home_unless_told_otherwise(monkeypatch):
    for base in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert cache_folder() == Path.home() / ".cache" / "textcat_goemotions"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/textcat_goemotions")


# Names.


def test_short_names_are_of_what_was_trained_and_folders_come_first(decided, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"mine/cnn: no pipeline here\. Expected a folder"):
        find_model("mine/cnn")
    ours = Path("training/mine/cnn/pipeline")
    shutil.copytree(decided, ours)
    assert find_model("mine/cnn") == ours
    shutil.copytree(decided, "mine/cnn")
    assert find_model("mine/cnn") == Path("mine/cnn")
    assert find_model(decided) == decided
    for other in ("mine", "/mine/cnn", "x/mine/cnn"):
        with pytest.raises(ValueError, match="no pipeline here"):
            find_model(other)


def test_wheels_are_named_by_their_package():
    assert name_of("some/en_x-0.1.0-py3-none-any.whl") == "en_x"
    assert name_of("https://me:secret@host/a/en_x-0.1.0-py3-none-any.whl#sha256=0") == "en_x"
    assert name_of("goemotions/cnn") == "goemotions/cnn"
