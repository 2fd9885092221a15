"""Encoder-decoder networks: gradients, steps and batches, copying, forcing, vectors, saving."""

from functools import partial

import numpy
import pytest
import spacy
import srsly
import torch
from spacy.lang.en import English
from spacy.ml import FeatureExtractor
from spacy.tokens import Doc
from spacy.vectors import Vectors
from spacy.vocab import Vocab
from thinc.api import HashEmbed, Model, chain, list2ragged, ragged2list, with_array
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from plugins.decoders import decode_greedy
from plugins.seq2seq_models import (
    BEGIN,
    END,
    END_SYMBOL,
    PAD,
    SPECIAL,
    START_STD,
    UNKNOWN,
    Network,
    _embed,
    _numbers,
    build_seq2seq_attention,
    build_seq2seq_rnn,
    deserialize,
    serialize,
    start_from_vectors,
)

VOCAB = English().vocab
SYMBOLS = ["a", "b", "c", "the"]
SIZE = SPECIAL + len(SYMBOLS)
# Of unlike length; zz, q and r are outside the vocabulary, and "new" is nowhere else.
PAIRS = [("a zz b zz", "a zz zz b the"), ("c", "the"), ("the q b a c r", "q new r c q")]
SOURCES, TARGETS = zip(*PAIRS, strict=True)
KINDS = ["rnn", "plain", "copying"]
RATES = ("embed_dropout", "encoder_dropout", "decoder_dropout", "output_dropout")


def source(text: str) -> Doc:
    symbols = [*text.split(), END_SYMBOL]
    doc = Doc(VOCAB, words=symbols)
    doc.user_data["symbols"] = symbols
    return doc


def inputs_of(*pairs: tuple[str, str], forcing: float = 1.0, smooth: bool = True) -> tuple:
    docs = [source(text) for text, _ in pairs]
    return docs, [target.split() for _, target in pairs], forcing, smooth


def build(kind: str, dropout: float = 0.0, symbols: list[str] = SYMBOLS, **changes) -> Model:
    """Return a small model whose probabilities are far from equal."""
    spacy.util.fix_random_seed(0)
    if kind == "rnn":
        rates = dict.fromkeys(RATES, dropout)
        model = build_seq2seq_rnn(**{"hidden_width": 5, "embed_width": 6} | rates | changes)
    else:
        # Not one with maxout, whose kinks finite differences would trip over.
        embed = with_array(HashEmbed(6, 50, column=0))
        tok2vec = chain(FeatureExtractor(["NORM"]), list2ragged(), embed, ragged2list())
        sizes = {"hidden_width": 5, "embed_width": 6} | changes
        copying = kind == "copying"
        model = build_seq2seq_attention(tok2vec, dropout=dropout, copying=copying, **sizes)
    model.attrs["source_symbols"] = model.attrs["target_symbols"] = symbols
    model.initialize(X=inputs_of(*PAIRS))
    network_of(model).embedding.weight.data *= 10
    return model


def network_of(model: Model) -> Network:
    return model.get_ref("network").shims[0]._model


def tensors_of(model: Model, *pairs: tuple[str, str]) -> tuple[Tensor, list[Tensor], int]:
    """Return vectors or numbers of the sources; lengths, copies and gold; and extra."""
    docs, targets, *_ = inputs_of(*pairs)
    X, _ = _embed(model, docs, is_train=False)
    tensors, outside = _numbers(model, docs, targets)
    return torch.as_tensor(X), tensors, max(map(len, outside))


def evaluated(kind: str) -> tuple[Network, tuple, Tensor, int]:
    """Return a network, its state after PAIRS were read, gold, and extra."""
    model = build(kind)
    X, (lengths, copies, gold), extra = tensors_of(model, *PAIRS)
    network = network_of(model).eval()
    return network, network.encode(X, lengths, copies), gold, extra


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences_in_double_precision(kind):
    model = build(kind)
    network = network_of(model).double()
    X, tensors, extra = tensors_of(model, *PAIRS)
    X = X.double().requires_grad_() if X.is_floating_point() else X
    names, weights = zip(*network.named_parameters(), strict=True)

    def forward(X, *weights):
        given = dict(zip(names, weights, strict=True))
        return functional_call(network, given, (X, *tensors, extra, 1.0, True))

    assert forward(X, *weights).shape == (6 + 2 + 6, 2)
    assert gradcheck(forward, (X, *weights), fast_mode=True, check_undefined_grad=False)


