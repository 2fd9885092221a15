"""Decoders in one table, with a component whose outputs are written in test_evaluate_pairs."""

import json
from pathlib import Path

import pytest
import spacy
import srsly
from typer import Typer
from typer.testing import CliRunner

from plugins.seq2seq import Seq2Seq
from scripts import compare_decoders as module
from scripts.compare_decoders import (
    DECODERS,
    compare_decoders,
    main,
    read_decoders,
    table_of,
)
from scripts.files import hash_of
from scripts.pair_corpus import set_decoder
from tests.test_evaluate_pairs import (
    BEAM,
    GREEDY,
    ROWS,
    docs_of,
    learn,
    rig,
    save_corpus,
    save_pair_model,
)

TWO = {"greedy": GREEDY, "beam": BEAM}


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("decoders")
    return save_pair_model(folder / "model"), save_corpus(folder / "dev.spacy")


def test_the_four_decoders_are_there_and_can_be_made(places):
    assert list(DECODERS) == ["greedy", "beam of 4", "top 10", "nucleus 0.9"]
    nlp = spacy.load(places[0])
    found = [set_decoder(nlp, settings) for settings in DECODERS.values()]
    assert found[1] == {**BEAM, "width": 4, "length_penalty": 0.6, "n_best": 1}
    assert (found[2]["k"], found[3]["p"]) == (10, 0.9)
    assert found[2]["seed"] == found[3]["seed"] == 0


def test_scores_and_speeds_are_those_of_each_decoder(places, monkeypatch, tmp_path):
    rig(monkeypatch)
    result = compare_decoders(*places, tmp_path / "out.json", decoders=TWO)
    assert json.loads((tmp_path / "out.json").read_text()) == result
    greedy, beam = result["decoders"].values()
    assert (greedy["exact"], beam["exact"]) == (pytest.approx(1 / 3), 1)
    assert greedy["token_accuracy"] == pytest.approx(15 / 18) and beam["token_accuracy"] == 1
    assert greedy["entity_f"] == pytest.approx(2 / 3) and beam["entity_f"] == 1
    assert beam["bleu"] == beam["chrf"] == 1 and greedy["bleu"] < greedy["chrf"] < 1
    assert greedy["mean_score"] == pytest.approx(-(5 + 2 + 2) / 2 / 3)
    assert result["docs"] == greedy["docs"] == 3 and greedy["symbols"] == 15
    assert "macro_f1" not in greedy
    conditions = result["conditions"]
    assert conditions["decoders"]["beam"] == BEAM | {"length_penalty": 0.6, "n_best": 1}
    assert conditions["corpus_sha256"] == hash_of(places[1])
    assert (conditions["repeats"], conditions["gpu_id"]) == (1, -1) and conditions["threads"] >= 1


def test_each_repeat_takes_all_decoders_in_turn_and_the_time_is_the_median(
    places, monkeypatch, tmp_path
):
    rig(monkeypatch)
    taken, seen = iter([9.0, 4.0, 8.0, 1.0, 8.0, 2.0, 16.0]), []

    def predict(nlp, examples):
        seen.append((nlp.get_pipe("seq2seq").decoder, len(examples)))
        for example in examples:
            example.predicted = nlp(example.predicted)
        return next(taken)

    monkeypatch.setattr(module, "predict", predict)
    result = compare_decoders(*places, tmp_path / "out.json", decoders=TWO, repeats=3, limit=2)
    greedy, beam = result["decoders"].values()
    assert greedy["seconds"] == [4, 1, 2] and greedy["docs_per_second"] == 2 / 2
    assert beam["seconds"] == [8, 8, 16] and beam["symbols_per_second"] == round(13 / 8, 1)
    names = ["beam" if hasattr(decoder, "keywords") else "greedy" for decoder, _ in seen]
    assert names[1:] == ["greedy", "beam"] * 3  # the first one warms up
    assert {docs for _, docs in seen} == {2} and result["docs"] == 2


def test_a_decoder_sees_nothing_of_the_one_before(places, monkeypatch, tmp_path):
    rig(monkeypatch)
    found, original = [], Seq2Seq.predict

    def predict(self, docs):
        found.extend(doc._.seq2seq for doc in docs)
        return original(self, docs)

    monkeypatch.setattr(Seq2Seq, "predict", predict)
    compare_decoders(*places, tmp_path / "out.json", decoders=TWO, repeats=2)
    assert found == [None] * 3 * (1 + 2 * 2)


