"""Callback that lets a pipeline's layers compute fast on a CPU: numpy's BLAS, each word once."""

from collections.abc import Callable
from threading import Lock

import numpy
from spacy.attrs import LENGTH, LOWER, NORM, ORTH, PREFIX, SHAPE, SUFFIX, intify_attr
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, NumpyOps
from thinc.types import Floats2d, Ints1d

WORDS = 16_000  # that are kept: 82 MB at a width of 128
ROWS = 1024  # of tokens that are convolved at once: they fit the caches of a processor
LAYERS = ["expand_window", "maxout", "layernorm", "dropout"]
# What embeds a token by its attributes alone.
BY_WORD = {"extract_features", "list2ragged", "ints-getitem", "hashembed", "reduce_mean"}
BY_WORD |= {"maxout", "layernorm", "dropout", "ragged2list"}
# What follows from a word and its norm; SPACY, TAG and the like belong to the token.
OF_WORDS = {ORTH, NORM, LOWER, SHAPE, PREFIX, SUFFIX, LENGTH}
# Odd numbers whose products with hashes, added up modulo 2**64, tell words apart.
MIX = numpy.array(
    [pow(0x9E3779B97F4A7C15, i + 1, 2**64) for i in range(len(OF_WORDS))], dtype="uint64"
)


@registry.callbacks("goemotions.numpy_blas.v1")
def create_numpy_blas() -> Callable[[Language], Language]:
    """Create a callback for `[nlp.after_pipeline_creation]` that switches the layers on the CPU.

    thinc multiplies with BLIS, whose kernels for many of today's processors are generic ones. The
    OpenBLAS that numpy brings made training of configs/cnn.cfg twice as fast where this was
    written (benchmarks/training.py, metrics/goemotions/benchmark_training.json).
    spaCy's Tok2Vec with a MaxoutWindowEncoder predicts faster, too, see predicting_by_word.
    Layers on a GPU, or on a Mac's Accelerate, stay as they are. Scores differ by rounding only.

    RETURNS: A function that changes the pipeline in place and returns it.
    """

    def use_numpy_blas(nlp: Language) -> Language:
        ops = NumpyOps(use_blis=False)
        for _, component in nlp.pipeline:
            for layer in component.model.walk() if hasattr(component, "model") else ():
                if type(layer.ops) is NumpyOps:
                    layer.ops = ops
                    if len(layer.layers) == 2 and layer.has_ref("encode"):
                        predicting_by_word(layer)
        return nlp

    return use_numpy_blas


def predicting_by_word(tok2vec: Model[list[Doc], list[Floats2d]]) -> None:
    """Let a Tok2Vec embed each word once, and convolve no more padding than is seen.

    Vectors of words, and what the first layer makes of them, are kept for later batches, WORDS at
    most, and forgotten when a weight is replaced. From its first update on the layer works as
    before, since updates change weights where they lie: so training, and what is predicted in it,
    stays what it was.
    Encoders other than spaCy's MaxoutWindowEncoder stay as they are. Threads may share the layer.

    tok2vec: Chain of two, an embedding and an encoder, as spaCy.Tok2Vec.v2 makes it.
    """
    if not _maxout_layers(tok2vec.layers[1]):
        return
    plain, lock, kept, updated = tok2vec._func, Lock(), Kept([], []), False

    def forward(model: Model, docs: list[Doc], is_train: bool) -> tuple[list[Floats2d], Callable]:
        nonlocal kept, updated
        updated = updated or is_train
        if updated or not any(len(doc) for doc in docs):
            return plain(model, docs, is_train)
        embed, encode = model.layers
        with lock:
            weights = [node.get_param(name) for node in model.walk() for name in node.param_names]
            if not kept.is_of(weights):
                kept = Kept(weights, _maxout_layers(encode))
            table, index = kept.look_up(embed, docs)
            layers = kept.layers
        lengths = numpy.array([len(doc) for doc in docs])
        Y = _convolve(table, index, lengths, layers)
        return numpy.split(Y, numpy.cumsum(lengths)[:-1]), lambda dY: []

    tok2vec._func = forward


