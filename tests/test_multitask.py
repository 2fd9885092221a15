"""Task and pretraining objective in one loop: shared encoder, raw text between, nothing saved."""

import numpy
import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import Adam, fix_random_seed

from plugins.interleaved import create_interleaved
from plugins.multitask import create_drop_components
from scripts.train import train
from tests.conftest import ROOT

CONFIG = ROOT / "configs" / "multitask.cfg"
MODEL = "components.textcat_multilabel.model.tok2vec"
WORDS = ["love", "this", "hate", "that", "what", "a", "day", "so", "good", "bad"]


@pytest.fixture
def overrides(tmp_path):
    """Twenty labelled and forty raw texts of ten words that have vectors."""
    numbers, nlp = numpy.random.RandomState(0), spacy.blank("en")
    for word in WORDS:
        nlp.vocab.set_vector(word, numbers.normal(size=8).astype("f"))
    nlp.to_disk(tmp_path / "vectors")
    docs = []
    for number in range(20):
        doc = nlp(" ".join(numbers.choice(WORDS, 6)))
        doc.cats = {"joy": float(number % 2), "anger": float(1 - number % 2)}
        docs.append(doc)
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    srsly.write_json(tmp_path / "labels.json", ["joy", "anger"])
    rows = [{"text": " ".join(numbers.choice(WORDS, 6))} for _ in range(40)]
    srsly.write_jsonl(tmp_path / "raw.jsonl", rows)
    return {
        "paths.train": str(tmp_path / "train.spacy"),
        "paths.dev": str(tmp_path / "train.spacy"),
        "paths.labels": str(tmp_path / "labels.json"),
        "paths.raw_text": str(tmp_path / "raw.jsonl"),
        "paths.vectors": str(tmp_path / "vectors"),
        f"{MODEL}.encode.width": 16,
        f"{MODEL}.encode.depth": 1,
        f"{MODEL}.embed.rows": [200, 50],
        f"{MODEL}.embed.ngram_rows": 200,
        "components.pretraining_objective.objective.hidden_size": 16,
        "components.pretraining_objective.objective.loss": "cosine",  # L2 starts from zero
        "training.max_steps": 4,
        "training.eval_frequency": 2,
        "training.batcher.size": 10,
    }


def init(overrides):
    return init_nlp(load_config(CONFIG, overrides=overrides, interpolate=False))


def params_of(model):
    return {
        (number, name): node.get_param(name).copy()
        for number, node in enumerate(model.walk())
        for name in node.param_names
        if node.has_param(name)
    }


def raw_examples(nlp, n=10):
    return [Example(nlp.make_doc("so good a day"), nlp.make_doc("so good a day")) for _ in range(n)]


def test_raw_text_moves_the_encoder_and_not_the_classifier(overrides):
    fix_random_seed(0)
    nlp = init(overrides)
    model = nlp.get_pipe("textcat_multilabel").model
    encoder, whole = model.get_ref("tok2vec"), params_of(model)
    before = params_of(encoder)
    losses = nlp.update(raw_examples(nlp), sgd=Adam(0.01), drop=0.0)  # without weight decay
    assert losses["pretraining_objective"] > 0 and losses["textcat_multilabel"] == 0
    after = params_of(encoder)
    assert any((after[key] != before[key]).any() for key in before)
    ids = {node.id for node in encoder.walk()}
    others = [n for n, node in enumerate(model.walk()) if node.id not in ids]
    changed = params_of(model)
    assert all((changed[k] == whole[k]).all() for k in whole if k[0] in others)


def test_a_shared_weight_takes_one_step_per_update(overrides):
    nlp = init(overrides)
    optimizer = nlp.create_optimizer()
    examples = raw_examples(nlp)
    for example in examples:
        example.reference.cats = {"joy": 1.0, "anger": 0.0}
    nlp.update(examples, sgd=optimizer, drop=0.0)
    steps = set(optimizer.nr_update.values())
    assert steps == {1}


