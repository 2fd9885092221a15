"""Language modelling with faster approximate outputs: from predicted vectors back to words."""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch, registry
from spacy.vectors import Mode
from spacy.vocab import Vocab
from thinc.api import Linear, Maxout, Model, chain, with_array
from thinc.types import Floats2d, Ints2d
from thinc.util import to_numpy


@registry.architectures("goemotions.VectorPredictor.v1")
def build_vector_predictor(
    tok2vec: Model[list[Doc], list[Floats2d]],
    width: int,
    hidden_size: int,
    maxout_pieces: int,
) -> Model[list[Doc], list[Floats2d]]:
    """Build an encoder with the output layer of goemotions.PretrainLMAO.v1, for factory `tok2vec`.

    width: Of the vectors to predict.
    hidden_size, maxout_pieces: As in the objective.
    RETURNS ([docs, tokens, width]): Predicted vectors; factory tok2vec puts them into doc.tensor.
    """
    size = tok2vec.get_dim("nO")
    head: Model = Linear(width, hidden_size or size)
    if hidden_size:
        hidden = Maxout(hidden_size, size, maxout_pieces, normalize=True, dropout=0.0)
        head = chain(hidden, head)
    model = chain(tok2vec, with_array(head))
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", head)
    return model


def make_lmfao(
    nlp: Language, name: str, k: int, index: Literal["hnsw", "exact"], links: int, effort: int
) -> "NearestWords":
    """Make a component that names the words whose vectors are nearest to the rows of doc.tensor.

    k: Words per token.
    index: hnsw searches a graph of neighbours, exact compares with every vector.
    links: Neighbours of a vector in the graph; more find better and take memory.
    effort: Vectors to look at per search, at least k; more find better and take time.
    """
    return NearestWords(nlp.vocab, name, k=k, index=index, links=links, effort=effort)


try:
    Language.factory(
        "lmfao",
        assigns=["doc._.nearest_words"],
        requires=["doc.tensor"],
        default_config={"k": 1, "index": "hnsw", "links": 32, "effort": 32},
        func=make_lmfao,
    )
except ValueError as error:
    # Another wheel of this project brought it; spaCy refuses it from a second file.
    if "E004" not in str(error):
        raise


class NearestWords(Pipe):
    """Set doc._.nearest_words: for each token k pairs of word and cosine, the nearest first.

    The index is made of the pipeline's vectors when it is first needed, and is not saved.
    """

    def __init__(
        self,
        vocab: Vocab,
        name: str = "lmfao",
        *,
        k: int = 1,
        index: Literal["hnsw", "exact"] = "hnsw",
        links: int = 32,
        effort: int = 32,
    ):
        """Take what make_lmfao was given.

        RAISES ValueError: A number out of range.
        """
        if k < 1 or links < 2 or effort < k:
            raise ValueError(f"k {k}, links {links}, effort {effort}. Expected 1, 2 and k or more.")
        self.vocab, self.name = vocab, name
        self.k, self.kind, self.links, self.effort = k, index, links, effort
        self._index, self._words = None, numpy.zeros(0, "uint64")
        if not Doc.has_extension("nearest_words"):
            Doc.set_extension("nearest_words", default=None)

    def __call__(self, doc: Doc) -> Doc:
        """Name the nearest words of a doc's tokens."""
        return next(self.pipe(iter([doc])))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Name the nearest words of the tokens of many docs, a batch of docs per search."""
        for batch in minibatch(stream, batch_size):
            docs = list(batch)
            rows, scores = self.search(numpy.concatenate([self._tensor_of(doc) for doc in docs]))
            ends = numpy.cumsum([len(doc) for doc in docs])[:-1]
            parts = zip(docs, numpy.split(rows, ends), numpy.split(scores, ends), strict=True)
            for doc, numbers, cosines in parts:
                words = [[self.vocab.strings[w] for w in self._words[row]] for row in numbers]
                pairs = zip(words, cosines.tolist(), strict=True)
                doc._.nearest_words = [list(zip(*pair, strict=True)) for pair in pairs]
                yield doc

    def search(self, tensor: Floats2d) -> tuple[Ints2d, Floats2d]:
        """Return the numbers of the k nearest words of each row, and their cosines.

        RETURNS ([rows, k], [rows, k]): Numbers count the words that have vectors.
        """
        if self._index is None:
            self._index, self._words = self._build()
        length = numpy.linalg.norm(tensor, axis=1, keepdims=True) + 1e-12
        cosines, numbers = self._index.search(tensor / length, self.k)
        return numbers, cosines

    def initialize(
        self, get_examples: Iterable[Example] | None = None, *, nlp: Language | None = None
    ) -> None:
        """Forget an index of other vectors."""
        self._index = None

    def _tensor_of(self, doc: Doc) -> Floats2d:
        width = self.vocab.vectors.shape[1]
        tensor = to_numpy(doc.tensor).astype("float32")
        if not len(doc):
            return numpy.zeros((0, width), "float32")
        if tensor.shape != (len(doc), width):
            raise ValueError(
                f"{self.name}: doc.tensor has shape {tensor.shape}. Expected {(len(doc), width)}: "
                "a component before it that predicts vectors, goemotions.VectorPredictor.v1."
            )
        return tensor

    def _build(self) -> tuple:
        import faiss

        vectors = self.vocab.vectors
        if vectors.mode != Mode.default or not vectors.n_keys:
            raise ValueError(
                f"{self.name}: {vectors.mode} vectors with {max(vectors.n_keys, 0)} words. "
                "Expected vectors with a row for each word; floret's have none."
            )
        first: dict[int, int] = {}  # several words can share a row; the first is named
        for key, row in vectors.key2row.items():
            first.setdefault(row, key)
        V = to_numpy(vectors.data)[list(first)].astype("float32")
        length = numpy.linalg.norm(V, axis=1, keepdims=True)
        known = length[:, 0] > 0
        V = V[known] / length[known]
        words = numpy.array(list(first.values()), "uint64")[known]
        index = faiss.IndexFlatIP(V.shape[1])
        if self.kind == "hnsw":
            index = faiss.IndexHNSWFlat(V.shape[1], self.links, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efSearch = self.effort
        index.add(V)
        if self.k > len(words):
            raise ValueError(f"{self.name}: k {self.k}. Expected at most {len(words)}, the words.")
        return index, words
