"""Put the experiments of a data set into one table: mean and deviation over seeds."""

import re
import statistics
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from wasabi import msg

COLUMNS = {
    "macro-F1": ("macro_f1",),
    "micro-F1": ("micro_f1",),
    "micro-F1, one threshold": ("decisions", "at_global", "micro_f1"),
    "mAP": ("mean_average_precision",),
    "AUC": ("macro_auc",),
    "Ekman-7": ("views", "ekman", "macro_f1"),
    "sentiment-4": ("views", "sentiment", "macro_f1"),
}
COSTS = {
    "minutes": (("conditions", "training", "seconds"), 60, 1),
    "posts/s": (("docs_per_second",), 1, 0),
    "MB": (("conditions", "pipeline_mb"), 1, 1),
}
SEED = re.compile(r"-seed\d+$")


def compare(folder: Path, split: str = "test") -> dict[str, dict[str, str]]:
    """Read the metrics of a data set.

    folder: metrics/<data>.
    split: dev or test. Dev scores flatter: thresholds were tuned there.
    RETURNS: By experiment without its seed, best macro-F1 first: seeds, then each column as mean ±
        standard deviation (of the sample), then the means of the costs; "" where a file lacks one.
    RAISES ValueError: There are no metrics of that split.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        result = srsly.read_json(path)
        stem = path.name.removesuffix(".json")
        if "macro_f1" in result and stem.endswith(".test") == (split == "test"):
            name = SEED.sub("", stem.removesuffix(".test"))
            groups.setdefault(name, []).append(result)
    if not groups:
        raise ValueError(
            f"{folder}: no metrics of {split}. Run python -m scripts.experiment first."
        )
    order = sorted(groups, key=lambda name: -statistics.mean(r["macro_f1"] for r in groups[name]))
    return {name: _row(groups[name]) for name in order}


def as_markdown(rows: dict[str, dict[str, str]]) -> str:
    """Return the table as Markdown."""
    header = ["config", *next(iter(rows.values()))]
    lines = [header, ["---"] * len(header)]
    lines += [[name, *row.values()] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(results: list[dict[str, Any]]) -> dict[str, str]:
    row = {"seeds": str(len(results))}
    for name, path in COLUMNS.items():
        row[name] = _spread([_value(result, path) for result in results])
    for name, (path, unit, digits) in COSTS.items():
        values = [_value(result, path) for result in results]
        row[name] = "" if None in values else f"{statistics.mean(values) / unit:,.{digits}f}"
    return row


def _spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return ""
    mean = f"{statistics.mean(known):.3f}"
    return f"{mean} ± {statistics.stdev(known):.3f}" if len(known) > 1 else mean


def _value(result: dict[str, Any], path: tuple[str, ...]) -> float | None:
    found: Any = result
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def main(
    data: Annotated[str, typer.Argument(help="Data set, a folder in metrics/")] = "goemotions",
    split: Annotated[str, typer.Option(help="dev or test")] = "test",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown")] = False,
) -> None:
    """Compare the experiments of a data set: mean and standard deviation over their seeds."""
    try:
        if split not in ("dev", "test"):
            raise ValueError(f"--split {split}. Expected dev or test.")
        rows = compare(Path("metrics") / data, split)
    except ValueError as error:
        msg.fail("Nothing to compare", str(error), exits=1)
    if markdown:
        print(as_markdown(rows))
        return
    header = ("config", *next(iter(rows.values())))
    table = [(name, *row.values()) for name, row in rows.items()]
    msg.table(table, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))


if __name__ == "__main__":
    typer.run(main)
