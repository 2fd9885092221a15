"""Vocabulary of models that keep one row per word, counted in all of the training data."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry


@registry.callbacks("goemotions.init_vocab.v1")
def create_init_vocab(
    corpus: Callable[[Language], Iterable[Example]],
    min_freq: int = 2,
    max_words: int = 20_000,
    max_examples: int = 0,
) -> Callable[[Language], Language]:
    """Create an [initialize.before_init] callback that gives each model its vocabulary.

    It serves every node of the pipeline's models that has an attribute "vocabulary", since
    initialize() shows a model ten examples only.

    corpus: Reader of the training data, e.g. ${corpora.train}.
    min_freq (>= 1): Words that occur less often are unknown; from 2 on, so that there are some in
        training from which the model learns what an unknown word means.
    max_words (>= 1): Keep so many of the most frequent words.
    max_examples: Read so many examples; 0 reads all, which a stream without an end does not allow.
    RETURNS: A function of nlp that sets the attribute to norm -> row, from 1, frequent words first.
    RAISES ValueError: A number is out of range; no model wants a vocabulary; no word is left.
    """
    if min_freq < 1 or max_words < 1 or max_examples < 0:
        raise ValueError(
            f"min_freq {min_freq}, max_words {max_words}, max_examples {max_examples}. "
            "Expected at least 1, 1 and 0."
        )

    def init_vocab(nlp: Language) -> Language:
        models = [pipe.model for _, pipe in nlp.pipeline if hasattr(pipe, "model")]
        nodes = [node for model in models for node in model.walk() if "vocabulary" in node.attrs]
        if not nodes:
            raise ValueError(
                f"goemotions.init_vocab.v1: no model of {nlp.pipe_names} has a vocabulary. "
                "Expected one such as mine.PyTorchBiLSTMTextcat.v1."
            )
        counts = count_words(islice(corpus(nlp), max_examples or None))
        words = choose_words(counts, min_freq, max_words)
        if not words:
            raise ValueError(
                f"goemotions.init_vocab.v1: none of {len(counts)} words occurs {min_freq} times. "
                "Expected more data or a lower min_freq."
            )
        for node in nodes:
            node.attrs["vocabulary"] = {word: row for row, word in enumerate(words, start=1)}
        return nlp

    return init_vocab


def count_words(examples: Iterable[Example]) -> Counter[str]:
    """Count the norms of the tokens, as the tokenizer makes them and the model will see them."""
    return Counter(token.norm_ for example in examples for token in example.predicted)


def choose_words(counts: Counter[str], min_freq: int, max_words: int) -> list[str]:
    """Return the most frequent words; among equals the order is alphabetical."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, count in ranked if count >= min_freq][:max_words]
