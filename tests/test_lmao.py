"""The LMAO objective: what it hides, what it asks for, its three losses, and that it learns."""

from itertools import cycle

import numpy
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ive
from spacy.attrs import NORM
from spacy.ml.models.multi_task import create_pretrain_vectors
from spacy.ml.models.tok2vec import MaxoutWindowEncoder, build_Tok2Vec_model
from spacy.tokens import Doc
from spacy.vectors import Vectors
from spacy.vocab import Vocab
from thinc.api import Adam, NumpyOps, fix_random_seed

from plugins.embed import build_ngram_hash_embed
from plugins.lmao import LOSSES, Mask, build_pretrain_lmao, contexts, targets

WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "dogs", "bark", "and", "birds", "sing"]
OPS = NumpyOps()


@pytest.fixture
def vocab():
    """Vectors of width 8 for all words but the first, none of them of length 1."""
    numbers = numpy.random.RandomState(0)
    nlp = spacy.blank("en")
    for word in WORDS[1:]:
        nlp.vocab.set_vector(word, numbers.normal(size=8, scale=3).astype("f"))
    return nlp.vocab


def docs_of(vocab: Vocab, *lengths: int) -> list[Doc]:
    words = cycle(WORDS)
    return [Doc(vocab, words=[next(words) for _ in range(length)]) for length in lengths]


def encoder(width: int = 16, include_static_vectors: bool = False):
    embed = build_ngram_hash_embed(
        width, ["NORM"], [500], 500, include_static_vectors=include_static_vectors
    )
    return build_Tok2Vec_model(embed, MaxoutWindowEncoder(width, 1, 2, 1))


def make(vocab: Vocab, static: bool = False, **settings):
    objective = build_pretrain_lmao(32, 2, **settings)
    model = objective(vocab, encoder(include_static_vectors=static))
    model.get_ref("tok2vec").initialize(X=docs_of(vocab, 5))
    model.initialize(X=docs_of(vocab, 5))
    return model


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_finite_differences(loss):
    numbers = numpy.random.RandomState(1)
    Y = numbers.normal(size=(4, 6)).astype("f")
    T = numbers.normal(size=(4, 6)).astype("f")
    T[2] = 0  # an unknown word
    _, gradient = LOSSES[loss](OPS, Y, T)
    for row, column in numpy.ndindex(Y.shape):
        around = []
        for step in (0.01, -0.01):
            moved = Y.astype("float64")
            moved[row, column] += step
            around.append(LOSSES[loss](OPS, moved, T.astype("float64"))[0])
        assert_allclose(gradient[row, column], (around[0] - around[1]) / 0.02, atol=2e-5)
    assert not gradient[2].any() and gradient[[0, 1, 3]].all()


def test_l2_gradient_is_prediction_minus_target_over_words():
    Y, T = numpy.array([[1.0, 2.0], [0.5, 0.0]], "f"), numpy.array([[0.0, 1.0], [1.0, 0.0]], "f")
    loss, gradient = LOSSES["L2"](OPS, Y, T)
    assert_allclose(gradient, (Y - T) / 2)
    assert loss == pytest.approx((1 + 1 + 0.25) / 4)


def test_cosine_is_zero_for_the_right_direction_whatever_its_length():
    T = numpy.array([[0.6, 0.8]], "f")
    assert LOSSES["cosine"](OPS, 5 * T, T)[0] == pytest.approx(0, abs=1e-6)
    assert LOSSES["cosine"](OPS, -T, T)[0] == pytest.approx(2, abs=1e-6)


def test_vmf_gradient_is_close_to_the_ratio_of_bessel_functions():
    # The derivative of the log-normaliser of a von Mises-Fisher distribution is I(m/2) / I(m/2-1).
    m = 300
    for length in (50.0, 200.0, 1000.0):
        Y = numpy.zeros((1, m))
        Y[0, 0] = length
        T = numpy.zeros((1, m))
        T[0, 1] = 1  # at right angles: what is left along Y is the normaliser's part
        gradient = LOSSES["vmf"](OPS, Y, T)[1][0, 0]
        assert gradient == pytest.approx(ive(m / 2, length) / ive(m / 2 - 1, length), rel=0.01)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("word", [[0], [2], [3], [5]]),
        ("trigram", [[-1, 0, 1], [1, 2, -1], [-1, 3, -1], [4, 5, -1]]),
        ("next_prev", [[-1, 1], [1, -1], [-1, -1], [4, -1]]),
    ],
)
def test_contexts_stop_at_the_ends_of_a_doc(vocab, target, expected):
    docs = docs_of(vocab, 3, 1, 2)
    assert contexts(docs, numpy.array([0, 2, 3, 5]), target, None).tolist() == expected


