"""Compare metrics that were made again with those that are committed."""

import json
import statistics
from pathlib import Path
from typing import Any

from scripts.compare import COLUMNS, SEED, value_of

TOLERANCE = 0.02  # single seeds that differ by less are noise: 5,427 docs, 6 of the rarest label
EQUAL = 0.0005  # the same to three digits


def check(
    runs: list[str], metrics: Path, work: Path, tolerance: float
) -> dict[str, dict[str, str]]:
    """Compare what came out with the metrics that are committed.

    metrics: metrics/<data>. work: As for reproduce.
    tolerance: Least difference in macro-F1 of a run that counts as another result.
    RETURNS: By run whose metrics are there: both macro-F1, the difference, a verdict, which begins
        with `different` if it is that much; and the largest difference of the other scores.
    """
    rows = {}
    for run in runs:
        file, made = f"{run}.test.json", work / "metrics" / metrics.name
        if (made / file).exists():
            old, new = (json.loads((folder / file).read_text()) for folder in (metrics, made))
            spread = _spread(run, metrics)
            gaps = {name: _gap(old, new, path) for name, path in COLUMNS.items()}
            gap = gaps.pop("macro-F1")
            other = max(gaps, key=lambda name: abs(gaps[name]))
            rows[run] = {
                "committed": f"{old['macro_f1']:.3f}",
                "now": f"{new['macro_f1']:.3f}",
                "difference": f"{gap:+.4f}",
                "verdict": verdict(gap, spread, tolerance),
                "largest of other scores": f"{other} {gaps[other]:+.4f}",
            }
    return rows


def verdict(gap: float, spread: float, tolerance: float) -> str:
    """Say whether a score is the same, as another seed could make it, or another.

    gap: Of macro-F1. spread: Standard deviation over the seeds that are committed.
    """
    if abs(gap) < EQUAL:
        return "equal"
    if abs(gap) > tolerance:
        return f"different: by more than {tolerance}"
    return "within the spread of seeds" if abs(gap) <= spread else f"within {tolerance}"


def _spread(run: str, metrics: Path) -> float:
    names = {path: path.name.removesuffix(".test.json") for path in metrics.glob("*.test.json")}
    files = [path for path, name in names.items() if SEED.sub("", name) == SEED.sub("", run)]
    scores = [json.loads(path.read_text())["macro_f1"] for path in files]
    return statistics.stdev(scores) if len(scores) > 1 else 0.0


def _gap(old: dict[str, Any], new: dict[str, Any], path: tuple[str, ...]) -> float:
    one, other = value_of(old, path), value_of(new, path)
    return 0.0 if one is None or other is None else round(other - one, 6) + 0.0  # no -0.0
