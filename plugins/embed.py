"""Embedding of tokens by hashed attributes, hashed character n-grams and pretrained vectors."""

from collections.abc import Callable
from functools import lru_cache

import numpy
from spacy.ml.featureextractor import FeatureExtractor
from spacy.strings import hash_string
from spacy.tokens import Doc
from spacy.util import registry
from spacy.vectors import Mode, Vectors
from thinc.api import (
    HashEmbed,
    Maxout,
    Model,
    chain,
    concatenate,
    glorot_uniform_init,
    list2ragged,
    ragged2list,
    reduce_mean,
    with_array,
)
from thinc.types import Floats2d, Ints1d, Ragged


@registry.architectures("goemotions.NgramHashEmbed.v1")
def build_ngram_hash_embed(
    width: int,
    attrs: list[str],
    rows: list[int],
    ngram_rows: int,
    min_n: int = 3,
    max_n: int = 5,
    include_static_vectors: bool = False,
) -> Model[list[Doc], list[Floats2d]]:
    """Build spaCy's MultiHashEmbed with one more feature: the mean of character n-grams.

    Words that were rare or misspelt in training share n-grams with ones that were not.

    width: Of the vectors that come out, and of each embedding.
    attrs: Lexical attributes to embed, e.g. NORM, SHAPE.
    rows: Rows of the hash table of each attribute.
    ngram_rows: Rows of the hash table of the n-grams.
    min_n, max_n (characters, 1 to 20): Lengths of the n-grams of <norm>, the brackets included.
    include_static_vectors: Embed the pipeline's vectors as well, see static_vectors.
    RETURNS ([tokens, width] per doc): A vector per token.
    RAISES ValueError: attrs and rows differ in length, or min_n and max_n are no range.
    SOURCE: Bojanowski et al. 2017, Enriching Word Vectors with Subword Information,
        arXiv 1607.04606.
    """
    if len(attrs) != len(rows) or not attrs:
        raise ValueError(f"{len(attrs)} attrs, {len(rows)} rows. Expected as many, at least one.")
    if not 1 <= min_n <= max_n <= 20:
        raise ValueError(f"min_n {min_n}, max_n {max_n}. Expected 1 <= min_n <= max_n <= 20.")
    tables = [
        HashEmbed(width, row, column=column, seed=8 + column, dropout=0.0)
        for column, row in enumerate(rows)
    ]
    ngrams = HashEmbed(width, ngram_rows, seed=7, dropout=0.0)
    features = [
        chain(FeatureExtractor(attrs), list2ragged(), with_array(concatenate(*tables))),
        with_ngrams(chain(with_array(ngrams), reduce_mean()), min_n, max_n),
    ]
    if include_static_vectors:
        features.append(static_vectors(width))
    embeddings = len(rows) + len(features) - 1
    return chain(
        concatenate(*features),
        with_array(Maxout(width, width * embeddings, nP=3, dropout=0.0, normalize=True)),
        ragged2list(),
    )


def with_ngrams(inner: Model[Ragged, Floats2d], min_n: int, max_n: int) -> Model[list[Doc], Ragged]:
    """Apply a model of n-grams to every distinct word of a batch once.

    inner: From ids of n-grams, ragged by word, to a vector per word.
    RETURNS ([tokens, width], ragged by doc): The vector of each token's norm.
    """
    attrs = {"min_n": min_n, "max_n": max_n}
    return Model("with_ngrams", _forward, init=_init, layers=[inner], attrs=attrs)


def static_vectors(width: int) -> Model[list[Doc], Ragged]:
    """Project the directions of the pipeline's vectors, which stay as they are, to a width.

    Unlike spaCy's layer of this name it scales vectors to length 1, since those of en_core_web_md
    are 69 long and drown the other embeddings; and words without a vector, which come out as
    zeros, teach it nothing, where spaCy's takes them for the last row of the table.

    RETURNS ([tokens, width], ragged by doc): A vector per token.
    RAISES ValueError: The pipeline has no vectors, or none of the width learned in training.
    """
    return Model(
        "static_vectors",
        _forward_vectors,
        init=_init_vectors,
        params={"W": None},
        dims={"nO": width, "nM": None},
        attrs={"dropout_rate": 0.0},  # of whole dimensions, as in HashEmbed
    )


