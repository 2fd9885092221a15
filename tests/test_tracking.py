"""What TensorBoard and MLflow were told can be read back: settings, losses, scores by step."""

import io
import sys

import pytest
import spacy
from mlflow.tracking import MlflowClient
from spacy.util import registry
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from plugins.tracking import numbers_of
from scripts.check_config import check_config
from scripts.train import train
from tests.conftest import ROOT
from tests.test_train import CONFIG, SMALL, corpus, paths_of  # noqa: F401  a fixture

INFO = {
    "epoch": 1,
    "step": 20,
    "score": 0.5,
    "losses": {"textcat_multilabel": 1.5, "tagger": 2.0},
    "other_scores": {"cats_macro_auc": 0.25, "cats_f_per_type": {"joy": {"f": 0.75}}, "x": None},
    "words": 900,
    "seconds": 3,
}
LATER = {**INFO, "step": 40, "score": 0.625, "seconds": 6}
NUMBERS = {
    "score": 0.5,
    "epoch": 1.0,
    "loss/textcat_multilabel": 1.5,
    "loss/tagger": 2.0,
    "scores/cats_macro_auc": 0.25,
    "scores/cats_f_per_type/joy/f": 0.75,
    "words_per_second": 300.0,
}


def run(logger: dict, infos: list[dict | None]) -> str:
    """Let a logger of a config note evaluations; return what it printed."""
    nlp, printed = spacy.blank("en"), io.StringIO()
    log, finish = registry.resolve({"logger": logger})["logger"](nlp, printed, printed)
    for info in infos:
        log(info)
    finish()
    return printed.getvalue()


def events_of(folder) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