def test_an_evaluation_leaves_the_weights_that_are_trained(overrides):
    """spaCy evaluates with averages; of a shared encoder it would keep them."""
    nlp = init(overrides)
    optimizer = nlp.resume_training()
    optimizer.averages = {}
    for _ in range(3):
        nlp.update(raw_examples(nlp), sgd=optimizer, drop=0.0)
    model = nlp.get_pipe("textcat_multilabel").model
    before = params_of(model)
    with nlp.use_params(optimizer.averages):
        during = params_of(model)
    after = params_of(model)
    assert any((during[key] != before[key]).any() for key in before)
    assert all((after[key] == before[key]).all() for key in before)


@pytest.mark.slow
def test_the_scale_of_the_loss_scales_its_gradient(overrides):
    found = []
    for scale in (1.0, 0.5):
        key = "components.pretraining_objective.loss_scale"
        fix_random_seed(0)
        nlp = init({**overrides, key: scale})
        pipe = nlp.get_pipe("pretraining_objective")
        numpy.random.seed(1)
        pipe.update(raw_examples(nlp))
        encoder = nlp.get_pipe("textcat_multilabel").model.get_ref("tok2vec")
        node = next(node for node in encoder.walk() if node.has_grad("W") is True)
        found.append(abs(node.get_grad("W")).sum())
    assert found[0] == pytest.approx(2 * found[1], rel=1e-4) and found[0] > 0


@pytest.mark.slow
def test_the_saved_pipeline_has_no_trace_of_the_objective(overrides, tmp_path):
    train(CONFIG, tmp_path / "out", overrides=overrides)
    for name in ("model-best", "model-last"):
        nlp = spacy.load(tmp_path / "out" / name)
        assert nlp.component_names == ["textcat_multilabel"]
        assert "pretraining_objective" not in nlp.config["components"]
        assert nlp.config["nlp"]["pipeline"] == ["textcat_multilabel"]
        assert not (tmp_path / "out" / name / "pretraining_objective").exists()
        assert set(nlp("so good").cats) == {"joy", "anger"}


def test_dropping_leaves_the_pipeline_that_is_trained_as_it_was(overrides):
    nlp = init(overrides)
    names = nlp.component_names
    assert create_drop_components(["pretraining_objective"])(nlp).pipe_names == names[1:]
    assert nlp.component_names == names
    with pytest.raises(ValueError, match="No component 'nothing' to drop"):
        create_drop_components(["nothing"])(nlp)


@pytest.mark.parametrize(
    "change",
    [
        {"components.pretraining_objective.component": "parser"},
        {"nlp.pipeline": ["textcat_multilabel", "pretraining_objective"]},
    ],
)
def test_an_objective_without_an_encoder_after_it_is_refused(overrides, change):
    with pytest.raises(ValueError, match=r"no component '\w+' to train\. Expected it in nlp\.pipe"):
        init({**overrides, **change})


def reader_of(prefix, n):
    def read(nlp):
        for number in range(n):
            doc = nlp.make_doc(f"{prefix}{number}")
            yield Example(doc, doc.copy())

    return read


def test_raw_texts_are_put_between_and_read_on_in_the_next_epoch():
    nlp = spacy.blank("en")
    read = create_interleaved(reader_of("l", 4), reader_of("r", 3), ratio=0.5)
    epochs = [[e.text for e in read(nlp)] for _ in range(2)]
    raw = [[text for text in epoch if text[0] == "r"] for epoch in epochs]
    assert raw == [["r0", "r1"], ["r2", "r0"]]
    assert [[text[0] for text in epoch] for epoch in epochs] == [list("llrllr")] * 2
    orders = [tuple(text for text in epoch if text[0] == "l") for epoch in epochs]
    assert all(sorted(order) == ["l0", "l1", "l2", "l3"] for order in orders)
    orders += [tuple(e.text for e in read(nlp) if e.text[0] == "l") for _ in range(5)]
    assert len(set(orders)) > 1
    twice = create_interleaved(reader_of("l", 2), reader_of("r", 9), ratio=2)
    assert [e.text[0] for e in twice(nlp)] == list("lrrlrr")
    with pytest.raises(ValueError, match=r"ratio 0\."):
        create_interleaved(reader_of("l", 2), reader_of("r", 2), ratio=0)
