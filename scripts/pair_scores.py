"""Compute the scores of written texts and of what the tags in them mark."""

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray
from spacy.training import Example

from plugins.entity_scorers import is_annotated, summarise
from plugins.markup import Markup
from plugins.pair_scorer import score_ngrams, score_texts, texts_of
from scripts.bootstrap import resample_macro_f1
from scripts.evaluate_entities import COUNTS, KINDS, counts_by_doc, resample_f, score

LENGTHS = (10, 20, 40)  # symbols; the longest of each group, and one of longer ones
NAMES = {"acc": "token_accuracy", "acc_padded": "token_accuracy_padded"}


def score_text(examples: list[Example], markup: Markup, resamples: int = 1000) -> dict[str, Any]:
    """Return the scores of the texts.

    RETURNS: exact, token_accuracy and so on, see goemotions.pair_scorer.v1; faithful, the share of
        outputs that have the text of the source, whatever their tags; copied, the scores of
        the sources as outputs; lengths, exact by the number of the source's symbols.
    """
    outputs, targets = texts_of(examples)
    sources = [example.reference.text for example in examples]
    right = numpy.array([a == b for a, b in zip(outputs, targets, strict=True)])
    plain = [[markup.parse(text)[0] for text in texts] for texts in (outputs, sources)]
    drawn = resample_mean(right, resamples=resamples)[1:]
    return {
        **named_scores(outputs, targets, markup),
        "signatures": score_ngrams([""], [""])[1],  # the same for all texts
        "confidence_95": numpy.percentile(drawn, [2.5, 97.5]).round(4).tolist(),
        "faithful": sum(map(str.__eq__, *plain)) / len(sources),
        "copied": named_scores(sources, targets, markup),
        "lengths": by_length([len(markup.split(text)) for text in sources], right),
    }


def score_tags(examples: list[Example], tags: str, resamples: int = 1000) -> dict[str, Any]:
    """Return the scores of what the tags mark, over the docs where it is known.

    tags: none, entities or labels, as the component has it.
    RETURNS: As evaluate_entities writes them; {"labels": ...} with macro_f1, whose interval
        confidence_95 is, and so on; or nothing.
    """
    if tags == "entities":
        known = [example for example in examples if is_annotated(example.reference, None)]
        return _score_entities(known, resamples) if known else {}
    known = [example for example in examples if example.reference.cats]
    return {"labels": _score_labels(known, resamples)} if tags == "labels" and known else {}


def _score_entities(examples: list[Example], resamples: int) -> dict[str, Any]:
    by_doc = counts_by_doc(examples, None)
    drawn = resample_f(by_doc, resamples=resamples)[1:]
    return {
        **{kind: score(examples, None, count) for kind, count in KINDS.items()},
        "confidence_95": numpy.percentile(drawn, [2.5, 97.5]).round(4).tolist(),
        "documents": dict(zip(COUNTS, (" ".join(map(str, x)) for x in by_doc.T), strict=True)),
    }


def _score_labels(examples: list[Example], resamples: int) -> dict[str, Any]:
    labels = list(dict.fromkeys(label for x in examples for label in x.reference.cats))
    truth, picked = (
        numpy.array([[doc.cats.get(label, 0) >= 0.5 for label in labels] for doc in docs])
        for docs in zip(*((x.reference, x.predicted) for x in examples), strict=True)
    )
    counts = numpy.stack([(truth & picked).sum(0), picked.sum(0), truth.sum(0)], axis=1).tolist()
    micro, by_label = summarise([dict(zip(labels, counts, strict=True))])
    drawn = resample_macro_f1(truth, picked, resamples=resamples)
    return {
        "macro_f1": float(drawn[0]),
        "micro_f1": micro["f"],
        "subset_accuracy": float((truth == picked).all(axis=1).mean()),
        "confidence_95": numpy.percentile(drawn[1:], [2.5, 97.5]).round(4).tolist(),
        "per_label": by_label,
    }


def resample_mean(
    values: NDArray[numpy.bool_], *, resamples: int = 1000, seed: int = 0
) -> NDArray[numpy.float64]:
    """Return the mean of all docs, then of docs drawn with replacement [1 + resamples].

    seed: Equal seeds draw the same docs for every system; those of resample_f.
    """
    docs = len(values)
    drawn = numpy.random.default_rng(seed).multinomial(docs, [1 / docs] * docs, resamples)
    return numpy.concatenate([[values.mean()], drawn @ values / docs])


def by_length(lengths: list[int], right: NDArray[numpy.bool_]) -> list[dict[str, Any]]:
    """Return how many docs are how long, and the share that is right; groups without docs are out.

    lengths ([docs]): Symbols.
    """
    groups = numpy.searchsorted(LENGTHS, lengths)
    starts = (0, *(last + 1 for last in LENGTHS))
    names = [f"{a} to {b}" for a, b in zip(starts, LENGTHS, strict=False)]
    names.append(f"{starts[-1]} or more")
    return [
        {"symbols": name, "docs": int(inside.sum()), "exact": float(right[inside].mean())}
        for number, name in enumerate(names)
        if (inside := groups == number).any()
    ]


def named_scores(
    outputs: Sequence[str], targets: Sequence[str], markup: Markup
) -> dict[str, float | None]:
    """Return the scores of the pair scorer under the names that they have in metrics."""
    scores = score_texts(outputs, targets, markup)
    return {NAMES.get(name, name): value for name, value in scores.items()}
