"""Score means of transformers on dev: of the last checkpoints, of runs, and of what runs say."""

from pathlib import Path
from typing import Annotated, Any

import numpy
import spacy
import typer
from numpy.typing import NDArray
from spacy.language import Language
from wasabi import msg

import plugins  # noqa: F401  registers what the pipelines name
from benchmarks.conditions import conditions, write_result
from scripts.metrics import macro_auc, macro_f1, mean_average_precision, micro_f1
from scripts.scores import find_pipeline, predict_scores
from scripts.thresholds import tune_thresholds

Scores = NDArray[numpy.float64]


def averaging(runs: list[Path], corpus: Path) -> dict[str, dict[str, float]]:
    """Score each run as it is, its last two checkpoints averaged, then all runs together.

    runs: Folders of trained runs with trained/top, which goemotions.TopKCheckpoints.v1 writes.
    corpus: Dev set; thresholds are tuned on it, so the scores compare and are no results.
    RETURNS: By arm: macro_f1, micro_f1, mean_average_precision, macro_auc. "scores averaged" is
        the ensemble of the runs, "weights averaged" one model of the means of their weights.
    RAISES ValueError: A run has less than two checkpoints.
    """
    results, said, last = {}, [], []
    for run in runs:
        # By step, which their names begin with.
        found = sorted((run / "trained" / "top").glob("step-*"))
        if len(found) < 2:
            raise ValueError(f"{run}: {len(found)} checkpoints in trained/top. Expected two.")
        before, latest = (spacy.load(find_pipeline(path)) for path in found[-2:])
        scores = predict_scores(latest, corpus)
        results[run.name] = measure(scores.scores, scores.truth)
        average(before, [latest])
        results[f"{run.name}, last two checkpoints"] = measure(
            predict_scores(before, corpus).scores, scores.truth
        )
        said.append(scores.scores)
        last.append(latest)
    if len(runs) > 1:
        results["scores averaged"] = measure(numpy.mean(said, axis=0), scores.truth)
        average(last[0], last[1:])
        results["weights averaged"] = measure(predict_scores(last[0], corpus).scores, scores.truth)
    return results


def average(nlp: Language, others: list[Language]) -> None:
    """Give a pipeline the means of its own weights and those of others of its kind."""
    for weights in zip(*(list(_weights(one)) for one in (nlp, *others)), strict=True):
        for own, *rest in zip(*weights, strict=True):
            if numpy.issubdtype(own.dtype, numpy.floating):
                own[...] = numpy.mean([own, *rest], axis=0)


def measure(scores: Scores, truth: Scores) -> dict[str, float]:
    """Return scores at thresholds tuned on the same docs, rounded to 4 digits."""
    thresholds, _ = tune_thresholds(scores, truth, method="bootstrap")
    on, picked = truth > 0, scores >= thresholds
    found = {
        "macro_f1": macro_f1(on, picked),
        "micro_f1": micro_f1(on, picked),
        "mean_average_precision": mean_average_precision(on, scores),
        "macro_auc": macro_auc(on, scores),
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def _weights(nlp: Language) -> Any:
    """Yield lists of weights as arrays that share the memory of the pipeline's."""
    for _, component in nlp.pipeline:
        for node in component.model.walk() if hasattr(component, "model") else ():
            yield [node.get_param(name) for name in node.param_names]
            for shim in node.shims:
                yield [value.numpy() for value in shim._model.state_dict().values()]


def main(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs with trained/top")],
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
) -> None:
    """Score means of transformers on dev: of checkpoints, of runs' weights and scores."""
    before = conditions("averaging", 0)
    try:
        results = averaging(runs, Path("corpus") / data / "dev.spacy")
    except ValueError as error:
        msg.fail("Cannot score", str(error), exits=1)
    output = Path("metrics") / data / "benchmark_averaging.json"
    write_result(output, {"results": results, "conditions": before})
    rows = [(name, *found.values()) for name, found in results.items()]
    msg.table(rows, header=("arm", "macro-F1", "micro-F1", "mAP", "AUC"), divider=True)
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
