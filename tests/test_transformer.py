"""Fine-tuning of a pretrained transformer: the architecture, its two savings, and bert.cfg."""

import socket

import numpy
import pytest
import spacy
import torch
from spacy.language import Language
from spacy_transformers.data_classes import WordpieceBatch
from spacy_transformers.layers.transformer_model import huggingface_tokenize

import plugins.transformer as transformer
from tests.conftest import ROWS, make_examples, model_config
from tests.tiny_transformer import save_tiny_transformer

LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "pooling": {"@layers": "reduce_mean.v1"},
}
SPANS = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 128, "stride": 96}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folder of a small transformer."""
    return save_tiny_transformer(tmp_path_factory.mktemp("models") / "tiny")


def make_nlp(name: str, steps: int = 0, **changes) -> Language:
    """Return a pipeline of transformer and classifier, updated some steps on ROWS."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    model = {"@architectures": "goemotions.TransformerModel.v1", "name": str(name), **changes}
    nlp.add_pipe("transformer", config={"model": {"get_spans": SPANS, **model}})
    nlp.add_pipe("textcat_multilabel", config={"model": model_config(tok2vec=LISTENER)})
    examples = make_examples(nlp)
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.01
    for _ in range(steps):
        nlp.update(examples, sgd=sgd, drop=0.0)
    return nlp


def weights_of(nlp: Language) -> dict[str, torch.Tensor]:
    """Return copies of the transformer's weights by name."""
    state = nlp.get_pipe("transformer").model.transformer.state_dict()
    return {name: value.clone() for name, value in state.items()}


@pytest.mark.slow
def test_training_lowers_the_loss(tiny):
    nlp = make_nlp(tiny)
    examples = make_examples(nlp)
    sgd = nlp.resume_training()
    sgd.learn_rate = 0.01
    losses = []
    for _ in range(8):
        losses.append(nlp.update(examples, sgd=sgd, drop=0.0)["textcat_multilabel"])
    assert losses[-1] < 0.8 * losses[0]


def test_the_transformer_learns_and_frozen_embeddings_do_not(tiny):
    for frozen in (True, False):
        nlp = make_nlp(tiny, freeze_embeddings=frozen)
        before = weights_of(nlp)
        examples = make_examples(nlp)
        # The head starts with zeros, so that the first step teaches only the head.
        for _ in range(2):
            nlp.update(examples, sgd=nlp.create_optimizer())
        changed = {name for name, value in weights_of(nlp).items() if (value != before[name]).any()}
        assert "encoder.layer.0.attention.self.query.weight" in changed
        assert "embeddings.position_embeddings.weight" in changed
        assert ("embeddings.word_embeddings.weight" in changed) is not frozen


def test_frozen_embeddings_stay_so_in_a_loaded_pipeline(tiny, tmp_path):
    make_nlp(tiny, freeze_embeddings=True).to_disk(tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    before, examples, optimizer = weights_of(nlp), make_examples(nlp), nlp.create_optimizer()
    for _ in range(2):
        nlp.update(examples, sgd=optimizer)
    changed = {name for name, value in weights_of(nlp).items() if (value != before[name]).any()}
    assert "encoder.layer.0.attention.self.query.weight" in changed
    assert "embeddings.word_embeddings.weight" not in changed


def test_a_folder_without_weights_is_named(tmp_path):
    folder = save_tiny_transformer(tmp_path / "tiny")
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ValueError, match=r"tiny' cannot be loaded\. Expected a folder"):
        make_nlp(folder)


def test_bf16_rounds_updates_and_leaves_predictions_alone(tiny):
    on, off = make_nlp(tiny, cpu_bf16="on"), make_nlp(tiny, cpu_bf16="off")
    docs = [example.predicted for example in make_examples(on)]
    states = []
    for nlp in (on, off):
        model = nlp.get_pipe("transformer").model
        model.transformer.eval()  # no dropout, even in an update
        model.transformer.train = lambda mode=True: None
        trained, _ = model(docs, is_train=True)
        predicted, _ = model(docs, is_train=False)
        assert trained.model_output.last_hidden_state.dtype == torch.float32
        states.append(
            [x.model_output.last_hidden_state.detach().numpy() for x in (trained, predicted)]
        )
    (bf16, predicted), (exact, expected) = states
    assert numpy.array_equal(predicted, expected)
    difference = abs(bf16 - exact).max()
    assert 1e-6 < difference < 0.1


