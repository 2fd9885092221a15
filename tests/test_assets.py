import gzip
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import srsly

from scripts import download
from scripts.asset_list import ARCHIVES, ASSETS, BASE_URL, COMMIT, Asset, names_of
from scripts.assets import fetch_assets, part_of, problem_of
from tests.file_server import serving

ROOT = Path(__file__).parent.parent
MD5 = {
    "train.tsv": "83a206cc5aa2fa9749ee45675f866d03",
    "dev.tsv": "8820aa4fd13c5dee1b55c2893aad1232",
    "test.tsv": "8c3482a12f52ff56429a5d178257be09",
    "emotions.txt": "e0e6d342e661e202e3a0f241db907512",
    "ekman_mapping.json": "590618127fef654ddb04897298f7cdd6",
    "sentiment_dict.json": "b07d9b89c68401588469d09fdd6a488f",
}
FILES = {
    "train.tsv": "".join(f"The kettle sings for the {n}th time\t0\tid{n}\n" for n in range(500)),
    "labels.txt": "joy\nneutral",
    "groups.json": json.dumps({"positive": ["joy"]}, indent=0),
}
ENTITIES = ("wnut17", "ner_drugs", "ner_fashion_brands")
ROWS = {"train.tsv": 500, "labels.txt": 2, "groups.json": 1}


def asset_of(name: str) -> Asset:
    content = FILES[name].encode()
    return Asset(f"data/{name}", hashlib.sha256(content).hexdigest(), len(content), ROWS[name])


ASSETS_HERE = tuple(asset_of(name) for name in FILES)
TRAIN = ASSETS_HERE[0]


@pytest.fixture
def server(tmp_path: Path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "public/data").mkdir(parents=True)
    for name, content in FILES.items():
        (tmp_path / "public/data" / name).write_text(content)
    with serving(tmp_path / "public") as server:
        server.files = tmp_path / "public/data"
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "assets" / "here"


def fetch(server, folder, assets=ASSETS_HERE, **arguments):
    return fetch_assets(assets, folder, base_url=server.url, **arguments)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_all_files_are_downloaded_and_nothing_else_is_left(server, folder):
    assert fetch(server, folder) == list(FILES)
    assert contents(folder) == FILES


def test_files_that_are_right_are_not_fetched_again_unless_forced(server, folder):
    fetch(server, folder)
    server.seen.clear()
    assert fetch(server, folder) == []
    assert server.seen == []
    assert fetch(server, folder, force=True) == list(FILES)
    assert [path for path, _ in server.seen] == [f"/data/{name}" for name in FILES]


@pytest.mark.parametrize("wrong", ["short", FILES["train.tsv"].replace("kettle", "kettel")])
def test_a_wrong_file_is_replaced_by_the_right_one(server, folder, wrong):
    fetch(server, folder)
    (folder / "train.tsv").write_text(wrong)
    assert fetch(server, folder) == ["train.tsv"]
    assert contents(folder) == FILES


def test_an_interrupted_download_is_resumed_where_it_stopped(server, folder):
    folder.mkdir(parents=True)
    part_of(folder, TRAIN.name).write_text(FILES["train.tsv"][:700])
    fetch(server, folder)
    assert [wanted for path, wanted in server.seen if "train" in path] == ["bytes=700-"]
    assert contents(folder) == FILES


def test_a_download_that_breaks_off_replaces_nothing_and_goes_on_the_next_time(server, folder):
    server.cut = 700
    with pytest.raises(ValueError, match=r"train\.tsv: download failed"):
        fetch(server, folder)
    assert not (folder / "train.tsv").exists()
    assert part_of(folder, TRAIN.name).read_text() == FILES["train.tsv"][:700]
    server.cut = None
    server.seen.clear()
    fetch(server, folder)
    assert [wanted for path, wanted in server.seen if "train" in path] == ["bytes=700-"]
    assert contents(folder) == FILES


def test_a_server_without_ranges_sends_the_whole_file_again(server, folder):
    server.ranges = False
    folder.mkdir(parents=True)
    part_of(folder, TRAIN.name).write_text(FILES["train.tsv"][:700])
    fetch(server, folder)
    assert contents(folder) == FILES
    assert len(server.seen) == len(FILES)


@pytest.mark.parametrize("left", ["x" * 700, "x" * TRAIN.size, "x" * (TRAIN.size + 1)])
def test_a_left_over_that_is_wrong_is_not_built_upon(server, folder, left):
    folder.mkdir(parents=True)
    part_of(folder, TRAIN.name).write_text(left)
    fetch(server, folder)
    assert contents(folder) == FILES