def slots_of(model: Model) -> dict:
    """Return weights and gradients by name, as arrays that can be written to."""
    slots = {f"network {name}": (weight.data.numpy(), weight.grad.numpy())
             for name, weight in network_of(model).named_parameters()}  # fmt: skip
    for number, node in enumerate(model.walk()):
        for name in node.param_names if node.name != "seq2seq" else ():
            slots[f"{number} {node.name} {name}"] = (node.get_param(name), node.get_grad(name))
    return slots


@pytest.mark.parametrize("kind", KINDS)
def test_each_weight_of_a_model_and_its_tok2vec_gets_the_gradient_of_the_loss(kind):
    model = build(kind)
    Y, backprop = model(inputs_of(*PAIRS), True)
    shares = numpy.random.default_rng(0).normal(size=Y.shape).astype("f")
    assert backprop(shares) == []
    slots = slots_of(model)
    assert len(slots) == len([*network_of(model).parameters()]) + (kind != "rnn")
    for name, (weight, gradient) in slots.items():
        length = numpy.linalg.norm(gradient)
        assert length > 1e-4, name
        losses, before = [], weight.copy()
        for step in (0.01, -0.01):  # along the gradient, where the slope is its length
            weight[...] = before + step * gradient / length
            losses.append((model.predict(inputs_of(*PAIRS)) * shares).sum(dtype="d"))
        weight[...] = before
        assert (losses[0] - losses[1]) / 0.02 == pytest.approx(length, rel=0.02, abs=1e-3), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_likelihood_of_a_text_is_that_of_its_symbols_step_by_step(kind):
    network, state, gold, extra = evaluated(kind)
    given = torch.cat([torch.full((3, 1), BEGIN), gold[:, :-1]], dim=1)
    parts = network.run(network.embed(given), state)
    before, other, place = torch.full((3,), BEGIN), dict(state), torch.arange(3)
    for at in range(gold.shape[1]):
        part, state = network.advance(network.embed(before), state)
        log_probs = network.log_probs(part, state, extra)
        torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(3))
        assert log_probs.shape == (3, SIZE + extra) and extra == 2
        stepped, other = network.step(before, other, extra)
        never = [PAD, BEGIN, UNKNOWN]
        assert (stepped[:, never] == -torch.inf).all() and (log_probs[:, never] > -torch.inf).all()
        rest = [i for i in range(SIZE + extra) if i not in never]
        assert torch.equal(stepped[:, rest], log_probs[:, rest])
        real = gold[:, at] != PAD
        copies = state.get("copies", torch.zeros(3, 1, dtype=torch.long))
        found = network.log_likelihood([x[:, at] for x in parts], gold[:, at], copies, True)
        can = network.size + (extra if kind == "copying" else 0)
        counted = torch.where(gold[:, at] < can, gold[:, at], UNKNOWN)
        torch.testing.assert_close(found[real, 0], log_probs[place, counted][real])
        mean = log_probs[:, :SIZE].mean(dim=1)
        if kind == "copying":
            of_vocabulary = nn.functional.linear(part[0], network.embedding.weight, network.bias)
            written = torch.sigmoid(part[2])[:, 0].log()
            mean = of_vocabulary.log_softmax(dim=1).mean(dim=1) + written
        torch.testing.assert_close(found[:, 1], mean)
        before = gold[:, at]
    assert gold.tolist()[2] == [SIZE, UNKNOWN, SIZE + 1, 6, SIZE, END]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_alone_batched_and_shuffled_agree_and_padding_adds_nothing(kind):
    model = build(kind)
    alone = [model.predict(inputs_of(pair)) for pair in PAIRS]
    assert [len(Y) for Y in alone] == [6, 2, 6]
    assert numpy.ptp(numpy.concatenate(alone)) > 0.5
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        Y = model.predict(inputs_of(*(PAIRS[i] for i in order)))
        numpy.testing.assert_allclose(Y, numpy.concatenate([alone[i] for i in order]), atol=1e-5)
    X, (lengths, copies, gold), extra = tensors_of(model, *PAIRS)
    network = network_of(model).eval()
    padded = nn.functional.pad(gold, (0, 5), value=PAD)
    Y, more = (network(X, lengths, copies, x, extra, 1.0, True) for x in (gold, padded))
    torch.testing.assert_close(more, Y)


