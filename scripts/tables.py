"""Write the numbers of a metrics JSON that DVC, or a spreadsheet, can show."""

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

from scripts.files import check_output, replacing

SCORES, LABELS = "scores.json", "labels.csv"
RANKING = ("macro_f1", "micro_f1", "mean_average_precision", "macro_auc")
COLUMNS = ("support", "threshold", "precision", "recall", "f1", "average_precision")


def tables(metrics: Path, output: Path) -> dict[str, Any]:
    """Write scores.json, the handful of numbers to compare, and labels.csv, a row per label.

    metrics: JSON of scripts.evaluate.
    output: Folder for both; an earlier one stays until the new one is complete.
    RETURNS: What scores.json holds.
    RAISES ValueError: The file is no such JSON.
    """
    check_output(output, "tables", [SCORES], [metrics])
    try:
        found = json.loads(metrics.read_text(encoding="utf8"))
        scores = {name: found[name] for name in RANKING}
        scores["views"] = {name: view["macro_f1"] for name, view in found["views"].items()}
        rows = [
            {"label": label, **{column: row[column] for column in COLUMNS}}
            for label, row in found["per_label"].items()
        ]
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{metrics}: {reason}. Expected the JSON of evaluate.") from error
    with replacing(output) as temporary:
        temporary.mkdir()
        (temporary / SCORES).write_text(json.dumps(scores, indent=2) + "\n", encoding="utf8")
        with (temporary / LABELS).open("w", newline="", encoding="utf8") as stream:
            writer = csv.DictWriter(stream, ["label", *COLUMNS])
            writer.writeheader()
            writer.writerows(rows)
    return scores


def main(
    metrics: Annotated[Path, typer.Argument(help="JSON of evaluate", exists=True, dir_okay=False)],
    output: Annotated[Path, typer.Argument(help="Folder for scores.json and labels.csv")],
) -> None:
    """Write the main scores as a small JSON and those of the labels as a CSV."""
    try:
        scores = tables(metrics, output)
    except ValueError as error:
        msg.fail("Cannot write tables", str(error), exits=1)
    msg.good(f"macro-F1 {scores['macro_f1']:.3f}, micro-F1 {scores['micro_f1']:.3f}: {output}")


if __name__ == "__main__":
    typer.run(main)
