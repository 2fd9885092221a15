"""Put the experiments of a data set into one table, and say which are better than others."""

import re
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from wasabi import msg

from scripts.bootstrap import Floats, resample_macro_f1, unpack

Paths = dict[str, tuple[str, ...]]  # where in the metrics a column is
Costs = dict[str, tuple[tuple[str, ...], float, int]]  # the same, its unit, and digits

COLUMNS: Paths = {
    "macro-F1": ("macro_f1",),
    "micro-F1": ("micro_f1",),
    "micro-F1, one threshold": ("decisions", "at_global", "micro_f1"),
    "mAP": ("mean_average_precision",),
    "AUC": ("macro_auc",),
    "Ekman-7": ("views", "ekman", "macro_f1"),
    "sentiment-4": ("views", "sentiment", "macro_f1"),
}
COSTS: Costs = {
    "minutes": (("conditions", "training", "seconds"), 60, 1),
    "posts/s": (("docs_per_second",), 1, 0),
    "MB": (("conditions", "pipeline_mb"), 1, 1),
}
SEED = re.compile(r"-seed\d+(?=-|$)")


def compare(folder: Path, split: str = "test") -> dict[str, dict[str, str]]:
    """Read the metrics of a data set.

    folder: metrics/<data>.
    split: dev or test. Dev scores flatter: thresholds were tuned there.
    RETURNS: By experiment without its seed, best macro-F1 first: seeds, then each column as mean ±
        standard deviation (of the sample), then the means of the costs; "" where a file lacks one.
    RAISES ValueError: There are no metrics of that split.
    """
    return {name: row_of(list(runs.values())) for name, runs in read_runs(folder, split).items()}


def differences(
    folder: Path,
    split: str = "test",
    *,
    reference: str | None = None,
    others: dict[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, str]]:
    """Say by how much experiments differ in macro-F1, by a paired bootstrap over the docs.

    Every resample draws docs, scores each seed of both experiments on them, and takes the
    difference of the means over seeds. Decisions are those that were made: thresholds stay fixed.

    folder, split: As for compare.
    reference: Experiment to compare the others with; each with the next lower one when None.
    others: By experiment, the one to compare it with; no more than these, and no reference then.
    resamples, seed: Of the bootstrap.
    RETURNS: By experiment, best first: what it is compared with, seeds of both, the difference on
        all docs, the interval of the middle 95 % of the resamples, the share of them in which the
        difference is above 0 (a tie is half a win), and the verdict: better or worse only if the
        interval excludes 0.
    RAISES ValueError: There are no such metrics, they are of different docs, or damaged.
    SOURCE: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation.
    """
    groups = read_runs(folder, split)
    named = [reference or "", *(others or {}), *(others or {}).values()]
    for name in named:
        if name and name not in groups:
            raise ValueError(f"--reference {name}. Expected one of {', '.join(groups)}.")
    _check_same_docs({path: run for runs in groups.values() for path, run in runs.items()})
    names = list(groups)
    pairs = list((others or {}).items())
    if others is None:
        against = ((name, reference) for name in names if name != reference)
        pairs = list(pairwise(names) if reference is None else against)
    drawn: dict[str, Floats | str] = {
        name: _resample(groups[name], resamples, seed)
        for name in {n for pair in pairs for n in pair}
    }
    return {
        one: {
            "versus": other,
            "seeds": f"{len(groups[one])} against {len(groups[other])}",
            **verdict(drawn[one], drawn[other]),
        }
        for one, other in pairs
    }


