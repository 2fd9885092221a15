"""Pipelines that a process keeps loaded."""

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from scripts.find_model import find_model
from scripts.predictor import Predictor
from scripts.tasks import What

MOST = 4  # pipelines; of more, those that were not asked for the longest are dropped
Changed = tuple[int, int]

_kept: OrderedDict[tuple[Path, What, int], tuple[Changed, Predictor]] = OrderedDict()
_lock = Lock()


def keep(model: Path | str, *, what: What = "both", gpu_id: int = -1) -> Predictor:
    """Return a pipeline that is loaded once, and again when it was written again.

    model: As scripts.find_model takes it.
    RAISES ValueError: As Predictor does.
    """
    folder = find_model(model)
    key = (folder.resolve(), what, gpu_id)
    with _lock:
        changed = changed_of(folder)
        before, predictor = _kept.pop(key, (None, None))
        if predictor is None or before != changed:
            predictor = Predictor(model, what=what, gpu_id=gpu_id)
        _kept[key] = (changed, predictor)
        while len(_kept) > MOST:
            _kept.popitem(last=False)
    return predictor


def changed_of(folder: Path) -> Changed:
    """Return what tells a pipeline from one that is written to its place later."""
    found = (folder / "meta.json").stat()
    return found.st_mtime_ns, found.st_ino
