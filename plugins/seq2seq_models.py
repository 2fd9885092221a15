"""Encoder-decoder networks in PyTorch: the plain one, and one that attends and copies."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from safetensors import torch as safetensors
from spacy.tokens import Doc
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Model, PyTorchWrapper_v3, to_numpy, torch2xp, xp2torch
from thinc.types import ArgsKwargs, Floats2d
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_sequence

PAD, BEGIN, END, UNKNOWN = range(4)  # then come the symbols of the vocabulary
SPECIAL = 4
END_SYMBOL = "<end>"  # the last of each source, so that to copy it is to end
LOWEST = 1e-20  # stands for a probability of 0 where a logarithm is taken
START_STD = 0.1  # of the numbers in an embedding
WORD = re.compile(r"\w[\w-]*")
MISSES = 20  # words without a vector that are named
SHIFTS = 3  # how far from where it looked before the attention is steered

State = dict[str, Tensor]
# Sources, what to write for each, the probability of telling it, whether the loss is smoothed.
Inputs = tuple[list[Doc], list[list[str]], float, bool]


@registry.architectures("goemotions.Seq2SeqRNN.v1")
def build_seq2seq_rnn(
    hidden_width: int = 256,
    embed_width: int = 300,
    depth: int = 2,
    embed_dropout: float = 0.15,
    encoder_dropout: float = 0.25,
    decoder_dropout: float = 0.1,
    output_dropout: float = 0.35,
    include_static_vectors: bool = False,
) -> Model[Inputs, Floats2d]:
    """Build an encoder and a decoder of GRUs with one state between them, and nothing else.

    What the decoder writes it predicts by its own embedding, whose weights are tied to it.

    hidden_width: Of the encoder.
    embed_width: Of both embeddings and of the decoder.
    depth (layers): Of both.
    embed_dropout, encoder_dropout, decoder_dropout, output_dropout (0 to 1): Rates after the
        embedding of the source, between the layers of each GRU, before the output.
    include_static_vectors: Start both embeddings from nlp.vocab.vectors, see `start_from_vectors`.
    RETURNS ([symbols, 2]): See `Network.forward`.
    RAISES ValueError: A size below 1 or a rate out of range.
    SOURCE: Sutskever et al. 2014, arXiv 1409.3215; Cho et al. 2014, arXiv 1406.1078; tied: Press
        and Wolf 2017, arXiv 1608.05859.
    """
    rates = (embed_dropout, encoder_dropout, decoder_dropout, output_dropout)
    _check({"hidden_width": hidden_width, "embed_width": embed_width, "depth": depth}, rates)
    network = RNN(hidden_width, embed_width, depth, *rates)
    return _model("seq2seq_rnn", network, include_static_vectors)


@registry.architectures("goemotions.Seq2SeqAttention.v1")
def build_seq2seq_attention(
    tok2vec: Model[list[Doc], list[Floats2d]],
    hidden_width: int = 256,
    embed_width: int = 128,
    dropout: float = 0.2,
    copying: bool = True,
    include_static_vectors: bool = False,
) -> Model[Inputs, Floats2d]:
    """Build a bidirectional encoder and a decoder that looks at a part of it at each step.

    tok2vec: Embeds the symbols of the source, e.g. goemotions.NgramHashEmbed.v1.
    hidden_width: Of each direction of the encoder, and of the decoder.
    embed_width: Of the embedding of what the decoder writes; its output is tied to it.
    dropout (0 to 1): Rate before each of them; training.dropout reaches tok2vec only.
    copying: At each step mix what the vocabulary has with the symbols that are looked at, so that
        words are written that training never saw.
    include_static_vectors: Start the decoder's embedding from nlp.vocab.vectors, see
        `start_from_vectors`; what tok2vec does with them is its own matter.
    RETURNS ([symbols, 2]): See `Network.forward`.
    RAISES ValueError: A size below 1 or a rate out of range.
    SOURCE: Bahdanau et al. 2015, arXiv 1409.0473; dot products: Luong et al. 2015, arXiv
        1508.04025; copying: See et al. 2017, arXiv 1704.04368; steering by what was looked at
        before: Chorowski et al. 2015, arXiv 1506.07503, here with shifts that the state weighs.
    """
    _check({"hidden_width": hidden_width, "embed_width": embed_width}, (dropout,))
    network = Attention(hidden_width, embed_width, dropout, copying)
    return _model("seq2seq_attention", network, include_static_vectors, tok2vec)


class Network(nn.Module):
    """What both have in common: a tied output, and the probability of what was to be written.

    Symbols are numbers: those of the vocabulary, and from its size on words of the source that it
    lacks, each by its place among them.
    """

    def __init__(self, embed_width: int):
        super().__init__()
        self.embedding = nn.Embedding(SPECIAL, embed_width)
        self.bias = nn.Parameter(torch.zeros(SPECIAL))

    @property
    def size(self) -> int:
        """Return how many symbols the vocabulary has."""
        return len(self.bias)

    def resize(self, n_target: int, n_source: int) -> None:
        """Start with other vocabularies.

        n_target: Symbols that can be written.
        n_source: Symbols that can be read; or the width of the vectors that come in.
        """
        self.embedding = _fresh(n_target, self.embedding.embedding_dim, self.bias.device)
        self.bias = nn.Parameter(torch.zeros(n_target, device=self.bias.device))

    def embed(self, symbols: Tensor) -> Tensor:
        """Return the embeddings of symbols; words that are not in the vocabulary are unknown."""
        return self.embedding(torch.where(symbols < self.size, symbols, UNKNOWN))

    def forward(
        self,
        X: Tensor,
        lengths: Tensor,
        copies: Tensor,
        gold: Tensor,
        extra: int,
        forcing: float,
        smooth: bool,
    ) -> Tensor:
        """Return for each symbol of gold two logarithms [symbols, 2].

        One is the probability of that symbol, the other the mean over the vocabulary, or 0.

        X ([tokens, width] or [tokens]): Vectors or numbers of the sources, one after another.
        lengths ([docs]): Of the sources.
        copies ([docs, longest source]): Numbers of the source's symbols among those to write.
        gold ([docs, longest target]): What is to be written, END last, then PAD.
        extra: Most words of a source that the vocabulary lacks.
        forcing (0 to 1): How probably each step is told the symbol before it as it should be, and
            not as the network itself would have written it.
        smooth: Compute the mean, which takes a while.
        """
        state = self.encode(X, lengths, copies)
        start = gold.new_full((len(gold), 1), BEGIN)
        given = torch.cat([start, gold[:, :-1]], dim=1)
        if forcing >= 1:
            parts = self.run(self.embed(given), state)
        else:
            parts = self._run_free(given, state, extra, forcing)
        real = gold != PAD
        doc = torch.arange(len(gold), device=gold.device).unsqueeze(1).expand_as(gold)[real]
        parts = [part[real] for part in parts]
        return self.log_likelihood(parts, gold[real], copies[doc], smooth)

    def _run_free(self, given: Tensor, state: State, extra: int, forcing: float) -> list[Tensor]:
        symbols, steps = given[:, 0], []
        for at in range(given.shape[1]):
            part, state = self.advance(self.embed(symbols), state)
            steps.append(part)
            if at + 1 < given.shape[1]:
                with torch.no_grad():
                    own = _writable(self.log_probs(part, state, extra)).argmax(dim=1)
                told = torch.rand(len(own), device=own.device) < forcing
                symbols = torch.where(told, given[:, at + 1], own)
        return [torch.stack(tensors, dim=1) for tensors in zip(*steps, strict=True)]

    def step(self, symbols: Tensor, state: State, extra: int = 0) -> tuple[Tensor, State]:
        """Return log probabilities [rows, vocabulary + extra] of what comes next, and the state.

        symbols ([rows]): What was written last. PAD, BEGIN and UNKNOWN are never written.
        """
        part, state = self.advance(self.embed(symbols), state)
        return _writable(self.log_probs(part, state, extra)), state


class RNN(Network):
    """Read the source into one state per layer; write from there."""

    def __init__(self, hidden_width: int, embed_width: int, depth: int, *rates: float):
        super().__init__(embed_width)
        embed, encoder, decoder, output = rates
        self.read = nn.Embedding(SPECIAL, embed_width)
        self.encoder = nn.GRU(
            embed_width, hidden_width, depth, dropout=encoder if depth > 1 else 0.0
        )
        self.bridge = nn.Linear(hidden_width, embed_width, bias=False)
        self.decoder = nn.GRU(
            embed_width, embed_width, depth, dropout=decoder if depth > 1 else 0.0, batch_first=True
        )
        self.embed_dropout, self.output_dropout = nn.Dropout(embed), nn.Dropout(output)

    def resize(self, n_target: int, n_source: int) -> None:
        """Start with other vocabularies."""
        super().resize(n_target, n_source)
        self.read = _fresh(n_source, self.read.embedding_dim, self.bias.device)

    def encode(self, X: Tensor, lengths: Tensor, copies: Tensor) -> State:
        """Return the state of the decoder at its start."""
        packed = _pack(X, lengths)
        embedded = self.embed_dropout(self.read(packed.data))
        _, hidden = self.encoder(PackedSequence(embedded, *packed[1:]))
        return {"hidden": self.bridge(hidden).transpose(0, 1)}  # [docs, depth, embed_width]

    def run(self, embedded: Tensor, state: State) -> list[Tensor]:
        """Return what the output is made of, for all steps [docs, steps, embed_width] at once."""
        hidden = state["hidden"].transpose(0, 1).contiguous()
        return [self.output_dropout(self.decoder(embedded, hidden)[0])]

    def advance(self, embedded: Tensor, state: State) -> tuple[list[Tensor], State]:
        """Return what the output is made of, for one step, and the state after it."""
        hidden = state["hidden"].transpose(0, 1).contiguous()
        Y, hidden = self.decoder(embedded.unsqueeze(1), hidden)
        return [self.output_dropout(Y[:, 0])], {"hidden": hidden.transpose(0, 1)}

    def log_probs(self, parts: list[Tensor], state: State, extra: int) -> Tensor:
        """Return log probabilities [rows, vocabulary + extra] of what comes next."""
        scores = F.linear(parts[0], self.embedding.weight, self.bias).log_softmax(dim=1)
        return F.pad(scores, (0, extra), value=-torch.inf)

    def log_likelihood(
        self, parts: list[Tensor], gold: Tensor, copies: Tensor, smooth: bool
    ) -> Tensor:
        """Return the columns of `forward`; words that cannot be written count as UNKNOWN."""
        scores = F.linear(parts[0], self.embedding.weight, self.bias).log_softmax(dim=1)
        gold = torch.where(gold < self.size, gold, UNKNOWN)
        found = scores.gather(1, gold.unsqueeze(1))[:, 0]
        mean = scores.mean(dim=1) if smooth else torch.zeros_like(found)
        return torch.stack([found, mean], dim=1)


class Attention(Network):
    """Read the source in both directions; look at all of it, and near the last look, to write."""

    def __init__(self, hidden_width: int, embed_width: int, dropout: float, copying: bool):
        super().__init__(embed_width)
        self.encoder = nn.GRU(1, hidden_width, batch_first=True)
        self.backward_encoder = nn.GRU(1, hidden_width, batch_first=True)
        self.bridge = nn.Linear(2 * hidden_width, hidden_width)
        self.narrow = nn.Linear(2 * hidden_width, hidden_width, bias=False)
        self.norm = nn.LayerNorm(hidden_width)
        self.cell = nn.GRUCell(embed_width + hidden_width, hidden_width)
        self.query = nn.Linear(hidden_width, hidden_width)
        self.shift = nn.Linear(hidden_width, 2 * SHIFTS + 1)
        self.mix = nn.Linear(2 * hidden_width, embed_width)
        self.gate = nn.Linear(2 * hidden_width + embed_width, 1) if copying else None
        self.dropout = nn.Dropout(dropout)

    def resize(self, n_target: int, n_source: int) -> None:
        """Start with another vocabulary and another width of the vectors that come in."""
        super().resize(n_target, n_source)
        device, width = self.bias.device, self.encoder.hidden_size
        self.encoder = nn.GRU(n_source, width, batch_first=True).to(device)
        self.backward_encoder = nn.GRU(n_source, width, batch_first=True).to(device)

    def encode(self, X: Tensor, lengths: Tensor, copies: Tensor) -> State:
        """Return the state of the decoder at its start, and what it looks at."""
        # Padding comes last in both directions, so none is read before a symbol. A packed sequence
        # would do as well, but its gradient on a CPU takes as long as all the rest.
        X = self.dropout(pad_sequence(X.split(lengths.tolist()), batch_first=True))
        at = torch.arange(X.shape[1], device=X.device)
        last = (lengths - 1).unsqueeze(1)
        mirrored = (last - at).clamp(min=0)  # [docs, tokens]
        ahead, _ = self.encoder(X)
        back, _ = self.backward_encoder(_at(X, mirrored))
        both = torch.cat([ahead, _at(back, mirrored)], dim=2)
        ends = torch.cat([_at(ahead, last), _at(back, last)], dim=2)[:, 0]
        memory = self.norm(self.narrow(both))
        return {
            "hidden": torch.tanh(self.bridge(ends)),
            "context": torch.zeros_like(memory[:, 0]),
            "weights": torch.zeros_like(memory[:, :, 0]),
            "memory": memory,  # [docs, tokens, hidden_width]
            "is_pad": at > last,
            "copies": copies,
        }

    def run(self, embedded: Tensor, state: State) -> list[Tensor]:
        """Return what the output is made of, for all steps."""
        states = []
        for X in self.dropout(embedded).unbind(dim=1):
            state = self._look(X, state)
            states.append([state["hidden"], state["context"], state["weights"]])
        return self._parts(embedded, *(torch.stack(x, dim=1) for x in zip(*states, strict=True)))

    def advance(self, embedded: Tensor, state: State) -> tuple[list[Tensor], State]:
        """Return what the output is made of, for one step, and the state after it."""
        state = self._look(self.dropout(embedded), state)
        return self._parts(embedded, state["hidden"], state["context"], state["weights"]), state

    def _look(self, X: Tensor, state: State) -> State:
        hidden = self.cell(torch.cat([X, state["context"]], dim=1), state["hidden"])
        query = self.query(hidden) / hidden.shape[1] ** 0.5
        scores = torch.bmm(state["memory"], query.unsqueeze(2))[:, :, 0]
        near = F.pad(state["weights"], (SHIFTS, SHIFTS)).unfold(1, 2 * SHIFTS + 1, 1)
        scores = scores + torch.bmm(near, self.shift(hidden).unsqueeze(2))[:, :, 0]
        weights = scores.masked_fill(state["is_pad"], -torch.inf).softmax(dim=1)
        context = torch.bmm(weights.unsqueeze(1), state["memory"])[:, 0]
        return {**state, "hidden": hidden, "context": context, "weights": weights}

    def _parts(
        self, embedded: Tensor, hidden: Tensor, context: Tensor, weights: Tensor
    ) -> list[Tensor]:
        both = torch.cat([hidden, context], dim=-1)
        parts = [torch.tanh(self.mix(self.dropout(both))), weights]
        if self.gate is not None:
            parts.append(self.gate(torch.cat([both, embedded], dim=-1)))
        return parts

    def log_probs(self, parts: list[Tensor], state: State, extra: int) -> Tensor:
        """Return log probabilities [rows, vocabulary + extra] of what comes next."""
        scores = F.linear(parts[0], self.embedding.weight, self.bias)
        if self.gate is None:
            return F.pad(scores.log_softmax(dim=1), (0, extra), value=-torch.inf)
        written = torch.sigmoid(parts[2])
        scores = F.pad(scores.softmax(dim=1) * written, (0, extra))
        return scores.scatter_add(1, state["copies"], parts[1] * (1 - written)).log()

    def log_likelihood(
        self, parts: list[Tensor], gold: Tensor, copies: Tensor, smooth: bool
    ) -> Tensor:
        """Return the columns of `forward`; words that cannot be written count as UNKNOWN."""
        scores = F.linear(parts[0], self.embedding.weight, self.bias).log_softmax(dim=1)
        known = torch.where(gold < self.size, gold, UNKNOWN).unsqueeze(1)
        found = scores.gather(1, known)[:, 0]
        mean = scores.mean(dim=1) if smooth else torch.zeros_like(found)
        if self.gate is None:
            return torch.stack([found, mean], dim=1)
        gate = parts[2][:, 0]
        same = (parts[1] * (copies == gold.unsqueeze(1))).sum(dim=1)
        copied = F.logsigmoid(-gate) + same.clamp(min=LOWEST).log()
        # A word that the vocabulary lacks can only be copied.
        found = (F.logsigmoid(gate) + found).masked_fill(gold >= self.size, -torch.inf)
        mean = mean + F.logsigmoid(gate) if smooth else mean
        return torch.stack([torch.logaddexp(found, copied), mean], dim=1)


def serialize(network: Network) -> bytes:
    """Return the weights in the safetensors format."""
    return safetensors.save({k: v.cpu().contiguous() for k, v in network.state_dict().items()})


def deserialize(network: Network, data: bytes, device: torch.device) -> Network:
    """Load what `serialize` returned, with the sizes that it had."""
    state = safetensors.load(data)
    read = state.get("read.weight")
    n_source = state["encoder.weight_ih_l0"].shape[1] if read is None else len(read)
    network.resize(len(state["bias"]), n_source)
    network.load_state_dict(state)
    return network.to(device)


def encode(model: Model, docs: list[Doc]) -> tuple[Callable, State, list[list[str]]]:
    """Read docs, for a decoder to go on.

    docs: Their words are the symbols of the sources and END_SYMBOL.
    RETURNS: A step and a state as decoders take them; for each doc the words that stand for the
        numbers from the size of the vocabulary on.
    """
    network = model.get_ref("network").shims[0]._model
    network.eval()  # and so it stays; thinc sets it to train at each update
    with torch.inference_mode():
        X, _ = _embed(model, docs, is_train=False)
        tensors, outside = _numbers(model, docs, None)
        X = X if torch.is_tensor(X) else xp2torch(X, device=network.bias.device)
        state = network.encode(X, *tensors[:2])
    extra = max(map(len, outside), default=0)
    return partial(_step, network, extra=extra), state, outside


def _step(network: Network, symbols: Tensor, state: State, *, extra: int) -> tuple[Tensor, State]:
    with torch.inference_mode():
        return network.step(symbols, state, extra)


def _model(
    name: str,
    network: Network,
    include_static_vectors: bool,
    tok2vec: Model[list[Doc], list[Floats2d]] | None = None,
) -> Model:
    wrapped = PyTorchWrapper_v3(
        network,
        convert_inputs=_convert_inputs,
        serialize_model=serialize,
        deserialize_model=deserialize,
    )
    refs = {"network": wrapped, "tok2vec": tok2vec}
    attrs = {
        "source_symbols": [],
        "target_symbols": [],
        "include_static_vectors": include_static_vectors,
        "misses": {},
        "encode": encode,
    }
    layers = [wrapped] if tok2vec is None else [tok2vec, wrapped]
    return Model(name, _forward, init=_init, layers=layers, refs=refs, attrs=attrs)


def _init(model: Model, X: Inputs | None = None, Y: Floats2d | None = None) -> None:
    """Give the network its sizes; the vocabularies are in the attributes already."""
    tok2vec = model.maybe_get_ref("tok2vec")
    n_source = SPECIAL + len(model.attrs["source_symbols"])
    if tok2vec is not None:
        docs = X[0] if X else None
        tok2vec.initialize(X=docs)
        if not docs:
            return
        n_source = tok2vec.predict(docs)[0].shape[1]
    network = model.get_ref("network").shims[0]._model
    for layer in network.modules():
        if layer is not network and hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    network.resize(SPECIAL + len(model.attrs["target_symbols"]), n_source)
    if model.attrs["include_static_vectors"] and X:
        tables = {"target": network.embedding, "source": getattr(network, "read", None)}
        model.attrs["misses"] = {
            side: start_from_vectors(table, model.attrs[f"{side}_symbols"], X[0][0].vocab)
            for side, table in tables.items()
            if table is not None
        }


def start_from_vectors(table: nn.Embedding, symbols: list[str], vocab: Vocab) -> dict[str, Any]:
    """Start rows of an embedding from the directions of the vectors of their words.

    A symbol's word is its first run of word characters, else its last character; if the word has no
    vector, its lower case may have. Floret vectors have one for every word that is not empty.

    RETURNS: words and missing, as numbers, and the first missing ones, which are the commonest.
    RAISES ValueError: There are no vectors, or their width is another.
    """
    width = vocab.vectors_length
    if width != table.embedding_dim:
        found = f"vectors of width {width}" if width else "no vectors"
        raise ValueError(
            f"include_static_vectors is true, embed_width is {table.embedding_dim}, and there are "
            f"{found}. Expected initialize.vectors (--paths.vectors) of that width."
        )
    missing = []
    for row, symbol in enumerate(symbols, start=SPECIAL):
        match = WORD.search(symbol)
        word = match[0] if match else symbol[-1]
        tried = (vocab.get_vector(form) for form in (word, word.lower()))
        vector = next((torch.tensor(to_numpy(v)) for v in tried if v.any()), None)
        if vector is None:
            missing.append(symbol)
        else:
            table.weight.data[row] = vector * (START_STD * width**0.5 / vector.norm())
    return {"words": len(symbols), "missing": len(missing), "first": missing[:MISSES]}


def _forward(model: Model, X: Inputs, is_train: bool) -> tuple[Floats2d, Callable]:
    docs, targets, forcing, smooth = X
    embedded, backprop_embed = _embed(model, docs, is_train)
    tensors, outside = _numbers(model, docs, targets)
    extra = max(map(len, outside), default=0)
    Y, backprop = model.get_ref("network")((embedded, *tensors, extra, forcing, smooth), is_train)

    def finish(dY: Floats2d) -> list[Doc]:
        backprop_embed(backprop(dY))
        return []

    return Y, finish


def _embed(model: Model, docs: list[Doc], is_train: bool) -> tuple[Tensor | Floats2d, Callable]:
    """Return vectors [tokens, width] or numbers [tokens] of the sources, and what takes dX."""
    tok2vec = model.maybe_get_ref("tok2vec")
    if tok2vec is None:
        row_of = _rows_of(model.attrs["source_symbols"])
        rows = [row_of.get(symbol, UNKNOWN) for doc in docs for symbol in symbols_of(doc)]
        device = model.get_ref("network").shims[0].device
        return torch.tensor(rows, device=device), lambda dX: None
    vectors, backprop = tok2vec(docs, is_train)
    lengths = [len(doc) for doc in docs]
    X = model.ops.flatten(vectors)
    return X, lambda dX: backprop(model.ops.unflatten(dX, lengths))


def symbols_of(doc: Doc) -> list[str]:
    """Return the symbols of a source, as the component left them in the doc."""
    return doc.user_data["symbols"]


def _rows_of(symbols: list[str]) -> dict[str, int]:
    return {END_SYMBOL: END} | {symbol: row for row, symbol in enumerate(symbols, SPECIAL)}


def _numbers(
    model: Model, docs: list[Doc], targets: list[list[str]] | None
) -> tuple[list[Tensor], list[list[str]]]:
    """Return lengths, copies, and gold if there are targets; and the words outside of each doc."""
    row_of = _rows_of(model.attrs["target_symbols"])
    size = SPECIAL + len(model.attrs["target_symbols"])
    device = model.get_ref("network").shims[0].device
    copies, gold, outside = [], [], []
    for number, doc in enumerate(docs):
        symbols = symbols_of(doc)
        new = dict.fromkeys(symbol for symbol in symbols if symbol not in row_of)
        place = {symbol: size + i for i, symbol in enumerate(new)}
        outside.append(list(new))
        copies.append(torch.tensor([row_of.get(s) or place[s] for s in symbols]))
        if targets is not None:
            rows = [row_of.get(s) or place.get(s, UNKNOWN) for s in targets[number]]
            gold.append(torch.tensor([*rows, END]))
    lengths = torch.tensor([len(doc) for doc in docs])
    padded = [pad_sequence(x, batch_first=True) for x in (copies, gold) if x]
    return [tensor.to(device) for tensor in (lengths, *padded)], outside


def _convert_inputs(model: Model, X: tuple, is_train: bool) -> tuple[ArgsKwargs, Callable]:
    first, *rest = X
    if not torch.is_tensor(first):
        first = xp2torch(first, requires_grad=is_train, device=model.shims[0].device)

    def backprop(found: ArgsKwargs) -> Floats2d | None:
        return None if found.args[0] is None else torch2xp(found.args[0])

    return ArgsKwargs(args=(first, *rest), kwargs={}), backprop


def _pack(X: Tensor, lengths: Tensor) -> PackedSequence:
    """Pack texts, so that there is no padding which a direction could start from."""
    return pack_sequence(X.split(lengths.tolist()), enforce_sorted=False)


def _at(X: Tensor, places: Tensor) -> Tensor:
    """Return the vectors [docs, n, width] that X [docs, tokens, width] has at places [docs, n]."""
    return X.gather(1, places.unsqueeze(2).expand(-1, -1, X.shape[2]))


def _writable(scores: Tensor) -> Tensor:
    """Take the probability from what is no symbol, in place; return the scores."""
    scores[:, [PAD, BEGIN, UNKNOWN]] = -torch.inf
    return scores


def _fresh(rows: int, width: int, device: torch.device) -> nn.Embedding:
    """Return an embedding near zero, so that rare symbols are quiet until they have learned."""
    weights = torch.empty(rows, width).normal_(std=START_STD)
    return nn.Embedding.from_pretrained(weights, freeze=False, padding_idx=PAD).to(device)


def _check(sizes: dict[str, int], rates: tuple[float, ...]) -> None:
    if min(sizes.values()) < 1 or not all(0 <= rate < 1 for rate in rates):
        raise ValueError(
            f"{', '.join(f'{k} {v}' for k, v in sizes.items())}, dropout {rates}. "
            "Expected sizes of 1 or more and rates from 0 to below 1."
        )
