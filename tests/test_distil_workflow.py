"""The workflow `distil` for real, on the committed sample, with a tiny transformer as teacher."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.util import load_config

from scripts.corpus import read_corpus
from tests.conftest import copy_project
from tests.tiny_transformer import save_tiny_transformer

FEW_STEPS = "--training.max_steps 6 --training.eval_frequency 3"
RAW = ["the raw text is here", "you love to hate it so much", "short"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with raw texts, and a tiny model in place of the pretrained one."""
    folder = copy_project(tmp_path_factory.mktemp("clone"), "sample")
    save_tiny_transformer(folder / "assets" / "models" / "minilm")
    srsly.write_jsonl(folder / "assets" / "raw.jsonl", [{"text": text} for text in RAW])
    return folder


def run(project: Path) -> str:
    """Run the workflow and return what it printed."""
    command = [sys.executable, "-m", "spacy", "project", "run", "distil", ".", "--vars.data=sample"]
    command += ["--vars.raw=assets/raw.jsonl", "--vars.options=--training.dropout 0.25"]
    command += ["--vars.thresholds=expected"]
    environment = {**os.environ, "SPACY_CONFIG_OVERRIDES": FEW_STEPS, "PYTHONPATH": str(project)}
    found = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-5000:]
    return found.stdout


def test_the_workflow_trains_a_teacher_labels_softly_trains_a_student_and_then_skips(project):
    printed = run(project)
    texts, _ = read_corpus(project / "corpus" / "sample" / "train.spacy")
    assert "and 2 raw texts, mean of 1 teachers" in " ".join(printed.split())
    rows = list(srsly.read_gzip_jsonl(project / "corpus" / "sample-soft" / "soft.jsonl.gz"))
    assert [row["text"] for row in rows] == [*dict.fromkeys(texts), *RAW[:2]]
    assert {len(row["soft"]) for row in rows} == {28}
    folder, metrics = project / "training" / "sample", project / "metrics" / "sample"
    for name, component in (("teacher", "textcat_"), ("cnn-distilled", "soft_textcat_")):
        found = srsly.read_json(metrics / f"{name}.json")
        assert found["docs"] == 430
        assert found["conditions"]["thresholds"]["method"] == "expected"
        config = load_config(folder / name / "pipeline" / "config.cfg")
        factory = config["components"]["textcat_multilabel"]["factory"]
        assert factory == f"{component}multilabel"
    facts = srsly.read_json(metrics / "cnn-distilled.json")["experiment"]
    assert facts["parts"] == ["labels=soft", "distil=cnn"]
    assert facts["overrides"]["training.dropout"] == 0.25
    nlp = spacy.load(folder / "cnn-distilled" / "pipeline")
    assert len(nlp("thank you so much").cats) == 28
    again = run(project)
    assert len([line for line in again.splitlines() if "Skipping" in line]) == 4, again
