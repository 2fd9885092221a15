"""Text classifier in PyTorch: word embeddings, a bidirectional LSTM, two pools, a linear layer."""

from collections.abc import Callable
from functools import partial

import torch
from safetensors import torch as safetensors
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Linear, Model, PyTorchWrapper_v3, chain, resizable, to_numpy
from thinc.layers.resizable import resize_linear_weighted, resize_model
from thinc.types import ArgsKwargs, Floats2d
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

UNKNOWN = 0  # row of the embedding; the words follow
KNOWN_STD = 0.3  # of the numbers in a pretrained vector; a longer one would saturate the LSTM


@registry.architectures("mine.PyTorchBiLSTMTextcat.v1")
def build_torch_bilstm_textcat(
    output_layer: Model[Floats2d, Floats2d],
    lstm_width: int,
    embed_width: int,
    depth: int,
    dropout: float,
    include_static_vectors: bool = False,
    n_labels: int | None = None,
) -> Model[list[Doc], Floats2d]:
    """Build a multilabel classifier whose inner part is a PyTorch module.

    The words are those in model.attrs["vocabulary"], norm -> row from 1, which
    goemotions.init_vocab.v1 fills before initialize(). They are saved with the weights.

    output_layer: Turns logits into scores and decides the loss, e.g. goemotions.CrossEntropy.v1.
    lstm_width: Of each direction; a token leaves with twice that, a text with four times.
    embed_width: Of the word embedding.
    depth (layers): Of the LSTM.
    dropout (0 to 1): Rate while training, after the embedding, between the layers of the LSTM and
        before the linear layer. spaCy's training.dropout does not reach PyTorch.
    include_static_vectors: Start known words from the directions of nlp.vocab.vectors; training
        changes them.
    n_labels: Refuse data with another number of labels; inferred from the data when None.
    RETURNS ([docs, labels]): Scores in 0 to 1. A text without tokens scores 0 on every label,
        whatever else is in the batch, and teaches nothing.
    RAISES ValueError: A size below 1 or a dropout outside its range; at initialize() no
        vocabulary, vectors of another width, another number of labels.
    """
    if min(lstm_width, embed_width, depth) < 1 or not 0 <= dropout < 1:
        raise ValueError(
            f"lstm_width {lstm_width}, embed_width {embed_width}, depth {depth}, dropout {dropout}."
            " Expected sizes of 1 or more and a dropout from 0 to below 1."
        )
    encoder = PyTorchWrapper_v3(
        BiLSTM(lstm_width, embed_width, depth, dropout),
        convert_inputs=_convert_inputs,
        serialize_model=serialize,
        deserialize_model=deserialize,
    )
    linear: Model[Floats2d, Floats2d] = resizable(
        Linear(nO=n_labels, nI=4 * lstm_width),
        resize_layer=partial(resize_linear_weighted, fill_defaults={"b": 0, "W": 0}),
    )
    return Model(
        "bilstm_textcat",
        _forward,
        init=_init,
        layers=[chain(encoder, linear, output_layer)],
        dims={"nO": n_labels},
        refs={"encoder": encoder, "linear": linear, "output_layer": linear.layers[0]},
        attrs={
            "vocabulary": {},
            "include_static_vectors": include_static_vectors,
            "n_labels": n_labels,
            "multi_label": True,
            "resize_output": _resize_output,
        },
    )


