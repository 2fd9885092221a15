"""Compose a config of a model, a data set and small parts, check it and print it."""

import json
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.language import DEFAULT_CONFIG
from spacy.util import load_config
from thinc.api import Config
from wasabi import msg

from scripts.check_config import check_loaded, nearest_first
from scripts.config_groups import ALONE, check_option, groups, merged
from scripts.files import replacing

COMMAND = "python -m scripts.compose"


def compose(settings: list[str], root: Path = Path()) -> str:
    """Return the text of a config; its ${references} are those of the parts.

    settings: group=option, or several options with commas between, and section.key=value, the value
        as after `spacy train`. Groups are merged in the order that `groups` has, then come values.
    root: Folder of the project.
    RAISES ValueError: There is no such group, option or key, or the config is not one that trains.
    """
    known = groups(root)
    chosen, overrides = _read(settings, known)
    path = root / "configs" / f"{chosen[0][1]}.cfg"
    config = load_config(path, interpolate=False)
    for group, option in chosen[1:]:
        config = merged(config, group, option, root)
    for key, value in overrides.items():
        _set(config, key, value)
    text = _text(config)
    where = " ".join(shlex.quote(one) for one in settings)
    check_loaded(config, where, path.read_text(encoding="utf8") + text)
    comments = [f"# {COMMAND} {where}"]
    comments += [f"# {group}={option}: {known[group][option]}" for group, option in chosen]
    return "\n".join(comments) + f"\n\n{text}"


def _read(
    settings: list[str], known: dict[str, dict[str, str]]
) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Return groups with their options, the model first, and values by dotted key."""
    chosen, values = [], {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting}: no =. Expected group=option or section.key=value.")
        if "." in name:
            if name in values:
                raise ValueError(f"{name}: twice. Expected it once.")
            values[name] = _value(value)
            continue
        for option in value.split(","):
            check_option(name, option, known)
            if (name, option) in chosen:
                raise ValueError(f"{name}={option}: twice. Expected it once.")
            chosen.append((name, option))
    for group in ALONE:
        found = [option for name, option in chosen if name == group]
        if len(found) > 1 or (group == "model" and not found):
            has = ", ".join(found) or "nothing"
            raise ValueError(f"{group}: {has}. Expected one of {', '.join(known[group])}.")
    order = list(known)
    chosen.sort(key=lambda pair: order.index(pair[0]))  # stays in the order given within a group
    return chosen, values


def _set(config: Config, key: str, value: Any) -> None:
    """Set a value by its dotted key; whether anything reads it is checked afterwards."""
    *sections, name = key.split(".")
    known = {**DEFAULT_CONFIG, **config}
    if sections[0] not in known:
        expected = ", ".join(nearest_first(sections[0], known))
        raise ValueError(f"{key}: no section {sections[0]!r}. Expected one of {expected}.")
    block: Any = config
    for number, section in enumerate(sections, 1):
        block = block.setdefault(section, {})
        if not isinstance(block, dict):
            there = ".".join(sections[:number])
            raise ValueError(f"{key}: {there} is {block}. Expected a section of the config.")
    block[name] = value


def _value(text: str) -> Any:
    try:
        return json.loads(text)  # not spaCy's reader, of which 0.3 comes as 0.30000000000000004
    except ValueError:
        return text


def _text(config: Config) -> str:
    """Return a config as text, each section before those in it."""
    sections: list[str] = []

    def walk(block: dict[str, Any], path: str = "") -> None:
        for name, value in block.items():
            if isinstance(value, dict):
                sections.append(f"[{path}{name}]")
                walk(value, f"{path}{name}.")

    walk(config)
    blocks = config.to_str(interpolate=False).split("\n\n")
    return (
        "\n\n".join(sorted(blocks, key=lambda block: sections.index(block.split("\n")[0]))) + "\n"
    )


def listing(known: dict[str, dict[str, str]]) -> str:
    """Return all groups and options, a line each."""
    lines = []
    for group, options in known.items():
        width = max(map(len, options), default=0)
        lines += [group, *(f"  {name:{width}}  {what}" for name, what in options.items()), ""]
    return "\n".join(lines)


def main(
    settings: Annotated[
        list[str] | None, typer.Argument(help="group=option and section.key=value", metavar="...")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Print all groups and options")] = False,
) -> None:
    """Compose a config of small parts and print it.

    python -m scripts.compose model=cnn data=sample debug=overfit training.max_steps=30

    model= is a config of configs/, data= a folder of corpus/; other groups are the folders of
    configs/groups, their options the files there. Several options of a group: logger=top,mlflow.
    Values come last, as after `spacy train`: JSON, or text. What is printed can be trained:

    python -m scripts.compose model=cnn | python -m spacy train - --code plugins/__init__.py
    --output training/mine/cnn
    """
    if list_:
        print(listing(groups()))
        return
    try:
        if output and (
            output.suffix != ".cfg" or output.resolve().is_relative_to(Path("configs").resolve())
        ):
            raise ValueError(f"Output {output}: expected a .cfg outside configs/.")
        text = compose(settings or [])
        if output:
            with replacing(output) as temporary:
                temporary.write_text(text, encoding="utf8")
    except ValueError as error:
        with redirect_stdout(sys.stderr):  # what is piped is a config or nothing
            msg.fail("Cannot compose", str(error), exits=1)
    if output:
        msg.good(f"{output}: written")
    else:
        print(text, end="")


if __name__ == "__main__":
    typer.run(main)
