"""Layers on the CPU compute faster, and the scores stay what they were."""

import numpy
import pytest
import spacy
from spacy.util import registry
from thinc.api import NumpyOps

import plugins  # noqa: F401
from plugins.blas import create_numpy_blas


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
    numpy.testing.assert_allclose(after, before, atol=1e-6)


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
        model = found.get_pipe("tok2vec").model
        assert not any(layer.ops.use_blis for layer in model.walk())
        by_word = [layer for layer in model.walk() if "by_word" in layer._func.__qualname__]
        assert by_word == [model]
