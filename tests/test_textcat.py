"""The pooled text classifier."""

import hashlib
from pathlib import Path

import numpy
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.tests import test_models
from spacy.tests.pipeline import test_textcat as shipped
from spacy.util import registry
from thinc.api import Config, fix_random_seed

from tests.conftest import LABELS, make_examples, make_nlp, model_config

ODD_TEXTS = ["", " ", "\n\t\n", "😀😡🤷‍♀️", "a\x00b\x07\x1b", "\u202ertl \ufeff", "word " * 10_000]


def scores_of(nlp, texts, batch_size):
    docs = nlp.pipe(texts, batch_size=batch_size)
    return numpy.array([[doc.cats[label] for label in LABELS] for doc in docs])


def build(pooling=("mean", "max", "attention"), nO=None):
    config = Config({"model": model_config(pooling=list(pooling), nO=nO)})
    return registry.resolve(config)["model"]


def test_scores_alone_batched_and_shuffled_agree(nlp):
    texts = [eg.text for eg in make_examples(nlp)] + ["", "ok", "no " * 300, "[NAME] 😀"]
    alone = scores_of(nlp, texts, 1)
    assert_allclose(scores_of(nlp, texts, 64), alone, atol=1e-5)
    order = numpy.random.default_rng(1).permutation(len(texts))
    assert_allclose(scores_of(nlp, [texts[i] for i in order], 5), alone[order], atol=1e-5)


def test_odd_texts_have_defined_answers(nlp):
    scores = scores_of(nlp, ODD_TEXTS, 3)
    assert_array_equal(scores[0], [0, 0, 0])
    assert ((scores[1:] > 0) & (scores[1:] < 1)).all()


def test_an_empty_text_scores_zero_alone_in_a_mixed_batch_and_among_empties(nlp):
    for texts in ([""], ["", ""], ["so happy", "", "damn"]):
        assert_array_equal(scores_of(nlp, texts, 10)[texts.index("")], [0, 0, 0])


def test_empty_docs_teach_nothing():
    with_empty = make_nlp([("great day", {"joy"}), ("", {"anger"})], steps=0)
    model = with_empty.get_pipe("textcat_multilabel").model
    full, empty = (with_empty.make_doc(text) for text in ("great day", ""))
    gradients = []
    for docs in ([full], [empty, full, empty]):
        Y, backprop = model.begin_update(docs)
        # The empty docs claim the opposite of what the full one says.
        dY = numpy.array([[1.0] * Y.shape[1] if len(doc) else [-1.0] * Y.shape[1] for doc in docs])
        backprop(dY.astype("f"))
        linear = model.get_ref("output_layer")
        gradients.append(linear.get_grad("W").copy())
        for node in model.walk():
            for name in node.grad_names:
                if node.has_grad(name):
                    node.set_grad(name, node.get_grad(name) * 0)
    assert numpy.abs(gradients[0]).sum() > 0
    assert_allclose(gradients[0], gradients[1], rtol=1e-6)


@pytest.mark.slow
def test_it_learns_by_heart_and_reloads(nlp, tmp_path):
    trained = make_nlp(steps=60)
    examples = make_examples(trained)
    truth = numpy.array([[eg.reference.cats[label] for label in LABELS] for eg in examples])
    texts = [eg.text for eg in examples]
    scores = scores_of(trained, texts, 4)
    assert_array_equal(scores > 0.5, truth > 0.5)
    trained.to_disk(tmp_path / "model")
    assert_array_equal(scores_of(spacy.load(tmp_path / "model"), texts, 4), scores)


def test_the_same_seed_gives_a_byte_identical_model(tmp_path):
    digests = []
    for name in ("one", "two"):
        make_nlp(steps=10).to_disk(tmp_path / name)
        digests.append(digest(tmp_path / name))
    assert digests[0] == digests[1]


def digest(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert len(paths) > 5
    return {str(p.relative_to(folder)): hashlib.md5(p.read_bytes()).hexdigest() for p in paths}


@pytest.mark.parametrize("pooling", [["mean"], ["max", "attention"], ["attention", "max", "mean"]])
def test_each_pool_adds_one_token_width(pooling):
    model = build(pooling, nO=4)
    docs = [spacy.blank("en")("one two three")]
    model.initialize(X=docs)
    assert model.get_ref("output_layer").get_dim("nI") == 16 * len(pooling)
    assert model.predict(docs).shape == (1, 4)
    assert model.get_ref("tok2vec").get_dim("nO") == 16


def test_a_model_initialised_on_empty_docs_only_works_on_real_ones():
    model = build(nO=2)
    blank = spacy.blank("en")
    model.initialize(X=[blank(""), blank("two words")])
    assert model.predict([blank(""), blank("")]).shape == (2, 2)


@pytest.mark.parametrize("pooling", [[], ["mean", "mean"]])
def test_bad_pooling_is_refused(pooling):
    with pytest.raises(ValueError, match="one or more of mean, max, attention"):
        build(pooling)


def test_an_unknown_pool_is_refused_by_the_config_system():
    with pytest.raises(Exception, match="pooling"):
        build(["median"])


# spaCy's own tests, with our architecture in place of spaCy's.


def build_for_spacy(nO=28, **changes):
    return registry.resolve(Config({"model": model_config(nO=nO, **changes)}))["model"]


@pytest.mark.parametrize("seed", [0, 7])
def test_spacy_s_own_tests_of_equal_initialisation(seed):
    test_models.test_models_initialize_consistently(seed, build_for_spacy, {"nO": 3})


@pytest.mark.parametrize("seed", [0, 7])
def test_spacy_s_own_tests_of_equal_prediction(seed):
    test_models.test_models_predict_consistently(
        seed, build_for_spacy, {"nO": 3}, test_models.get_docs
    )


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_spacy_s_own_tests_of_equal_updates(dropout):
    test_models.test_models_update_consistently(
        0, dropout, build_for_spacy, {"nO": 3}, test_models.get_docs
    )


def test_spacy_s_own_test_of_textcat_configs():
    fix_random_seed(0)
    shipped.test_textcat_configs(
        "textcat_multilabel", shipped.TRAIN_DATA_MULTI_LABEL, model_config()
    )


@pytest.mark.parametrize("shipped_test", [shipped.test_resize, shipped.test_resize_same_results])
def test_spacy_s_own_tests_of_resizing(shipped_test):
    shipped_test("textcat_multilabel", model_config())


def test_spacy_s_own_test_of_lazy_initialisation():
    lazy = model_config(tok2vec=shipped.LAZY_INIT_TOK2VEC_MODEL)
    shipped.test_tok2vec_lazy_init("textcat_multilabel", lazy)
