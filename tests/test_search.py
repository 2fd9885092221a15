"""Search: the space file, trials, arms, stopping, going on after a kill, and the report."""

import csv
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy
import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from scripts.check_config import check_config
from scripts.on_ray import INSTALL
from scripts.search import _identity, check_plan, search
from scripts.search_report import report_search, summarise
from scripts.space import Plan, Setting, read_plan
from scripts.trial import run_trial
from tests.conftest import ROOT

MODEL = "components.textcat_multilabel.model.tok2vec"
ARMS = "pretraining.max_epochs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus of 40 posts, raw text, vectors, and a small config."""
    folder = tmp_path_factory.mktemp("search")
    nlp, docs = spacy.blank("en"), DocBin()
    for number in range(40):
        doc = nlp("such a good day" if number % 2 else "what a bad night")
        doc.cats = {"joy": float(number % 2), "anger": float(not number % 2)}
        docs.add(doc)
    docs.to_disk(folder / "train.spacy")
    srsly.write_json(folder / "labels.json", ["joy", "anger"])
    srsly.write_jsonl(folder / "raw.jsonl", [{"text": f"so good a day {n}"} for n in range(200)])
    numbers = numpy.random.RandomState(0)
    for word in ("so", "good", "a", "day"):
        nlp.vocab.set_vector(word, numbers.normal(size=8).astype("f"))
    nlp.to_disk(folder / "vectors")
    return folder


@pytest.fixture
def raw(folder):
    """Return the content of a search file: 2 arms of 3 trials."""
    return {
        "config": str(ROOT / "configs" / "cnn.cfg"),
        "metric": "cats_macro_auc",
        "trials": 3,
        "arms": ARMS,
        "overrides": {
            "paths.train": str(folder / "train.spacy"),
            "paths.dev": str(folder / "train.spacy"),
            "paths.labels": str(folder / "labels.json"),
            "paths.raw_text": str(folder / "raw.jsonl"),
            "paths.vectors": str(folder / "vectors"),
            f"{MODEL}.encode.width": 8,
            f"{MODEL}.encode.depth": 1,
            f"{MODEL}.embed.rows": [50, 50],
            f"{MODEL}.embed.ngram_rows": 50,
            "pretraining.objective.hidden_size": 8,
            "training.max_steps": 6,
            "training.eval_frequency": 2,
            "corpora.dev.limit": 10,
        },
        "final": {"corpora.dev.limit": 0},
        "settings": {
            ARMS: {"values": [0, 1]},
            "training.dropout": {"uniform": [0.0, 0.5]},
            "training.optimizer.beta1": {"values": [0.5, 0.9]},
            "training.optimizer.beta2": {"values": [1.0, 1.1], "times": "training.optimizer.beta1"},
        },
    }


def write(raw, path):
    srsly.write_yaml(path, raw)
    return path


def test_the_settings_of_a_file_are_read(raw, tmp_path):
    plan = read_plan(write(raw, tmp_path / "a.yml"))
    assert plan.arm_values() == [0, 1] and plan.method == "random" and plan.trials == 3
    assert plan.settings["training.dropout"].choices() is None
    drawn = {"training.optimizer.beta1": 0.5, "training.optimizer.beta2": 1.1}
    assert plan.resolved(drawn)["training.optimizer.beta2"] == pytest.approx(0.55)


