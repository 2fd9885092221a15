"""What scoring text-to-text has in common: the component, its decoder, the examples."""

import json
from pathlib import Path
from typing import Any

from catalogue import RegistryError
from confection import ConfigValidationError
from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.util import registry

FACTORY = "seq2seq"


def pair_component(nlp: Language) -> str:
    """Return the name of the component that writes texts.

    RAISES ValueError: There is none, or more than one.
    """
    found = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == FACTORY]
    if len(found) != 1:
        raise ValueError(f"Pipeline {nlp.pipe_names}. Expected exactly one {FACTORY}.")
    return found[0]


def read_pairs(nlp: Language, corpus: Path) -> list[Example]:
    """Read a .spacy corpus whose docs have a target.

    RAISES ValueError: It is missing, empty, or a doc has no target.
    """
    if not corpus.exists() or ".spacy" not in corpus.name:
        raise ValueError(
            f"{corpus}: no such corpus. Expected a .spacy file; run preprocess-pairs first."
        )
    examples = list(Corpus(corpus)(nlp))
    if not examples:
        raise ValueError(f"{corpus}: no docs. Expected at least one.")
    for number, example in enumerate(examples):
        if example.reference._.seq2seq is None:
            raise ValueError(
                f"{corpus}, doc {number}: nothing in doc._.seq2seq. Expected the target."
            )
    return examples


def set_decoder(nlp: Language, settings: dict[str, Any] | None) -> dict[str, Any]:
    """Let a pipeline write with a decoder; with the one it was saved with when None.

    settings: As in a config: {"@misc": "goemotions.BeamDecoder.v1", "width": 4}.
    RETURNS: The settings, with the defaults of those that were not given.
    RAISES ValueError: They are of no decoder.
    """
    name = pair_component(nlp)
    if settings is None:
        return dict(nlp.get_pipe_config(name)["decoder"])
    try:
        filled = registry.fill({"decoder": settings})["decoder"]
        decoder = registry.resolve({"decoder": filled})["decoder"]
    except (RegistryError, ConfigValidationError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"Decoder {json.dumps(settings)}: {said}") from error
    if not callable(decoder):
        raise ValueError(
            f'Decoder {json.dumps(settings)}. Expected {{"@misc": "goemotions.GreedyDecoder.v1"}},'
            " for example."
        )
    nlp.get_pipe(name).decoder = decoder
    return dict(filled)
