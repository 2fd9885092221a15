"""Tokenizer that cuts at white space alone, so that a token is what a reader calls a word."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc
from spacy.util import registry
from spacy.vocab import Vocab

ENDS = re.compile(r"^\W+|\W+$")


@registry.tokenizers("goemotions.WordTokenizer.v1")
def create_word_tokenizer() -> Callable[[Language], "WordTokenizer"]:
    """Create a tokenizer whose tokens keep their punctuation, as in "(Eds.),".

    The norm of a token is without it, in small letters, so that a model sees the same word in
    "Science" and "science."; prefix, suffix and shape show what stands around it.

    RETURNS: A function of nlp that builds the tokenizer.
    """
    return lambda nlp: WordTokenizer(nlp.vocab)


class WordTokenizer:
    """Cut at white space. It has no settings, so there is nothing to save."""

    def __init__(self, vocab: Vocab) -> None:
        """Set up.

        vocab: Of the pipeline.
        """
        self.vocab = vocab
        self._tokenizer = Tokenizer(vocab)  # without rules it knows white space alone

    def __call__(self, text: str) -> Doc:
        """Return the doc of a text, which loses nothing of it."""
        doc = self._tokenizer(text)
        for token in doc:
            token.norm_ = ENDS.sub("", token.lower_) or token.lower_
        return doc

    def to_bytes(self, **kwargs: Any) -> bytes:
        return b""

    def from_bytes(self, data: bytes, **kwargs: Any) -> "WordTokenizer":
        return self

    def to_disk(self, path: Path, **kwargs: Any) -> None:
        pass

    def from_disk(self, path: Path, **kwargs: Any) -> "WordTokenizer":
        return self