def test_labels_have_a_column_of_their_own(monkeypatch, tmp_path):
    docs = docs_of(ROWS)
    for doc in docs:
        doc.cats = {"PERSON": float("Ada" in doc.text), "PLACE": float("Ada" in doc.text)}
    rig(monkeypatch)
    model = save_pair_model(tmp_path / "model", tags="labels")
    corpus = save_corpus(tmp_path / "dev.spacy", docs)
    result = compare_decoders(model, corpus, tmp_path / "out.json", decoders={"one": GREEDY})
    # A person is said of Bo too.
    assert result["decoders"]["one"]["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert "entity_f" not in result["decoders"]["one"]


def test_the_table_has_the_columns_that_some_decoder_has():
    row = {"exact": 0.5, "token_accuracy": 1, "bleu": 0.12345, "chrf": 0, "mean_score": None}
    speeds = {"docs_per_second": 1234.5, "symbols_per_second": 20.0}
    rows = table_of({"decoders": {"one": row | speeds, "two": row | speeds | {"mean_score": -1}}})
    assert rows["one"] == {
        "exact": "0.500",
        "token accuracy": "1.000",
        "BLEU": "0.123",
        "chrF": "0.000",
        "mean score": "",
        "docs/s": "1,234",
        "symbols/s": "20",
    }
    assert rows["two"]["mean score"] == "-1.00"


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_prints_a_table_of_the_decoders_of_a_file(places, monkeypatch, tmp_path):
    rig(monkeypatch)
    srsly.write_yaml(tmp_path / "two.yml", TWO)
    arguments = (*places, tmp_path / "out.json", "--decoders", tmp_path / "two.yml")
    code, said = run_main(*arguments)
    assert code == 0, said
    assert "greedy 0.333 0.833" in said and "beam 1.000 1.000 1.000 1.000 1.000 -1.50" in said
    code, said = run_main(*arguments, "--markdown")
    assert code == 0 and "| decoder | exact | token accuracy | BLEU | chrF | entity F |" in said
    assert "| beam | 1.000 |" in said


def test_a_file_of_decoders_is_json_or_yaml_and_anything_else_is_named(tmp_path):
    srsly.write_json(tmp_path / "two.json", TWO)
    srsly.write_yaml(tmp_path / "two.yaml", TWO)
    assert read_decoders(tmp_path / "two.json") == read_decoders(tmp_path / "two.yaml") == TWO
    for name, text, message in [
        ("a.json", "{", r"a\.json: .*Expected JSON or YAML"),
        ("b.yml", "a: [", r"b\.yml: .*Expected JSON or YAML"),
        ("c.yml", "greedy: 1", r"c\.yml: .*Expected names, each with settings of a decoder"),
        ("d.json", "[]", r"d\.json: \[\]\. Expected names"),
        ("e.json", "{}", r"e\.json: {}\. Expected names"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            read_decoders(tmp_path / name)


def test_a_decoder_that_cannot_be_made_stops_before_anything_is_written(places, tmp_path):
    srsly.write_json(tmp_path / "bad.json", {"greedy": GREEDY, "beam": BEAM | {"width": 0}})
    (tmp_path / "out.json").write_text("earlier")
    code, said = run_main(*places, tmp_path / "out.json", "--decoders", tmp_path / "bad.json")
    assert code == 1 and "Cannot compare" in said and "width 0" in said
    code, said = run_main(places[0], tmp_path / "gone.spacy", tmp_path / "out.json")
    assert code == 1 and "no such corpus" in said
    assert (tmp_path / "out.json").read_text() == "earlier"


@pytest.mark.slow
def test_a_pipeline_that_learned_its_pairs_writes_them_with_greedy_and_beam(tmp_path):
    learn(tmp_path / "model")
    corpus = save_corpus(tmp_path / "dev.spacy")
    result = compare_decoders(tmp_path / "model", corpus, tmp_path / "out.json")
    rows = result["decoders"]
    assert rows["greedy"]["exact"] == rows["beam of 4"]["exact"] == 1
    assert rows["top 10"]["exact"] <= 1 and rows["nucleus 0.9"]["symbols"] > 0
    again = compare_decoders(tmp_path / "model", corpus, tmp_path / "out.json")["decoders"]
    assert all(again[name]["mean_score"] == row["mean_score"] for name, row in rows.items())
