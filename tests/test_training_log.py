"""Each evaluation of a training is a row, and the logger of the config goes on as before."""

import csv
import io

import pytest
import spacy
from spacy.util import registry

from scripts.training_log import noting
from tests.conftest import ROOT

CONFIG = ROOT / "configs" / "cnn.cfg"
NAME = "spacy.ConsoleLogger.v1"
INFO = {
    "epoch": 1,
    "step": 20,
    "score": 0.5,
    "losses": {"textcat_multilabel": 1.5, "tagger": 2.0},
    "other_scores": {"cats_macro_auc": 0.5, "speed": 9.0},
}


@pytest.fixture
def nlp():
    """A pipeline without components and with scores to note."""
    nlp = spacy.blank("en")
    nlp.config["training"]["score_weights"] = {"cats_macro_auc": 1.0, "cats_f": 0.0, "speed": None}
    return nlp


def test_an_evaluation_is_a_row_and_the_other_logger_prints_it_too(nlp, tmp_path):
    printed = io.StringIO()
    with noting(CONFIG, {}, tmp_path / "log.csv"):
        log, finish = registry.get("loggers", NAME)(progress_bar=False)(nlp, printed, printed)
        for info in (None, INFO, None, {**INFO, "step": 40}):
            log(info)
        finish()
    with (tmp_path / "log.csv").open(encoding="utf8") as stream:
        rows = list(csv.DictReader(stream))
    row = {"epoch": "1", "step": "20", "score": "0.5", "loss": "3.5"}
    row |= {"cats_macro_auc": "0.5", "cats_f": ""}
    assert rows == [row, {**row, "step": "40"}]
    assert [line.split()[:2] for line in printed.getvalue().splitlines()[2:]] == [
        ["1", "20"],
        ["1", "40"],
    ]


def test_the_name_stands_for_the_other_logger_again_whatever_happens(tmp_path):
    before = registry.get("loggers", NAME)
    with pytest.raises(KeyboardInterrupt), noting(CONFIG, {}, tmp_path / "log.csv"):
        assert registry.get("loggers", NAME) is not before
        raise KeyboardInterrupt
    assert registry.get("loggers", NAME) is before


def test_the_logger_that_the_config_names_is_the_one_exchanged(tmp_path):
    config = tmp_path / "own.cfg"
    logger = '[training]\n[training.logger]\n@loggers = "spacy.ConsoleLogger.v3"\n'
    config.write_text(f'[nlp]\nlang = "en"\n{logger}', encoding="utf8")
    before = registry.get("loggers", "spacy.ConsoleLogger.v3")
    with noting(config, {}, tmp_path / "log.csv"):
        assert registry.get("loggers", "spacy.ConsoleLogger.v3") is not before
        assert registry.get("loggers", NAME).__module__ != "scripts.training_log"


def test_a_logger_that_another_package_brings_is_exchanged_too(nlp, tmp_path):
    # A registered name does not stand in for one of an entry point.
    logger = {"@loggers": "spacy.ChainLogger.v1", "logger1": {"@loggers": NAME}}
    printed = io.StringIO()
    with noting(CONFIG, {"training.logger": logger}, tmp_path / "log.csv"):
        log, finish = registry.resolve({"logger": logger})["logger"](nlp, printed, printed)
        log(INFO)
        finish()
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 2
    assert "0.50" in printed.getvalue()
    assert registry.get("loggers", "spacy.ChainLogger.v1").__module__ == "spacy_loggers.chain"


def test_a_logger_inside_another_of_the_same_name_notes_nothing_again(nlp, tmp_path):
    chain = {"@loggers": "spacy.ChainLogger.v1"}
    logger = {**chain, "logger1": {**chain, "logger1": {"@loggers": NAME}}}
    printed = io.StringIO()
    with noting(CONFIG, {"training.logger": logger}, tmp_path / "log.csv"):
        log, finish = registry.resolve({"logger": logger})["logger"](nlp, printed, printed)
        for step in (20, 40):
            log({**INFO, "step": step})
        finish()
    rows = (tmp_path / "log.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["20", "40"]
    assert printed.getvalue().count("0.50") == 2
