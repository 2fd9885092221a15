"""The n-gram embedding: which n-grams, their mean, its gradient, and that batches do not matter."""

import hashlib

import numpy
import pytest
import spacy
from spacy.strings import hash_string
from spacy.vectors import Vectors
from thinc.api import NumpyOps, reduce_mean, set_dropout_rate
from thinc.types import Ragged

from plugins.embed import build_ngram_hash_embed, ngrams_of, with_ngrams
from tests.conftest import make_examples, model_config

NLP = spacy.blank("en")


def embedded(*texts: str, width: int = 6):
    model = build_ngram_hash_embed(width, ["NORM", "SHAPE"], [40, 30], 50)
    numpy.random.seed(0)
    model.initialize()
    return model, [NLP(text) for text in texts]


def test_ngrams_are_those_of_the_word_between_brackets():
    expected = [hash_string(text) for text in ("<to", "too", "oo>", "<too", "too>")]
    assert ngrams_of("too", 3, 4) == tuple(expected)


def test_a_word_shorter_than_the_shortest_ngram_is_one_ngram():
    assert ngrams_of("a", 4, 5) == (hash_string("<a>"),)


def test_each_token_gets_the_mean_of_the_ngrams_of_its_norm():
    docs = [NLP("Too bad"), NLP("too")]
    inner = reduce_mean()
    lookup = {hash_string(text): value for text, value in (("<to", 1), ("too", 4), ("oo>", 7))}
    seen = []

    def spy(model, X, is_train):
        seen.append(X.dataXd.tolist())
        values = numpy.array([[lookup.get(i, 0.0)] for i in X.dataXd.tolist()], dtype="f")
        return inner(Ragged(values, X.lengths), is_train)

    model = with_ngrams(type(inner)("spy", spy), 3, 3)
    Y, _ = model(docs, False)
    assert Y.lengths.tolist() == [2, 1]
    assert Y.data.tolist() == [[4.0], [0.0], [4.0]]
    assert len(seen[0]) == 6  # each distinct norm once: three n-grams of "too", three of "bad"


def test_gradient_agrees_with_finite_differences():
    model, docs = embedded("so soooo good", "good")
    ngrams = next(node for node in model.walk() if node.attrs.get("seed") == 7)
    Y, backprop = model(docs, True)
    weights = [
        numpy.random.RandomState(i).normal(size=y.shape).astype("f") for i, y in enumerate(Y)
    ]
    backprop(weights)
    E, gradient = ngrams.get_param("E").copy(), ngrams.get_grad("E")
    assert abs(gradient).max() > 0.01
    for row, column in zip(*numpy.nonzero(abs(gradient) > 0.3 * abs(gradient).max()), strict=True):
        values = []
        for step in (1e-2, -1e-2):
            changed = E.copy()
            changed[row, column] += step
            ngrams.set_param("E", changed)
            out, _ = model(docs, True)
            values.append(sum((y * w).sum() for y, w in zip(out, weights, strict=True)))
        numerical = (values[0] - values[1]) / 2e-2
        numpy.testing.assert_allclose(gradient[row, column], numerical, rtol=0.05, atol=1e-3)


def test_vectors_alone_and_batched_agree_and_empty_docs_have_none():
    model, docs = embedded("I soooo love it", "", "so it is")
    batched = model.predict(docs)
    assert [vectors.shape for vectors in batched] == [(4, 6), (0, 6), (3, 6)]
    numpy.testing.assert_allclose(model.predict([docs[2]])[0], batched[2], atol=1e-6)


def test_words_that_share_ngrams_are_closer_than_words_that_do_not():
    inner = build_ngram_hash_embed(32, ["SHAPE"], [10], 5000)
    numpy.random.seed(0)
    inner.initialize()
    mean = next(node for node in inner.walk() if node.name == "with_ngrams")
    vectors = mean.predict([NLP("disappointed disappointing elephant")]).data
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > far + 0.5 * abs(far)


