"""The component of the chains: what it learns from, what it writes, what spaCy expects of it."""

import importlib.util
import shutil

import numpy
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.lang.en import English
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam

import plugins.entity_scorers
from plugins.ner_crf import BEGIN, INSIDE, LAST, OUTSIDE, UNIT, NerCrf, pick
from tests.conftest import ROOT

ROWS = [
    ("Anna moved to New York", {"Anna": "PER", "New York": "LOC"}),
    ("the University of Rome called Bob", {"University of Rome": "ORG", "Bob": "PER"}),
    ("nobody called", {}),
    ("Rome called Mary Ann Lee", {"Rome": "LOC", "Mary Ann Lee": "PER"}),
    ("", {}),
]
NESTED = [
    (ROWS[1][0], {**ROWS[1][1], "Rome": "LOC"}),
    (
        "Rome called the Bank of New York",
        {"Rome": "LOC", "Bank of New York": "ORG", "New York": "LOC"},
    ),
]
TEXTS = [text for text, _ in ROWS]
CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 16,
    "depth": 1,
    "embed_size": 200,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "*"}


def blank(tok2vec=CNN, nO=None, mode="joint", window=0, stride=0, **config) -> Language:
    """Return a pipeline with a small model, not initialized."""
    spacy.util.fix_random_seed(0)
    crf = {"@layers": "goemotions.Crf.v1", "mode": mode, "window": window, "stride": stride}
    model = {"@architectures": "goemotions.NerCrf.v1", "tok2vec": tok2vec, "crf": crf, "nO": nO}
    nlp = spacy.blank("en")
    if tok2vec is LISTENER:
        encode = {"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": 16, "depth": 1}
        embed = {"@architectures": "spacy.MultiHashEmbed.v2", "width": 16, "rows": [200]}
        encode |= {"window_size": 1, "maxout_pieces": 2}
        embed |= {"attrs": ["NORM"], "include_static_vectors": False}
        shared = {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": encode}
        nlp.add_pipe("tok2vec", config={"model": shared})
    nlp.add_pipe("ner_crf", config={"model": model, **config})
    return nlp


def example_of(nlp, text, entities, key=None, words=None) -> Example:
    """Return an example of entities by their text, as doc.ents or as a group of spans."""
    reference = Doc(nlp.vocab, words) if words else nlp.make_doc(text)
    spans = []
    for entity, label in entities.items():
        start = text.index(entity)
        spans.append(reference.char_span(start, start + len(entity), label))
    if key is None:
        reference.set_ents(spans)
    else:
        reference.spans[key] = spans
    return Example(nlp.make_doc(text), reference)


def train(nlp, rows=ROWS, steps=40, key=None, labels=None) -> Language:
    """Initialize a pipeline and train it for some steps."""
    examples = [example_of(nlp, *row, key) for row in rows]
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.02
    for _ in range(steps):
        nlp.update(examples, sgd=sgd)
    return nlp


@pytest.fixture(scope="module")
def trained() -> Language:
    """A pipeline that knows ROWS by heart; do not change it."""
    return train(blank())


def pipe_of(nlp) -> NerCrf:
    return nlp.get_pipe("ner_crf")


def found_in(doc) -> dict[str, str]:
    return {span.text: span.label_ for span in doc.ents}


def likely_in(nlp, texts, batch_size=100):
    """Return places, labels and confidences of the entities of each text."""
    return [
        {(e.start, e.end, e.label_): e._.confidence for e in doc.ents}
        for doc in nlp.pipe(texts, batch_size=batch_size)
    ]


def allowed(example, labels, key=None):
    """Return the tags that the component lets be true [tokens, labels], as sets of letters."""
    component = blank(**({"spans_key": key} if key else {})).get_pipe("ner_crf")
    for label in labels:
        component.add_label(label)
    may = component._allowed(example)
    return [["".join(numpy.array([*"OIBLU"])[tag]) for tag in token] for token in may]


def gradients(nlp, *examples):
    component = pipe_of(nlp)
    scores = component.model.predict([example.x for example in examples])
    return component.get_loss(examples, scores)


@pytest.mark.parametrize("mode", ["joint", "marginal", "independent"])
@pytest.mark.parametrize("tok2vec", [CNN, LISTENER])
def test_it_learns_by_heart(mode, tok2vec):
    nlp = train(blank(tok2vec, mode=mode, window=3, stride=2))
    assert [found_in(doc) for doc in nlp.pipe(TEXTS)] == [dict(entities) for _, entities in ROWS]
    scores = nlp.evaluate([example_of(nlp, *row) for row in ROWS])
    assert scores["ents_p"] == scores["ents_r"] == scores["ents_f"] == 1
    assert pipe_of(nlp).labels == ("LOC", "ORG", "PER")
    confidences = [p for doc in likely_in(nlp, TEXTS) for p in doc.values()]
    assert len(confidences) == 6
    assert all(0.5 < p <= 1 for p in confidences)


def test_a_span_that_was_not_found_has_no_confidence(trained):
    doc = trained(TEXTS[0])
    assert doc[3:5]._.confidence > 0.5
    assert doc[2:5]._.confidence is None


def test_copies_by_disk_bytes_and_source_predict_the_same(trained, tmp_path):
    expected = likely_in(trained, TEXTS)
    pipe_of(trained).recall_bias = 0.7
    trained.to_disk(tmp_path / "model")
    data = trained.to_bytes()
    pipe_of(trained).recall_bias = 0
    sourced = spacy.blank("en")
    sourced.add_pipe("ner_crf", source=trained)
    copies = [
        spacy.load(tmp_path / "model"),
        English.from_config(trained.config).from_bytes(data),
        blank().from_bytes(data),
        sourced,
    ]
    assert [pipe_of(nlp).recall_bias for nlp in copies] == pytest.approx([0.7, 0.7, 0.7, 0])
    for copy in copies:
        assert pipe_of(copy).labels == pipe_of(trained).labels == ("LOC", "ORG", "PER")
        pipe_of(copy).recall_bias = 0
        assert likely_in(copy, TEXTS) == expected


def test_the_config_of_a_saved_pipeline_brings_the_windows_back(tmp_path):
    nlp = train(blank(mode="marginal", window=6, stride=2, spans_key="sc"), NESTED, 0, "sc")
    nlp.to_disk(tmp_path / "model")
    component = pipe_of(spacy.load(tmp_path / "model"))
    assert component._chains == pipe_of(nlp)._chains
    assert (component._chains.mode, component._chains.window) == ("marginal", 6)
    assert (component.spans_key, component.set_ents) == ("sc", True)


def test_a_bias_for_recall_finds_entities_where_there_were_none(trained, tmp_path):
    trained.to_disk(tmp_path / "model")
    nlp = spacy.load(tmp_path / "model")
    assert len(nlp("nobody called").ents) == 0
    pipe_of(nlp).recall_bias = 30
    doc = nlp("nobody called")
    assert len(doc.ents) > 0
    assert all(span._.confidence < 0.5 for span in doc.ents)


def test_nested_entities_are_all_in_the_group_and_the_likelier_in_ents():
    nlp = train(blank(spans_key="sc"), NESTED, key="sc")
    pairs = ("University of Rome", "Rome"), ("Bank of New York", "New York")
    for (text, entities), pair in zip(NESTED, pairs, strict=True):
        doc = nlp(text)
        group = doc.spans["sc"]
        assert {span.text: span.label_ for span in group} == entities
        scores = dict(zip([span.text for span in group], group.attrs["scores"], strict=True))
        assert all(0.5 < p <= 1 for p in scores.values())
        loser = min(pair, key=scores.get)
        assert found_in(doc).keys() == entities.keys() - {loser}
        assert all(span._.confidence == scores[span.text] for span in doc.ents)


def test_of_overlapping_entities_the_likelier_is_picked_then_the_longer():
    doc = Doc(spacy.blank("en").vocab, ["a"] * 8)
    spans = [Span(doc, *place) for place in ((0, 3, "A"), (2, 4, "B"), (3, 6, "C"), (4, 5, "D"))]
    picked = pick(list(zip(spans, [0.4, 0.9, 0.8, 0.7], strict=True)))
    assert [(span.label_, p) for span, p in picked] == [("B", 0.9), ("D", 0.7)]
    assert [span.label_ for span, _ in pick([(span, 0.5) for span in spans])] == ["A", "C"]
    later = Span(doc, 2, 6, "E")
    assert [span.label_ for span, _ in pick([(spans[0], 0.5), (later, 0.5)])] == ["E"]
    assert pick([]) == []


def test_ents_are_replaced_or_left_alone_as_set():
    for set_ents in (True, False):
        nlp = train(blank(spans_key="sc", set_ents=set_ents), NESTED, key="sc")
        doc = nlp.make_doc("Rome called")
        doc.set_ents([Span(doc, 1, 2, "OLD")])
        doc = pipe_of(nlp)(doc)
        assert [span.text for span in doc.spans["sc"]] == ["Rome"]
        assert found_in(doc) == ({"Rome": "LOC"} if set_ents else {"called": "OLD"})


def test_a_component_that_would_write_nowhere_is_refused():
    with pytest.raises(ValueError, match="ner_crf: spans_key null, set_ents false"):
        blank(set_ents=False)


@pytest.mark.parametrize("nO", [None, 3])
def test_labels_come_from_the_data_or_are_given_or_were_added(nO):
    rows = ROWS[1:2]
    nlp = blank(nO=nO)
    for label in ("PER", "EXTRA"):
        assert pipe_of(nlp).add_label(label) == 1
    assert pipe_of(nlp).add_label("PER") == 0
    train(nlp, rows, steps=0)
    assert pipe_of(nlp).labels == ("PER", "EXTRA", "ORG")
    assert pipe_of(nlp).label_data == ["PER", "EXTRA", "ORG"]
    assert nlp("Bob") is not None
    assert pipe_of(nlp).add_label("ORG") == 0
    with pytest.raises(ValueError, match="has the labels PER, EXTRA, ORG, not 'LOC'"):
        pipe_of(nlp).add_label("LOC")
    with pytest.raises(ValueError, match="has the labels PER, EXTRA, ORG, not 'LOC'"):
        train(nlp, ROWS, steps=0)


def test_entities_of_labels_that_are_not_given_are_left_out():
    nlp = blank()
    nlp.config["initialize"]["components"] = {"ner_crf": {"labels": ["PER", "LOC"]}}
    train(nlp)
    assert pipe_of(nlp).labels == ("PER", "LOC")
    assert found_in(nlp(TEXTS[1])) == {"Bob": "PER"}


@pytest.mark.parametrize("labels", [None, [], ["A", "A"]])
def test_no_label_or_one_twice_is_refused(labels):
    nlp = blank()
    with pytest.raises(ValueError, match=r"ner_crf: labels \[.*Expected at least one, each once"):
        pipe_of(nlp).initialize(lambda: [example_of(nlp, *ROWS[2])], nlp=nlp, labels=labels)


def test_nothing_is_learned_from_docs_whose_entities_are_not_known(trained):
    unknown = Example(trained.make_doc(TEXTS[0]), trained.make_doc(TEXTS[0]))
    known = example_of(trained, TEXTS[3], {})
    loss, (dX, dT) = gradients(trained, unknown, known)
    expected, (alone, d_transitions) = gradients(trained, known)
    assert abs(dX[0]).max() < 1e-5
    assert loss == pytest.approx(expected, abs=1e-4)
    assert abs(dX[1]).max() > 0.5
    assert_allclose(dX[1], alone[0], atol=1e-5)
    assert_allclose(dT, d_transitions, atol=1e-4)
    loss, (dX, dT) = gradients(trained, unknown)
    assert max(abs(loss), abs(dX[0]).max(), abs(dT).max()) < 1e-4


def test_only_the_tokens_that_are_known_bind():
    nlp = blank()
    words = ["Anna", "moved", "to", "New", "York"]
    doc = Doc(nlp.vocab, words)
    doc.set_ents([Span(doc, 0, 1, "PER")], missing=[doc[3:5]], default="outside")
    example = Example(Doc(nlp.vocab, words), doc)
    any_tag = ["OIBLU", "OIBLU"]
    assert allowed(example, ["LOC", "PER"]) == [["O", "U"], ["O"] * 2, ["O"] * 2, any_tag, any_tag]


def test_a_group_that_is_missing_binds_nothing_and_an_empty_one_says_outside():
    nlp = blank()
    doc = nlp.make_doc("Rome called")
    doc.set_ents([Span(doc, 0, 1, "LOC")])  # not what this component learns from
    example = Example(nlp.make_doc("Rome called"), doc)
    assert allowed(example, ["LOC"], key="sc") == [["OIBLU"], ["OIBLU"]]
    doc.spans["sc"] = []
    assert allowed(example, ["LOC"], key="sc") == [["O"], ["O"]]


def test_labels_have_chains_of_their_own_and_the_longer_of_two_with_one_label_is_learned():
    nlp = blank()
    text = "the Bank of New York"
    entities = {"Bank of New York": "ORG", "New York": "LOC", "Bank": "ORG", "York": "X"}
    example = example_of(nlp, text, entities, "sc")
    assert allowed(example, ["LOC", "ORG"], "sc") == [
        ["O", "O"], ["O", "B"], ["O", "I"], ["B", "I"], ["L", "L"]
    ]  # fmt: skip


def test_entities_are_aligned_to_another_tokenization():
    nlp = blank()
    text = "We're in New York-Paris today"
    assert [t.text for t in nlp.make_doc(text)] == [
        "We", "'re", "in", "New", "York", "-", "Paris", "today"
    ]  # fmt: skip
    words = ["We're", "in", "New", "York-Paris", "today"]
    for entities, expected in (
        ({"We're": "X", "York-Paris": "X"}, "BLOOBILO"),
        ({"New York-Paris": "X"}, "OOOBIILO"),
        ({"today": "X"}, "OOOOOOOU"),
    ):
        found = allowed(example_of(nlp, text, entities, words=words), ["X"])
        assert "".join(tag for (tag,) in found) == expected


def test_an_entity_that_tokens_cannot_express_leaves_them_free():
    nlp = blank()
    text = "We're in New York-Paris today"
    words = ["We", "'", "re", "in", "New", "York", "-", "Par", "is", "today"]
    reference = Doc(nlp.vocab, words, spaces=[0, 0, 1, 1, 1, 0, 0, 0, 1, 0])
    assert reference.text == text
    reference.set_ents([Span(reference, 0, 2, "X"), Span(reference, 4, 8, "X")])
    found = allowed(Example(nlp.make_doc(text), reference), ["X", "Y"])
    free, known = ["OIBLU", "OIBLU"[:1]], ["O", "O"]
    assert found == [free, free, known, free, free, free, free, known]


def test_as_many_tokens_are_not_the_same_tokens():
    nlp = blank()
    reference = Doc(nlp.vocab, ["a", "bc"], spaces=[False, False])
    reference.set_ents([Span(reference, 1, 2, "X")])
    found = Doc(nlp.vocab, ["ab", "c"], spaces=[False, False])
    assert allowed(Example(found, reference), ["X"]) == [["OIBLU"], ["OIBLU"]]


def test_an_entity_of_white_space_that_has_no_token_is_passed_over():
    nlp = blank()
    reference = Doc(nlp.vocab, ["Bob", " ", "ran"], spaces=[True, False, False])
    reference.set_ents([Span(reference, 0, 1, "X"), Span(reference, 1, 2, "X")])
    assert allowed(Example(Doc(nlp.vocab, ["Bob", "ran"]), reference), ["X"]) == [["U"], ["O"]]


def test_a_model_that_is_told_how_many_labels_there_are_needs_no_component():
    model = pipe_of(blank(nO=2)).model
    model.initialize(X=[spacy.blank("en")("nobody called")])
    (scores,), transitions = model.predict([spacy.blank("en")("nobody called")])
    assert scores.shape == (2, 10)
    assert transitions.shape == (2, 5, 5)


def test_predictions_alone_batched_and_shuffled_agree(trained):
    texts = [*TEXTS, "", "Bob called New York and New York called Bob " * 9, "   "]
    alone = likely_in(trained, texts, batch_size=1)
    order = numpy.random.default_rng(0).permutation(len(texts))
    shuffled = likely_in(trained, [texts[i] for i in order], batch_size=3)
    back = [shuffled[list(order).index(i)] for i in range(len(texts))]
    assert sum(map(len, alone)) > 20
    for found in (likely_in(trained, texts), back):
        for doc, expected in zip(found, alone, strict=True):
            assert doc == pytest.approx(expected, abs=1e-4)


def test_empty_docs_have_no_entities_and_teach_nothing():
    nlp = train(blank(), steps=0)
    assert [doc.ents for doc in nlp.pipe(["", ""])] == [(), ()]
    assert pipe_of(nlp).predict([]) == []
    assert nlp.update([example_of(nlp, "", {})] * 2) == {"ner_crf": 0.0}
    before = nlp.to_bytes()
    assert nlp.from_bytes(before)("").ents == ()


def test_a_batch_of_single_tokens_can_be_learned():
    nlp = train(blank(), [("Bob", {"Bob": "PER"}), ("called", {})])
    assert [found_in(doc) for doc in nlp.pipe(["Bob", "called"])] == [{"Bob": "PER"}, {}]


def test_a_model_initialized_by_empty_docs_learns_the_widths_later():
    nlp = blank()
    pipe_of(nlp).recall_bias = 0.5  # of what is not learned yet
    rows = [("", {})] * 10 + ROWS
    train(nlp, rows, steps=1)
    assert pipe_of(nlp).model.get_ref("output").get_param("W").shape == (15, 16)
    assert pipe_of(nlp).recall_bias == 0


def test_a_shared_tok2vec_learns_through_the_listener():
    nlp = train(blank(LISTENER), steps=0)
    component = pipe_of(nlp)
    listener = component.model.get_ref("tok2vec")
    assert nlp.get_pipe("tok2vec").listeners == [listener]
    shared = nlp.get_pipe("tok2vec").model
    before = shared.copy()
    train(nlp, steps=1)
    changed = [
        (node.get_param(name) != old.get_param(name)).any()
        for node, old in zip(shared.walk(), before.walk(), strict=True)
        for name in node.param_names
    ]
    assert any(changed)


def test_averages_of_the_weights_hold_transitions_and_are_given_back():
    nlp = blank()
    examples = [example_of(nlp, *row) for row in ROWS]
    nlp.initialize(lambda: examples)
    sgd = Adam(0.02, use_averages=True)
    for _ in range(40):
        nlp.update(examples, sgd=sgd)
    crf = pipe_of(nlp).model.get_ref("crf")
    transitions = crf.get_param("transitions").copy()
    assert abs(transitions).max() > 0
    with nlp.use_params(sgd.averages):
        assert 0 < abs(crf.get_param("transitions")).max() < abs(transitions).max()
        assert nlp.evaluate(examples)["ents_f"] == 1
    assert_array_equal(crf.get_param("transitions"), transitions)


def test_the_loss_goes_down_and_training_can_be_resumed(trained, tmp_path):
    trained.to_disk(tmp_path / "model")
    nlp = spacy.load(tmp_path / "model")
    sgd = nlp.resume_training()
    rows = [("Zoe called", {"Zoe": "PER"}), *ROWS]
    examples = [example_of(nlp, *row) for row in rows]
    losses = [nlp.update(examples, sgd=sgd)["ner_crf"] for _ in range(30)]
    assert losses[-1] < losses[0] / 4
    assert found_in(nlp("Zoe called")) == {"Zoe": "PER"}


@pytest.mark.parametrize("name", ["exact", "token", "overlap"])
def test_the_scorer_of_the_config_scores(name):
    assert plugins.entity_scorers  # registers it
    nlp = train(blank(scorer={"@scorers": f"goemotions.ner_{name}_scorer.v1"}))
    key = "ents" if name == "exact" else f"ents_{name}"
    scores = nlp.evaluate([example_of(nlp, *row) for row in ROWS])
    assert scores[f"{key}_f"] == 1
    assert scores[f"{key}_per_type"]["PER"]["support"] == (3 if name != "token" else 5)


def test_two_wheels_may_bring_the_factory(tmp_path):
    path = shutil.copy(ROOT / "plugins" / "ner_crf.py", tmp_path)  # the same would be let pass
    spec = importlib.util.spec_from_file_location("another_wheel.ner_crf", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert spacy.blank("en").add_pipe("ner_crf").name == "ner_crf"


def test_the_default_model_is_complete_and_pipes_under_another_name_can_be_two():
    nlp = spacy.blank("en")
    for name in ("people", "places"):
        nlp.add_pipe("ner_crf", name=name, config={"spans_key": name})
    key = "people"
    reference = example_of(nlp, *ROWS[0], key=key).reference
    reference.spans["places"] = [Span(reference, 3, 5, "LOC")]
    examples = [Example(nlp.make_doc(ROWS[0][0]), reference)]
    nlp.initialize(lambda: examples)
    assert [nlp.get_pipe(name).labels for name in nlp.pipe_names] == [("LOC", "PER"), ("LOC",)]
    assert nlp.get_pipe("people").model.get_ref("tok2vec").get_dim("nO") == 96
    assert set(nlp("Anna moved").spans) == {"people", "places"}


def test_tags_have_the_numbers_of_the_chains():
    from plugins import crf

    ours = [OUTSIDE, INSIDE, BEGIN, LAST, UNIT]
    assert ours == [crf.OUTSIDE, crf.INSIDE, crf.BEGIN, crf.LAST, crf.UNIT]
