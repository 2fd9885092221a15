"""Write dvc.yaml from project.yml, so that DVC versions what the project makes."""

import re
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from wasabi import msg

from scripts.files import replacing

PROJECT, STAGES = Path("project.yml"), Path("dvc.yaml")
HEADER = "# Written by `python -m scripts.dvc`; change project.yml and run that again.\n"
SHELL = set("`;|&<>$!*?(){}#~")  # of a line of project.yml, which runs without one


def dvc_stages(project: dict[str, Any]) -> dict[str, Any]:
    """Return the stages of a pipeline of DVC: the commands of a project that have outputs.

    DVC fills in ${vars.x} from project.yml itself, as the project runner does, so a changed var
    runs again what depends on it, and `dvc exp run -S project.yml:vars.seed=1` works.

    project: Content of project.yml.
    RETURNS: Content of dvc.yaml. Files in metrics/ are metrics, small and kept by git.
    RAISES ValueError: A line that a shell, which DVC has run it, would read differently.
    """
    stages = {}
    for command in project["commands"]:
        if not command.get("outputs"):
            continue
        for line in command["script"]:
            _check(command["name"], line)
        metrics = [path for path in command["outputs"] if path.startswith("metrics/")]
        stages[command["name"]] = {
            "desc": command["help"],
            "cmd": list(command["script"]),
            "deps": list(command.get("deps", [])),
            "params": [{PROJECT.name: [f"vars.{var}" for var in _vars_of(command)]}],
            "outs": [path for path in command["outputs"] if path not in metrics],
            "metrics": [{path: {"cache": False}} for path in metrics],
        }
        stages[command["name"]] = {k: v for k, v in stages[command["name"]].items() if v}
    return {"vars": [PROJECT.name], "stages": stages}


def _vars_of(command: dict[str, Any]) -> list[str]:
    return sorted(set(re.findall(r"\$\{vars\.(\w+)\}", " ".join(command["script"]))))


def _check(name: str, line: str) -> None:
    plain = line.replace("${", "")
    odd = sorted(SHELL & set(plain.replace("}", "")))
    if odd:
        raise ValueError(f"{PROJECT}, {name}: {line}. Expected no {' '.join(odd)}.")


def main(
    output: Annotated[Path, typer.Option(help="Where to write it")] = STAGES,
) -> None:
    """Write dvc.yaml; `spacy project dvc` cannot, and deletes the one that is there."""
    try:
        stages = dvc_stages(srsly.read_yaml(PROJECT))
    except ValueError as error:
        msg.fail("No dvc.yaml was written", str(error), exits=1)
    with replacing(output) as temporary:
        temporary.write_text(HEADER + srsly.yaml_dumps(stages), encoding="utf8")
    msg.good(f"{len(stages['stages'])} stages: {output}. Next: dvc repro")


if __name__ == "__main__":
    typer.run(main)
