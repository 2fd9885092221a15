"""Tune a threshold per label on dev and store them in a copy of the pipeline."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.language import Language
from wasabi import msg

from scripts.calibration import Calibration, fit_curves
from scripts.files import check_output, hash_of, replacing
from scripts.scores import TEXTCAT_FACTORIES, load_pipeline, predict_scores
from scripts.thresholds import Method, Objective, tune_thresholds

GO_BY_HASHES = {*TEXTCAT_FACTORIES, "transformer", "decide"}


def decide(
    model: Path,
    corpus: Path,
    output: Path,
    *,
    objective: Objective = "macro",
    method: Method = "bootstrap",
    min_support: int = 5,
    calibration: Calibration = "isotonic",
    gpu_id: int = -1,
    seed: int = 0,
) -> dict[str, Any]:
    """Tune thresholds in one prediction pass and write the pipeline with a decide component.

    model: Trained pipeline; stays as it is.
    corpus: Dev set, .spacy.
    output: Folder of the new pipeline.
    calibration: What turns scores into doc._.probabilities; decisions do not depend on it.
    RETURNS: thresholds per label, global_threshold, settings.
    RAISES ValueError: The model or the corpus cannot be used.
    """
    check_output(output, "pipeline", ["meta.json"], [model, corpus])
    nlp = load_pipeline(model, gpu_id)
    if "decide" in nlp.pipe_names:
        nlp.remove_pipe("decide")
    found = predict_scores(nlp, corpus)
    thresholds, global_threshold = tune_thresholds(
        found.scores,
        found.truth,
        objective=objective,
        method=method,
        min_support=min_support,
        seed=seed,
    )
    settings = {
        "objective": objective,
        "method": method,
        "min_support": min_support,
        "seed": seed,
        "docs": len(found.scores),
        "calibration": calibration,
        "corpus_sha256": hash_of(corpus),
    }
    component = nlp.add_pipe("decide", last=True)
    tuned = dict(zip(found.labels, thresholds.tolist(), strict=True))
    curves = fit_curves(found.scores, found.truth, calibration, min_support)
    component.set(tuned, global_threshold, settings, curves)
    with replacing(output) as temporary:
        nlp.to_disk(temporary)
        _forget_words(nlp, temporary)
        if (model / "training.json").exists():
            shutil.copy(model / "training.json", temporary)
    return {"thresholds": tuned, "global_threshold": global_threshold, "settings": settings}


def _forget_words(nlp: Language, folder: Path) -> None:
    """Leave the words of the training texts out of a saved pipeline that has no use for them.

    Classifiers go by hashes of words. Other components, and vectors, may look strings up.
    """
    factories = {nlp.get_pipe_meta(name).factory for name in nlp.component_names}
    if factories <= GO_BY_HASHES and not nlp.vocab.vectors_length:
        (folder / "vocab" / "strings.json").write_text("[]", encoding="utf8")


def main(
    model: Annotated[Path, typer.Argument(help="Trained pipeline, e.g. .../trained/model-best")],
    corpus: Annotated[Path, typer.Argument(help="Dev set as .spacy; never the test set")],
    output: Annotated[Path, typer.Argument(help="Where the pipeline with thresholds goes")],
    objective: Annotated[Objective, typer.Option(help="Which F-score to maximise")] = "macro",
    method: Annotated[
        Method,
        typer.Option(help="Median of bootstrapped optima, optimum of expected F, or that of dev"),
    ] = "bootstrap",
    min_support: Annotated[
        int, typer.Option(help="Labels with fewer positives use the global threshold", min=0)
    ] = 5,
    calibration: Annotated[
        Calibration, typer.Option(help="How scores become doc._.probabilities; decisions stay")
    ] = "isotonic",
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
    seed: Annotated[int, typer.Option(help="Seed of the bootstraps", min=0)] = 0,
) -> None:
    """Tune a threshold per label on dev and store them in a copy of the pipeline."""
    try:
        result = decide(
            model,
            corpus,
            output,
            objective=objective,
            method=method,
            min_support=min_support,
            calibration=calibration,
            gpu_id=gpu_id,
            seed=seed,
        )
    except ValueError as error:
        msg.fail("Cannot tune thresholds", str(error), exits=1)
    values = result["thresholds"].values()
    msg.good(
        f"{len(values)} thresholds from {min(values):.2f} to {max(values):.2f}, "
        f"global {result['global_threshold']:.2f}: {output}"
    )


if __name__ == "__main__":
    typer.run(main)
