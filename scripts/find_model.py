"""Find the folder of a pipeline by a short name, a package, a wheel or the address of one."""

from pathlib import Path
from urllib.parse import urlsplit

from scripts.scores import find_pipeline
from scripts.wheels import fetch_wheel, is_address, unpack_wheel

TRAINING = Path("training")


def find_model(model: Path | str) -> Path:
    """Return the folder of a pipeline; wheels are unpacked into a cache, and nothing is installed.

    model: Folder; <data>/<config> of one in training/; name of an installed package; a .whl, or
        its http address with #sha256= at the end.
    RAISES ValueError: There is none.
    """
    if is_address(model):
        return fetch_wheel(str(model))
    path = Path(model)
    if path.suffix == ".whl":
        return unpack_wheel(path)
    ours = TRAINING / path / "pipeline"
    if len(path.parts) == 2 and not path.exists() and (ours / "meta.json").exists():
        return ours
    return find_pipeline(model)


def name_of(model: Path | str) -> str:
    """Return a short name: data set and config, the package of a wheel, else what was given.

    training/goemotions/cnn/pipeline is goemotions/cnn; of other folders it is the last two parts.
    """
    name = urlsplit(str(model)).path if is_address(model) else str(model)
    if name.endswith(".whl"):
        return Path(name).name.split("-")[0]
    if not Path(model).exists():
        return str(model)  # an installed package, or short already
    parts = [part for part in Path(model).resolve().parts[1:] if part != "pipeline"]
    return "/".join(parts[-2:])
