"""A process loads a pipeline once, and again when it was written again."""

import shutil

import pytest
import spacy

from scripts import kept as module
from scripts.kept import keep
from tests.conftest import LABELS


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(module, "_kept", type(module._kept)())


def test_a_pipeline_is_loaded_once_whatever_it_is_called(decided, monkeypatch):
    first = keep(decided)
    monkeypatch.chdir(decided.parent)
    assert keep(str(decided)) is first and keep("pipeline") is first


def test_other_settings_are_another_pipeline(decided):
    assert keep(decided, what="scores") is not keep(decided)
    assert keep(decided, what="scores").what == "scores" and keep(decided).what == "both"


def test_one_that_was_trained_again_is_loaded_again_and_replaces_the_other(decided, tmp_path):
    shutil.copytree(decided, tmp_path / "model")
    first = keep(tmp_path / "model")
    nlp = spacy.load(decided)
    nlp.get_pipe("decide").set(dict.fromkeys(LABELS, 1.0), 1.0)
    shutil.rmtree(tmp_path / "model")
    nlp.to_disk(tmp_path / "model")
    again = keep(tmp_path / "model")
    assert first.thresholds["joy"] == pytest.approx(0.3) and again.thresholds["joy"] == 1.0
    assert keep(tmp_path / "model") is again and len(module._kept) == 1


def test_of_many_the_one_asked_for_last_stays(decided, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MOST", 2)
    one, two, three = (shutil.copytree(decided, tmp_path / name) for name in "abc")
    first, second = keep(one), keep(two)
    assert keep(one) is first
    keep(three)
    assert keep(one) is first and keep(two) is not second


def test_what_cannot_be_loaded_is_not_kept(files, decided):
    keep(decided)
    with pytest.raises(ValueError, match="no tuned thresholds"):
        keep(files["model"])
    assert len(module._kept) == 1