class Kept:
    """What was worked out from some weights: rows of words, and the encoder's in our order."""

    def __init__(self, weights: list[Floats2d], layers: list[list[Model]]) -> None:
        self.weights = weights
        self.layers = [_by_piece(*nodes) for nodes in layers]
        self.rows: dict[int, int] = {}  # of each word in the table; the first row is padding's
        self.table = numpy.zeros((0, 0), dtype="f")

    def is_of(self, weights: list[Floats2d]) -> bool:
        """Say whether these are the very arrays it was worked out from."""
        if len(self.weights) != len(weights):
            return False
        return all(old is new for old, new in zip(self.weights, weights, strict=True))

    def look_up(self, embed: Model, docs: list[Doc]) -> tuple[Floats2d, Ints1d]:
        """Return a table whose first row is padding's, and the row of each token in it.

        Rows are as _with_first makes them, or vectors alone where there is one for each token.
        """
        columns = _columns(embed)
        if not columns:
            vectors = numpy.concatenate([X for X in embed.predict(docs) if len(X)])
            vectors = numpy.concatenate([numpy.zeros_like(vectors[:1]), vectors])
            return vectors, numpy.arange(1, len(vectors))
        keys = _keys(docs, columns)
        words, first, index = numpy.unique(keys, return_index=True, return_inverse=True)
        if len(words) >= WORDS:
            (vectors,) = embed.predict([_words(docs, first)])
            vectors = numpy.concatenate([numpy.zeros_like(vectors[:1]), vectors])
            return _with_first(vectors, self.layers), index + 1
        words = words.tolist()
        new = [i for i, word in enumerate(words) if word not in self.rows]
        if len(self.rows) + len(new) >= WORDS:
            # Batches of other threads still read the old table.
            self.rows, self.table, new = {}, numpy.zeros((0, 0), dtype="f"), [*range(len(words))]
        if new:
            (vectors,) = embed.predict([_words(docs, first[new])])
            found = _with_first(vectors, self.layers)
            if not len(self.table):
                self.table = numpy.zeros((WORDS, found.shape[1]), dtype="f")
            start = len(self.rows) + 1
            self.table[start : start + len(new)] = found
            self.rows.update((words[i], start + row) for row, i in enumerate(new))
        return self.table, numpy.array([self.rows[word] for word in words])[index]


def _with_first(vectors: Floats2d, layers: list[tuple]) -> Floats2d:
    """Return vectors, and their products with the first layer's weights of each place in a window.

    vectors ([words, width]): Of words, or of tokens.
    RETURNS ([words, width + places * pieces * width]): The vectors first.
    """
    return numpy.concatenate([vectors, *(vectors @ W for W in layers[0][0])], axis=1)


def _columns(embed: Model) -> list[str | int]:
    """Return the attributes that a token's vector depends on; none if on others, too."""
    nodes = list(embed.walk())
    if not {node.name for node in nodes if not node.layers} <= BY_WORD:
        return []
    columns = {NORM} if any(node.name == "with_ngrams" for node in nodes) else set()
    for node in nodes:
        columns |= {intify_attr(name) for name in node.attrs.get("columns", [])}
    return sorted(columns) if columns <= OF_WORDS else []


def _keys(docs: list[Doc], columns: list[int]) -> Ints1d:
    """Return a 64-bit key per token; tokens with the same values have the same."""
    found = numpy.concatenate(
        [doc.to_array(columns).reshape(len(doc), len(columns)) for doc in docs]
    )
    return (found.astype("uint64") * MIX[: len(columns)]).sum(axis=1, dtype="uint64")


def _words(docs: list[Doc], places: Ints1d) -> Doc:
    """Return a doc of the tokens at some places of all docs in a row, with the norms they have."""
    starts = numpy.cumsum([0, *(len(doc) for doc in docs)])
    numbers = numpy.searchsorted(starts, places, side="right") - 1
    pairs = zip(numbers.tolist(), (places - starts[numbers]).tolist(), strict=True)
    tokens = [docs[number][i] for number, i in pairs]
    doc = Doc(docs[0].vocab, words=[token.text for token in tokens], spaces=[False] * len(tokens))
    # Those of tokenizer exceptions are not the ones of the words: n't is "not".
    return doc.from_array([NORM], numpy.array([[token.norm] for token in tokens], dtype="uint64"))


