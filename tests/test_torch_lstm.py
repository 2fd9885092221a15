"""The BiLSTM in PyTorch: its gradient, batches, directions, dropout, vectors, labels, saving."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
import torch
from numpy.testing import assert_allclose, assert_array_equal
from spacy.cli.train import train as spacy_train
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from torch.nn.utils.rnn import pad_packed_sequence

from plugins.torch_lstm import BiLSTM
from plugins.vocabulary import create_init_vocab
from tests.conftest import LABELS, ROOT, ROWS, make_examples

CONFIG = ROOT / "configs" / "torch_lstm.cfg"
TEXTS = [text for text, _ in ROWS]


def make(rows=ROWS, steps=0, vocabulary=True, vectors=None, drop=0.0, **changes) -> Language:
    """Return a pipeline with a small model, trained for some steps."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    for word, values in (vectors or {}).items():
        nlp.vocab.set_vector(word, numpy.array(values, dtype="f"))
    model = {
        "@architectures": "mine.PyTorchBiLSTMTextcat.v1",
        "lstm_width": 8,
        "embed_width": 6,
        "depth": 1,
        "dropout": 0.0,
        "output_layer": {"@layers": "goemotions.CrossEntropy.v1", "pos_weight": 1.0},
        **changes,
    }
    nlp.add_pipe("textcat_multilabel", config={"model": model})
    examples = make_examples(nlp, rows)
    if vocabulary:
        create_init_vocab(lambda nlp: examples, min_freq=1)(nlp)
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.02
    for _ in range(steps):
        nlp.update(examples, sgd=sgd, drop=drop)
    return nlp


@pytest.fixture(scope="module")
def trained() -> Language:
    """A pipeline that knows ROWS by heart; do not change it."""
    return make(steps=60)


def model_of(nlp):
    return nlp.get_pipe("textcat_multilabel").model


def network_of(nlp) -> BiLSTM:
    return model_of(nlp).get_ref("encoder").shims[0]._model


def scores_of(nlp, texts, batch_size=100):
    docs = nlp.pipe(texts, batch_size=batch_size)
    return numpy.array([list(doc.cats.values()) for doc in docs])


def states_of(nlp, text) -> torch.Tensor:
    """Return the states of the LSTM over one text, [tokens, 2 * lstm_width]."""
    seen = []
    hook = network_of(nlp).lstm.register_forward_hook(lambda *args: seen.append(args[2][0]))
    nlp(text)
    hook.remove()
    return pad_packed_sequence(seen[0])[0][:, 0]


def test_it_learns_by_heart_and_scores_are_no_distribution(trained):
    scores = scores_of(trained, TEXTS)
    truth = numpy.array([[label in on for label in LABELS] for _, on in ROWS])
    assert_array_equal(scores > 0.5, truth)
    both = scores[3]  # joy and anger at once
    assert both[0] > 0.8
    assert both[1] > 0.8


@pytest.mark.parametrize("depth", [1, 2])
def test_gradient_of_embeddings_agrees_with_finite_differences_of_cross_entropy(depth):
    nlp = make(depth=depth)
    model, weights = model_of(nlp), network_of(nlp).embedding.weight
    weights.data *= 10
    model.get_ref("output_layer").set_param("W", numpy.random.normal(size=(3, 32)).astype("f"))
    docs = [nlp.make_doc(text) for text in ("The shop was stolen", "", "so unheard of")]
    truth = numpy.array([[1, 0, 0], [0, 0, 0], [0, 1, 1]], dtype="f")

    def loss() -> float:
        p = model.predict(docs).astype("d")[[0, 2]]
        t = truth[[0, 2]]
        return -(t * numpy.log(p) + (1 - t) * numpy.log(1 - p)).sum()

    Y, backprop = model(docs, True)
    backprop(Y - truth)
    gradient = weights.grad.numpy().copy()
    assert abs(gradient[0]).max() > 1e-3  # the unknown word learns too
    for row, column in zip(*numpy.nonzero(abs(gradient) > 0.2 * abs(gradient).max()), strict=True):
        before = weights.data[row, column].item()
        values = []
        for step in (1e-2, -1e-2):
            weights.data[row, column] = before + step
            values.append(loss())
        weights.data[row, column] = before
        assert_allclose(gradient[row, column], (values[0] - values[1]) / 2e-2, rtol=0.02)


