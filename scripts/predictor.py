"""A loaded pipeline that adds what it decides to rows, in memory that does not grow with them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from spacy.tokens import Doc
from spacy.util import minibatch

from scripts.explain import explain
from scripts.scores import labels_of, load_pipeline, stored_thresholds

What = Literal["both", "decisions", "scores"]
Row = dict[str, Any]
BATCH = 256  # texts after which the vocabulary forgets new words
DIGITS = 5
OWN = ("emotions", "scores", "probabilities", "explanation")  # keys that predicting adds


class Predictor:
    """A pipeline, loaded once.

    labels: In the order of the classifier.
    thresholds: By label; empty if only scores are wanted.
    """

    def __init__(self, model: Path | str, *, what: What = "both", gpu_id: int = -1) -> None:
        """Load the pipeline.

        model: Folder of a pipeline, or the name of an installed one.
        what: What each row gets; scores alone need no tuned thresholds.
        RAISES ValueError: No pipeline, no text classifier, or no thresholds.
        """
        self.nlp = load_pipeline(model, gpu_id)
        self.what = what
        self.labels = labels_of(self.nlp)
        self.thresholds: dict[str, float] = {}
        if what != "scores":
            self.thresholds = stored_thresholds(self.nlp, model)[0]
        elif "decide" in self.nlp.pipe_names and not self.nlp.get_pipe("decide").thresholds:
            self.nlp.disable_pipe("decide")

    def predict(
        self,
        rows: Iterable[Row],
        *,
        top_k: int = 0,
        with_words: bool = False,
        batch_size: int = BATCH,
    ) -> Iterator[Row]:
        """Yield each row with emotions (decided, highest score first) and scores (by label).

        Scores are what thresholds are for; of a calibrated pipeline there are probabilities too.

        rows: Each has "text".
        top_k: Keep so many scores, the highest first; 0 keeps all, in label order.
        with_words: Add what each word does to the decided labels, as "explanation"; takes as many
            predictions as there are words.
        batch_size: Rows that are read before the first of them is yielded.
        RAISES ValueError: A text is longer than the pipeline takes.
        """
        for batch in minibatch(rows, batch_size):
            with self.nlp.memory_zone():
                docs = self.nlp.pipe((self._checked(row) for row in batch), batch_size=BATCH)
                found = [self._read(doc, top_k) for doc in docs]
            for row, read in zip(batch, found, strict=True):
                full = {**row, **read}
                yield full | {"explanation": explain(self.nlp, full)} if with_words else full

    def _checked(self, row: Row) -> str:
        text = row["text"]
        if len(text) > self.nlp.max_length:
            found = f"{text[:40]!r}...: {len(text)} characters"
            raise ValueError(f"{found}. Expected at most {self.nlp.max_length}.")
        return text

    def _read(self, doc: Doc, top_k: int) -> Row:
        scores = {label: round(doc.cats[label], DIGITS) for label in self.labels}
        found: Row = {}
        if self.what != "scores":
            found["emotions"] = list(doc._.emotions)
        if self.what != "decisions":
            found["scores"] = highest(scores, top_k)
            if doc._.probabilities:
                found["probabilities"] = {
                    label: round(doc._.probabilities[label], DIGITS) for label in found["scores"]
                }
        return found


def highest(scores: dict[str, float], top_k: int) -> dict[str, float]:
    """Return so many scores, the highest first; all as they are if top_k is 0."""
    first = sorted(scores, key=scores.get, reverse=True)[:top_k]
    return {label: scores[label] for label in first} if top_k else scores


def describe(row: Row) -> str:
    """Return one line: the decided labels with their scores, or the nearest if none was decided."""
    scores, said = row.get("scores", {}), row.get("emotions")
    if said is None:
        return ", ".join(f"{label} {score:.2f}" for label, score in scores.items())
    if said:
        return ", ".join(f"{x} {scores[x]:.2f}" if x in scores else x for x in said)
    if not scores:
        return "no decision"
    nearest = max(scores, key=scores.get)
    return f"no decision (nearest: {nearest} {scores[nearest]:.2f})"
