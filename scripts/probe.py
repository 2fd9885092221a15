"""Measure how scores and decisions move when one term of a sentence changes."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer
from numpy.typing import NDArray
from spacy.language import Language
from tqdm import tqdm
from wasabi import msg

from scripts.evaluate import PACKAGES
from scripts.files import hash_of, replacing
from scripts.probe_terms import Terms, read_terms
from scripts.scores import labels_of, load_pipeline, stored_thresholds

TERMS = Path("configs/probe.yml")
LARGEST = 3  # shifts that are listed for each group


def probe(pipeline: Path, output: Path, *, terms: Path = TERMS, gpu_id: int = -1) -> dict[str, Any]:
    """Fill templates with terms and compare with the same templates filled with the baseline.

    pipeline: With tuned thresholds.
    output: The JSON to write.
    terms: YAML of templates, baseline, control terms and groups of terms.
    RETURNS: What was written: per set and group the shifts, the changed decisions; conditions.
    RAISES ValueError: The pipeline has no thresholds, or the file of terms cannot be used.
    """
    sets = read_terms(terms)
    if output.resolve() == terms.resolve():
        raise ValueError(f"Output {output} would replace the terms. Expected another.")
    nlp = load_pipeline(pipeline, gpu_id)
    stored_thresholds(nlp, pipeline)
    result = {
        "sets": {name: _measure(nlp, part) for name, part in tqdm(sets.items(), unit="sets")},
        "conditions": _conditions(nlp, pipeline, terms),
    }
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    return result


def _measure(nlp: Language, part: Terms) -> dict[str, Any]:
    """Return what one set of templates and terms shows."""
    labels = labels_of(nlp)
    scores, picked = _read(nlp, part.sentences(part.baseline), labels)
    groups = {}
    for group, terms in part.groups.items():
        found = {}
        for term in terms:
            moved, decided = _read(nlp, part.sentences(term), labels)
            found[term] = _compare(moved - scores, picked, decided, labels)
        groups[group] = _summary(found, len(part.templates))
    decided = [[labels[n] for n in numpy.flatnonzero(row)] for row in picked]
    return {
        "baseline": part.baseline,
        "baseline_decisions": dict(zip(part.templates, decided, strict=True)),
        "groups": groups,
    }


def _read(
    nlp: Language, texts: list[str], labels: list[str]
) -> tuple[NDArray[numpy.float64], NDArray[numpy.bool_]]:
    """Return scores and decisions, both [texts, labels]."""
    docs = list(nlp.pipe(texts))
    scores = numpy.array([[doc.cats[label] for label in labels] for doc in docs])
    return scores, numpy.array([[label in doc._.emotions for label in labels] for doc in docs])


def _compare(
    shifts: NDArray[numpy.float64],
    before: NDArray[numpy.bool_],
    after: NDArray[numpy.bool_],
    labels: list[str],
) -> dict[str, Any]:
    """Return what a term does, over the templates; all arrays are [templates, labels]."""
    gained, lost = (after & ~before).sum(axis=0), (before & ~after).sum(axis=0)
    return {
        "changed": int((after != before).any(axis=1).sum()),
        "mean_shift": _rounded(numpy.abs(shifts).mean()),
        "gained": {label: int(n) for label, n in zip(labels, gained, strict=True) if n},
        "lost": {label: int(n) for label, n in zip(labels, lost, strict=True) if n},
        "shift": dict(zip(labels, map(_rounded, shifts.mean(axis=0)), strict=True)),
    }


def _summary(terms: dict[str, dict[str, Any]], templates: int) -> dict[str, Any]:
    """Return what the terms of a group do together, and then each."""
    pairs = [
        {"term": term, "label": label, "shift": shift}
        for term, found in terms.items()
        for label, shift in found["shift"].items()
    ]
    changed = sum(found["changed"] for found in terms.values())
    return {
        "sentences": len(terms) * templates,
        "changed": changed,
        "changed_share": _rounded(changed / (len(terms) * templates)),
        "mean_shift": _rounded(numpy.mean([found["mean_shift"] for found in terms.values()])),
        "largest": sorted(pairs, key=lambda pair: -abs(pair["shift"]))[:LARGEST],
        "terms": terms,
    }


def _rounded(value: float) -> float:
    return round(float(value), 4) + 0.0  # no -0.0


def _conditions(nlp: Language, pipeline: Path, terms: Path) -> dict[str, Any]:
    return {
        "model": pipeline.as_posix(),
        "config_sha256": hash_of(pipeline / "config.cfg"),
        "thresholds_sha256": hash_of(pipeline / "decide" / "thresholds.json"),
        "seed": nlp.config.interpolate()["training"]["seed"],
        "terms": terms.as_posix(),
        "terms_sha256": hash_of(terms),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def print_table(result: dict[str, Any]) -> None:
    """Print a row per group: how many sentences changed, and what moved most."""
    header = ("group", "sentences", "changed", "mean shift", "largest shift of a term")
    for name, part in result["sets"].items():
        msg.divider(f"{name}, against {part['baseline']!r}")
        rows = []
        for group, found in part["groups"].items():
            top = found["largest"][0]
            largest = f"{top['term']}: {top['label']} {top['shift']:+.3f}"
            share, mean = f"{100 * found['changed_share']:.1f} %", f"{found['mean_shift']:.4f}"
            rows.append((group, found["sentences"], share, mean, largest))
        msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r", "l"))


def main(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline with tuned thresholds")],
    output: Annotated[Path, typer.Argument(help="JSON to write", dir_okay=False)],
    terms: Annotated[
        Path, typer.Option(help="YAML of templates and terms", exists=True, dir_okay=False)
    ] = TERMS,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Measure how scores and decisions move with terms for people and with swear words."""
    try:
        result = probe(pipeline, output, terms=terms, gpu_id=gpu_id)
    except ValueError as error:
        msg.fail("Cannot probe", str(error), exits=1)
    print_table(result)
    msg.good(f"{len(result['sets'])} sets: {output}")


if __name__ == "__main__":
    typer.run(main)
