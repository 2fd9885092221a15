"""Score a pipeline on a corpus: one JSON with every number, and a table on screen."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from spacy.language import Language
from wasabi import msg

from scripts.bootstrap import pack
from scripts.calibration import calibration_errors, held_out
from scripts.files import check_result, hash_of, replacing
from scripts.metrics import compute_metrics
from scripts.scores import Scores, load_pipeline, predict_scores, stored_thresholds

PACKAGES = (
    "spacy",
    "thinc",
    "numpy",
    "scikit-learn",
    "torch",
    "transformers",
    "spacy-transformers",
)


def evaluate(
    model: Path,
    corpus: Path,
    output: Path,
    *,
    views: Path | None = None,
    gpu_id: int = -1,
    resamples: int = 200,
) -> dict[str, Any]:
    """Predict a corpus once and write all metrics and how they came about.

    model: Pipeline with tuned thresholds, from scripts.decide.
    corpus: .spacy file or folder.
    output: The JSON to write.
    views: JSON of label groups; the Ekman and sentiment views come from there.
    resamples: Bootstraps for the confidence intervals.
    RETURNS: What was written.
    RAISES ValueError: The model has no thresholds, or the corpus does not fit.
    """
    check_result(output, [model, corpus])
    nlp = load_pipeline(model, gpu_id)
    thresholds, global_threshold = stored_thresholds(nlp, model)
    found = predict_scores(nlp, corpus)
    groups = srsly.read_json(views) if views else {}
    least = numpy.array([thresholds[label] for label in found.labels])
    metrics = compute_metrics(
        found.scores,
        found.truth,
        found.labels,
        least,
        global_threshold,
        groups,
        resamples=resamples,
    )
    result = {
        **metrics,
        "docs_per_second": round(len(found.scores) / found.seconds, 1),
        "calibration": _calibration(nlp, found, corpus),
        "conditions": conditions_of(nlp, model, corpus, thresholds=nlp.get_pipe("decide").settings),
        "documents": {"truth": pack(found.truth > 0), "picked": pack(found.scores >= least)},
    }
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    return result


def _calibration(nlp: Language, found: Scores, corpus: Path) -> dict[str, Any] | None:
    """Return how far scores and probabilities hold, or None if there are no probabilities."""
    component = nlp.get_pipe("decide")
    if not component.curves:
        return None
    probabilities, crossed = held_out(
        found.scores, found.truth, component.curves, component.settings, hash_of(corpus)
    )
    return {
        "method": component.settings["calibration"],
        "cross_fitted": crossed,
        "before": calibration_errors(found.scores, found.truth),
        "after": calibration_errors(probabilities, found.truth),
    }


def conditions_of(nlp: Language, model: Path, corpus: Path, **decision: Any) -> dict[str, Any]:
    """Return what scores depend on: model, corpus, how decisions were tuned, training, versions.

    decision: How they were tuned, under the name that it gets.
    """
    training, files = model / "training.json", [p for p in model.rglob("*") if p.is_file()]
    return {
        "model": model.as_posix(),
        "corpus": corpus.as_posix(),
        "corpus_sha256": hash_of(corpus),
        "pipeline_mb": round(sum(path.stat().st_size for path in files) / 1e6, 2),
        "config_sha256": hash_of(model / "config.cfg"),
        "seed": nlp.config.interpolate()["training"]["seed"],
        **decision,
        "training": srsly.read_json(training) if training.exists() else {},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def print_table(result: dict[str, Any]) -> None:
    """Print the metrics as a human reads them: summary, views, then labels by falling support."""
    rows = [
        (name.removeprefix("at_"), *(f"{100 * d[key]:.1f}" for key in _COLUMNS.values()))
        for name, d in result["decisions"].items()
    ]
    msg.table(rows, header=("threshold", *_COLUMNS), divider=True, aligns=("l", *"r" * 5))
    ranking = f"mAP {result['mean_average_precision']:.3f}, macro AUC {result['macro_auc']:.3f}"
    msg.text(f"{ranking}, {result['docs']} docs, {result['docs_per_second']:.0f} docs/s")
    for name, (low, high) in result["confidence_95"].items():
        msg.text(f"95 % interval of {name}: {low:.3f} to {high:.3f}")
    if calibration := result["calibration"]:
        before, after = (f"{calibration[x]['ece']:.4f}" for x in ("before", "after"))
        msg.text(f"calibration error {before}, of probabilities {after}")
    for name, view in result["views"].items():
        parts = ", ".join(f"{group} {100 * score:.0f}" for group, score in view["f1"].items())
        msg.text(f"{name}: macro-F1 {100 * view['macro_f1']:.1f} ({parts})")
    labels = sorted(result["per_label"].items(), key=lambda item: -item[1]["support"])
    rows = [
        (label, *(f"{100 * row[k]:.1f}" for k in ("precision", "recall", "f1")), row["support"],
         f"{row['threshold']:.2f}")
        for label, row in labels
    ]  # fmt: skip
    header = ("label", "P", "R", "F1", "support", "threshold")
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * 5))


_COLUMNS = {
    "macro-F1": "macro_f1",
    "micro-F1": "micro_f1",
    "weighted-F1": "weighted_f1",
    "exact": "subset_accuracy",
    "Hamming": "hamming_loss",
}


def main(
    model: Annotated[Path, typer.Argument(help="Pipeline with tuned thresholds")],
    corpus: Annotated[Path, typer.Argument(help="Corpus as .spacy")],
    output: Annotated[Path, typer.Argument(help="JSON to write", dir_okay=False)],
    views: Annotated[Path | None, typer.Option(help="JSON of label groups", exists=True)] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
    resamples: Annotated[
        int, typer.Option(help="Bootstraps for the confidence intervals, 0 for none", min=0)
    ] = 200,
) -> None:
    """Score a pipeline on a corpus: one JSON with every number, and a table on screen."""
    try:
        result = evaluate(model, corpus, output, views=views, gpu_id=gpu_id, resamples=resamples)
    except ValueError as error:
        msg.fail("Cannot evaluate", str(error), exits=1)
    print_table(result)
    msg.good(f"macro-F1 {result['macro_f1']:.3f}, micro-F1 {result['micro_f1']:.3f}: {output}")


if __name__ == "__main__":
    typer.run(main)