@pytest.fixture
def store(tmp_path, monkeypatch) -> str:
    """Where MLflow keeps runs: files, which are quicker than a database."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "runs").as_uri()


def test_the_numbers_of_an_evaluation_are_flat_and_without_those_that_are_null():
    assert numbers_of(INFO) == NUMBERS
    assert "words_per_second" not in numbers_of({**INFO, "seconds": 0})


def test_tensorboard_reads_back_scores_by_step_and_the_config(tmp_path):
    logger = {"@loggers": "goemotions.TensorBoard.v1", "path": str(tmp_path), "run": "first"}
    printed = run(logger, [None, INFO, None, LATER])
    found = events_of(tmp_path / "first")
    assert set(found.Tags()["scalars"]) == set(NUMBERS)
    assert [(x.step, x.value) for x in found.Scalars("score")] == [(20, 0.5), (40, 0.625)]
    assert [x.value for x in found.Scalars("words_per_second")] == [300.0, 150.0]
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"nlp.lang" in content and b"training.dropout" in content
    assert "0.62" in printed  # spaCy's table


def test_runs_without_a_name_get_a_folder_each_and_without_console_nothing_is_printed(tmp_path):
    logger = {"@loggers": "goemotions.TensorBoard.v1", "path": str(tmp_path), "console": False}
    assert run(logger, [INFO]) == ""
    assert len(list(tmp_path.iterdir())) == 1


def test_mlflow_reads_back_scores_by_step_and_the_config(store):
    logger = {"@loggers": "goemotions.MLflow.v1", "uri": store, "experiment": "mine", "run": "one"}
    printed = run(logger, [None, INFO, None, LATER])
    run(logger, [INFO])
    client = MlflowClient(store)
    number = client.get_experiment_by_name("mine").experiment_id
    second, first = client.search_runs([number], order_by=["attribute.start_time DESC"])
    assert first.data.metrics == {**NUMBERS, "score": 0.625, "words_per_second": 150.0}
    history = client.get_metric_history(first.info.run_id, "score")
    assert [(x.step, x.value) for x in history] == [(20, 0.5), (40, 0.625)]
    assert first.data.params["nlp.lang"] == "en"
    assert first.data.params["training.batcher.batchers"] == "spacy.batch_by_words.v1"
    assert first.data.params == second.data.params
    assert (first.info.run_name, first.info.status) == ("one", "FINISHED")
    assert "0.62" in printed


def test_mlflow_takes_any_label_and_keeps_those_apart_that_look_alike(store):
    logger = {"@loggers": "goemotions.MLflow.v1", "uri": store, "run": "odd"}
    labels = ["etc.", "a..b", "/x", "a&b", "a+b", "y" * 300]
    scores = {"cats_f_per_type": {label: {"f": n / 8} for n, label in enumerate(labels)}}
    run(logger, [{**INFO, "other_scores": scores}])
    client = MlflowClient(store)
    number = client.get_experiment_by_name("goemotions").experiment_id
    metrics = client.search_runs([number])[0].data.metrics
    found = {name: value for name, value in metrics.items() if name.startswith("scores/")}
    assert sorted(found.values()) == [n / 8 for n in range(6)]
    assert found["scores/cats_f_per_type/etc/f"] == 0.0
    assert found["scores/cats_f_per_type/a_b/f_2"] == 0.5


def test_a_training_that_fails_is_not_a_finished_run(store):
    logger = {"@loggers": "goemotions.MLflow.v1", "uri": store}
    client = MlflowClient(store)
    for error, status in ((ZeroDivisionError, "FAILED"), (KeyboardInterrupt, "KILLED")):
        nlp = spacy.blank("en")
        _, finish = registry.resolve({"logger": logger})["logger"](nlp, io.StringIO())
        with pytest.raises(error):
            try:
                raise error
            finally:
                finish()
        number = client.get_experiment_by_name("goemotions").experiment_id
        last = client.search_runs([number], order_by=["attribute.start_time DESC"])[0]
        assert last.info.status == status


def test_mlflow_does_not_report_on_its_use(store, monkeypatch):
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY

    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    run({"@loggers": "goemotions.MLflow.v1", "uri": store}, [INFO])
    assert MLFLOW_DISABLE_TELEMETRY.get() is True


def test_a_chain_tells_both_and_prints_once(store, tmp_path):
    logger = {
        "@loggers": "spacy.ChainLogger.v1",
        "logger1": {"@loggers": "goemotions.TensorBoard.v1", "path": str(tmp_path), "run": "it"},
        "logger2": {"@loggers": "goemotions.MLflow.v1", "uri": store, "console": False},
    }
    printed = run(logger, [INFO])
    assert events_of(tmp_path / "it").Scalars("score")[0].value == 0.5
    client = MlflowClient(store)
    number = client.get_experiment_by_name("goemotions").experiment_id
    assert client.search_runs([number])[0].data.metrics["score"] == 0.5
    assert printed.count("0.50") == 1


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("goemotions.TensorBoard.v1", "torch.utils.tensorboard", "tensorboard"),
        ("goemotions.MLflow.v1", "mlflow.tracking", "mlflow-skinny"),
    ],
)
def test_an_absent_package_is_named_before_training(monkeypatch, name, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=f"needs `pip install {package}`"):
        check_config(ROOT / "configs" / "cnn.cfg", {"training.logger": {"@loggers": name}})


@pytest.mark.slow
def test_an_override_tracks_a_training_in_both_beside_log_csv(corpus, tmp_path):  # noqa: F811
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    board = {"@loggers": "goemotions.TensorBoard.v1", "path": str(tmp_path / "board"), "run": "it"}
    logger = {
        "@loggers": "spacy.ChainLogger.v1",
        "logger1": board,
        "logger2": {"@loggers": "goemotions.MLflow.v1", "uri": uri, "console": False},
    }
    overrides = {**SMALL, **paths_of(corpus), "training.logger": logger}
    train(CONFIG, tmp_path / "trained", overrides=overrides)
    rows = (tmp_path / "trained" / "log.csv").read_text().splitlines()[1:]
    steps = [int(row.split(",")[1]) for row in rows]
    assert steps == [0, 2, 4]
    assert [x.step for x in events_of(tmp_path / "board" / "it").Scalars("score")] == steps
    client = MlflowClient(uri)
    number = client.get_experiment_by_name("goemotions").experiment_id
    (found,) = client.search_runs([number])
    history = client.get_metric_history(found.info.run_id, "scores/cats_macro_auc")
    assert [x.step for x in history] == steps
    assert found.data.params["training.max_steps"] == "4"
