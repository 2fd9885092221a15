"""Scores of entities, of a recogniser whose finds are written here."""

import json
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer import Typer
from typer.testing import CliRunner

from plugins.ner_crf import NerCrf
from scripts.decide_entities import SETTINGS
from scripts.entity_corpus import read_examples
from scripts.evaluate_entities import evaluate_entities, main, predict, print_table, resample_f
from scripts.files import hash_of
from scripts.train import train

pytest_plugins = ["tests.small_recipes"]

LABELS = ["PERSON", "PLACE"]
# By text: what is true, and what is found, as first token, the one behind the last, label.
ROWS = {
    "Ada Kent ran in Oslo": ([(0, 2, 0), (4, 5, 1)], [(0, 1, 0), (4, 5, 1)]),
    "Bo sat": ([(0, 1, 0)], [(0, 1, 1)]),
    "the bus": ([], []),
}


def docs_of(nlp: Language, key: str | None = None) -> list[Doc]:
    docs = []
    for text, (true, _) in ROWS.items():
        doc = nlp.make_doc(text)
        spans = [Span(doc, start, end, LABELS[label]) for start, end, label in true]
        if key is None:
            doc.set_ents(spans, default="outside")
        else:
            doc.spans[key] = spans
        docs.append(doc)
    return docs


@pytest.fixture
def corpus(tmp_path) -> Path:
    DocBin(docs=docs_of(spacy.blank("en"))).to_disk(tmp_path / "dev.spacy")
    return tmp_path / "dev.spacy"


def save_model(folder: Path, bias: float = 0.0, key: str | None = None) -> Path:
    """Write a recogniser that has learned nothing; with a key, the entities are in doc.spans."""
    nlp = spacy.blank("en")
    tok2vec = {"width": 16, "depth": 1, "embed_size": 50}
    config = {"model": {"tok2vec": tok2vec}, "spans_key": key, "set_ents": key is None}
    component = nlp.add_pipe("ner_crf", config=config)
    nlp.initialize(lambda: [Example(nlp.make_doc(doc.text), doc) for doc in docs_of(nlp, key)])
    component.recall_bias = bias
    nlp.to_disk(folder)
    return folder


@pytest.fixture(autouse=True)
def rigged(monkeypatch):
    """A CRF finds what is written in ROWS, but Bo only with a recall bias."""

    def found(self, docs):
        rows = [[] if doc.text == "Bo sat" and not self.recall_bias else ROWS[doc.text][1]
                for doc in docs]  # fmt: skip
        return [[(*entity, 0.9) for entity in row] for row in rows]

    monkeypatch.setattr(NerCrf, "predict", found)


def prf(tp: int, found: int, true: int) -> dict:
    p, r, f = tp / found if found else 0.0, tp / true, 2 * tp / (found + true)
    return {"p": p, "r": r, "f": f, "tp": tp, "positives": found, "support": true}


def test_scores_are_those_computed_by_hand(corpus, tmp_path):
    model = save_model(tmp_path / "model", bias=0.5)
    result = evaluate_entities(model, corpus, tmp_path / "out.json", resamples=20)
    assert result["docs"] == 3 and result["tokens"] == 9
    assert result["exact"] == {
        "micro": prf(1, 3, 3),
        "macro_f": pytest.approx((0 + 2 / 3) / 2),
        "labels": {"PERSON": prf(0, 1, 2), "PLACE": prf(1, 2, 1)},
    }
    assert result["token"] == {
        "micro": prf(2, 3, 4),
        "macro_f": pytest.approx((2 / 4 + 2 / 3) / 2),
        "labels": {"PERSON": prf(1, 1, 3), "PLACE": prf(1, 2, 1)},
    }
    # "Ada" is 2 · 3 / (3 + 8) of "Ada Kent", more than a half.
    assert result["overlap"] == {
        "micro": prf(2, 3, 3),
        "macro_f": pytest.approx(2 / 3),
        "labels": {"PERSON": prf(1, 1, 2), "PLACE": prf(1, 2, 1)},
    }
    assert result["documents"] == {"tp": "1 0 0", "found": "2 1 0", "true": "2 1 0"}
    low, high = result["confidence_95"]
    assert 0 <= low <= result["exact"]["micro"]["f"] <= high <= 0.5


