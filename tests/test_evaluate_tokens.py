"""Scores of words, of a classifier whose probabilities are written in test_decide_tokens."""

import json
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.tokens import Doc
from spacy.training import Example
from typer import Typer
from typer.testing import CliRunner

from scripts.decide_tokens import SETTINGS
from scripts.evaluate_tokens import (
    confusion_of,
    evaluate_tokens,
    field_f1,
    fields_of,
    main,
    print_table,
    resample_accuracy,
    score,
)
from scripts.files import hash_of
from scripts.token_corpus import read_examples
from tests.test_decide_tokens import WRONG, rig, save_corpus, save_model, save_others

VOCAB = spacy.blank("en").vocab


@pytest.fixture
def corpus(tmp_path) -> Path:
    return save_corpus(tmp_path / "dev.spacy")


@pytest.fixture
def model(tmp_path, monkeypatch) -> Path:
    """A pipeline with a switch cost of 1: all words of two texts are taken for "who"."""
    rig(monkeypatch)
    return save_model(tmp_path / "model", cost=1.0)


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Path:
    return save_others(tmp_path_factory.mktemp("others"))


def example_of(found: str, true: str) -> Example:
    """Return an example of found and true tags; - is none."""
    docs = []
    for said in (found, true):
        tags = [tag.replace("-", "") for tag in said.split()]
        docs.append(Doc(VOCAB, ["w"] * len(tags), tags=tags))
    return Example(*docs)


def test_scores_are_those_computed_by_hand(model, corpus, tmp_path):
    result = evaluate_tokens(model, corpus, tmp_path / "out.json", resamples=200)
    assert (result["docs"], result["tokens"]) == (3, 7)
    assert result["micro_f1"] == pytest.approx(5 / 7)
    assert result["macro_f1"] == pytest.approx((2 / 4 + 8 / 10) / 2)
    assert result["exact"] == pytest.approx(1 / 3)
    assert result["per_label"] == {
        "does": {"p": 1, "r": pytest.approx(1 / 3), "f": 1 / 2, "support": 3},
        "who": {"p": pytest.approx(2 / 3), "r": 1, "f": pytest.approx(0.8), "support": 4},
    }
    # The first text has both of its fields; "Bo sat" is taken for one, and the last is wrong.
    assert result["field_f1"] == pytest.approx(2 * 2 / (4 + 5))
    assert result["confusion"] == {"does": {"does": 1, "who": 2}, "who": {"does": 0, "who": 4}}
    assert result["documents"] == {"right": "4 1 0", "words": "4 2 1"}
    low, high = result["confidence_95"]
    assert 0 <= low < 5 / 7 < high <= 1


def test_the_file_has_what_the_scores_depend_on(model, corpus, tmp_path):
    srsly.write_json(model / SETTINGS, {"switch_cost": 1.0})
    srsly.write_json(model / "training.json", {"seconds": 3})
    result = evaluate_tokens(model, corpus, tmp_path / "out.json", resamples=20)
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert list(result) == [
        *("docs", "tokens", "micro_f1", "macro_f1", "exact", "per_label", "field_f1"),
        *("confidence_95", "confusion", "docs_per_second", "conditions", "documents", "as_trained"),
    ]
    conditions = result["conditions"]
    assert conditions["model"] == model.as_posix() and conditions["corpus"] == corpus.as_posix()
    assert conditions["corpus_sha256"] == hash_of(corpus)
    assert conditions["decision"] == {"switch_cost": 1.0}
    assert conditions["training"] == {"seconds": 3}
    assert result["docs_per_second"] > 0
    again = evaluate_tokens(model, corpus, tmp_path / "out.json", resamples=20)
    assert again["confidence_95"] == result["confidence_95"]


def test_scores_without_the_cost_are_there_only_if_there_is_a_cost(model, corpus, tmp_path):
    result = evaluate_tokens(model, corpus, tmp_path / "out.json")
    plain = evaluate_tokens(save_model(tmp_path / "plain"), corpus, tmp_path / "out.json")
    assert "as_trained" not in plain and plain["conditions"]["decision"] == {}
    assert plain["micro_f1"] == pytest.approx(6 / 7)
    assert plain["documents"] == {"right": "3 2 1", "words": "4 2 1"}
    assert result["as_trained"] == {x: plain[x] for x in ("micro_f1", "macro_f1", "exact")}
    assert result["as_trained"]["exact"] == pytest.approx(2 / 3)