def as_markdown(rows: dict[str, dict[str, str]], what: str = "config") -> str:
    """Return the table as Markdown; the first column is headed by what its rows are."""
    header = [what, *next(iter(rows.values()))]
    lines = [header, ["---"] * len(header)]
    lines += [[name, *row.values()] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def repeated(folder: Path, split: str = "test") -> dict[Path, Path]:
    """Return runs of a config and seed that another file has too; they count once.

    RETURNS: By file that is left out, the one that counts.
    """
    return _repeated(_groups(folder, split))


def _repeated(groups: dict[str, dict[Path, dict[str, Any]]]) -> dict[Path, Path]:
    found = {}
    for runs in groups.values():
        first: dict[int, Path] = {}
        for path, run in runs.items():
            seed = run.get("conditions", {}).get("seed")
            if seed is not None and first.setdefault(seed, path) != path:
                found[path] = first[seed]
    return found


def read_runs(folder: Path, split: str) -> dict[str, dict[Path, dict[str, Any]]]:
    """Return the runs of each experiment by file, the best experiment first.

    folder, split: As for compare.
    RAISES ValueError: There are no metrics of that split.
    """
    groups = _groups(folder, split)
    again = _repeated(groups)
    groups = {
        name: {path: run for path, run in runs.items() if path not in again}
        for name, runs in groups.items()
    }
    if not groups:
        raise ValueError(
            f"{folder}: no metrics of {split}. Run python -m scripts.experiment first."
        )

    def score(name: str) -> float:
        return statistics.mean(run["macro_f1"] for run in groups[name].values())

    return {name: groups[name] for name in sorted(groups, key=score, reverse=True)}


def _groups(folder: Path, split: str) -> dict[str, dict[Path, dict[str, Any]]]:
    """Return the runs by their names without the seed."""
    groups: dict[str, dict[Path, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        result = srsly.read_json(path)
        stem = path.name.removesuffix(".json")
        if "macro_f1" in result and stem.endswith(".test") == (split == "test"):
            name = SEED.sub("", stem.removesuffix(".test"))
            groups.setdefault(name, {})[path] = result
    return groups


def _check_same_docs(runs: dict[Path, dict[str, Any]]) -> None:
    """Raise ValueError unless all runs that kept their decisions are of the same docs."""
    first = None
    for path, run in runs.items():
        if "documents" not in run:
            continue
        found = (run["conditions"]["corpus_sha256"], list(run["per_label"]), run["docs"])
        first = first or (path, found)
        if found != first[1]:
            raise ValueError(
                f"{path} is of corpus {found[0][:12]} with {found[2]} docs and {len(found[1])} "
                f"labels, {first[0]} of {first[1][0][:12]} with {first[1][2]} and "
                f"{len(first[1][1])}. Expected the same: evaluate both on one corpus."
            )


def _resample(runs: dict[Path, dict[str, Any]], resamples: int, seed: int) -> Floats | str:
    """Return macro-F1 by resample, the mean over seeds; a word on what is missing if it is."""
    found = []
    for path, run in runs.items():
        if "documents" not in run:
            return f"not compared: no decisions in {path.name}"
        shape = run["docs"], len(run["per_label"])
        try:
            truth, picked = (unpack(run["documents"][key], *shape) for key in ("truth", "picked"))
        except ValueError as error:
            raise ValueError(f"{path}: {error} Evaluate again.") from error
        found.append(resample_macro_f1(truth, picked, resamples=resamples, seed=seed))
    return numpy.mean(found, axis=0)


def verdict(ours: Floats | str, theirs: Floats | str, metric: str = "macro-F1") -> dict[str, str]:
    """Say by how much one system is better than another, and whether that is sure.

    ours, theirs ([1 + resamples]): Score of all docs, then of docs drawn with replacement, the same
        for both; or a word on what is missing.
    RETURNS: The difference, the interval of the middle 95 % of the resamples, the share of them in
        which it is above 0, and the verdict: better or worse only if the interval excludes 0.
    """
    columns = (f"difference in {metric}", "95 % interval", "P(better)", "verdict")
    missing = next((found for found in (ours, theirs) if isinstance(found, str)), None)
    if missing:
        return dict.fromkeys(columns, "") | {"verdict": missing}
    difference, drawn = (ours - theirs)[0], (ours - theirs)[1:]
    low, high = numpy.percentile(drawn, [2.5, 97.5])
    wins = numpy.mean(drawn > 0) + numpy.mean(drawn == 0) / 2
    word = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    values = f"{difference:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{wins:.3f}", word
    return dict(zip(columns, values, strict=True))


def row_of(
    results: list[dict[str, Any]], columns: Paths = COLUMNS, costs: Costs = COSTS
) -> dict[str, str]:
    """Return a row of a table: seeds, mean and deviation of scores, mean of costs."""
    row = {"seeds": str(len(results))}
    for name, path in columns.items():
        row[name] = _spread([value_of(result, path) for result in results])
    for name, (path, unit, digits) in costs.items():
        values = [value_of(result, path) for result in results]
        row[name] = "" if None in values else f"{statistics.mean(values) / unit:,.{digits}f}"
    return row


def _spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return ""
    mean = f"{statistics.mean(known):.3f}"
    return f"{mean} ± {statistics.stdev(known):.3f}" if len(known) > 1 else mean


def value_of(result: dict[str, Any], path: tuple[str, ...]) -> float | None:
    """Return what metrics have at a path of keys, None if there is nothing."""
    found: Any = result
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _print(rows: dict[str, dict[str, str]], markdown: bool) -> None:
    if markdown:
        print(as_markdown(rows) + "\n")
        return
    header = ("config", *next(iter(rows.values())))
    table = [(name, *row.values()) for name, row in rows.items()]
    msg.table(table, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))


def main(
    data: Annotated[str, typer.Argument(help="Data set, a folder in metrics/")] = "goemotions",
    split: Annotated[str, typer.Option(help="dev or test")] = "test",
    reference: Annotated[
        str | None,
        typer.Option(help="Config to compare the others with  [default: the next lower one]"),
    ] = None,
    resamples: Annotated[int, typer.Option(help="Of the paired bootstrap", min=100)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the paired bootstrap", min=0)] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown")] = False,
) -> None:
    """Compare the experiments of a data set: mean and deviation over seeds, and who is better."""
    try:
        if split not in ("dev", "test"):
            raise ValueError(f"--split {split}. Expected dev or test.")
        folder = Path("metrics") / data
        rows = compare(folder, split)
        against = differences(folder, split, reference=reference, resamples=resamples, seed=seed)
    except ValueError as error:
        msg.fail("Nothing to compare", str(error), exits=1)
    for path, first in repeated(folder, split).items():
        msg.warn(f"{path} is left out: of the seed of {first}")
    _print(rows, markdown)
    if against:
        _print(against, markdown)


if __name__ == "__main__":
    typer.run(main)