@pytest.mark.parametrize("kind", KINDS)
def test_without_smoothing_the_mean_is_left_out_and_the_rest_the_same(kind):
    model = build(kind)
    smooth, other = (model.predict(inputs_of(*PAIRS, smooth=smooth)) for smooth in (True, False))
    assert (smooth[:, 1] < -1).all()
    assert other[:, 1].tolist() == [0] * 14
    assert (other[:, 0] == smooth[:, 0]).all()


def test_the_encoder_of_padded_texts_is_a_bidirectional_one_of_packed_texts():
    network = network_of(model := build("plain")).eval()
    X, (lengths, copies, _), _ = tensors_of(model, *PAIRS)
    both = nn.GRU(6, 5, bidirectional=True)
    for name, weight in network.encoder.named_parameters():
        getattr(both, name).data = weight.data
        getattr(both, f"{name}_reverse").data = getattr(network.backward_encoder, name).data
    Y, last = both(pack_sequence(X.split(lengths.tolist()), enforce_sorted=False))
    Y, _ = pad_packed_sequence(Y, batch_first=True)
    state = network.encode(X, lengths, copies)
    hidden = torch.tanh(network.bridge(torch.cat([*last], dim=1)))
    torch.testing.assert_close(state["hidden"], hidden)
    real = ~state["is_pad"]
    assert real.sum(dim=1).tolist() == lengths.tolist() == [5, 2, 7]
    torch.testing.assert_close(state["memory"][real], network.norm(network.narrow(Y))[real])


def test_attention_is_steered_by_where_it_looked_before():
    network, state, *_ = evaluated("plain")
    for layer in (network.query, network.shift):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    state["weights"][0, 1] = 1.0
    for shift, place in ((2, 2), (1, 3), (3, 1), (4, 0)):  # the middle one, 3, is to stay
        network.shift.bias.data = 50.0 * torch.eye(7)[shift]
        _, after = network.advance(network.embed(torch.full((3,), BEGIN)), state)
        torch.testing.assert_close(after["weights"][0], torch.eye(7)[place])
        assert after["weights"][1, 2:].tolist() == [0] * 5  # pads
        torch.testing.assert_close(after["weights"].sum(dim=1), torch.ones(3))


def test_a_copied_word_has_the_weight_of_all_its_places_be_it_known_or_not():
    network, state, _, extra = evaluated("copying")
    network.gate.bias.data.fill_(-80.0)  # all is copied
    network.gate.weight.data.zero_()
    for layer in (network.query, network.shift):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    part, state = network.advance(network.embed(torch.full((3,), BEGIN)), state)
    probabilities = network.log_probs(part, state, extra).exp()
    # a zz b zz, and the end: a fifth each
    expected = torch.zeros(SIZE + 2)
    expected[[SPECIAL, SPECIAL + 1, END]] = 1 / 5
    expected[SIZE] = 2 / 5
    torch.testing.assert_close(probabilities[0], expected)
    assert probabilities[1, SIZE:].tolist() == [0, 0]  # no such words in this text
    torch.testing.assert_close(probabilities[2, SIZE:], torch.full((2,), 1 / 7))
    words = torch.tensor([SIZE, SPECIAL + 2, UNKNOWN])
    found = network.log_likelihood(part, words, state["copies"], False)[:, 0]
    torch.testing.assert_close(found[:2].exp(), torch.tensor([2 / 5, 1 / 2]))
    assert found[2] < -40 and found.isfinite().all()


def test_a_word_of_the_vocabulary_is_written_or_copied_and_the_two_add_up():
    network, state, _, extra = evaluated("copying")
    part, state = network.advance(network.embed(torch.full((3,), BEGIN)), state)
    scores = nn.functional.linear(part[0], network.embedding.weight, network.bias).softmax(dim=1)
    written, weights = torch.sigmoid(part[2][0, 0]), part[1][0]
    probabilities = network.log_probs(part, state, extra).exp()[0]
    a, end = written * scores[0, SPECIAL], written * scores[0, END]
    torch.testing.assert_close(probabilities[SPECIAL], a + (1 - written) * weights[0])
    torch.testing.assert_close(probabilities[END], end + (1 - written) * weights[4])
    torch.testing.assert_close(probabilities[SIZE], (1 - written) * (weights[1] + weights[3]))


