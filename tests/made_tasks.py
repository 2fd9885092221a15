"""The tasks that `python -m scripts.new_task` has made, as project.yml lists them."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import srsly

from scripts.convert import convert
from scripts.tasks import Task
from tests.conftest import ROOT

# So that forty rows are several batches, in what the batcher of each kind counts.
BATCHES: dict[Task, int] = {"textcat": 8, "entities": 30, "tokens": 30, "pairs": 60}


@dataclass(frozen=True)
class MadeTask:
    """A task, and where its sample and the corpus of it are."""

    name: str
    kind: Task
    reader: str
    source: str
    output: str

    def convert(self, folder: Path, limit: int = 0) -> Path:
        """Make the corpus in a folder of a project; return its own folder."""
        output = folder / self.output
        convert(self.reader, ROOT / self.source, output, kind=self.kind, arguments={"limit": limit})
        return output

    def small(self, folder: Path) -> tuple[Path, dict]:
        """Return the config and what makes its training short; the corpus goes to a folder."""
        corpus = self.convert(folder, limit=40)
        files = {"train": "train.spacy", "dev": "train.spacy", "labels": "labels.json"}
        return ROOT / "configs" / f"{self.name}.cfg", {
            **{f"paths.{key}": str(corpus / file) for key, file in files.items()},
            "training.batcher.size": BATCHES[self.kind],
            "training.max_steps": 12,
            "training.eval_frequency": 4,
        }


def made_tasks() -> list[MadeTask]:
    """Return the tasks in the order of project.yml."""
    found = []
    for command in srsly.read_yaml(ROOT / "project.yml")["commands"]:
        words = shlex.split(command["script"][0])
        if words[:3] == ["python", "-m", "scripts.convert"]:
            kind = words[words.index("--kind") + 1]
            name = command["name"].removeprefix("preprocess-")
            data = f"sample-{name}"
            found.append(MadeTask(name, kind, words[3], f"assets/{data}", f"corpus/{data}"))
    return found
