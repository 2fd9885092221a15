"""Component that gives each word one label, such as the field of a reference that it is part of."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.training.example import validate_get_examples
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Config, Model, Softmax_v2, chain, to_numpy, with_array
from thinc.types import Floats2d

SMALLEST = 1e-9  # probability that a logarithm is taken of

DEFAULT_MODEL = """
[model]
@architectures = "goemotions.TokenClassifier.v1"

[model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true
"""


@registry.architectures("goemotions.TokenClassifier.v1")
def build_token_classifier(
    tok2vec: Model[list[Doc], list[Floats2d]], dropout: float = 0.1, nO: int | None = None
) -> Model[list[Doc], list[Floats2d]]:
    """Build a classifier of words: token vectors, dropout, a linear layer, softmax.

    tok2vec: Encoder of the words, or a listener to a shared one or to a transformer.
    dropout (0 to 1): Rate before the linear layer; training.dropout is for the encoder alone.
    nO (labels): Inferred from the data when None.
    RETURNS ([words, labels] per doc): Probabilities; none for an empty doc.
    RAISES ValueError: The dropout is out of range.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout {dropout}. Expected a number from 0 to below 1.")
    # Not thinc's own: spaCy sets the rate of all of those to training.dropout at each update.
    fixed: Model[Floats2d, Floats2d] = Model("fixed_dropout", _drop, attrs={"rate": dropout})
    output = Softmax_v2(nO=nO, nI=tok2vec.maybe_get_dim("nO"))
    model = chain(tok2vec, with_array(chain(fixed, output)))
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", output)
    return model


def _drop(model: Model, X: Floats2d, is_train: bool) -> tuple[Floats2d, Callable]:
    """Set random numbers to 0 in training, and scale up the others."""
    if not is_train or not model.attrs["rate"]:
        return X, lambda dY: dY
    mask = model.ops.get_dropout_mask(X.shape, model.attrs["rate"])
    return X * mask, lambda dY: dY * mask


def make_token_classifier(
    nlp: Language, name: str, model: Model[list[Doc], list[Floats2d]], scorer: Callable | None
) -> "TokenClassifier":
    """Make a component that sets the tag of each word."""
    return TokenClassifier(nlp.vocab, model, name, scorer=scorer)


try:
    Language.factory(
        "token_classifier",
        assigns=["token.tag"],
        default_config={
            "model": Config().from_str(DEFAULT_MODEL)["model"],
            "scorer": {"@scorers": "spacy.tagger_scorer.v1"},
        },
        default_score_weights={"tag_acc": 1.0},
        func=make_token_classifier,
    )
except ValueError as error:
    # Another wheel of this project brought it; spaCy refuses it from a second file.
    if "E004" not in str(error):
        raise


class TokenClassifier(TrainablePipe):
    """Give each word one label, as token.tag_; white space gets none.

    A word of the reference without a tag is ignored: it teaches nothing and is not scored.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], list[Floats2d]],
        name: str = "token_classifier",
        *,
        scorer: Callable | None = None,
    ) -> None:
        """Take what make_token_classifier was given."""
        self.vocab, self.model, self.name, self.scorer = vocab, model, name, scorer
        self.cfg: dict[str, Any] = {"labels": [], "switch_cost": 0.0}

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, in the order of the scores."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """Return the labels for `spacy init labels`."""
        return list(self.labels)

    @property
    def switch_cost(self) -> float:
        """Return what a word costs whose label is not the one before; see scripts.decide_tokens."""
        return self.cfg["switch_cost"]

    @switch_cost.setter
    def switch_cost(self, value: float) -> None:
        self.cfg["switch_cost"] = float(value)

    def add_label(self, label: str) -> int:
        """Add a label before initialize().

        RETURNS: 0 if it was there, else 1.
        RAISES ValueError: The model has its labels already.
        """
        if label in self.labels:
            return 0
        if self.model.get_ref("output_layer").has_param("W"):
            raise ValueError(
                f"{self.name} has the labels {', '.join(self.labels)}, not {label!r}. "
                "Expected new ones before initialize()."
            )
        self.cfg["labels"].append(label)
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
    ) -> None:
        """Take the labels and infer the widths of the layers.

        labels: To give, after those added before; those of the data when None.
        RAISES ValueError: There are none, or new ones for a model that has its labels.
        """
        validate_get_examples(get_examples, "TokenClassifier.initialize")
        if labels is None:
            labels = sorted({t.tag_ for e in get_examples() for t in e.reference if t.tag_})
        if not {*self.labels, *labels} or len(set(labels)) != len(labels):
            raise ValueError(f"{self.name}: labels {labels}. Expected at least one, each once.")
        for label in labels:
            self.add_label(label)
        self.switch_cost = 0.0
        self.model.get_ref("output_layer").set_dim("nO", len(self.labels))
        docs = [example.x for example in islice(get_examples(), 10)]
        self.model.initialize(X=[doc for doc in docs if len(doc)] or None)

    def predict(self, docs: Iterable[Doc]) -> list[NDArray[numpy.int64]]:
        """Return the number of the label of each word [words] of each doc."""
        return [best_path(scores, self.switch_cost) for scores in self.probabilities(docs)]

    def probabilities(self, docs: Iterable[Doc]) -> list[Floats2d]:
        """Return the probability of each label [words, labels] of each doc."""
        docs = list(docs)
        if not any(map(len, docs)):
            return [self.model.ops.alloc2f(0, len(self.labels)) for _ in docs]
        return self.model.predict(docs)

    def set_annotations(self, docs: Iterable[Doc], scores: list[NDArray[numpy.int64]]) -> None:
        """Write what `predict` returned into the docs."""
        for doc, numbers in zip(docs, scores, strict=True):
            for token, number in zip(doc, numbers.tolist(), strict=True):
                token.tag_ = "" if token.is_space else self.labels[number]

    def get_loss(
        self, examples: Iterable[Example], scores: list[Floats2d]
    ) -> tuple[float, list[Floats2d]]:
        """Return the cross-entropy, summed over the words that have a tag, and its gradient.

        RAISES ValueError: A tag that is no label.
        """
        examples = list(examples)
        validate_examples(examples, "TokenClassifier.get_loss")
        loss, gradients = 0.0, []
        for example, Y in zip(examples, scores, strict=True):
            places, numbers = self._truth(example)
            dY = self.model.ops.alloc2f(*Y.shape)
            if places:
                dY[places] = Y[places]
                dY[places, numbers] -= 1.0
                likely = to_numpy(Y)[places, numbers]
                loss -= float(numpy.log(numpy.maximum(likely, SMALLEST)).sum())
            gradients.append(dY)
        return loss, gradients

    def _truth(self, example: Example) -> tuple[list[int], list[int]]:
        """Return the words that have a tag, and the numbers of their labels."""
        number = {label: n for n, label in enumerate(self.labels)}
        tags = example.get_aligned("TAG", as_string=True)
        found = [(place, tag) for place, tag in enumerate(tags) if tag]
        if unknown := sorted({tag for _, tag in found} - set(number)):
            raise ValueError(
                f"{self.name}: tag {unknown[0]!r}. Expected one of {', '.join(self.labels)}."
            )
        return [place for place, _ in found], [number[tag] for _, tag in found]


def best_path(scores: Floats2d, cost: float) -> NDArray[numpy.int64]:
    """Return the labels [words] whose summed log-probability, less the cost of switches, is most.

    scores ([words, labels]): Probabilities.
    cost: Of each word whose label is not the one before; 0 takes each word for itself.
    SOURCE: Viterbi 1967, Error Bounds for Convolutional Codes.
    """
    logs = numpy.log(numpy.maximum(to_numpy(scores), SMALLEST))
    if not cost or not len(logs):
        return logs.argmax(axis=1)
    came = numpy.tile(numpy.arange(logs.shape[1]), (len(logs), 1))  # from which label, at best
    total = logs[0]
    for word in range(1, len(logs)):
        best = int(total.argmax())
        switched = total[best] - cost > total
        came[word, switched] = best
        total = numpy.where(switched, total[best] - cost, total) + logs[word]
    path = numpy.zeros(len(logs), dtype="int64")
    path[-1] = total.argmax()
    for word in range(len(logs) - 1, 0, -1):
        path[word - 1] = came[word, path[word]]
    return path
