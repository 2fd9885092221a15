"""Read the file of a search: what to vary, how, and what counts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy
import srsly

Method = Literal["random", "grid", "optuna"]
KINDS = ("values", "linspace", "uniform", "loguniform", "integers")
FIELDS = ("config", "metric", "method", "trials", "settings", "arms", "curve", "seed", "stop",
          "overrides", "final")  # fmt: skip
TYPES = {"config": str, "metric": str, "arms": str, "curve": str, "seed": int, "trials": int,
         "settings": dict, "stop": dict, "overrides": dict, "final": dict}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What a config key may be.

    kind, range: values [a, b, …]; linspace [from, to, count]; uniform, loguniform [from, to];
        integers [from, to], both included.
    times, over: Another setting that the drawn number is multiplied with, or divided by.
    """

    kind: str
    range: list
    times: str = ""
    over: str = ""

    def choices(self) -> list | None:
        """Return all that can be drawn, None if that is a continuum."""
        if self.kind == "linspace":
            return numpy.linspace(*self.range[:2], int(self.range[2])).tolist()
        if self.kind == "integers":
            return list(range(self.range[0], self.range[1] + 1))
        return self.range if self.kind == "values" else None


@dataclass(frozen=True)
class Plan:
    """A search, as its file says.

    arms: Key of the setting of which each value gets a search of its own, "" for one search.
    curve: Key of a setting to draw the score over, a line per arm; the trials that differ in other
        settings, such as the seed, are averaged.
    trials: Of each arm; a grid has as many as it has points.
    stop: grace and factor of successive halving: after `grace` evaluations, then `factor` times as
        many, and so on, only the best of each `factor` trials go on. Empty for none.
    overrides: For every trial.
    final: Overrides for scoring the best checkpoint of a trial that was not stopped once more.
    """

    config: Path
    metric: str
    method: Method
    trials: int
    settings: dict[str, Setting]
    arms: str = ""
    curve: str = ""
    seed: int = 0
    stop: dict[str, int] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)

    def arm_values(self) -> list:
        """Return what sets the arms apart, [None] if there is but one."""
        return self.settings[self.arms].choices() or [] if self.arms else [None]

    def resolved(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """Return drawn settings with products and quotients worked out; whole ones stay whole."""
        found = dict(drawn)
        for key, setting in self.settings.items():
            if setting.times:
                found[key] = drawn[key] * found[setting.times]
            if setting.over:
                exact = drawn[key] / found[setting.over]
                found[key] = max(round(exact), 1) if isinstance(drawn[key], int) else exact
        return found


def read_plan(path: Path) -> Plan:
    """Read and check the file of a search.

    RAISES ValueError: Unknown, missing or unfit fields; names file, setting, found and expected.
    """
    try:
        raw = srsly.read_yaml(path)
    except Exception as error:  # the parser has no base class of its own
        raise ValueError(f"{path}: {str(error).splitlines()[0]}. Expected YAML.") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: {str(raw)[:80]!r}. Expected fields such as config and settings.")
    raw = {"method": "random", **{key: value for key, value in raw.items() if value is not None}}
    _check_fields(path, raw)
    raw["settings"] = {k: _read_setting(path, k, v) for k, v in raw["settings"].items()}
    plan = Plan(**{"trials": 1, **raw, "config": Path(raw["config"])})
    _check_relations(path, plan)
    return plan


def _check_fields(path: Path, raw: dict[str, Any]) -> None:
    """Raise ValueError if fields are unknown, missing, or of another type."""
    needed = ["config", "metric", "settings", *([] if raw["method"] == "grid" else ["trials"])]
    unknown = sorted(str(name) for name in set(raw) - set(FIELDS))
    missing = [name for name in needed if name not in raw]
    if unknown or missing:
        found = f"unknown {unknown[0]!r}" if unknown else f"no {missing[0]!r}"
        raise ValueError(f"{path}: {found}. Expected {', '.join(FIELDS)}.")
    if raw["method"] not in ("random", "grid", "optuna"):
        raise ValueError(f"{path}: method {raw['method']!r}. Expected random, grid or optuna.")
    for name, value in raw.items():
        wanted = TYPES.get(name, object)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ValueError(f"{path}: {name} {value!r}. Expected {wanted.__name__}.")
    if raw.get("trials", 1) < 1 or (raw["method"] == "grid" and "trials" in raw):
        expected = "no trials: it has as many as points" if raw["method"] == "grid" else "1 or more"
        raise ValueError(f"{path}: trials {raw['trials']}, {raw['method']}. Expected {expected}.")
    if not raw["settings"] or not all(isinstance(key, str) for key in raw["settings"]):
        raise ValueError(f"{path}: settings {raw['settings']}. Expected config keys.")


def _read_setting(path: Path, key: str, raw: Any) -> Setting:
    kinds = [name for name in KINDS if isinstance(raw, dict) and name in raw]
    related = [raw.get(name, "") for name in ("times", "over")] if kinds else []
    is_odd = len(kinds) != 1 or not all(isinstance(name, str) for name in related)
    if is_odd or set(raw) - {*kinds, "times", "over"}:
        raise ValueError(f"{path}: {key}: {raw}. Expected one of {', '.join(KINDS)}, and no other.")
    kind, found = kinds[0], raw[kinds[0]]
    if not _fits(kind, found):
        expected = {
            "values": "a list",
            "linspace": "[from, to, count]",
            "integers": "[from, to] of whole numbers, rising",
            "loguniform": "[from, to], rising, above 0",
            "uniform": "[from, to], rising",
        }
        raise ValueError(f"{path}: {key}: {kind} {found}. Expected {expected[kind]}.")
    return Setting(kind, found, raw.get("times", ""), raw.get("over", ""))


def _fits(kind: str, found: Any) -> bool:
    if not isinstance(found, list) or not found:
        return False
    if kind == "values":
        return True
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in found):
        return False
    if kind == "linspace":
        return len(found) == 3 and isinstance(found[2], int) and found[2] >= 1
    rising = len(found) == 2 and found[0] < found[1]
    if kind == "integers":
        return rising and all(isinstance(x, int) for x in found)
    return rising and (kind == "uniform" or found[0] > 0)


