"""Pretraining objective that predicts points of a vector space instead of words (LMAO)."""

from collections.abc import Callable
from typing import Literal

import numpy
import spacy
from spacy.attrs import NORM, ORTH, SPACY
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import registry
from spacy.vectors import Mode, Vectors
from spacy.vocab import Vocab
from thinc.api import Linear, Maxout, Model, Ops, chain, glorot_uniform_init, zero_init
from thinc.types import Floats2d, Ints1d, Ints2d, Ragged
from thinc.util import to_numpy

Target = Literal["word", "trigram", "head", "next_prev"]
Loss = Literal["L2", "cosine", "vmf"]
OFFSETS = {"word": (0,), "head": (0,), "trigram": (-1, 0, 1), "next_prev": (-1, 1)}
MASK = "[MASK]"
SEEN = [ORTH, NORM, SPACY]  # what the encoder reads of a token follows from these
POOL = 10_000  # tokens


@registry.architectures("goemotions.PretrainLMAO.v1")
def build_pretrain_lmao(
    hidden_size: int,
    maxout_pieces: int,
    target: Target = "word",
    loss: Loss = "cosine",
    mask_prob: float = 0.15,
    input_vectors_dropout: float = 0.0,
    random_words: Literal["corpus", "vocab"] = "corpus",
    parser: str = "en_core_web_sm",
) -> Callable[[Vocab, Model], Model]:
    """Create an objective for [pretraining]: guess the vectors of words hidden from the encoder.

    Of the words chosen, 80 % become [MASK], 10 % another word, 10 % stay, as in BERT.

    hidden_size, maxout_pieces: Of the layer between encoder and prediction, which is not saved;
        with a size of 0 there is none.
    target: Vector of the word itself; of it and its neighbours; of its neighbours alone; or of its
        syntactic head, which needs a pipeline with a parser.
    loss: Squared distance, its gradient (prediction - target) / words; 1 - cosine; or the negative
        log-likelihood of a von Mises-Fisher distribution. All see the direction of target only.
    mask_prob (0 to 1): Share of the words to hide and predict; 0 predicts every word and hides
        none, as the first experiments with this objective did.
    input_vectors_dropout (0 to 1): Share of the words whose static vector the encoder does not get;
        without a mask nothing else keeps it from copying.
    random_words: Take other words from the last ten thousand tokens, or from the pipeline's
        vocabulary, which is spaCy's way: a few hundred words such as "p.m.".
    parser: Folder or name of the pipeline that parses, for target = "head".
    RETURNS: A function of vocab and encoder that builds the model; its loss is per predicted word.
    RAISES ValueError: A share outside its range; then no vectors, no parser, nothing to drop.
    SOURCE: Kumar and Tsvetkov 2018, Von Mises-Fisher Loss for Training Sequence to Sequence Models
        with Continuous Outputs, arXiv 1812.04616; Devlin et al. 2018, BERT, arXiv 1810.04805.
    """
    if not (0 <= mask_prob <= 1 and 0 <= input_vectors_dropout < 1):
        raise ValueError(
            f"mask_prob {mask_prob}, input_vectors_dropout {input_vectors_dropout}. "
            "Expected shares from 0 to 1, and below 1."
        )

    def build(vocab: Vocab, tok2vec: Model) -> Model:
        vectors = _vectors_of(vocab)
        is_on = drop_vectors(tok2vec, input_vectors_dropout) if input_vectors_dropout else [False]
        nlp = load_parser(parser) if target == "head" else None
        sizes = tok2vec.get_dim("nO"), hidden_size, vectors.shape[1] * len(OFFSETS[target])
        # From zero, but cosine has no direction there.
        head = _head(*sizes, maxout_pieces, glorot_uniform_init if loss == "cosine" else zero_init)
        mask = Mask(mask_prob, None if random_words == "corpus" else vocab)

        def compare(ops: Ops, docs: list[Doc], prediction: Floats2d) -> tuple[float, Floats2d]:
            index = contexts(docs, mask.rows, target, nlp)
            return LOSSES[loss](ops, prediction, ops.asarray2f(targets(vectors, docs, index)))

        refs = {"tok2vec": tok2vec, "output_layer": head}
        attrs = {"mask": mask, "loss": compare, "vectors_dropout": is_on}
        return Model("lmao", _forward, init=_init, layers=[tok2vec, head], refs=refs, attrs=attrs)

    return build


def _vectors_of(vocab: Vocab) -> Vectors:
    vectors = vocab.vectors
    if not vectors.shape[1] or (vectors.mode == Mode.default and not vectors.n_keys):
        raise ValueError(
            "goemotions.PretrainLMAO.v1 predicts vectors, but the pipeline has none; "
            "pass --paths.vectors with a pipeline that has some."
        )
    return vectors


