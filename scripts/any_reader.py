"""Make a reader of its registered name and what it is told, with errors that say what is wrong."""

import inspect
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from confection import ConfigValidationError
from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

import plugins  # noqa: F401  registers the readers

SPLITS = ("train", "dev", "test")
Reader = Callable[[Language], Iterable[Example]]


def make_reader(name: str, arguments: dict[str, Any]) -> Reader:
    """Return the reader that a registered function makes.

    RAISES ValueError: It is not registered, makes no reader, or refuses the arguments.
    """
    parameters_of(name)
    try:
        made = registry.resolve({"reader": {"@readers": name, **arguments}})["reader"]
    except ConfigValidationError as error:
        places = [".".join(map(str, one["loc"])) for one in error.errors]
        said = "; ".join(
            f"{place.removeprefix('reader.')}: {one['msg']}"
            for place, one in zip(places, error.errors, strict=True)
        )
        raise ValueError(f"{name}: {said}. Expected other arguments.") from error
    if not callable(made):
        raise ValueError(f"{name}: makes a {type(made).__name__}. Expected a reader of examples.")
    return made


def parameters_of(name: str) -> list[str]:
    """Return the names of a registered function's arguments.

    RAISES ValueError: It is not registered.
    """
    known = registry.readers.get_all()
    if name not in known:
        near = get_close_matches(name, known, n=3) or sorted(known)
        raise ValueError(
            f"Reader {name!r}: not registered. Expected, for example, {', '.join(near)}."
        )
    return list(inspect.signature(known[name]).parameters)


def arguments_of(
    reader: str, source: Path, files: dict[str, str], more: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the arguments of a reader for each split that there is.

    reader, source, files: As for scripts.convert.
    more: Arguments that are the same for all.
    RAISES ValueError: No train or dev, two files for a split, or an argument that it has not.
    """
    names = parameters_of(reader)
    if unknown := [name for name in more if name not in names]:
        raise ValueError(f"{reader}: argument {unknown[0]!r}. Expected one of {', '.join(names)}.")
    if source.is_dir():
        return {
            split: {names[0]: str(path), **more} for split, path in _find(source, files).items()
        }
    if "split" not in names or files or "split" in more:
        raise ValueError(f"{source}: one file. Expected a folder with train and dev, or a reader "
                         "with an argument 'split' that nothing else sets.")  # fmt: skip
    return {split: {names[0]: str(source), "split": split, **more} for split in SPLITS}


def _find(source: Path, files: dict[str, str]) -> dict[str, Path]:
    """Return the file or folder of each split that there is."""
    found = {}
    for split in SPLITS:
        alike = [p for p in sorted(source.iterdir()) if p.name.split(".")[0] == split]
        there = [source / files[split]] if split in files else alike
        if len(there) > 1:
            names = " and ".join(path.name for path in there)
            raise ValueError(f"{source}: {names}. Expected one of them, or --{split} to name it.")
        if split in files and not there[0].exists():
            raise ValueError(f"{there[0]}: no such {split}. Expected it to be there.")
        if there:
            found[split] = there[0]
        elif split != "test":
            raise ValueError(f"{source}: no {split}. Expected a file of this name, with any ending,"
                             f" or --{split} to name it.")  # fmt: skip
    return found


def parse_arguments(words: list[str]) -> dict[str, Any]:
    """Return the arguments of a reader, given as `--key value` or `--key=value`.

    RAISES ValueError: A key without dashes, or without a value.
    """
    found, waiting = {}, list(words)
    while waiting:
        key, equals, value = waiting.pop(0).partition("=")
        if not key.startswith("--") or not (equals or waiting):
            raise ValueError(f"{key!r}. Expected arguments of the reader as --key value.")
        value = value if equals else waiting.pop(0)
        with suppress(ValueError):  # a text
            value = json.loads(value)
        found[key.removeprefix("--").replace("-", "_")] = value
    return found
