"""Scores of written texts: cases by hand, and the numbers of sacrebleu and spaCy."""

import pytest
import spacy
from confection import ConfigValidationError
from sacrebleu.metrics import BLEU, CHRF
from spacy.scorer import Scorer
from spacy.tokens import Doc, Span
from spacy.tokens.underscore import Underscore
from spacy.training import Example
from spacy.util import registry

from plugins.markup import Markup
from plugins.pair_scorer import (
    BATCH,
    make_pair_scorer,
    padded_accuracy,
    score_ngrams,
    score_texts,
    texts_of,
)

NLP = spacy.blank("en")
TEXTS = ("pair_exact", "pair_acc", "pair_acc_padded", "pair_bleu", "pair_chrf")
ENTS = ("ents_p", "ents_r", "ents_f", "ents_per_type")
if not Doc.has_extension("seq2seq"):
    Doc.set_extension("seq2seq", default=None)


class Words:
    """Symbols are words."""

    split = staticmethod(str.split)


def example_of(output: str | None, target: str | None, text: str = "a source") -> Example:
    example = Example(NLP.make_doc(text), NLP.make_doc(text))
    example.predicted._.seq2seq, example.reference._.seq2seq = output, target
    return example


def scores_of(*pairs: tuple[str | None, str | None]) -> dict:
    return make_pair_scorer(Words())([example_of(*pair) for pair in pairs])


# Symbols of the target that are there, and the end; then how many they are with the end.
@pytest.mark.parametrize(
    "output, target, right, symbols",
    [
        ("a b c", "a b c", 4, 4),
        ("a x c", "a b c", 3, 4),
        ("a b", "a b c", 2, 4),  # the end comes where c is expected, and nothing where the end is
        ("a b c d", "a b c", 3, 4),
        ("a b c d e f", "a b c", 3, 4),  # all that follows the end counts once
        ("b c", "a b c", 0, 4),  # places, not what is in common
        ("", "a b c", 0, 4),
        ("a", "", 0, 1),
        ("", "", 1, 1),
        ("x y z", "a b c", 1, 4),
    ],
)
def test_a_symbol_is_right_at_its_place_and_the_end_is_a_symbol(output, target, right, symbols):
    assert scores_of((output, target))["pair_acc"] == right / symbols


def test_accuracy_is_over_the_symbols_of_all_docs_not_the_mean_of_docs():
    scores = scores_of(("a b c", "a b c"), ("x", "a"))
    assert scores["pair_acc"] == (4 + 1) / (4 + 2)
    assert scores["pair_exact"] == 1 / 2


def test_exact_is_the_text_to_the_last_blank():
    assert scores_of(("a b", "a b"), ("a  b", "a b"), ("A b", "a b"))["pair_exact"] == 1 / 3


def test_pads_that_agree_count_as_right_in_the_padded_accuracy():
    # Both are padded to four: three of four, then one symbol and two pads of four.
    pairs = (["a", "x", "c", "d"], ["a", "b", "c", "d"]), (["a", "b"], ["a"])
    outputs, targets = zip(*pairs, strict=True)
    assert padded_accuracy(outputs, targets) == pytest.approx((3 / 4 + 3 / 4) / 2)
    # One that is wrong altogether is nearly right beside a long one.
    long = ["w"] * 100
    assert padded_accuracy([["x"], long], [["a"], long]) == pytest.approx((99 / 100 + 1) / 2)
    assert padded_accuracy([["x"]], [["a"]]) == 0
    # The longest may be an output.
    assert padded_accuracy([["x"], long], [["a"], []]) == pytest.approx((99 / 100 + 0) / 2)
    assert padded_accuracy([[], []], [[], []]) == 1


def test_docs_are_padded_in_batches_in_the_order_of_the_corpus():
    short, long = (["x"], ["a"]), (["w"] * 10, ["w"] * 10)
    pairs = [short] * BATCH + [long] + [short] * 2
    outputs, targets = zip(*pairs, strict=True)
    assert BATCH == 64
    assert padded_accuracy(outputs, targets) == pytest.approx((0 * 64 + 1 + 2 * 9 / 10) / 67)


OUTPUTS = ["{{Cell}} Red cells{{/Cell}}  grew in the dark .", "The mice were fed at nine.", ""]
TARGETS = ["Red {{Cell}} cells{{/Cell}}  grew in the dark .", "The mice were fed at noon.", "No."]


def test_bleu_and_chrf_are_those_of_sacrebleu():
    scores, signatures = score_ngrams(OUTPUTS, TARGETS)
    bleu, chrf = BLEU(tokenize="13a"), CHRF()
    assert scores["bleu"] == bleu.corpus_score(OUTPUTS, [TARGETS]).score / 100
    assert scores["chrf"] == chrf.corpus_score(OUTPUTS, [TARGETS]).score / 100
    assert 0.5 < scores["bleu"] < scores["chrf"] < 0.9
    assert signatures == {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}
    assert signatures["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    found = make_pair_scorer(Markup())(
        [example_of(*pair) for pair in zip(OUTPUTS, TARGETS, strict=True)]
    )
    assert (found["pair_bleu"], found["pair_chrf"]) == (scores["bleu"], scores["chrf"])


