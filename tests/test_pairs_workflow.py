"""The workflow for text to text for real, on the committed sample, in a copy of the project."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.util import registry

from tests.conftest import copy_project

FEW_STEPS = "--training.max_steps 80 --training.eval_frequency 40"
RUN = [sys.executable, "-m", "spacy", "project", "run"]
DATA = ["--vars.data=sample-pairs", "--vars.config=seq2seq"]
TEXT = "My sister was furious at the station."

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project, after the workflow ran on the sample for a few steps."""
    folder = copy_project(tmp_path_factory.mktemp("clone"), "sample-pairs")
    run(folder, [*RUN, "seq2seq", ".", *DATA])
    return folder


def run(project: Path, command: list[str], overrides: str = FEW_STEPS) -> str:
    """Run a command in the copy and return what it printed."""
    environment = {**os.environ, "SPACY_CONFIG_OVERRIDES": overrides, "PYTHONPATH": str(project)}
    found = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return found.stdout


def test_the_workflow_scores_the_sample_and_keeps_its_decoder(project):
    metrics = srsly.read_json(project / "metrics" / "sample-pairs" / "seq2seq.json")
    assert metrics["docs"] == 86
    assert 0.15 < metrics["text"]["token_accuracy"] <= 1
    assert set(metrics["exact"]["labels"]) <= {"EXPRESSION", "FEELING", "PERSON", "PLACE"}
    pipeline = project / "training" / "sample-pairs" / "seq2seq" / "pipeline"
    tried = srsly.read_json(pipeline / "decoders.json")["decoders"]
    assert set(tried) == {"greedy", "beam of 4"}
    config = spacy.util.load_config(pipeline / "config.cfg")
    kept = config["components"]["seq2seq"]["decoder"]
    assert metrics["conditions"]["decoder"]["@misc"] == kept["@misc"]


def test_the_page_shows_triples_and_what_the_decoder_looked_at(project):
    folder = project / "training" / "sample-pairs" / "seq2seq" / "report"
    page = (folder / "index.html").read_text(encoding="utf8")
    assert page.count("<svg") >= 2
    assert re.search(r"\{\{PERSON\}\}", page)
    assert len(list(folder.glob("*.png"))) >= 2


def test_a_second_run_skips_all_but_the_first_step(project):
    printed = run(project, [*RUN, "seq2seq", ".", *DATA])
    assert len([line for line in printed.splitlines() if "Skipping" in line]) == 6, printed


def test_the_wheel_writes_the_same_texts_by_itself(project, tmp_path):
    folder = project / "training" / "sample-pairs" / "seq2seq"
    (wheel,) = (folder / "wheel").iterdir()
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys; sys.modules['plugins'] = None\n"  # of the project, not to be imported
        f"import spacy; doc = spacy.load('en_goemotions_seq2seq')({TEXT!r})\n"
        "print([doc._.seq2seq, *((e.text, e.label_) for e in doc.ents)])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    doc = spacy.load(folder / "pipeline")(TEXT)
    expected = [doc._.seq2seq, *((e.text, e.label_) for e in doc.ents)]
    assert doc._.seq2seq and found.stdout.strip() == str(expected), found.stderr[-2000:]
    names = {Path(name).name for name in zipfile.ZipFile(wheel).namelist()}
    assert {"seq2seq.py", "seq2seq_models.py", "markup.py", "decoders.py"} <= names
    assert "torch_lstm.py" not in names


def test_what_the_page_says_of_another_decoder_is_so(project):
    nlp = spacy.load(project / "training" / "sample-pairs" / "seq2seq" / "pipeline")
    beam = {"@misc": "goemotions.BeamDecoder.v1", "width": 8, "n_best": 3}
    nlp.get_pipe("seq2seq").decoder = registry.resolve({"decoder": beam})["decoder"]
    best = nlp(TEXT)._.seq2seq_best
    assert len(best) == 3
    assert best == sorted(best, key=lambda one: -one["score"])
    assert len({one["text"] for one in best}) >= 2


def test_the_other_way_round_learns_to_take_tags_out(project):
    command = ["scripts.preprocess_pairs", "assets/sample-pairs", "corpus/plain", "--reverse"]
    run(project, [sys.executable, "-m", *command])
    command = ["scripts.experiment", "seq2seq", "--data", "plain", "--name", "seq2seq", "--test"]
    settings = "--components.seq2seq.tags none --training.max_steps 80 --training.eval_frequency 40"
    run(project, [sys.executable, "-m", *command, *settings.split()], overrides="")
    found = srsly.read_json(project / "metrics" / "plain" / "seq2seq.test.json")
    assert found["text"]["token_accuracy"] > 0.15
    assert "exact" not in found and "labels" not in found
