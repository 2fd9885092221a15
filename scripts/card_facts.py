"""Collect the facts of a model card from the files that know them, and check that they agree."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
from spacy.util import load_config

from scripts.files import hash_of
from scripts.metrics_file import read_metrics

UNKNOWN = "unknown"
ABOUT = ("name", "hub_id", "license", "source", "url", "texts", "raters", "warning")


@dataclass
class Sources:
    """Files that a card is made of; those that may be missing make it say "not measured".

    pipeline: Folder, with thresholds. metrics: JSON of scripts.evaluate on dev. test: The same on
    test. probe: JSON of scripts.probe. audit: JSON of counts. report: report.json of preprocess.
    about: YAML on the data set. project: pyproject.toml with licence and authors.
    """

    pipeline: Path
    metrics: Path
    test: Path | None = None
    probe: Path | None = None
    audit: Path | None = None
    report: Path | None = None
    about: Path | None = None
    project: Path | None = None

    def missing(self) -> list[Path]:
        """Return the files that were named and are not there."""
        return [path for path in vars(self).values() if path is not None and not path.exists()]

    def used(self) -> list[dict[str, str]]:
        """Return the name and the hash of each file that is there."""
        inside = [self.pipeline / "config.cfg", self.pipeline / "decide" / "thresholds.json"]
        found = [*inside, *(path for path in vars(self).values() if path and path.is_file())]
        return [{"path": path.as_posix(), "sha256": hash_of(path)} for path in found]


def collect(sources: Sources) -> dict[str, Any]:
    """Return what the template of the card is filled with.

    RETURNS: pipeline, results (by split), probe, audit, report, about, project, sources; None for
        what was not measured.
    RAISES ValueError: A file is missing or of another pipeline; names it and what was expected.
    """
    pipeline = _pipeline(sources.pipeline)
    probe = _read(sources.probe)
    report = _read(sources.report)
    if probe is not None:
        _check_probe(sources, probe)
    if report is not None:
        _check_report(sources, report, pipeline["labels"])
    audit = _read(sources.audit)
    return {
        "pipeline": pipeline,
        "results": _results(sources),
        "probe": probe,
        "audit": None if audit is None else audit_rows(sources.audit, audit),
        "report": report,
        "about": read_about(sources.about),
        "project": read_project(sources.project),
        "sources": sources.used(),
    }


def audit_rows(path: Path, found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the counts of an audit as rows of words.

    RAISES ValueError: The object is not one of scripts.audit_data.
    """
    try:
        same = {f"again in {split}": counts for split, counts in found["duplicates"].items()}
        rows = [
            (f"the same text {where}", f"{c['exact']:,} exactly, {c['normalised']:,} in its words")
            for where, c in {**same, **found["leaks"]}.items()
        ]
        conflicts = found["conflicts"]
        said = f"{conflicts['posts']:,} posts, {conflicts['texts']:,} texts"
        rows.append(("the same words with other labels", said))
        near = found.get("near_duplicates", {})
        rows += [(f"nearly the same, {where}", f"{count:,} pairs") for where, count in near.items()]
        rows += [
            (f"labels that are likely wrong, {split}",
             f"{errors['suspect']:,} of {errors['posts']:,} posts, by {errors['scores_of']}")
            for split, errors in found["label_errors"].items()
        ]  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}. Expected the JSON of scripts.audit_data.") from error
    return rows


def read_about(path: Path | None) -> dict[str, str]:
    """Return what is known of a data set; `unknown` for the rest.

    RAISES ValueError: The file has a field that no card reads.
    """
    found = srsly.read_yaml(path) if path is not None and path.exists() else {}
    if not isinstance(found, dict) or (odd := sorted(set(found) - set(ABOUT))):
        names = odd if isinstance(found, dict) else found
        raise ValueError(f"{path}: {names}. Expected fields out of {', '.join(ABOUT)}.")
    return {field: UNKNOWN if found.get(field) is None else str(found[field]) for field in ABOUT}


def read_project(path: Path | None) -> dict[str, str]:
    """Return licence and authors out of a pyproject.toml; `unknown` without one."""
    if path is None or not path.exists():
        return {"license": UNKNOWN, "authors": UNKNOWN}
    try:
        found = tomllib.loads(path.read_text(encoding="utf8")).get("project", {})
        authors = [author["name"] for author in found.get("authors", [])]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}. Expected [project] with names of authors.") from error
    name = found.get("license", UNKNOWN)
    name = name.get("text", UNKNOWN) if isinstance(name, dict) else name
    return {"license": str(name), "authors": ", ".join(authors) or UNKNOWN}


def _read(path: Path | None) -> dict[str, Any] | None:
    if path is None or not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}. Expected JSON.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: {str(found)[:80]}. Expected an object.")
    return found


def _pipeline(path: Path) -> dict[str, Any]:
    decided = path / "decide" / "thresholds.json"
    for file in (path / "meta.json", path / "config.cfg", decided):
        if not file.is_file():
            raise ValueError(f"{file}: no such file. Expected a pipeline of scripts.decide.")
    state = json.loads(decided.read_text(encoding="utf8"))
    if not state["thresholds"]:
        raise ValueError(f"{decided}: no thresholds. Run python -m scripts.decide first.")
    meta = srsly.read_json(path / "meta.json")
    return {
        "lang": meta["lang"],
        "name": f"{meta['lang']}_{meta['name']}",
        "components": meta["pipeline"],
        "labels": list(state["thresholds"]),
        "config": load_config(path / "config.cfg", interpolate=False),
        **state,
    }


def _results(sources: Sources) -> dict[str, dict[str, Any]]:
    """Return the scores by the name of the corpus, those on test last."""
    found: dict[str, dict[str, Any]] = {}
    for path in (sources.metrics, sources.test):
        if path is None or not path.exists():
            continue
        result = read_metrics(path, sources.pipeline)
        split = Path(result["conditions"]["corpus"]).stem
        if split in found:
            raise ValueError(f"{path}: of {split} again. Expected scores of another corpus.")
        found[split] = result
    if not sources.metrics.exists():
        raise ValueError(f"{sources.metrics}: no such file. Run python -m scripts.evaluate first.")
    return found


def _check_probe(sources: Sources, probe: dict[str, Any]) -> None:
    files = {"config": "config.cfg", "thresholds": "decide/thresholds.json"}
    for name, file in files.items():
        if probe.get("conditions", {}).get(f"{name}_sha256") != hash_of(sources.pipeline / file):
            raise ValueError(
                f"{sources.probe}: of another pipeline than {sources.pipeline}. Expected its own "
                "probe; run python -m scripts.probe again."
            )


def _check_report(sources: Sources, report: dict[str, Any], labels: list[str]) -> None:
    for split, facts in report.get("splits", {"report": {"labels": {}}}).items():
        if set(facts.get("labels", {})) != set(labels):
            raise ValueError(
                f"{sources.report}, {split}: other labels than those of {sources.pipeline}. "
                "Expected report.json of the corpus that it was trained on."
            )