def test_weights_survive_bytes():
    model, docs = embedded("soooo good")
    again, _ = embedded("")
    next(n for n in again.walk() if n.attrs.get("seed") == 7).set_param(
        "E", numpy.zeros((50, 6), "f")
    )
    assert not numpy.allclose(again.predict(docs)[0], model.predict(docs)[0])
    again.from_bytes(model.to_bytes())
    numpy.testing.assert_array_equal(again.predict(docs)[0], model.predict(docs)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [10]}, "2 attrs, 1 rows"),
        ({"min_n": 0}, "min_n 0, max_n 5"),
        ({"min_n": 6}, "min_n 6, max_n 5"),
        ({"max_n": 21}, "max_n 21"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    arguments = {"width": 4, "attrs": ["NORM", "SHAPE"], "rows": [10, 10], "ngram_rows": 10}
    with pytest.raises(ValueError, match=message):
        build_ngram_hash_embed(**{**arguments, **changes})


# Static vectors


RELEASED = "d803d44c2b01ea125d1956e95308a8cc065f3dd80e0e309c351170e6551990ad"
VECTORS = {"good": [1.0, 2.0, -1.0], "soooo": [0.5, 0.0, 3.0], "bad": [-2.0, 1.0, 1.0]}


def nlp_with(vectors: dict[str, list[float]], mode: str = "default"):
    nlp = spacy.blank("en")
    if mode == "floret":
        table = numpy.random.RandomState(0).normal(size=(20, 3)).astype("f")
        nlp.vocab.vectors = Vectors(
            strings=nlp.vocab.strings, data=table, mode="floret", minn=2, maxn=3, hash_count=2
        )
    else:
        # Not set_vector, which leaves rows of zeros at the end, where missing words point to.
        table = numpy.array(list(vectors.values()), dtype="f")
        nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=table, keys=list(vectors))
    return nlp


def embedded_with_vectors(nlp, *texts: str, ops=None):
    model = build_ngram_hash_embed(6, ["NORM", "SHAPE"], [40, 30], 50, include_static_vectors=True)
    for layer in model.walk():
        layer.ops = ops or layer.ops
    docs = [nlp(text) for text in texts]
    numpy.random.seed(0)
    model.initialize(X=docs)
    return model, docs, next(node for node in model.walk() if node.name == "static_vectors")


def test_without_static_vectors_nothing_changes():
    model, _ = embedded("soooo good")
    assert [node.name for node in model.walk() if "static" in node.name] == []
    maxout = next(node for node in model.walk() if node.name == "maxout")
    assert maxout.get_param("W").shape == (6, 3, 18)
    explicit = build_ngram_hash_embed(
        6, ["NORM", "SHAPE"], [40, 30], 50, include_static_vectors=False
    )
    numpy.random.seed(0)
    explicit.initialize()
    assert explicit.to_bytes() == model.to_bytes()
    # Recorded before there was the argument: released pipelines keep their weights and scores.
    digest = hashlib.sha256(b"".join(w.astype("<f4").tobytes() for w in weights_of(model)))
    assert digest.hexdigest() == RELEASED


def weights_of(model):
    return [node.get_param(name) for node in model.walk() for name in node.param_names]


