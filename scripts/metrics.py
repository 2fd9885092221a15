"""Compute every number of a metrics file from arrays of scores and truth, with scikit-learn."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    hamming_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)
from tqdm import tqdm

Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]
Views = dict[str, dict[str, list[str]]]


def compute_metrics(
    scores: Floats,
    truth: Floats,
    labels: list[str],
    thresholds: Floats,
    global_threshold: float,
    views: Views | None = None,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute all metrics of one prediction pass.

    scores ([docs, labels], 0 to 1): Scores.
    truth ([docs, labels], 0 or 1): What is true.
    thresholds ([labels]), global_threshold: From dev, compared with >=.
    views: Coarser groupings of the labels, name -> group -> labels; a group is picked if any of its
        labels is. Labels in no group stand for themselves.
    resamples: Bootstraps of the docs for the 95 % intervals; 0 leaves them out.
    RETURNS: The metrics, 0 to 1. Labels without positives count 0 in macro-F, and are left out of
        mAP and AUC, which are undefined there.
    """
    picked = {
        "at_0.5": scores >= 0.5,
        "at_global": scores >= global_threshold,
        "at_per_label": scores >= thresholds,
    }
    best = picked["at_per_label"]
    truth = truth.astype(bool)
    return {
        "docs": len(truth),
        "macro_f1": macro_f1(truth, best),
        "micro_f1": micro_f1(truth, best),
        "mean_average_precision": mean_average_precision(truth, scores),
        "macro_auc": macro_auc(truth, scores),
        "decisions": {name: _decision_metrics(truth, pick) for name, pick in picked.items()},
        "views": {
            name: _view(truth, best, labels, groups) for name, groups in (views or {}).items()
        },
        "confidence_95": _intervals(truth, scores, picked, resamples, seed),
        "global_threshold": global_threshold,
        "per_label": _per_label(truth, best, scores, labels, thresholds),
    }


def macro_f1(truth: Bools, picked: Bools, weight: Floats | None = None) -> float:
    """Return the mean over the labels of their F1."""
    return _f1(truth, picked, "macro", weight)


def micro_f1(truth: Bools, picked: Bools, weight: Floats | None = None) -> float:
    """Return the F1 of all decisions together."""
    return _f1(truth, picked, "micro", weight)


def mean_average_precision(truth: Bools, scores: Floats, weight: Floats | None = None) -> float:
    """Return the mean average precision over labels that have positives."""
    return _mean_defined(average_precision_score, truth, scores, weight)


def macro_auc(truth: Bools, scores: Floats, weight: Floats | None = None) -> float:
    """Return the mean area under the ROC curve over labels that have positives and negatives."""
    return _mean_defined(roc_auc_score, truth, scores, weight)


def _f1(truth: Bools, picked: Bools, average: str, weight: Floats | None = None) -> float:
    score = f1_score(truth, picked, average=average, zero_division=0, sample_weight=weight)
    return float(score)


def _mean_defined(metric: Callable, truth: Bools, scores: Floats, weight: Floats | None) -> float:
    counted = truth if weight is None else truth[weight > 0]
    used = numpy.flatnonzero(counted.any(axis=0) & ~counted.all(axis=0))
    values = [metric(truth[:, j], scores[:, j], sample_weight=weight) for j in used]
    return float(numpy.mean(values)) if values else 0.0


def _decision_metrics(truth: Bools, picked: Bools) -> dict[str, float]:
    return {
        "macro_f1": macro_f1(truth, picked),
        "micro_f1": micro_f1(truth, picked),
        "weighted_f1": _f1(truth, picked, "weighted"),
        "subset_accuracy": float(accuracy_score(truth, picked)),
        "hamming_loss": float(hamming_loss(truth, picked)),
        "labels_per_doc": float(picked.sum(axis=1).mean()),
    }


def _per_label(
    truth: Bools, picked: Bools, scores: Floats, labels: list[str], thresholds: Floats
) -> dict[str, dict[str, float | None]]:
    precision, recall, f_score, support = precision_recall_fscore_support(
        truth, picked, zero_division=0
    )
    return {
        label: {
            "precision": float(precision[j]),
            "recall": float(recall[j]),
            "f1": float(f_score[j]),
            "support": int(support[j]),
            "average_precision": (
                float(average_precision_score(truth[:, j], scores[:, j])) if support[j] else None
            ),
            "threshold": float(thresholds[j]),
        }
        for j, label in enumerate(labels)
    }


def complete_groups(groups: dict[str, list[str]], labels: list[str]) -> dict[str, list[str]]:
    """Return the groups, plus one of its own for every label that is in none.

    RAISES ValueError: A group names an unknown label, or a label is in two groups.
    """
    named = [label for members in groups.values() for label in members]
    odd = sorted({label for label in named if named.count(label) > 1 or label not in labels})
    if odd:
        raise ValueError(
            f"View groups: {', '.join(odd)}. Expected known labels, each in one group."
        )
    return {**groups, **{label: [label] for label in labels if label not in named}}


def _view(
    truth: Bools, picked: Bools, labels: list[str], groups: dict[str, list[str]]
) -> dict[str, Any]:
    complete = complete_groups(groups, labels)
    columns = [[labels.index(label) for label in members] for members in complete.values()]
    grouped_truth = numpy.stack([truth[:, c].any(axis=1) for c in columns], axis=1)
    grouped = numpy.stack([picked[:, c].any(axis=1) for c in columns], axis=1)
    f_scores = f1_score(grouped_truth, grouped, average=None, zero_division=0)
    return {
        "macro_f1": macro_f1(grouped_truth, grouped),
        "micro_f1": micro_f1(grouped_truth, grouped),
        "f1": dict(zip(complete, map(float, f_scores), strict=True)),
    }


def _intervals(
    truth: Bools, scores: Floats, picked: dict[str, Bools], resamples: int, seed: int
) -> dict[str, list[float]]:
    """Return percentile bootstrap intervals, 2.5 % to 97.5 %, over docs; thresholds stay fixed."""
    if not resamples:
        return {}
    rng = numpy.random.default_rng(seed)
    even = numpy.full(len(truth), 1 / len(truth))
    drawn: dict[str, list[float]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a rare label can have no doc in a resample
        for _ in tqdm(range(resamples), desc="bootstrap", unit="resamples"):
            weight = rng.multinomial(len(truth), even).astype("float64")
            best = picked["at_per_label"]
            found = {
                "macro_f1": macro_f1(truth, best, weight),
                "micro_f1": micro_f1(truth, best, weight),
                "macro_f1_at_global": macro_f1(truth, picked["at_global"], weight),
                "mean_average_precision": mean_average_precision(truth, scores, weight),
                "macro_auc": macro_auc(truth, scores, weight),
            }
            for name, value in found.items():
                drawn.setdefault(name, []).append(value)
    return {name: numpy.percentile(v, [2.5, 97.5]).tolist() for name, v in drawn.items()}
