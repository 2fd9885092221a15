"""Labels of entities for spaCy's own entity recogniser, of the file that all configs share."""

from pathlib import Path

import srsly
from spacy.util import registry

# What spaCy's transition system calls its moves.
BEGIN, IN, LAST, UNIT, OUT = range(1, 6)


@registry.readers("goemotions.NerLabels.v1")
def read_ner_labels(path: Path) -> dict[int, dict[str, int]]:
    """Read a JSON list of labels as the moves that the factory `ner` is initialized with.

    path: Such as corpus/<data>/labels.json, which ner_crf takes as it is.
    RETURNS: Labels of each move, with 1 for how often they occur.
    RAISES ValueError: It is no list of labels.
    """
    labels = srsly.read_json(path)
    if not isinstance(labels, list) or not labels or not all(isinstance(x, str) for x in labels):
        raise ValueError(f"{path}: {str(labels)[:80]}. Expected a list of labels.")
    moves = {move: dict.fromkeys(labels, 1) for move in (BEGIN, IN, LAST, UNIT)}
    moves[UNIT] = {**moves[UNIT], "": 1}  # a token that may not be in an entity
    return {**moves, OUT: {"": 1}}
