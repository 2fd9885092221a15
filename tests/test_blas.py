"""Layers on the CPU compute faster, and the scores stay what they were."""

from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import spacy
from spacy.ml.models.tok2vec import (
    MaxoutWindowEncoder,
    MishWindowEncoder,
    build_Tok2Vec_model,
)
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import NumpyOps

import plugins  # noqa: F401
from plugins import blas
from plugins.blas import create_numpy_blas, predicting_by_word
from plugins.embed import build_ngram_hash_embed


@pytest.fixture
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    textcat = nlp.add_pipe("textcat_multilabel")
    for label in ("joy", "anger"):
        textcat.add_label(label)
    nlp.initialize()
    return nlp


def test_callback_switches_every_layer_and_skips_components_without_a_model(nlp):
    assert create_numpy_blas()(nlp) is nlp
    layers = list(nlp.get_pipe("textcat_multilabel").model.walk())
    assert len(layers) > 5
    assert [layer.ops.use_blis for layer in layers] == [False] * len(layers)


def test_callback_leaves_ops_of_other_devices_alone(nlp):
    class OtherOps(NumpyOps):
        pass

    other = OtherOps()
    model = nlp.get_pipe("textcat_multilabel").model
    model.layers[0].ops = other
    create_numpy_blas()(nlp)
    assert model.layers[0].ops is other


def test_scores_differ_by_rounding_only(nlp):
    texts = ["I love this", "no", "what a very bad day that was"]
    before = [list(doc.cats.values()) for doc in nlp.pipe(texts)]
    create_numpy_blas()(nlp)
    after = [list(doc.cats.values()) for doc in nlp.pipe(texts)]
    numpy.testing.assert_allclose(after, before, atol=1e-5)


def test_config_switches_a_pipeline_when_it_is_made_and_when_it_is_loaded(tmp_path):
    config = {
        "nlp": {
            "lang": "en",
            "pipeline": ["tok2vec"],
            "after_pipeline_creation": {"@callbacks": "goemotions.numpy_blas.v1"},
        },
        "components": {"tok2vec": {"factory": "tok2vec"}},
    }
    assert registry.has("callbacks", "goemotions.numpy_blas.v1")
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    for found in (nlp, spacy.load(tmp_path / "pipeline")):
        layers = list(found.get_pipe("tok2vec").model.walk())
        assert not any(layer.ops.use_blis for layer in layers)


# Predictions by word

NLP = spacy.blank("en")
TEXTS = ["so good", "", "I love it so much", "good", " ", "it is not so good [NAME]!", ""]


def make_tok2vec(depth: int = 3, window: int = 1, encoder=None, attrs=("NORM", "SHAPE")):
    """Return a Tok2Vec with weights of all kinds, biases included, so that padding is not zero."""
    embed = build_ngram_hash_embed(8, list(attrs), [40, 30], 50)
    encoder = encoder or MaxoutWindowEncoder(8, window, 3, depth)
    tok2vec = build_Tok2Vec_model(embed, encoder)
    tok2vec.initialize()
    rng = numpy.random.default_rng(0)
    for node in tok2vec.walk():
        node.ops = NumpyOps(use_blis=False)
        for name in node.param_names:
            shape = node.get_param(name).shape
            node.set_param(name, rng.normal(size=shape).astype("f"))
    return tok2vec


def faster(tok2vec):
    predicting_by_word(tok2vec)
    return tok2vec


def seen_by(tok2vec) -> list[list[str]]:
    """Return a list to which the embedding adds the words that it is asked for."""
    embed, seen = tok2vec.layers[0], []
    plain = embed._func

    def spy(model, docs, is_train):
        seen.append(sorted(token.text for doc in docs for token in doc))
        return plain(model, docs, is_train)

    embed._func = spy
    return seen


def assert_same(tok2vec, docs, plain=None) -> None:
    for one, other in zip(
        tok2vec.predict(docs), (plain or make_tok2vec()).predict(docs), strict=True
    ):
        numpy.testing.assert_allclose(one, other, atol=1e-5)
        assert one.shape == other.shape


