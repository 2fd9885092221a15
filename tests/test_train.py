"""Training through the command line: both entry points, the same bytes, and killed half-way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import srsly
from spacy.cli._util import parse_config_overrides
from weasel.util.config import parse_config_overrides as parse_runner_overrides

from scripts.files import hash_of
from scripts.preprocess import preprocess
from scripts.train import train, with_dashes
from tests.conftest import ROOT

pytest_plugins = ["tests.small_recipes"]

CONFIG = ROOT / "configs" / "cnn.cfg"
SMALL = {
    "training.max_steps": 4,
    "training.eval_frequency": 2,
    "components.textcat_multilabel.model.tok2vec.embed.rows": [200, 100],
    "components.textcat_multilabel.model.tok2vec.embed.ngram_rows": 200,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A corpus of 60 posts of the sample."""
    folder = tmp_path_factory.mktemp("data")
    assets = folder / "assets"
    assets.mkdir()
    sample = ROOT / "assets" / "sample"
    (assets / "emotions.txt").write_text((sample / "emotions.txt").read_text())
    for split in ("train", "dev", "test"):
        rows = (sample / f"{split}.tsv").read_text(encoding="utf8").splitlines(keepends=True)
        (assets / f"{split}.tsv").write_text("".join(rows[:60]), encoding="utf8")
    preprocess(assets, folder / "corpus", n_process=1)
    return folder / "corpus"


def paths_of(corpus: Path) -> dict[str, str]:
    files = {"train": "train.spacy", "dev": "dev.spacy", "labels": "labels.json"}
    return {f"paths.{key}": str(corpus / file) for key, file in files.items()}


def arguments_of(overrides: dict) -> list[str]:
    return [part for key, value in overrides.items() for part in (f"--{key}", str(value))]


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a pipeline."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_of(path) for path in files}


@pytest.mark.slow
def test_both_entry_points_of_spacy_train_the_same_bytes(corpus, tmp_path):
    entries = {
        "module": [sys.executable, "-m", "spacy"],
        "script": [str(Path(sys.executable).with_name("spacy"))],
    }
    found = {}
    for name, entry in entries.items():
        command = [*entry, "train", str(CONFIG), "--code", "plugins/__init__.py"]
        command += ["--output", str(tmp_path / name), *arguments_of({**SMALL, **paths_of(corpus)})]
        run = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True
        )
        assert run.returncode == 0, run.stderr.decode()
        found[name] = hashes_of(tmp_path / name / "model-last")
    assert "textcat_multilabel/model" in found["module"]
    assert found["module"] == found["script"]


@pytest.mark.slow
def test_train_notes_its_conditions_and_replaces_an_earlier_result(corpus, tmp_path):
    output = tmp_path / "trained"
    (output / "stale").mkdir(parents=True)
    (output / "training.json").write_text("{}")
    facts = train(CONFIG, output, overrides={**SMALL, **paths_of(corpus), "system.seed": 3})
    assert sorted(path.name for path in output.iterdir()) == [
        "log.csv",
        "model-best",
        "model-last",
        "training.json",
    ]
    # Not by srsly, which reads 1.7 as 1.7000000000000002.
    assert json.loads((output / "model-best" / "training.json").read_text()) == facts
    assert facts["overrides"]["system.seed"] == 3
    assert facts["config_file_sha256"] == hash_of(CONFIG)
    assert facts["seconds"] > 0
    rows = [line.split(",") for line in (output / "log.csv").read_text().splitlines()]
    assert rows[0][:4] == ["epoch", "step", "score", "loss"]
    assert [row[1] for row in rows[1:]] == ["0", "2", "4"]
    best = srsly.read_json(output / "model-best" / "meta.json")["performance"]["cats_macro_auc"]
    assert max(float(row[2]) for row in rows[1:]) == pytest.approx(best, abs=1e-9)