def test_scores_are_never_above_1_and_no_text_scores_0():
    assert score_ngrams(TARGETS, TARGETS)[0] == {"bleu": 1, "chrf": 1}
    assert score_ngrams(["", ""], ["a b c d e", "f"])[0] == {"bleu": 0, "chrf": 0}


def test_sacrebleu_does_not_warn_of_texts_that_end_in_a_single_full_stop(caplog):
    score_ngrams(["so it was ."] * 200, ["so it was ."] * 200)
    assert not caplog.records


def test_docs_without_a_target_are_left_out_and_no_output_is_an_empty_one():
    examples = [example_of("a", None), example_of(None, "a b"), example_of("a b", "a b")]
    assert texts_of(examples) == (["", "a b"], ["a b", "a b"])
    scores = make_pair_scorer(Words())(examples)
    assert scores["pair_acc"] == 3 / 6 and scores["pair_exact"] == 1 / 2
    assert make_pair_scorer(Words())(examples[:1]) == dict.fromkeys(TEXTS)
    assert make_pair_scorer(Words())([]) == dict.fromkeys(TEXTS)
    assert list(score_texts([], [], Words()).values()) == [None] * 5


def test_an_empty_target_is_a_target():
    assert scores_of(("", ""), ("a", ""))["pair_exact"] == 1 / 2


def test_without_a_component_that_writes_there_is_nothing_to_score(monkeypatch):
    monkeypatch.delitem(Underscore.doc_extensions, "seq2seq")
    examples = [Example(NLP.make_doc("a"), NLP.make_doc("a"))]
    assert make_pair_scorer(Words())(examples) == dict.fromkeys(TEXTS)


def test_the_symbols_are_those_of_the_markup():
    # Red cells grew; four symbols and the end, of which "Red" is one too early.
    example = example_of("Red {{Cell}} cells{{/Cell}}", "{{Cell}} Red cells{{/Cell}}")
    scores = make_pair_scorer(Markup())([example])
    assert scores["pair_acc"] == 3 / 5
    assert scores["pair_acc_padded"] == 2 / 4


def with_entities(found: list[tuple], true: list[tuple] | None, text: str = "a b c d") -> Example:
    example = example_of("x", "x", text)
    example.predicted.set_ents([Span(example.x, *entity) for entity in found], default="outside")
    if true is not None:
        example.reference.set_ents([Span(example.y, *one) for one in true], default="outside")
    return example


def test_entities_are_scored_where_they_are_known():
    examples = [
        with_entities([(0, 1, "A"), (2, 3, "B")], [(0, 1, "A"), (2, 4, "B")]),
        with_entities([], [(1, 2, "A")]),
        with_entities([(0, 1, "A")], None),
    ]
    scores = make_pair_scorer(Words())(examples)
    assert [scores[key] for key in ENTS[:3]] == pytest.approx([1 / 2, 1 / 3, 2 / 5])
    assert scores["ents_per_type"]["A"] == pytest.approx({"p": 1, "r": 1 / 2, "f": 2 / 3})
    assert scores["ents_per_type"]["B"] == {"p": 0, "r": 0, "f": 0}
    assert scores["pair_exact"] == 1


def test_there_are_no_scores_of_entities_or_labels_where_none_are_known():
    examples = [with_entities([(0, 1, "A")], None), example_of("x", "x", "")]
    examples[0].predicted.cats = {"joy": 1.0}
    assert set(make_pair_scorer(Words())(examples)) == set(TEXTS)
    none_true = make_pair_scorer(Words())([with_entities([], [])])
    assert {key: none_true[key] for key in ENTS} == dict.fromkeys(ENTS)


def test_labels_are_scored_at_a_half_as_spacy_does():
    rows = [({"joy": 1.0, "anger": 0.0}, {"joy": 1.0, "anger": 1.0}),
            ({"joy": 0.5, "anger": 0.0}, {"joy": 0.0, "anger": 0.0}),
            ({"joy": 0.49}, {"joy": 1.0, "anger": 1.0})]  # fmt: skip
    examples = [example_of("x", "x") for _ in rows]
    for example, (found, true) in zip(examples, rows, strict=True):
        example.predicted.cats, example.reference.cats = found, true
    scores = make_pair_scorer(Words())(examples)
    # Of joy one is right, one is added, one is missed; of anger two are missed.
    assert scores["cats_micro_f"] == pytest.approx(2 / 6)
    assert scores["cats_macro_f"] == pytest.approx((1 / 2 + 0) / 2)
    theirs = Scorer.score_cats(examples, "cats", labels=["joy", "anger"], threshold=0.5)
    ours = {key: value for key, value in scores.items() if key.startswith("cats")}
    assert ours == {key: theirs[key] for key in ours}
    assert set(ours["cats_f_per_type"]) == {"joy", "anger"} and len(ours) == 7


def test_the_scorer_is_in_the_registry_and_ignores_what_the_pipe_adds():
    config = {"@scorers": "goemotions.pair_scorer.v1", "markup": {"@misc": "goemotions.Markup.v1"}}
    scorer = registry.resolve({"scorer": config})["scorer"]
    assert scorer([example_of("a", "a")], labels=("A",), step=3)["pair_exact"] == 1
    with pytest.raises(ConfigValidationError, match="markup"):
        registry.resolve({"scorer": config | {"markup": 3}})
