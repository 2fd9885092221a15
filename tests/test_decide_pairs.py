"""The command that chooses how to search for what to write, with scores written here."""

import json
from pathlib import Path

import pytest
import spacy
import srsly
from typer import Typer
from typer.testing import CliRunner

from plugins.decoders import decode_greedy
from plugins.seq2seq import Seq2Seq
from scripts import decide_pairs as module
from scripts.compare_decoders import compare_decoders
from scripts.decide_pairs import CANDIDATES, CRITERIA, FACTS, decide_pairs, main
from scripts.files import hash_of
from tests.test_evaluate_pairs import (
    BEAM,
    GREEDY,
    MARKUP,
    ROWS,
    learn,
    rig,
    save_corpus,
    save_pair_model,
)

TWO = {"greedy": GREEDY, "beam": BEAM}


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("decide")
    return save_pair_model(folder / "model"), save_corpus(folder / "dev.spacy")


def decoder_of(folder: Path) -> dict:
    """Return the decoder of a saved pipeline, as its config and its component have it."""
    nlp = spacy.load(folder)
    settings, decoder = nlp.get_pipe_config("seq2seq")["decoder"], nlp.get_pipe("seq2seq").decoder
    assert (settings == GREEDY) == (decoder is decode_greedy)
    if decoder is not decode_greedy:
        rest = {key: value for key, value in settings.items() if key != "@misc"}
        assert decoder.keywords == rest
    return settings


def test_the_better_decoder_is_stored_in_a_pipeline_that_loads(places, monkeypatch, tmp_path):
    model, corpus = places
    before = hash_of(model)
    rig(monkeypatch)
    result = decide_pairs(model, corpus, tmp_path / "out", decoders=TWO)
    assert result["decoder"] == "beam" and list(result["decoders"]) == ["greedy", "beam"]
    assert [row["exact"] for row in result["decoders"].values()] == [pytest.approx(1 / 3), 1]
    assert decoder_of(tmp_path / "out") == {**BEAM, "length_penalty": 0.6, "n_best": 1}
    assert decoder_of(model) == GREEDY and hash_of(model) == before
    saved = json.loads((tmp_path / "out" / FACTS).read_text())
    assert saved == {key: value for key, value in result.items() if key != "decoder"}
    weights = Path("seq2seq/model")
    assert (tmp_path / "out" / weights).read_bytes() == (model / weights).read_bytes()
    assert not (tmp_path / "out" / "training.json").exists()


