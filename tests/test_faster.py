"""Copies of pipelines whose transformer predicts in another precision."""

import shutil
from pathlib import Path

import pytest
import spacy
import torch
from spacy.util import load_config
from typer import Typer
from typer.testing import CliRunner

from scripts import faster as module
from scripts.faster import faster, main
from scripts.files import hash_of
from tests.conftest import ROWS
from tests.test_transformer import make_nlp
from tests.tiny_transformer import save_tiny_transformer

TEXTS = [text for text, _ in ROWS]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Path:
    """A trained pipeline with a tiny transformer; do not change it."""
    folder = tmp_path_factory.mktemp("faster")
    make_nlp(save_tiny_transformer(folder / "tiny"), steps=5).to_disk(folder / "pipeline")
    return folder / "pipeline"


@pytest.fixture(autouse=True)
def processor(monkeypatch) -> None:
    """Say that this processor has instructions for bfloat16."""
    monkeypatch.setattr(module, "has_bf16", lambda: True)


def setting_of(pipeline: Path) -> str:
    return load_config(pipeline / "config.cfg")["components"]["transformer"]["model"]["predict_in"]


@pytest.mark.parametrize(
    ("precision", "has", "expected"),
    [
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),
        ("bfloat16", True, "bfloat16"),
        ("float32", True, "float32"),
        ("float32", False, "float32"),
    ],
)
def test_the_precision_is_in_the_config_and_the_weights_stay(
    pipeline, tmp_path, monkeypatch, precision, has, expected
):
    monkeypatch.setattr(module, "has_bf16", lambda: has)
    before = hash_of(pipeline)
    assert faster(pipeline, tmp_path / "fast", precision=precision) == expected
    assert setting_of(tmp_path / "fast") == expected and hash_of(pipeline) == before
    for name in ("transformer", "textcat_multilabel", "vocab", "tokenizer"):
        assert hash_of(tmp_path / "fast" / name) == hash_of(pipeline / name)


def test_scores_in_bfloat16_are_rounded_and_still_float32(pipeline, tmp_path):
    faster(pipeline, tmp_path / "fast")
    plain, fast = spacy.load(pipeline), spacy.load(tmp_path / "fast")
    largest = 0.0
    for text in TEXTS:
        one, other = plain(text).cats, fast(text).cats
        assert other == pytest.approx(one, abs=0.05)
        largest = max(largest, *(abs(one[label] - other[label]) for label in one))
    assert largest > 1e-5
    states = fast.get_pipe("transformer").predict([fast.make_doc(TEXTS[0])])
    assert states.model_output.last_hidden_state.dtype == torch.float32
    faster(tmp_path / "fast", tmp_path / "exact", precision="float32")
    exact = spacy.load(tmp_path / "exact")
    assert [exact(text).cats for text in TEXTS] == [plain(text).cats for text in TEXTS]


def test_bfloat16_is_refused_where_it_would_be_slow(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "has_bf16", lambda: False)
    with pytest.raises(ValueError, match=r"no instructions for bfloat16.*Expected --precision flo"):
        faster(pipeline, tmp_path / "fast", precision="bfloat16")
    assert not (tmp_path / "fast").exists()


def test_a_pipeline_without_a_transformer_is_refused(files, tmp_path):
    expected = r"model: no goemotions\.TransformerModel\.v1\. Expected a pipeline that has one"
    with pytest.raises(ValueError, match=expected):
        faster(files["model"], tmp_path / "fast")


def test_what_is_no_pipeline_is_neither_read_nor_replaced(pipeline, tmp_path):
    with pytest.raises(ValueError, match=r"fast would replace the input"):
        faster(shutil.copytree(pipeline, tmp_path / "fast"), tmp_path / "fast")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"other: no pipeline\. Expected a new folder"):
        faster(pipeline, other)
    assert (other / "mine.txt").read_text() == "mine"
    with pytest.raises(ValueError, match=r"other"):
        faster(other, tmp_path / "new")


def test_an_earlier_copy_stays_until_the_new_one_can_be_loaded(pipeline, tmp_path, monkeypatch):
    faster(pipeline, tmp_path / "fast", precision="float32")

    def refuse(*arguments):
        raise ValueError("cannot be loaded")

    monkeypatch.setattr(module, "load_pipeline", refuse)
    with pytest.raises(ValueError, match="cannot be loaded"):
        faster(pipeline, tmp_path / "fast")
    assert setting_of(tmp_path / "fast") == "float32"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fast"]


def test_the_command_says_what_it_chose_and_what_is_wrong(pipeline, files, tmp_path):
    app = Typer()
    app.command()(main)
    fast = str(tmp_path / "fast")
    found = CliRunner().invoke(app, [str(pipeline), fast, "--precision", "float32"])
    assert found.exit_code == 0 and "Predicts in float32" in found.output
    bad = CliRunner().invoke(app, [str(files["model"]), fast])
    assert bad.exit_code == 1 and "Cannot write the copy" in bad.output
    assert CliRunner().invoke(app, [str(pipeline), fast, "--precision", "int8"]).exit_code == 2
