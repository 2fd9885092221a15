"""Tokenizer of the language that keeps placeholders such as [NAME] whole."""

import re
from collections.abc import Callable

from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex, registry


@registry.tokenizers("goemotions.Tokenizer.v1")
def create_tokenizer(placeholders: list[str]) -> Callable[[Language], Tokenizer]:
    """Create the language's own tokenizer with placeholders as single tokens.

    placeholders: Strings that stay whole wherever they stand, e.g. "[NAME]". They travel in the
        saved tokenizer, so the shipped pipeline splits exactly as training did.
    RETURNS: A function of nlp that builds the tokenizer.
    RAISES ValueError: A placeholder is empty or contains white space.
    """
    for text in placeholders:
        if not text or len(text.split()) != 1 or text != text.strip():
            raise ValueError(f"Placeholder {text!r}. Expected a string without white space.")

    def build(nlp: Language) -> Tokenizer:
        tokenizer = registry.tokenizers.get("spacy.Tokenizer.v1")()(nlp)
        # First of the alternatives, so that the language's own rules do not strip the bracket.
        whole = [re.escape(text) for text in placeholders]
        defaults = nlp.Defaults
        tokenizer.prefix_search = compile_prefix_regex(whole + list(defaults.prefixes or [])).search
        tokenizer.suffix_search = compile_suffix_regex(whole + list(defaults.suffixes or [])).search
        tokenizer.infix_finditer = compile_infix_regex(
            whole + list(defaults.infixes or [])
        ).finditer
        for text in placeholders:
            tokenizer.add_special_case(text, [{"ORTH": text}])
        return tokenizer

    return build