def test_a_corrupt_file_is_refused_and_replaces_nothing(server, folder):
    corrupt = FILES["train.tsv"].replace("kettle", "kettel")
    (server.files / "train.tsv").write_text(corrupt)
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("old")
    with pytest.raises(ValueError, match=r"train\.tsv: SHA-256 .* Expected .*What came is deleted"):
        fetch(server, folder)
    assert (folder / "train.tsv").read_text() == "old"
    assert not (folder / "labels.txt").exists(), "one bad file must keep all others out"
    assert not part_of(folder, TRAIN.name).exists()


def test_a_file_that_is_too_long_is_refused_before_its_end(server, folder, monkeypatch):
    received = []

    def receive(url: str, part: Path, *arguments, **options) -> None:
        download.receive(url, part, *arguments, **options)
        received.append(part.stat().st_size)

    monkeypatch.setattr("scripts.assets.receive", receive)
    (server.files / "train.tsv").write_text(FILES["train.tsv"] * 300)
    with pytest.raises(ValueError, match=rf"bytes\. Expected {TRAIN.size}\."):
        fetch(server, folder)
    assert TRAIN.size < received[0] < TRAIN.size * 150


def test_all_problems_are_reported_together_and_the_rest_is_kept_for_the_next_run(server, folder):
    (server.files / "labels.txt").unlink()
    (server.files / "groups.json").write_text("{}")
    with pytest.raises(ValueError, match=r"groups\.json: 2 bytes\. Expected") as caught:
        fetch(server, folder)
    assert "labels.txt: download failed" in str(caught.value)
    assert "404" in str(caught.value)
    for name, content in FILES.items():
        (server.files / name).write_text(content)
    server.seen.clear()
    fetch(server, folder)
    assert [path for path, _ in server.seen] == ["/data/labels.txt", "/data/groups.json"]
    assert contents(folder) == FILES


def test_a_mirror_takes_the_place_of_the_network(server, folder):
    assert fetch(server, folder, mirror=server.files) == list(FILES)
    assert server.seen == []
    assert contents(folder) == FILES


def test_a_mirror_is_verified_too_and_every_problem_named(server, folder):
    (server.files / "train.tsv").unlink()
    (server.files / "labels.txt").write_text("joy\nNeutral")
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("old")
    with pytest.raises(ValueError, match=r"train\.tsv: no such file") as caught:
        fetch(server, folder, mirror=server.files)
    assert "labels.txt: SHA-256" in str(caught.value)
    assert (folder / "train.tsv").read_text() == "old"


def pack(mirror: Path, name: str, content: str) -> None:
    (mirror / name).unlink()
    (mirror / f"{name}.gz").write_bytes(gzip.compress(content.encode()))


def test_a_mirror_may_have_gzipped_files_which_are_unpacked(server, folder):
    for name, content in FILES.items():
        pack(server.files, name, content)
    assert fetch(server, folder, mirror=server.files) == list(FILES)
    assert contents(folder) == FILES


def test_the_file_itself_goes_before_its_gzipped_twin(server, folder):
    pack(server.files, "train.tsv", "another")
    (server.files / "train.tsv").write_text(FILES["train.tsv"])
    fetch(server, folder, mirror=server.files)
    assert contents(folder) == FILES


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (FILES["train.tsv"].replace("kettle", "kettel"), "SHA-256"),
        (FILES["train.tsv"] * 1000, rf"{TRAIN.size + 1} bytes\. Expected {TRAIN.size}"),
    ],
)
def test_a_gzipped_file_is_verified_unpacked_and_never_further_than_it_may_be_long(
    server, folder, content, found
):
    pack(server.files, "train.tsv", content)
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("old")
    with pytest.raises(ValueError, match=rf"train\.tsv\.gz, unpacked: {found}"):
        fetch(server, folder, mirror=server.files)
    assert (folder / "train.tsv").read_text() == "old"
    assert not part_of(folder, TRAIN.name).exists()


@pytest.mark.parametrize("end", [0, 3, 60, -9])
def test_a_broken_gzipped_file_is_refused(server, folder, end):
    pack(server.files, "train.tsv", FILES["train.tsv"])
    packed = server.files / "train.tsv.gz"
    packed.write_bytes(packed.read_bytes()[:end] if end else b"no gzip")
    with pytest.raises(ValueError, match=r"train\.tsv\.gz: .*Expected train\.tsv, gzipped"):
        fetch(server, folder, mirror=server.files)
    assert not (folder / "train.tsv").exists()


