"""Scorer of text-to-text: whole texts, symbols, n-grams, and what the tags in the texts mark."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from sacrebleu.metrics import BLEU, CHRF
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

BATCH = 64  # docs that are padded together for pair_acc_padded
CATS = ("micro_p", "micro_r", "micro_f", "macro_p", "macro_r", "macro_f", "f_per_type")


@runtime_checkable
class Splitter(Protocol):
    """What takes texts apart, such as goemotions.Markup.v1."""

    def split(self, text: str) -> list[str]:
        """Return the symbols of a text."""
        ...


@registry.scorers("goemotions.pair_scorer.v1")
def make_pair_scorer(markup: Splitter) -> Callable:
    """Make a scorer of doc._.seq2seq; docs without a target are left out.

    markup: Takes texts apart into the symbols that token accuracy counts.
    RETURNS: A function that returns, 0 to 1, or None without a target:
        pair_exact: Share of the outputs that are the target.
        pair_acc: Share of the target's symbols that the output has at the same place; the end
            counts as one more, which is right if both are equally long.
        pair_acc_padded: See padded_accuracy; as a rule it flatters.
        pair_bleu, pair_chrf: See score_ngrams.
        And where the references have entities, ents_p, ents_r, ents_f and ents_per_type; where they
        have labels, cats_micro_f, cats_macro_f and so on at a threshold of 0.5, all as spaCy's.
    """
    return partial(_score, markup=markup)


def texts_of(examples: Iterable[Example]) -> tuple[list[str], list[str]]:
    """Return outputs and targets of the examples that have a target; no output is an empty one."""
    pairs = [(_text_of(example.predicted), _text_of(example.reference)) for example in examples]
    known = [(output or "", target) for output, target in pairs if target is not None]
    return [output for output, _ in known], [target for _, target in known]


def score_texts(
    outputs: Sequence[str], targets: Sequence[str], markup: Splitter
) -> dict[str, float | None]:
    """Return exact, acc, acc_padded, bleu and chrf; see make_pair_scorer."""
    if not targets:
        return dict.fromkeys(("exact", "acc", "acc_padded", "bleu", "chrf"))
    said, true = ([markup.split(text) for text in texts] for texts in (outputs, targets))
    right = sum(_count_right(*pair) for pair in zip(said, true, strict=True))
    return {
        "exact": sum(a == b for a, b in zip(outputs, targets, strict=True)) / len(targets),
        "acc": right / sum(len(symbols) + 1 for symbols in true),
        "acc_padded": padded_accuracy(said, true),
        **score_ngrams(outputs, targets)[0],
    }


def padded_accuracy(outputs: Sequence[list[str]], targets: Sequence[list[str]]) -> float:
    """Compute token accuracy over outputs and targets that are padded to the longest of 64 docs.

    Pads that agree count as right, so that a short text among long ones is nearly right whatever is
    written. Only good for a comparison with numbers that were counted so.

    outputs, targets: Symbols of each doc, in the order of the corpus.
    RETURNS (0 to 1): Mean over the docs.
    """
    shares = []
    for start in range(0, len(targets), BATCH):
        said, true = outputs[start : start + BATCH], targets[start : start + BATCH]
        width = max(map(len, [*said, *true]))
        for one, other in zip(said, true, strict=True):
            wrong = max(len(one), len(other)) - sum(map(str.__eq__, one, other))
            shares.append(1 - wrong / max(1, width))
    return sum(shares) / len(shares)


def score_ngrams(
    outputs: Sequence[str], targets: Sequence[str]
) -> tuple[dict[str, float], dict[str, str]]:
    """Compute BLEU and chrF of the corpus, with the texts and their tags as they are.

    RETURNS: The scores, 0 to 1, and the signatures that say how they were computed.
    SOURCE: Post 2018, A Call for Clarity in Reporting BLEU Scores; Popović 2015, chrF.
    """
    # Without force sacrebleu warns of texts that end in a single full stop.
    metrics = {"bleu": BLEU(force=True), "chrf": CHRF()}
    scores = {
        # Rounding makes 100.00000000000004 of BLEU.
        name: min(1.0, metric.corpus_score(list(outputs), [list(targets)]).score / 100)
        for name, metric in metrics.items()
    }
    return scores, {name: str(metric.get_signature()) for name, metric in metrics.items()}


def _text_of(doc: Doc) -> str | None:
    return doc._.seq2seq if doc.has_extension("seq2seq") else None


def _count_right(output: list[str], target: list[str]) -> int:
    return sum(map(str.__eq__, output, target)) + (len(output) == len(target))


def _score(examples: Iterable[Example], *, markup: Splitter, **settings: Any) -> dict[str, Any]:
    examples = list(examples)
    scores: dict[str, Any] = {
        f"pair_{name}": value for name, value in score_texts(*texts_of(examples), markup).items()
    }
    if any(len(x.reference) and x.reference.has_annotation("ENT_IOB") for x in examples):
        scores |= get_ner_prf(examples)
    if labels := sorted({label for x in examples for label in x.reference.cats}):
        found = Scorer.score_cats(examples, "cats", labels=labels, threshold=0.5)
        scores |= {f"cats_{name}": found[f"cats_{name}"] for name in CATS}
    return scores
