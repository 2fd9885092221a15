"""What a report shows of single docs and groups of them, computed from scores and truth."""

from collections import Counter
from typing import Any

import numpy
from numpy.typing import NDArray

from scripts.bootstrap import resample_f1
from scripts.label_errors import likely_wrong
from scripts.metrics import macro_f1, micro_f1

Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]
Rows = list[dict[str, Any]]
LENGTHS = (5, 10, 15, 20, 25)  # tokens; where groups of lengths end


def label_rows(metrics: dict[str, Any], truth: Bools, picked: Bools, *, seed: int = 0) -> Rows:
    """Return the labels, best F1 first, with the middle 95 % of it over 1,000 bootstraps."""
    drawn = resample_f1(truth, picked, seed=seed)[1:]
    low, high = numpy.percentile(drawn, [2.5, 97.5], axis=0)
    rows = [
        {"label": label, **found, "low": float(low[j]), "high": float(high[j])}
        for j, (label, found) in enumerate(metrics["per_label"].items())
    ]
    return sorted(rows, key=lambda row: -row["f1"])


def worst_errors(
    texts: list[str],
    probabilities: Floats,
    truth: Bools,
    picked: Bools,
    labels: list[str],
    most: int = 200,
) -> Rows:
    """Return the docs with a wrong decision that were the least expected, by log loss.

    RETURNS: text, true, missed and added labels, loss; the greatest loss first.
    """
    sure = numpy.where(truth, probabilities, 1 - probabilities).clip(1e-3, 1)
    loss = -numpy.log(sure).sum(axis=1)
    wrong = (truth != picked).any(axis=1)
    order = [int(n) for n in numpy.argsort(-loss, kind="stable") if wrong[n]]
    return [
        _error(n, texts, truth, picked, labels) | {"loss": float(loss[n])} for n in order[:most]
    ]


def _error(
    number: int, texts: list[str], truth: Bools, picked: Bools, labels: list[str]
) -> dict[str, Any]:
    def names(cells: Bools) -> list[str]:
        return [label for label, on in zip(labels, cells[number], strict=True) if on]

    return {
        "text": texts[number],
        "true": names(truth),
        "missed": names(truth & ~picked),
        "added": names(picked & ~truth),
    }


def label_issues(
    texts: list[str], probabilities: Floats, truth: Bools, labels: list[str], most: int = 100
) -> Rows:
    """Return the docs whose labels are likely wrong, the likeliest first.

    probabilities ([docs, labels]): Of a model that did not learn from these docs.
    RETURNS: text, true labels, those that `likely_wrong` would have, with probabilities, and how
        many docs were found in all.
    """
    wrong, quality = likely_wrong(truth, probabilities)
    suspect = wrong.any(axis=1)
    order = [int(n) for n in numpy.argsort(quality, kind="stable") if suspect[n]]
    rows = []
    for number in order[:most]:
        likely = numpy.flatnonzero(truth[number] ^ wrong[number])
        rows.append(
            {
                "text": texts[number],
                "true": [labels[j] for j in numpy.flatnonzero(truth[number])],
                "likely": [f"{labels[j]} {probabilities[number, j]:.2f}" for j in likely],
                "found": len(order),
            }
        )
    return rows


def length_rows(lengths: list[int], truth: Bools, picked: Bools) -> Rows:
    """Return the scores of short and of long docs.

    lengths (tokens): Of the docs.
    RETURNS: tokens, docs, micro_f1, macro_f1; groups without docs are left out.
    """
    group = numpy.searchsorted(LENGTHS, lengths)
    starts = (1, *(end + 1 for end in LENGTHS))
    rows = []
    for number, start in enumerate(starts):
        chosen = group == number
        if not chosen.any():
            continue
        end = LENGTHS[number] if number < len(LENGTHS) else None
        rows.append(
            {
                "tokens": f"{start} to {end}" if end else f"{start} or more",
                "docs": int(chosen.sum()),
                "micro_f1": micro_f1(truth[chosen], picked[chosen]),
                "macro_f1": macro_f1(truth[chosen], picked[chosen]),
            }
        )
    return rows


def repeated_texts(texts: list[str]) -> dict[str, int]:
    """Count the docs whose text is there once more, exactly and without case and white space."""
    normal = [" ".join(text.lower().split()) for text in texts]
    return {
        name: sum(count - 1 for count in Counter(found).values())
        for name, found in (("exact", texts), ("normalised", normal))
    }


def co_occurrence(cells: Bools) -> Floats:
    """Return how often the label of a column is there, where that of the row is.

    RETURNS ([labels, labels], 0 to 1): nan on the diagonal and in rows of labels never there.
    """
    counts = cells.T.astype("float64") @ cells.astype("float64")
    own = counts.diagonal().copy()
    shares = numpy.divide(
        counts, own[:, None], out=numpy.full(counts.shape, numpy.nan), where=own[:, None] > 0
    )
    numpy.fill_diagonal(shares, numpy.nan)
    return shares