@pytest.mark.parametrize("kind", KINDS)
def test_words_outside_have_numbers_of_their_own_in_each_text(kind):
    model = build(kind)
    step, state, outside = model.attrs["encode"](model, [source(text) for text in SOURCES])
    assert outside == [["zz"], [], ["q", "r"]]
    _, (lengths, copies, gold), extra = tensors_of(model, *PAIRS)
    assert lengths.tolist() == [5, 2, 7] and extra == 2
    assert copies.tolist() == [
        [4, SIZE, 5, SIZE, END, PAD, PAD], [6, END, *[PAD] * 5], [7, SIZE, 5, 4, 6, SIZE + 1, END]
    ]  # fmt: skip
    assert gold.tolist()[0] == [4, SIZE, SIZE, 5, 7, END]
    log_probs, after = step(torch.full((3,), BEGIN), state)
    assert log_probs.shape == (3, SIZE + 2) and not log_probs.requires_grad
    assert all(len(tensor) == 3 for tensor in after.values())
    found = decode_greedy(step, state, torch.tensor([9, 9, 9]), BEGIN, END)
    written = {symbol for (hypothesis,) in found for symbol in hypothesis.symbols}
    assert written and not written & {PAD, BEGIN, UNKNOWN, END}


@pytest.mark.parametrize("kind", KINDS)
def test_words_outside_are_embedded_as_unknown(kind):
    network = network_of(build(kind))
    rows = network.embed(torch.tensor([SIZE, SIZE + 7, UNKNOWN, 5]))
    assert torch.equal(rows, network.embedding.weight[[UNKNOWN, UNKNOWN, UNKNOWN, 5]])


@pytest.mark.parametrize("kind", KINDS)
def test_telling_every_symbol_step_by_step_is_full_forcing(kind):
    model = build(kind)
    told = model.predict(inputs_of(*PAIRS))
    nearly = 1 - 1e-9  # no random number is above it
    numpy.testing.assert_allclose(model.predict(inputs_of(*PAIRS, forcing=nearly)), told, atol=1e-5)
    assert abs(model.predict(inputs_of(*PAIRS, forcing=0.0)) - told).max() > 1e-3


