"""The component that gives each word a label: what it learns, what it writes, its best path."""

import importlib.util
import shutil
from itertools import pairwise, product
from math import log

import numpy
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.lang.en import English
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Model, set_dropout_rate

from plugins.token_classifier import TokenClassifier, best_path, build_token_classifier
from tests.conftest import ROOT

ROWS = [
    ("A. Cau (1992).", ["who", "who", "when"]),
    ("Bread and brine, Oslo 2001", ["what", "what", "what", "where", "when"]),
    ("[7] Ada Kent, Oslo", ["", "who", "who", "where"]),
    ("2001 Kent and Cau", ["when", "who", "who", "who"]),
]
TEXTS = [text for text, _ in ROWS]
LABELS = ("what", "when", "where", "who")
TOKENIZER = {"@tokenizers": "goemotions.WordTokenizer.v1"}
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


def blank(tok2vec=CNN, dropout=0.0, nO=None) -> Language:
    """Return a pipeline with a small model, not initialized."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})
    if tok2vec is LISTENER:
        nlp.add_pipe("tok2vec", config={"model": {"width": 16, "depth": 1, "embed_size": 200}})
    model = {"@architectures": "goemotions.TokenClassifier.v1", "tok2vec": tok2vec}
    nlp.add_pipe("token_classifier", config={"model": {**model, "dropout": dropout, "nO": nO}})
    return nlp


def example_of(nlp, text, tags, words=None) -> Example:
    words = words or text.split()
    spaces = [True] * len(words[:-1]) + [False] * bool(words)
    return Example(nlp.make_doc(text), Doc(nlp.vocab, words, spaces, tags=tags))


def examples_of(nlp, rows=ROWS) -> list[Example]:
    return [example_of(nlp, *row) for row in rows]


def train(nlp, rows=ROWS, steps=40) -> Language:
    """Initialize a pipeline and train it for some steps."""
    examples = examples_of(nlp, rows)
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.02
    for _ in range(steps):
        nlp.update(examples, sgd=sgd)
    return nlp


@pytest.fixture(scope="module")
def trained() -> Language:
    """A pipeline that knows ROWS by heart; do not change it."""
    return train(blank())


def pipe_of(nlp) -> TokenClassifier:
    return nlp.get_pipe("token_classifier")


def tags_of(nlp, texts) -> list[list[str]]:
    return [[token.tag_ for token in doc] for doc in nlp.pipe(texts)]


def probabilities(nlp, texts, batch_size=100) -> list[numpy.ndarray]:
    docs = [nlp.make_doc(text) for text in texts]
    batches = [docs[at : at + batch_size] for at in range(0, len(docs), batch_size)]
    return [Y for batch in batches for Y in pipe_of(nlp).probabilities(batch)]


def encoder_of(*arrays) -> Model:
    """Return an encoder whose vectors are arrays; its attribute "gradient" is what came back."""

    def forward(model, docs, is_train):
        def backprop(gradient):
            model.attrs["gradient"] = gradient
            return []

        return [X.copy() for X in arrays], backprop

    return Model("arrays", forward, dims={"nO": arrays[0].shape[1]})


def component_of(model, labels=LABELS) -> TokenClassifier:
    """Return a component of a model with random weights."""
    component = TokenClassifier(spacy.blank("en").vocab, model)
    for label in labels:
        component.add_label(label)
    output = model.get_ref("output_layer")
    output.set_dim("nO", len(labels))
    model.initialize()
    weights = numpy.random.default_rng(1).normal(size=output.get_param("W").shape)
    output.set_param("W", weights.astype("f"))
    return component


def arrays_of(*lengths, width=3) -> list[numpy.ndarray]:
    numbers = numpy.random.default_rng(0)
    return [numbers.normal(size=(length, width)).astype("f") for length in lengths]


def softmax(X) -> numpy.ndarray:
    return numpy.exp(X) / numpy.exp(X).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("tok2vec", [CNN, LISTENER])
def test_it_learns_by_heart_and_gives_a_label_to_the_words_without_one(tok2vec):
    nlp = train(blank(tok2vec))
    found = tags_of(nlp, [*TEXTS, ""])
    assert found[2][0] in LABELS
    found[2][0] = ""
    assert found == [tags for _, tags in ROWS] + [[]]
    scores = nlp.evaluate(examples_of(nlp))
    assert scores["tag_acc"] == 1
    assert pipe_of(nlp).labels == LABELS


def test_the_default_model_and_scorer_are_complete():
    nlp = spacy.blank("en")
    component = nlp.add_pipe("token_classifier")
    nlp.initialize(lambda: [example_of(nlp, "Ada ran", ["who", "does"])])
    assert component.model.get_ref("tok2vec").get_dim("nO") == 96
    assert component.model.get_ref("output_layer").get_param("W").shape == (2, 96)
    assert nlp.config["training"]["score_weights"] == {"tag_acc": 1.0}
    assert nlp.evaluate([example_of(nlp, "Ada", ["who"])])["tag_acc"] in (0, 1)
    assert nlp.get_pipe_meta("token_classifier").assigns == ["token.tag"]


def test_probabilities_have_a_row_for_each_word_and_sum_to_1(trained):
    found = probabilities(trained, [*TEXTS, ""])
    assert [Y.shape for Y in found] == [(3, 4), (5, 4), (4, 4), (4, 4), (0, 4)]
    for Y in found:
        assert_allclose(Y.sum(axis=1), 1, atol=1e-6)


def test_probabilities_are_the_softmax_of_a_linear_layer():
    X, Z = arrays_of(4, 2)
    model = build_token_classifier(encoder_of(X, Z), dropout=0.5)
    component = component_of(model)
    W = model.get_ref("output_layer").get_param("W")
    model.get_ref("output_layer").set_param("b", numpy.arange(4, dtype="f"))
    docs = [Doc(component.vocab, ["a"] * len(array)) for array in (X, Z)]
    for Y, array in zip(component.probabilities(docs), (X, Z), strict=True):
        assert_allclose(Y, softmax(array @ W.T + numpy.arange(4)), atol=1e-6)


def test_the_gradient_is_that_of_the_loss_by_finite_differences():
    """Of the weights and of the vectors, when words are ignored."""
    arrays = arrays_of(3, 0, 2)
    encoder = encoder_of(*arrays)
    model = build_token_classifier(encoder, dropout=0.0)
    component = component_of(model)
    words = [["a", "b", "c"], [], ["d", "e"]]
    tags = [["who", "", "when"], [], ["", "what"]]
    examples = [
        Example(Doc(component.vocab, some), Doc(component.vocab, some, tags=true))
        for some, true in zip(words, tags, strict=True)
    ]
    docs = [example.x for example in examples]

    def loss() -> float:
        return component.get_loss(examples, model.predict(docs))[0]

    Y, backprop = model.begin_update(docs)
    before, gradient = component.get_loss(examples, Y)
    expected = -log(Y[0][0, 3]) - log(Y[0][2, 1]) - log(Y[2][1, 0])
    assert before == pytest.approx(expected, abs=1e-5)
    backprop(gradient)
    output = model.get_ref("output_layer")
    for name in ("W", "b"):
        value = output.get_param(name)
        assert_allclose(slope(loss, value), output.get_grad(name), atol=2e-3)
    for array, found in zip(arrays, encoder.attrs["gradient"], strict=True):
        assert_allclose(slope(loss, array), found, atol=2e-3)
    assert abs(encoder.attrs["gradient"][0][0]).min() > 0.01
    assert not encoder.attrs["gradient"][0][1].any() and not encoder.attrs["gradient"][2][0].any()


def slope(loss, values, step=0.01) -> numpy.ndarray:
    """Return by how much a loss changes with each of some values, which are changed in place."""
    found = numpy.zeros_like(values)
    for place in numpy.ndindex(*values.shape):
        here = values[place]
        values[place] = here + step
        above = loss()
        values[place] = here - step
        found[place] = (above - loss()) / (2 * step)
        values[place] = here
    return found


def test_loss_and_gradient_are_those_of_spacys_tagger(trained):
    """Its own loss is another sum, but what is learned from it is the same."""
    nlp = spacy.blank("en", vocab=trained.vocab)
    tagger = nlp.add_pipe("tagger")
    for label in LABELS:
        tagger.add_label(label)
    examples = [*examples_of(trained), example_of(trained, "", [])]
    scores = [softmax(Y * 3) for Y in arrays_of(*(len(example) for example in examples), width=4)]
    _, theirs = tagger.get_loss(examples, scores)
    _, ours = pipe_of(trained).get_loss(examples, scores)
    assert [Y.shape for Y in ours] == [Y.shape for Y in scores]
    for one, other in zip(ours, theirs, strict=True):
        assert_allclose(one, other, atol=1e-6)
    assert not ours[2][0].any() and abs(ours[2][1:]).min() > 0


def test_the_loss_is_finite_when_the_truth_seems_impossible(trained):
    scores = [numpy.array([[1, 0, 0, 0]], dtype="f")]
    loss, (dY,) = pipe_of(trained).get_loss([example_of(trained, "x", ["who"])], scores)
    assert loss == pytest.approx(9 * log(10), abs=1e-3)
    assert dY.tolist() == [[1, 0, 0, -1]]


def test_a_tag_that_is_no_label_is_named(trained):
    examples = [example_of(trained, "x y z", ["who", "why", "how"])]
    message = "token_classifier: tag 'how'. Expected one of what, when, where, who"
    with pytest.raises(ValueError, match=message):
        pipe_of(trained).get_loss(examples, probabilities(trained, ["x y z"]))


def test_words_are_learned_in_another_tokenization():
    nlp = blank()
    nlp.tokenizer = spacy.blank("en").tokenizer
    for label in LABELS:
        pipe_of(nlp).add_label(label)
    known = example_of(nlp, "Oslo, 2001", ["where", "when"])
    assert [token.text for token in known.x] == ["Oslo", ",", "2001"]
    assert pipe_of(nlp)._truth(known) == ([0, 1, 2], [2, 2, 1])
    reference = Doc(nlp.vocab, ["Os", "lo", "2001"], [False, True, False])
    for tags, expected in (
        (["where", "when", "who"], ([1], [3])),  # halves that differ are not known
        (["where", "where", ""], ([0], [2])),
    ):
        for token, tag in zip(reference, tags, strict=True):
            token.tag_ = tag
        assert pipe_of(nlp)._truth(Example(nlp.make_doc("Oslo 2001"), reference)) == expected


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5])
def test_the_dropout_is_its_own_and_that_of_training_does_not_change_it(rate):
    X = numpy.ones((400, 4), dtype="f")
    encoder = encoder_of(X)
    model = build_token_classifier(encoder, dropout=rate)
    component = component_of(model)
    model.get_ref("output_layer").set_param("W", numpy.eye(4, dtype="f"))
    set_dropout_rate(model, 0.9)
    doc = Doc(component.vocab, ["a"] * 400)
    (Y,), backprop = model.begin_update([doc])
    backprop([X])
    (mask,) = encoder.attrs["gradient"]
    assert (mask == 0).mean() == pytest.approx(rate, abs=0.04)
    assert mask[mask != 0] == pytest.approx(1 / (1 - rate))
    assert_allclose(Y, softmax(mask), atol=1e-6)
    (Y,) = component.probabilities([doc])
    assert_allclose(Y, 0.25, atol=1e-6)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5])
def test_a_dropout_that_leaves_nothing_is_refused(dropout):
    with pytest.raises(ValueError, match=rf"dropout {dropout}. Expected a number from 0 to below"):
        blank(dropout=dropout)


def test_updates_drop_by_the_rate_of_the_config_and_of_the_encoder():
    """Which is seen in the losses of the same weights."""
    losses = {}
    for config, rate in product((0.0, 0.5), (0.0, 0.5)):
        nlp = train(blank(dropout=config), steps=2)  # else the weights of the layer are 0
        examples = examples_of(nlp)
        found = [nlp.update(examples, drop=rate, sgd=False) for _ in range(3)]
        losses[config, rate] = len({loss["token_classifier"] for loss in found})
    assert losses == {(0.0, 0.0): 1, (0.0, 0.5): 3, (0.5, 0.0): 3, (0.5, 0.5): 3}


def test_predictions_alone_batched_and_shuffled_agree(trained):
    texts = [*TEXTS, "", "   ", "Kent and Cau 2001 " * 20, "Oslo"]
    alone = probabilities(trained, texts, batch_size=1)
    order = numpy.random.default_rng(0).permutation(len(texts))
    shuffled = probabilities(trained, [texts[i] for i in order], batch_size=3)
    back = [shuffled[list(order).index(i)] for i in range(len(texts))]
    for found in (probabilities(trained, texts), back):
        for Y, expected in zip(found, alone, strict=True):
            assert_allclose(Y, expected, atol=1e-5)


@pytest.mark.parametrize("tok2vec", [CNN, LISTENER])
def test_empty_docs_have_no_tags_and_teach_nothing(tok2vec):
    nlp = train(blank(tok2vec), steps=0)
    assert tags_of(nlp, ["", ""]) == [[], []]
    assert pipe_of(nlp).predict([]) == []
    assert [Y.shape for Y in probabilities(nlp, ["", ""])] == [(0, 4), (0, 4)]
    before = nlp.to_bytes()
    sgd = Adam(0.1)
    losses = nlp.update([example_of(nlp, "", [])] * 2, sgd=sgd)
    assert losses["token_classifier"] == 0 and nlp.to_bytes() == before
    mixed = [example_of(nlp, "", []), *examples_of(nlp)]
    assert nlp.update(mixed, sgd=sgd)["token_classifier"] > 0
    assert nlp.to_bytes() != before


def test_white_space_gets_no_tag(trained):
    doc = trained("  Ada  Kent\t\n2001 ")
    assert [token.tag_ for token in doc if not token.is_space] == ["who", "who", "when"]
    assert {token.tag_ for token in doc if token.is_space} == {""}
    assert sum(token.is_space for token in doc) == 3 and tags_of(trained, ["   "]) == [[""]]


def test_what_words_are_tagged_as_before_is_replaced(trained):
    doc = Doc(trained.vocab, ["Ada", " "], tags=["old", "old"])
    assert [token.tag_ for token in pipe_of(trained)(doc)] == ["who", ""]


def test_copies_by_disk_bytes_and_source_predict_the_same(trained, tmp_path):
    expected = probabilities(trained, TEXTS)
    nlp = blank().from_bytes(trained.to_bytes())
    pipe_of(nlp).switch_cost = 1.25
    nlp.to_disk(tmp_path / "model")
    sourced = spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})
    sourced.add_pipe("token_classifier", source=nlp)
    copies = [
        spacy.load(tmp_path / "model"),
        English.from_config(nlp.config).from_bytes(nlp.to_bytes()),
        blank().from_bytes(nlp.to_bytes()),
        sourced,
    ]
    assert pipe_of(trained).switch_cost == 0
    for copy in copies:
        assert (pipe_of(copy).switch_cost, pipe_of(copy).labels) == (1.25, LABELS)
        assert pipe_of(copy).to_bytes() == pipe_of(nlp).to_bytes()
        for found, Y in zip(probabilities(copy, TEXTS), expected, strict=True):
            assert_array_equal(found, Y)


@pytest.mark.parametrize("nO", [None, 3])
def test_labels_come_from_the_data_or_are_given_or_were_added(nO):
    rows = [("Ada ran", ["who", "does"])]
    nlp = blank(nO=nO)
    for label in ("who", "extra"):
        assert pipe_of(nlp).add_label(label) == 1
    assert pipe_of(nlp).add_label("who") == 0
    train(nlp, rows, steps=0)
    assert pipe_of(nlp).labels == ("who", "extra", "does")
    assert pipe_of(nlp).label_data == ["who", "extra", "does"]
    assert pipe_of(nlp).model.get_ref("output_layer").get_param("W").shape == (3, 16)
    assert pipe_of(nlp).add_label("does") == 0
    with pytest.raises(ValueError, match="has the labels who, extra, does, not 'where'"):
        pipe_of(nlp).add_label("where")
    train(nlp, rows, steps=0)  # again, with the same
    assert pipe_of(nlp).labels == ("who", "extra", "does")
    with pytest.raises(ValueError, match=r"not 'what'\. Expected new ones before initialize"):
        train(nlp, ROWS, steps=0)


def test_the_labels_of_the_config_keep_their_order():
    nlp = blank()
    given = ["where", "who", "never", "when", "what"]
    nlp.config["initialize"]["components"] = {"token_classifier": {"labels": given}}
    train(nlp)
    assert pipe_of(nlp).labels == tuple(given)
    assert tags_of(nlp, TEXTS[:2]) == [tags for _, tags in ROWS[:2]]


@pytest.mark.parametrize("labels", [None, [], ["A", "A"]])
def test_no_label_or_one_twice_is_refused(labels):
    nlp = blank()
    message = r"token_classifier: labels \[.*Expected at least one, each once"
    with pytest.raises(ValueError, match=message):
        pipe_of(nlp).initialize(lambda: [example_of(nlp, "x", [""])], nlp=nlp, labels=labels)


def test_a_model_initialized_by_empty_docs_learns_the_widths_later():
    nlp = blank()
    pipe_of(nlp).switch_cost = 0.5  # of what is not learned yet
    train(nlp, [("", [])] * 10 + ROWS)
    assert pipe_of(nlp).model.get_ref("output_layer").get_param("W").shape == (4, 16)
    assert pipe_of(nlp).switch_cost == 0
    assert tags_of(nlp, TEXTS[:2]) == [tags for _, tags in ROWS[:2]]


def test_a_shared_tok2vec_learns_through_the_listener():
    nlp = train(
        blank(LISTENER), steps=2
    )  # the weights of the layer were 0, and spaCy is a step late
    shared = nlp.get_pipe("tok2vec")
    assert shared.listeners == [pipe_of(nlp).model.get_ref("tok2vec")]
    before = shared.model.to_bytes()
    nlp.update(examples_of(nlp), sgd=Adam(0.01))
    assert shared.model.to_bytes() != before


def test_averages_of_the_weights_are_used_and_given_back():
    nlp = blank()
    examples = examples_of(nlp)
    nlp.initialize(lambda: examples)
    sgd = Adam(0.02, use_averages=True)
    for _ in range(40):
        nlp.update(examples, sgd=sgd)
    before = pipe_of(nlp).to_bytes()
    with nlp.use_params(sgd.averages):
        assert pipe_of(nlp).to_bytes() != before
        assert nlp.evaluate(examples)["tag_acc"] == 1
    assert pipe_of(nlp).to_bytes() == before


def test_the_loss_goes_down_and_training_can_be_resumed(trained, tmp_path):
    trained.to_disk(tmp_path / "model")
    nlp = spacy.load(tmp_path / "model")
    sgd = nlp.resume_training()
    examples = examples_of(nlp, [("Zoe (2015).", ["who", "when"]), *ROWS])
    losses = [nlp.update(examples, sgd=sgd)["token_classifier"] for _ in range(40)]
    assert losses[-1] < losses[0] / 4
    assert tags_of(nlp, ["Zoe"]) == [["who"]]


def test_two_wheels_may_bring_the_factory(tmp_path):
    path = shutil.copy(ROOT / "plugins" / "token_classifier.py", tmp_path)
    spec = importlib.util.spec_from_file_location("another_wheel.token_classifier", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert spacy.blank("en").add_pipe("token_classifier").name == "token_classifier"


def test_the_pipeline_takes_the_path_that_the_switch_cost_makes_best(trained, tmp_path):
    text = "Ada Kent 2001 Ada Kent"
    assert tags_of(trained, [text]) == [["who", "who", "when", "who", "who"]]
    nlp = blank().from_bytes(trained.to_bytes())
    pipe_of(nlp).switch_cost = 50
    assert tags_of(nlp, [text, ""]) == [["who"] * 5, []]


# 0 1 0 has .252, 0 0 0 has .168: twice the cost is less than the logarithm of 1.5, or more.
BY_HAND = numpy.array([[0.6, 0.4], [0.4, 0.6], [0.7, 0.3]], dtype="f")


@pytest.mark.parametrize(
    ("cost", "expected"),
    [(0, [0, 1, 0]), (0.2, [0, 1, 0]), (0.21, [0, 0, 0]), (9, [0, 0, 0])],
)
def test_the_best_path_is_the_one_found_by_hand(cost, expected):
    assert best_path(BY_HAND, cost).tolist() == expected


@pytest.mark.parametrize("cost", [0.0, 0.1, 0.5, 1.0, 2.5, 50.0])
def test_the_best_path_is_the_best_of_all_paths(cost):
    for seed in range(25):
        numbers = numpy.random.default_rng(seed)
        words, labels = numbers.integers(1, 6), numbers.integers(1, 4)
        scores = softmax(numbers.normal(size=(words, labels)) * 2).astype("f")
        value = {
            path: sum(log(scores[n, label]) for n, label in enumerate(path))
            - cost * sum(a != b for a, b in pairwise(path))
            for path in product(range(labels), repeat=words)
        }
        found = best_path(scores, cost)
        assert found.dtype == numpy.int64
        assert value[tuple(found.tolist())] == pytest.approx(max(value.values()), abs=1e-5)


def test_without_a_cost_each_word_is_for_itself_and_a_huge_one_leaves_one_label():
    scores = softmax(arrays_of(40, width=6)[0] * 2)
    assert best_path(scores, 0).tolist() == scores.argmax(axis=1).tolist()
    whole = numpy.log(scores).sum(axis=0).argmax()
    assert best_path(scores, 1000).tolist() == [whole] * 40


def test_a_path_of_no_words_is_empty_and_impossible_labels_do_no_harm():
    for cost in (0, 1):
        found = best_path(numpy.zeros((0, 3), dtype="f"), cost)
        assert (found.shape, found.dtype) == ((0,), numpy.int64)
    certain = numpy.array([[1, 0], [0, 1]], dtype="f")
    assert best_path(certain, 20).tolist() == [0, 1]
    assert best_path(certain, 21)[0] == best_path(certain, 21)[1]
