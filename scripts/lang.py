"""Make an empty pipeline, with an error that says what is wrong with its language."""

import spacy
from spacy.language import Language

PLACEHOLDERS = ["[NAME]", "[RELIGION]"]  # single tokens in every corpus


def blank(lang: str) -> Language:
    """Return a pipeline of a tokenizer alone.

    lang: Language code, e.g. en.
    RAISES ValueError: spaCy has no such language.
    """
    try:
        return spacy.blank(lang)
    except ImportError as error:
        raise ValueError(f"Language {lang!r} cannot be used: {error}") from error
