"""Scorers of entities: cases by hand, and the numbers of another library."""

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from nervaluate import Evaluator
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from plugins.entity_scorers import (
    count_exact,
    count_overlapping,
    count_tokens,
    is_annotated,
    make_ner_exact_scorer,
    make_ner_overlap_scorer,
    make_ner_token_scorer,
    spans_of,
    summarise,
)

VOCAB = spacy.blank("en").vocab
WORDS = ["aa", "bb", "cc", "dd", "ee", "ff"]  # aa bb cc dd ee ff: two characters and a space each


def doc_of(tags, words=None) -> Doc:
    return Doc(VOCAB, words or WORDS[: len(tags)], ents=tags)


def example_of(found, true) -> Example:
    """Return an example of found and true entities, as IOB tags in one line."""
    return Example(doc_of(found.split()), doc_of(true.split()))


def group(*spans, key="sc") -> Doc:
    """Return a doc with entities (start, end, label), overlapping or not, in a group of spans."""
    doc = Doc(VOCAB, WORDS)
    doc.spans[key] = [spacy.tokens.Span(doc, *span) for span in spans]
    return doc


MIXED = [
    # A is found; B is found too long, so neither it nor the true one counts.
    example_of("B-A I-A O B-B I-B I-B", "B-A I-A O B-B I-B O"),
    # The place is right and the label is not; one more is spurious.
    example_of("B-A O O B-B O O", "B-B O O O O O"),
    example_of("O O", "B-A O"),
]


def test_an_entity_is_right_if_its_place_and_its_label_are():
    scores = make_ner_exact_scorer()(MIXED)
    assert list(scores) == ["ents_p", "ents_r", "ents_f", "ents_per_type"]
    assert scores["ents_p"] == 1 / 4
    assert scores["ents_r"] == 1 / 4
    assert scores["ents_f"] == 1 / 4
    assert scores["ents_per_type"] == {
        "A": {"p": 1 / 2, "r": 1 / 2, "f": 1 / 2, "tp": 1, "positives": 2, "support": 2},
        "B": {"p": 0, "r": 0, "f": 0, "tp": 0, "positives": 2, "support": 2},
    }


def test_tokens_count_whatever_the_borders_are():
    scores = make_ner_token_scorer()(MIXED)
    assert scores["ents_token_p"] == 4 / 7
    assert scores["ents_token_r"] == 4 / 6
    assert scores["ents_token_f"] == pytest.approx(8 / 13)
    per_type = scores["ents_token_per_type"]
    assert [per_type["A"][key] for key in ("tp", "positives", "support")] == [2, 3, 3]
    assert [per_type["B"][key] for key in ("tp", "positives", "support")] == [2, 4, 3]


def test_a_token_that_begins_where_an_entity_ends_is_not_in_it():
    doc = Doc(VOCAB, ["far", "-", "off"], spaces=[0, 0, 0], ents=["B-A", "O", "O"])
    assert count_tokens(Example(doc, doc)) == {"A": [1, 1, 1]}


def test_overlap_counts_from_the_threshold_on():
    # 5 and 8 characters, 5 in common: 10 / 13; all of 2 of 8: 4 / 10; the labels must agree
    examples = [
        example_of("B-A I-A O", "B-A I-A I-A"),
        example_of("B-A O O", "B-A I-A I-A"),
        example_of("B-B I-B I-B", "B-A I-A I-A"),
    ]
    for dice, right in ((10 / 13, 1), (10 / 13 + 1e-9, 0), (0.4, 2), (0.41, 1), (1e-9, 2), (1, 0)):
        scores = make_ner_overlap_scorer(dice=dice)(examples)
        assert scores["ents_overlap_p"] == scores["ents_overlap_r"] == right / 3
        assert scores["ents_overlap_per_type"]["A"]["tp"] == right
    assert make_ner_overlap_scorer()(examples)["ents_overlap_f"] == pytest.approx(1 / 3)


def test_each_entity_overlaps_for_one_other_and_the_best_pair_comes_first():
    two_for_one = example_of("B-A I-A B-A I-A", "B-A I-A I-A I-A")
    assert count_overlapping(two_for_one) == {"A": [1, 2, 1]}
    one_for_two = example_of("B-A I-A I-A I-A", "B-A I-A B-A I-A")
    assert count_overlapping(one_for_two) == {"A": [1, 1, 2]}
    # The found 0-4 fits both true ones, best the first; the found 0-1 fits the first alone.
    nested = Example(group((0, 4, "A"), (0, 1, "A")), group((0, 3, "A"), (1, 5, "A")))
    assert count_overlapping(nested, "sc", dice=0.3) == {"A": [1, 2, 2]}
    # 0-4 is one of the true ones and leaves the other, which it overlaps more, to 4-6.
    shared = Example(group((0, 4, "A"), (4, 6, "A")), group((0, 4, "A"), (1, 6, "A")))
    assert count_overlapping(shared, "sc") == {"A": [2, 2, 2]}


def test_neighbours_do_not_overlap():
    assert count_overlapping(example_of("B-A O", "O B-A"), dice=1e-9) == {"A": [0, 1, 1]}


@pytest.mark.parametrize("dice", [0, -0.5, 1.01])
def test_a_threshold_that_takes_all_or_nothing_is_refused(dice):
    with pytest.raises(ValueError, match=f"dice {dice}. Expected a number above 0"):
        make_ner_overlap_scorer(dice=dice)