@pytest.mark.parametrize("mode", ["default", "floret"])
@pytest.mark.parametrize("ops", [NumpyOps(), NumpyOps(use_blis=False)], ids=["blis", "blas"])
def test_static_vectors_are_projected_beside_the_other_embeddings(mode, ops):
    nlp = nlp_with(VECTORS, mode)
    model, docs, static = embedded_with_vectors(nlp, "soooo good", "", "unheard bad", ops=ops)
    assert static.get_param("W").shape == (6, 3)
    maxout = next(node for node in model.walk() if node.name == "maxout")
    assert maxout.get_dim("nI") == 24
    projected = static.predict(docs)
    assert projected.lengths.tolist() == [2, 0, 2]
    table = numpy.array([nlp.vocab[word].vector for word in ("soooo", "good", "unheard", "bad")])
    directions = table / numpy.maximum(numpy.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    numpy.testing.assert_allclose(projected.dataXd, directions @ static.get_param("W").T, atol=1e-5)
    assert projected.dataXd[2].any() == (mode == "floret")  # the only one that is never missing
    assert [vectors.shape for vectors in model.predict(docs)] == [(2, 6), (0, 6), (2, 6)]


@pytest.mark.parametrize("mode", ["default", "floret"])
def test_gradient_of_the_projection_agrees_with_finite_differences(mode):
    # "unheard" has no vector: what flows back to it must not reach the projection.
    nlp = nlp_with(VECTORS, mode)
    model, docs, static = embedded_with_vectors(nlp, "soooo good unheard", "unheard bad")
    Y, backprop = model(docs, True)
    weights = [numpy.random.RandomState(i).normal(size=y.shape) for i, y in enumerate(Y)]
    weights = [w.astype("f") for w in weights]
    backprop(weights)
    W, gradient = static.get_param("W").copy(), static.get_grad("W")
    assert gradient.shape == (6, 3)
    numerical = numpy.zeros_like(W)
    for index in numpy.ndindex(W.shape):
        values = []
        for step in (1e-3, -1e-3):
            changed = W.copy()
            changed[index] += step
            static.set_param("W", changed)
            out, _ = model(docs, True)
            values.append(sum((y * w).sum(dtype="d") for y, w in zip(out, weights, strict=True)))
        numerical[index] = (values[0] - values[1]) / 2e-3
    numpy.testing.assert_allclose(gradient, numerical, rtol=0.05, atol=0.02)


def test_an_unknown_word_alone_teaches_the_projection_nothing():
    model, docs, static = embedded_with_vectors(nlp_with(VECTORS), "unheard")
    _, backprop = model(docs, True)
    backprop([numpy.ones((1, 6), dtype="f")])
    assert not static.get_grad("W").any()


def test_projection_survives_bytes():
    nlp = nlp_with(VECTORS)
    model, docs, static = embedded_with_vectors(nlp, "soooo good")
    static.set_param("W", static.get_param("W") + 1)
    again = build_ngram_hash_embed(6, ["NORM", "SHAPE"], [40, 30], 50, include_static_vectors=True)
    again.from_bytes(model.to_bytes())
    numpy.testing.assert_array_equal(again.predict(docs)[0], model.predict(docs)[0])


def test_a_pipeline_without_vectors_is_told_where_they_come_from():
    with pytest.raises(ValueError, match=r"include_static_vectors is true, but.*--paths\.vectors"):
        embedded_with_vectors(NLP, "so good")


def test_vectors_cannot_be_measured_on_no_text():
    with pytest.raises(ValueError, match="No text with tokens in the data"):
        embedded_with_vectors(nlp_with(VECTORS))


def test_a_longer_vector_counts_no_more_than_a_short_one():
    short, long = nlp_with(VECTORS), nlp_with({"good": [10, 20, -10], "soooo": [1, 0, 6]})
    model, docs, _ = embedded_with_vectors(short, "soooo good")
    longer = model.predict([long("soooo good")])
    numpy.testing.assert_allclose(model.predict(docs)[0], longer[0], atol=1e-5)


def test_dropout_drops_dimensions_of_the_projection_in_training_only():
    model, docs, static = embedded_with_vectors(nlp_with(VECTORS), "soooo good bad")
    set_dropout_rate(model, 0.5)
    Y, backprop = static(docs, True)
    backprop(Ragged(numpy.ones_like(Y.data), Y.lengths))
    full = static.predict(docs).data
    dropped = ~Y.data.any(axis=0)
    assert 0 < dropped.sum() < 6
    numpy.testing.assert_allclose(Y.data[:, ~dropped], 2 * full[:, ~dropped], rtol=1e-5)
    assert static.get_grad("W").any(axis=1).tolist() == (~dropped).tolist()


def test_vectors_of_another_width_or_none_are_refused_when_predicting():
    model, _, _ = embedded_with_vectors(nlp_with(VECTORS), "so good")
    with pytest.raises(ValueError, match=r"have 2 dimensions\. Expected 3, as in training"):
        model.predict([nlp_with({"good": [1, 2]})("good")])
    with pytest.raises(ValueError, match="the pipeline has no vectors"):
        model.predict([NLP("good")])


def classifier_with_vectors(nlp):
    embed = {"@architectures": "goemotions.NgramHashEmbed.v1", "include_static_vectors": True}
    embed |= {"width": 16, "attrs": ["NORM"], "rows": [50], "ngram_rows": 50}
    encode = {"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": 16, "depth": 1}
    encode |= {"window_size": 1, "maxout_pieces": 2}
    tok2vec = {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": encode}
    pipe = nlp.add_pipe("textcat_multilabel", config={"model": model_config(tok2vec=tok2vec)})
    return next(node for node in pipe.model.walk() if node.name == "static_vectors")


def test_a_classifier_with_vectors_learns_and_predicts_the_same_after_a_save(tmp_path):
    nlp = nlp_with({word: [i, 1, 2] for i, word in enumerate(["love", "hate", "happy", "again"])})
    static = classifier_with_vectors(nlp)
    examples = make_examples(nlp)
    sgd = nlp.initialize(lambda: examples)
    before = static.get_param("W").copy()
    losses = [nlp.update(examples, sgd=sgd)["textcat_multilabel"] for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]
    assert abs(static.get_param("W") - before).max() > 1e-4
    nlp.to_disk(tmp_path / "model")
    text = "I love that we made it home"
    assert spacy.load(tmp_path / "model")(text).cats == nlp(text).cats


def test_a_classifier_without_the_vectors_it_wants_is_not_initialised():
    nlp = spacy.blank("en")
    classifier_with_vectors(nlp)
    with pytest.raises(ValueError, match=r"pass --paths\.vectors"):
        nlp.initialize(lambda: make_examples(nlp))
