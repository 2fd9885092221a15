"""Cross-validate on dev how good the decisions of each way to tune thresholds are."""

from pathlib import Path
from typing import Annotated, Any, get_args

import numpy
import spacy
import typer
from numpy.typing import NDArray
from sklearn.model_selection import KFold
from tqdm import tqdm
from wasabi import msg

import plugins  # noqa: F401  registers what the pipelines name
from benchmarks.conditions import conditions, write_result
from scripts.metrics import macro_f1, micro_f1
from scripts.scores import find_pipeline, predict_scores
from scripts.thresholds import Method, tune_thresholds

Floats = NDArray[numpy.float64]
FOLDS = 5
ONE = "one for all labels"


def thresholds(runs: list[Path], corpus: Path, repeats: int) -> dict[str, Any]:
    """Tune on four fifths of dev, decide the rest, and score all decisions together.

    runs: Pipelines. corpus: Dev set.
    repeats: Ways to part dev into fifths; means count.
    RETURNS: by way: macro_f1 and micro_f1, means over runs; runs: macro_f1 of each.
    """
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for run in runs:
        scored = predict_scores(spacy.load(find_pipeline(run)), corpus)
        for way, values in cross_validated(scored.scores, scored.truth, repeats).items():
            found.setdefault(way, []).append(values)
    results = {}
    for way, values in found.items():
        means = numpy.mean(values, axis=1)
        macro, micro = means.mean(axis=0).round(4).tolist()
        results[way] = {"macro_f1": macro, "micro_f1": micro, "runs": means[:, 0].round(4).tolist()}
    return results


def cross_validated(
    scores: Floats, truth: Floats, repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Return macro-F1 and micro-F1 of each repeat, by way to tune."""
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in tqdm(range(repeats), desc="repeats"):
        picked = {way: numpy.zeros(truth.shape, dtype=bool) for way in (*get_args(Method), ONE)}
        for rest, fold in KFold(FOLDS, shuffle=True, random_state=seed).split(scores):
            for method in get_args(Method):
                least, common = tune_thresholds(scores[rest], truth[rest], method=method)
                picked[method][fold] = scores[fold] >= least
                picked[ONE][fold] = scores[fold] >= common
        for way, chosen in picked.items():
            on = truth > 0
            found.setdefault(way, []).append((macro_f1(on, chosen), micro_f1(on, chosen)))
    return found


def main(
    runs: Annotated[list[Path], typer.Argument(help="Pipelines", exists=True)],
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
    repeats: Annotated[int, typer.Option(help="Ways to part dev", min=1)] = 2,
) -> None:
    """Compare ways to tune thresholds by five-fold cross-validation on dev."""
    before = conditions("thresholds", 0)
    corpus = Path("corpus") / data / "dev.spacy"
    if not corpus.exists():
        msg.fail(f"No {corpus}. Run preprocess first.", exits=1)
    results = thresholds(runs, corpus, repeats)
    output = Path("metrics") / data / "benchmark_thresholds.json"
    write_result(output, {"results": results, "repeats": repeats, "conditions": before})
    rows = [(way, f"{r['macro_f1']:.4f}", f"{r['micro_f1']:.4f}") for way, r in results.items()]
    header = ("thresholds", "macro-F1", "micro-F1")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