def test_values_can_depend_on_others_and_whole_ones_stay_whole():
    settings = {
        "size": Setting("values", [8]),
        "every": Setting("values", [1000], over="size"),
        "rate": Setting("values", [0.1], over="size"),
    }
    plan = Plan(ROOT / "configs" / "cnn.cfg", "x", "random", 1, settings)
    found = plan.resolved({"size": 8, "every": 1000, "rate": 0.1})
    assert found == {"size": 8, "every": 125, "rate": 0.0125}
    assert isinstance(found["every"], int)
    assert plan.resolved({"size": 3000, "every": 1000, "rate": 0.1})["every"] == 1
    assert Setting("linspace", [0, 1, 5]).choices() == [0, 0.25, 0.5, 0.75, 1]
    assert Setting("integers", [2, 4]).choices() == [2, 3, 4]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"metrc": 1}, r"a\.yml: unknown 'metrc'\. Expected config, metric"),
        ({"trials": 0}, "trials 0, random. Expected 1 or more"),
        ({"trials": True}, "trials True. Expected int"),
        ({"stop": 3}, "stop 3. Expected dict"),
        ({"final": {"training.dropout": 0.1}}, "final: training.dropout. Expected keys of corpora"),
        ({"config": 5}, "config 5. Expected str"),
        ({"seed": "x"}, "seed 'x'. Expected int"),
        ({"settings": {3: {"values": [1]}}, "arms": ""}, "Expected config keys"),
        ({"settings": {ARMS: {"linspace": [0, 1, 3]}}}, "Expected whole values"),
        (
            {"settings": {"a.b": {"values": [1], "times": [1]}}, "arms": ""},
            "Expected one of values",
        ),
        ({"method": "best"}, "Expected random, grid or optuna"),
        ({"settings": {"a.b": {"uniform": [1, 0]}}}, r"a\.b: uniform \[1, 0\]\. .*rising"),
        ({"settings": {"a.b": {"loguniform": [0, 1]}}}, "above 0"),
        ({"settings": {"a.b": {"values": 3}}}, "Expected a list"),
        ({"settings": {"a.b": {"valus": [3]}}}, "Expected one of values, linspace"),
        ({"settings": {"a.b": {"values": [1], "times": "c"}}, "arms": ""}, "drawn by itself"),
        ({"arms": "training.patience"}, "Expected a setting with values"),
        (
            {
                "settings": {"a": {"values": [1], "times": "b"}, "b": {"values": [2]}},
                "arms": "a",
            },
            "Expected a setting with values of its own",
        ),
        (
            {"settings": {"a.rows": {"values": [[5, 1], [3, 1]]}}, "arms": "", "curve": "a.rows"},
            "Expected plain values",
        ),
        (
            {
                "settings": {"a.b": {"values": [1], "over": "a.c"}, "a.c": {"values": [0, 2]}},
                "arms": "",
            },
            "'a.c' can be 0",
        ),
        ({"method": "grid"}, "trials 3, grid. Expected no trials"),
        ({"method": "grid", "trials": None}, r"training\.dropout is no list"),
        ({"stop": {"grace": 1.5, "factor": 3}}, "Expected grace from 1"),
        ({"stop": {"grace": 1}}, "Expected grace from 1 and factor from 2"),
    ],
)
def test_a_bad_file_is_refused_with_what_was_expected(raw, tmp_path, change, found):
    with pytest.raises(ValueError, match=found):
        read_plan(write({**raw, **change}, tmp_path / "a.yml"))


def test_a_setting_that_the_config_does_not_know_is_refused_before_any_trial(raw, tmp_path):
    raw["settings"]["training.droput"] = {"values": [0.1]}
    file = write(raw, tmp_path / "a.yml")
    with pytest.raises(ValueError, match=r"training\.droput"):
        check_plan(file, read_plan(file))


@pytest.mark.slow
def test_a_trial_reports_each_evaluation_and_scores_its_best_again(raw, tmp_path, monkeypatch):
    plan, reports = read_plan(write(raw, tmp_path / "a.yml")), []
    (tmp_path / "work").mkdir()
    scores = iter([0.2, 0.9, 0.4, 0.6, 0.7])  # of four evaluations, and of the best once more
    monkeypatch.setattr("scripts.trial._metric_of", lambda plan, found: next(scores))
    folders = {"pretrained": tmp_path / "pretrained", "work": tmp_path / "work"}
    found = run_trial(plan, {ARMS: 0, "training.dropout": 0.1}, reports.append, **folders)
    assert [report["step"] for report in reports] == [0, 2, 4, 6]
    assert [report["last_score"] for report in reports] == [0.2, 0.9, 0.4, 0.6]
    assert [report["score"] for report in reports] == [0.2, 0.9, 0.9, 0.9]
    assert found == {"score": 0.9, "best_step": 2, "evaluations": 4, "final_score": 0.7}
    assert not any((tmp_path / "work").iterdir()) and not (tmp_path / "pretrained").exists()


@pytest.mark.slow
def test_trials_share_one_pretraining_and_start_from_the_epoch_they_ask_for(
    raw, tmp_path, monkeypatch
):
    raw["settings"][ARMS] = {"values": [0, 1, 2]}
    plan, seen = read_plan(write(raw, tmp_path / "a.yml")), []
    (tmp_path / "work").mkdir()
    folders = {"pretrained": tmp_path / "pretrained", "work": tmp_path / "work"}
    monkeypatch.setattr(
        "scripts.trial.check_inputs", lambda path, overrides: seen.append(overrides)
    )
    for epochs in (2, 1):
        run_trial(plan, {ARMS: epochs, "training.dropout": 0.1}, lambda report: None, **folders)
    (made,) = [path for path in (tmp_path / "pretrained").iterdir() if path.is_dir()]
    key = "initialize.init_tok2vec"
    assert [overrides[key] for overrides in seen if key in overrides] == [
        str(made / "model2.bin"),
        str(made / "model1.bin"),
    ]
    manifest = srsly.read_json(made / "manifest.json")
    assert len(manifest["epochs"]) == 2 and "training.dropout" not in manifest["overrides"]
    other = {ARMS: 1, "pretraining.dropout": 0.5}
    run_trial(plan, other, lambda report: None, **folders)
    assert len([path for path in (tmp_path / "pretrained").iterdir() if path.is_dir()]) == 2