def test_the_facts_of_the_training_go_along_and_an_earlier_pipeline_is_replaced(
    places, monkeypatch, tmp_path
):
    rig(monkeypatch)
    model = save_pair_model(tmp_path / "model")
    (model / "training.json").write_text('{"seconds": 3}')
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "meta.json").write_text("earlier")
    decide_pairs(model, places[1], tmp_path / "out", decoders=TWO)
    assert (tmp_path / "out" / "training.json").read_text() == '{"seconds": 3}'
    assert spacy.load(tmp_path / "out").pipe_names == ["seq2seq"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_of_equally_good_decoders_the_first_is_kept(places, monkeypatch, tmp_path):
    rig(monkeypatch, {text: (target, target) for text, (target, _) in ROWS.items()})
    result = decide_pairs(*places, tmp_path / "out", decoders=TWO)
    assert result["decoder"] == "greedy" and decoder_of(tmp_path / "out") == GREEDY
    turned = dict(reversed(TWO.items()))
    assert decide_pairs(*places, tmp_path / "out", decoders=turned)["decoder"] == "beam"


def test_a_pipeline_with_a_beam_can_be_decided_back_to_greedy(places, monkeypatch, tmp_path):
    rig(monkeypatch)
    decide_pairs(*places, tmp_path / "beam", decoders=TWO)
    rig(monkeypatch, {text: (output, target) for text, (target, output) in ROWS.items()})
    result = decide_pairs(tmp_path / "beam", places[1], tmp_path / "back", decoders=TWO)
    assert result["decoder"] == "greedy" and decoder_of(tmp_path / "back") == GREEDY


@pytest.mark.parametrize(
    ("greedy", "beam", "best"),
    [
        ({"entity_f": 0.9, "exact": 0.1}, {"entity_f": 0.8, "exact": 0.5}, "greedy"),
        ({"entity_f": 0.8, "exact": 0.1}, {"entity_f": 0.8, "exact": 0.5}, "beam"),
        ({"macro_f1": 0.7, "exact": 0.9}, {"macro_f1": 0.8, "exact": 0.1}, "beam"),
        ({"exact": 0.5, "token_accuracy": 0.7}, {"exact": 0.4, "token_accuracy": 0.9}, "greedy"),
        ({"exact": 0.5, "token_accuracy": 0.7}, {"exact": 0.5, "token_accuracy": 0.9}, "beam"),
        ({"exact": 0.5, "bleu": 0.4}, {"exact": 0.5, "bleu": 0.5}, "beam"),
        ({"exact": 0.5, "mean_score": -3.0}, {"exact": 0.5, "mean_score": -1.0}, "greedy"),
        ({"entity_f": None, "exact": 0.4}, {"entity_f": None, "exact": 0.5}, "beam"),
    ],
)
def test_what_tags_mark_decides_then_the_texts(greedy, beam, best, places, monkeypatch, tmp_path):
    def compare(model, corpus, output, **settings):
        return {"decoders": {"greedy": greedy, "beam": beam}}

    monkeypatch.setattr(module, "compare_decoders", compare)
    assert decide_pairs(*places, tmp_path / "out", decoders=TWO)["decoder"] == best


def test_candidates_are_those_that_always_write_the_same():
    assert list(CANDIDATES) == ["greedy", "beam of 4"]
    assert CRITERIA[:2] == ("entity_f", "macro_f1")


def test_limit_and_device_are_handed_on(places, monkeypatch, tmp_path):
    seen = []

    def compare(*places, **settings):
        seen.append(settings)
        return compare_decoders(*places, **settings)

    rig(monkeypatch)
    monkeypatch.setattr(module, "compare_decoders", compare)
    result = decide_pairs(*places, tmp_path / "out", limit=2)
    assert seen == [{"limit": 2, "decoders": CANDIDATES, "gpu_id": -1}] and result["docs"] == 2


def test_what_cannot_be_used_leaves_an_earlier_pipeline_in_place(places, tmp_path, monkeypatch):
    model, corpus = places
    output = tmp_path / "out"
    output.mkdir()
    (output / "meta.json").write_text("earlier")
    bad = {"greedy": GREEDY, "beam": BEAM | {"width": 0}}
    for arguments, settings, message in [
        ((tmp_path / "nowhere", corpus), {}, "nowhere: no pipeline here"),
        ((model, tmp_path / "gone.spacy"), {}, r"gone\.spacy: no such corpus"),
        ((model, corpus), {"decoders": bad}, "width 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            decide_pairs(*arguments, output, **settings)

    def fails(*arguments):
        raise RuntimeError("while it decodes")

    monkeypatch.setattr(Seq2Seq, "predict", fails)
    with pytest.raises(RuntimeError, match="while it decodes"):
        decide_pairs(model, corpus, output)
    assert [path.name for path in output.iterdir()] == ["meta.json"]
    assert (output / "meta.json").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_is_written_over_the_model_or_other_things(places, tmp_path):
    with pytest.raises(ValueError, match="would replace the input"):
        decide_pairs(*places, places[0])
    (tmp_path / "mine").write_text("")
    with pytest.raises(ValueError, match="no pipeline"):
        decide_pairs(*places, tmp_path)
    assert decoder_of(places[0]) == GREEDY


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_prints_the_scores_and_what_it_chose(places, monkeypatch, tmp_path):
    rig(monkeypatch)
    code, said = run_main(*places, tmp_path / "out", "--limit", 2)
    assert code == 0, said
    assert "decoder exact token accuracy" in said and "beam of 4: " in said
    assert srsly.read_json(tmp_path / "out" / FACTS)["docs"] == 2
    code, said = run_main(places[0], tmp_path / "gone.spacy", tmp_path / "out")
    assert code == 1 and "No decoder chosen" in said and "no such corpus" in said


@pytest.mark.slow
def test_a_pipeline_that_learned_its_pairs_keeps_writing_them(tmp_path):
    learn(tmp_path / "model")
    corpus = save_corpus(tmp_path / "dev.spacy")
    result = decide_pairs(tmp_path / "model", corpus, tmp_path / "out")
    assert result["decoder"] == "greedy"  # as good as a beam
    nlp = spacy.load(tmp_path / "out")
    for text, (target, _) in ROWS.items():
        assert MARKUP.split(nlp(text)._.seq2seq) == MARKUP.split(target)
