"""Put entity recognisers into one table, and say which are better than a reference."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from numpy.typing import NDArray
from wasabi import msg

from scripts.compare import SEED, Costs, Paths, as_markdown, row_of, value_of, verdict
from scripts.evaluate_entities import COUNTS, resample_f

COLUMNS: Paths = {
    "P": ("exact", "micro", "p"),
    "R": ("exact", "micro", "r"),
    "F": ("exact", "micro", "f"),
    "F as trained": ("as_trained", "f"),
    "token F": ("token", "micro", "f"),
    "overlap F": ("overlap", "micro", "f"),
}
COSTS: Costs = {
    "minutes": (("conditions", "training", "seconds"), 60, 1),
    "docs/s": (("docs_per_second",), 1, 0),
}


def compare_entities(
    folders: list[Path], split: str = "test", *, reference: str | None = None, resamples: int = 1000
) -> dict[str, dict[str, str]]:
    """Read the metrics of data sets; compare each recogniser with the reference on the same docs.

    folders: metrics/<data> each.
    split: dev or test. Dev scores flatter: the recall bias was tuned there.
    reference: Which runs to compare with: `ner`, or the best whose name begins so, `ner-vectors`;
        ner, if it is there, when None.
    resamples: Of the paired bootstrap over the docs.
    RETURNS: By data set and config: seeds, then each column as mean ± standard deviation; the
        difference in F and the verdict.
    RAISES ValueError: A folder has no such metrics, no reference, or they are of different docs.
    """
    rows: dict[str, dict[str, str]] = {}
    for folder in folders:
        groups = read_groups(folder, split)
        drawn = {name: _resample(runs, resamples) for name, runs in groups.items()}
        base = _base_of(groups, reference or "ner")
        if reference and not base:
            known = ", ".join(groups)
            raise ValueError(f"{folder}: --reference {reference}. Expected one of {known}.")
        for name, runs in groups.items():
            row = row_of(runs, COLUMNS, COSTS)
            row["F as trained"] = row["F as trained"] or row["F"]
            if base and name != base:
                row |= verdict(drawn[name], drawn[base], "F")
            rows[f"{folder.name}: {name}"] = row
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    return {name: {c: row.get(c, "") for c in columns} for name, row in rows.items()}


def read_groups(
    folder: Path, split: str, best: tuple[str, ...] = COLUMNS["F"]
) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of each config, the one with the best score first.

    best: Where the score is in the metrics; files without it are of other tasks.
    RAISES ValueError: There are none, or they are of different docs.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    first = ""
    for path in sorted(folder.glob("*.json")):
        stem = path.name.removesuffix(".json")
        if stem.endswith(".test") != (split == "test"):
            continue
        run = srsly.read_json(path)
        if value_of(run, best) is None:
            continue
        corpus = run["conditions"]["corpus_sha256"]
        if corpus != (first := first or corpus):
            raise ValueError(f"{path}: of corpus {corpus[:12]}. Expected {first[:12]}, as others.")
        groups.setdefault(SEED.sub("", stem.removesuffix(".test")), []).append(run)
    if not groups:
        said = ".".join(best)
        raise ValueError(f"{folder}: no {split} metrics with {said}. Run scripts.experiment first.")
    score = {n: numpy.mean([value_of(run, best) for run in r]) for n, r in groups.items()}
    return {name: groups[name] for name in sorted(groups, key=lambda n: -score[n])}


def _base_of(names: Iterable[str], reference: str) -> str | None:
    """Return which of the names the reference is; those in the order of their scores."""
    if reference in names:
        return reference
    return next((name for name in names if name.startswith(f"{reference}-")), None)


def _resample(runs: list[dict[str, Any]], resamples: int) -> NDArray[numpy.float64]:
    """Return F of all docs and of drawn ones, the mean over seeds."""
    found = []
    for run in runs:
        columns = [numpy.array(run["documents"][x].split(), dtype="int64") for x in COUNTS]
        found.append(resample_f(numpy.stack(columns, axis=1), resamples=resamples))
    return numpy.mean(found, axis=0)


def main(
    data: Annotated[list[str], typer.Argument(help="Data sets: folders in metrics/")],
    split: Annotated[str, typer.Option(help="dev or test")] = "test",
    reference: Annotated[
        str | None,
        typer.Option(help="Config to compare the others with  [default: ner, if it is there]"),
    ] = None,
    resamples: Annotated[int, typer.Option(help="Of the paired bootstrap", min=1)] = 1000,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown")] = False,
) -> None:
    """Put entity recognisers into one table, and say which are better than a reference."""
    try:
        if split not in ("dev", "test"):
            raise ValueError(f"--split {split}. Expected dev or test.")
        folders = [Path("metrics") / name for name in data]
        rows = compare_entities(folders, split, reference=reference, resamples=resamples)
    except ValueError as error:
        msg.fail("Cannot compare", str(error), exits=1)
    if markdown:
        print(as_markdown(rows))
        return
    header = ["config", *next(iter(rows.values()))]
    msg.table([[name, *row.values()] for name, row in rows.items()], header=header, divider=True)


if __name__ == "__main__":
    typer.run(main)
