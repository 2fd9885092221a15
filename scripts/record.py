"""Make the tables of docs/record.md from the metrics of a data set."""

import re
import statistics
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

from scripts.bootstrap import unpack
from scripts.compare import COLUMNS, Paths, as_markdown, differences, read_runs, row_of
from scripts.files import replacing
from scripts.leaks import BASELINE, kept, noted_of, read_leaks
from scripts.metrics import macro_f1, micro_f1

Rows = dict[str, dict[str, str]]
Runs = dict[str, dict[Path, dict[str, Any]]]
TRIED = "tried-"
DISTILLED = "-distilled"
ALL: Paths = {
    "macro-F1": COLUMNS["macro-F1"],
    "macro-F1, one threshold": ("decisions", "at_global", "macro_f1"),
    **COLUMNS,
}
RANKED: Paths = {name: COLUMNS[name] for name in ("macro-F1", "mAP", "AUC")}
BOTH: Paths = {
    "macro-F1": ("macro_f1",),
    "macro-F1 without": ("unseen", "macro_f1"),
    "micro-F1": ("micro_f1",),
    "micro-F1 without": ("unseen", "micro_f1"),
    "mAP": ("mean_average_precision",),
    "mAP without": ("unseen", "mean_average_precision"),
}
NONE = "No such runs yet."
PART = re.compile(r"(<!-- record: (?!end)(\w+) -->\n).*?(<!-- record: end -->)", re.DOTALL)


def record(folder: Path) -> dict[str, Rows]:
    """Return every table of the page.

    folder: metrics/<data>.
    RETURNS: By table, its rows; none where there are no such runs. test: scores and costs. leaks:
        scores with and without docs whose text is in train. baseline: paired bootstrap against the
        logistic regression. distilled: the same of each <config>-distilled against <config>.
        tried: what was tried on dev, beside the config that it changes.
    RAISES ValueError: There are no metrics, or they do not fit each other.
    """
    runs = read_runs(folder, "test")
    pairs = {name: name.removesuffix(DISTILLED) for name in runs if name.endswith(DISTILLED)}
    pairs = {name: plain for name, plain in pairs.items() if plain in runs}
    return {
        "test": {
            name: {**row_of(list(found.values()), ALL), "thresholds": _methods(found)}
            for name, found in runs.items()
        },
        "leaks": _with_and_without(folder, runs),
        "baseline": differences(folder, reference=BASELINE) if BASELINE in runs else {},
        "distilled": differences(folder, others=pairs) if pairs else {},
        "tried": tried(read_runs(folder, "dev")),
    }


def fill(page: str, tables: dict[str, Rows]) -> str:
    """Return the page with the tables between their marks, `<!-- record: test -->` and `end`.

    RAISES ValueError: A mark of no table, or a table without a mark.
    """
    marks = [name for _, name, _ in PART.findall(page)]
    if sorted(marks) != sorted(tables):
        raise ValueError(
            f"Marks {', '.join(marks) or 'none'}. Expected {', '.join(tables)}, each once."
        )
    return PART.sub(lambda found: f"{found[1]}{as_text(tables[found[2]])}\n{found[3]}", page)


def as_text(rows: Rows) -> str:
    """Return a table as Markdown, or a sentence if it has no rows."""
    return as_markdown(rows) if rows else NONE


def tried(runs: Runs) -> Rows:
    """Return what was tried on dev, best first, and what it changes.

    runs: Of dev. Names of what was tried start with `tried-`.
    RETURNS: By experiment: seeds, scores at thresholds tuned on dev, which flatter; what it is
        compared with, and the mean ± standard deviation of the difference over the seeds that both
        have.
    """
    found, bases = {}, {}
    for name, seeds in runs.items():
        if not name.startswith(TRIED):
            continue
        base = _base_of(name, next(iter(seeds.values())), runs)
        found[name] = {**_dev_row(seeds), "versus": base, **_difference(seeds, runs.get(base, {}))}
        if base in runs:
            bases[base] = {**_dev_row(runs[base]), "versus": "", **_difference({}, {})}
    return {name: {**bases, **found}[name] for name in runs if name in bases or name in found}


