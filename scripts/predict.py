"""Read sentences with a trained pipeline and print what it decides and why."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

from scripts.evaluate import stored_thresholds
from scripts.scores import load_pipeline


def predict(model: Path, texts: Iterable[str], *, gpu_id: int = -1) -> Iterator[dict[str, Any]]:
    """Predict texts.

    model: Pipeline with tuned thresholds.
    RETURNS: Per text: text, emotions (highest score first), scores of all labels.
    RAISES ValueError: The model cannot be loaded or has no thresholds.
    """
    nlp = load_pipeline(model, gpu_id)
    stored_thresholds(nlp, model)
    for doc in nlp.pipe(texts):
        yield {"text": doc.text, "emotions": doc._.emotions, "scores": dict(doc.cats)}


def describe(result: dict[str, Any]) -> str:
    """Return one line: the decided labels with their scores, or the nearest if none was decided."""
    scores = result["scores"]
    said = [f"{label} {scores[label]:.2f}" for label in result["emotions"]]
    if said:
        return ", ".join(said)
    nearest = max(scores, key=scores.get)
    return f"no decision (nearest: {nearest} {scores[nearest]:.2f})"


def main(
    model: Annotated[Path, typer.Argument(help="Pipeline with tuned thresholds")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, lines are read from stdin")
    ] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Read sentences with a trained pipeline and print what it decides."""
    lines = texts or (line.rstrip("\n") for line in sys.stdin)
    try:
        for result in predict(model, lines, gpu_id=gpu_id):
            print(f"{result['text']}\n    {describe(result)}")
    except ValueError as error:
        msg.fail("Cannot predict", str(error), exits=1)


if __name__ == "__main__":
    typer.run(main)