@pytest.mark.parametrize(("depth", "window"), [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("rows", [2, 1024])
def test_vectors_are_those_of_the_layers_alone_and_in_batches(depth, window, rows, monkeypatch):
    monkeypatch.setattr(blas, "ROWS", rows)
    fast, plain = faster(make_tok2vec(depth, window)), make_tok2vec(depth, window)
    docs = [NLP(text) for text in TEXTS]
    for batch in (docs, docs[::-1], docs[:1], docs[1:4]):
        assert_same(fast, batch, plain)


def test_a_word_is_embedded_once_until_there_are_too_many(monkeypatch):
    tok2vec = faster(make_tok2vec())
    seen = seen_by(tok2vec)
    for text in ("so good so", "good", "so bad"):
        assert_same(tok2vec, [NLP(text)])
    assert seen == [["good", "so"], ["bad"]]
    monkeypatch.setattr(blas, "WORDS", 4)
    assert_same(tok2vec, [NLP("very very sad")])
    assert_same(tok2vec, [NLP("bad sad")])
    assert_same(tok2vec, [NLP("a b c d e")])
    assert seen[2:] == [["sad", "very"], ["bad"], ["a", "b", "c", "d", "e"]]


def test_a_word_with_another_norm_or_shape_is_another_word():
    docs = [NLP("good"), NLP("good"), NLP("Good")]
    docs[1][0].norm_ = "bad"
    tok2vec = faster(make_tok2vec())
    assert_same(tok2vec, docs)
    one, two, three = tok2vec.predict(docs)
    assert min(abs(one - two).max(), abs(one - three).max(), abs(two - three).max()) > 0.01


@pytest.mark.parametrize("layer", ["hashembed", "maxout", "layernorm"])
def test_words_are_forgotten_when_a_weight_is_replaced(layer):
    fast, plain, docs = faster(make_tok2vec()), make_tok2vec(), [NLP("so good")]
    before = fast.predict(docs)[0]
    for tok2vec in (fast, plain):
        node = next(x for x in list(tok2vec.walk())[::-1] if x.name == layer)
        name = node.param_names[0]
        node.set_param(name, node.get_param(name) * 2)
    assert_same(fast, docs, plain)
    assert abs(fast.predict(docs)[0] - before).max() > 0.01
    fast.from_bytes(make_tok2vec().to_bytes())
    numpy.testing.assert_array_equal(fast.predict(docs)[0], before)
    params = {(n.id, x): n.get_param(x) * 0 for n in fast.walk() for x in n.param_names}
    with fast.use_params(params):
        assert not fast.predict(docs)[0].any()
    numpy.testing.assert_array_equal(fast.predict(docs)[0], before)


def test_updates_and_what_is_predicted_after_them_are_exactly_those_of_the_layers():
    fast, plain, docs = faster(make_tok2vec()), make_tok2vec(), [NLP(text) for text in TEXTS]
    fast.predict(docs)
    found = []
    for tok2vec in (fast, plain):
        Y, backprop = tok2vec.begin_update(docs)
        backprop([numpy.ones_like(y) for y in Y])
        for node in tok2vec.walk():
            for name in node.grad_names:
                weights = node.get_param(name)
                weights -= 0.1 * node.get_grad(name)  # where they lie, as an optimizer does
        found.append((numpy.concatenate(Y), numpy.concatenate(tok2vec.predict(docs))))
    numpy.testing.assert_array_equal(found[0], found[1])
    assert abs(found[0][0] - found[0][1]).max() > 0.01


def test_an_embedding_of_more_than_the_word_is_asked_for_every_token():
    tok2vec = make_tok2vec()
    tok2vec.layers[0].layers[0].name = "static_vectors"
    leaf = next(node for node in tok2vec.layers[0].walk() if not node.layers)
    leaf.name = "static_vectors"
    seen = seen_by(faster(tok2vec))
    for _ in range(2):
        assert_same(tok2vec, [NLP("so so"), NLP("")])
    assert seen == [["so", "so"]] * 2


@pytest.mark.parametrize("attribute", ["SPACY", "TAG", "LEMMA", "POS"])
def test_attributes_of_the_token_are_not_taken_for_those_of_the_word(attribute):
    docs = [Doc(NLP.vocab, ["so", "so"], [True, False]), Doc(NLP.vocab, ["good"])]
    docs[0][0].tag_, docs[0][0].lemma_, docs[0][0].pos_ = "RB", "very", "ADV"
    attrs = ("NORM", attribute)
    tok2vec = faster(make_tok2vec(attrs=attrs))
    for _ in range(2):
        assert_same(tok2vec, docs, make_tok2vec(attrs=attrs))
    one, other = make_tok2vec(depth=1, attrs=attrs).layers[0].predict(docs)[0]
    assert abs(one - other).max() > 0.01


def test_another_encoder_stays_as_it_is():
    tok2vec = make_tok2vec(encoder=MishWindowEncoder(8, 1, 2))
    plain = tok2vec._func
    assert faster(tok2vec)._func is plain


def test_threads_share_the_words(monkeypatch):
    monkeypatch.setattr(blas, "WORDS", 30)
    tok2vec, plain = faster(make_tok2vec()), make_tok2vec()
    batches = [[NLP(f"w{i * j} is so w{i + j}") for j in range(6)] for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(tok2vec.predict, batches))
    for batch, vectors in zip(batches, found, strict=True):
        expected = numpy.concatenate(plain.predict(batch))
        numpy.testing.assert_allclose(numpy.concatenate(vectors), expected, atol=1e-5)


def test_bytes_do_not_hold_the_words():
    tok2vec = faster(make_tok2vec())
    before = tok2vec.to_bytes()
    tok2vec.predict([NLP("so good")])
    assert tok2vec.to_bytes() == before == make_tok2vec().to_bytes()