def test_targets_are_directions_side_by_side_and_zero_where_unknown(vocab):
    doc = Doc(vocab, words=["cat", "the", "sat"])
    found = targets(vocab.vectors, [doc], numpy.array([[0], [1]]))
    cat = doc[0].vector / numpy.linalg.norm(doc[0].vector)
    assert_allclose(found, [cat, numpy.zeros(8)], rtol=1e-5)
    both = targets(vocab.vectors, [doc], numpy.array([[0, 2], [-1, -1]]))
    sat = doc[2].vector / numpy.linalg.norm(doc[2].vector)
    assert_allclose(both[0], numpy.concatenate([cat, sat]) / 2**0.5, rtol=1e-5)
    assert not both[1].any()


def test_floret_vectors_are_targets_of_any_word():
    vocab = spacy.blank("en").vocab
    data = numpy.random.RandomState(0).normal(size=(50, 4)).astype("f")
    settings = {"minn": 2, "maxn": 3, "hash_count": 2, "hash_seed": 1, "bow": "<", "eow": ">"}
    vocab.vectors = Vectors(data=data, mode="floret", strings=vocab.strings, **settings)
    doc = Doc(vocab, words=["unheard", "of"])
    found = targets(vocab.vectors, [doc], numpy.array([[0], [1]]))
    assert_allclose(numpy.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert_allclose(found[0] * doc[0].vector_norm, doc[0].vector, rtol=1e-4)


def test_mask_hides_the_share_it_says_in_the_ways_of_bert(vocab):
    fix_random_seed(0)
    docs = docs_of(vocab, *[100] * 40)
    mask = Mask(0.25, None)
    hidden = mask(docs)
    before = [token.text for doc in docs for token in doc]
    after = [token.text for doc in hidden for token in doc]
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert set(changed) <= set(mask.rows)
    assert len(mask.rows) / 4000 == pytest.approx(0.25, abs=0.02)
    masked = sum(after[i] == "[MASK]" for i in mask.rows)
    assert masked / len(mask.rows) == pytest.approx(0.8, abs=0.04)
    others = [after[i] for i in changed if after[i] != "[MASK]"]
    assert len(others) / len(mask.rows) == pytest.approx(0.1, abs=0.03)
    assert set(others) <= set(WORDS)
    assert [token.text for doc in docs for token in doc] == before


def test_words_that_are_not_hidden_keep_their_norms(vocab):
    fix_random_seed(0)
    doc = spacy.blank("en")("I don't know what we'll do, can't say")
    norms = doc.to_array(NORM)
    mask = Mask(0.3, None)
    (hidden,) = mask([doc])
    kept = numpy.setdiff1d(numpy.arange(len(doc)), mask.rows)
    assert_array_equal(hidden.to_array(NORM)[kept], norms[kept])
    assert "not" in [doc[int(i)].norm_ for i in kept]


def test_without_a_mask_every_word_is_predicted_and_seen(vocab):
    docs = docs_of(vocab, 3, 4)
    mask = Mask(0.0, None)
    assert mask(docs) is docs
    assert mask.rows.tolist() == list(range(7))


@pytest.mark.parametrize("target", ["word", "trigram", "next_prev"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_falls(vocab, target, loss):
    fix_random_seed(0)
    model = make(vocab, target=target, loss=loss)
    docs, optimizer, losses = docs_of(vocab, *[12] * 10), Adam(0.02), []
    for _ in range(40):
        Y, backprop = model.begin_update(docs)
        value, dY = model.attrs["loss"](model.ops, docs, Y)
        backprop(dY)
        model.finish_update(optimizer)
        losses.append(value)
    span = 2 if loss == "cosine" else abs(losses[0])
    assert numpy.mean(losses[-5:]) < numpy.mean(losses[:3]) - 0.1 * span


def test_the_gradient_of_the_encoder_comes_from_the_hidden_words_alone(vocab):
    fix_random_seed(0)
    model = make(vocab)
    docs = docs_of(vocab, 6, 0, 7)
    Y, backprop = model.begin_update(docs)
    rows = model.attrs["mask"].rows
    assert Y.shape == (len(rows), 8)
    given = []
    tok2vec = model.layers[0]
    forward = tok2vec._func

    def spy(layer, X, is_train):
        Z, inner = forward(layer, X, is_train)
        return Z, lambda dZ: given.append(numpy.vstack(dZ)) or inner(dZ)

    tok2vec._func = spy
    Y, backprop = model.begin_update(docs)
    backprop(numpy.ones_like(Y))
    touched = numpy.flatnonzero(given[0].any(axis=1))
    assert touched.tolist() == model.attrs["mask"].rows.tolist()


def test_dropped_vectors_are_zero_in_training_only(vocab):
    fix_random_seed(0)
    model = make(vocab, static=True, input_vectors_dropout=0.5, mask_prob=0)
    static = next(node for node in model.walk() if node.name == "static_vectors")
    docs = [Doc(vocab, words=["cat"] * 400)]
    assert static(docs, True)[0].dataXd.any(axis=1).all()  # another task that shares the encoder
    seen, forward = [], static._func
    static._func = lambda *args, **named: seen.append(forward(*args, **named)) or seen[-1]
    model.begin_update(docs)
    train, predict = seen[0][0].dataXd, static(docs, False)[0].dataXd
    assert static(docs, True)[0].dataXd.any(axis=1).all()
    dropped = ~train.any(axis=1)
    assert dropped.mean() == pytest.approx(0.5, abs=0.08)
    assert predict.any(axis=1).all()
    assert_allclose(train[~dropped], predict[~dropped], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"mask_prob": 1.5}, "mask_prob 1.5"),
        ({"input_vectors_dropout": 1.0}, "input_vectors_dropout 1.0"),
        ({"input_vectors_dropout": 0.5}, "the encoder has no static vectors"),
        ({"target": "head", "parser": "nowhere"}, "nowhere is not installed.*scripts.models"),
    ],
)
def test_settings_that_cannot_work_are_refused(vocab, settings, found):
    with pytest.raises(ValueError, match=found):
        make(vocab, **settings)