@pytest.mark.parametrize("forcing", [0.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_told_is_what_the_network_would_have_written(kind, forcing, monkeypatch):
    model = build(kind)
    X, (lengths, copies, gold), extra = tensors_of(model, *PAIRS)
    network, read = network_of(model).eval(), []
    embed = network.embed
    monkeypatch.setattr(network, "embed", lambda symbols: read.append(symbols) or embed(symbols))
    torch.manual_seed(1)
    Y = network(X, lengths, copies, gold, extra, forcing, False)
    found = torch.stack(read, dim=1)
    torch.manual_seed(1)
    state, symbols, told = network.encode(X, lengths, copies), torch.full((3,), BEGIN), []
    likely = torch.zeros(gold.shape)
    for at in range(gold.shape[1]):
        assert found[:, at].tolist() == symbols.tolist()
        part, state = network.advance(embed(symbols), state)
        log_probs = network.log_probs(part, state, extra)
        likely[:, at] = network.log_likelihood(part, gold[:, at], copies, False)[:, 0]
        if at + 1 < gold.shape[1]:
            told.append(torch.rand(3) < forcing)
            written = [END, *range(SPECIAL, log_probs.shape[1])]  # no padding, begin or unknown
            own = torch.tensor(written)[log_probs[:, written].argmax(dim=1)]
            symbols = torch.where(told[-1], gold[:, at], own)
    torch.testing.assert_close(Y[:, 0], likely[gold != PAD])
    assert torch.cat(told).float().mean() == (0 if forcing == 0 else pytest.approx(0.5, abs=0.2))
    assert (found[:, 1:] != gold[:, :-1]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_only_and_a_rate_of_zero_changes_nothing(kind):
    model, inputs = build(kind, dropout=0.5), inputs_of(*PAIRS)
    assert abs(model(inputs, True)[0] - model(inputs, True)[0]).max() > 1e-3
    assert (model.predict(inputs) == model.predict(inputs)).all()
    model.attrs["encode"](model, inputs[0])  # leaves the network as a decoder needs it
    assert not network_of(model).training
    assert abs(model(inputs, True)[0] - model.predict(inputs)).max() > 1e-3
    still = build(kind)
    numpy.testing.assert_allclose(still(inputs, True)[0], still.predict(inputs), atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_each_rate_of_the_plain_network_drops_something(rate):
    model = build("rnn", **{rate: 0.5})
    inputs = inputs_of(*PAIRS)
    assert abs(model(inputs, True)[0] - model(inputs, True)[0]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_the_embedding_itself_which_learns_from_both_sides(kind):
    network, state, *_ = evaluated(kind)
    shapes = [tuple(weight.shape) for weight in network.state_dict().values()]
    assert shapes.count((SIZE, 6)) == (2 if kind == "rnn" else 1)  # one is what the RNN reads by
    assert len(network.state_dict()) == len(list(network.parameters()))
    before = torch.tensor([SPECIAL, SPECIAL + 1, END])
    part, state = network.advance(network.embed(before), state)
    gold = torch.full((3,), SPECIAL + 2)
    loss = network.log_likelihood(part, gold, torch.zeros(3, 1).long(), False)[:, 0].sum()
    (both,) = torch.autograd.grad(loss, network.embedding.weight, retain_graph=True)
    part = [tensor.detach() for tensor in part]
    loss = network.log_likelihood(part, gold, torch.zeros(3, 1).long(), False)[:, 0].sum()
    (output,) = torch.autograd.grad(loss, network.embedding.weight)
    assert (output.abs().sum(dim=1) > 0).all()
    differ = (both - output).abs().sum(dim=1) > 1e-6
    assert differ.nonzero()[:, 0].tolist() == [END, SPECIAL, SPECIAL + 1]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_safetensors_and_come_back_with_the_sizes_that_they_had(kind):
    network = network_of(build(kind))
    data = serialize(network)
    header = srsly.json_loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["embedding.weight"]["shape"] == [SIZE, 6] and header["bias"]["shape"] == [SIZE]
    assert b"PK\x03\x04" not in data and b"ctorch" not in data  # no zip, no pickle
    other = network_of(build(kind, symbols=["x"]))
    again = deserialize(other, data, torch.device("cpu"))
    assert again is other and again.size == SIZE
    state = again.state_dict()
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[name], w) for name, w in network.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_other_vocabularies_takes_the_bytes_of_one(kind):
    model, inputs = build(kind), inputs_of(*PAIRS)
    again = build(kind, symbols=["x", "y"]).from_bytes(model.to_bytes())
    assert again.attrs["target_symbols"] == SYMBOLS
    assert (again.predict(inputs) == model.predict(inputs)).all()
    assert b"ctorch" not in model.to_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_initialize_starts_anew_and_the_same_seed_gives_the_same_weights(kind):
    model = build(kind)
    first = {name: weight.clone() for name, weight in network_of(model).state_dict().items()}
    again = network_of(build(kind)).state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in first.items())
    for weight in network_of(model).parameters():
        weight.data += 0.5  # as if it had learned
    learned = {name: weight + 0.5 for name, weight in first.items()}
    model.attrs["target_symbols"] = [*SYMBOLS, "more"]
    model.initialize(X=inputs_of(*PAIRS))
    after = network_of(model).state_dict()
    assert after["bias"].tolist() == [0.0] * (SIZE + 1)
    moved = [name for name, w in first.items() if w.shape == after[name].shape]
    assert len(moved) == len(first) - 2
    assert not any((learned[name] == after[name]).any() for name in moved)
    assert 0.07 < after["embedding.weight"].std() < 0.13


def vectors_of(width: int, *words: str) -> Vocab:
    """Return a vocabulary whose words have vectors of 1, 2, 3 and so on in all dimensions."""
    vocab = Vocab()
    for number, word in enumerate(words, start=1):
        vocab.set_vector(word, numpy.full(width, number, dtype="f"))
    return vocab


def test_symbols_start_in_the_direction_of_the_vector_of_their_word_and_misses_are_counted():
    vocab, table = vectors_of(4, "Bob", "label", ",", "low"), nn.Embedding(12, 4)
    vocab.set_vector("Bob", numpy.array([3, 0, 4, 0], dtype="f"))
    before = table.weight.detach().clone()
    symbols = ["Bob", "￭,", "gone", "{{label}}", "{{/label}}", "LOW", "￭low", "\n"]
    found = start_from_vectors(table, symbols, vocab)
    assert found == {"words": 8, "missing": 2, "first": ["gone", "\n"]}
    size = START_STD * 4**0.5
    bob = table.weight[SPECIAL].detach()
    torch.testing.assert_close(bob, torch.tensor([0.6, 0, 0.8, 0]) * size)
    for row in (1, 3, 4, 5, 6):  # of LOW the lower case
        torch.testing.assert_close(table.weight[SPECIAL + row].detach(), torch.full((4,), size / 2))
    same = [*range(SPECIAL), SPECIAL + 2, SPECIAL + 7]
    assert torch.equal(table.weight[same], before[same])


def test_of_many_misses_the_first_twenty_are_named():
    vocab, symbols = vectors_of(4, "here"), [f"w{number}" for number in range(30)]
    found = start_from_vectors(nn.Embedding(40, 4), symbols, vocab)
    assert found == {"words": 30, "missing": 30, "first": symbols[:20]}


@pytest.mark.parametrize("width, said", [(0, "no vectors"), (5, "vectors of width 5")])
def test_vectors_of_another_width_are_refused(width, said):
    vocab = vectors_of(width, "a") if width else Vocab()
    with pytest.raises(ValueError, match=rf"embed_width is 4, and there are {said}.*paths"):
        start_from_vectors(nn.Embedding(9, 4), ["a"], vocab)


def test_floret_vectors_have_one_for_every_word():
    vocab, rows = Vocab(), numpy.random.default_rng(0).normal(size=(50, 4)).astype("f")
    settings = {"mode": "floret", "minn": 2, "maxn": 3, "hash_count": 2}
    vocab.vectors = Vectors(strings=vocab.strings, data=rows, **settings)
    embedding = nn.Embedding(8, 4)
    found = start_from_vectors(embedding, ["cat", "unseen", "{{Tag}}", "￭."], vocab)
    assert found == {"words": 4, "missing": 0, "first": []}
    lengths = embedding.weight[SPECIAL:].norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((4,), START_STD * 2))


@pytest.mark.parametrize("kind", ["rnn", "plain"])
def test_a_model_starts_its_embeddings_from_the_vectors_of_the_vocabulary(kind, monkeypatch):
    monkeypatch.setattr("tests.test_seq2seq_models.VOCAB", vectors_of(6, "a", "the"))
    model = build(kind, include_static_vectors=True)
    missed = {"words": 4, "missing": 2, "first": ["b", "c"]}
    sides = ["target", "source"] if kind == "rnn" else ["target"]
    assert model.attrs["misses"] == dict.fromkeys(sides, missed)
    network = network_of(model)
    row = torch.full((6,), START_STD)
    torch.testing.assert_close(network.embedding.weight[SPECIAL].detach(), 10 * row)  # of `build`
    if kind == "rnn":
        torch.testing.assert_close(network.read.weight[SPECIAL + 3].detach(), row)
    assert build(kind).attrs["misses"] == {}


def test_the_plain_network_has_the_layers_of_its_source():
    network = network_of(build_seq2seq_rnn())
    assert (network.embedding.embedding_dim, network.read.embedding_dim) == (300, 300)
    names = ("input_size", "hidden_size", "num_layers", "dropout", "bidirectional")
    layers = (network.encoder, network.decoder)
    found = [tuple(getattr(layer, name) for name in names) for layer in layers]
    assert found == [(300, 256, 2, 0.25, False), (300, 300, 2, 0.1, False)]
    assert network.bridge.weight.shape == (300, 256) and network.bridge.bias is None
    assert (network.embed_dropout.p, network.output_dropout.p) == (0.15, 0.35)
    registered = spacy.registry.architectures.get
    assert registered("goemotions.Seq2SeqRNN.v1") is build_seq2seq_rnn
    assert registered("goemotions.Seq2SeqAttention.v1") is build_seq2seq_attention


def test_one_layer_of_the_plain_network_drops_nothing_between_layers():
    network = network_of(build("rnn", dropout=0.5, depth=1))
    assert (network.encoder.dropout, network.decoder.dropout) == (0.0, 0.0)


@pytest.mark.parametrize(
    "bad",
    [{"hidden_width": 0}, {"embed_width": 0}, {"depth": 0}, *({rate: 1.0} for rate in RATES)],
)
def test_bad_sizes_and_rates_are_refused(bad):
    builders = [build_seq2seq_rnn]
    if bad.keys() <= {"hidden_width", "embed_width"}:
        builders.append(partial(build_seq2seq_attention, None))
    for builder in builders:
        with pytest.raises(ValueError, match=r"Expected sizes of 1 or more and rates from 0 to"):
            builder(**bad)
    with pytest.raises(ValueError, match=r"dropout \(-0.1,\)"):
        build_seq2seq_attention(None, dropout=-0.1)
