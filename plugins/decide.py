"""Component that turns scores into decisions: per-label thresholds, kept in the pipeline."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch
from spacy.vocab import Vocab

EXTENSIONS = ("emotions", "probabilities")
FILE = "thresholds.json"
LEAST = 1e-6  # scores nearer to 0 or 1 count as this far from them


def make_decide(nlp: Language, name: str) -> "Decide":
    """Make a component that sets doc._.emotions from doc.cats; it needs `set` before use."""
    return Decide(nlp.vocab, name)


try:
    Language.factory("decide", assigns=["doc._.emotions"], requires=["doc.cats"], func=make_decide)
except ValueError as error:
    # Another wheel of this project brought it; spaCy refuses it from a second file.
    if "E004" not in str(error):
        raise


class Decide(Pipe):
    """Pick the labels whose score reaches the label's threshold.

    doc._.emotions (list[str]): The picked labels, highest score first; none may reach its own.
    doc._.probabilities (dict[str, float]): How likely each label is; None without a calibration.
        doc.cats keeps the scores, which the thresholds are for.
    """

    def __init__(self, vocab: Vocab, name: str = "decide") -> None:
        self.vocab = vocab
        self.name = name
        self.thresholds: dict[str, float] = {}
        self.global_threshold: float | None = None
        self.curves: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {}
        for extension in EXTENSIONS:
            if not Doc.has_extension(extension):
                Doc.set_extension(extension, default=None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels that have a threshold, in label order."""
        return tuple(self.thresholds)

    def set(
        self,
        thresholds: dict[str, float],
        global_threshold: float,
        settings: dict[str, Any] | None = None,
        curves: list[dict[str, Any]] | None = None,
    ) -> None:
        """Store thresholds and a calibration.

        thresholds (0 to 1): One per label, in label order.
        global_threshold (0 to 1): The best single threshold, for comparison and rare labels.
        settings: How they were found; kept beside them.
        curves: One per label, for `apply_curves`; none leave doc._.probabilities unset.
        RAISES ValueError: There are none, one lies outside 0 to 1, or the curves are not as many.
        """
        found = {**thresholds, "global": global_threshold}
        wrong = {label: value for label, value in found.items() if not 0 <= value <= 1}
        if wrong or not thresholds:
            raise ValueError(f"Thresholds {wrong or thresholds}. Expected one per label in 0 to 1.")
        if curves and len(curves) != len(thresholds):
            raise ValueError(f"{len(curves)} curves. Expected {len(thresholds)}, one per label.")
        self.thresholds = {label: float(value) for label, value in thresholds.items()}
        self.curves = list(curves or [])
        self.global_threshold = float(global_threshold)
        self.settings = dict(settings or {})

    def __call__(self, doc: Doc) -> Doc:
        """Set doc._.emotions, and doc._.probabilities if there is a calibration.

        RAISES ValueError: No thresholds were tuned yet, or a label has no score.
        """
        self._decide(doc)
        self._calibrate([doc])
        return doc

    def _decide(self, doc: Doc) -> None:
        if not self.thresholds:
            raise ValueError(
                f"Component '{self.name}' has no thresholds yet. Tune them on dev: "
                "python -m scripts.decide MODEL CORPUS OUTPUT."
            )
        cats = doc.cats  # asked for once: it costs more than a look into it
        if not self.thresholds.keys() <= cats.keys():
            missing = [label for label in self.thresholds if label not in cats]
            raise ValueError(
                f"Component '{self.name}': no score for {', '.join(missing)}. Expected a text "
                "classifier with these labels before it in the pipeline."
            )
        picked = [label for label, least in self.thresholds.items() if cats[label] >= least]
        # A text without tokens has no evidence for any label, even one with a threshold of 0.
        doc._.emotions = sorted(picked, key=lambda label: -cats[label]) if len(doc) else []

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Do the same for many docs; calibrating them together is faster."""
        handle_error = self.get_error_handler()
        for docs in minibatch(stream, batch_size):
            decided = []
            for doc in docs:
                try:
                    self._decide(doc)
                    decided.append(doc)
                except ValueError as error:
                    handle_error(self.name, self, [doc], error)
            self._calibrate(decided)
            yield from decided

    def _calibrate(self, docs: list[Doc]) -> None:
        if not self.curves or not docs:
            return
        found = (doc.cats for doc in docs)
        scores = numpy.array([[cats[label] for label in self.thresholds] for cats in found])
        for doc, row in zip(docs, apply_curves(scores, self.curves).tolist(), strict=True):
            doc._.probabilities = dict(zip(self.thresholds, row, strict=True))

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Forget the thresholds: they belong to a model that is now trained anew."""
        self.thresholds, self.global_threshold, self.settings, self.curves = {}, None, {}, []

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Return the thresholds as bytes."""
        return self._dumps().encode("utf8")

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "Decide":
        """Restore the thresholds from bytes."""
        return self._restore(json.loads(data))

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write thresholds.json to the folder `path`."""
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / FILE).write_text(self._dumps(), encoding="utf8")

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "Decide":
        """Read thresholds.json from the folder `path`."""
        return self._restore(json.loads((Path(path) / FILE).read_text(encoding="utf8")))

    def _dumps(self) -> str:
        # The standard library's json: srsly's reads 0.3 back as 0.30000000000000004.
        state = {
            "thresholds": self.thresholds,
            "global_threshold": self.global_threshold,
            "settings": self.settings,
            "curves": self.curves,
        }
        return json.dumps(state, indent=2) + "\n"

    def _restore(self, state: dict[str, Any]) -> "Decide":
        self.thresholds = dict(state["thresholds"])
        self.global_threshold = state["global_threshold"]
        self.settings = dict(state["settings"])
        self.curves = list(state.get("curves", []))  # older pipelines have none
        return self


def apply_curves(
    scores: NDArray[numpy.float64], curves: list[dict[str, Any]]
) -> NDArray[numpy.float64]:
    """Return probabilities of scores.

    scores ([..., labels], 0 to 1): Of the classifier.
    curves: Per label either a temperature, by which log-odds are divided, or the points of a curve,
        score and probability, straight between them. None at all leave the scores as they are.
    """
    if not curves:
        return scores
    found = numpy.empty(scores.shape)
    divided = numpy.array([curve.get("temperature", 0.0) for curve in curves])
    warm = divided > 0
    clipped = scores[..., warm].clip(LEAST, 1 - LEAST)
    odds = numpy.log(clipped / (1 - clipped)) / divided[warm]
    found[..., warm] = 1 / (1 + numpy.exp(-odds))
    for number in numpy.flatnonzero(~warm):
        points = curves[number]
        found[..., number] = numpy.interp(
            scores[..., number], points["score"], points["probability"]
        )
    return found
