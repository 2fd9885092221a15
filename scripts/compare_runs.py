"""Put runs of text-to-text into one table, with their seeds."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from scripts.compare import Costs, Paths, as_markdown, row_of
from scripts.compare_entities import read_groups

COLUMNS: Paths = {
    "exact": ("text", "exact"),
    "token accuracy": ("text", "token_accuracy"),
    "with pads": ("text", "token_accuracy_padded"),
    "BLEU": ("text", "bleu"),
    "chrF": ("text", "chrf"),
    "same text": ("text", "faithful"),
    "entity F": ("exact", "micro", "f"),
    "macro-F1": ("labels", "macro_f1"),
    "micro-F1": ("labels", "micro_f1"),
}
COSTS: Costs = {
    "minutes": (("conditions", "training", "seconds"), 60, 1),
    "docs/s": (("docs_per_second",), 1, 0),
}


def compare_pairs(folders: list[Path], split: str = "test") -> dict[str, dict[str, str]]:
    """Read the metrics of data sets and put each config into a row.

    folders: metrics/<data> each.
    split: dev or test. Dev scores flatter: the decoder was chosen there.
    RETURNS: By data set and config: seeds, then each column as mean ± standard deviation; columns
        that no run has are left out.
    RAISES ValueError: A folder has no such metrics, or they are of different docs.
    """
    rows = {
        f"{folder.name}: {name}": row_of(runs, COLUMNS, COSTS)
        for folder in folders
        for name, runs in read_groups(folder, split, COLUMNS["exact"]).items()
    }
    used = [column for column in next(iter(rows.values())) if any(r[column] for r in rows.values())]
    return {name: {column: row[column] for column in used} for name, row in rows.items()}


def main(
    data: Annotated[list[str], typer.Argument(help="Data sets: folders in metrics/")],
    split: Annotated[str, typer.Option(help="dev or test")] = "test",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown")] = False,
) -> None:
    """Put runs of text-to-text into one table, with their seeds."""
    try:
        if split not in ("dev", "test"):
            raise ValueError(f"--split {split}. Expected dev or test.")
        rows = compare_pairs([Path("metrics") / name for name in data], split)
    except ValueError as error:
        msg.fail("Cannot compare", str(error), exits=1)
    if markdown:
        print(as_markdown(rows))
        return
    header = ["config", *next(iter(rows.values()))]
    msg.table([[name, *row.values()] for name, row in rows.items()], header=header, divider=True)


if __name__ == "__main__":
    typer.run(main)
