"""Print what a finished run has produced: the scores, where they are, and three readings."""

from pathlib import Path
from typing import Annotated

import srsly
import typer
from wasabi import msg

from scripts.predict import predict
from scripts.predictor import describe

SENTENCES = (
    "I can't believe you did this for me, thank you so much!",
    "Great, the train is cancelled again. Just what I needed.",
    "Does anyone know when the library opens on Sundays?",
)


def summarise(pipeline: Path, metrics: Path, report: Path | None = None) -> str:
    """Return the summary of a run as text.

    pipeline: Pipeline with tuned thresholds.
    metrics: JSON of scripts.evaluate.
    report: Page of scripts.report; named last.
    RAISES ValueError: One of them is missing.
    """
    if not metrics.exists():
        raise ValueError(f"{metrics}: no such file. Run `make run` first.")
    result = srsly.read_json(metrics)
    low, high = result["confidence_95"]["macro_f1"]
    seconds = result["conditions"]["training"].get("seconds", 0)
    lines = [
        f"macro-F1 {result['macro_f1']:.3f} (95 % interval {low:.3f} to {high:.3f}), "
        f"micro-F1 {result['micro_f1']:.3f}, mAP {result['mean_average_precision']:.3f}",
        f"on {result['docs']} posts of {result['conditions']['corpus']}, thresholds tuned on dev",
        f"trained in {seconds / 60:.1f} minutes, reads {result['docs_per_second']:.0f} posts/s",
        f"metrics:  {metrics}",
        f"pipeline: {pipeline}",
        "",
    ]
    if "sample" in Path(result["conditions"]["corpus"]).parts:
        lines.insert(2, "The sample only proves that the parts fit; its scores mean nothing else.")
    for reading in predict(pipeline, SENTENCES):
        lines += [f"  {reading['text']}", f"      {describe(reading)}"]
    if report:
        lines += ["", f"report, to open in a browser: {report}"]
    return "\n".join(lines)


def main(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline with tuned thresholds")],
    metrics: Annotated[Path, typer.Argument(help="JSON of scripts.evaluate")],
    report: Annotated[Path | None, typer.Option(help="Page of scripts.report", exists=True)] = None,
) -> None:
    """Print the scores of a run, where they are, and the model's reading of three sentences."""
    try:
        text = summarise(pipeline, metrics, report)
    except ValueError as error:
        msg.fail("Nothing to summarise", str(error), exits=1)
    msg.divider("Result")
    print(text)


if __name__ == "__main__":
    typer.run(main)
