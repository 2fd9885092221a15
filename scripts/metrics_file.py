"""Read the JSON of evaluate, and refuse that of another pipeline."""

import json
import math
from pathlib import Path
from typing import Any

from scripts.files import hash_of

THRESHOLDS = Path("decide", "thresholds.json")


def read_metrics(path: Path, pipeline: Path) -> dict[str, Any]:
    """Return the metrics of a pipeline.

    path: JSON of scripts.evaluate.
    pipeline: Folder, with thresholds.
    RAISES ValueError: No such file or pipeline, no metrics, or config, thresholds or calibration
        are of another pipeline.
    """
    for file in (path, pipeline / "config.cfg", pipeline / THRESHOLDS):
        if not file.is_file():
            raise ValueError(f"{file}: no such file. Run decide and evaluate first.")
    state = json.loads((pipeline / THRESHOLDS).read_text(encoding="utf8"))
    try:
        found = json.loads(path.read_text(encoding="utf8"))
        conditions = found["conditions"]
        same = conditions["config_sha256"] == hash_of(pipeline / "config.cfg")
        same &= conditions["thresholds"] == state["settings"]
        known = {label: row["threshold"] for label, row in found["per_label"].items()}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}. Expected JSON.") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no {error}. Expected the JSON of scripts.evaluate.") from error
    if not same or not same_thresholds(known, state["thresholds"]):
        raise ValueError(f"{path}: of another pipeline than {pipeline}. Run evaluate again.")
    return found


def same_thresholds(one: dict[str, float], other: dict[str, float]) -> bool:
    """Return whether labels, their order and thresholds are the same, but for the last digit.

    A config that was saved by another JSON library differs in it.
    """
    return list(one) == list(other) and all(
        math.isclose(one[label], other[label], rel_tol=1e-9) for label in one
    )
