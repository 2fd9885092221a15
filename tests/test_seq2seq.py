"""The component that writes texts: what it learns from, what it writes, what spaCy expects."""

import copy
import importlib.util
import logging
import pickle
import shutil
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from confection import ConfigValidationError
from numpy.testing import assert_allclose
from spacy.cli.train import train as spacy_train
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import load_config, registry
from thinc.api import Adam, Config

from plugins.decoders import Hypothesis, create_beam_decoder, decode_greedy
from plugins.markup import Markup
from plugins.seq2seq import Seq2Seq, create_teacher_forcing
from tests.conftest import ROOT
from tests.small_recipes import assert_same_files

pytest_plugins = ["tests.small_recipes"]

MARKUP = Markup()
# Each name occurs once, and so is outside the vocabulary.
MARKED = {
    "Ada ran": {"Ada": "PERSON"},
    "Bo sat in Oslo.": {"Bo": "PERSON", "Oslo": "PLACE"},
    "the bus ran": {},
    "the bus sat in Rome.": {"Rome": "PLACE"},
    "Cy-Lee ran in Kyiv.": {"Cy-Lee": "PERSON", "Kyiv": "PLACE"},
    "in Paris the bus ran": {"Paris": "PLACE"},
    "Dee ran": {"Dee": "PERSON"},
    "Eve  sat.": {"Eve": "PERSON"},
    "Flo sat in the bus": {"Flo": "PERSON"},
    "the bus": {},
}
TEXTS = list(MARKED)


def spans_in(text: str, marked: dict[str, str]) -> list[tuple[int, int, str]]:
    places = ((text.index(name), name, label) for name, label in marked.items())
    return [(start, start + len(name), label) for start, name, label in places]


ROWS = {text: MARKUP.write(text, spans_in(text, marked)) for text, marked in MARKED.items()}
TARGETS = list(ROWS.values())
TOK2VEC = {
    "@architectures": "spacy.MultiHashEmbed.v2",
    "width": 16,
    "attrs": ["NORM", "SHAPE"],
    "rows": [200, 50],
    "include_static_vectors": False,
}
ATTENTION = {
    "@architectures": "goemotions.Seq2SeqAttention.v1",
    "tok2vec": TOK2VEC,
    "hidden_width": 32,
    "embed_width": 24,
    "dropout": 0.0,
}
RATES = ("embed_dropout", "encoder_dropout", "decoder_dropout", "output_dropout")
RNN = {
    "@architectures": "goemotions.Seq2SeqRNN.v1",
    "hidden_width": 32,
    "embed_width": 32,
    "depth": 1,
    **dict.fromkeys(RATES, 0.0),
}
FORCING = {"@schedules": "goemotions.teacher_forcing.v1", "start": 0.8, "end": 0.2, "steps": 4}


