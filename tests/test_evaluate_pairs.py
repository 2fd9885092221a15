"""Scores of written texts, of a component whose outputs are written here."""

import json
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from sklearn.metrics import f1_score
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from typer import Typer
from typer.testing import CliRunner

import plugins.decoders
import plugins.seq2seq_models  # noqa: F401
from plugins.decoders import decode_greedy
from plugins.markup import Markup
from plugins.seq2seq import Seq2Seq
from scripts.compare_entities import compare_entities
from scripts.evaluate_pairs import evaluate_pairs, main, misses_of, parse_decoder, print_table
from scripts.files import hash_of
from scripts.pair_corpus import read_pairs, set_decoder
from scripts.pair_scores import by_length, resample_mean, score_tags
from scripts.pair_triples import Triple, differences, pick, print_triples

MARKUP = Markup()
# By text: what is to be written, and what is.
ROWS = {
    "Ada Kent ran in Oslo": (
        "{{PERSON}} Ada Kent{{/PERSON}}  ran in {{PLACE}} Oslo{{/PLACE}}",
        "{{PERSON}} Ada{{/PERSON}}  Kent ran in {{PLACE}} Oslo{{/PLACE}}",
    ),
    "Bo sat": ("{{PERSON}} Bo{{/PERSON}}  sat", "{{PERSON}} Bo{{/PERSON}}  sat"),
    "the bus": ("the bus", "the buses"),
}
GREEDY = {"@misc": "goemotions.GreedyDecoder.v1"}
BEAM = {"@misc": "goemotions.BeamDecoder.v1", "width": 3}
TEXT = ("exact", "token_accuracy", "token_accuracy_padded", "bleu", "chrf")
SMALL = {
    "@architectures": "goemotions.Seq2SeqAttention.v1",
    "hidden_width": 8,
    "embed_width": 8,
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 8,
        "depth": 1,
        "embed_size": 50,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
        "pretrained_vectors": None,
    },
}
RNN = {"@architectures": "goemotions.Seq2SeqRNN.v1", "hidden_width": 8, "embed_width": 8}


def docs_of(rows: dict[str, tuple[str, str]]) -> list[Doc]:
    """Return docs with targets, and what the tags in them mark as entities."""
    nlp, docs = spacy.blank("en"), []
    for text, (target, _) in rows.items():
        doc = nlp.make_doc(text)
        doc._.seq2seq = target
        doc.set_ents([doc.char_span(a, b, label=label) for a, b, label in MARKUP.parse(target)[1]])
        docs.append(doc)
    return docs


def save_corpus(path: Path, docs: list[Doc] | None = None) -> Path:
    docs = docs_of(ROWS) if docs is None else docs
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def save_pair_model(folder: Path, tags: str = "entities", model: dict = SMALL) -> Path:
    """Write a component that has learned nothing."""
    nlp = spacy.blank("en")
    nlp.add_pipe("seq2seq", config={"tags": tags, "model": model})
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs_of(ROWS)]
    nlp.initialize(lambda: examples)
    nlp.to_disk(folder)
    return folder