def _head(nI: int, hidden_size: int, nO: int, pieces: int, init_W: Callable) -> Model:
    head: Model = Linear(nO, hidden_size or nI, init_W=init_W)
    if not hidden_size:
        return head
    return chain(Maxout(hidden_size, nI, pieces, normalize=True, dropout=0.0), head)


class Mask:
    """Hide words from the encoder, and remember which."""

    def __init__(self, prob: float, vocab: Vocab | None):
        """Draw other words from a vocabulary, or from the tokens that came by if it is None."""
        self.prob = prob
        self.from_corpus = vocab is None
        self.pool = numpy.zeros((0, 2), "uint64")
        if vocab is not None:
            self.pool = numpy.array([(word.orth, word.norm) for word in vocab][:POOL], "uint64")
        self.rows = numpy.zeros(0, "int64")

    def __call__(self, docs: list[Doc]) -> list[Doc]:
        """Return docs with other words, and set `rows` to the tokens to predict, over all docs."""
        total = sum(len(doc) for doc in docs)
        self.rows = numpy.arange(total)
        if not self.prob or not total:
            return docs
        words = numpy.concatenate([doc.to_array(SEEN).reshape(-1, 3) for doc in docs])
        if self.from_corpus:
            self.pool = numpy.concatenate([self.pool, words[:, :2]])[-POOL:]
        chosen = numpy.random.random(total) < self.prob
        chosen[numpy.random.randint(total)] |= not chosen.any()
        self.rows = numpy.flatnonzero(chosen)
        roll = numpy.random.random((len(self.rows), 1))
        other = self.pool[numpy.random.randint(len(self.pool), size=len(self.rows))]
        strings = docs[0].vocab.strings
        hidden = numpy.array([strings.add(MASK), strings.add(MASK.lower())], "uint64")
        own = words[self.rows, :2]
        words[self.rows, :2] = numpy.where(roll < 0.8, hidden, numpy.where(roll < 0.9, other, own))
        ends = numpy.cumsum([len(doc) for doc in docs])[:-1]
        parts = zip(docs, numpy.split(words, ends), strict=True)
        return [_doc_of(doc.vocab, part) for doc, part in parts]


def _doc_of(vocab: Vocab, seen: Ints2d) -> Doc:
    doc = Doc(vocab, words=seen[:, 0], spaces=seen[:, 2].astype(bool))
    return doc.from_array([NORM], seen[:, 1])


def contexts(docs: list[Doc], rows: Ints1d, target: Target, parser: Language | None) -> Ints2d:
    """Return which tokens of all docs have the vectors that make the target of each row.

    RETURNS ([rows, words]): Index over all docs; -1 beyond the ends of a doc.
    """
    lengths = [len(doc) for doc in docs]
    starts = numpy.cumsum([0, *lengths[:-1]])
    if parser is not None:
        heads = [start + heads_of(parser, doc) for start, doc in zip(starts, docs, strict=True)]
        return numpy.concatenate(heads)[rows, None]
    number = numpy.repeat(numpy.arange(len(docs)), lengths)  # of the doc of each token
    index = rows[:, None] + numpy.array(OFFSETS[target])
    inside = numpy.clip(index, 0, len(number) - 1)
    return numpy.where((index == inside) & (number[inside] == number[rows, None]), index, -1)


def heads_of(parser: Language, doc: Doc) -> Ints1d:
    """Return the position of the syntactic head of each token; of a root, its own."""
    if not doc.has_annotation("DEP"):
        words, spaces = [token.text for token in doc], [bool(token.whitespace_) for token in doc]
        doc = parser(Doc(parser.vocab, words=words, spaces=spaces))
    return numpy.array([token.head.i for token in doc], "int64")


def load_parser(name: str) -> Language:
    """Load the parser of a pipeline and what it needs.

    RAISES ValueError: There is no such pipeline, or it has no parser.
    """
    try:
        nlp = spacy.load(name, exclude=["tagger", "attribute_ruler", "lemmatizer", "ner"])
    except OSError as error:
        raise ValueError(
            f'target = "head" needs a pipeline with a parser, and {name} is not installed. Run '
            "python -m scripts.models en_core_web_sm and set parser to its folder."
        ) from error
    if "parser" not in nlp.pipe_names:
        raise ValueError(f'target = "head": {name} has {nlp.pipe_names}. Expected a parser.')
    return nlp


