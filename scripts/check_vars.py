"""Print the resolved vars of project.yml; refuse options without effect and unusable values."""

import importlib.util
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Annotated, Any

import psutil
import srsly
import typer
import weasel
from click.shell_completion import split_arg_string
from packaging.version import InvalidVersion, Version
from typer.main import get_command
from wasabi import msg
from weasel.util import parse_config_overrides

from scripts.asset_list import ARCHIVES, ASSETS, names_of

COMMAND_LINE = "the command line"
THRESHOLDS = ("bootstrap", "exact", "expected")  # scripts.decide --method
WEASEL_ENV = "WEASEL_CONFIG_OVERRIDES"
SPACY_ENV = "SPACY_CONFIG_OVERRIDES"
RUNNERS = (("spacy", "project", "run"), ("weasel", "run"))


@dataclass(frozen=True)
class Option:
    """An override as the user wrote it.

    text: All of it. key: Dotted, as the runner reads it. raw: What stands for the value, None if
    nothing does. value: What the runner makes of it. source: Where it was written.
    """

    text: str
    key: str
    raw: str | None
    value: Any
    source: str

    @property
    def name(self) -> str:
        """Return the variable's name, without `vars.`."""
        return self.key.removeprefix("vars.")


def check_vars(
    values: dict[str, str], options: list[Option], project: Path
) -> list[tuple[str, str, str]]:
    """Compare what was asked for with what the runner resolved, and check the values.

    values: Variables as project.yml hands them over.
    options: Overrides as the user wrote them.
    project: Root of the project.
    RETURNS: Name, value and origin of each variable.
    RAISES ValueError: Options without effect, or values that a command cannot use; names all.
    """
    defined = srsly.read_yaml(project / "project.yml").get("vars", {})
    if odd := set(defined) ^ set(values):
        raise ValueError(
            f"project.yml: vars and the arguments of check-vars differ in {', '.join(sorted(odd))}."
        )
    problems = [_problem_of(option, values, options) for option in options]
    problems += _problems_of_values(values, project)
    if found := [problem for problem in problems if problem]:
        raise ValueError("\n".join(found))
    origins = {option.name: option.source for option in options if option.key in _keys(values)}
    return [(name, value, origins.get(name, "project.yml")) for name, value in values.items()]


def read_options() -> list[Option]:
    """Return the overrides that the running `project run` got, by command line and environment."""
    options = group_options(run_arguments(), COMMAND_LINE)
    for variable in (WEASEL_ENV, SPACY_ENV):
        options += group_options(split_arg_string(os.environ.get(variable, "")), variable)
    return options


def run_arguments() -> list[str]:
    """Return the overrides on the command line of the nearest `project run` above this process.

    RETURNS: Empty, too, if there is no such process: then nobody could have misspelt an option.
    """
    for parent in psutil.Process().parents():
        try:
            arguments = arguments_of(parent.cmdline())
        except psutil.Error:
            continue  # another user's process, or one that has just ended
        if arguments is not None:
            # The runner's own parser decides what is an override and what is a project folder.
            run = get_command(weasel.app).commands["run"]
            return run.make_context("run", arguments, resilient_parsing=True).args
    return []


def arguments_of(command_line: list[str]) -> list[str] | None:
    """Return what follows `spacy project run` or `weasel run`; None for any other command."""
    names = [PurePath(part).name.removesuffix(".exe") for part in command_line]
    for start in range(len(names)):
        for runner in RUNNERS:
            if tuple(names[start : start + len(runner)]) == runner:
                return command_line[start + len(runner) :]
    return None


def group_options(arguments: Iterable[str], source: str) -> list[Option]:
    """Group `--key value`, `--key=value` and `--key` as the runner does.

    RAISES ValueError: An argument belongs to no option.
    """
    groups: list[list[str]] = []
    for argument in arguments:
        if argument.startswith("--"):
            groups.append([argument])
        elif groups and len(groups[-1]) == 1 and "=" not in groups[-1][0]:
            groups[-1].append(argument)
        else:
            raise ValueError(f"{argument} in {source}. Expected --vars.name=value.")
    return [_option(group, source) for group in groups]