@pytest.mark.slow
def test_a_killed_training_leaves_the_previous_one_and_the_next_completes(corpus, tmp_path):
    output = tmp_path / "trained"
    output.mkdir()
    (output / "training.json").write_text("the previous result")
    overrides = {**SMALL, **paths_of(corpus), "training.max_steps": 100_000}
    command = [sys.executable, "-m", "scripts.train", str(CONFIG), str(output)]
    process = subprocess.Popen(
        [*command, *arguments_of(overrides)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    half = tmp_path / ".trained.tmp" / "model-best"
    deadline = time.monotonic() + 120
    while not half.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert half.exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (output / "training.json").read_text() == "the previous result"
    train(CONFIG, output, overrides={**SMALL, **paths_of(corpus)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trained"]
    assert (output / "model-best" / "meta.json").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"training.droput": 0.3}, "training.droput.*Did you mean training.dropout"),
        ({"paths.train": "nowhere.spacy"}, "--paths.train nowhere.spacy: no such file"),
        ({"paths.vectors": "no_such_vectors"}, "no pipeline at no_such_vectors"),
    ],
)
def test_bad_overrides_are_refused_before_anything_is_touched(tmp_path, overrides, message):
    output = tmp_path / "trained"
    output.mkdir()
    with pytest.raises(ValueError, match=message):
        train(CONFIG, output, overrides=overrides)
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cnn", "The training corpus is empty.* Expected examples"),
        ("ner", "The training corpus is empty.* Expected examples"),
        ("ner_crf", "E986.*Could not create any training batches"),
    ],
)
def test_an_empty_corpus_is_refused(name, message, tmp_path, request):
    config, overrides = request.getfixturevalue(name)
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path / "out", overrides={**overrides, "corpora.train.max_length": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda old: old[1:], r"train\.spacy has label 'admiration', .*labels\.json has not"),
        (
            lambda labels: [*labels, "zeal"],
            r"labels\.json has label 'zeal', .*train\.spacy has not",
        ),
    ],
)
def test_labels_that_disagree_with_the_data_are_refused(corpus, tmp_path, change, message):
    labels = tmp_path / "labels.json"
    srsly.write_json(labels, change(srsly.read_json(corpus / "labels.json")))
    with pytest.raises(ValueError, match=message):
        train(CONFIG, tmp_path / "out", overrides=paths_of(corpus) | {"paths.labels": str(labels)})
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_not_replaced(corpus, tmp_path):
    (tmp_path / "mine" / "run").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"mine: no trained model"):
        train(CONFIG, tmp_path / "mine", overrides=paths_of(corpus))
    assert (tmp_path / "mine" / "run").exists()


def test_labels_of_a_corpus_in_parts_are_compared_too(corpus, tmp_path):
    parts = tmp_path / "train.spacy"
    parts.mkdir()
    shutil.copy(corpus / "train.spacy", parts / "1.spacy")
    srsly.write_json(tmp_path / "labels.json", ["joy"])
    overrides = {"paths.train": str(parts), "paths.labels": str(tmp_path / "labels.json")}
    with pytest.raises(ValueError, match=r"train\.spacy has label 'admiration'"):
        train(CONFIG, tmp_path / "out", overrides=paths_of(corpus) | overrides)


@pytest.mark.parametrize("scored", [True, False])
def test_an_interrupted_training_keeps_what_it_learned(corpus, tmp_path, monkeypatch, scored):
    def interrupted(config, output, **settings):
        (output / ("model-best" if scored else "model-last")).mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.train.spacy_train", interrupted)
    output = tmp_path / "trained"
    output.mkdir()
    (output / "training.json").write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, output, overrides=paths_of(corpus))
    kept = ["trained", "trained.unfinished"] if scored else ["trained"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    assert (output / "training.json").exists()


def test_options_that_came_through_the_project_runner_are_overrides():
    said = "--training.dropout 0.2 --vars.transformer=roberta-base --system.seed 1"
    given = parse_runner_overrides([f"--vars.options={said}"])["vars.options"].split()
    assert not any(part.startswith("--") for part in given)  # or with_dashes is not needed
    before = ["--paths.train", "a-b.spacy", "--system.seed", "0"]
    found = parse_config_overrides(with_dashes([*before, *given]))
    assert found == {
        "paths.train": "a-b.spacy",
        "training.dropout": pytest.approx(0.2),
        "vars.transformer": "roberta-base",
        "system.seed": 1,
    }
