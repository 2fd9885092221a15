"""A loaded pipeline that adds what it says to rows, in memory that does not grow with them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from spacy.tokens import Doc
from spacy.util import minibatch

from scripts.answers import DIGITS, READERS
from scripts.explain import explain
from scripts.find_model import find_model
from scripts.scores import labels_of, load_pipeline, stored_thresholds
from scripts.tasks import OWN, Task, What, check_settings, component_of, task_of

Row = dict[str, Any]
BATCH = 256  # texts after which the vocabulary forgets new words


class Predictor:
    """A pipeline, loaded once; threads that share it take turns.

    folder: Where it lies. task: What it is for. own: Keys that its rows get.
    labels: In the order of the component.
    thresholds: By label; empty if only scores are wanted, or there are none.
    """

    def __init__(self, model: Path | str, *, what: What = "both", gpu_id: int = -1) -> None:
        """Load the pipeline.

        model: Folder, short name, package, wheel or address of one: see scripts.find_model.
        what: What each row gets; scores alone need no tuned thresholds.
        RAISES ValueError: No pipeline, nothing in it that we can read, or no thresholds.
        """
        self.folder = find_model(model)
        self.nlp = load_pipeline(self.folder, gpu_id)
        self.task = task_of(self.nlp.config)
        self.own = OWN[self.task]
        self.what = what
        self.thresholds: dict[str, float] = {}
        self._lock = Lock()
        check_settings(self.task, what=what)
        if self.task != "textcat":
            self.labels = list(self.nlp.get_pipe(component_of(self.nlp, self.task)).labels)
            return
        self.labels = labels_of(self.nlp)
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
        """Yield each row with what its task gives it.

        A text classifier gives emotions (decided, highest score first) and scores (by label).
        Scores are what thresholds are for; of a calibrated pipeline there are probabilities too.
        For the other tasks see scripts.answers.

        rows: Each has "text".
        top_k: Keep so many scores, the highest first; 0 keeps all, in label order.
        with_words: Add what each word does to the decided labels, as "explanation"; takes as many
            predictions as there are words.
        batch_size: Rows that are read before the first of them is yielded.
        RAISES ValueError: A text is longer than the pipeline takes, or there are no scores.
        """
        check_settings(self.task, what=self.what, top_k=top_k, with_words=with_words)
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}. Expected 1 or more.")
        return self._predict(rows, top_k, with_words, batch_size)

    def explain(self, row: Row) -> list[dict[str, Any]]:
        """Return what each word of a predicted row does, see scripts.explain."""
        check_settings(self.task, with_words=True)
        with self._lock:
            return explain(self.nlp, row)

    def _predict(
        self, rows: Iterable[Row], top_k: int, with_words: bool, batch_size: int
    ) -> Iterator[Row]:
        for batch in minibatch(rows, batch_size):
            with self._lock, self.nlp.memory_zone():
                docs = self.nlp.pipe((self._checked(row) for row in batch), batch_size=BATCH)
                found = [self._read(doc, top_k) for doc in docs]
            for row, read in zip(batch, found, strict=True):
                full = {**row, **read}
                yield full | {"explanation": self.explain(full)} if with_words else full

    def _checked(self, row: Row) -> str:
        text = row["text"]
        if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"{text!a:.40}: no text. Expected a str without half letters.")
        if len(text) > self.nlp.max_length:
            found = f"{text[:40]!r}...: {len(text)} characters"
            raise ValueError(f"{found}. Expected at most {self.nlp.max_length}.")
        return text

    def _read(self, doc: Doc, top_k: int) -> Row:
        if self.task != "textcat":
            return READERS[self.task](self.nlp, doc)
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


def describe(row: Row, task: Task = "textcat") -> str:
    """Return one line: the text that was written, the marked text, or the decided labels.

    Labels come with their scores; if none was decided, the nearest one does.
    """
    if task != "textcat":
        return row["target" if task == "pairs" else "tagged_text"]
    scores, said = row.get("scores", {}), row.get("emotions")
    if said is None:
        return ", ".join(f"{label} {score:.2f}" for label, score in scores.items())
    if said:
        return ", ".join(f"{x} {scores[x]:.2f}" if x in scores else x for x in said)
    if not scores:
        return "no decision"
    nearest = max(scores, key=scores.get)
    return f"no decision (nearest: {nearest} {scores[nearest]:.2f})"