def test_an_entity_that_is_there_twice_counts_once():
    example = Example(group((0, 2, "A"), (0, 2, "A")), group((0, 2, "A"), (3, 4, "B"), (3, 4, "B")))
    assert count_exact(example, "sc") == {"A": [1, 1, 1], "B": [0, 0, 1]}
    assert count_overlapping(example, "sc") == {"A": [1, 1, 1], "B": [0, 0, 1]}
    assert count_tokens(example, "sc") == {"A": [2, 2, 2], "B": [0, 0, 1]}
    assert spans_of(example.x, "sc") == {"A": [(0, 5)]}


def test_overlapping_labels_count_side_by_side():
    example = Example(group((0, 3, "A"), (1, 2, "B"), (0, 1, "A")), group((0, 3, "A"), (1, 2, "B")))
    scores = make_ner_exact_scorer("sc")([example])
    assert (scores["ents_p"], scores["ents_r"]) == (2 / 3, 1)
    assert count_tokens(example, "sc") == {"A": [3, 3, 3], "B": [1, 1, 1]}


SCORERS = {
    "ents": make_ner_exact_scorer,
    "ents_token": make_ner_token_scorer,
    "ents_overlap": make_ner_overlap_scorer,
}


@pytest.mark.parametrize("name, make", SCORERS.items())
def test_docs_whose_entities_are_not_known_are_left_out(name, make):
    unknown = Example(doc_of(["B-A", "O"]), Doc(VOCAB, WORDS[:2]))
    assert not is_annotated(unknown.y, None)
    known = [example_of("B-A O", "B-A O")]
    assert make()([*known, unknown]) == make()(known)
    assert make()(known)[f"{name}_p"] == 1
    keys = [f"{name}_{end}" for end in ("p", "r", "f", "per_type")]
    assert make()([unknown]) == make()([]) == dict.fromkeys(keys)
    without_group = Example(group((0, 1, "A")), doc_of(["B-A"] * 6))
    assert make("sc")([without_group]) == dict.fromkeys(keys)
    empty_group = Example(group((0, 1, "A")), group())
    assert make("sc")([empty_group])[f"{name}_p"] == 0
    assert is_annotated(Doc(VOCAB), None)  # there is nothing to know


def test_nothing_found_and_nothing_true_is_0_without_labels():
    scores = make_ner_exact_scorer()([example_of("O O", "O O")])
    assert scores == {"ents_p": 0, "ents_r": 0, "ents_f": 0, "ents_per_type": {}}


def test_predictions_of_another_tokenization_count_by_characters():
    true = doc_of(["B-A", "I-A", "O", "B-B"], ["New", "York", "is", "far-off"])
    words, spaces = ["New York", "is", "far", "-", "off"], [1, 1, 0, 0, 1]
    found = Doc(VOCAB, words, spaces, ents=["B-A", "O", "B-B", "I-B", "I-B"])
    assert found.text == true.text
    example = Example(found, true)
    assert count_exact(example) == {"A": [1, 1, 1], "B": [1, 1, 1]}
    assert count_tokens(example) == {"A": [2, 2, 2], "B": [1, 1, 1]}


def test_scorers_are_in_the_registry_and_ignore_what_the_pipe_adds():
    for name in ("exact", "token", "overlap"):
        config = {"scorer": {"@scorers": f"goemotions.ner_{name}_scorer.v1", "spans_key": "sc"}}
        scorer = registry.resolve(config)["scorer"]
        example = Example(group((0, 1, "A")), group((0, 1, "A")))
        scores = scorer([example], labels=("A",), recall_bias=1.0)
        assert list(scores.values())[:3] == [1, 1, 1]


def test_a_summary_of_nothing_is_0():
    zeros = {"p": 0, "r": 0, "f": 0, "tp": 0, "positives": 0, "support": 0}
    assert summarise([]) == (zeros, {})


@st.composite
def tags_of(draw, length):
    """Draw valid IOB tags of two labels."""
    tags = draw(st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), min_size=length,
                         max_size=length))  # fmt: skip
    for i, tag in enumerate(tags):
        if tag[0] == "I" and (i == 0 or tags[i - 1][1:] != tag[1:]):
            tags[i] = "B" + tag[1:]
    return tags


@given(st.lists(st.integers(1, 6).flatmap(lambda n: st.tuples(tags_of(n), tags_of(n))),
                min_size=1, max_size=4))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_exact_scores_are_those_of_nervaluate_strict(pairs):
    scores = make_ner_exact_scorer()([Example(doc_of(ours), doc_of(true)) for ours, true in pairs])
    found, true = ([list(tags) for tags in column] for column in zip(*pairs, strict=True))
    theirs = Evaluator(true, found, tags=["A", "B"], loader="list").evaluate()
    overall = theirs["overall"]["strict"]
    assert scores["ents_p"] == pytest.approx(overall.precision)
    assert scores["ents_r"] == pytest.approx(overall.recall)
    assert scores["ents_f"] == pytest.approx(overall.f1)
    assert scores["ents_per_type"].keys() == theirs["entities"].keys()
    for label, ours in scores["ents_per_type"].items():
        strict = theirs["entities"][label]["strict"]
        assert (ours["tp"], ours["positives"]) == (strict.correct, strict.actual)
        assert ours["support"] == strict.possible
        expected = strict.precision, strict.recall, strict.f1
        assert (ours["p"], ours["r"], ours["f"]) == pytest.approx(expected)
