"""The workflow for entities for real, on the committed sample, in a copy of the project."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
import srsly

from tests.conftest import ROOT, copy_project

FEW_STEPS = "--training.max_steps 60 --training.eval_frequency 30"
RUN = [sys.executable, "-m", "spacy", "project", "run"]
DATA = ["--vars.data=sample-entities", "--vars.config=ner_crf"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project, after the workflow ran on the sample for a few steps."""
    folder = copy_project(tmp_path_factory.mktemp("clone"), "sample-entities")
    run(folder, [*RUN, "entities", ".", *DATA])
    return folder


def run(project: Path, command: list[str], overrides: str = FEW_STEPS) -> str:
    """Run a command in the copy and return what it printed."""
    environment = {**os.environ, "SPACY_CONFIG_OVERRIDES": overrides, "PYTHONPATH": str(project)}
    found = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return found.stdout


def test_the_workflow_scores_the_sample_and_keeps_what_it_decided(project):
    metrics = srsly.read_json(project / "metrics" / "sample-entities" / "ner_crf.json")
    assert metrics["docs"] == 12
    assert set(metrics["exact"]["labels"]) <= {"EXPRESSION", "FEELING", "PERSON", "PLACE"}
    assert 0.2 < metrics["exact"]["micro"]["f"] <= metrics["overlap"]["micro"]["f"] <= 1
    pipeline = project / "training" / "sample-entities" / "ner_crf" / "pipeline"
    bias = srsly.read_json(pipeline / "decision.json")["recall_bias"]
    assert metrics["conditions"]["decision"]["recall_bias"] == bias
    assert spacy.load(pipeline).get_pipe("ner_crf").recall_bias == bias


def test_a_second_run_skips_all_but_the_first_step(project):
    printed = run(project, [*RUN, "entities", ".", *DATA])
    assert len([line for line in printed.splitlines() if "Skipping" in line]) == 5, printed


def test_the_wheel_finds_the_same_entities_by_itself(project, tmp_path):
    folder = project / "training" / "sample-entities" / "ner_crf"
    (wheel,) = (folder / "wheel").iterdir()
    zipfile.ZipFile(wheel).extractall(tmp_path)
    text = (ROOT / "assets/sample-entities/test/page-01.txt").read_text(encoding="utf8")
    code = (
        "import sys; sys.modules['plugins'] = None\n"  # of the project, not to be imported
        f"import spacy; doc = spacy.load('en_goemotions_ner_crf')({text!r})\n"
        "print([(e.text, e.label_, round(e._.confidence, 3)) for e in doc.ents])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    doc = spacy.load(folder / "pipeline")(text)
    expected = [(e.text, e.label_, round(e._.confidence, 3)) for e in doc.ents]
    assert expected and found.stdout.strip() == str(expected), found.stderr[-2000:]


def test_the_loop_trains_by_the_line_of_its_page(project):
    page = (ROOT / "docs" / "training_loop.md").read_text(encoding="utf8")
    (line,) = re.findall(
        r"^python -m scripts\.train_loop .*?[^\\]$", page, re.MULTILINE | re.DOTALL
    )
    command = shlex.split(line.replace("\\\n", " "))
    assert command[:3] == ["python", "-m", "scripts.train_loop"] and "--max-steps" in command
    printed = run(project, [sys.executable, *command[1:]], overrides="")
    assert "Trained in" in printed
    best = spacy.util.load_config(project / "training" / "mine" / "loop" / "model-best/config.cfg")
    assert best["training"]["batcher"]["size"] == 4096
    assert best["components"]["ner_crf"]["model"]["tok2vec"]["encode"]["width"] == 64
    rows = (project / "training" / "mine" / "loop" / "log.csv").read_text().splitlines()
    assert len(rows) == 1 + 5  # of steps 0, 50, 100, 150, 200


def test_entities_read_from_brat_can_be_written_back(project, tmp_path):
    corpus = project / "corpus" / "sample-entities" / "dev.spacy"
    run(
        project,
        [sys.executable, "-m", "scripts.write_standoff", str(corpus), str(tmp_path / "brat")],
    )
    originals = sorted((ROOT / "assets/sample-entities/dev").glob("*.*"))
    assert len(originals) == 24
    for path in originals:
        assert (tmp_path / "brat" / path.name).read_bytes() == path.read_bytes(), path.name
