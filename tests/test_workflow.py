"""The workflows for real, on the committed sample, in a copy of what git would commit."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
import srsly

from tests.conftest import copy_project

# Nine steps instead of a thousand: what is learnt does not matter here.
FEW_STEPS = "--training.max_steps 9 --training.eval_frequency 3"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project without anything built."""
    folder = copy_project(tmp_path_factory.mktemp("clone"), "sample")
    return folder


def run(project: Path, name: str = "all") -> str:
    """Run a workflow or a command and return what it printed."""
    command = [sys.executable, "-m", "spacy", "project", "run", name, ".", "--vars.data=sample"]
    environment = {**os.environ, "SPACY_CONFIG_OVERRIDES": FEW_STEPS, "PYTHONPATH": str(project)}
    found = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_the_workflow_runs_from_posts_to_wheel_and_then_skips(project):
    printed = run(project)
    assert "28 thresholds from" in printed
    metrics = srsly.read_json(project / "metrics" / "sample" / "cnn.json")
    assert metrics["docs"] == 430
    assert len(metrics["per_label"]) == 28
    assert set(metrics["views"]) == {"ekman", "sentiment"}
    assert metrics["conditions"]["training"]["overrides"]["system.seed"] == 0
    folder = project / "training" / "sample" / "cnn"
    assert [path.name for path in (folder / "wheel").iterdir()] == [
        "en_goemotions_cnn-0.1.0-py3-none-any.whl"
    ]
    wheel = zipfile.ZipFile(next((folder / "wheel").iterdir()))
    card = wheel.read("en_goemotions_cnn/en_goemotions_cnn-0.1.0/README.md").decode()
    assert card == (folder / "card.md").read_text(encoding="utf8")
    assert "Scores on the sample prove that the parts fit together" in card
    assert f"| macro-F1 | {metrics['macro_f1']:.3f} (" in card
    assert "test is not measured" in card
    again = run(project)
    skipped = [line for line in again.splitlines() if "Skipping" in line]
    assert len(skipped) == 8, again
    assert "cnn.test.json: no such file" in printed
    run(project, "evaluate-test")
    assert "Skipping" in run(project, "probe") and "Skipping" not in run(project, "card")
    assert "; test is the result" in (folder / "card.md").read_text(encoding="utf8")
    assert not list(project.rglob(".*.tmp"))


def test_the_workflow_lmao_pretrains_and_trains_from_the_weights_and_then_skips(project):
    printed = run(project, "lmao")
    folder = project / "training" / "sample"
    manifest = srsly.read_json(folder / "cnn" / "pretrained" / "manifest.json")
    losses = [row["held_out_loss"] for row in manifest["epochs"]]
    assert len(losses) == 4 and losses[-1] < losses[0]
    weights = "training/sample/cnn/pretrained/model-best.bin"
    metrics = srsly.read_json(project / "metrics" / "sample" / "cnn-lmao.json")
    assert metrics["conditions"]["training"]["overrides"]["paths.init_tok2vec"] == weights
    assert "words/s" in printed
    again = run(project, "lmao")
    assert len([line for line in again.splitlines() if "Skipping" in line]) == 5, again
    run(project, "language-model")
    nlp = spacy.load(folder / "cnn" / "language-model")
    assert [len(pairs) for pairs in nlp("[MASK]")._.nearest_words] == [10]
