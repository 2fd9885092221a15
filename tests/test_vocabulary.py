"""The vocabulary: which words, in which order, whose tokens, and for which models."""

import pytest
import spacy
from spacy.training import Example
from thinc.api import Model

from plugins.vocabulary import create_init_vocab

TEXTS = ["the cat, the dog", "The dog doesn't", "[NAME] a cat the"]


class Pipe:
    """A component that has a model and nothing else."""

    def __init__(self, **attrs):
        inner = Model("inner", lambda model, X, is_train: (X, lambda dY: dY), attrs=attrs)
        self.model = Model("outer", inner._func, layers=[inner])

    def __call__(self, doc):
        return doc


def vocabulary_of(texts=TEXTS, **arguments) -> dict[str, int]:
    nlp = spacy.blank("en")
    pipe = Pipe(vocabulary={})
    nlp._components.append(("pipe", pipe))
    create_init_vocab(read(texts), **arguments)(nlp)
    return pipe.model.layers[0].attrs["vocabulary"]


def read(texts):
    return lambda nlp: (Example.from_dict(nlp.make_doc(text), {}) for text in texts)


def test_frequent_words_come_first_and_rare_ones_are_left_out():
    assert vocabulary_of() == {"the": 1, "cat": 2, "dog": 3}
    assert vocabulary_of(min_freq=3) == {"the": 1}
    assert list(vocabulary_of(min_freq=1))[3:5] == [",", "["]


def test_it_counts_the_norms_that_the_tokenizer_makes_not_those_of_the_stored_doc():
    nlp = spacy.blank("en")
    words = vocabulary_of(["doesn't", "doesn't"])
    assert set(words) == {"does", "not"}
    assert [token.norm_ for token in nlp("doesn't")] == ["does", "not"]


def test_it_stops_at_the_most_frequent_words():
    assert list(vocabulary_of(max_words=2)) == ["the", "cat"]


def test_a_stream_without_end_is_read_as_far_as_it_is_told():
    seen = []

    def stream(nlp):
        while True:
            seen.append(1)
            yield Example.from_dict(nlp.make_doc("over and over"), {})

    nlp = spacy.blank("en")
    pipe = Pipe(vocabulary={})
    nlp._components.append(("pipe", pipe))
    assert create_init_vocab(stream, max_examples=7)(nlp) is nlp
    assert pipe.model.layers[0].attrs["vocabulary"] == {"over": 1, "and": 2}
    assert len(seen) == 7


def test_every_model_that_wants_a_vocabulary_gets_it_and_others_are_left_alone():
    nlp = spacy.blank("en")
    pipes = [Pipe(vocabulary={}), Pipe(other={}), Pipe(vocabulary={})]
    nlp._components.extend((str(number), pipe) for number, pipe in enumerate(pipes))
    create_init_vocab(read(TEXTS))(nlp)
    attrs = [pipe.model.layers[0].attrs for pipe in pipes]
    assert len(attrs[0]["vocabulary"]) == 3
    assert attrs[0] == attrs[2]
    assert attrs[1] == {"other": {}}


def test_a_pipeline_without_such_a_model_is_an_error():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    with pytest.raises(ValueError, match=r"no model of \['sentencizer'\] has a vocabulary"):
        create_init_vocab(read(TEXTS))(nlp)


def test_data_without_a_frequent_word_is_an_error():
    with pytest.raises(ValueError, match="none of 2 words occurs 2 times"):
        vocabulary_of(["hello there"])


@pytest.mark.parametrize("changes", [{"min_freq": 0}, {"max_words": 0}, {"max_examples": -1}])
def test_numbers_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match="Expected at least 1, 1 and 0"):
        vocabulary_of(**changes)