@pytest.mark.parametrize("depth", [1, 3])
def test_scores_alone_batched_and_shuffled_agree(depth):
    nlp = make(steps=30, depth=depth)
    texts = [*TEXTS, "", "ok", "no " * 300, "[NAME] 😀", "   "]
    alone = scores_of(nlp, texts, 1)
    assert numpy.ptp(alone[:, 0]) > 0.3
    assert_allclose(scores_of(nlp, texts, 64), alone, atol=1e-5)
    order = numpy.random.default_rng(1).permutation(len(texts))
    assert_allclose(scores_of(nlp, [texts[i] for i in order], 5), alone[order], atol=1e-5)


def test_a_text_in_a_batch_gets_the_mean_and_max_of_a_plain_lstm():
    torch.manual_seed(0)
    network = BiLSTM(lstm_width=4, embed_width=3, depth=2, dropout=0.0).eval()
    network.resize(10)
    texts = [torch.tensor(rows) for rows in ([1, 2, 3], [4], [9, 8, 7, 6, 5])]
    with torch.no_grad():
        found = network(torch.cat(texts), torch.tensor([len(text) for text in texts]))
        for row, text in zip(found, texts, strict=True):
            Y, _ = network.lstm(network.embedding(text))  # [tokens, 8], no batch
            torch.testing.assert_close(row, torch.cat([Y.mean(0), Y.max(0).values]))


def test_the_first_token_sees_the_last_and_the_last_sees_the_first(trained):
    one, other_end, other_start = (
        states_of(trained, text) for text in ("The shop opens", "The shop won", "Stop shop opens")
    )
    forward, backward = slice(0, 8), slice(8, 16)
    assert_array_equal(one[0, forward], other_end[0, forward])
    assert abs(one[0, backward] - other_end[0, backward]).max() > 0.01
    assert_array_equal(one[2, backward], other_start[2, backward])
    assert abs(one[2, forward] - other_start[2, forward]).max() > 0.01


def test_an_empty_text_scores_zero_alone_in_a_mixed_batch_and_among_empties(trained):
    for texts in ([""], ["", ""], ["so happy", "", "damn"]):
        scores = scores_of(trained, texts)
        assert_array_equal(scores[texts.index("")], [0, 0, 0])
        assert (scores[[bool(text) for text in texts]] > 0).all()


def test_empty_texts_teach_nothing():
    gradients = []
    for texts in (["great day"], ["", "great day", ""]):
        nlp = make()
        docs = [nlp.make_doc(text) for text in texts]
        _, backprop = model_of(nlp)(docs, True)
        backprop(numpy.array([[1.0] * 3 if text else [-1.0] * 3 for text in texts], dtype="f"))
        gradients.append(network_of(nlp).lstm.weight_ih_l0.grad.clone())
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1])
    nlp = make()
    _, backprop = model_of(nlp)([nlp.make_doc("")], True)
    assert backprop(numpy.ones((1, 3), dtype="f")) == []
    assert network_of(nlp).lstm.weight_ih_l0.grad is None


@pytest.mark.parametrize("depth", [1, 2])
def test_dropout_acts_in_training_and_not_in_evaluation_whatever_spacy_sets(depth):
    nlp = make(depth=depth, dropout=0.5, steps=3, drop=0.0)
    docs = [nlp.make_doc(text) for text in TEXTS]
    model = model_of(nlp)
    assert network_of(nlp).lstm.dropout == (0.5 if depth > 1 else 0.0)
    assert abs(model(docs, True)[0] - model(docs, True)[0]).max() > 1e-4
    assert_array_equal(model.predict(docs), model.predict(docs))
    without = make(depth=depth, dropout=0.0, steps=3, drop=0.5)
    assert_array_equal(model_of(without)(docs, True)[0], model_of(without).predict(docs))


