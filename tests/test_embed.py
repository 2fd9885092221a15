"""The n-gram embedding: which n-grams, their mean, its gradient, and that batches do not matter."""

import numpy
import pytest
import spacy
from spacy.strings import hash_string
from thinc.api import reduce_mean
from thinc.types import Ragged

from plugins.embed import build_ngram_hash_embed, ngrams_of, with_ngrams

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
