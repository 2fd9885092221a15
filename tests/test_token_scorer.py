"""Scorer of words with one label each: cases by hand, and the numbers of another library."""

import numpy
import pytest
import spacy
from sklearn.metrics import f1_score
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from plugins.token_scorer import add_counts, make_token_tags_scorer, pairs_of, summarise

VOCAB = spacy.blank("en").vocab
KEYS = ["tags_micro_f", "tags_macro_f", "tags_exact", "tags_per_type"]


def example_of(found: str, true: str) -> Example:
    """Return an example of found and true tags; - is none."""
    docs = []
    for said in (found, true):
        tags = [tag.replace("-", "") for tag in said.split()]
        docs.append(Doc(VOCAB, ["w"] * len(tags), tags=tags))
    return Example(*docs)


MIXED = [
    example_of("A A B", "A A B"),  # exact
    example_of("A B C", "A A B"),  # one of three
    example_of("B C A", "B - -"),  # one of one, so exact, too; C and A are not asked for
]


def test_words_count_once_and_labels_have_their_own_scores():
    scores = make_token_tags_scorer()(MIXED)
    assert list(scores) == KEYS
    assert scores["tags_micro_f"] == pytest.approx(5 / 7)  # right words of those with a tag
    assert scores["tags_exact"] == pytest.approx(2 / 3)
    assert scores["tags_per_type"] == {
        "A": {"p": 1, "r": 3 / 4, "f": pytest.approx(6 / 7), "support": 4},
        "B": {"p": 2 / 3, "r": 2 / 3, "f": pytest.approx(2 / 3), "support": 3},
        "C": {"p": 0, "r": 0, "f": 0, "support": 0},
    }
    # C is true of no word, so it lowers the precision of others but is no part of the mean.
    assert scores["tags_macro_f"] == pytest.approx((6 / 7 + 2 / 3) / 2)


def test_a_word_that_got_no_tag_is_missed_and_not_found():
    scores = make_token_tags_scorer()([example_of("A -", "A A")])
    assert scores["tags_micro_f"] == pytest.approx(2 / 3)
    assert scores["tags_per_type"] == {"A": {"p": 1, "r": 1 / 2, "f": 2 / 3, "support": 2}}
    assert scores["tags_exact"] == 0


def test_docs_without_tags_do_not_count_and_of_none_nothing_is_known():
    scorer = make_token_tags_scorer()
    without = [example_of("A B", "- -"), Example(Doc(VOCAB), Doc(VOCAB))]
    assert scorer([*MIXED, *without]) == scorer(MIXED)
    assert scorer(without) == scorer([]) == dict.fromkeys(KEYS)


def test_scores_are_those_of_scikit_learn():
    numbers = numpy.random.default_rng(0)
    labels = [*"ABCD"]
    found = [" ".join(numbers.choice(labels, 12)) for _ in range(20)]
    true = [" ".join(numbers.choice(labels, 12, p=[0.5, 0.3, 0.2, 0])) for _ in range(20)]
    scores = make_token_tags_scorer()(map(example_of, found, true))
    flat = [" ".join(texts).split() for texts in (true, found)]
    assert scores["tags_micro_f"] == pytest.approx(f1_score(*flat, average="micro"))
    assert scores["tags_macro_f"] == pytest.approx(
        f1_score(*flat, average="macro", labels=[*"ABC"])
    )
    by_label = dict(zip(labels, f1_score(*flat, average=None, labels=labels), strict=True))
    assert {x: row["f"] for x, row in scores["tags_per_type"].items()} == pytest.approx(by_label)


def test_words_of_another_tokenization_count_by_the_tag_that_covers_them():
    true = Doc(VOCAB, ["Oslo,", "New", "York"], tags=["A", "B", "C"])
    found = Doc(VOCAB, ["Oslo", ",", "New York"], [False, True, False], tags=["A", "B", "B"])
    assert found.text == true.text.strip()
    assert pairs_of(Example(found, true)) == [("A", "A"), ("B", "A")]  # New York is both


def test_the_pipeline_scores_itself_by_the_name_in_its_config():
    nlp = spacy.blank("en")
    scorer = {"@scorers": "goemotions.token_tags_scorer.v1"}
    nlp.add_pipe("token_classifier", config={"scorer": scorer})
    rows = [("A. Cau 1992", ["who", "who", "when"]), ("Kent", ["who"])]
    examples = [Example.from_dict(nlp.make_doc(text), {"tags": tags}) for text, tags in rows]
    sgd = nlp.initialize(lambda: examples)
    for _ in range(15):
        nlp.update(examples, sgd=sgd)
    examples[1].reference[0].tag_ = "when"
    scores = nlp.evaluate(examples)
    assert {key: scores[key] for key in KEYS} == {
        "tags_micro_f": 3 / 4,
        "tags_macro_f": pytest.approx((4 / 5 + 2 / 3) / 2),
        "tags_exact": 1 / 2,
        "tags_per_type": {
            "when": {"p": 1, "r": 1 / 2, "f": pytest.approx(2 / 3), "support": 2},
            "who": {"p": pytest.approx(2 / 3), "r": 1, "f": pytest.approx(4 / 5), "support": 2},
        },
    }


def test_the_scorer_ignores_what_the_pipe_adds():
    scorer = registry.resolve({"x": {"@scorers": "goemotions.token_tags_scorer.v1"}})["x"]
    assert scorer(MIXED, labels=("A",)) == make_token_tags_scorer()(MIXED)


def test_counts_of_several_docs_add_up():
    counts = {}
    add_counts(counts, [("A", "A"), ("B", "A"), ("", "B")])
    assert counts == {"A": [1, 1, 2], "B": [0, 1, 1]}
    add_counts(counts, [("B", "B")])
    assert counts == {"A": [1, 1, 2], "B": [1, 2, 2]}
    micro, macro, labels = summarise(counts)
    assert (micro, macro) == pytest.approx((4 / 7, (2 / 3 + 1 / 2) / 2))
    assert list(labels) == ["A", "B"]
