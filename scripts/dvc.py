"""Write dvc.yaml from project.yml, so that DVC runs, keeps and compares what the project makes."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from wasabi import msg
from weasel.util import get_hash, load_project_config

from scripts.files import replacing

PROJECT, STAGES, WORKFLOW = "project.yml", "dvc.yaml", "dvc"
INSTALL = 'pip install "dvc[s3]==3.67.1"'
HEADER = """\
# Written by `python -m scripts.dvc`; change project.yml and run that again.
# `spacy project dvc` deletes this file once project.yml has changed: never use it.
"""
VAR = re.compile(r"\$\{vars\.(\w+)\}")
SHELL = set("`;|&<>$!*?[(){}#~")  # of a line of project.yml, which runs without one
TRAINING = "training/${vars.data}/${vars.config}"
LOG, LABELS = f"{TRAINING}/trained/log.csv", f"{TRAINING}/tables/labels.csv"
METRICS = [f"{TRAINING}/tables/scores.json"]
PLOTS = [
    {"score": {"x": {LOG: "step"}, "y": {LOG: "score"}, "title": "Score on dev by step"}},
    {"loss": {"x": {LOG: "step"}, "y": {LOG: "loss"}, "title": "Training loss by step"}},
    {
        LABELS: {
            "x": "f1",
            "y": "label",
            "title": "F1 of each label",
            "template": "bar_horizontal",
        }
    },
]


def dvc_stages(project: dict[str, Any]) -> dict[str, Any]:
    """Return what DVC is to run: the commands of the workflow `dvc` that have outputs.

    DVC fills in ${vars.x} from project.yml itself, as the project runner does, so a changed var
    runs again what depends on it, and `dvc exp run -S project.yml:vars.seed=1` works.

    project: Content of project.yml, its vars not filled in.
    RETURNS: Content of dvc.yaml. What lies in metrics/ is small and stays with git.
    RAISES ValueError: There is no such workflow, or a shell, which DVC runs a line with, would
        read it differently.
    """
    if WORKFLOW not in project.get("workflows", {}):
        raise ValueError(f"{PROJECT}: no workflow {WORKFLOW}. Expected one with the steps for DVC.")
    commands = {command["name"]: command for command in project["commands"]}
    steps = [commands[name] for name in project["workflows"][WORKFLOW]]
    stages = {step["name"]: _stage(step) for step in steps if step.get("outputs")}
    return {"vars": [f"{PROJECT}:vars"], "stages": stages, "metrics": METRICS, "plots": PLOTS}


def _stage(command: dict[str, Any]) -> dict[str, Any]:
    for line in command["script"]:
        if odd := SHELL & set(VAR.sub("", line)):
            found = f"{' '.join(sorted(odd))} in {line!r}"
            raise ValueError(f"{PROJECT}, {command['name']}: {found}. Expected none.")
    used = set(VAR.findall(" ".join(command["script"])))
    stage = {
        "desc": command.get("help"),
        "cmd": list(command["script"]),
        "deps": command.get("deps"),
        "params": [{PROJECT: [f"vars.{name}" for name in sorted(used)]}] if used else None,
        "outs": [
            {path: {"cache": False}} if path.startswith("metrics/") else path
            for path in command["outputs"]
        ],
    }
    return {key: value for key, value in stage.items() if value}


def write_stages(project: Path, output: Path) -> list[str]:
    """Write dvc.yaml and return the names of its stages.

    project: Folder of project.yml.
    output: File to write; one written earlier is replaced.
    RAISES ValueError: project.yml cannot be used, or what is there is not from here.
    """
    if output.exists() and HEADER not in output.read_text(encoding="utf8"):
        raise ValueError(f"{output}: not written by this command. Expected none; move it away.")
    content = dvc_stages(load_project_config(project, interpolate=False))
    # The hash in the first line tells `spacy project dvc` that there is nothing to do.
    first = f"# {get_hash(load_project_config(project))}\n"
    with replacing(output) as temporary:
        temporary.write_text(first + HEADER + srsly.yaml_dumps(content), encoding="utf8")
    return list(content["stages"])


def main(
    output: Annotated[Path, typer.Option(help="File to write", dir_okay=False)] = Path(STAGES),
) -> None:
    """Write dvc.yaml of the workflow `dvc` in project.yml."""
    try:
        stages = write_stages(Path(), output)
    except ValueError as error:
        msg.fail("No dvc.yaml was written", str(error), exits=1)
    msg.good(f"{len(stages)} stages: {output}")
    msg.warn("Never use `spacy project dvc`: it deletes dvc.yaml, then fails")
    if find_spec("dvc") is None:
        msg.info(f"DVC is not installed. Next: {INSTALL}")
    else:
        msg.info(f"Next: dvc {'repro' if Path('.dvc').exists() else 'init'}")


if __name__ == "__main__":
    typer.run(main)