def test_without_a_network_the_error_says_what_to_do(folder, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ValueError, match=r"scripts\.assets here --mirror DIR") as caught:
        fetch_assets(ASSETS_HERE, folder, base_url="http://127.0.0.1:9")  # nobody listens there
    assert str(caught.value).startswith("train.tsv, labels.txt, groups.json: download failed")
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []


def test_the_row_count_is_verified(tmp_path):
    (tmp_path / "train.tsv").write_text(FILES["train.tsv"])
    fewer = Asset(TRAIN.path, TRAIN.sha256, TRAIN.size, 499)
    assert problem_of(tmp_path / "train.tsv", TRAIN) == ""
    assert problem_of(tmp_path / "train.tsv", fewer).endswith("500 rows. Expected 499.")


def test_an_archive_has_no_rows_to_count_and_a_url_of_its_own(folder, server):
    archive = Asset(f"{server.url}/data/train.tsv", TRAIN.sha256, TRAIN.size, None)
    assert fetch_assets((archive,), folder, base_url="http://127.0.0.1:9/none") == ["train.tsv"]
    assert problem_of(folder / "train.tsv", archive) == ""


def test_project_yml_and_the_script_name_the_same_files():
    assets = srsly.read_yaml(ROOT / "project.yml")["assets"]
    listed = [asset for asset in assets if not asset.get("extra")]
    assert len(listed) == 6
    assert {item["dest"]: item["url"] for item in listed} == {
        f"assets/goemotions/{asset.name}": f"{BASE_URL}/{asset.path}"
        for asset in ASSETS["goemotions"]
    }
    assert {Path(item["dest"]).name: item["checksum"] for item in listed} == MD5
    (imdb,) = ASSETS["imdb"]
    extra = {item["dest"]: item["url"] for item in assets if item.get("extra")}
    assert extra[f"assets/imdb/{imdb.name}"] == imdb.path
    assert all(COMMIT in item["url"] and item["description"] for item in listed)


def test_the_command_line_refuses_with_exit_code_1_and_replaces_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "scripts.assets", "--mirror", str(tmp_path / "empty")]
    done = subprocess.run(command, cwd=link(tmp_path), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.count("no such file") == 6
    assert list((tmp_path / "project/assets/goemotions").iterdir()) == []


def test_the_sources_of_entities_pin_a_commit_and_names_are_unique():
    assets = [asset for data in ENTITIES for asset in ASSETS[data]]
    assert len(assets) == 7
    for asset in assets:
        assert re.search(r"https://raw\.githubusercontent\.com/.*/[0-9a-f]{40}/", asset.path)
        assert re.fullmatch(r"[0-9a-f]{64}", asset.sha256)
        assert asset.rows < asset.size
    assert len({asset.sha256 for asset in assets}) == len({asset.name for asset in assets}) == 7
    (archive,) = ARCHIVES.values()
    assert re.search(r"/archive/[0-9a-f]{40}\.tar\.gz$", archive.url)


def test_a_data_set_names_what_it_has_when_it_is_complete():
    assert names_of("wnut17") == [
        "wnut17train.conll",
        "emerging.dev.conll",
        "emerging.test.annotated",
    ]
    assert names_of("ner_drugs") == ["drugs_training.jsonl", "drugs_eval.jsonl"]
    assert names_of("anatem") == ["train", "dev", "test"]
    assert names_of("imdb") == ["train.jsonl"]
    assert names_of("mine") == []


@pytest.mark.parametrize("data", [*ENTITIES, "goemotions"])
def test_what_was_fetched_here_is_right(data):
    """Not a test of the code but of the table, where somebody has the files."""
    folder = ROOT / "assets" / data
    if not folder.is_dir():
        pytest.skip(f"no assets/{data}")
    assert [problem_of(folder / asset.name, asset) for asset in ASSETS[data]] == [""] * len(
        ASSETS[data]
    )


def test_the_command_line_names_all_data_sets(tmp_path):
    command = [sys.executable, "-m", "scripts.assets", "ner_drug"]
    done = subprocess.run(command, cwd=link(tmp_path), capture_output=True, text=True)
    assert done.returncode == 1
    expected = "goemotions, imdb, wnut17, ner_drugs, ner_fashion_brands, cora, anatem."
    assert f"Data set 'ner_drug'. Expected one of: {expected}" in done.stdout
    assert not (tmp_path / "project/assets").exists()


def link(tmp_path: Path) -> Path:
    """Return a project with nothing but the scripts."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project/scripts").symlink_to(ROOT / "scripts")
    return tmp_path / "project"
