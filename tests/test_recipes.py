"""Every `spacy train` line that a page prints, run for a step, by both entry points."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy
import pytest
import spacy
import srsly

from scripts.preprocess import preprocess
from scripts.preprocess_entities import preprocess_entities
from scripts.preprocess_pairs import preprocess_pairs
from scripts.preprocess_tokens import preprocess_tokens
from scripts.raw_text import raw_text
from tests.conftest import ROOT
from tests.made_tasks import made_tasks
from tests.test_assemble import make_source
from tests.tiny_transformer import save_tiny_transformer

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ENTRY_POINTS = {
    "spacy": shlex.quote(str(Path(sys.executable).with_name("spacy"))),
    "python -m spacy": f"{shlex.quote(sys.executable)} -m spacy",
}
ONE_STEP = "--training.max_steps 1 --training.eval_frequency 1"


def train_lines(text: str) -> list[str]:
    """Return the `spacy train` commands in the code blocks of a page, comments left out.

    A block that writes files on the way is one command.
    """
    commands = []
    for block in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        found = [line.split(" #")[0].strip() for line in lines if line.startswith("spacy train ")]
        commands += [block] if found and "<<" in block else found
    return commands


LINES: dict[str, str] = {}  # each once, by its page and number
for page in PAGES:
    for number, line in enumerate(train_lines(page.read_text(encoding="utf8"))):
        if line not in LINES.values():
            LINES[f"{page.stem}-{number}"] = line


def test_lines_are_found_where_they_are():
    block = "```\nspacy train a.cfg \\\n  --x 1  # says\nls\n```\n"
    assert train_lines(f"spacy train b.cfg\n{block}") == ["spacy train a.cfg    --x 1"]
    configs = {path.stem for path in (ROOT / "configs").glob("*.cfg")} - {"assemble"}
    assert len(LINES) >= 8
    assert {re.search(r"configs/(\w+)\.cfg", line)[1] for line in LINES.values()} >= configs


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of the project with a few posts in place of the data, and tiny models."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("configs", "plugins", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "assets" / "sample", folder / "assets" / "sample")
    data = folder / "assets" / "goemotions"
    data.mkdir()
    for path in (ROOT / "assets" / "sample").iterdir():
        rows = path.read_text(encoding="utf8").splitlines(keepends=True)
        limit = 60 if path.suffix == ".tsv" else len(rows)
        (data / path.name).write_text("".join(rows[:limit]), encoding="utf8")
    preprocess(data, folder / "corpus" / "goemotions")
    corpus = folder / "corpus"
    raw_text([corpus / "goemotions" / "train.spacy"], corpus / "raw" / "goemotions.jsonl.gz")
    reviews = folder / "assets" / "imdb"
    reviews.mkdir()
    (reviews / "labels.txt").write_text("NEGATIVE\nPOSITIVE\n")
    for split in ("train", "dev"):
        rows = [
            {"text": f"film {n}", "labels": [("NEGATIVE", "POSITIVE")[n % 2]]} for n in range(9)
        ]
        srsly.write_jsonl(reviews / f"{split}.jsonl", rows)
    preprocess(reviews, corpus / "imdb")
    preprocess_entities(ROOT / "assets" / "sample-entities", corpus / "wnut17")
    preprocess_pairs(ROOT / "assets" / "sample-pairs", corpus / "sample-pairs")
    preprocess_tokens(ROOT / "assets" / "sample-references", corpus / "cora")
    for task in made_tasks():
        task.convert(folder)
    save_tiny_transformer(folder / "assets" / "models" / "minilm")
    shutil.copytree(folder / "assets/models/minilm", folder / "roberta-base")
    make_source(steps=1).to_disk(folder / "assets" / "models" / "en_core_web_sm")
    vectors = spacy.blank("en")
    vectors.vocab.set_vector("happy", numpy.ones(300, dtype="float32"))
    vectors.to_disk(folder / "assets" / "models" / "en_core_web_md")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_printed_line_trains(clone, line, entry_point):
    environment = {**os.environ, "SPACY_CONFIG_OVERRIDES": ONE_STEP, "HF_HUB_OFFLINE": "1"}
    command = re.sub("^spacy ", f"{ENTRY_POINTS[entry_point]} ", line, flags=re.MULTILINE)
    found = subprocess.run(
        ["bash", "-ec", command], cwd=clone, env=environment, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    arguments = shlex.split(line[line.index("spacy train ") :])
    output = arguments[arguments.index("--output") + 1]
    config = spacy.util.load_config(clone / output / "model-best" / "config.cfg")
    assert config["training"]["max_steps"] == 1
    for key, value in pairwise(arguments):
        if key.startswith("--components."):
            resolved = config
            for part in key.removeprefix("--").split("."):
                resolved = resolved[part]
            assert str(resolved).lower() == value