def test_the_same_seed_gives_the_same_bytes_and_initialize_starts_anew():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    one, two = (make(steps=10, dropout=0.3) for _ in range(2))
    torch.set_num_threads(before)
    assert one.to_bytes() == two.to_bytes()
    start, lstm = make().to_bytes(exclude=["vocab"]), network_of(one).lstm.weight_ih_l0
    trained = lstm.detach().clone()
    one.initialize(lambda: make_examples(one))
    assert (network_of(one).lstm.weight_ih_l0 != trained).all()
    assert len(one.to_bytes(exclude=["vocab"])) == len(start)


def test_a_saved_pipeline_scores_the_same_in_a_moved_folder(trained, tmp_path):
    trained.to_disk(tmp_path / "saved")
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    again = spacy.load(tmp_path / "moved")
    texts = [*TEXTS, "unseen words", ""]
    assert_array_equal(scores_of(again, texts), scores_of(trained, texts))
    assert model_of(again).attrs["vocabulary"] == model_of(trained).attrs["vocabulary"]
    assert again.to_bytes() == trained.to_bytes()


def test_weights_are_safetensors_and_nothing_is_pickled(trained):
    data = model_of(trained).to_bytes()
    states = [
        srsly.msgpack_loads(shim)["state"]
        for shims in srsly.msgpack_loads(data)["shims"]
        for shim in shims
    ]
    (state,) = states
    length = int.from_bytes(state[:8], "little")
    header = srsly.json_loads(state[8 : 8 + length])
    words = len(model_of(trained).attrs["vocabulary"])
    assert header["embedding.weight"]["shape"] == [words + 1, 6]
    assert b"PK\x03\x04" not in data  # the zip that torch.save would write
    assert b"ctorch" not in data


@pytest.mark.slow
def test_a_trained_pipeline_takes_a_new_label_and_learns_it(tmp_path):
    nlp = make(steps=20)
    before = scores_of(nlp, TEXTS)
    pipe = nlp.get_pipe("textcat_multilabel")
    pipe.add_label("fear")
    after = scores_of(nlp, TEXTS)
    assert_array_equal(after[:, :3], before)
    assert_array_equal(after[:, 3], 0.5)
    examples = make_examples(nlp)
    for example in examples:
        example.reference.cats["fear"] = float("bike" in example.text)
    sgd = nlp.resume_training()
    for _ in range(60):
        nlp.update(examples, sgd=sgd)
    fear = scores_of(nlp, TEXTS)[:, 3]
    assert fear.argmax() == 1
    assert fear[1] > 0.5 > numpy.delete(fear, 1).max()
    nlp.to_disk(tmp_path / "model")
    assert_array_equal(scores_of(spacy.load(tmp_path / "model"), TEXTS)[:, 3], fear)


def test_known_words_start_from_vectors_and_learn():
    vectors = {"bike": [1, 2, 3, 4, 5, 6], "happy": [6, 5, 4, 3, 2, 1], "unused": [9] * 6}
    nlp = make(vectors=vectors, include_static_vectors=True)
    rows = model_of(nlp).attrs["vocabulary"]
    weights = network_of(nlp).embedding.weight.detach().numpy()
    for word in ("bike", "happy"):
        expected = numpy.array(vectors[word]) * 0.3 * 6**0.5 / 91**0.5  # root mean square 0.3
        assert_allclose(weights[rows[word]], expected, rtol=1e-5)
    others = [row for word, row in rows.items() if word not in vectors]
    assert 0 < abs(weights[[0, *others]]).max() < 1
    assert "unused" not in rows
    nlp = make(vectors=vectors, include_static_vectors=True, steps=3)
    change = abs(network_of(nlp).embedding.weight.detach().numpy() - weights)[rows["bike"]]
    assert (change > 0.01).all()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [({"bike": [1, 2, 3]}, "embed_width is 6.*vectors of width 3"), (None, "there are no vectors")],
)
def test_vectors_that_do_not_fit_are_refused(vectors, message):
    with pytest.raises(ValueError, match=message):
        make(vectors=vectors, include_static_vectors=True)


