"""Text classifier that learns from soft labels, hard ones, or a mixture of both."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy
from spacy.language import Language
from spacy.pipeline.textcat_multilabel import MultiLabel_TextCategorizer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats2d


def make_soft_textcat(
    nlp: Language,
    name: str,
    model: Model[list[Doc], Floats2d],
    threshold: float,
    soft_weight: float,
    scorer: Callable | None,
) -> "SoftTextCategorizer":
    """Make a textcat_multilabel that takes soft labels too, which spaCy's own refuses.

    Hard labels are in doc.cats; soft ones come from goemotions.SoftLabels.v1.

    model: As of textcat_multilabel. Its output layer must be one of goemotions.CrossEntropy.v1 and
        its like: they know a soft truth.
    threshold: As of textcat_multilabel.
    soft_weight (0 to 1): Of the soft labels of a post that has both; the hard ones have the rest.
        Posts that have but one kind learn from that.
    scorer: As of textcat_multilabel.
    RAISES ValueError: soft_weight is out of range.
    SOURCE: Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, arXiv
        1503.02531; with probabilities of the labels, at a temperature of 1.
    """
    if not 0 <= soft_weight <= 1:
        raise ValueError(f"soft_weight {soft_weight}. Expected a number from 0 to 1.")
    return SoftTextCategorizer(
        nlp.vocab, model, name, threshold=threshold, scorer=scorer, soft_weight=soft_weight
    )


try:
    Language.factory(
        "soft_textcat_multilabel",
        assigns=["doc.cats"],
        default_config={
            "threshold": 0.5,
            "soft_weight": 0.5,
            "scorer": {"@scorers": "spacy.textcat_multilabel_scorer.v2"},
        },
        default_score_weights={"cats_score": 1.0},
        func=make_soft_textcat,
    )
except ValueError as error:
    # Another wheel of this project brought it; spaCy refuses it from a second file.
    if "E004" not in str(error):
        raise


class SoftTextCategorizer(MultiLabel_TextCategorizer):
    """spaCy's multilabel text classifier with another idea of what is true."""

    def __init__(
        self, vocab: Vocab, model: Model, name: str, *, soft_weight: float, **settings: Any
    ):
        """Take what make_soft_textcat was given."""
        super().__init__(vocab, model, name, **settings)
        self.cfg["soft_weight"] = soft_weight

    def set_annotations(self, docs: Iterable[Doc], scores: Floats2d) -> None:
        """Set doc.cats as spaCy does, a doc at a time instead of a score."""
        rows = self.model.ops.to_numpy(scores).tolist()
        for doc, row in zip(docs, rows, strict=True):
            doc.cats.update(zip(self.labels, row, strict=True))

    def _examples_to_truth(self, examples: Iterable[Example]) -> tuple[Floats2d, Floats2d]:
        """Return the truth and where there is one, both [docs, labels]."""
        examples = list(examples)
        truths, known = super()._examples_to_truth(examples)
        weight = self.cfg["soft_weight"]
        for row, example in enumerate(examples):
            found = example.reference.user_data.get("soft_labels")
            if found is None:
                continue
            labels, values = found
            if tuple(labels) != self.labels:
                raise ValueError(
                    f"{self.name}: soft labels {str(list(labels))[:80]}. Expected "
                    f"{str(list(self.labels))[:80]}, in this order."
                )
            soft = self.model.ops.asarray(values, dtype="float32")
            hard = weight * soft + (1 - weight) * truths[row]
            xp = self.model.ops.xp
            truths[row] = xp.where(xp.asarray(known[row]) > 0, hard, soft)
            known[row] = numpy.ones_like(known[row])
        return truths, known