def targets(vectors: Vectors, docs: list[Doc], index: Ints2d) -> Floats2d:
    """Return the vectors of the tokens side by side, at length 1; zeros if all are unknown."""
    keys = numpy.concatenate([doc.to_array(vectors.attr) for doc in docs])[index]
    unique, inverse = numpy.unique(keys, return_inverse=True)
    V = to_numpy(vectors.get_batch(unique))
    if vectors.mode == Mode.default:
        V[vectors.find(keys=unique) < 0] = 0
    V = V / (numpy.linalg.norm(V, axis=1, keepdims=True) + 1e-12)
    found = V[inverse.reshape(index.shape)] * (index >= 0)[..., None]  # [rows, words, width]
    found = found.reshape(len(index), -1)
    return found / (numpy.linalg.norm(found, axis=1, keepdims=True) + 1e-12)


def drop_vectors(tok2vec: Model, rate: float) -> list[bool]:
    """Keep static vectors from the rest of an encoder, for a share of the tokens of each update.

    RETURNS: A switch; while its only item is False nothing is dropped.
    """
    nodes = [node for node in tok2vec.walk() if node.name == "static_vectors"]
    if not nodes:
        raise ValueError(
            f"input_vectors_dropout {rate}, but the encoder has no static vectors. Expected "
            "include_static_vectors = true, or a rate of 0."
        )
    is_on = [False]
    for node in nodes:
        node._func = _with_dropped_tokens(node._func, rate, is_on)
    return is_on


def _with_dropped_tokens(forward: Callable, rate: float, is_on: list[bool]) -> Callable:
    def dropped(model: Model, docs: list[Doc], is_train: bool) -> tuple[Ragged, Callable]:
        Y, backprop = forward(model, docs, is_train)
        if not (is_train and is_on[0]):
            return Y, backprop
        kept = model.ops.asarray2f(numpy.random.random((len(Y.dataXd), 1)) >= rate)
        return Ragged(Y.dataXd * kept, Y.lengths), lambda dY: backprop(
            Ragged(dY.dataXd * kept, dY.lengths)
        )

    return dropped


def _init(model: Model, X: list[Doc] | None = None, Y: Floats2d | None = None) -> None:
    tok2vec, head = model.layers
    tok2vec.initialize(X=X)
    head.initialize()


def _forward(model: Model, docs: list[Doc], is_train: bool) -> tuple[Floats2d, Callable]:
    tok2vec, head = model.layers
    mask: Mask = model.attrs["mask"]
    is_on = model.attrs["vectors_dropout"]
    is_on[0] = True  # another task that shares the encoder sees all vectors
    tokens, backprop_tok2vec = tok2vec(mask(docs), is_train)
    is_on[0] = False
    X = model.ops.flatten(tokens)  # [tokens, width]
    rows = model.ops.asarray1i(mask.rows)
    Y, backprop_head = head(X[rows], is_train)  # the others are not predicted

    def backprop(dY: Floats2d) -> list[Doc]:
        dX = model.ops.alloc2f(*X.shape)
        dX[rows] = backprop_head(dY)
        return backprop_tok2vec(model.ops.unflatten(dX, [len(part) for part in tokens]))

    return Y, backprop


def _l2(ops: Ops, Y: Floats2d, T: Floats2d) -> tuple[float, Floats2d]:
    known, n = _known(T)
    dY = (Y - T) * known / n
    return float(((Y - T) ** 2 * known).sum() / (2 * n)), dY


def _cosine(ops: Ops, Y: Floats2d, T: Floats2d) -> tuple[float, Floats2d]:
    known, n = _known(T)
    length = ops.xp.linalg.norm(Y, axis=1, keepdims=True) + 1e-8
    cosine = (Y * T).sum(axis=1, keepdims=True) / length
    dY = (cosine * Y / length - T) / length * known / n
    return float(((1 - cosine) * known).sum() / n), dY


def _vmf(ops: Ops, Y: Floats2d, T: Floats2d) -> tuple[float, Floats2d]:
    # The logarithm of the normaliser is the paper's approximation, without a Bessel function.
    known, n = _known(T)
    low, high = Y.shape[1] / 2 - 1, Y.shape[1] / 2 + 1
    root = ops.xp.sqrt(high**2 + (Y**2).sum(axis=1, keepdims=True))
    normaliser = root - low * ops.xp.log(low + root)
    fit = (Y * T).sum(axis=1, keepdims=True)
    dY = (Y / (low + root) - T) * known / n
    return float(((normaliser - fit) * known).sum() / n), dY


def _known(T: Floats2d) -> tuple[Floats2d, int]:
    known = T.any(axis=1)[:, None]
    return known, max(int(known.sum()), 1)


LOSSES = {"L2": _l2, "cosine": _cosine, "vmf": _vmf}
