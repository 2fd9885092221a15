"""Report a search: every trial as CSV, the best of each arm, and what each setting's values do."""

import csv
import json
import statistics
from pathlib import Path
from typing import Any

from scripts.files import hash_of, replacing
from scripts.plots import plot_curve, plot_search
from scripts.space import Plan

TOP = 3  # trials; the best of many is luck, the mean of three less so
EPOCHS = "pretraining.max_epochs"
THIRDS = ("low", "middle", "high")


def report_search(plan: Plan, rows: list[dict[str, Any]], output: Path) -> None:
    """Write results.csv, summary.json, tables.md, trials.png and curve.png into a folder.

    rows: As scripts.search.search returns them, at least one.
    """
    output.mkdir(parents=True, exist_ok=True)
    summary = summarise(plan, rows)
    with replacing(output / "results.csv") as path, path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with replacing(output / "summary.json") as path:
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf8")
    with replacing(output / "tables.md") as path:
        path.write_text(as_tables(plan, summary), encoding="utf8")
    plot_search(plan.arms, plan.metric, score_lists(plan, rows), output / "trials.png")
    if plan.curve:
        plot_curve(plan.curve, plan.metric, plan.arms, summary["curve"], output / "curve.png")


def score_of(row: dict[str, Any]) -> float | None:
    """Return the score that counts: the final one of a finished trial, if there is one."""
    final = row["final_score"]
    return row["score"] if final is None else final