def test_bf16_trains(tiny):
    nlp = make_nlp(tiny, steps=12, cpu_bf16="on")
    scores = nlp.evaluate(make_examples(nlp))
    assert scores["cats_macro_auc"] > 0.9
    assert weights_of(nlp)["encoder.layer.0.output.dense.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("found", "expected"), [({"avx512_bf16": True}, True), ({"avx2": True}, False)]
)
def test_bf16_is_used_only_where_the_processor_has_it(monkeypatch, found, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert transformer.has_bf16() is expected


def test_auto_asks_the_processor(tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(transformer, "with_cpu_bf16", lambda hf: seen.append(hf) or hf)
    for has in (True, False):
        monkeypatch.setattr(transformer, "has_bf16", lambda has=has: has)
        make_nlp(tiny, cpu_bf16="auto")
        assert len(seen) == 1


def test_a_saved_pipeline_needs_neither_folder_nor_network(tmp_path, monkeypatch):
    folder = save_tiny_transformer(tmp_path / "tiny")
    nlp = make_nlp(folder, steps=5, cpu_bf16="on", freeze_embeddings=True)
    texts = [text for text, _ in ROWS]
    expected = [doc.cats for doc in nlp.pipe(texts)]
    nlp.to_disk(tmp_path / "pipeline")
    for file in folder.iterdir():
        file.unlink()

    def refuse(*args, **kwargs):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    loaded = spacy.load(tmp_path / "pipeline")
    assert [doc.cats for doc in loaded.pipe(texts)] == expected


def test_scores_do_not_depend_on_the_batch(tiny):
    nlp = make_nlp(tiny, steps=5)
    texts = [*(text for text, _ in ROWS), "", "love " * 300, " "]
    together = [doc.cats for doc in nlp.pipe(texts)]
    for text, cats in zip(texts, together, strict=True):
        assert nlp(text).cats == pytest.approx(cats, abs=1e-5)
    assert set(together[len(ROWS)].values()) == {0.0}


@pytest.mark.slow
def test_empty_texts_in_training_teach_nothing_and_break_nothing(tiny):
    nlp = make_nlp(tiny)
    before = nlp.get_pipe("textcat_multilabel").model.to_bytes()
    nlp.update(make_examples(nlp, [("", {"joy"})]), sgd=nlp.create_optimizer())
    assert nlp.get_pipe("textcat_multilabel").model.to_bytes() == before
    mixed, plain = (make_nlp(tiny), make_nlp(tiny))
    for pipeline, rows in ((mixed, [ROWS[0], ("", {"anger"}), ROWS[1]]), (plain, ROWS[:2])):
        spacy.util.fix_random_seed(0)
        pipeline.update(make_examples(pipeline, rows), sgd=pipeline.create_optimizer(), drop=0.0)
    scores = [pipeline(ROWS[2][0]).cats for pipeline in (mixed, plain)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert scores[0]["joy"] != 0.5


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"transformer '.*nope' cannot be loaded.*scripts.models"):
        make_nlp(tmp_path / "nope")


def padded(tiny, side: str, texts: list[str]):
    """Return the layer that runs a transformer, and a batch of wordpieces."""
    model = make_nlp(tiny, steps=3).get_pipe("transformer").model
    model.tokenizer.padding_side = side
    encoded = huggingface_tokenize(model.tokenizer, texts)
    return model.layers[0], WordpieceBatch.from_batch_encoding(encoded)


MANY = [("love it so much " * (number * 7 % 13)) + "a" for number in range(11)]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("texts", [MANY, MANY[:1]])
def test_groups_of_like_length_say_what_one_batch_says(tiny, monkeypatch, side, texts):
    layer, batch = padded(tiny, side, texts)
    monkeypatch.setattr(transformer, "GROUP", 1000)
    expected = layer.predict(batch)
    monkeypatch.setattr(transformer, "GROUP", 4)
    found = layer.predict(batch)
    assert found.keys() == expected.keys() and "pooler_output" in found
    mask = torch.from_numpy(batch.attention_mask != 0)
    one, other = found.last_hidden_state, expected.last_hidden_state
    assert one.shape == other.shape == (*batch.input_ids.shape, 16)
    assert abs(one - other)[mask].max() < 1e-5
    assert abs(found.pooler_output - expected.pooler_output).max() < 1e-5
    rows = found.pooler_output
    assert len(texts) == 1 or abs(rows[1:] - rows[:-1]).max(dim=1).values.min() > 1e-5


def test_each_group_is_as_wide_as_its_longest_text(tiny, monkeypatch):
    layer, batch = padded(tiny, "right", MANY)
    monkeypatch.setattr(transformer, "GROUP", 4)
    shapes = []

    def predict(part):
        shapes.append(part.input_ids.shape)
        assert part.attention_mask.shape == part.token_type_ids.shape == part.input_ids.shape
        assert [len(strings) for strings in part.strings] == [part.input_ids.shape[1]] * len(part)
        return layer.predict(part)

    transformer._by_length(predict, batch)
    widths = sorted(batch.attention_mask.sum(axis=1))
    assert shapes == [(4, widths[3]), (4, widths[7]), (3, widths[10])]
    assert widths[3] < widths[7] < widths[10]


def test_updates_are_not_cut_into_groups(tiny, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("cut in training")

    nlp = make_nlp(tiny)
    monkeypatch.setattr(transformer, "_by_length", refuse)
    nlp.update(make_examples(nlp), sgd=nlp.create_optimizer())
    with pytest.raises(AssertionError, match="cut in training"):
        nlp("a text")


def test_docs_without_words_among_many_get_no_states(tiny, monkeypatch):
    nlp = make_nlp(tiny, steps=3)
    texts = ["", *MANY, " ", ""]
    monkeypatch.setattr(transformer, "GROUP", 4)
    found = [doc.cats for doc in nlp.pipe(texts)]
    monkeypatch.setattr(transformer, "GROUP", 1000)
    for cats, doc in zip(found, nlp.pipe(texts), strict=True):
        assert cats == pytest.approx(doc.cats, abs=1e-5)


def test_predictions_in_bfloat16_are_rounded_and_float32(tiny):
    exact, rounded = (make_nlp(tiny, predict_in=name) for name in ("float32", "bfloat16"))
    docs = [exact.make_doc(text) for text in MANY]
    states = [nlp.get_pipe("transformer").predict(docs) for nlp in (exact, rounded)]
    one, other = (state.model_output.last_hidden_state for state in states)
    assert other.dtype == torch.float32 and 1e-5 < abs(one - other).max() < 0.2