def test_without_a_vocabulary_initialize_says_how_to_get_one():
    with pytest.raises(ValueError, match=r"no vocabulary.*before_init.*goemotions\.init_vocab\.v1"):
        make(vocabulary=False)


def test_a_given_number_of_labels_is_checked(tmp_path):
    with pytest.raises(ValueError, match=r"n_labels 5, 3 labels in the data"):
        make(n_labels=5)
    with pytest.raises(ValueError, match=r"n_labels 2, label number 3\. Expected n_labels = null"):
        make(n_labels=2)
    nlp = make(n_labels=3, steps=2)
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    assert_array_equal(scores_of(again, TEXTS), scores_of(nlp, TEXTS))
    with pytest.raises(ValueError, match="label number 4"):
        again.get_pipe("textcat_multilabel").add_label("fear")


@pytest.mark.parametrize(
    "changes", [{"lstm_width": 0}, {"embed_width": 0}, {"depth": 0}, {"dropout": 1.0}]
)
def test_bad_sizes_are_refused(changes):
    with pytest.raises(ValueError, match="Expected sizes of 1 or more and a dropout from 0"):
        make(**changes)


@pytest.fixture(scope="module")
def overrides(tmp_path_factory) -> dict[str, str | int]:
    """Overrides that train the config on ROWS in a moment."""
    folder = tmp_path_factory.mktemp("corpus")
    nlp = spacy.blank("en")
    DocBin(docs=[eg.reference for eg in make_examples(nlp)]).to_disk(folder / "posts.spacy")
    srsly.write_json(folder / "labels.json", LABELS)
    small = {"lstm_width": 8, "embed_width": 6, "depth": 2}
    return {
        "paths.train": str(folder / "posts.spacy"),
        "paths.dev": str(folder / "posts.spacy"),
        "paths.labels": str(folder / "labels.json"),
        "training.max_steps": 4,
        "training.eval_frequency": 2,
        **{f"components.textcat_multilabel.model.{key}": value for key, value in small.items()},
    }


def test_the_config_keeps_averages_off_because_they_leave_torch_out():
    config = load_config(CONFIG)
    assert config["training"]["optimizer"]["use_averages"] is False
    assert config["training"]["dropout"] == 0.0
    assert config["components"]["textcat_multilabel"]["model"]["dropout"] > 0


def test_the_config_gives_the_model_words_beyond_the_ten_that_initialize_sees(overrides):
    nlp = init_nlp(load_config(CONFIG, overrides=overrides))
    assert set(model_of(nlp).attrs["vocabulary"]) >= {",", "[name]", "my", "the", "so"}
    assert "bike" not in model_of(nlp).attrs["vocabulary"]  # once, and min_freq is 2


@pytest.mark.slow
def test_the_config_trains_and_the_result_loads_in_a_moved_folder(overrides, tmp_path):
    spacy_train(CONFIG, tmp_path / "out", overrides=overrides)
    shutil.move(tmp_path / "out" / "model-last", tmp_path / "moved")
    nlp = spacy.load(tmp_path / "moved")
    assert nlp.pipe_labels["textcat_multilabel"] == LABELS
    scores = scores_of(nlp, [*TEXTS, ""])
    assert ((scores[:-1] > 0) & (scores[:-1] < 1)).all()


@pytest.mark.slow
@pytest.mark.parametrize("entry", [["-m", "spacy"], [str(Path(sys.executable).parent / "spacy")]])
def test_the_command_of_the_page_runs(overrides, tmp_path, entry):
    page = (ROOT / "docs" / "torch_lstm.md").read_text(encoding="utf8")
    command = "train configs/torch_lstm.cfg --code plugins/__init__.py --output"
    assert f"spacy {command} training/mine/torch_lstm" in page
    options = [part for key, value in overrides.items() for part in (f"--{key}", str(value))]
    run = subprocess.run(
        [sys.executable, *entry, *command.split(), str(tmp_path), *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    assert run.returncode == 0, run.stderr.decode()
    assert (tmp_path / "model-best" / "textcat_multilabel" / "model").exists()