def _check_relations(path: Path, plan: Plan) -> None:
    """Raise ValueError if fields do not fit each other."""
    for name, key in (("arms", plan.arms), ("curve", plan.curve)):
        setting = plan.settings.get(key)
        if key and (setting is None or setting.choices() is None or setting.times or setting.over):
            raise ValueError(f"{path}: {name} {key!r}. Expected a setting with values of its own.")
        if key and any(isinstance(value, list | dict) for value in setting.choices()):
            raise ValueError(f"{path}: {name} {key!r}: {setting.range}. Expected plain values.")
    for key, setting in plan.settings.items():
        for other in filter(None, (setting.times, setting.over)):
            place = plan.settings.get(other)
            if place is None or place.times or place.over:
                raise ValueError(f"{path}: {key}: {other!r}. Expected a setting drawn by itself.")
            if other == setting.over and 0 in (place.choices() or place.range):
                raise ValueError(f"{path}: {key}: {other!r} can be 0. Expected a divisor.")
    other = [key for key in plan.final if not key.startswith("corpora.dev.")]
    if other:
        raise ValueError(f"{path}: final: {other[0]}. Expected keys of corpora.dev alone.")
    endless = [key for key, setting in plan.settings.items() if setting.choices() is None]
    if plan.method == "grid" and endless:
        raise ValueError(f"{path}: {endless[0]} is no list. A grid expected values or linspace.")
    stop = [plan.stop.get(name) for name in ("grace", "factor")]
    whole = all(isinstance(number, int) for number in stop) and len(plan.stop) == 2
    if plan.stop and not (whole and stop[0] >= 1 and stop[1] >= 2):
        raise ValueError(f"{path}: stop {plan.stop}. Expected grace from 1 and factor from 2.")
    epochs = plan.settings.get("pretraining.max_epochs")
    if epochs and not all(isinstance(n, int) for n in epochs.choices() or [0.5]):
        raise ValueError(f"{path}: pretraining.max_epochs {epochs.range}. Expected whole values.")