def test_the_scores_are_those_of_the_scorer_in_the_pipeline(model, corpus, tmp_path):
    result = evaluate_tokens(model, corpus, tmp_path / "out.json")
    scorer = {"@scorers": "goemotions.token_tags_scorer.v1"}
    config = {"components": {"token_classifier": {"scorer": scorer}}}
    nlp = spacy.load(model, config=config)
    scores = nlp.evaluate(read_examples(nlp, corpus))
    for ours, theirs in [("micro_f1", "tags_micro_f"), ("macro_f1", "tags_macro_f"),
                         ("exact", "tags_exact"), ("per_label", "tags_per_type")]:  # fmt: skip
        assert result[ours] == scores[theirs]


def test_fields_are_stretches_of_words_with_one_tag():
    assert fields_of(["", "a", "a", "b", "", "a"]) == {(1, 3, "a"), (3, 4, "b"), (5, 6, "a")}
    assert fields_of([]) == fields_of(["", ""]) == set()


@pytest.mark.parametrize(
    ("found", "true", "expected"),
    [
        ("a a b", "a a b", 1),
        ("a b b", "a a b", 0),
        ("a a b c", "a a b b", 2 * 1 / (3 + 2)),
        ("a a", "b b", 0),
        ("c a a c", "- a a -", 1),  # what is outside the truth does not count
        ("a - a", "a a a", 0),
        ("a b", "- -", 0),
    ],
)
def test_a_field_is_right_if_its_ends_and_its_tag_are(found, true, expected):
    assert field_f1([example_of(found, true)]) == pytest.approx(expected)


def test_fields_of_all_texts_count_together():
    examples = [example_of("a a", "a a"), example_of("a b c", "a a a")]
    assert field_f1(examples) == pytest.approx(2 * 1 / (4 + 2))


def test_confusions_are_by_true_label_and_sum_to_the_words_that_got_a_label():
    found = [[("a", "a"), ("b", "a"), ("", "b")], [("b", "a"), ("c", "c")]]
    table = confusion_of(found, ("a", "b", "c"))
    assert table == {
        "a": {"a": 1, "b": 2, "c": 0},
        "b": {"a": 0, "b": 0, "c": 0},
        "c": {"a": 0, "b": 0, "c": 1},
    }
    assert score(found)["exact"] == 0 and score(found[1:])["micro_f1"] == 1 / 2


def test_resamples_are_accuracies_of_docs_drawn_anew():
    right = numpy.random.default_rng(0).integers(0, 9, size=30)
    words = numpy.stack([right, right + 2], axis=1)
    found = resample_accuracy(words, 4, seed=7)
    expected = []
    for draw in numpy.random.default_rng(7).multinomial(30, [1 / 30] * 30, 4):
        some, total = numpy.repeat(words, draw, axis=0).sum(axis=0)
        expected.append(some / total)
    assert found == pytest.approx(expected) and len(set(found)) == 4
    assert (resample_accuracy(words, 4) != found).any()
    assert resample_accuracy(words, 4).tolist() == resample_accuracy(words, 4).tolist()


def test_the_table_has_labels_by_falling_support(model, corpus, tmp_path, capsys):
    result = evaluate_tokens(model, corpus, tmp_path / "out.json")
    capsys.readouterr()
    print_table(result)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["label", "P", "R", "F1", "words"]
    assert lines[2:4] == [
        ["who", "66.7", "100.0", "80.0", "4"],
        ["does", "100.0", "33.3", "50.0", "3"],
    ]
    assert " ".join(lines[4]) == "whole texts right 33.3 %, F1 of whole fields 44.4"
    assert " ".join(lines[5]) == "micro-F1 without switch cost: 85.7"


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_prints_the_scores_and_the_interval(model, corpus, tmp_path):
    output = tmp_path / "out.json"
    code, said = run_main(model, corpus, output, "--resamples", 50)
    low, high = srsly.read_json(output)["confidence_95"]
    assert code == 0, said
    expected = f"micro-F1 0.714 (95 % interval {low:.3f} to {high:.3f}), macro-F1 0.650"
    assert expected in said


@pytest.mark.parametrize(("pipeline", "data", "message"), WRONG)
def test_what_cannot_be_scored_is_named_and_earlier_metrics_stay(
    pipeline, data, message, model, corpus, others, tmp_path
):
    output = tmp_path / "out.json"
    output.write_text("earlier")
    code, said = run_main(
        others / pipeline if pipeline else model, others / data if data else corpus, output
    )
    assert code == 1 and "Cannot evaluate" in said
    assert message.replace(" ", "") in said.replace(" ", "")
    assert output.read_text() == "earlier"


@pytest.mark.parametrize("name", ["dev.spacy", "model", "model/meta.json"])
def test_scores_never_replace_what_they_are_of(model, corpus, tmp_path, name):
    before = corpus.read_bytes()
    with pytest.raises(ValueError, match=r"would replace the input .*(dev\.spacy|model)"):
        evaluate_tokens(model, corpus, tmp_path / name)
    assert corpus.read_bytes() == before and (model / "meta.json").exists()