@pytest.mark.slow
def test_a_checkpoint_that_another_score_chose_is_not_scored_again(raw, tmp_path):
    file = write({**raw, "metric": "cats_micro_f"}, tmp_path / "a.yml")
    with pytest.raises(ValueError, match=r"chosen by cats_macro_auc .* metric is cats_micro_f"):
        check_plan(file, read_plan(file))


@pytest.mark.slow
def test_pretraining_of_every_trial_can_stand_in_the_overrides(raw, tmp_path, monkeypatch):
    del raw["arms"], raw["settings"][ARMS]
    raw["overrides"][ARMS] = 1
    plan, seen = read_plan(write(raw, tmp_path / "a.yml")), []
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(
        "scripts.trial.check_inputs", lambda path, overrides: seen.append(overrides)
    )
    folders = {"pretrained": tmp_path / "pretrained", "work": tmp_path / "work"}
    run_trial(plan, {"training.dropout": 0.1}, lambda report: None, **folders)
    assert seen[0]["initialize.init_tok2vec"].endswith("model1.bin")


@pytest.mark.slow
def test_a_metric_that_is_not_scored_is_refused_with_those_that_are(raw, tmp_path):
    plan = read_plan(write({**raw, "metric": "acc"}, tmp_path / "a.yml"))
    with pytest.raises(ValueError, match=r"metric 'acc'.*cats_macro_auc"):
        run_trial(plan, {ARMS: 0}, lambda _: None, pretrained=tmp_path, work=tmp_path)


def row(arm, score, status="finished", **settings):
    both = {ARMS: arm, "training.dropout": 0.1, **settings}
    return {"trial": "x", "status": status, **both, "evaluations": 3, "step": 2, "score": score,
            "final_score": None, "seconds": 36.0, "error": ""}  # fmt: skip


def test_the_report_gives_the_best_and_the_mean_of_the_top_three(tmp_path):
    settings = {ARMS: Setting("values", [0, 1]), "training.dropout": Setting("values", [0.1, 0.2])}
    plan = Plan(ROOT / "configs" / "cnn.cfg", "cats_macro_auc", "random", 5, settings, ARMS)
    rows = [row(0, score) for score in (0.5, 0.9, 0.6, 0.7)]
    rows += [row(1, 0.8, **{"training.dropout": 0.2}), row(1, 0.99, "stopped")]
    summary = summarise(plan, rows)
    first, second = summary["arms"]
    assert first["best"] == 0.9 and first["top_mean"] == pytest.approx((0.9 + 0.7 + 0.6) / 3)
    assert first["median"] == pytest.approx(0.65)
    assert second["best"] == 0.8 and second["trials"] == 2 and second["finished"] == 1
    assert second["best_settings"] == {"training.dropout": 0.2}
    values = {group["value"]: group["trials"] for group in summary["settings"]["training.dropout"]}
    assert values == {"0.1": 4, "0.2": 1}
    assert summary["trial_hours"] == 0.06 and summary["statuses"]["stopped"] == 1
    report_search(plan, rows, tmp_path)
    tables = (tmp_path / "tables.md").read_text()
    assert "| 0 | 4 | 4 | 0.9000 | 0.7333 | 0.6500 | dropout 0.1 |" in tables
    with (tmp_path / "results.csv").open() as stream:
        written = list(csv.DictReader(stream))
    assert [float(r["score"]) for r in written] == [0.5, 0.9, 0.6, 0.7, 0.8, 0.99]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert (tmp_path / "trials.png").read_bytes()[:4] == b"\x89PNG"


