"""The workflow for words for real, on the committed sample, by the commands one after the other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import srsly

from scripts.preprocess_tokens import SPLITS
from tests.conftest import copy_project
from tests.small_recipes import small_tok2vec

CORPUS, TRAINED = "corpus/sample-references", "training/sample-references/references"
PIPELINE, METRICS = f"{TRAINED}/pipeline", "metrics/sample-references/references.json"
STEPS = {
    "preprocess_tokens": f"assets/sample-references {CORPUS} --together title",
    "train": f"configs/references.cfg {TRAINED}/trained --paths.train {CORPUS}/train.spacy "
    f"--paths.dev {CORPUS}/dev.spacy --paths.labels {CORPUS}/labels.json "
    "--training.max_steps 60 --training.eval_frequency 30 --training.optimizer.learn_rate 0.01 "
    + " ".join(f"--{key} {value}".replace(", ", ",") for key, value in
               small_tok2vec("token_classifier").items()),
    "decide_tokens": f"{TRAINED}/trained/model-best {CORPUS}/dev.spacy {PIPELINE}",
    "evaluate_tokens": f"{PIPELINE} {CORPUS}/test.spacy {METRICS}",
    "confusion": f"{METRICS} --output docs/confusion.png",
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project, after the commands ran on the sample for a few steps."""
    folder = copy_project(tmp_path_factory.mktemp("clone"), "sample-references")
    for script, arguments in STEPS.items():
        run(folder, script, arguments)
    return folder


def run(project: Path, script: str, arguments: str) -> str:
    """Run a script in the copy and return what it printed."""
    command = [sys.executable, "-m", f"scripts.{script}", *arguments.split()]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    found = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return found.stdout


def test_the_commands_score_the_sample_and_keep_what_they_decided(project):
    report = srsly.read_json(project / CORPUS / "report.json")
    test = report["splits"]["test"]
    assert list(report["splits"]) == list(SPLITS) and len(report["labels"]) == 13
    metrics = srsly.read_json(project / METRICS)
    assert metrics["docs"] == test["texts"] == 49
    assert metrics["tokens"] == test["words"] - test["ignored"]
    assert set(metrics["per_label"]) == set(report["labels"])
    assert 0.5 < metrics["micro_f1"] <= 1 and metrics["macro_f1"] > 0.2
    table = metrics["confusion"]
    assert sum(table[label][label] for label in table) / metrics["tokens"] == pytest.approx(
        metrics["micro_f1"]
    )
    assert sum(sum(row.values()) for row in table.values()) == metrics["tokens"]
    cost = srsly.read_json(project / PIPELINE / "decision.json")["switch_cost"]
    assert metrics["conditions"]["decision"]["switch_cost"] == cost
    assert ("as_trained" in metrics) == (cost > 0)
    assert (project / "docs" / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_the_pipeline_tags_a_reference_by_itself(project):
    nlp = spacy.load(project / PIPELINE)
    doc = nlp("M. Aldous,  Bread and brine, (1992).")
    tags = [token.tag_ for token in doc if not token.is_space]
    assert len(doc) == 7 and set(tags) <= set(nlp.get_pipe("token_classifier").labels)
    assert tags[0] == "author" and {t.tag_ for t in doc if t.is_space} == {""}
    assert nlp.tokenizer("(1992).")[0].norm_ == "1992"