def _methods(seeds: dict[Path, dict[str, Any]]) -> str:
    """Return how thresholds were tuned, scripts.decide --method."""
    found = [run["conditions"].get("thresholds", {}) for run in seeds.values()]
    return ", ".join(sorted({settings.get("method", "") for settings in found}))


def _dev_row(seeds: dict[Path, dict[str, Any]]) -> dict[str, str]:
    return row_of(list(seeds.values()), RANKED, {})


def _base_of(name: str, run: dict[str, Any], runs: Runs) -> str:
    """Return the experiment that a run is a change of.

    RETURNS: tried-short of tried-short-vectors, if there is one. Else the run's config, distilled
        if the run is.
    """
    shorter = [other for other in runs if other.startswith(TRIED) and name.startswith(f"{other}-")]
    if shorter:
        return max(shorter, key=len)
    facts = run.get("experiment", {})
    base = Path(facts.get("config", "")).stem
    soft = any(part.startswith("labels=soft") for part in facts.get("parts", []))
    return base + DISTILLED if soft and base + DISTILLED in runs else base


def _difference(
    ours: dict[Path, dict[str, Any]], theirs: dict[Path, dict[str, Any]]
) -> dict[str, str]:
    one, other = ({run["conditions"]["seed"]: run for run in of.values()} for of in (ours, theirs))
    row = {}
    for name in ("macro-F1", "mAP"):
        key = RANKED[name][0]
        gaps = [one[seed][key] - other[seed][key] for seed in one if seed in other]
        spread = f" ± {statistics.stdev(gaps):.3f}" if len(gaps) > 1 else ""
        row[f"difference in {name}"] = f"{statistics.mean(gaps):+.3f}{spread}" if gaps else ""
    return row


def _with_and_without(folder: Path, runs: Runs) -> Rows:
    leaks = read_leaks(folder)
    if leaks is None:
        return {}
    rows = {}
    for name, found in runs.items():
        results = [_unseen(path, run, leaks) for path, run in found.items()]
        rows[name] = row_of(results, BOTH, {})
    return rows


def _unseen(path: Path, run: dict[str, Any], leaks: dict[str, Any]) -> dict[str, Any]:
    """Return a run with its scores on docs whose text is not in train, as far as they are known."""
    if "documents" not in run:
        return run
    if run["conditions"]["corpus_sha256"] != leaks["corpus_sha256"]:
        raise ValueError(f"{path}: of another corpus. Run python -m scripts.leaks again.")
    shape, keep = (run["docs"], len(run["per_label"])), kept(leaks)
    truth, picked = (unpack(run["documents"][key], *shape)[keep] for key in ("truth", "picked"))
    scores = {"macro_f1": macro_f1(truth, picked), "micro_f1": micro_f1(truth, picked)}
    return {
        **run,
        "unseen": {**noted_of(leaks, path.name.removesuffix(".test.json"), run), **scores},
    }


def main(
    data: Annotated[str, typer.Argument(help="Data set, a folder in metrics/")] = "goemotions",
    page: Annotated[
        Path | None, typer.Option(help="Put the tables there, between their marks", exists=True)
    ] = None,
) -> None:
    """Print the tables of docs/record.md, or put them there."""
    try:
        tables = record(Path("metrics") / data)
        if page is not None:
            text = fill(page.read_text(encoding="utf8"), tables)
            with replacing(page) as temporary:
                temporary.write_text(text, encoding="utf8")
    except ValueError as error:
        msg.fail("No record", str(error), exits=1)
    if page is not None:
        msg.good(f"{len(tables)} tables: {page}")
        return
    for name, rows in tables.items():
        print(f"{name}\n\n{as_text(rows)}\n")


if __name__ == "__main__":
    typer.run(main)