def test_a_curve_averages_what_differs_in_other_settings(tmp_path):
    key = "corpora.train.limit"
    settings = {ARMS: Setting("values", [0, 1]), key: Setting("values", [10, 0])}
    plan = Plan(ROOT / "configs" / "cnn.cfg", "x", "grid", 1, settings, ARMS, key)
    rows = [row(arm, score, **{key: limit}) for arm, limit, score in
            [(0, 10, 0.5), (0, 10, 0.7), (0, 0, 0.9), (1, 10, 0.8)]]  # fmt: skip
    report_search(plan, rows, tmp_path)
    curve = summarise(plan, rows)["curve"]
    found = {(p["arm"], p["value"]): (p["trials"], p["mean"], p["deviation"]) for p in curve}
    assert found[0, 10] == (2, pytest.approx(0.6), pytest.approx(0.1414, abs=1e-4))
    assert found[0, 0] == (1, 0.9, 0) and found[1, 10] == (1, 0.8, 0)
    tables = (tmp_path / "tables.md").read_text().split("\n\n")
    assert len(tables) == 2 and "| 0 | 10 | 2 | 0.6000 ± 0.1414 |" in tables[1]
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_settings_of_a_pretraining_do_not_count_where_there_was_none(tmp_path):
    dropout = {key: Setting("values", [0.1, 0.2]) for key in ("pretraining.dropout", "a.dropout")}
    settings = {ARMS: Setting("values", [0, 1]), **dropout}
    plan = Plan(ROOT / "configs" / "cnn.cfg", "x", "random", 2, settings, ARMS)
    drawn = {"pretraining.dropout": 0.2, "a.dropout": 0.1}
    rows = [row(0, 0.9, **drawn), row(1, 0.5, **drawn), row(1, 0.4, "stopped", **drawn)]
    summary = summarise(plan, rows)
    (group,) = summary["settings"]["pretraining.dropout"]
    assert group == {"value": "0.2", "trials": 1, "best": 0.5, "top_mean": 0.5}
    assert summary["settings"]["a.dropout"][0]["trials"] == 2
    report_search(plan, rows, tmp_path)
    tables = (tmp_path / "tables.md").read_text()
    assert "| 0 | 1 | 1 | 0.9000 | 0.9000 | 0.9000 | a.dropout 0.1 |" in tables
    assert "| pretraining.dropout 0.2, a.dropout 0.1 |" in tables


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "search").glob("*.yml")))
def test_the_searches_of_the_project_can_be_read_and_their_configs_know_the_keys(path):
    plan = read_plan(path)
    settings = {key: setting.range[0] for key, setting in plan.settings.items()}
    check_config(plan.config, {**plan.overrides, **plan.resolved(settings), **plan.final})


def test_there_are_searches():
    assert len(list((ROOT / "configs" / "search").glob("*.yml"))) >= 3


@pytest.mark.slow
def test_optuna_proposes_and_bad_trials_stop_early_and_failed_ones_are_rows(raw, tmp_path):
    del raw["arms"], raw["settings"][ARMS], raw["final"]
    rates = {"values": [1e-9, 0.01, -1.0]}  # nothing learnt, much learnt, no number
    raw["settings"]["training.optimizer.learn_rate"] = rates
    raw["overrides"]["training.max_steps"] = 40
    stop = {"grace": 2, "factor": 2}
    file = write({**raw, "method": "optuna", "trials": 9, "stop": stop}, tmp_path / "a.yml")
    places = {"output": tmp_path / "out", "state": tmp_path / "state"}
    rows = search(file, **places, concurrent=1)
    assert len(rows) == 9
    by_rate = {
        rate: [r for r in rows if r["training.optimizer.learn_rate"] == rate]
        for rate in rates["values"]
    }
    assert max(r["score"] for r in by_rate[0.01]) > 0.99
    assert any(r["status"] == "stopped" and r["evaluations"] < 21 for r in rows), rows
    assert all("training.dropout" in r for r in rows)


@pytest.mark.slow
def test_a_failed_trial_is_a_row_with_its_error_and_all_failed_is_an_error(raw, tmp_path):
    raw["settings"] = {"training.batcher.size": {"values": [2, -1]}}
    del raw["arms"]
    file = write({**raw, "method": "grid", "trials": None}, tmp_path / "a.yml")
    places = {"output": tmp_path / "out", "state": tmp_path / "state"}
    good, bad = search(file, **places, concurrent=1)
    assert (good["status"], good["error"]) == ("finished", "")
    assert bad["status"] == "failed" and bad["error"] and bad["score"] is None
    again = search(file, **places, concurrent=1)  # which tries the failed one again
    assert again[0] == good and {**again[1], "seconds": 0} == {**bad, "seconds": 0}
    raw["settings"]["training.batcher.size"]["values"] = [-1]
    write({**raw, "method": "grid", "trials": None}, file)
    with pytest.raises(ValueError, match="All 1 trials failed, the first one with"):
        search(file, **places, concurrent=1)


