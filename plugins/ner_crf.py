"""Component that finds entities with a linear-chain CRF per label, overlapping ones included."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.training.example import validate_get_examples
from spacy.util import filter_spans, registry
from spacy.vocab import Vocab
from thinc.api import Config, Dropout, Linear, Model, chain, with_array
from thinc.types import Floats2d, Floats3d

Emissions = tuple[list[Floats2d], Floats3d]
Entity = tuple[int, int, int, float]  # start, end, number of the label, confidence
OUTSIDE, INSIDE, BEGIN, LAST, UNIT = range(5)  # the order that the chains have, too

DEFAULT_MODEL = """
[model]
@architectures = "goemotions.NerCrf.v1"

[model.crf]
@layers = "goemotions.Crf.v1"
mode = "joint"

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


@registry.architectures("goemotions.NerCrf.v1")
def build_ner_crf(
    tok2vec: Model[list[Doc], list[Floats2d]],
    crf: Model[list[Floats2d], Emissions],
    nO: int | None = None,
) -> Model[list[Doc], Emissions]:
    """Build an entity recogniser: token vectors, a linear layer, chains.

    tok2vec: Encoder of the tokens, or a listener to a shared one.
    crf: Chains, e.g. goemotions.Crf.v1.
    nO (labels): Inferred from the data when None.
    RETURNS: Scores [tokens, labels * 5] per doc, and the chains' transitions [labels, 5, 5].
    """
    output = Linear(nO=nO and 5 * nO, nI=tok2vec.maybe_get_dim("nO"))
    # spaCy sets the rate of the dropout from training.dropout at every update.
    model = chain(tok2vec, with_array(chain(Dropout(0.0), output)), crf)
    for name, layer in {"tok2vec": tok2vec, "output": output, "crf": crf}.items():
        model.set_ref(name, layer)
    if nO is not None:
        crf.set_dim("nO", nO)
    return model


def make_ner_crf(
    nlp: Language,
    name: str,
    model: Model[list[Doc], Emissions],
    spans_key: str | None,
    set_ents: bool,
    scorer: Callable | None,
) -> "NerCrf":
    """Make a component that sets doc.ents, and overlapping entities in a group of spans.

    spans_key: Group in doc.spans to learn from and to write to; None learns from doc.ents.
    set_ents: Set doc.ents, replacing what is there; of overlapping entities the likeliest one.
    """
    return NerCrf(nlp.vocab, model, name, spans_key=spans_key, set_ents=set_ents, scorer=scorer)


try:
    Language.factory(
        "ner_crf",
        assigns=["doc.ents", "token.ent_iob", "token.ent_type"],
        default_config={
            "model": Config().from_str(DEFAULT_MODEL)["model"],
            "spans_key": None,
            "set_ents": True,
            "scorer": {"@scorers": "spacy.ner_scorer.v1"},
        },
        default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0},
        func=make_ner_crf,
    )
except ValueError as error:
    # Another wheel of this project brought it; spaCy refuses it from a second file.
    if "E004" not in str(error):
        raise