def test_a_pipeline_without_vectors_is_refused():
    with pytest.raises(ValueError, match="predicts vectors, but the pipeline has none"):
        make(spacy.blank("en").vocab)


@pytest.mark.slow
def test_head_takes_the_vectors_of_heads_that_a_pipeline_found(vocab, tmp_path):
    nlp = spacy.blank("en")
    parser = nlp.add_pipe("parser")
    parser.add_label("dep")
    nlp.initialize()
    nlp.to_disk(tmp_path / "parser")
    doc = Doc(vocab, words=WORDS[:4], heads=[1, 1, 1, 2], deps=["dep"] * 4)
    assert contexts([doc, doc], numpy.arange(8), "head", nlp).ravel().tolist() == [
        *[1, 1, 1, 2],
        *[5, 5, 5, 6],
    ]
    model = make(vocab, target="head", parser=str(tmp_path / "parser"))
    docs = docs_of(vocab, 4, 3)
    Y, _ = model.begin_update(docs)
    loss, dY = model.attrs["loss"](OPS, docs, Y)
    assert dY.shape == Y.shape and numpy.isfinite(loss)
    (tmp_path / "none").mkdir()
    spacy.blank("en").to_disk(tmp_path / "none")
    with pytest.raises(ValueError, match="Expected a parser"):
        make(vocab, target="head", parser=str(tmp_path / "none"))


def test_spacys_own_objective_takes_the_same_encoder(vocab):
    model = create_pretrain_vectors(2, 32, "cosine")(vocab, encoder())
    model.initialize(X=docs_of(vocab, 5))
    docs = docs_of(vocab, 5)
    Y, _ = model.begin_update(docs)
    assert model.attrs["loss"](OPS, docs, Y)[1].shape == (5, 8)


@pytest.mark.parametrize(("loss", "at_zero"), [("L2", True), ("vmf", True), ("cosine", False)])
def test_without_a_hidden_layer_the_encoder_itself_is_projected(vocab, loss, at_zero):
    model = build_pretrain_lmao(0, 2, loss=loss, mask_prob=0.0)(vocab, encoder(16))
    model.initialize(X=docs_of(vocab, 5))
    head = model.get_ref("output_layer")
    assert (head.name, head.get_dim("nI"), head.get_dim("nO")) == ("linear", 16, 8)
    docs = docs_of(vocab, 5, 3)
    prediction = model.predict(docs)
    assert prediction.shape == (8, 8) and (not prediction.any()) == at_zero
