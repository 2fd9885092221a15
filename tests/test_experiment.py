"""Experiments: what they refuse, where they write, what they commit."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import spacy
import typer
from spacy.tokens import Doc, DocBin
from spacy.util import load_config
from spacy.vocab import Vocab
from typer.testing import CliRunner

from scripts import experiment as module
from scripts.evaluate import evaluate
from scripts.evaluate_entities import evaluate_entities
from scripts.evaluate_tokens import evaluate_tokens
from scripts.experiment import describe, experiment, run_name, score_test
from scripts.preprocess import preprocess
from scripts.tasks import SCORES
from tests.conftest import ROOT

pytest_plugins = ["tests.small_recipes"]


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def write(path, text="{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def config_of(*factories: str) -> str:
    parts = [f'[components.{name}]\nfactory = "{name}"\n' for name in factories]
    return f"[nlp]\npipeline = {json.dumps(factories)}\n[components]\n" + "".join(parts)


def fake_train(config, output, *, gpu_id=-1, overrides=None):
    write(output / "model-best" / "training.json", json.dumps(overrides))
    return {"seconds": 1.0}


def fake_decide(model, corpus, output, *, gpu_id=-1, **_):
    write(output / "training.json", (model / "training.json").read_text())
    return {}


def fake_evaluate(model, corpus, output, *, views=None, gpu_id=-1):
    assert views.exists()
    result = {"macro_f1": 0.4781, "micro_f1": 0.5512, "corpus": corpus.as_posix()}
    write(output, json.dumps(result))
    return result


def fake_evaluate_entities(model, corpus, output, *, gpu_id=-1):
    scores = {kind: {"micro": {"f": f}} for kind, f in (("exact", 0.4321), ("token", 0.6))}
    result = {**scores, "corpus": corpus.as_posix()}
    write(output, json.dumps(result))
    return result


def fake_evaluate_tokens(model, corpus, output, *, gpu_id=-1):
    result = {"micro_f1": 0.9321, "macro_f1": 0.81, "corpus": corpus.as_posix()}
    write(output, json.dumps(result))
    return result


def fake_check(config, overrides):
    if "training.dropuot" in overrides:
        raise ValueError("training.dropuot: no such key")


def fake_inputs(config, overrides):
    if "paths.vectors" in overrides:
        raise ValueError("x: no such file")


def annotated() -> Doc:
    """Return a doc with something to learn for each task."""
    doc = Doc(Vocab(), ["a"], tags=["x"], ents=["O"])
    doc.cats = {"joy": 1.0}
    return doc


def test_a_corpus_of_another_task_is_refused_before_the_work(project, monkeypatch):
    no_work(monkeypatch)
    doc = Doc(Vocab(), ["a"])
    DocBin(["ORTH"], docs=[doc]).to_disk(project / "corpus" / "tiny" / "dev.spacy")
    for config, where in (("cnn", "doc.cats"), ("references", "token.tag_"), ("ner_crf", "doc.en")):
        with pytest.raises(ValueError, match=rf"dev\.spacy: nothing in {where}.*Expected what con"):
            experiment(config, data="tiny")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A git repository with a config and a corpus; training is played by fakes."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    git("config", "user.email", "someone@example.org")
    git("config", "user.name", "Someone")
    write(tmp_path / "configs" / "cnn.cfg", config_of("textcat_multilabel"))
    write(tmp_path / "configs" / "ner_crf.cfg", config_of("ner_crf"))
    write(tmp_path / "configs" / "references.cfg", config_of("tok2vec", "token_classifier"))
    write(tmp_path / ".gitignore", "corpus/\ntraining/\n")
    git("add", ".")
    git("commit", "-q", "-m", "start")
    for name in ("labels.json", "views.json"):
        write(tmp_path / "corpus" / "tiny" / name)
    for split in ("train", "dev", "test"):
        DocBin(["ORTH", "TAG", "ENT_IOB"], docs=[annotated()]).to_disk(
            tmp_path / "corpus" / "tiny" / f"{split}.spacy"
        )
    monkeypatch.setitem(module.TUNE, "textcat", fake_decide)
    for task, fake in {"entities": fake_evaluate_entities, "tokens": fake_evaluate_tokens}.items():
        monkeypatch.setitem(module.TUNE, task, fake_decide)
        monkeypatch.setitem(module.SCORE, task, fake)
    for name, fake in [
        ("train", fake_train),
        ("evaluate", fake_evaluate),
        ("check_config", fake_check),
        ("check_inputs", fake_inputs),
    ]:
        monkeypatch.setattr(module, name, fake)
    return tmp_path


def no_work(monkeypatch):
    def train(*arguments, **settings):
        raise AssertionError("work was begun")

    monkeypatch.setattr(module, "train", train)


def test_run_writes_pipeline_and_metrics_with_the_facts(project):
    result = experiment("cnn", data="tiny", overrides={"training.dropout": 0.3})
    folder = project / "training" / "tiny" / "cnn-dropout0.3"
    assert sorted(path.name for path in folder.iterdir()) == ["pipeline", "trained"]
    assert json.loads((folder / "pipeline" / "training.json").read_text()) == {
        "training.dropout": 0.3,
        "paths.train": "corpus/tiny/train.spacy",
        "paths.dev": "corpus/tiny/dev.spacy",
        "paths.labels": "corpus/tiny/labels.json",
    }
    metrics = project / "metrics" / "tiny"
    assert [path.name for path in metrics.iterdir()] == ["cnn-dropout0.3.json"]
    written = json.loads((metrics / "cnn-dropout0.3.json").read_text())
    assert result["scores"] == {"macro-F1": 0.4781, "micro-F1": 0.5512}
    assert result["said"] == "macro-F1 0.478, micro-F1 0.551"
    assert result["run"].folder.as_posix() == "training/tiny/cnn-dropout0.3"
    assert written["macro_f1"] == 0.4781
    assert written["corpus"] == "corpus/tiny/dev.spacy"
    assert written["experiment"] == {
        "run": "cnn-dropout0.3",
        "config": "configs/cnn.cfg",
        "data": "tiny",
        "parts": [],
        "overrides": {"training.dropout": 0.3},
        "commit": git("rev-parse", "HEAD").strip(),
        "uncommitted": [],
        "command": "python -m scripts.experiment cnn --data tiny --name cnn-dropout0.3 "
        "--gpu-id -1 --training.dropout 0.3",
    }


def test_a_config_for_entities_is_tuned_and_scored_as_such(project, monkeypatch):
    monkeypatch.setitem(module.TUNE, "textcat", None)
    monkeypatch.setattr(module, "evaluate", None)
    (project / "corpus" / "tiny" / "views.json").unlink()  # which is the classifier's
    result = experiment("ner_crf", data="tiny", test=True, overrides={"system.seed": 1})
    assert result["scores"] == {"F": 0.4321, "token F": 0.6}
    assert result["said"] == "F 0.432, token F 0.600"
    assert "'ner_crf seed 1 on tiny: F 0.432, token F 0.600 (dev)'" in result["git"]
    folder = project / "training" / "tiny" / "ner_crf-seed1"
    assert sorted(path.name for path in folder.iterdir()) == ["pipeline", "trained"]
    for split, end in (("dev", ""), ("test", ".test")):
        metrics = project / "metrics" / "tiny" / f"ner_crf-seed1{end}.json"
        written = json.loads(metrics.read_text())
        assert written["corpus"] == f"corpus/tiny/{split}.spacy"
        assert written["exact"]["micro"]["f"] == 0.4321
        assert written["experiment"]["overrides"] == {"system.seed": 1}


def test_a_config_for_words_is_tuned_and_scored_as_such(project, monkeypatch):
    monkeypatch.setitem(module.TUNE, "textcat", None)
    monkeypatch.setattr(module, "evaluate", None)
    (project / "corpus" / "tiny" / "views.json").unlink()  # which is the classifier's
    result = experiment("references", data="tiny", test=True)
    assert result["said"] == "micro-F1 0.932, macro-F1 0.810"
    assert result["scores"] == {"micro-F1": 0.9321, "macro-F1": 0.81}
    folder = project / "training" / "tiny" / "references"
    assert sorted(path.name for path in folder.iterdir()) == ["pipeline", "trained"]
    for split, end in (("dev", ""), ("test", ".test")):
        metrics = project / "metrics" / "tiny" / f"references{end}.json"
        written = json.loads(metrics.read_text())
        assert (written["corpus"], written["micro_f1"]) == (f"corpus/tiny/{split}.spacy", 0.9321)
        assert written["experiment"]["run"] == "references"


CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))


def test_there_are_configs_of_each_task():
    with pytest.raises(ValueError, match=r"Pipeline \['textcat'\]\. Expected one of textcat_multi"):
        _ = module.Run(ROOT / "configs" / "imdb.cfg", "x", "x").task
    trained = [path for path in CONFIGS if path.stem not in ("assemble", "imdb")]
    tasks = {path.stem: module.Run(path, "x", "x").task for path in trained}
    assert set(tasks.values()) == set(SCORES) == set(module.TUNE)
    assert set(module.SCORE) == set(SCORES) - {"textcat"}
    assert {tasks[name] for name in ("ner", "ner_crf", "ner_crf_trf")} == {"entities"}
    assert {tasks[name] for name in ("references", "references_trf")} == {"tokens"}
    assert {tasks[name] for name in ("seq2seq", "seq2seq_rnn")} == {"pairs"}
    # Some of which take a recogniser from elsewhere and train none.
    assert {tasks[name] for name in ("cnn", "bert", "sourced", "stream")} == {"textcat"}


def test_the_test_set_of_a_run_is_scored_later_once_as_if_it_had_been_then(project):
    experiment("cnn", data="tiny", name="one")
    experiment("cnn", data="tiny", name="two", test=True)
    before = Path("training/tiny/one/pipeline/training.json").stat().st_mtime_ns
    output = run_cli("cnn", "--data", "tiny", "--name", "one", "--only-test").output
    assert "macro-F1 0.478, micro-F1 0.551 on test" in output
    assert "one on tiny: macro-F1 0.478, micro-F1 0.551 (test)" in output
    later, then = (
        json.loads(Path(f"metrics/tiny/{n}.test.json").read_text()) for n in ["one", "two"]
    )
    assert later["corpus"] == "corpus/tiny/test.spacy"
    assert Path("training/tiny/one/pipeline/training.json").stat().st_mtime_ns == before
    command = then["experiment"].pop("command").replace("two", "one")
    assert later["experiment"].pop("command").split() == [
        x for x in command.split() if x != "--test"
    ] + ["--test"]
    assert {**then["experiment"], "run": "one"} == later["experiment"]
    with pytest.raises(ValueError, match=r"one\.test\.json exists already.*scored once"):
        score_test("cnn", "one", data="tiny")


def test_no_test_set_is_scored_without_a_whole_run_or_with_settings_of_a_training(project):
    with pytest.raises(
        ValueError, match=r"none\.json: not there\. Expected a whole run named none"
    ):
        score_test("cnn", "none", data="tiny")
    experiment("cnn", data="tiny", name="two", test=True)
    Path("metrics/tiny/two.test.json").unlink()
    with pytest.raises(ValueError, match=r"scored with --test"):
        score_test("cnn", "two", data="tiny")
    experiment("cnn", data="tiny", name="one")
    with pytest.raises(ValueError, match=r"of configs/cnn\.cfg\. Expected configs/ner_crf\.cfg"):
        score_test("ner_crf", "one", data="tiny")
    for more in (["--test"], ["--training.dropout", "0.1"], ["--part", "labels=soft"]):
        result = run_cli("cnn", "--data", "tiny", "--name", "one", "--only-test", *more)
        assert result.exit_code == 1 and "settings of a training" in " ".join(result.output.split())
    assert not Path("metrics/tiny/one.test.json").exists()


def test_printed_command_commits_exactly_the_experiment(project):
    write(project / "notes.txt", "not part of it")
    result = experiment("cnn", data="tiny", overrides={"training.dropout": 0.3})
    subprocess.run(result["git"], shell=True, check=True, capture_output=True)
    message = "cnn dropout 0.3 on tiny: macro-F1 0.478, micro-F1 0.551 (dev)"
    assert git("log", "-1", "--format=%s").strip() == message
    changed = git("show", "--name-only", "--format=", "HEAD").split()
    assert changed == ["metrics/tiny/cnn-dropout0.3.json"]
    assert git("status", "--porcelain") == "?? notes.txt\n"


def test_commit_takes_the_config_and_both_metrics(project):
    write(project / "configs" / "cnn.cfg", config_of("textcat_multilabel") + "\n")
    experiment("cnn", data="tiny", test=True, commit=True)
    changed = git("show", "--name-only", "--format=", "HEAD").split()
    expected = ["configs/cnn.cfg", "metrics/tiny/cnn.json", "metrics/tiny/cnn.test.json"]
    assert changed == expected
    written = json.loads((project / "metrics" / "tiny" / "cnn.test.json").read_text())
    assert written["corpus"] == "corpus/tiny/test.spacy"
    assert written["experiment"]["uncommitted"] == ["configs/cnn.cfg"]


def test_commit_is_refused_while_other_things_are_staged(project, monkeypatch):
    no_work(monkeypatch)
    write(project / "notes.txt")
    git("add", "notes.txt")
    with pytest.raises(ValueError, match=r"Staged already: notes\.txt"):
        experiment("cnn", data="tiny", commit=True)


def test_commit_is_refused_for_files_staged_during_the_run(project, monkeypatch):
    def train(*arguments, **settings):
        write(project / "notes.txt")
        git("add", "notes.txt")
        return fake_train(*arguments, **settings)

    monkeypatch.setattr(module, "train", train)
    with pytest.raises(ValueError, match=r"Staged already: notes\.txt"):
        experiment("cnn", data="tiny", commit=True)
    assert (project / "metrics" / "tiny" / "cnn.json").exists()
    assert git("log", "--oneline").count("\n") == 1


def test_outside_git_only_commit_is_refused(project):
    for path in sorted((project / ".git").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (project / ".git").rmdir()
    with pytest.raises(ValueError, match="No git repository"):
        experiment("cnn", data="tiny", commit=True)
    experiment("cnn", data="tiny")
    written = json.loads((project / "metrics" / "tiny" / "cnn.json").read_text())
    assert written["experiment"]["commit"] is None


@pytest.mark.parametrize("half", [False, True])
def test_existing_run_is_refused_until_forced(project, monkeypatch, half):
    experiment("cnn", data="tiny")
    stale = project / "training" / "tiny" / "cnn" / "stale"
    write(stale)
    if half:
        (project / "metrics" / "tiny" / "cnn.json").unlink()
    with monkeypatch.context() as patch:
        no_work(patch)
        with pytest.raises(ValueError, match="is half-finished" if half else "exists already"):
            experiment("cnn", data="tiny")
    assert stale.exists()
    experiment("cnn", data="tiny", force=True)
    assert not stale.exists()
    assert (project / "metrics" / "tiny" / "cnn.json").exists()


@pytest.mark.parametrize(
    ("committed", "found"), [(True, "exists already"), (False, "not committed")]
)
def test_existing_metrics_are_refused_until_forced(project, monkeypatch, committed, found):
    path = project / "metrics" / "tiny" / "cnn.json"
    write(path, "old")
    if committed:
        git("add", "metrics")
        git("commit", "-q", "-m", "metrics")
    with monkeypatch.context() as patch:
        no_work(patch)
        with pytest.raises(ValueError, match=rf"cnn\.json .*{found}.*--force"):
            experiment("cnn", data="tiny")
    assert path.read_text() == "old"
    experiment("cnn", data="tiny", force=True)
    assert json.loads(path.read_text())["macro_f1"] == 0.4781


@pytest.mark.parametrize(
    ("config", "settings", "found"),
    [
        (
            "bert",
            {},
            r"configs/bert\.cfg: no such config\. Expected one of cnn, ner_crf, references\.",
        ),
        ("cnn", {"data": "none"}, r"corpus/none/train\.spacy: no such file"),
        ("cnn", {"data": "../x"}, r"Name '\.\./x'"),
        ("cnn", {"name": "a/b"}, "Name 'a/b'"),
        ("cnn", {"name": "cnn.test"}, r"Name 'cnn\.test'.* not ending in \.test"),
        ("cnn", {"overrides": {"training.dropuot": 1}}, "training.dropuot: no such key"),
        ("cnn", {"overrides": {"paths.train": "x"}}, r"--paths\.train is set by --data"),
        ("cnn", {"overrides": {"paths.vectors": "x"}}, "x: no such file"),
        ("cnn", {"gpu_id": 99}, "GPU 99 cannot be used"),
    ],
)
def test_bad_input_is_refused_before_anything_is_deleted(
    project, monkeypatch, config, settings, found
):
    no_work(monkeypatch)
    kept = project / "training" / "tiny" / "cnn" / "kept"
    write(kept)
    with pytest.raises(ValueError, match=found):
        experiment(config, **{"data": "tiny", "force": True, **settings})
    assert kept.exists()


def test_failed_training_keeps_the_run_that_force_would_replace(project, monkeypatch):
    experiment("cnn", data="tiny")
    before = {path: path.read_text() for path in project.rglob("t*/*/*.json")}
    write(project / "training" / "tiny" / "cnn" / "wheel" / "a.whl")

    def train(*arguments, **settings):
        raise ValueError("no such model")

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", train)
        with pytest.raises(ValueError, match="no such model"):
            experiment("cnn", data="tiny", force=True)
    assert (project / "training" / "tiny" / "cnn" / "wheel" / "a.whl").exists()
    assert {path: path.read_text() for path in project.rglob("t*/*/*.json")} == before != {}
    experiment("cnn", data="tiny", force=True)
    folder = project / "training" / "tiny" / "cnn"
    assert sorted(path.name for path in folder.iterdir()) == ["pipeline", "trained"]


def test_failed_work_leaves_no_metrics(project, monkeypatch):
    def evaluate(*arguments, **settings):
        fake_evaluate(*arguments, **settings)
        raise ValueError("interrupted")

    monkeypatch.setattr(module, "evaluate", evaluate)
    with pytest.raises(ValueError, match="interrupted"):
        experiment("cnn", data="tiny")
    assert not (project / "metrics").exists()


@pytest.mark.parametrize(
    ("overrides", "name", "words"),
    [
        ({}, "cnn", "cnn"),
        ({"system.seed": 1}, "cnn-seed1", "cnn seed 1"),
        (
            {"training.dropout": 0.3, "system.seed": 1},
            "cnn-seed1-dropout0.3",
            "cnn seed 1, dropout 0.3",
        ),
        (
            {"a.tok2vec.width": 8, "a.pool.width": 9},
            "cnn-a.pool.width9-a.tok2vec.width8",
            "cnn a.pool.width 9, a.tok2vec.width 8",
        ),
        (
            {"model.pooling": ["mean", "max"]},
            "cnn-poolingmean_max",
            'cnn pooling ["mean", "max"]',
        ),
        ({"paths.vectors": "assets/v 1"}, "cnn-vectorsassets_v_1", "cnn vectors assets/v 1"),
        ({"x.on": True, "x.gone": None}, "cnn-gonenull-ontrue", "cnn gone null, on true"),
    ],
)
def test_run_names_are_readable_and_do_not_depend_on_the_order(overrides, name, words):
    assert run_name("cnn", overrides) == name
    assert run_name("cnn", dict(reversed(overrides.items()))) == name
    assert describe("cnn", overrides) == words


def run_cli(*arguments):
    app = typer.Typer()
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=settings)(module.main)
    return CliRunner().invoke(app, list(arguments))


def test_command_line_passes_overrides_and_prints_what_to_commit(project):
    found = run_cli("cnn", "--data", "tiny", "--training.dropout", "0.3")
    assert found.exit_code == 0, found.output
    assert "macro-F1 0.478, micro-F1 0.551 on dev" in found.output
    expected = (
        "git add -- configs/cnn.cfg metrics/tiny/cnn-dropout0.3.json && git commit -m "
        "'cnn dropout 0.3 on tiny: macro-F1 0.478, micro-F1 0.551 (dev)' -- configs/cnn.cfg"
    )
    assert expected in found.output
    assert Path("metrics/tiny/cnn-dropout0.3.json").exists()


def test_misspelt_option_is_refused(project, monkeypatch):
    no_work(monkeypatch)
    found = run_cli("cnn", "--data", "tiny", "--tset")
    assert found.exit_code == 1
    assert "No option --tset. Expected keys" in found.output


def test_changed_config_is_only_warned_about(project):
    write(project / "configs" / "cnn.cfg", config_of("textcat_multilabel") + "\n")
    found = run_cli("cnn", "--data", "tiny")
    assert found.exit_code == 0, found.output
    assert "configs/cnn.cfg has changes that are not committed" in found.output


@pytest.mark.slow
def test_a_real_run_leaves_a_pipeline_whose_scores_are_those_written(tmp_path, monkeypatch):
    sample = ROOT / "assets" / "sample"
    for split in ("train", "dev", "test"):
        rows = (sample / f"{split}.tsv").read_text(encoding="utf8").splitlines(keepends=True)
        write(tmp_path / "assets" / f"{split}.tsv", "".join(rows[:60]))
    for name in ("emotions.txt", "ekman_mapping.json"):
        shutil.copy(sample / name, tmp_path / "assets")
    (tmp_path / "configs").mkdir()
    shutil.copy(ROOT / "configs" / "cnn.cfg", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    preprocess(Path("assets"), Path("corpus/tiny"), n_process=1)
    overrides = {"training.max_steps": 20, "training.eval_frequency": 10}
    run = experiment("cnn", data="tiny", name="real", test=True, overrides=overrides)["run"]
    written = json.loads(run.metrics("test").read_text())
    assert written["docs"] == 60 and 0 <= written["macro_f1"] <= 1
    assert written["experiment"]["overrides"] == overrides
    again = evaluate(run.folder / "pipeline", Path("corpus/tiny/test.spacy"), tmp_path / "a.json")
    assert again["documents"] == written["documents"]
    for key in ("macro_f1", "micro_f1", "mean_average_precision"):
        assert again[key] == pytest.approx(written[key]), key
    assert set(spacy.load(run.folder / "pipeline")("thanks")._.emotions) <= set(again["per_label"])


def run_recipe(recipe, tmp_path, monkeypatch) -> dict:
    """Run an experiment for real, on a corpus whose splits are all the same."""
    config, overrides = recipe
    corpus = tmp_path / "corpus" / "tiny"
    corpus.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        shutil.copy(overrides["paths.train"], corpus / f"{split}.spacy")
    shutil.copy(overrides["paths.labels"], corpus / "labels.json")
    (tmp_path / "configs").mkdir()
    shutil.copy(config, tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    overrides = {key: value for key, value in overrides.items() if not key.startswith("paths.")}
    return experiment(config.stem, data="tiny", name="real", test=True, overrides=overrides)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ner", "ner_crf"])
def test_a_real_run_of_entities_leaves_the_pipeline_of_its_scores(
    name, tmp_path, monkeypatch, request
):
    result = run_recipe(request.getfixturevalue(name), tmp_path, monkeypatch)
    written = json.loads(result["run"].metrics("test").read_text())
    pipeline = result["run"].folder / "pipeline"
    again = evaluate_entities(pipeline, Path("corpus/tiny/test.spacy"), tmp_path / "a.json")
    assert again["documents"] == written["documents"]
    assert written["docs"] == 40 and written["exact"]["micro"]["support"] == 60
    assert result["scores"]["F"] == pytest.approx(again["exact"]["micro"]["f"])
    tuned = written["conditions"]["decision"]["recall_bias"]
    assert tuned is None if name == "ner" else tuned != 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["references", "references_trf"])
def test_a_real_run_of_words_leaves_the_pipeline_of_its_scores(
    name, tmp_path, monkeypatch, request
):
    result = run_recipe(request.getfixturevalue(name), tmp_path, monkeypatch)
    written = json.loads(result["run"].metrics("test").read_text())
    pipeline = result["run"].folder / "pipeline"
    again = evaluate_tokens(pipeline, Path("corpus/tiny/test.spacy"), tmp_path / "a.json")
    for key in ("documents", "confusion", "per_label", "field_f1"):
        assert again[key] == written[key], key
    labels = ["what", "when", "where", "who"]
    assert list(written["per_label"]) == list(written["confusion"]) == labels
    assert result["scores"]["micro-F1"] == again["micro_f1"] > 0.3
    cost = written["conditions"]["decision"]["switch_cost"]
    assert spacy.load(pipeline).get_pipe("token_classifier").switch_cost == cost
    assert written["experiment"]["run"] == "real"


def parts_project(project: Path) -> None:
    """Give the project the real cnn.cfg and the real parts, committed."""
    shutil.copytree(ROOT / "configs", project / "configs", dirs_exist_ok=True)
    git("add", ".")
    git("commit", "-q", "-m", "parts")


def test_parts_are_composed_beside_the_run_and_trained(project, monkeypatch):
    parts_project(project)
    trained = []

    def train(config, output, *, gpu_id=-1, overrides=None):
        trained.append((config, config.read_text()))
        fake_train(config, output, gpu_id=gpu_id, overrides=overrides)

    monkeypatch.setattr(module, "train", train)
    parts = ["labels=soft", "distil=cnn"]
    overrides = {"training.max_steps": 7}
    result = experiment("cnn", data="tiny", parts=parts, overrides=overrides)
    name = "cnn-soft-cnn-max_steps7"
    ((config, text),) = trained
    assert config == Path("training/tiny") / f"{name}.cfg"
    assert text.startswith("# python -m scripts.compose model=cnn data=tiny labels=soft distil=cnn")
    composed = load_config(project / config, interpolate=False)
    assert composed["paths"]["soft"] == "corpus/tiny-soft/soft.jsonl.gz"
    assert composed["components"]["textcat_multilabel"]["factory"] == "soft_textcat_multilabel"
    facts = json.loads((project / f"metrics/tiny/{name}.json").read_text())["experiment"]
    assert facts["config"] == "configs/cnn.cfg" and facts["parts"] == parts
    assert facts["uncommitted"] == [] and "configs/cnn.cfg" in result["git"]
    assert f"{name}.cfg" not in result["git"]


def test_the_command_of_a_run_with_parts_makes_it_again(project):
    parts_project(project)
    experiment("cnn", data="tiny", name="one", parts=["labels=soft", "distil=cnn"])
    file, config = project / "metrics/tiny/one.json", project / "training/tiny/one.cfg"
    before, composed = json.loads(file.read_text()), config.read_text()
    command = before["experiment"]["command"]
    assert "--part labels=soft --part distil=cnn" in command
    file.unlink()
    config.unlink()
    found = run_cli(*shlex.split(command)[3:], "--force")
    assert found.exit_code == 0, found.output
    assert json.loads(file.read_text()) == before and config.read_text() == composed


def test_a_part_that_changed_is_not_committed(project):
    parts_project(project)
    part = project / "configs" / "groups" / "labels" / "soft.cfg"
    part.write_text(part.read_text().replace("soft_weight = 0.5", "soft_weight = 0.7"))
    experiment("cnn", data="tiny", name="one", parts=["labels=soft"])
    facts = json.loads((project / "metrics/tiny/one.json").read_text())["experiment"]
    assert facts["uncommitted"] == ["configs/groups/labels/soft.cfg"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("model=bert", r"--part model=bert: expected a group of configs/groups and its option"),
        ("data=other", r"--part data=other: expected a group of configs/groups"),
        ("training.dropout=0.1", r"--part training\.dropout=0\.1: expected a group"),
        ("lables=soft", r"lables=soft: no group 'lables'\. Expected one of labels"),
        ("labels=sof", r"labels=sof: no 'sof'\. Expected one of soft"),
        ("labels", r"labels: no =\. Expected group=option"),
        ("trainer=mixed", r"trainer=mixed, \[components\]: .* no \[transformer\]"),
    ],
)
def test_what_is_no_part_is_refused_before_the_work(project, monkeypatch, part, said):
    parts_project(project)
    no_work(monkeypatch)
    with pytest.raises(ValueError, match=said):
        experiment("cnn", data="tiny", name="one", parts=[part])
    assert not (project / "training").exists()


def test_thresholds_are_tuned_as_asked_for_and_only_those_of_text_classifiers(
    tmp_path, monkeypatch
):
    seen = {}

    def tune(model, dev, output, **settings):
        seen.update(settings)
        raise ValueError("enough")

    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(module.TUNE, "textcat", tune)
    monkeypatch.setattr(module, "train", lambda *_, **__: None)
    run = module.Run(Path("configs/cnn.cfg"), "sample", "x")
    run.thresholds = "expected"
    monkeypatch.setattr(module.Run, "folder", tmp_path)
    facts = module._facts(run, {"system.seed": 1}, ["dev"], -1)
    assert facts["command"].endswith("--thresholds expected --system.seed 1")
    with pytest.raises(ValueError, match="enough"):
        module._work(run, {}, ["dev"], -1, facts)
    assert seen == {"gpu_id": -1, "method": "expected"}
    with pytest.raises(ValueError, match=r"--thresholds expected: configs.ner_crf\.cfg is none"):
        module.experiment("ner_crf", data="sample", thresholds="expected")