@pytest.mark.slow
def test_failed_trials_are_tried_again_once_the_cause_is_gone(raw, tmp_path):
    raw["settings"] = {"training.batcher.size": {"values": [2]}}
    del raw["arms"]
    file = write({**raw, "method": "grid", "trials": None}, tmp_path / "a.yml")
    in_the_way = tmp_path / "state" / _identity(read_plan(file), file) / "work"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("not a folder")
    with pytest.raises(ValueError, match=r"FileExistsError.* Run it again"):
        search(file, tmp_path / "out", state=tmp_path / "state")
    assert not in_the_way.exists()  # a search clears up
    (row,) = search(file, tmp_path / "out", state=tmp_path / "state")
    assert row["status"] == "finished" and row["error"] == ""


@pytest.mark.slow
def test_more_than_the_machine_has_is_refused(raw, tmp_path):
    file = write(raw, tmp_path / "a.yml")
    with pytest.raises(ValueError, match="1 GPU per task, 0 in all"):
        search(file, tmp_path / "out", state=tmp_path / "state", gpus=1)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_an_error(raw, tmp_path, monkeypatch):
    def fail(**options):
        assert options["address"] == "10.0.0.9:6379" and "num_cpus" not in options
        raise ConnectionError("nobody answers")

    monkeypatch.setattr("ray.init", fail)
    file, places = write(raw, tmp_path / "a.yml"), {"state": tmp_path / "state"}
    with pytest.raises(ValueError, match="concurrent 3 with a cluster"):
        search(file, tmp_path / "out", **places, address="10.0.0.9:6379", concurrent=3)
    with pytest.raises(ValueError, match=r"No Ray cluster at 10\.0\.0\.9:6379: nobody answers"):
        search(file, tmp_path / "out", **places, address="10.0.0.9:6379")


def test_without_ray_a_sentence_says_how_to_install_it(raw, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=f"Ray is not installed. Expected: {re.escape(INSTALL)}"):
        search(write(raw, tmp_path / "a.yml"), output=tmp_path / "out", state=tmp_path / "state")
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    assert set(INSTALL.replace('"', "").split()[2:]) <= set(pins) and "optuna" in INSTALL


@pytest.mark.slow
def test_a_search_runs_every_trial_of_every_arm_and_a_second_call_none(raw, tmp_path, capsys):
    file = write(raw, tmp_path / "a.yml")
    places = {"output": tmp_path / "out", "state": tmp_path / "state"}
    rows = search(file, **places, concurrent=1)
    assert [r["status"] for r in rows] == ["finished"] * 6, [r["error"] for r in rows]
    assert [r[ARMS] for r in rows] == [0, 0, 0, 1, 1, 1]
    assert len({r["training.dropout"] for r in rows}) > 2
    assert all(0 <= r["final_score"] <= 1 and r["seconds"] > 0 for r in rows)
    assert "3 of 3, best" in capsys.readouterr().out
    again = search(file, **places, concurrent=1)
    assert again == rows and "of 3, best" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_a_stopped_search_goes_on_and_keeps_what_was_finished(raw, tmp_path, how):
    del raw["arms"], raw["settings"][ARMS]
    raw["overrides"] |= {"training.max_steps": 2000, "training.eval_frequency": 200}
    file = write({**raw, "trials": 8}, tmp_path / "a.yml")  # the last are still to come below
    command = [sys.executable, "-m", "scripts.search", str(file), "--concurrent", "1"]
    command += ["--output", str(tmp_path / "out"), "--state", str(tmp_path / "state")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = {"cwd": ROOT, "text": True, "stdout": subprocess.PIPE, "env": environment}
    said = []
    listens = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # as on a terminal
    with subprocess.Popen(
        command, start_new_session=True, preexec_fn=listens, **options
    ) as process:
        for line in process.stdout:
            said.append(line)
            if line.startswith("1 of 8"):
                time.sleep(6)  # Ray Tune notes it within five seconds
                (os.killpg if how == signal.SIGKILL else os.kill)(process.pid, how)
    if how == signal.SIGINT:
        assert process.returncode == 1 and "Run it again to go on" in "".join(said), said
    again = subprocess.run(command, **options, timeout=300)
    assert again.returncode == 0, again.stdout
    ended = [line.split(",")[0] for line in again.stdout.splitlines() if " of 8, best" in line]
    assert (
        ended and ended == [f"{n} of 8" for n in range(2, 9)][-len(ended) :]
    )  # none of them twice
    with (tmp_path / "out" / "results.csv").open() as stream:
        assert [r["status"] for r in csv.DictReader(stream)] == ["finished"] * 8
