"""Convert a config to YAML or back; comments are lost."""

import configparser
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import srsly
import typer
from confection import VARIABLE_RE
from spacy.util import load_config
from thinc.api import Config
from wasabi import msg

from scripts.files import replacing

YAML = (".yml", ".yaml")


def config_yaml(path: Path) -> str:
    """Return a .cfg as YAML, or a .yml or .yaml as .cfg; ${references} stay as they are.

    Values keep their types; a dollar sign that begins no reference is $ in YAML and $$ in a .cfg.

    path: Config to convert.
    RAISES ValueError: It is neither, it cannot be read, or a value has no counterpart; names the
        file, and the line where the reader knows it.
    """
    if path.suffix in YAML:
        return _to_cfg(path, _read_yaml(path))
    if path.suffix != ".cfg":
        raise ValueError(f"{path}: found {path.suffix or 'no suffix'}. Expected .cfg, .yml, .yaml.")
    try:
        found = _plain(load_config(path, interpolate=False))
    except (ValueError, configparser.Error) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    _to_cfg(path, found)  # or what stands there could not be had back
    text = srsly.yaml_dumps(_values_first(found))
    again = srsly.yaml_loads(text)
    if _frozen(again) != _frozen(found):  # the writer changes some control characters
        raise ValueError(f"{path}: no YAML can hold {_first_difference(found, again)}.")
    return text


@contextmanager
def as_cfg(path: Path) -> Iterator[Path]:
    """Yield a config as a .cfg: itself, or a temporary copy of a YAML; errors name what was given.

    RAISES ValueError: As config_yaml does.
    """
    if path.suffix not in YAML:
        yield path
        return
    text = config_yaml(path)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / f"{path.stem}.cfg"
        copy.write_text(text, encoding="utf8")
        try:
            yield copy
        except ValueError as error:
            raise ValueError(str(error).replace(str(copy), str(path))) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return what a YAML file holds: sections, of which each has keys."""
    try:
        found = srsly.read_yaml(path)
    except ValueError as error:  # UnicodeDecodeError is one, and srsly's own
        cause = error.__context__
        mark = getattr(cause, "problem_mark", None)
        if mark is None:
            raise ValueError(f"{path}: {str(error).splitlines()[0]}") from error
        problem = str(cause.problem).splitlines()[0]
        raise ValueError(f"{path}, line {mark.line + 1}: {problem}. Expected YAML.") from error
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path}: found {_kind(found)}. Expected sections with keys and values.")
    for name, section in found.items():
        if not isinstance(section, dict):
            raise ValueError(
                f"{path}: {name} is {_kind(section)}. Expected a section with keys and values."
            )
    return found


def _to_cfg(path: Path, found: dict[str, Any]) -> str:
    """Return values as the text of a .cfg, after reading it again."""
    try:
        wanted = _frozen(found)
        for text in _strings(found):
            if "${" in text and "$" in VARIABLE_RE.sub("", text).replace("$$", ""):
                raise ValueError(f"{text!r} has a $ that begins no ${{reference}}")
        blocks = Config(found).to_str(interpolate=False).split("\n\n")  # level by level
        order = {name: number for number, name in enumerate(_sections(found))}
        blocks.sort(key=lambda block: order.get(block.splitlines()[0], -1))
        text = "\n\n".join(blocks) + "\n"
        again = _plain(Config().from_str(text, interpolate=False))
    except (TypeError, ValueError, RecursionError, configparser.Error) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: no .cfg can hold this: {reason}") from error
    if _frozen(again) != wanted:
        where = _first_difference(found, again)
        raise ValueError(
            f"{path}: no .cfg can hold {where}. Expected keys of letters, digits and underscores, "
            "and values that JSON has."
        )
    return text


def _sections(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the names of all sections, each before those in it."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"[{path}{key}]"
            yield from _sections(value, f"{path}{key}.")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def _plain(value: Any) -> Any:
    """Return a value as a dict or list of its own, with $ in place of $$."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, str) and not VARIABLE_RE.search(value):
        return value.replace("$$", "$")
    return value


def _values_first(section: dict[str, Any]) -> dict[str, Any]:
    """Return a section with the keys that hold no section before those that do."""
    ordered = sorted(section, key=lambda key: isinstance(section[key], dict))
    return {
        key: _values_first(section[key]) if isinstance(section[key], dict) else section[key]
        for key in ordered
    }


def _frozen(value: Any) -> str:
    """Return a text that is the same for the same values of the same types."""
    if isinstance(value, dict):
        strange = next((key for key in value if not isinstance(key, str)), "")
        if strange != "":
            raise TypeError(f"the key {strange!r} is no text")
        return json.dumps({key: _frozen(one) for key, one in value.items()}, sort_keys=True)
    return json.dumps(value, sort_keys=True)


def _first_difference(one: dict[str, Any], other: Any, where: str = "") -> str:
    """Return the dotted key of a value that differs."""
    for key, value in one.items():
        there = other.get(key) if isinstance(other, dict) else None
        if isinstance(value, dict) and _frozen(value) != _frozen(there):
            return _first_difference(value, there, f"{where}{key}.")
        if not isinstance(other, dict) or key not in other or _frozen(value) != _frozen(there):
            return f"{where}{key} = {value!r}"
    return where.rstrip(".") or "the names of its sections"


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def main(
    path: Annotated[Path, typer.Argument(help=".cfg, .yml or .yaml", exists=True, dir_okay=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; prints without it")
    ] = None,
) -> None:
    """Convert a config from .cfg to YAML or back; comments are lost."""
    try:
        wanted = (".cfg",) if path.suffix in YAML else YAML
        if output and output.suffix not in wanted:
            raise ValueError(f"Output {output}: expected a name in {' or '.join(wanted)}.")
        text = config_yaml(path)
        if output:
            with replacing(output) as temporary:
                temporary.write_text(text, encoding="utf8")
    except ValueError as error:
        msg.fail("Cannot convert", str(error), exits=1)
    if output:
        msg.good(f"{output}: written, without comments")
    else:
        print(text, end="")


if __name__ == "__main__":
    typer.run(main)
