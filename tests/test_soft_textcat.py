"""A text classifier that learns from soft labels, hard ones, and both."""

import numpy
import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.language import Language
from spacy.pipeline.textcat_multilabel import MultiLabel_TextCategorizer
from spacy.training import Example

from tests.conftest import LABELS, ROWS, make_examples, model_config

SOFT = [0.9, 0.2, 0.4]
HARD = [1.0, 0.0, 0.0]


def make_nlp(factory: str = "soft_textcat_multilabel", **settings) -> Language:
    """Return a pipeline that has learnt nothing yet."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, name="textcat", config={"model": model_config(), **settings})
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def make_example(nlp: Language, *, hard: bool, soft: bool, labels=tuple(LABELS)) -> Example:
    cats = dict(zip(LABELS, HARD, strict=True)) if hard else {}
    example = Example.from_dict(nlp.make_doc("so happy we made it"), {"cats": cats})
    if soft:
        example.reference.user_data["soft_labels"] = (labels, numpy.array(SOFT, dtype="f"))
    return example


KINDS = [(True, True), (True, False), (False, True), (False, False)]


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_truth_is_mixed_by_the_weight_where_there_are_both(weight):
    nlp = make_nlp(soft_weight=weight)
    examples = [make_example(nlp, hard=hard, soft=soft) for hard, soft in KINDS]
    truths, known = nlp.get_pipe("textcat")._examples_to_truth(examples)
    mixed = [weight * soft + (1 - weight) * hard for soft, hard in zip(SOFT, HARD, strict=True)]
    assert_allclose(truths[:3], [mixed, HARD, SOFT], rtol=1e-6)
    assert known.tolist() == [[1] * 3] * 3 + [[0] * 3]
    assert truths.dtype == numpy.float32


def test_a_label_without_a_hard_value_has_the_soft_one():
    nlp = make_nlp(soft_weight=0.5)
    example = make_example(nlp, hard=True, soft=True)
    del example.reference.cats["anger"]
    truths, known = nlp.get_pipe("textcat")._examples_to_truth([example])
    assert_allclose(truths, [[0.95, 0.2, 0.2]], rtol=1e-6)
    assert known.tolist() == [[1, 1, 1]]


def test_the_gradient_is_that_of_the_mixed_truth_and_exactly_0_where_there_is_none():
    nlp = make_nlp(soft_weight=0.25)
    pipe = nlp.get_pipe("textcat")
    examples = [make_example(nlp, hard=hard, soft=soft) for hard, soft in KINDS]
    scores = numpy.full((4, 3), 0.3, dtype="f")
    _, gradient = pipe.get_loss(examples, scores)
    assert_allclose(gradient[0], [0.3 - 0.975, 0.3 - 0.05, 0.3 - 0.1], rtol=1e-5)
    assert_allclose(gradient[1:3], [[-0.7, 0.3, 0.3], [-0.6, 0.1, -0.1]], rtol=1e-5)
    assert (gradient[3] == 0).all()


def test_posts_without_any_labels_teach_nothing():
    nlp = make_nlp()
    before = nlp.get_pipe("textcat").model.to_bytes()
    sgd = nlp.create_optimizer()
    sgd.L2 = 0.0
    nlp.update([make_example(nlp, hard=False, soft=False)], sgd=sgd)
    assert nlp.get_pipe("textcat").model.to_bytes() == before


def test_soft_labels_alone_are_learnt():
    nlp = make_nlp()
    sgd = nlp.create_optimizer()
    for _ in range(60):
        nlp.update([make_example(nlp, hard=False, soft=True)], sgd=sgd, drop=0.0)
    scores = list(nlp("so happy we made it").cats.values())
    assert scores == pytest.approx(SOFT, abs=0.05)


@pytest.mark.parametrize("labels", [tuple(reversed(LABELS)), ("joy", "anger")])
def test_soft_labels_of_other_labels_or_in_another_order_are_refused(labels):
    nlp = make_nlp()
    example = make_example(nlp, hard=True, soft=True, labels=labels)
    expected = r"textcat: soft labels \['.*\]\. Expected \['joy', 'anger', 'neutral'\], in this"
    with pytest.raises(ValueError, match=expected):
        nlp.update([example], sgd=nlp.create_optimizer())


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match=rf"soft_weight {weight}\. Expected a number from 0 to 1"):
        make_nlp(soft_weight=weight)


def test_spacys_own_component_refuses_soft_cats():
    nlp = make_nlp("textcat_multilabel")
    example = Example.from_dict(nlp.make_doc("a"), {"cats": dict.fromkeys(LABELS, 0.5)})
    with pytest.raises(ValueError, match="E851"):
        nlp.update([example], sgd=nlp.create_optimizer())


def test_with_hard_labels_alone_the_updates_are_those_of_spacys_component():
    weights = []
    for factory in ("textcat_multilabel", "soft_textcat_multilabel"):
        nlp = make_nlp(factory)
        examples = make_examples(nlp)
        del examples[2].reference.cats["anger"]  # a missing value, which has no gradient
        sgd = nlp.create_optimizer()
        for _ in range(3):
            nlp.update(examples, sgd=sgd, drop=0.1)
        weights.append(nlp.get_pipe("textcat").model.to_bytes())
    assert weights[0] == weights[1]


def test_scores_are_set_as_spacys_component_sets_them():
    nlp = make_nlp()
    pipe = nlp.get_pipe("textcat")
    scores = numpy.array([[0.1, 0.2, 0.3], [0.9, 0.7, 0.5]], dtype="float32")
    docs = [nlp.make_doc("a"), nlp.make_doc("")]
    docs[0].cats["other"] = 1.0
    others = [doc.copy() for doc in docs]
    pipe.set_annotations(docs, scores)
    MultiLabel_TextCategorizer.set_annotations(pipe, others, scores)
    assert [doc.cats for doc in docs] == [doc.cats for doc in others]
    assert list(docs[1].cats.items()) == list(zip(LABELS, scores[1].tolist(), strict=True))
    assert docs[0].cats["other"] == 1.0 and type(docs[0].cats[LABELS[0]]) is float
    with pytest.raises(ValueError, match="shorter"):
        pipe.set_annotations(docs, scores[:1])


def test_a_saved_pipeline_keeps_weight_labels_and_scores(tmp_path):
    nlp = make_nlp(soft_weight=0.25)
    nlp.update([make_example(nlp, hard=True, soft=True)], sgd=nlp.create_optimizer())
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    pipe = loaded.get_pipe("textcat")
    assert pipe.cfg["soft_weight"] == 0.25 and pipe.labels == tuple(LABELS)
    assert loaded(ROWS[0][0]).cats == nlp(ROWS[0][0]).cats
    truths, _ = pipe._examples_to_truth([make_example(loaded, hard=True, soft=True)])
    assert_allclose(truths, [[0.975, 0.05, 0.1]], rtol=1e-6)