class NerCrf(TrainablePipe):
    """Find entities; those of different labels may overlap.

    doc.ents: Without overlap. span._.confidence (0 to 1): How likely the model takes exactly this
        span with this label to be an entity; None for spans that it did not find.
    doc.spans[spans_key]: All of them, if there is a key; attrs["scores"] has their confidences.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], Emissions],
        name: str = "ner_crf",
        *,
        spans_key: str | None = None,
        set_ents: bool = True,
        scorer: Callable | None = None,
    ) -> None:
        """Take what make_ner_crf was given.

        RAISES ValueError: The component would set nothing.
        """
        if spans_key is None and not set_ents:
            raise ValueError(f"{name}: spans_key null, set_ents false. Expected a place to write.")
        self.vocab, self.model, self.name = vocab, model, name
        self.spans_key, self.set_ents, self.scorer = spans_key, set_ents, scorer
        self.cfg: dict[str, Any] = {"labels": [], "recall_bias": 0.0}
        if not Span.has_extension("confidence"):
            Span.set_extension("confidence", default=None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, in the order of the scores."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """Return the labels for `spacy init labels`."""
        return list(self.labels)

    @property
    def recall_bias(self) -> float:
        """Return what is taken from the score of being outside; see scripts.decide_entities."""
        return self.cfg["recall_bias"]

    @recall_bias.setter
    def recall_bias(self, value: float) -> None:
        self.cfg["recall_bias"] = float(value)

    def add_label(self, label: str) -> int:
        """Add a label before initialize().

        RETURNS: 0 if it was there, else 1.
        RAISES ValueError: The model has its labels already.
        """
        if label in self.labels:
            return 0
        if self.model.get_ref("crf").has_param("transitions"):
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

        labels: To find, after those added before; those of the data when None. Entities with
            others are left out.
        RAISES ValueError: There are none, or new ones for a model that has its labels.
        """
        validate_get_examples(get_examples, "NerCrf.initialize")
        if labels is None:
            labels = sorted({s.label_ for e in get_examples() for s in self._gold(e.reference)})
        if not {*self.labels, *labels} or len(set(labels)) != len(labels):
            raise ValueError(f"{self.name}: labels {labels}. Expected at least one, each once.")
        for label in labels:
            self.add_label(label)
        self.recall_bias = 0.0
        self.model.get_ref("output").set_dim("nO", 5 * len(self.labels))
        self.model.get_ref("crf").set_dim("nO", len(self.labels))
        docs = [example.x for example in islice(get_examples(), 10)]
        self.model.initialize(X=[doc for doc in docs if len(doc)] or None)

    def predict(self, docs: Iterable[Doc]) -> list[list[Entity]]:
        """Return the entities of each doc: start, end, number of the label, confidence."""
        docs = list(docs)
        if not any(map(len, docs)):
            return [[] for _ in docs]
        return self.decode(self.model.predict(docs), self.recall_bias)

    def decode(self, emissions: Emissions, recall_bias: float) -> list[list[Entity]]:
        """Return the entities of each doc, of what the model returned for the docs."""
        return self._chains.decode(emissions, recall_bias)

    def set_annotations(self, docs: Iterable[Doc], scores: list[list[Entity]]) -> None:
        """Write what `predict` returned into the docs."""
        for doc, entities in zip(docs, scores, strict=True):
            found = [
                (Span(doc, start, end, label=self.labels[number]), confidence)
                for start, end, number, confidence in sorted(entities)
            ]
            if self.spans_key is not None:
                doc.spans[self.spans_key] = [span for span, _ in found]
                doc.spans[self.spans_key].attrs["scores"] = [p for _, p in found]
            if self.set_ents:
                picked = pick(found)
                doc.set_ents([span for span, _ in picked], default="outside")
                for span, confidence in picked:
                    span._.confidence = confidence

    def get_loss(self, examples: Iterable[Example], scores: Emissions) -> tuple[float, Emissions]:
        """Return the loss of the chains, summed over tokens, and its gradient."""
        return self._chains.loss(scores, [self._allowed(example) for example in examples])

    @property
    def _chains(self) -> Any:
        return self.model.get_ref("crf").attrs["chains"]

    def _gold(self, reference: Doc) -> list[Span]:
        """Return the entities to learn; none if it is not known which there are."""
        if self.spans_key is None:
            return list(reference.ents)
        return list(reference.spans.get(self.spans_key, []))

    def _allowed(self, example: Example) -> NDArray[numpy.bool_]:
        """Return which tags may be true [tokens, labels, 5]; all of them where nothing is known."""
        doc, reference = example.x, example.y
        may = numpy.zeros((len(doc), len(self.labels), 5), dtype=bool)
        may[:, :, OUTSIDE] = True
        same = numpy.array_equal(doc.to_array("ORTH"), reference.to_array("ORTH"))
        place = numpy.arange(len(doc)).reshape(-1, 1) if same else example.alignment.y2x
        if self.spans_key is not None and self.spans_key not in reference.spans:
            may[:] = True
        if self.spans_key is None:
            for token in numpy.flatnonzero(reference.to_array("ENT_IOB") == 0):
                may[place[int(token)]] = True
        number = {label: n for n, label in enumerate(self.labels)}
        for _, group in by_label(self._gold(reference)).items():
            for span in filter_spans(group):  # a chain can only hold one of two that overlap
                if span.label_ in number:
                    _write(may[:, number[span.label_]], span, doc, place, same)
        return may


def by_label(spans: list[Span]) -> dict[str, list[Span]]:
    """Return the spans of each label."""
    groups: dict[str, list[Span]] = {}
    for span in spans:
        groups.setdefault(span.label_, []).append(span)
    return groups


def pick(found: list[tuple[Span, float]]) -> list[tuple[Span, float]]:
    """Return entities that do not overlap, the likeliest first; a tie goes to the longer one."""
    picked, taken = [], set()
    for span, p in sorted(found, key=lambda one: (-one[1], -len(one[0]), one[0].start)):
        tokens = set(range(span.start, span.end))
        if not tokens & taken:
            taken |= tokens
            picked.append((span, p))
    return picked


def _write(may: NDArray[numpy.bool_], span: Span, doc: Doc, place: NDArray, same: bool) -> None:
    """Allow the tags [tokens, 5] of a span and no others; any, if tokens cannot express it."""
    start, end = span.start, span.end
    if not same:
        tokens = numpy.unique(numpy.concatenate([place[i] for i in range(start, end)]))
        if not len(tokens):
            return
        start, end = int(tokens[0]), int(tokens[-1]) + 1
        if "".join(doc[start:end].text.split()) != "".join(span.text.split()):
            may[start:end] = True
            return
    may[start:end] = False
    if end - start == 1:
        may[start, UNIT] = True
    else:
        may[start, BEGIN] = may[end - 1, LAST] = True
        may[start + 1 : end - 1, INSIDE] = True
