"""Find trained pipelines, name them, and say what is known of each."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scripts.files import hash_of
from scripts.metrics_file import same_thresholds
from scripts.predictor import Predictor
from scripts.tasks import SAID, scores_of

TRAINING = Path("training")


def find_pipelines(folder: Path = TRAINING) -> list[Path]:
    """Return the pipelines with decisions under training/<data>/<config>, by name.

    RAISES ValueError: There are none.
    """
    found = sorted(path.parent for path in folder.glob("*/*/pipeline/meta.json"))
    if not found:
        raise ValueError(f"{folder}: no pipelines. Expected one at least; `make run` trains one.")
    return found


def names_of(models: Iterable[str]) -> dict[str, str]:
    """Return models by short names: <data>/<config> of our folders, else what was given."""
    found: dict[str, str] = {}
    for model in dict.fromkeys(models):
        place = _place_of(Path(model))
        name = "/".join(place) if place else model
        found[model if name in found else name] = model
    return found


def facts_of(model: str, predictor: Predictor) -> list[str]:
    """Return sentences: where the pipeline is, its thresholds, and how well it does.

    model: As it was given to the predictor.
    """
    path, meta = predictor.folder, predictor.nlp.meta
    megabytes = sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) / 1e6
    return [
        f"{model}, version {meta['version']}, {megabytes:.1f} MB, made for spaCy "
        f"{meta['spacy_version']}.",
        _labels_of(predictor),
        *_scores_of(path, predictor),
    ]


def _labels_of(predictor: Predictor) -> str:
    count, least = len(predictor.labels), sorted(predictor.thresholds.values())
    if predictor.task == "textcat":
        said = f"each with a threshold of its own: {least[0]:.2f} to {least[-1]:.2f}"
        return f"{count} labels, {said}."
    named = f"; {count} labels: {', '.join(predictor.labels)}" * bool(count)
    return f"It {SAID[predictor.task]}{named}."


def _place_of(path: Path) -> tuple[str, str] | None:
    """Return data and config of training/<data>/<config>/pipeline; None of another folder."""
    parts = path.parts
    if len(parts) < 4 or (parts[-4], parts[-1]) != (TRAINING.name, "pipeline"):
        return None
    return parts[-3], parts[-2]


def _scores_of(path: Path, predictor: Predictor) -> list[str]:
    place = _place_of(path)
    if place is None:
        return ["Its scores are not known here: it is not in training/<data>/<config>/pipeline."]
    file = path.parents[3] / "metrics" / place[0] / f"{place[1]}.json"
    if not file.exists():
        return [f"{file}: no such file; `spacy project run evaluate` writes it."]
    try:
        if predictor.task != "textcat":
            return _read_other_scores(file, predictor)
        return _read_scores(file, predictor.thresholds)
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"{file}: cannot be read. Expected a JSON of scripts.evaluate."]


def _read_scores(file: Path, thresholds: dict[str, float]) -> list[str]:
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
    least = {label: row["threshold"] for label, row in result["per_label"].items()}
    if not same_thresholds(least, thresholds):
        return [f"{file}: has other thresholds, so it was made with another pipeline."]
    interval = ""
    if bounds := result["confidence_95"].get("macro_f1"):
        interval = f" (95 % interval {bounds[0]:.3f} to {bounds[1]:.3f})"
    found = f"macro-F1 {result['macro_f1']:.3f}{interval}, micro-F1 {result['micro_f1']:.3f}"
    return _said(found, "posts", result)


def _read_other_scores(file: Path, predictor: Predictor) -> list[str]:
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
    if result["conditions"]["config_sha256"] != hash_of(predictor.folder / "config.cfg"):
        return [f"{file}: has another config, so it was made with another pipeline."]
    scores = scores_of(predictor.task, result)
    return _said(", ".join(f"{name} {x:.3f}" for name, x in scores.items()), "texts", result)


def _said(scores: str, unit: str, result: dict[str, Any]) -> list[str]:
    corpus = result["conditions"]["corpus"]
    said = [f"{scores}, on {result['docs']:,} {unit} of {corpus}."]
    if any(part.split("-")[0] == "sample" for part in Path(corpus).parts):
        said.append("The sample only proves that the parts fit; its scores mean nothing else.")
    return said
