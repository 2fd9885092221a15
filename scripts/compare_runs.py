"""Put runs of text-to-text, or of the labels of words, into one table with their seeds."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from wasabi import msg

from scripts.compare import Costs, Paths, as_markdown, row_of
from scripts.compare_entities import read_groups

Task = Literal["pairs", "tokens"]

# By task; the first column is what decides which config is best.
COLUMNS: dict[str, Paths] = {
    "pairs": {
        "exact": ("text", "exact"),
        "token accuracy": ("text", "token_accuracy"),
        "with pads": ("text", "token_accuracy_padded"),
        "BLEU": ("text", "bleu"),
        "chrF": ("text", "chrf"),
        "same text": ("text", "faithful"),
        "entity F": ("exact", "micro", "f"),
        "macro-F1": ("labels", "macro_f1"),
        "micro-F1": ("labels", "micro_f1"),
    },
    "tokens": {
        "field F1": ("field_f1",),
        "micro-F1": ("micro_f1",),
        "as trained": ("as_trained", "micro_f1"),
        "macro-F1": ("macro_f1",),
        "whole text": ("exact",),
    },
}
COSTS: Costs = {
    "minutes": (("conditions", "training", "seconds"), 60, 1),
    "docs/s": (("docs_per_second",), 1, 0),
}


def compare_runs(
    folders: list[Path], split: str = "test", *, task: Task = "pairs"
) -> dict[str, dict[str, str]]:
    """Read the metrics of data sets and put each config into a row.

    folders: metrics/<data> each.
    split: dev or test. Dev scores flatter: decisions were tuned there.
    task: Which metrics to read: those of text-to-text, or of labels of words.
    RETURNS: By data set and config: seeds, then each column as mean ± standard deviation; columns
        that no run has are left out.
    RAISES ValueError: A folder has no such metrics, or they are of different docs.
    """
    columns = COLUMNS[task]
    rows = {
        f"{folder.name}: {name}": row_of(runs, columns, COSTS)
        for folder in folders
        for name, runs in read_groups(folder, split, next(iter(columns.values()))).items()
    }
    used = [column for column in next(iter(rows.values())) if any(r[column] for r in rows.values())]
    return {name: {column: row[column] for column in used} for name, row in rows.items()}


def main(
    data: Annotated[list[str], typer.Argument(help="Data sets: folders in metrics/")],
    task: Annotated[Task, typer.Option(help="Whose runs: text-to-text, or labels of words")],
    split: Annotated[str, typer.Option(help="dev or test")] = "test",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown")] = False,
) -> None:
    """Put runs of text-to-text, or of the labels of words, into one table with their seeds."""
    try:
        if split not in ("dev", "test"):
            raise ValueError(f"--split {split}. Expected dev or test.")
        rows = compare_runs([Path("metrics") / name for name in data], split, task=task)
    except ValueError as error:
        msg.fail("Cannot compare", str(error), exits=1)
    if markdown:
        print(as_markdown(rows))
        return
    header = ["config", *next(iter(rows.values()))]
    msg.table([[name, *row.values()] for name, row in rows.items()], header=header, divider=True)


if __name__ == "__main__":
    typer.run(main)
