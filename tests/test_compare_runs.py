"""The table of text-to-text and of words: seeds are pooled, columns nobody has are left out."""

import pytest
import srsly
import typer
from typer.testing import CliRunner

from scripts.compare_runs import compare_runs, main


def write(folder, name, right, *, corpus="a" * 64, **more):
    text = {"exact": right, "token_accuracy": 0.5, "bleu": 0.25}
    run = {
        "text": text,
        "docs_per_second": 1234.0,
        "conditions": {"corpus_sha256": corpus, "training": {"seconds": 90}},
        **more,
    }
    srsly.write_json(folder / f"{name}.json", run)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "metrics" / "mine"
    folder.mkdir(parents=True)
    write(folder, "rnn-seed0.test", 0.1)
    for seed, exact in enumerate((0.9, 0.8)):
        write(folder, f"attention-seed{seed}.test", exact, exact={"micro": {"f": 0.75}})
    write(folder, "attention-seed0", 0.99)  # of dev
    srsly.write_json(folder / "ner.test.json", {"exact": {"micro": {"f": 0.5}}})
    return folder


def test_seeds_are_pooled_and_the_best_config_comes_first(folder):
    assert compare_runs([folder]) == {
        "mine: attention": {
            "seeds": "2",
            "exact": "0.850 ± 0.071",
            "token accuracy": "0.500 ± 0.000",
            "BLEU": "0.250 ± 0.000",
            "entity F": "0.750 ± 0.000",
            "minutes": "1.5",
            "docs/s": "1,234",
        },
        "mine: rnn": {
            "seeds": "1",
            "exact": "0.100",
            "token accuracy": "0.500",
            "BLEU": "0.250",
            "entity F": "",
            "minutes": "1.5",
            "docs/s": "1,234",
        },
    }
    assert compare_runs([folder], "dev")["mine: attention"]["exact"] == "0.990"


def test_runs_of_other_docs_and_folders_without_runs_are_refused(folder, tmp_path):
    write(folder, "rnn-seed1.test", 0.2, corpus="b" * 64)
    with pytest.raises(ValueError, match=r"rnn-seed1.test.json: of corpus b{12}. Expected a{12}"):
        compare_runs([folder])
    with pytest.raises(ValueError, match=r"no test metrics with text\.exact"):
        compare_runs([tmp_path])


def test_runs_of_words_are_told_from_those_of_texts(folder):
    run = {"field_f1": 0.75, "micro_f1": 0.875, "macro_f1": 0.5, "exact": 0.25}
    run["conditions"] = {"corpus_sha256": "a" * 64, "training": {"seconds": 60}}
    srsly.write_json(folder / "references-seed0.test.json", run)
    assert compare_runs([folder], task="tokens") == {
        "mine: references": {
            "seeds": "1",
            "field F1": "0.750",
            "micro-F1": "0.875",
            "macro-F1": "0.500",
            "whole text": "0.250",
            "minutes": "1.0",
        }
    }
    assert "mine: references" not in compare_runs([folder])


def test_the_command_prints_markdown_and_refuses_other_splits(folder, monkeypatch):
    monkeypatch.chdir(folder.parent.parent)
    app = typer.Typer()
    app.command()(main)
    said = CliRunner().invoke(app, ["mine", "--task", "pairs", "--markdown"])
    assert said.exit_code == 0
    assert said.stdout.splitlines()[0].startswith("| config | seeds | exact | token accuracy |")
    assert "| mine: rnn | 1 | 0.100 |" in said.stdout
    said = CliRunner().invoke(app, ["mine", "--task", "pairs", "--split", "train"])
    assert said.exit_code == 1 and "--split train. Expected dev or test." in said.stdout
