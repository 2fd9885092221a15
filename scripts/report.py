"""Write a page about a trained pipeline: where it is good, where it errs, what it came from."""

import csv
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from wasabi import msg

from scripts import report_figures as draw
from scripts import report_findings as find
from scripts.calibration import held_out
from scripts.files import check_output, hash_of, replacing
from scripts.metrics_file import read_metrics
from scripts.scores import load_pipeline, predict_scores, stored_thresholds

PAGE, FACTS = "index.html", "report.json"  # the second says whose folder it is
TEMPLATE = "report.html.jinja"


def report(
    pipeline: Path,
    corpus: Path,
    metrics: Path,
    output: Path,
    *,
    log: Path | None = None,
    gpu_id: int = -1,
) -> dict[str, Any]:
    """Predict a corpus and write index.html, which needs nothing else, and its pictures as PNG.

    report.json says what it was made of.

    pipeline: With tuned thresholds.
    corpus: .spacy that `metrics` is of.
    metrics: JSON of scripts.evaluate for this pipeline and corpus.
    output: Folder; an earlier report stays until the new one is complete.
    log: log.csv of the training, for the learning curve.
    RETURNS: What the page shows.
    RAISES ValueError: Something is missing, or the metrics are of another pipeline or corpus.
    """
    check_output(output, "report", [FACTS], [pipeline, corpus, metrics])
    found = _read_metrics(metrics, pipeline, corpus)
    facts = _facts(pipeline, corpus, found, gpu_id)
    facts |= {"log": read_log(log), "metrics_file": metrics.as_posix()}
    facts["config"] = (pipeline / "config.cfg").read_text(encoding="utf8")
    with replacing(output) as temporary:
        temporary.mkdir()
        svgs = {
            name: draw.save(figure, temporary / f"{name}.png")
            for name, figure in _figures(facts).items()
        }
        page = render(TEMPLATE, facts, svgs)
        (temporary / PAGE).write_text(page, encoding="utf8")
        srsly.write_json(temporary / FACTS, {"metrics": found["conditions"]})
    return facts


def _read_metrics(path: Path, pipeline: Path, corpus: Path) -> dict[str, Any]:
    found = read_metrics(path, pipeline)
    if not corpus.exists() or found["conditions"]["corpus_sha256"] != hash_of(corpus):
        raise ValueError(f"{path}: of another corpus than {corpus}. Run evaluate again.")
    return found


def _facts(pipeline: Path, corpus: Path, metrics: dict[str, Any], gpu_id: int) -> dict[str, Any]:
    """Predict, and compute all that the page shows."""
    nlp = load_pipeline(pipeline, gpu_id)
    thresholds, _ = stored_thresholds(nlp, pipeline)
    predicted = predict_scores(nlp, corpus)
    scores, truth, labels = predicted.scores, predicted.truth > 0, predicted.labels
    picked = scores >= numpy.array([thresholds[label] for label in labels])
    component, probabilities = nlp.get_pipe("decide"), None
    if component.curves:
        probabilities, _ = held_out(
            scores, predicted.truth, component.curves, component.settings, hash_of(corpus)
        )
    texts = predicted.texts
    likely = scores if probabilities is None else probabilities
    return {
        "metrics": metrics,
        "labels": labels,
        "scores": scores,
        "truth": truth,
        "probabilities": probabilities,
        "rows": find.label_rows(metrics, truth, picked),
        "errors": find.worst_errors(texts, likely, truth, picked, labels),
        "wrong": int((truth != picked).any(axis=1).sum()),
        "issues": find.label_issues(texts, likely, truth, labels),
        "lengths": find.length_rows(predicted.lengths, truth, picked),
        "repeated": find.repeated_texts(texts),
        "together": [find.co_occurrence(cells) for cells in (truth, picked)],
        "undecided": int((~picked.any(axis=1)).sum()),
    }


def read_log(path: Path | None) -> list[dict[str, str]]:
    if path is None or not path.exists():
        return []
    with path.open(encoding="utf8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not {"step", "loss", "score"} <= set(rows[0]):
        raise ValueError(f"{path}: no log. Expected columns step, loss and score.")
    return rows


def _figures(facts: dict[str, Any]) -> dict[str, Figure]:
    scores, truth, metrics = facts["scores"], facts["truth"], facts["metrics"]
    figures = {
        "labels": draw.label_scores(facts["rows"], metrics["macro_f1"]),
        "precision_recall": draw.precision_recall(scores, truth, metrics),
        "thresholds": draw.threshold_curves(scores, truth, metrics),
        "reliability": draw.reliability_diagram(scores, facts["probabilities"], truth),
        "lengths": draw.length_chart(facts["lengths"]),
    }
    if len(facts["labels"]) > 1:
        figures["together"] = draw.co_occurrence_maps(*facts["together"], facts["labels"])
    if facts["log"]:
        figures["learning"] = draw.learning_curve(facts["log"])
    return figures


def render(template: str, facts: dict[str, Any], svgs: dict[str, str]) -> str:
    """Return a page.

    template: Name of a file beside this one.
    svgs: Pictures by name.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**facts, svgs=svgs)


def main(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline with tuned thresholds", exists=True)],
    corpus: Annotated[Path, typer.Argument(help="Corpus as .spacy", exists=True)],
    metrics: Annotated[Path, typer.Argument(help="JSON of evaluate for the two", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder for index.html and pictures")],
    log: Annotated[Path | None, typer.Option(help="log.csv of the training", exists=True)] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Write a page about a trained pipeline, to open in a browser; it needs no network."""
    try:
        report(pipeline, corpus, metrics, output, log=log, gpu_id=gpu_id)
    except ValueError as error:
        msg.fail("No report", str(error), exits=1)
    msg.good(f"{output / PAGE}")


if __name__ == "__main__":
    typer.run(main)