def blank(
    model=ATTENTION, min_freq: int = 2, labels: list[str] | None = None, **config
) -> Language:
    """Return a pipeline with a small model, not initialized."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("seq2seq", config={"model": model, **config})
    settings = {"min_freq": min_freq, **({"labels": labels} if labels is not None else {})}
    nlp.config["initialize"]["components"] = {"seq2seq": settings}
    return nlp


def example_of(nlp: Language, text: str, target: str | None) -> Example:
    example = Example(nlp.make_doc(text), nlp.make_doc(text))
    example.reference._.seq2seq = target
    return example


def examples_of(nlp: Language, rows: dict[str, str | None] = ROWS) -> list[Example]:
    return [example_of(nlp, *row) for row in rows.items()]


def train(nlp: Language, rows: dict[str, str | None] = ROWS, steps: int = 0) -> Language:
    """Initialize a pipeline and train it for some steps."""
    examples = examples_of(nlp, rows)
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.01
    for _ in range(steps):
        nlp.update(examples, sgd=sgd)
    return nlp


@pytest.fixture(scope="module")
def trained() -> Language:
    """A pipeline that knows ROWS by heart; do not change it."""
    return train(blank(tags="entities"), steps=80)


def pipe_of(nlp: Language) -> Seq2Seq:
    return nlp.get_pipe("seq2seq")


def network_of(nlp: Language) -> torch.nn.Module:
    return pipe_of(nlp).model.get_ref("network").shims[0]._model


def written_by(nlp: Language, texts: list[str], batch_size: int = 100) -> list[str]:
    return [doc._.seq2seq for doc in nlp.pipe(texts, batch_size=batch_size)]


def forcings_of(nlp: Language) -> list[float]:
    """Return a list to which each update adds the forcing that it has."""
    seen: list[float] = []
    network_of(nlp).register_forward_pre_hook(lambda network, args: seen.append(args[5]))
    return seen


def test_it_learns_by_heart_and_copies_names_that_are_in_no_vocabulary(trained):
    symbols = pipe_of(trained).model.attrs["target_symbols"]
    assert symbols[:3] == ["{{/PERSON}}", "{{PERSON}}", "bus"] and "Ada" not in symbols
    assert written_by(trained, TEXTS) == TARGETS
    assert [doc._.seq2seq for doc in map(trained, TEXTS)] == TARGETS
    assert written_by(trained, ["Zoe ran"]) == ["{{PERSON}} Zoe{{/PERSON}}  ran"]
    for doc in trained.pipe(TEXTS):
        assert {span.text: span.label_ for span in doc.ents} == MARKED[doc.text]
        ((best, score),) = [one.values() for one in doc._.seq2seq_best]
        assert best == doc._.seq2seq and -0.5 < score < 0
    scores = trained.evaluate(examples_of(trained))
    assert scores["pair_exact"] == scores["pair_acc"] == 1


@pytest.mark.parametrize(
    "model, changes, lowest",
    [
        (RNN, {"min_freq": 1}, 0.05),
        pytest.param(ATTENTION | {"copying": False}, {"min_freq": 1}, 0.25, marks=pytest.mark.slow),
        pytest.param(
            RNN,
            {"min_freq": 1, "teacher_forcing": 0.5, "label_smoothing": 0.05},
            0.5,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_loss_goes_down_and_outputs_become_exact(model, changes, lowest):
    nlp = blank(model, **changes)
    examples = examples_of(nlp)
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.02
    losses = [nlp.update(examples, sgd=sgd)["seq2seq"] for _ in range(80)]
    assert losses[0] > 2
    assert losses[-1] < lowest
    assert written_by(nlp, TEXTS) == TARGETS
    assert pipe_of(nlp).cfg == {"labels": [], "step": 80}


def test_the_defaults_are_complete_and_two_components_live_side_by_side():
    nlp = spacy.blank("en")
    nlp.add_pipe("seq2seq")
    nlp.add_pipe("seq2seq", name="other", config={"model": RNN, "tags": "labels"})
    settings = nlp.get_pipe_config("seq2seq")
    assert settings["decoder"] == {"@misc": "goemotions.GreedyDecoder.v1"}
    assert settings["markup"] == settings["scorer"]["markup"] == {"@misc": "goemotions.Markup.v1"}
    first, other = (pipe for _, pipe in nlp.pipeline)
    assert (first.tags, first.teacher_forcing, first.label_smoothing) == ("none", 1.0, 0.0)
    assert (first.max_ratio, first.max_extra, first.decoder) == (2.0, 10, decode_greedy)
    assert nlp.config["training"]["score_weights"]["pair_exact"] is not None
    examples = examples_of(nlp)
    sgd = nlp.initialize(lambda: examples)
    assert (first.model.name, other.model.name) == ("seq2seq_attention", "seq2seq_rnn")
    assert (first.labels, other.labels) == ((), ("PERSON", "PLACE"))
    losses = nlp.update(examples, sgd=sgd)
    assert losses.keys() == {"seq2seq", "other"} and min(losses.values()) > 1
    doc = nlp(TEXTS[0])
    assert isinstance(doc._.seq2seq, str) and doc.cats.keys() == {"PERSON", "PLACE"}


def test_symbols_are_chosen_by_how_often_they_occur_on_each_side():
    rows = {"b b a a c d": "x a a b b c", "c d": "y y y"}
    nlp = train(blank(), rows)
    attrs = pipe_of(nlp).model.attrs
    assert attrs["source_symbols"] == ["a", "b", "c", "d"]
    assert attrs["target_symbols"] == ["y", "a", "b"]
    nlp = blank(min_freq=1)
    nlp.config["initialize"]["components"]["seq2seq"]["max_symbols"] = 2
    attrs = pipe_of(train(nlp, rows)).model.attrs
    assert (attrs["source_symbols"], attrs["target_symbols"]) == (["a", "b"], ["y", "a"])
    assert network_of(nlp).size == 4 + 2


def test_labels_are_of_the_data_or_given_and_their_tags_are_in_the_vocabulary():
    tags = ["{{PERSON}}", "{{/PERSON}}", "{{PLACE}}", "{{/PLACE}}"]
    nlp = train(blank(tags="entities", min_freq=99))
    assert pipe_of(nlp).labels == ("PERSON", "PLACE")
    assert pipe_of(nlp).label_data == ["PERSON", "PLACE"]
    assert pipe_of(nlp).model.attrs["target_symbols"] == tags
    nlp = train(blank(tags="labels", labels=["PLACE", "new"], min_freq=5))
    assert pipe_of(nlp).labels == ("PLACE", "new")
    found = pipe_of(nlp).model.attrs["target_symbols"]
    assert found[-2:] == ["{{new}}", "{{/new}}"] and len(set(found)) == len(found)
    nlp = train(blank(labels=["PLACE"]))  # tags mean nothing
    assert pipe_of(nlp).labels == ()
    assert "{{/PLACE}}" in pipe_of(nlp).model.attrs["target_symbols"]


@pytest.mark.parametrize(
    "rows, settings, message",
    [
        ({"Ada ran": "x", "Bo": None}, {}, r"seq2seq: 'Bo' has no doc\._\.seq2seq\. Expected a t"),
        ({"Ada ran": "Ada ran"}, {"tags": "labels"}, r"tags = 'labels', and no labels"),
        (ROWS, {"tags": "entities", "labels": []}, r"tags = 'entities', and no labels"),
        (ROWS, {"min_freq": 0}, r"min_freq 0, max_symbols 20000\. Expected 1 or more"),
        ({"": "", }, {}, r"seq2seq: no example has symbols in its text"),
        (ROWS, {"tags": "entities", "labels": ["a b"]}, r"'a b' at 0 to 1\. Expected"),
        (ROWS, {"model": RNN | {"include_static_vectors": True}}, r"embed_width is 32.*no vectors"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_is_named(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        train(blank(**settings), rows)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"teacher_forcing": 1.5}, r"seq2seq: teacher_forcing 1\.5, label_smoothing 0\.0"),
        ({"label_smoothing": 1.0}, r"label_smoothing 1\.0\. Expected 0 to 1, and 0 to below 1"),
        ({"max_ratio": -1.0}, r"max_ratio -1\.0, max_extra 10\. Expected 0 or more"),
        ({"max_ratio": 0.0, "max_extra": 0}, r"max_extra 0\. Expected 0 or more, one of them"),
        ({"tags": "some"}, r"tags"),
        ({"decoder": {"@misc": "goemotions.BeamDecoder.v1", "width": 0}}, r"width 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises((ValueError, ConfigValidationError), match=message):
        blank(**settings)


def test_empty_texts_get_nothing_and_teach_nothing(trained):
    for texts in ([""], ["", ""], ["", "Ada ran", ""]):
        found = written_by(trained, texts)
        assert found == ["" if not text else ROWS[text] for text in texts]
    doc = trained("")
    assert doc._.seq2seq_best == [{"text": "", "score": 0.0}]
    assert (doc.ents, list(doc.spans["entities"])) == ((), [])
    assert pipe_of(trained).predict([]) == []
    assert isinstance(trained("  ")._.seq2seq, str) and isinstance(trained("\n")._.seq2seq, str)
    nlp = train(blank())
    before = nlp.to_bytes()
    empty = [example_of(nlp, "", "")] * 2
    assert nlp.update(empty, sgd=None) == {"seq2seq": 0.0}
    assert pipe_of(nlp).update(empty) == {"seq2seq": 0.0}
    again = train(blank()).from_bytes(before)
    loss = pipe_of(again).update(examples_of(again)[:2])["seq2seq"]
    mixed = [empty[0], *examples_of(again)[:2], empty[1]]
    assert pipe_of(again).update(mixed)["seq2seq"] == pytest.approx(loss, abs=1e-6)


def test_the_widths_are_inferred_though_the_first_texts_are_empty():
    nlp = blank()
    examples = [example_of(nlp, "", "")] * 20 + examples_of(nlp)
    nlp.initialize(lambda: examples)
    assert network_of(nlp).encoder.input_size == 16
    assert nlp.update(examples)["seq2seq"] > 1


@pytest.mark.slow
def test_white_space_is_a_text_that_can_be_learned():
    rows = {" ": "one", "   ": "three", "\n": "line"}
    assert written_by(train(blank(min_freq=1), rows, steps=120), list(rows)) == [*rows.values()]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_cross_entropy_and_its_gradient_that_of_finite_differences(smoothing):
    pipe = pipe_of(blank(label_smoothing=smoothing))
    scores = numpy.array([[-0.5, -3.0], [-2.0, -4.0], [-0.1, -5.0]], dtype="f")
    loss, gradient = pipe.get_loss([], scores)
    expected = (1 - smoothing) * (0.5 + 2.0 + 0.1) / 3 + smoothing * (3.0 + 4.0 + 5.0) / 3
    assert loss == pytest.approx(expected)
    for place in numpy.ndindex(*scores.shape):
        step = numpy.zeros_like(scores)
        step[place] = 0.1
        slope = (pipe.get_loss([], scores + step)[0] - pipe.get_loss([], scores - step)[0]) / 0.2
        assert gradient[place] == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("model", [ATTENTION, RNN])
def test_an_update_lowers_the_loss_by_the_square_of_its_gradient(model):
    nlp = train(blank(model, min_freq=1, label_smoothing=0.1))
    pipe, examples = pipe_of(nlp), examples_of(nlp)
    weights = list(network_of(nlp).parameters())
    before = pipe.update(examples)["seq2seq"]
    square = sum((weight.grad.double() ** 2).sum().item() for weight in weights)
    rate = 0.002 / square
    for weight in weights:
        weight.data -= rate * weight.grad
        weight.grad = None
    assert before - pipe.update(examples)["seq2seq"] == pytest.approx(0.002, rel=0.05)


@pytest.mark.slow
def test_smoothing_shares_the_probability_out_to_the_whole_vocabulary():
    rows = {"Ada ran": "yes", "Bo sat": "no"}
    model = RNN | {"hidden_width": 8, "embed_width": 8}
    sure, smooth = (train(blank(model, 1, label_smoothing=s), rows, 120) for s in (0.0, 0.3))
    scores = [[doc._.seq2seq_best[0]["score"] for doc in nlp.pipe(rows)] for nlp in (sure, smooth)]
    assert min(scores[0]) > -0.05 and max(scores[1]) < -0.2
    assert written_by(smooth, list(rows)) == list(rows.values())


def test_teacher_forcing_falls_in_a_line_and_stays():
    schedule = create_teacher_forcing(0.9, 0.1, 4)
    assert [schedule(step) for step in range(6)] == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1, 0.1])
    assert [create_teacher_forcing()(step) for step in (0, 250, 1000, 9999)] == [1, 0.75, 0, 0]
    assert create_teacher_forcing(0.2, 1.0, 1)(7) == 1.0
    assert registry.schedules.get("goemotions.teacher_forcing.v1") is create_teacher_forcing


@pytest.mark.parametrize("bad", [{"start": 1.1}, {"end": -0.1}, {"steps": 0}])
def test_a_schedule_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match=r"Expected 0 to 1, 0 to 1, 1 or more"):
        create_teacher_forcing(**bad)


def test_each_update_moves_teacher_forcing_by_a_step_which_is_saved(tmp_path):
    nlp = train(blank(teacher_forcing=FORCING))
    seen, examples = forcings_of(nlp), examples_of(nlp)[:2]
    for _ in range(2):
        nlp.update(examples)  # makes its own optimizer
    sgd = Adam(0.001)
    for _ in range(2):  # as spaCy trains: parts of a batch, then one step
        for part in (examples[:1], examples[1:]):
            nlp.update(part, sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(sgd)
    pipe_of(nlp).update(examples, sgd=sgd)
    assert seen == pytest.approx([0.8, 0.65, 0.5, 0.5, 0.35, 0.35, 0.2])
    assert pipe_of(nlp).cfg["step"] == 5
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    seen = forcings_of(again)
    pipe_of(again).cfg["step"] -= 3
    again.update(examples, sgd=again.resume_training())
    assert seen == pytest.approx([0.5])
    assert pipe_of(again).cfg["step"] == 3
    assert pipe_of(train(nlp)).cfg["step"] == 0


def test_an_output_has_at_most_so_many_symbols(trained):
    seen = []

    def decode(step, state, limits, begin, end):
        seen.append((limits.tolist(), begin, end))
        return [[Hypothesis([], -1.0)]] * len(limits)

    texts, markup = ["Ada ran", "", "Eve  sat."], registry.resolve(
        {"markup": {"@misc": "goemotions.Markup.v1"}})["markup"]  # fmt: skip
    for ratio, extra, expected in ((1.5, 3, [6, 9]), (0.0, 4, [4, 4]), (1.0, 0, [2, 4])):
        pipe = Seq2Seq(
            trained.vocab, pipe_of(trained).model, markup=markup, decoder=decode,
            max_ratio=ratio, max_extra=extra,
        )  # fmt: skip
        assert pipe.predict(list(map(trained.make_doc, texts))) == [
            [([], -1.0)], [([], 0.0)], [([], -1.0)]
        ]  # fmt: skip
        assert seen[-1] == (expected, 1, 2)
        pipe.decoder = decode_greedy
        doc = pipe(trained.make_doc("Ada ran"))
        assert len(MARKUP.split(doc._.seq2seq)) == min(4, expected[0])


def test_another_decoder_can_be_set_and_all_that_it_finds_is_kept(trained):
    nlp = copy.deepcopy(trained)
    pipe_of(nlp).decoder = create_beam_decoder(width=4, n_best=3)
    docs = list(nlp.pipe([*TEXTS, ""]))
    for doc in docs[:-1]:
        best = doc._.seq2seq_best
        assert doc._.seq2seq == best[0]["text"] == ROWS[doc.text]
        assert len({one["text"] for one in best}) == len(best) == 3
        assert best[0]["score"] > best[1]["score"] >= best[2]["score"]
    assert docs[-1]._.seq2seq_best == [{"text": "", "score": 0.0}]


def annotate(text: str, output: str, **config) -> Doc:
    """Return a doc as it is when the component wrote an output for a text."""
    config = {"tags": "entities", **config}
    nlp = blank(**config)
    pipe_of(nlp).cfg["labels"] = ["PERSON", "PLACE"]
    doc = nlp.make_doc(text)
    pipe_of(nlp).set_annotations([doc], [[(MARKUP.split(output), -1.0)]])
    assert doc._.seq2seq == output
    return doc


def spans_of(doc: Doc) -> list[tuple[str, str]]:
    assert {*doc.ents} <= {*doc.spans["entities"]}
    return [(span.text, span.label_) for span in doc.spans["entities"]]


@pytest.mark.parametrize(
    "text, output, expected",
    [
        # nothing but the tags was added
        ("Bo Ray saw Oslo", "{{PERSON}} Bo Ray{{/PERSON}}  saw {{PLACE}} Oslo",
         [("Bo Ray", "PERSON")]),
        ("Bo Ray saw Oslo", "Bo {{PERSON}} Ray{{/PERSON}}  saw {{PLACE}} Oslo{{/PLACE}}",
         [("Ray", "PERSON"), ("Oslo", "PLACE")]),
        # within a token, which is taken whole
        ("in Oslos", "in {{PLACE}} Oslo{{/PLACE}} s", [("Oslos", "PLACE")]),
        # a label that the component does not have
        ("Bo saw Oslo", "{{THING}} Bo{{/THING}}  saw {{PLACE}} Oslo{{/PLACE}}",
         [("Oslo", "PLACE")]),
        # other words before, within and after
        ("Bo Ray saw Oslo", "the {{PERSON}} Bo Ray{{/PERSON}}  saw {{PLACE}} Oslo{{/PLACE}}  now",
         [("Bo Ray", "PERSON"), ("Oslo", "PLACE")]),
        ("Mary Ann Lee ran", "{{PERSON}} Mary Lee{{/PERSON}}  ran", [("Mary Ann Lee", "PERSON")]),
        ("Bo Ray saw Oslo", "{{PLACE}} Bergen{{/PLACE}}  saw {{PERSON}} Oslo{{/PERSON}}",
         [("Oslo", "PERSON")]),
        # nothing in common, no output at all, the same twice
        ("Bo", "{{PERSON}} Al{{/PERSON}}", []),
        ("Bo", "", []),
        ("Bo ran", "{{PERSON}} {{PERSON}} Bo{{/PERSON}} {{/PERSON}}  ran", [("Bo", "PERSON")]),
    ],
)  # fmt: skip
def test_entities_are_what_the_tags_mark_at_its_place_in_the_text(text, output, expected):
    output = MARKUP.join(MARKUP.split(output))
    doc = annotate(text, output)
    assert spans_of(doc) == expected
    assert [(span.text, span.label_) for span in doc.ents] == expected
    assert doc.cats == {}
    assert all(token.ent_iob_ for token in doc)  # outside, not unknown


def test_of_overlapping_entities_all_are_spans_and_the_longest_are_ents():
    text = "the Bo Ray Hall of Oslo"
    spans = [(4, 10, "PERSON"), (4, 15, "PLACE"), (4, 23, "PLACE"), (19, 23, "PLACE")]
    doc = annotate(text, MARKUP.write(text, spans))
    assert {(span.start_char, span.end_char, span.label_) for span in doc.spans["entities"]} == {
        *spans
    }
    assert [span.text for span in doc.ents] == ["Bo Ray Hall of Oslo"]


def test_entities_of_before_are_replaced_only_if_tags_mark_entities():
    for tags, expected in (("entities", ["Bo"]), ("none", ["saw"]), ("labels", ["saw"])):
        nlp = blank(tags=tags)
        pipe_of(nlp).cfg["labels"] = ["PERSON"]
        doc = nlp.make_doc("Bo saw")
        doc.set_ents([Span(doc, 1, 2, "OLD")])
        symbols = MARKUP.split("{{PERSON}} Bo{{/PERSON}}  saw")
        pipe_of(nlp).set_annotations([doc], [[(symbols, 0.0)]])
        assert [span.text for span in doc.ents] == expected
        assert ("entities" in doc.spans) == (tags == "entities")


def test_labels_are_of_all_the_text_and_other_cats_stay():
    nlp = blank(tags="labels")
    pipe_of(nlp).cfg["labels"] = ["PERSON", "PLACE"]
    docs = [nlp.make_doc(text) for text in ("Bo saw", "")]
    docs[0].cats = {"joy": 0.5, "PLACE": 1.0}
    symbols = ["{{PERSON}}", "Bo", "{{THING}}", "{{/PLACE}}"]
    pipe_of(nlp).set_annotations(docs, [[(symbols, 0.0)], [([], 0.0)]])
    assert docs[0].cats == {"joy": 0.5, "PERSON": 1.0, "PLACE": 0.0}
    assert docs[1].cats == {"PERSON": 0.0, "PLACE": 0.0}
    assert list(docs[1].spans) == []


def test_the_decoder_looks_at_the_name_that_it_copies(trained):
    for text in TEXTS:
        doc = trained(text)
        read, output, weights = pipe_of(trained).attention(doc)
        assert read == [*MARKUP.split(text), "<end>"] and output == MARKUP.split(ROWS[text])
        assert weights.shape == (len(output), len(read))
        assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
        for name in MARKED[text]:
            symbol = MARKUP.split(name)[0]
            assert weights[output.index(symbol)].argmax() == read.index(symbol)


def test_attention_follows_the_text_of_the_doc_whatever_it_is(trained):
    doc = trained.make_doc("Ada ran")
    with pytest.raises(ValueError, match=r"'Ada ran': no symbols or no output\. Expected both"):
        pipe_of(trained).attention(doc)
    doc._.seq2seq = "Unseen ran Ada ran"
    read, output, weights = pipe_of(trained).attention(doc)
    assert (read, output) == (["Ada", "ran", "<end>"], ["Unseen", "ran", "Ada", "ran"])
    assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    empty = trained("")
    with pytest.raises(ValueError, match="'': no symbols or no output"):
        pipe_of(trained).attention(empty)
    nlp = train(blank(RNN))
    with pytest.raises(ValueError, match="seq2seq: seq2seq_rnn looks at nothing in particular"):
        pipe_of(nlp).attention(nlp("Ada ran"))


@pytest.mark.parametrize("model", [ATTENTION, RNN])
def test_outputs_alone_batched_and_shuffled_agree(model, monkeypatch):
    nlp = train(blank(model, min_freq=1), steps=15)
    texts = [*TEXTS, "", "Bo " * 40, "unseen words, all of them", "   "]
    alone = [(doc._.seq2seq, doc._.seq2seq_best[0]["score"]) for doc in map(nlp, texts)]
    assert len({text for text, _ in alone}) > 3
    order = numpy.random.default_rng(0).permutation(len(texts))
    for batch_size, group in ((3, 128), (64, 128), (64, 4)):
        monkeypatch.setattr("plugins.seq2seq.GROUP", group)
        docs = list(nlp.pipe([texts[i] for i in order], batch_size=batch_size))
        for doc, place in zip(docs, order, strict=True):
            text, score = alone[place]
            assert doc._.seq2seq == text
            assert doc._.seq2seq_best[0]["score"] == pytest.approx(score, abs=1e-3)


def test_copies_by_disk_bytes_source_and_pickle_write_the_same(trained, tmp_path):
    texts = [*TEXTS, "unseen Words ran", ""]
    expected = written_by(trained, texts)
    trained.to_disk(tmp_path / "saved")
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    sourced = spacy.blank("en")
    sourced.add_pipe("seq2seq", source=trained)
    data = trained.to_bytes()
    copies = [
        spacy.load(tmp_path / "moved"),
        spacy.blank("en").from_config(trained.config).from_bytes(data),
        blank(tags="entities").from_bytes(data),
        sourced,
        copy.deepcopy(trained),
        pickle.loads(pickle.dumps(trained)),
    ]
    for nlp in copies:
        assert written_by(nlp, texts) == expected
        assert pipe_of(nlp).labels == ("PERSON", "PLACE")
        assert pipe_of(nlp).cfg["step"] == 80
    assert spacy.load(tmp_path / "moved").to_bytes() == data
    assert b"ctorch" not in data  # nothing is pickled


@pytest.mark.slow
def test_two_processes_write_the_same(trained):
    expected = written_by(trained, TEXTS * 3)
    docs = trained.pipe(TEXTS * 3, n_process=2, batch_size=7)
    assert [doc._.seq2seq for doc in docs] == expected


@pytest.mark.parametrize("model", [ATTENTION | {"dropout": 0.3}, RNN | {"output_dropout": 0.3}])
def test_the_same_seed_gives_the_same_files(model, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for name in ("one", "two"):
        config = {"tags": "entities", "teacher_forcing": 0.5}
        train(blank(model, **config), steps=3).to_disk(tmp_path / name)
    torch.set_num_threads(before)
    assert_same_files(tmp_path / "one", tmp_path / "two")
    (weights,) = (tmp_path / "one").glob("seq2seq/model")
    assert weights.stat().st_size > 10_000


@pytest.mark.slow
def test_it_works_between_other_components():
    nlp = blank(tags="entities")
    ruler = nlp.add_pipe("entity_ruler", before="seq2seq")
    ruler.add_patterns([{"label": "OLD", "pattern": "bus"}])
    nlp.add_pipe("sentencizer", before="seq2seq")
    bag = {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": False, "ngram_size": 1}
    bag |= {"no_output_layer": False, "length": 256}
    nlp.add_pipe("textcat_multilabel", config={"model": bag})
    examples = examples_of(nlp)
    for example in examples:
        example.reference.cats = {"place": float("PLACE" in example.reference._.seq2seq)}
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.01
    for _ in range(80):
        losses = nlp.update(examples, sgd=sgd)
    assert losses.keys() == {"seq2seq", "textcat_multilabel"}
    assert written_by(nlp, TEXTS) == TARGETS
    doc = nlp("the bus sat in Rome.")
    assert [(span.text, span.label_) for span in doc.ents] == [("Rome", "PLACE")]
    assert doc.cats["place"] > 0.5 and len(list(doc.sents)) == 1


def test_symbols_without_a_vector_are_counted_named_and_logged(caplog):
    nlp = blank(RNN | {"embed_width": 4, "include_static_vectors": True}, min_freq=2)
    for word in ("bus", "person", "in"):
        nlp.vocab.set_vector(word, numpy.ones(4, dtype="f"))
    with caplog.at_level(logging.INFO, logger="spacy"):
        train(nlp)
    misses = pipe_of(nlp).misses
    assert misses["source"] == {"words": 6, "missing": 4, "first": ["ran", "the", "sat", "￭."]}
    assert misses["target"]["words"] == 10 and misses["target"]["missing"] == 6
    assert "{{/PLACE}}" in misses["target"]["first"]
    said = [record.getMessage() for record in caplog.records if "no vector" in record.msg]
    assert said == [
        "seq2seq: 6 of 10 symbols of the target have no vector",
        "seq2seq: 4 of 6 symbols of the source have no vector",
    ]
    assert pipe_of(spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())).misses == (
        misses
    )


def test_two_wheels_may_bring_the_factory(tmp_path):
    path = shutil.copy(ROOT / "plugins" / "seq2seq.py", tmp_path)  # the same would be let pass
    spec = importlib.util.spec_from_file_location("another_wheel.seq2seq", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert spacy.blank("en").add_pipe("seq2seq").name == "seq2seq"


def test_special_symbols_have_the_numbers_of_the_networks():
    from plugins import seq2seq, seq2seq_models

    for name in ("BEGIN", "END", "UNKNOWN", "SPECIAL", "END_SYMBOL"):
        assert getattr(seq2seq, name) == getattr(seq2seq_models, name)
    assert MARKUP.split("<end>") != ["<end>"]


@pytest.mark.parametrize("name", ["seq2seq", "seq2seq_rnn"])
def test_the_configs_keep_averages_off_because_they_leave_torch_out(name):
    config = load_config(ROOT / "configs" / f"{name}.cfg")
    assert config["training"]["optimizer"]["use_averages"] is False
    assert "goemotions.torch_updates_in_place.v1" in str(config["nlp"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seq2seq", "seq2seq_rnn"])
def test_the_config_trains_and_the_result_loads_in_a_moved_folder(name, tmp_path, request):
    config, overrides = request.getfixturevalue(name)
    spacy_train(config, tmp_path / "out", overrides=overrides)
    shutil.move(tmp_path / "out" / "model-last", tmp_path / "moved")
    nlp = spacy.load(tmp_path / "moved")
    saved = Config().from_disk(tmp_path / "moved" / "config.cfg")
    assert saved["components"]["seq2seq"]["tags"] == "entities"
    assert nlp.config.interpolate()["components"] == saved.interpolate()["components"]
    nlp.to_disk(tmp_path / "again")
    assert_same_files(tmp_path / "moved", tmp_path / "again")
    assert pipe_of(nlp).labels == ("PERSON", "PLACE")
    assert pipe_of(nlp).cfg["step"] == 13
    texts = [Path(overrides["paths.train"]).stem, "Ada Kent ran in Oslo", ""]
    assert written_by(spacy.load(tmp_path / "again"), texts) == written_by(nlp, texts)