def test_the_file_has_what_the_scores_depend_on(corpus, tmp_path):
    model = save_model(tmp_path / "model", bias=0.5)
    srsly.write_json(model / SETTINGS, {"recall_bias": 0.5})
    srsly.write_json(model / "training.json", {"seconds": 3})
    result = evaluate_entities(model, corpus, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert list(result) == [
        *("docs", "tokens", "exact", "token", "overlap", "confidence_95", "docs_per_second"),
        *("conditions", "documents", "as_trained"),
    ]
    conditions = result["conditions"]
    assert conditions["model"] == model.as_posix() and conditions["corpus"] == corpus.as_posix()
    assert conditions["corpus_sha256"] == hash_of(corpus)
    assert conditions["config_sha256"] == hash_of(model / "config.cfg")
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    assert conditions["pipeline_mb"] == round(size / 1e6, 2) > 0
    assert conditions["seed"] == 0 and conditions["versions"]["spacy"] == spacy.__version__
    assert conditions["decision"] == {"recall_bias": 0.5}
    assert conditions["training"] == {"seconds": 3}
    assert result["docs_per_second"] > 0


def test_scores_without_the_bias_are_there_only_if_there_is_a_bias(corpus, tmp_path):
    model = save_model(tmp_path / "model", bias=0.5)
    result = evaluate_entities(model, corpus, tmp_path / "out.json")
    assert result["as_trained"] == prf(1, 2, 3)
    result = evaluate_entities(save_model(tmp_path / "plain"), corpus, tmp_path / "out.json")
    assert "as_trained" not in result
    assert result["exact"]["micro"] == prf(1, 2, 3)
    assert result["conditions"]["decision"] == result["conditions"]["training"] == {}


@pytest.mark.slow
def test_spacys_own_recogniser_is_scored_on_the_whole_doc_ents(ner, tmp_path):
    train(ner[0], tmp_path / "trained", overrides=ner[1])
    model, dev = tmp_path / "trained" / "model-best", Path(ner[1]["paths.dev"])
    result = evaluate_entities(model, dev, tmp_path / "out.json", resamples=2)
    nlp = spacy.load(model)
    scores = nlp.evaluate(read_examples(nlp, dev))
    assert result["exact"]["micro"]["f"] == pytest.approx(scores["ents_f"])
    assert result["exact"]["micro"]["support"] == 60 and "as_trained" not in result


def test_entities_of_a_group_of_spans_are_scored_with_those_that_overlap(tmp_path, monkeypatch):
    model, nlp = save_model(tmp_path / "model", key="all"), spacy.blank("en")
    docs = docs_of(nlp, "all")
    docs[0].spans["all"].append(Span(docs[0], 1, 2, "PLACE"))
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    monkeypatch.setitem(ROWS, docs[0].text, ([], [(0, 2, 0), (1, 2, 1)]))
    result = evaluate_entities(model, tmp_path / "dev.spacy", tmp_path / "out.json")
    assert result["exact"]["micro"] == prf(2, 2, 4)
    assert result["exact"]["labels"]["PLACE"] == prf(1, 1, 2)
    DocBin(docs=docs_of(nlp)).to_disk(tmp_path / "ents.spacy")
    with pytest.raises(ValueError, match=r"ents\.spacy, doc 0: nothing in doc\.spans\['all'\]"):
        evaluate_entities(model, tmp_path / "ents.spacy", tmp_path / "out.json")


def test_a_doc_with_unknown_blanks_keeps_its_tokens_and_others_are_tokenized_anew(tmp_path):
    nlp, words = spacy.blank("en"), ["can't", "Oslo."]
    unknown = Doc(nlp.vocab, words, ents=["O", "B-PLACE"])
    known = Doc(nlp.vocab, words, spaces=[True, False], ents=["O", "B-PLACE"])
    assert unknown.has_unknown_spaces and not known.has_unknown_spaces
    DocBin(docs=[known, unknown]).to_disk(tmp_path / "dev.spacy")
    nlp.add_pipe("ner_crf")
    one, two = read_examples(nlp, tmp_path / "dev.spacy")
    assert [token.text for token in one.predicted] == ["ca", "n't", "Oslo", "."]
    assert [token.text for token in two.predicted] == words
    assert not one.predicted.ents and not two.predicted.ents
    assert [span.text for span in two.reference.ents] == ["Oslo."]


def test_examples_get_the_docs_that_the_pipeline_makes(corpus, tmp_path):
    nlp = spacy.load(save_model(tmp_path / "model", bias=0.5))
    examples = read_examples(nlp, corpus)
    assert predict(nlp, examples) > 0
    assert [[span.text for span in x.predicted.ents] for x in examples] == [["Ada", "Oslo"],
                                                                            ["Bo"], []]  # fmt: skip
    assert [len(x.reference.ents) for x in examples] == [2, 1, 0]


def test_resamples_are_scores_of_docs_drawn_anew_and_the_first_is_of_all():
    by_doc = numpy.random.default_rng(0).integers([0, 5, 5], 10, size=(30, 3))
    found = resample_f(by_doc, resamples=4, seed=7)
    assert found.shape == (5,)
    draws = numpy.random.default_rng(7).multinomial(30, [1 / 30] * 30, 4)
    expected = []
    for draw in [numpy.ones(30, dtype=int), *draws]:
        tp, positives, true = numpy.repeat(by_doc, draw, axis=0).sum(axis=0)
        expected.append(2 * tp / (positives + true))
    assert found == pytest.approx(expected)
    assert len(set(found)) == 5


def test_two_systems_are_scored_on_the_same_draws_so_that_one_doc_more_is_never_worse():
    worse = numpy.random.default_rng(0).integers([0, 5, 5], [4, 10, 10], size=(30, 3))
    gap = resample_f(worse + numpy.array([1, 0, 0])) - resample_f(worse)
    assert len(gap) == 1001 and (gap > 0).all()
    assert (resample_f(worse, seed=1)[1:] != resample_f(worse)[1:]).any()


def test_docs_without_entities_score_zero():
    assert resample_f(numpy.zeros((3, 3), dtype=int), resamples=2).tolist() == [0, 0, 0]


def test_the_tables_have_kinds_then_labels_by_falling_support(corpus, tmp_path, capsys):
    model = save_model(tmp_path / "model", bias=0.5)
    result = evaluate_entities(model, corpus, tmp_path / "out.json")
    capsys.readouterr()
    print_table(result)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["P", "R", "F", "macro-F", "found", "true"]
    assert lines[2:5] == [
        ["exact", "33.3", "33.3", "33.3", "33.3", "3", "3"],
        ["token", "66.7", "50.0", "57.1", "58.3", "3", "4"],
        ["overlap", "66.7", "66.7", "66.7", "66.7", "3", "3"],
    ]
    assert lines[5] == ["exact", "F", "without", "the", "recall", "bias:", "40.0"]
    assert lines[6] == ["exact", "P", "R", "F", "found", "true"]
    assert lines[8:] == [
        ["PERSON", "0.0", "0.0", "0.0", "1", "2"],
        ["PLACE", "50.0", "100.0", "66.7", "2", "1"],
    ]


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_prints_the_score_and_its_interval(corpus, tmp_path):
    model, output = save_model(tmp_path / "model", bias=0.5), tmp_path / "out.json"
    code, said = run_main(model, corpus, output, "--resamples", 50)
    low, high = srsly.read_json(output)["confidence_95"]
    assert code == 0, said
    assert f"F 0.333 (95 % interval {low:.3f} to {high:.3f})" in said


def test_what_cannot_be_scored_is_named_and_earlier_metrics_stay(corpus, tmp_path):
    model, output = save_model(tmp_path / "model"), tmp_path / "out.json"
    nlp = spacy.blank("en")
    DocBin(attrs=["ORTH"], docs=[nlp("nothing is known")]).to_disk(tmp_path / "raw.spacy")
    nlp.add_pipe("entity_ruler")
    nlp.to_disk(tmp_path / "ruler")
    output.write_text("earlier")
    for arguments, message in [
        ((tmp_path / "nowhere", corpus), "no pipeline here"),
        ((tmp_path / "ruler", corpus), "Expected exactly one of ('ner_crf', 'ner')"),
        ((model, tmp_path / "gone.spacy"), "no such corpus"),
        ((model, tmp_path / "raw.spacy"), "doc 0: nothing in doc.ents"),
    ]:
        code, said = run_main(*arguments, output)
        assert code == 1 and "Cannot evaluate" in said and message in said
        assert output.read_text() == "earlier"
