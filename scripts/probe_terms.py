"""Read the sentences of a probe: templates, and what fills them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly

SLOT = "{}"


@dataclass
class Terms:
    """Templates with one slot each, and what fills it.

    baseline: What all other fillers are compared with.
    groups: Terms by group, the control group first.
    """

    baseline: str
    templates: list[str]
    groups: dict[str, list[str]]

    def sentences(self, filler: str) -> list[str]:
        """Return each template with a filler in its slot."""
        return [template.replace(SLOT, filler) for template in self.templates]


def read_terms(path: Path) -> dict[str, Terms]:
    """Read a file like configs/probe.yml.

    RETURNS: Terms by the name of their set, in the order of the file.
    RAISES ValueError: It is not such a file; names the set, what was found and expected.
    """
    try:
        found = srsly.read_yaml(path)
    except Exception as error:  # whatever the YAML parser raises
        raise ValueError(f"{path}: {error}. Expected YAML.") from error
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path}: {str(found)[:80]}. Expected sets of sentences by name.")
    return {str(name): _terms_of(value, f"{path}, {name}") for name, value in found.items()}


def _terms_of(value: Any, where: str) -> Terms:
    keys = ["baseline", "control", "groups", "templates"]
    if not isinstance(value, dict) or sorted(value) != keys:
        names = sorted(value) if isinstance(value, dict) else value
        raise ValueError(f"{where}: {names}. Expected {', '.join(keys)}.")
    if not isinstance(value["groups"], dict) or "control" in value["groups"]:
        raise ValueError(f"{where}, groups: {value['groups']}. Expected lists of terms by name.")
    groups = {"control": value["control"], **value["groups"]}
    for name, texts in {"templates": value["templates"], **groups}.items():
        _check_texts(texts, f"{where}, {name}")
    if not isinstance(value["baseline"], str):
        raise ValueError(f"{where}, baseline: {value['baseline']}. Expected text.")
    odd = [template for template in value["templates"] if template.count(SLOT) != 1]
    if odd:
        raise ValueError(f"{where}, template {odd[0]!r}. Expected {SLOT} in it, once.")
    if twice := list(_repeated([value["baseline"], *(x for g in groups.values() for x in g)])):
        raise ValueError(f"{where}: {twice[0]!r} is there twice. Expected each term once.")
    return Terms(value["baseline"], list(value["templates"]), groups)


def _check_texts(texts: Any, where: str) -> None:
    if not isinstance(texts, list) or not texts or not all(isinstance(x, str) for x in texts):
        raise ValueError(f"{where}: {texts}. Expected a list of texts.")


def _repeated(texts: list[str]) -> Iterator[str]:
    yield from (text for number, text in enumerate(texts) if text in texts[:number])