class BiLSTM(nn.Module):
    """Read the words of each text in both directions; return the mean and the max of the states."""

    def __init__(self, lstm_width: int, embed_width: int, depth: int, dropout: float):
        super().__init__()
        between = dropout if depth > 1 else 0.0
        self.lstm = nn.LSTM(embed_width, lstm_width, depth, dropout=between, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Embedding(1, embed_width)

    def resize(self, rows: int) -> None:
        """Start a new embedding; near zero, so that rare words are quiet until they have learned.

        rows: Of the embedding, the unknown word included.
        """
        weights = torch.empty(rows, self.embedding.embedding_dim)
        device = self.embedding.weight.device
        self.embedding = nn.Embedding.from_pretrained(weights.normal_(std=0.1), freeze=False)
        self.embedding.to(device)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return [docs, 4 * lstm_width].

        words ([tokens]): Rows of the embedding, text after text.
        lengths ([docs]): Words of each text, at least 1.
        """
        # Packed, so that there is no padding which the backward direction could start from.
        packed = pack_sequence(words.split(lengths.tolist()), enforce_sorted=False)
        X = self.dropout(self.embedding(packed.data))  # [tokens, embed_width]
        self.lstm.flatten_parameters()  # on a GPU; the optimizer scatters them
        Y, _ = self.lstm(PackedSequence(X, *packed[1:]))
        # Packed order: the first word of each text, longest text first, then the second of each.
        text = torch.cat([packed.sorted_indices[:size] for size in packed.batch_sizes.tolist()])
        zeros = Y.data.new_zeros(len(lengths), Y.data.shape[1])
        mean = zeros.index_add(0, text, Y.data) / lengths.unsqueeze(1)
        index = text.unsqueeze(1).expand_as(Y.data)
        top = zeros.scatter_reduce(0, index, Y.data, "amax", include_self=False)
        return self.dropout(torch.cat([mean, top], dim=1))


def serialize(network: BiLSTM) -> bytes:
    """Return the weights in the safetensors format."""
    return safetensors.save({k: v.cpu().contiguous() for k, v in network.state_dict().items()})


def deserialize(network: BiLSTM, data: bytes, device: torch.device) -> BiLSTM:
    """Load what `serialize` returned; the embedding takes the number of rows that it had."""
    state = safetensors.load(data)
    network.resize(len(state["embedding.weight"]))
    network.load_state_dict(state)
    return network.to(device)


def _convert_inputs(
    model: Model, X: tuple[list[int], list[int]], is_train: bool
) -> tuple[ArgsKwargs, Callable]:
    device = model.shims[0].device
    tensors = tuple(torch.tensor(values, device=device) for values in X)
    return ArgsKwargs(args=tensors, kwargs={}), lambda dX: []


def _init(model: Model, X: list[Doc] | None = None, Y: Floats2d | None = None) -> None:
    words, n_labels = list(model.attrs["vocabulary"]), model.attrs["n_labels"]
    if not words:
        raise ValueError(
            "mine.PyTorchBiLSTMTextcat.v1 has no vocabulary, and the sample of docs that "
            "initialize() sees is too small for one. Expected [initialize.before_init] with "
            '@callbacks = "goemotions.init_vocab.v1" in the config.'
        )
    if Y is not None and n_labels not in (None, Y.shape[1]):
        raise ValueError(f"n_labels {n_labels}, {Y.shape[1]} labels in the data. Expected as many.")
    network = model.get_ref("encoder").shims[0]._model
    network.lstm.reset_parameters()
    network.resize(len(words) + 1)
    if model.attrs["include_static_vectors"]:
        _start_from_vectors(network.embedding, words, X or [])
    if Y is not None:
        model.set_dim("nO", Y.shape[1])
        model.get_ref("output_layer").set_dim("nO", Y.shape[1])
    model.get_ref("linear").initialize()


def _start_from_vectors(embedding: nn.Embedding, words: list[str], docs: list[Doc]) -> None:
    width = docs[0].vocab.vectors_length if docs else 0
    if width != embedding.embedding_dim:
        found = f"vectors of width {width}" if width else "no vectors"
        raise ValueError(
            f"include_static_vectors is true, embed_width is {embedding.embedding_dim}, and there "
            f"are {found}. Expected initialize.vectors (--paths.vectors) of that width."
        )
    vocab = docs[0].vocab
    for row, word in enumerate(words, start=UNKNOWN + 1):
        vector = torch.tensor(to_numpy(vocab.get_vector(word)))  # zeros if it has none
        if vector.any():
            embedding.weight.data[row] = vector * (KNOWN_STD * width**0.5 / vector.norm())


def _forward(model: Model, docs: list[Doc], is_train: bool) -> tuple[Floats2d, Callable]:
    keep = [i for i, doc in enumerate(docs) if len(doc)]
    Y = model.ops.alloc2f(len(docs), model.get_dim("nO"))
    if not keep:
        return Y, lambda dY: []
    row_of = model.attrs["vocabulary"]
    words = [row_of.get(token.norm_, UNKNOWN) for i in keep for token in docs[i]]
    Y[keep], backprop_keep = model.layers[0]((words, [len(docs[i]) for i in keep]), is_train)

    def backprop(dY: Floats2d) -> list[Doc]:
        backprop_keep(dY[keep])
        return []

    return Y, backprop


def _resize_output(model: Model, new_nO: int) -> Model:
    n_labels = model.attrs["n_labels"]
    if n_labels is not None and new_nO > n_labels:
        raise ValueError(f"n_labels {n_labels}, label number {new_nO}. Expected n_labels = null.")
    if n_labels is None:
        resize_model(model.get_ref("linear"), new_nO)
        model.set_ref("output_layer", model.get_ref("linear").layers[0])
        model.set_dim("nO", new_nO, force=True)
    return model