def score_lists(plan: Plan, rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the scores of the trials of each arm that were not stopped, best first.

    With none that was scored once more, those of all trials.
    """
    finished = [row for row in rows if row["status"] == "finished"] or rows
    found: dict[str, list[float]] = {str(arm): [] for arm in plan.arm_values()}
    for row in finished:
        score = score_of(row)
        if score is not None:
            found[str(row.get(plan.arms))].append(score)
    return {arm: sorted(scores, reverse=True) for arm, scores in found.items()}


def summarise(plan: Plan, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the tables say, for other programs."""
    counted = [row for row in rows if row["status"] == "finished" and score_of(row) is not None]
    return {
        "config": plan.config.as_posix(),
        "config_sha256": hash_of(plan.config),
        "metric": plan.metric,
        "method": plan.method,
        "seed": plan.seed,
        "overrides": plan.overrides,
        "final": plan.final,
        "trials": len(rows),
        "statuses": {kind: sum(row["status"] == kind for row in rows)
                     for kind in ("finished", "stopped", "failed")},
        "trial_hours": round(sum(row["seconds"] for row in rows) / 3600, 2),
        "arms": [_arm_of(plan, arm, rows, counted) for arm in plan.arm_values()],
        "settings": {key: _values_of(plan, key, counted) for key in _drawn(plan)},
        "curve": _curve_of(plan, counted),
    }  # fmt: skip


def _drawn(plan: Plan) -> list[str]:
    """Return the settings that tell trials of an arm apart by themselves."""
    return [key for key, s in plan.settings.items() if key != plan.arms and len(s.range) > 1]


def _settings_of(plan: Plan, row: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a trial that did something: none of a pretraining of no epochs."""
    without = row.get(EPOCHS) == 0
    keys = [key for key in _drawn(plan) if not (without and key.startswith("pretraining."))]
    return {key: row[key] for key in keys}


def _curve_of(plan: Plan, counted: list) -> list[dict[str, Any]]:
    """Return mean and standard deviation of the scores at each point of the curve of each arm."""
    points: dict[tuple, list[float]] = {}
    for row in counted if plan.curve else []:
        points.setdefault((row.get(plan.arms), row[plan.curve]), []).append(score_of(row))
    return [
        {
            "arm": arm,
            "value": value,
            "trials": len(scores),
            "mean": statistics.mean(scores),
            "deviation": statistics.stdev(scores) if len(scores) > 1 else 0.0,
        }
        for (arm, value), scores in points.items()
    ]


def _arm_of(plan: Plan, arm: Any, rows: list, counted: list) -> dict[str, Any]:
    mine = [row for row in counted if row.get(plan.arms) == arm]
    best = max(mine, key=score_of, default=None)
    scores = sorted((score_of(row) for row in mine), reverse=True)
    return {
        "arm": arm,
        "trials": sum(row.get(plan.arms) == arm for row in rows),
        "finished": len(mine),
        "best": scores[0] if scores else None,
        "top_mean": statistics.mean(scores[:TOP]) if scores else None,
        "median": statistics.median(scores) if scores else None,
        "best_settings": None if best is None else _settings_of(plan, best),
    }


def _values_of(plan: Plan, key: str, counted: list) -> list[dict[str, Any]]:
    """Return the mean of the best three scores of each value of a setting."""
    groups: dict[str, list[float]] = {}
    for row in counted:
        if key not in _settings_of(plan, row):
            continue
        groups.setdefault(_group_of(plan, key, row[key], counted), []).append(score_of(row))
    found = [
        {"value": name, "trials": len(scores), "best": max(scores),
         "top_mean": statistics.mean(sorted(scores, reverse=True)[:TOP])}
        for name, scores in groups.items()
    ]  # fmt: skip
    return sorted(found, key=lambda group: -group["top_mean"])


def _group_of(plan: Plan, key: str, value: Any, counted: list) -> str:
    """Return a value as it is, or which third of a continuum it is in."""
    setting = plan.settings[key]
    if setting.choices() is not None and not (setting.times or setting.over):
        return _short(value)
    every = sorted({row[key] for row in counted})
    if len(every) <= 6:
        return _short(value)
    third = len(every) // 3
    cuts = [every[third], every[2 * third]]
    number = sum(value >= cut for cut in cuts)
    span = (every[0], *cuts, every[-1])
    return f"{THIRDS[number]}: {_short(span[number])} to {_short(span[number + 1])}"


def as_tables(plan: Plan, summary: dict[str, Any]) -> str:
    """Return the tables of a summary in Markdown."""
    names = _short_names(list(summary["settings"]))
    statuses = ", ".join(f"{count} {kind}" for kind, count in summary["statuses"].items())
    arm_header = (plan.arms or "search", "trials", "finished", "best", f"top {TOP}", "median")
    arms = [
        (
            *(arm[name] for name in ("arm", "trials", "finished")),
            *(_score(arm[name]) for name in ("best", "top_mean", "median")),
            ", ".join(
                f"{names[key]} {_short(value)}"
                for key, value in (arm["best_settings"] or {}).items()
            ),
        )
        for arm in summary["arms"]
    ]
    points = [
        (p["arm"], p["value"], p["trials"], f"{p['mean']:.4f} ± {p['deviation']:.4f}")
        for p in summary["curve"]
    ]
    values = [
        (key, group["value"], group["trials"], _score(group["best"]), _score(group["top_mean"]))
        for key, groups in summary["settings"].items()
        for group in groups
    ]
    if plan.curve:  # a best or a median over its points would say nothing
        arms, values = [], []
    tables = [
        f"{summary['trials']} trials of `{summary['config']}`: {statuses}; one by one "
        f"{summary['trial_hours']} hours. Scores are {plan.metric} of a trial's best checkpoint.",
        _table((*arm_header, "settings of the best"), arms),
        _table((plan.arms or "search", plan.curve, "trials", "mean ± deviation"), points),
        _table(("setting", "value", "trials", "best", f"top {TOP}"), values),
    ]
    return "\n\n".join(filter(None, tables)) + "\n"


def _short_names(keys: list[str]) -> dict[str, str]:
    """Return the last part of each key, or the last two where the last is that of another too."""
    last = [key.split(".")[-1] for key in keys]
    return {
        key: name if last.count(name) == 1 else ".".join(key.split(".")[-2:])
        for key, name in zip(keys, last, strict=True)
    }


def _table(header: tuple, rows: list[tuple]) -> str:
    lines = [header, ("---",) * len(header), *rows] if rows else []
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