def learn(folder: Path) -> None:
    """Write a component that knows what is to be written."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    model = SMALL | {"hidden_width": 32, "embed_width": 32, "dropout": 0.0}
    nlp.add_pipe("seq2seq", config={"tags": "entities", "model": model})
    # Twice, so that no symbol is too rare.
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs_of(ROWS) * 2]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    for _ in range(150):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder)


def rig(monkeypatch, rows: dict[str, tuple[str, str]] = ROWS) -> None:
    """Make all components write what is in rows; with a beam, what is to be written."""

    def found(self, docs):
        greedy = self.decoder is decode_greedy
        return [[(MARKUP.split(rows[doc.text][greedy]), -0.5 * len(doc))] for doc in docs]

    monkeypatch.setattr(Seq2Seq, "predict", found)


@pytest.fixture
def rigged(monkeypatch) -> None:
    rig(monkeypatch)


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """A model and a corpus."""
    folder = tmp_path_factory.mktemp("pairs")
    return {"model": save_pair_model(folder / "model"), "corpus": save_corpus(folder / "d.spacy")}


def prf(tp: int, found: int, true: int) -> dict:
    p, r, f = tp / found, tp / true, 2 * tp / (found + true)
    return {"p": p, "r": r, "f": f, "tp": tp, "positives": found, "support": true}


def test_scores_of_the_texts_are_those_computed_by_hand(places, rigged, tmp_path):
    text = evaluate_pairs(**places, output=tmp_path / "out.json")["text"]
    assert text["exact"] == pytest.approx(1 / 3)
    # Of nine symbols and the end the first row has seven and the end; of two the last has one.
    assert text["token_accuracy"] == pytest.approx((8 + 5 + 2) / (10 + 5 + 3))
    assert text["token_accuracy_padded"] == pytest.approx((7 + 9 + 8) / 27)
    assert text["faithful"] == pytest.approx(2 / 3)  # "the buses" is another text
    assert text["copied"]["exact"] == pytest.approx(1 / 3)
    assert text["copied"]["token_accuracy"] == pytest.approx(3 / 18)
    assert tuple(text["copied"]) == TEXT
    assert text["lengths"] == [{"symbols": "0 to 10", "docs": 3, "exact": pytest.approx(1 / 3)}]
    assert "tok:13a" in text["signatures"]["bleu"] and "nc:6" in text["signatures"]["chrf"]
    assert 0 < text["bleu"] < 1 and 0 < text["chrf"] < 1
    low, high = text["confidence_95"]
    assert low == 0 and 1 / 3 < high <= 1


def test_scores_of_entities_are_where_those_of_a_recogniser_are(places, rigged, tmp_path):
    result = evaluate_pairs(**places, output=tmp_path / "out.json", resamples=20)
    assert result["exact"] == {
        "micro": prf(2, 3, 3),
        "macro_f": pytest.approx((1 / 2 + 1) / 2),
        "labels": {"PERSON": prf(1, 2, 2), "PLACE": prf(1, 1, 1)},
    }
    assert result["token"]["micro"] == prf(3, 3, 4)
    assert result["overlap"]["micro"] == prf(3, 3, 3)  # "Ada" is 6 / 11 of "Ada Kent"
    assert result["documents"] == {"tp": "1 1 0", "found": "2 1 0", "true": "2 1 0"}
    low, high = result["confidence_95"]
    assert 0 <= low <= 2 / 3 <= high <= 1


def test_both_stand_in_one_table_with_recognisers(places, rigged, tmp_path):
    folder = tmp_path / "metrics"
    for seed in (0, 1):
        evaluate_pairs(**places, output=folder / f"seq2seq-seed{seed}.test.json", resamples=2)
    result = evaluate_pairs(**places, output=tmp_path / "out.json", decoder=BEAM, resamples=2)
    srsly.write_json(folder / "ner.test.json", {k: x for k, x in result.items() if k != "text"})
    rows = compare_entities([folder], resamples=50)
    assert list(rows) == ["metrics: ner", "metrics: seq2seq"]
    assert rows["metrics: seq2seq"]["F"] == "0.667 ± 0.000"
    assert rows["metrics: ner"]["F"] == "1.000"
    assert rows["metrics: seq2seq"]["difference in F"] == "-0.333"
    assert rows["metrics: seq2seq"]["docs/s"]


def test_the_file_has_what_the_scores_depend_on_and_no_texts(places, rigged, tmp_path):
    srsly.write_json(places["model"] / "training.json", {"seconds": 3})
    result = evaluate_pairs(**places, output=tmp_path / "out.json", resamples=2)
    written = (tmp_path / "out.json").read_text()
    assert json.loads(written) == result
    assert list(result) == [
        *("docs", "tokens", "text", "exact", "token", "overlap", "confidence_95", "documents"),
        *("docs_per_second", "symbols_per_second", "vector_misses", "conditions"),
    ]
    assert result["docs"] == 3 and result["tokens"] == 9 and result["vector_misses"] == {}
    conditions = result["conditions"]
    assert conditions["corpus_sha256"] == hash_of(places["corpus"])
    assert conditions["config_sha256"] == hash_of(places["model"] / "config.cfg")
    assert conditions["decoder"] == GREEDY and conditions["training"] == {"seconds": 3}
    # Nine, four and two symbols were written.
    speeds = result["symbols_per_second"], result["docs_per_second"]
    assert speeds[0] / speeds[1] == pytest.approx(15 / 3, rel=0.01)
    assert "Oslo" not in written and "bus" not in written


def test_another_decoder_writes_other_texts_and_is_recorded_with_its_defaults(
    places, rigged, tmp_path
):
    result = evaluate_pairs(**places, output=tmp_path / "out.json", decoder=BEAM, resamples=2)
    assert result["text"]["exact"] == 1 and result["exact"]["micro"]["f"] == 1
    found = result["conditions"]["decoder"]
    assert found == BEAM | {"length_penalty": 0.6, "n_best": 1}


def test_labels_of_whole_texts_are_scored_as_scikit_learn_does(monkeypatch, tmp_path):
    rows = {
        "so glad": ("{{joy}} so glad{{/joy}}", "{{joy}} so glad{{/joy}}"),
        "how dare you": ("{{anger}} how dare you{{/anger}}", "{{joy}} how dare you{{/joy}}"),
        "the bus": ("the bus", "{{joy}} {{anger}} the bus{{/anger}} {{/joy}}"),
    }
    truth, picked = [[1, 0], [0, 1], [0, 0]], [[1, 0], [1, 0], [1, 1]]
    docs = [spacy.blank("en").make_doc(text) for text in rows]
    for doc, (target, _), (joy, anger) in zip(docs, rows.values(), truth, strict=True):
        doc._.seq2seq, doc.cats = target, {"joy": float(joy), "anger": float(anger)}
    nlp = spacy.blank("en")
    nlp.add_pipe("seq2seq", config={"tags": "labels", "model": RNN})
    nlp.initialize(lambda: [Example(nlp.make_doc(doc.text), doc) for doc in docs])
    nlp.to_disk(tmp_path / "model")
    corpus = save_corpus(tmp_path / "dev.spacy", docs)
    rig(monkeypatch, rows)
    result = evaluate_pairs(tmp_path / "model", corpus, tmp_path / "out.json")
    found = result["labels"]
    assert found["macro_f1"] == pytest.approx(f1_score(truth, picked, average="macro")) == 0.25
    assert found["micro_f1"] == pytest.approx(f1_score(truth, picked, average="micro"))
    assert found["subset_accuracy"] == pytest.approx(1 / 3)
    assert found["per_label"]["joy"] == prf(1, 3, 1)
    assert found["per_label"]["anger"] == prf(0, 1, 1)
    assert found["confidence_95"][0] == 0 and found["confidence_95"][1] <= 1
    assert "exact" not in result and "documents" not in result


def test_one_label_has_the_f1_of_its_being_there():
    nlp = spacy.blank("en")
    examples = [Example(nlp.make_doc("a"), nlp.make_doc("a")) for _ in range(4)]
    for example, (said, true) in zip(examples, [(1, 1), (0, 0), (0, 0), (0, 1)], strict=True):
        example.predicted.cats, example.reference.cats = {"joy": said}, {"joy": true}
    found = score_tags(examples, "labels", resamples=2)["labels"]
    assert found["macro_f1"] == found["micro_f1"] == pytest.approx(2 / 3)


def test_tags_are_scored_over_the_docs_where_it_is_known_what_they_mark(places, rigged, tmp_path):
    docs = docs_of(ROWS)
    unknown = spacy.blank("en").make_doc("Bo sat")
    unknown._.seq2seq = ROWS["Bo sat"][0]
    corpus = save_corpus(tmp_path / "dev.spacy", [*docs, unknown])
    result = evaluate_pairs(places["model"], corpus, tmp_path / "out.json", resamples=2)
    assert result["text"]["exact"] == 2 / 4 and result["exact"]["micro"] == prf(2, 3, 3)
    assert result["documents"]["true"] == "2 1 0"
    corpus = save_corpus(tmp_path / "dev.spacy", [unknown])
    result = evaluate_pairs(places["model"], corpus, tmp_path / "out.json", resamples=2)
    assert "exact" not in result and result["text"]["exact"] == 1


def test_nothing_is_said_of_tags_that_mean_nothing():
    nlp = spacy.blank("en")
    example = Example(nlp.make_doc("Bo sat"), docs_of(ROWS)[1])
    example.reference.cats = {"joy": 1.0}
    assert score_tags([example], "none") == {}


def test_groups_of_lengths_divide_the_docs_and_empty_ones_are_left_out():
    right = numpy.array([1, 0, 1, 1, 0, 1], dtype=bool)
    assert by_length([0, 10, 11, 40, 41, 900], right) == [
        {"symbols": "0 to 10", "docs": 2, "exact": 0.5},
        {"symbols": "11 to 20", "docs": 1, "exact": 1.0},
        {"symbols": "21 to 40", "docs": 1, "exact": 1.0},
        {"symbols": "41 or more", "docs": 2, "exact": 0.5},
    ]
    assert [row["symbols"] for row in by_length([21, 20], right[:2])] == ["11 to 20", "21 to 40"]


def test_resamples_are_means_of_docs_drawn_anew_and_the_first_is_of_all():
    values = numpy.array([1, 0, 1, 1], dtype=bool)
    found = resample_mean(values, resamples=3, seed=7)
    draws = numpy.random.default_rng(7).multinomial(4, [1 / 4] * 4, 3)
    expected = [3 / 4, *(numpy.repeat(values, draw).mean() for draw in draws)]
    assert found == pytest.approx(expected)


def test_misses_are_counted_and_not_named():
    class Pipe:
        misses = {"target": {"words": 9, "missing": 2, "first": ["Oslo", "bus"]}}  # noqa: RUF012

    assert misses_of(Pipe) == {"target": {"words": 9, "missing": 2}}


@pytest.mark.parametrize(
    "target, output, parts",
    [
        ("the bus", "the bus", [("same", "the bus")]),
        ("the bus", "the car", [("same", "the "), ("missed", "bus"), ("added", "car")]),
        ("the bus", "the buses ran", [("same", "the "), ("missed", "bus"),
                                      ("added", "buses ran")]),
        ("{{A}} x{{/A}}  y", "x y", [("missed", "{{A}} "), ("same", "x"), ("missed", "{{/A}} "),
                                     ("same", " y")]),
        ("", "a", [("added", "a")]),
        ("a", "", [("missed", "a")]),
        ("", "", []),
    ],
)  # fmt: skip
def test_differences_are_of_whole_words_and_tags(target, output, parts):
    found = differences(target, output)
    assert found == parts
    assert "".join(text for kind, text in found if kind != "added") == target
    assert "".join(text for kind, text in found if kind != "missed") == output


TRIPLES = [Triple(str(n), "a", "b" if n % 2 else "a") for n in range(9)]


def test_the_first_wrong_triples_come_before_the_first_right_ones():
    assert [triple.input for triple in pick(TRIPLES, 3, 2)] == ["1", "3", "5", "0", "2"]
    assert [triple.input for triple in pick(TRIPLES, 9, 0)] == ["1", "3", "5", "7"]


def test_triples_are_printed_with_their_differences(capsys):
    print_triples([Triple("Bo sat", "{{P}} Bo{{/P}}  sat", "{{P}} Bo{{/P}}  sits"), *TRIPLES[:1]])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert (lines[0], lines[4]) == ("wrong", "right")
    assert lines[1:4] == [
        "input   Bo sat",
        "target  {{P}} Bo{{/P}}  sat",
        "output  {{P}} Bo{{/P}}  [-sat-]{+sits+}",
    ]
    assert lines[5:] == ["input   0", "target  a", "output  a"]


def test_all_triples_are_written_if_asked_for(places, rigged, tmp_path):
    reported: list[Triple] = []
    evaluate_pairs(
        **places,
        output=tmp_path / "out.json",
        triples=tmp_path / "more" / "triples.jsonl",
        report=reported.extend,
        resamples=2,
    )
    rows = list(srsly.read_jsonl(tmp_path / "more" / "triples.jsonl"))
    target, output = ROWS["Ada Kent ran in Oslo"]
    first = {"input": "Ada Kent ran in Oslo", "target": target, "output": output, "score": -2.5}
    assert rows[0] == first and len(rows) == 3
    assert [triple.right for triple in reported] == [False, True, False]


def test_an_output_that_is_impossible_has_no_score(places, monkeypatch, tmp_path):
    impossible = lambda self, docs: [[([], -numpy.inf)] for _ in docs]  # noqa: E731
    monkeypatch.setattr(Seq2Seq, "predict", impossible)
    triples = tmp_path / "triples.jsonl"
    result = evaluate_pairs(**places, output=tmp_path / "out.json", triples=triples, resamples=2)
    assert [row["score"] for row in srsly.read_jsonl(triples)] == [None] * 3
    assert result["text"]["token_accuracy"] == 0 and result["exact"]["micro"]["f"] == 0


def test_the_tables_have_texts_and_copies_lengths_and_tags(places, rigged, tmp_path, capsys):
    result = evaluate_pairs(**places, output=tmp_path / "out.json", resamples=2)
    result["vector_misses"] = {"target": {"words": 9, "missing": 2}}
    result["labels"] = {"macro_f1": 0.5, "micro_f1": 0.25, "per_label": {"joy": prf(1, 2, 3)}}
    capsys.readouterr()
    print_table(result)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["exact", "token", "accuracy", "with", "pads", "BLEU", "chrF"]
    assert lines[2][:4] == ["written", "33.3", "83.3", "88.9"]
    assert lines[3][:4] == ["source,", "copied", "33.3", "16.7"]
    assert lines[4] == ["symbols", "docs", "exact"]
    assert lines[6] == ["0", "to", "10", "3", "33.3"]
    assert " ".join(lines[7]) == "66.7 % have the text of the source, tags aside"
    assert " ".join(lines[8]) == "2 of 9 symbols of the target have no vector"
    assert ["exact", "66.7", "66.7", "66.7", "75.0", "3", "3"] in lines
    assert ["joy", "50.0", "33.3", "40.0", "2", "3"] in lines
    assert " ".join(lines[-1]) == "macro-F1 50.0, micro-F1 25.0"


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_prints_triples_and_the_score_with_its_interval(places, rigged, tmp_path):
    output = tmp_path / "out.json"
    code, said = run_main(*places.values(), output, "--resamples", 50)
    low, high = srsly.read_json(output)["text"]["confidence_95"]
    assert code == 0, said
    assert f"0.333 of 3 outputs are the target (95 % interval {low:.3f} to {high:.3f})" in said
    assert "output the [-bus-]{+buses+}" in said and "goemotions.GreedyDecoder.v1: " in said
    code, said = run_main(*places.values(), output, "--decoder", json.dumps(BEAM))
    assert code == 0 and "1.000 of 3 outputs" in said


def test_what_cannot_be_scored_is_named_and_earlier_metrics_stay(places, rigged, tmp_path):
    model, corpus = places.values()
    nlp, output = spacy.blank("en"), tmp_path / "out.json"
    save_corpus(tmp_path / "raw.spacy", [nlp("nothing is known")])
    save_corpus(tmp_path / "none.spacy", [])
    nlp.to_disk(tmp_path / "blank")
    output.write_text("earlier")
    for arguments, message in [
        ((tmp_path / "nowhere", corpus), "no pipeline here"),
        ((tmp_path / "blank", corpus), "Pipeline []. Expected exactly one seq2seq."),
        ((model, tmp_path / "gone.spacy"), "no such corpus. Expected a .spacy file"),
        ((model, tmp_path / "none.spacy"), "no docs. Expected at least one."),
        ((model, tmp_path / "raw.spacy"), "doc 0: nothing in doc._.seq2seq. Expected the target."),
        ((model, corpus, "--decoder", "{beam}"), "--decoder {beam}: Expecting property name"),
    ]:
        code, said = run_main(*arguments[:2], output, *arguments[2:])
        assert code == 1 and "Cannot evaluate" in said and message in said, (arguments, said)
        assert output.read_text() == "earlier"


def test_a_decoder_is_replaced_only_if_another_is_given(places):
    nlp = spacy.load(places["model"])
    before = nlp.get_pipe("seq2seq").decoder
    assert set_decoder(nlp, None) == GREEDY and nlp.get_pipe("seq2seq").decoder is before
    set_decoder(nlp, BEAM)
    assert nlp.get_pipe("seq2seq").decoder.keywords["width"] == 3
    for settings, message in [
        ({"width": 4}, r'Decoder {"width": 4}. Expected {"@misc": '),
        ({"@misc": "beam"}, r'Decoder {"@misc": "beam"}: .*beam'),
        (BEAM | {"depth": 2}, "depth"),
        (BEAM | {"width": 0}, "width 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            set_decoder(nlp, settings)
    assert nlp.get_pipe("seq2seq").decoder.keywords["width"] == 3
    with pytest.raises(ValueError, match=r"--decoder 4\. Expected a JSON object with @misc"):
        parse_decoder("4")


@pytest.mark.slow
def test_a_component_that_learned_its_pairs_by_heart_scores_1_as_spacy_evaluates_it(tmp_path):
    learn(tmp_path / "model")
    corpus = save_corpus(tmp_path / "dev.spacy")
    result = evaluate_pairs(tmp_path / "model", corpus, tmp_path / "out.json", resamples=2)
    assert [result["text"][key] for key in TEXT[:3]] == [1, 1, 1]
    assert result["exact"]["micro"] == prf(3, 3, 3)
    nlp = spacy.load(tmp_path / "model")
    scores = nlp.evaluate(read_pairs(nlp, corpus))
    assert scores["pair_exact"] == scores["pair_acc"] == scores["ents_f"] == 1
    assert scores["pair_bleu"] == result["text"]["bleu"]
