"""Add workflow and commands of a new task to project.yml, as text, so that comments stay."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from scripts.code_deps import code_deps
from scripts.tasks import Task

# What the scripts that decide and score are called after.
ENDS: dict[Task, str] = {
    "textcat": "",
    "entities": "_entities",
    "tokens": "_tokens",
    "pairs": "_pairs",
}
FIRST = "plugins/__init__.py"
LAST = '  - name: "clean"\n'  # commands of tasks stand before it
WIDTH = 96


@dataclass(frozen=True)
class Command:
    """A command of project.yml: its script by line, and what of it is not code."""

    name: str
    said: str
    lines: list[str]
    inputs: list[str]
    outputs: list[str]


def add_task(text: str, name: str, task: Task, reader: str, root: Path = Path()) -> str:
    """Return project.yml with a workflow of a task, its commands, and its plugin in all deps.

    text: Of project.yml.
    name: Of config, plugin and workflow.
    reader: Registered name.
    root: Folder of the project, whose code tells the deps.
    RAISES ValueError: There is no place for them in the text.
    """
    plugin = f"plugins/{name}.py"
    commands = _commands(name, task, reader)
    steps = "".join(f'    - "{step}"\n' for step in ("check-vars", *(x.name for x in commands)))
    workflows = re.search(r"^workflows:\n((?:[ #].*)?\n)*?(?=\n(?:#|\w))", text, re.MULTILINE)
    if workflows is None or text.count(LAST) != 1:
        raise ValueError(f"project.yml: no workflows, or no {LAST.strip()!r}. Expected both.")
    head = (
        text[: workflows.end()]
        + f"  # --vars.data=sample-{name}; docs/{name}.md.\n  {name}:\n{steps}"
    )
    body = text[workflows.end() :].replace(LAST, "".join(map(_block, commands, [root] * 3)) + LAST)
    return _with_plugin(head + body, plugin)


def _commands(name: str, task: Task, reader: str) -> list[Command]:
    data, corpus, run = (f"{folder}/${{vars.data}}" for folder in ("assets", "corpus", "training"))
    run = f"{run}/{name}"
    convert = f"python -m scripts.convert {reader} {data} {corpus} --kind {task}"
    package = f"python -m scripts.package {run}/pipeline {run}/wheel --name ${{vars.name}}_{name}"
    return [
        Command(
            f"preprocess-{name}",
            "Check the rows of assets/<data> and convert them to .spacy in corpus/<data>",
            [f"{convert} --lang ${{vars.lang}}"],
            [data],
            [corpus],
        ),
        _train(name, task, corpus, run),
        Command(
            f"package-{name}",
            f"Build a wheel of the pipeline of {name} with the plugins it needs",
            [f"{package} --version ${{vars.version}}"],
            [f"{run}/pipeline"],
            [f"{run}/wheel"],
        ),
    ]


def _train(name: str, task: Task, corpus: str, run: str) -> Command:
    """Return the command that trains, decides and scores."""
    config, end, gpu = f"configs/{name}.cfg", ENDS[task], "--gpu-id ${vars.gpu_id}"
    train, dev, labels = (f"{corpus}/{x}" for x in ("train.spacy", "dev.spacy", "labels.json"))
    views = [f"{corpus}/views.json"] if task == "textcat" else []
    method = " --method ${vars.thresholds}" if task == "textcat" else ""
    trained, pipeline = f"{run}/trained", f"{run}/pipeline"
    metrics = f"metrics/${{vars.data}}/{name}.json"
    score = f"python -m scripts.evaluate{end} {pipeline} {dev} {metrics}"
    return Command(
        f"train-{name}",
        f"Train configs/{name}.cfg, decide and score: metrics/<data>/{name}.json",
        [
            f"python -m scripts.train {config} {trained} {gpu} --paths.train {train}"
            f" --paths.dev {dev} --paths.labels {labels} --system.seed ${{vars.seed}}"
            " ${vars.options}",
            f"python -m scripts.decide{end} {trained}/model-best {dev} {pipeline}{method} {gpu}",
            score + "".join(f" --views {path}" for path in views) + f" {gpu}",
        ],
        [config, train, dev, labels, *views],
        [trained, pipeline, metrics],
    )


def _block(command: Command, root: Path) -> str:
    """Return the YAML of a command, with the code that its scripts run in deps."""
    modules = re.findall(r"-m (scripts\.\w+)", " ".join(command.lines))
    code = code_deps([f"{module.replace('.', '/')}.py" for module in modules], root)
    lines = [f'  - name: "{command.name}"', f'    help: "{command.said}"', "    script:"]
    for line in command.lines:
        wrapped = textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)
        lines += ["      - >-", *(f"        {part}" for part in wrapped)]
    for key, paths in {"deps": [*command.inputs, *code], "outputs": command.outputs}.items():
        lines += [f"    {key}:", *(f'      - "{path}"' for path in paths)]
    return "\n".join(lines) + "\n\n"


def _with_plugin(text: str, plugin: str) -> str:
    """Return project.yml with a plugin in the deps that have all plugins, in its place."""
    lines = []
    waiting = False
    for line in text.splitlines():
        path = line.strip().removeprefix('- "').removesuffix('"')
        if waiting and (path > plugin or not path.startswith("plugins/")):
            lines.append(f'      - "{plugin}"')
            waiting = False
        waiting = waiting or path == FIRST
        lines.append(line)
    return "\n".join(lines) + "\n"
