"""Parts that a config is composed of: a model's config, a data set, fragments of configs/groups."""

import configparser
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from spacy.language import DEFAULT_CONFIG
from spacy.util import load_config
from thinc.api import Config

from scripts.asset_list import ARCHIVES, ASSETS
from scripts.check_config import nearest_first

# In which parts are merged.
ORDER = ("model", "labels", "data", "distil", "trainer", "start", "logger", "debug")
ALONE = ("model", "data")  # of which there is one
FRAGMENTS = "configs/groups"
DATA_FILES = ("train", "dev", "labels", "soft")


def groups(root: Path = Path()) -> dict[str, dict[str, str]]:
    """Return the options of each group and what each is, groups in the order of merging.

    root: Folder of the project.
    """
    configs = sorted((root / "configs").glob("*.cfg"))
    trained = [path for path in configs if "\n[corpora.train]" in path.read_text(encoding="utf8")]
    found = {"model": {path.stem: about(path)[0] for path in trained}, "data": _data_sets(root)}
    for path in sorted((root / FRAGMENTS).glob("*/*.cfg")):
        found.setdefault(path.parent.name, {})[path.stem] = " ".join(about(path))
    return dict(sorted(found.items(), key=lambda item: ([*ORDER, item[0]].index(item[0]), item[0])))


def about(path: Path) -> list[str]:
    """Return the lines of the comment that a config begins with."""
    lines = []
    for line in path.read_text(encoding="utf8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines or [""]


def check_option(group: str, option: str, known: dict[str, dict[str, str]]) -> None:
    """Raise ValueError if there is no such group, or no such option in it."""
    for what, name, names in (("group", group, known), ("option", option, known.get(group, ()))):
        if name not in names:
            found = f"no {what} {name!r}" if what == "group" else f"no {name!r}"
            expected = ", ".join(nearest_first(name, names))
            raise ValueError(f"{group}={option}: {found}. Expected one of {expected}.")


def merged(config: Config, group: str, option: str, root: Path = Path()) -> Config:
    """Return a config with an option of a group merged into it.

    RAISES ValueError: The option is for other configs.
    """
    where = f"{group}={option}"
    path = root / FRAGMENTS / group / f"{option}.cfg"
    if not path.exists():
        return _with_data(config, option, where)
    try:
        fragment = load_config(path, interpolate=False)
    except (ValueError, configparser.Error) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    return with_fragment(config, fragment, where)


def with_fragment(config: Config, fragment: Config, where: str) -> Config:
    """Return a config with a fragment merged into it, by the rules of docs/compose.md.

    A block of a registered function replaces the one that was there, other blocks are merged,
    `key? = value` is for configs that have the key, and ${base.section} is what was there before.

    where: What errors call the fragment.
    RAISES ValueError: The config has not what the fragment changes or refers to.
    """
    new, before = config.copy(), DEFAULT_CONFIG.merge(config)  # some settings have to be written

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(one) for key, one in value.items()}
        reference = re.fullmatch(r"\$\{base\.([\w.*]+)\}", str(value))
        return _at(before, reference[1], where) if reference else value

    _merge(new, fragment, DEFAULT_CONFIG, where, fill)
    return new


def _merge(
    target: dict[str, Any], block: dict[str, Any], default: Any, where: str, fill: Callable
) -> None:
    for key, value in block.items():
        name = key.removesuffix("?")
        if not _is_merged(value):
            if not key.endswith("?") or name in target:
                target[name] = fill(value)
            continue
        known = default.get(name) if isinstance(default, dict) else None
        if isinstance(known, dict):  # spaCy has it, though the config does not write it
            target.setdefault(name, {})
        if isinstance(target.get(name), dict):
            _merge(target[name], value, known, f"{where}, [{name}]", fill)
        elif not all(_optional(value)):
            has = f"{name} = {target[name]}" if name in target else f"no [{name}]"
            raise ValueError(f"{where}: the model's config has {has}. Expected a block.")


def _is_merged(value: Any) -> bool:
    return isinstance(value, dict) and not any(key.startswith("@") for key in value)


def _optional(block: dict[str, Any]) -> Iterator[bool]:
    """Yield of each value of a block whether it is for configs that have it only."""
    for key, value in block.items():
        if _is_merged(value):
            yield from _optional(value)
        else:
            yield key.endswith("?")


def _at(config: Config, path: str, where: str) -> Any:
    """Return a copy of what a config has at a path."""
    value: Any = config
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise ValueError(f"{where}: the model's config has no {path}. Expected it.")
        value = value[name]
    return deepcopy(value)


def _data_sets(root: Path) -> dict[str, str]:
    """Return the data sets that are there or can be fetched, and what to do before training."""
    ready = {path.parent.name for path in (root / "corpus").glob("*/train.spacy")}
    there = {path.parent.name for path in (root / "assets").glob("*/train.*")}
    sets = {}
    for name in sorted({*ready, *there, *ASSETS, *ARCHIVES}):
        lacks = "not preprocessed yet" if name in there else "not fetched yet"
        sets[name] = f"corpus/{name}" if name in ready else f"corpus/{name}, {lacks}"
    return sets


def _with_data(config: Config, name: str, where: str) -> Config:
    """Return a config that reads the same files of another folder of corpus/ or assets/."""
    new, found = config.copy(), False
    for key in DATA_FILES:
        path = Path(str(config.get("paths", {}).get(key)))
        if len(path.parts) == 3 and path.parts[0] in ("corpus", "assets"):
            folder = f"{name}-soft" if key == "soft" else name
            new["paths"][key] = (path.parent.parent / folder / path.name).as_posix()
            found = True
    if not found:
        raise ValueError(f"{where}: no paths.train of the form corpus/NAME/FILE. Expected one.")
    return new