def _maxout_layers(encode: Model) -> list[list[Model]]:
    """Return window, maxout and norm of each layer of a MaxoutWindowEncoder; none of others."""
    inner = encode.layers[0] if encode.name.startswith("with_array") else encode
    blocks = inner.layers if len(inner.layers) > 1 else [inner]
    found = [[x for x in block.walk(order="dfs_pre") if not x.layers] for block in blocks]
    fits = all(block.name.startswith("residual") for block in blocks) and all(
        [node.name for node in nodes] == LAYERS for nodes in found
    )
    return [nodes[:3] for nodes in found] if fits and "pad" in encode.attrs else []


def _by_piece(window: Model, maxout: Model, norm: Model) -> tuple:
    """Return weights [words of a window, width, pieces * width], bias, pieces, gain, shift."""
    W, b = maxout.get_param("W"), maxout.get_param("b")
    nO, nP, _ = W.shape
    seen = 2 * window.attrs["window_size"] + 1
    W = W.transpose(2, 1, 0).reshape(seen, -1, nP * nO)
    return W.copy(), b.T.reshape(-1), nP, norm.get_param("G"), norm.get_param("b")


def _convolve(table: Floats2d, index: Ints1d, lengths: Ints1d, layers: list[tuple]) -> Floats2d:
    """Encode tokens as residual layers of maxout over windows do.

    table ([words, ...]): As Kept.look_up makes them; the first row is zeros, for padding.
    index ([tokens]): The row of each token in the table.
    RETURNS ([tokens, width]): Without the padding between docs, which is zeros for the first layer.
    """
    pad = sum(len(W) // 2 for W, *_ in layers)
    lengths = lengths[lengths > 0]
    doc = numpy.repeat(numpy.arange(len(lengths)), lengths)
    places = numpy.arange(len(index)) + (doc + 1) * pad  # of the tokens, padding between
    needed = [numpy.zeros(len(index) + (len(lengths) + 1) * pad, dtype=bool)]
    needed[0][places] = True
    for W, *_ in layers[:0:-1]:
        needed.append(_widened(needed[-1], len(W) // 2))
    word = numpy.zeros(len(needed[0]), dtype=int)
    word[places] = index
    width = layers[0][0].shape[1]
    X = table[:, :width][word]
    for number, (layer, mask) in enumerate(zip(layers, needed[::-1], strict=True)):
        W, rows, Y = layer[0], numpy.flatnonzero(mask), numpy.zeros_like(X)
        around = numpy.arange(len(W)) - len(W) // 2
        for some in numpy.split(rows, range(ROWS, len(rows), ROWS)):
            if number == 0 and table.shape[1] > width:
                first = numpy.split(table[:, width:], len(W), axis=1)
                H = sum(P[word[some + i]] for P, i in zip(first, around, strict=True))
            else:
                windows = X[some[:, None] + around]
                H = windows.reshape(len(some), -1) @ W.reshape(-1, W.shape[2])
            Y[some] = _normalized(H, *layer[1:]) + X[some]
        X = Y
    return X[places]


def _widened(mask: numpy.ndarray, by: int) -> numpy.ndarray:
    padded = numpy.pad(mask, by)
    return numpy.any([padded[i : i + len(mask)] for i in range(2 * by + 1)], axis=0)


def _normalized(H: Floats2d, b: Floats2d, pieces: int, G: Floats2d, shift: Floats2d) -> Floats2d:
    """Return the most of the pieces, then layer normalization, as thinc computes them."""
    H += b
    width = H.shape[1] // pieces
    Y = H[:, :width].copy()
    for piece in range(1, pieces):
        numpy.maximum(Y, H[:, piece * width : (piece + 1) * width], out=Y)
    Y -= Y.mean(axis=1, keepdims=True)
    variance = numpy.einsum("ij,ij->i", Y, Y)[:, None] / width + 1e-8
    Y *= variance ** numpy.float32(-0.5)
    Y *= G
    Y += shift
    return Y