def _option(group: list[str], source: str) -> Option:
    """Let the runner's own parser read one option.

    RAISES ValueError: It has no dot.
    """
    name, equals, raw = group[0].partition("=")
    if "." not in name:
        raise ValueError(f"{name} in {source}. Expected --vars.name=value.")
    ((key, value),) = parse_config_overrides(list(group), env_var=None).items()
    given = raw if equals else (group[1] if len(group) == 2 else None)
    return Option(" ".join(group), key, given, value, source)


def _problem_of(option: Option, values: dict[str, str], options: list[Option]) -> str:
    """Say in words why an option did not do what it says; empty if it did."""
    said = f"{option.text} ({option.source})"
    if not option.key.startswith("vars."):
        # spaCy's own variable reaches `spacy train`; only the vars in it go nowhere.
        return (
            ""
            if option.source == SPACY_ENV
            else f"{said}: no variable. Expected --vars.name=value."
        )
    if option.name not in values:
        close = get_close_matches(option.name.replace("-", "_"), values, 1)
        help_ = f"Did you mean --vars.{close[0]}={option.raw or 'VALUE'}?" if close else ""
        return (
            f"{said}: project.yml has no variable '{option.name}', so it was ignored. "
            f"{help_ or 'Expected one of: ' + ', '.join(values) + '.'}"
        )
    if option.source == SPACY_ENV:
        return f"{said}: ignored, weasel no longer reads it. Set {WEASEL_ENV} instead."
    if option.raw is None:
        return f"{said}: no value. Expected --vars.{option.name}=VALUE."
    resolved = values[option.name]
    if resolved in (option.raw, option.value):
        return ""
    return f"{said}: {option.name} is {resolved!r} all the same. {_reason(option, options)}"


def _reason(option: Option, options: list[Option]) -> str:
    """Say why a known variable did not take the value that was asked for."""
    others = [other for other in options if other.key == option.key and other != option]
    stronger = [other for other in others if other.source == WEASEL_ENV]
    if stronger:
        return f"{WEASEL_ENV} sets {stronger[-1].text} and beats the command line; unset one."
    if others:
        return "It is set twice; leave one out."
    if not isinstance(option.value, str):
        quoted = f"--vars.{option.name}='\"{option.raw}\"'"
        return f"It was read as {type(option.value).__name__}; quote it as {quoted}."
    return "The runner changed it on the way; choose a value without blanks and quotes."


def _problems_of_values(values: dict[str, str], project: Path) -> list[str]:
    """Say in words which values the commands cannot use."""
    problems = []
    for name in ("name", "config"):
        if not re.fullmatch(r"[A-Za-z0-9_]+", values[name]):
            problems.append(
                f"{name}: {values[name]!r} cannot be part of a package's name. "
                "Expected letters, digits and _."
            )
    try:
        Version(values["version"])
    except InvalidVersion:
        problems.append(f"version: {values['version']!r}. Expected one like 0.1.0.")
    for name, least in (("gpu_id", -1), ("seed", 0)):
        if not re.fullmatch(r"-?\d+", values[name]) or int(values[name]) < least:
            problems.append(f"{name}: {values[name]!r}. Expected a whole number from {least} up.")
    if values["thresholds"] not in THRESHOLDS:
        found = f"thresholds: {values['thresholds']!r}"
        problems.append(f"{found}. Expected one of {', '.join(THRESHOLDS)}.")
    for name in ("text_column", "label_column", "label_separator"):
        if not values[name]:
            problems.append(f"{name}: empty. Expected a text.")
    if values["raw"] and not (project / values["raw"]).exists():
        problems.append(f"raw: no file or folder {values['raw']!r}. Expected texts, or nothing.")
    problems += [_problem_of_lang(values["lang"]), _problem_of_options(values["options"])]
    problems += [_problem_of_file(n, values[n], project) for n in ("config", "search")]
    return [
        problem for problem in [*problems, _problem_of_data(values["data"], project)] if problem
    ]


