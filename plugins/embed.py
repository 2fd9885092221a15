"""Embedding of tokens by hashed attributes and by the hashed character n-grams of their norm."""

from collections.abc import Callable
from functools import lru_cache

from spacy.ml.featureextractor import FeatureExtractor
from spacy.strings import hash_string
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import (
    HashEmbed,
    Maxout,
    Model,
    chain,
    concatenate,
    list2ragged,
    ragged2list,
    reduce_mean,
    with_array,
)
from thinc.types import Floats2d, Ragged


@registry.architectures("goemotions.NgramHashEmbed.v1")
def build_ngram_hash_embed(
    width: int,
    attrs: list[str],
    rows: list[int],
    ngram_rows: int,
    min_n: int = 3,
    max_n: int = 5,
) -> Model[list[Doc], list[Floats2d]]:
    """Build spaCy's MultiHashEmbed with one more feature: the mean of character n-grams.

    Words that were rare or misspelt in training share n-grams with ones that were not.

    width: Of the vectors that come out, and of each embedding.
    attrs: Lexical attributes to embed, e.g. NORM, SHAPE.
    rows: Rows of the hash table of each attribute.
    ngram_rows: Rows of the hash table of the n-grams.
    min_n, max_n (characters, 1 to 20): Lengths of the n-grams of <norm>, the brackets included.
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
    return chain(
        concatenate(
            chain(FeatureExtractor(attrs), list2ragged(), with_array(concatenate(*tables))),
            with_ngrams(chain(with_array(ngrams), reduce_mean()), min_n, max_n),
        ),
        with_array(Maxout(width, width * (len(rows) + 1), nP=3, dropout=0.0, normalize=True)),
        ragged2list(),
    )


def with_ngrams(inner: Model[Ragged, Floats2d], min_n: int, max_n: int) -> Model[list[Doc], Ragged]:
    """Apply a model of n-grams to every distinct word of a batch once.

    inner: From ids of n-grams, ragged by word, to a vector per word.
    RETURNS ([tokens, width], ragged by doc): The vector of each token's norm.
    """
    attrs = {"min_n": min_n, "max_n": max_n}
    return Model("with_ngrams", _forward, init=_init, layers=[inner], attrs=attrs)


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