@lru_cache(maxsize=100_000)
def ngrams_of(word: str, min_n: int, max_n: int) -> tuple[int, ...]:
    """Return the 64-bit hashes of the n-grams of <word>; of all of it if it is shorter."""
    text = f"<{word}>"
    found = (
        text[start : start + n]
        for n in range(min_n, max_n + 1)
        for start in range(len(text) - n + 1)
    )
    return tuple(hash_string(ngram) for ngram in found) or (hash_string(text),)


def _init(model: Model, X: list[Doc] | None = None, Y: Ragged | None = None) -> None:
    model.layers[0].initialize()


def _forward(model: Model, docs: list[Doc], is_train: bool) -> tuple[Ragged, Callable]:
    ops, inner = model.ops, model.layers[0]
    number: dict[str, int] = {}  # of each distinct word
    index = [number.setdefault(token.norm_, len(number)) for doc in docs for token in doc]
    lengths = ops.asarray1i([len(doc) for doc in docs])
    ids = [ngrams_of(word, model.attrs["min_n"], model.attrs["max_n"]) for word in number]
    words = Ragged(
        ops.xp.asarray([i for found in ids for i in found], dtype="uint64"),
        ops.asarray1i([len(found) for found in ids]),
    )
    vectors, backprop_words = inner(words, is_train)  # [words, width]
    index = ops.asarray1i(index)

    def backprop(dY: Ragged) -> list[Doc]:
        d_vectors = ops.alloc2f(*vectors.shape)
        ops.scatter_add(d_vectors, index, dY.dataXd)
        backprop_words(d_vectors)
        return []

    return Ragged(vectors[index], lengths), backprop


def _init_vectors(model: Model, X: list[Doc] | None = None, Y: Ragged | None = None) -> None:
    if not X:
        raise ValueError("No text with tokens in the data: its vectors tell their width.")
    _check_vectors(X[0])
    model.set_dim("nM", X[0].vocab.vectors.shape[1])
    W = glorot_uniform_init(model.ops, (model.get_dim("nO"), model.get_dim("nM")))
    model.set_param("W", W)


def _forward_vectors(model: Model, docs: list[Doc], is_train: bool) -> tuple[Ragged, Callable]:
    ops, W = model.ops, model.get_param("W")
    lengths = ops.asarray1i([len(doc) for doc in docs])
    if not lengths.sum():
        return Ragged(ops.alloc2f(0, W.shape[0]), lengths), lambda dY: []
    _check_vectors(docs[0], W.shape[1])
    vectors = docs[0].vocab.vectors
    found = numpy.concatenate([doc.to_array(vectors.attr) for doc in docs])
    keys, index = numpy.unique(found, return_inverse=True)
    V = ops.asarray2f(_directions(vectors, keys))  # [words, nM], each word once
    index = ops.asarray1i(index)
    Y = ops.gemm(V, W, trans2=True)[index]
    rate = model.attrs["dropout_rate"] if is_train else 0.0
    mask = ops.get_dropout_mask((W.shape[0],), rate)

    def backprop(dY: Ragged) -> list[Doc]:
        d_words = ops.alloc2f(len(keys), W.shape[0])
        ops.scatter_add(d_words, index, dY.dataXd * mask)
        model.inc_grad("W", ops.gemm(d_words, V, trans1=True))
        return []

    return Ragged(Y * mask, lengths), backprop


def _directions(vectors: Vectors, keys: Ints1d) -> Floats2d:
    """Return the vectors of some words, at length 1; zeros for those that have none."""
    V = vectors.get_batch(keys)
    if vectors.mode == Mode.default:
        V[vectors.find(keys=keys) < 0] = 0
    lengths = (V * V).sum(axis=1, keepdims=True) ** 0.5
    return V / (lengths + 1e-12)


def _check_vectors(doc: Doc, width: int | None = None) -> None:
    vectors = doc.vocab.vectors
    if not vectors.size or (vectors.mode == Mode.default and not vectors.n_keys):
        raise ValueError(
            "include_static_vectors is true, but the pipeline has no vectors; "
            "pass --paths.vectors with a pipeline that has some."
        )
    if width is not None and vectors.shape[1] != width:
        raise ValueError(
            f"The pipeline's vectors have {vectors.shape[1]} dimensions. "
            f"Expected {width}, as in training."
        )
