"""The encoder of convolutions: PyTorch's numbers, gradients, its place in pipelines."""

import numpy
import pytest
import spacy
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tokens import Span
from spacy.training import Example
from torch.nn import functional

import plugins.ner_crf
from plugins.text_cnn import build_text_cnn_encoder
from tests.conftest import ROWS, make_examples, model_config

LENGTHS = [5, 0, 1, 2, 7]


def make(width=4, kernel_sizes=(3,), **settings):
    """Return an encoder with random weights, and vectors of docs."""
    rng = numpy.random.default_rng(0)
    model = build_text_cnn_encoder(width, list(kernel_sizes), **settings)
    X = [rng.normal(size=(length, 3)).astype("f") for length in LENGTHS]
    model.initialize(X=X)
    for node in model.walk():
        for name in node.param_names:
            node.set_param(name, rng.normal(size=node.get_param(name).shape).astype("f"))
    return model, X


def by_torch(model, X, kernel_sizes, depth, residual):
    """Return what PyTorch makes of one doc with the weights of a model."""
    nodes = {
        name: iter([node for node in model.walk(order="dfs_pre") if node.name == name])
        for name in ("relu", "linear", "layernorm")
    }

    def weights(kind, *names):
        node = next(nodes[kind])
        return [torch.from_numpy(node.get_param(name)) for name in names]

    tokens = functional.linear(torch.from_numpy(X), *weights("linear", "W", "b"))
    for _ in range(depth):
        seen = []
        for size in kernel_sizes:
            W, b = weights("relu", "W", "b")
            kernel = W.reshape(len(b), size, -1).transpose(1, 2)  # [out, in, size]
            padded = functional.pad(tokens.T, ((size - 1) // 2, size // 2))
            seen.append(functional.conv1d(padded, kernel, b).relu().T)
        Y = functional.linear(torch.cat(seen, dim=1), *weights("linear", "W", "b"))
        Y = functional.layer_norm(Y, Y.shape[1:], *weights("layernorm", "G", "b"), eps=1e-8)
        tokens = Y + tokens if residual else Y
    return tokens.numpy()


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kernel_sizes", [[1], [2], [3], [6], [3, 4, 5]])
def test_vectors_are_those_of_convolutions_in_torch(kernel_sizes, depth, residual):
    model, X = make(kernel_sizes=kernel_sizes, depth=depth, residual=residual)
    found = model.predict(X)
    assert [doc.shape for doc in found] == [(length, 4) for length in LENGTHS]
    for doc, vectors in zip(found, X, strict=True):
        if len(vectors):
            expected = by_torch(model, vectors, kernel_sizes, depth, residual)
            assert_allclose(doc, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "size, reached", [(1, [3]), (2, [2, 3]), (3, [2, 3, 4]), (4, [1, 2, 3, 4])]
)
def test_a_kernel_reaches_half_its_size_and_an_even_one_further_ahead(size, reached):
    model, X = make(kernel_sizes=[size])
    before = model.predict(X)[4]
    X[4][3] += 1
    changed = (model.predict(X)[4] != before).any(axis=1)
    assert list(numpy.flatnonzero(changed)) == reached


def test_docs_alone_batched_and_shuffled_agree_and_empty_ones_stay_empty():
    model, X = make(kernel_sizes=[2, 5], depth=2)
    assert build_text_cnn_encoder(4, [2, 5]).get_dim("nO") == 4
    batched = model.predict(X)
    order = [3, 4, 1, 0, 2]
    for doc, i in zip(model.predict([X[i] for i in order]), order, strict=True):
        assert_allclose(doc, batched[i], atol=1e-5)
        assert_allclose(model.predict(X[i : i + 1])[0], batched[i], atol=1e-5)
    assert [doc.shape for doc in model.predict([X[1], X[1]])] == [(0, 4), (0, 4)]
    Y, backprop = model([X[1]], True)
    assert backprop(Y)[0].shape == (0, 3)


@pytest.mark.parametrize("kernel_sizes", [[2], [1, 3]])
def test_gradients_are_finite_differences(kernel_sizes):
    model, X = make(kernel_sizes=kernel_sizes)
    rng = numpy.random.default_rng(3)
    weights = [rng.normal(size=(length, 4)).astype("f") for length in LENGTHS]

    def loss() -> float:
        pairs = zip(model.predict(X), weights, strict=True)
        return float(sum((Y.astype("d") * W).sum() for Y, W in pairs))

    _, backprop = model(X, True)
    checked = list(zip(X, backprop(weights), strict=True))
    for node in model.walk():
        checked += [(node.get_param(name), node.get_grad(name)) for name in node.param_names]
    assert len(checked) == len(X) + 2 * len(kernel_sizes) + 6
    compared = []
    for values, gradient in checked:
        for place in numpy.ndindex(*values.shape):
            before, sides = values[place], []
            for step in (2e-3, -2e-3):
                values[place] = before + numpy.float32(step)
                sides.append(loss())
            values[place] = before
            compared.append((gradient[place], (sides[0] - sides[1]) / 4e-3))
    found, expected = numpy.array(compared).T
    close = numpy.isclose(found, expected, rtol=0.05, atol=0.02 * abs(found).max())
    assert abs(found).max() > 1
    assert close.mean() > 0.98  # a ReLU has no slope where it bends


def test_dropout_acts_in_training_alone():
    model, X = make()
    spacy.util.fix_random_seed(0)
    (dropout,) = [node for node in model.walk() if node.name == "dropout"]
    assert_array_equal(model(X, True)[0][0], model.predict(X)[0])
    dropout.attrs["dropout_rate"] = 0.5  # as spaCy sets it
    assert abs(model(X, True)[0][0] - model.predict(X)[0]).max() > 0.01


@pytest.mark.parametrize("kernel_sizes, depth", [([], 1), ([3, 0], 1), ([3], 0)])
def test_kernels_and_depths_that_see_nothing_are_refused(kernel_sizes, depth):
    with pytest.raises(ValueError, match=r"kernel_sizes \[.*depth \d\. Expected sizes of 1 or"):
        build_text_cnn_encoder(4, kernel_sizes, depth)


def tok2vec() -> dict:
    embed = {"@architectures": "spacy.MultiHashEmbed.v2", "width": 8, "rows": [100, 50]}
    encode = {"@architectures": "goemotions.TextCnnEncoder.v1", "width": 8, "kernel_sizes": [2, 3]}
    return {
        "@architectures": "spacy.Tok2Vec.v2",
        "embed": {**embed, "attrs": ["NORM", "SHAPE"], "include_static_vectors": False},
        "encode": encode,
    }


def test_it_encodes_for_a_textcat_that_learns_and_comes_back_from_disk(tmp_path):
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat_multilabel", config={"model": model_config(tok2vec=tok2vec())})
    examples = make_examples(nlp)
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.02
    losses = [nlp.update(examples, sgd=sgd)["textcat_multilabel"] for _ in range(30)]
    assert losses[-1] < losses[0] / 4
    nlp.to_disk(tmp_path / "model")
    texts = [*(text for text, _ in ROWS), ""]
    again = spacy.load(tmp_path / "model")
    assert [doc.cats for doc in again.pipe(texts)] == [doc.cats for doc in nlp.pipe(texts)]


def test_it_encodes_for_an_entity_recogniser_that_learns():
    assert plugins.ner_crf  # registers it
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    crf = {"@layers": "goemotions.Crf.v1"}
    model = {"@architectures": "goemotions.NerCrf.v1", "tok2vec": tok2vec(), "crf": crf}
    nlp.add_pipe("ner_crf", config={"model": model})
    reference = nlp.make_doc("Anna moved to New York")
    reference.set_ents([Span(reference, 0, 1, "PER"), Span(reference, 3, 5, "LOC")])
    examples = [Example(nlp.make_doc(reference.text), reference)]
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.02
    for _ in range(30):
        nlp.update(examples, sgd=sgd)
    assert nlp.evaluate(examples)["ents_f"] == 1
    assert nlp.get_pipe("ner_crf").model.get_ref("tok2vec").get_dim("nO") == 8