def _problem_of_options(options: str) -> str:
    """Say in words if they are not keys of a config and values in turn; dashes may be gone."""
    is_key = True
    for word in split_arg_string(options):
        is_key = is_key or word.startswith("--")
        if is_key and "." not in word.partition("=")[0]:
            return f"options: {word!r}. Expected keys of the config, as --training.dropout 0.2."
        is_key = not is_key or "=" in word
    return ""


def _problem_of_lang(lang: str) -> str:
    """Say in words if spaCy does not have the language; looks without the seconds of an import."""
    spec = importlib.util.find_spec("spacy")
    folder = Path(spec.origin).parent / "lang" if spec and spec.origin else Path()
    known = re.fullmatch(r"[a-z]{2,3}", lang) and (folder / lang).is_dir()
    return "" if known else f"lang: spaCy has no language {lang!r}. Expected a code like en."


def _problem_of_file(name: str, value: str, project: Path) -> str:
    """Say in words if there is no such config, or no such search."""
    folder, ending = {"config": ("configs", ".cfg"), "search": ("configs/search", ".yml")}[name]
    known = sorted(path.stem for path in (project / folder).glob(f"*{ending}"))
    if value in known:
        return ""
    close = get_close_matches(value, known, 1)
    help_ = f"Did you mean {close[0]}?" if close else f"Expected one of: {', '.join(known)}."
    return f"{name}: no {folder}/{value}{ending}. {help_}"


def _problem_of_data(data: str, project: Path) -> str:
    """Say in words if the data set is not there, and how to get it."""
    # It names folders that `clean` deletes, so it must not be able to leave them.
    if not re.fullmatch(r"\w[\w.-]*", data):
        return f"data: {data!r}. Expected the name of a folder in assets/."
    folder = project / "assets" / data
    if needed := names_of(data):
        missing = [name for name in needed if not (folder / name).exists()]
        then = " and python -m scripts.imdb" if data == "imdb" else ""
        help_ = f"Get it by: python -m scripts.assets {data}{then}"
        return f"data: assets/{data} lacks {', '.join(missing)}. {help_}" if missing else ""
    if folder.is_dir():
        return ""
    known = {path.name for path in (project / "assets").glob("[!.]*") if path.is_dir()}
    known |= {*ASSETS, *ARCHIVES}
    close = get_close_matches(data, known, 1)
    help_ = f"Did you mean {close[0]}? " if close else ""
    return f"data: no folder assets/{data}. {help_}Put your files there; see the README."


def _keys(values: dict[str, str]) -> set[str]:
    return {f"vars.{name}" for name in values}


def _parse(pairs: list[str]) -> dict[str, str]:
    """Split name=value.

    RAISES ValueError: There is no equals sign.
    """
    if odd := [pair for pair in pairs if "=" not in pair]:
        raise ValueError(f"{odd[0]!r}. Expected name=value; a value with blanks must be quoted.")
    return dict(pair.split("=", 1) for pair in pairs)


def main(
    pairs: Annotated[list[str], typer.Argument(help="Resolved variables, each as name=value")],
) -> None:
    """Print the resolved vars and refuse unknown ones."""
    try:
        options = read_options()
        rows = check_vars(_parse(pairs), options, Path())
    except ValueError as error:
        msg.fail("The vars are not what was asked for or cannot be used")
        print(error)  # not wrapped, so that the lines stay apart and commands can be copied
        raise typer.Exit(1) from None
    msg.table(rows, header=("var", "value", "from"), divider=True)
    for option in options:
        if option.source == SPACY_ENV:
            msg.warn(f"{SPACY_ENV} changes the config by {option.text}; project.lock ignores that")


if __name__ == "__main__":
    typer.run(main)
