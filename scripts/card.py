"""Write a model card: every number and name in it comes from a file, none is typed by hand."""

from pathlib import Path
from typing import Annotated, Any

import typer
from jinja2 import Environment, StrictUndefined, TemplateError
from thinc.api import Config
from wasabi import msg

from scripts.card_facts import UNKNOWN, Sources, collect
from scripts.files import replacing
from scripts.front_matter import with_front_matter

TEMPLATE = Path(__file__).with_name("card.md.jinja")
MISSING = "not measured"
FEW = 50  # positives; below, F1 of a label says little
WEAKEST = 3
METRICS = {
    "macro_f1": ("f1", "macro-F1"),
    "micro_f1": ("f1", "micro-F1"),
    "mean_average_precision": ("average_precision", "mean average precision"),
    "macro_auc": ("roc_auc", "macro AUC"),
}


def card(
    sources: Sources, output: Path, *, name: str | None = None, template: Path = TEMPLATE
) -> str:
    """Write the card of a pipeline, with the YAML head that model hubs read.

    sources: Files to take facts from.
    output: Markdown file; an earlier one stays until the new one is complete.
    name: Of the package without the language; None takes the name in meta.json.
    template: Jinja template of the part below the head.
    RETURNS: What was written; the same files give the same bytes.
    RAISES ValueError: A file is missing, of another pipeline or lacks a fact of the template.
    """
    inputs = [path.resolve() for path in (*vars(sources).values(), template) if path]
    if output.resolve() in inputs:
        raise ValueError(f"Output {output} would replace an input. Expected another.")
    facts = collect(sources)
    try:
        facts |= _more(facts, name)
        body = _environment().from_string(template.read_text(encoding="utf8")).render(facts)
        text = with_front_matter(_head(facts), body)
    except (TemplateError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{template}: {error}. Expected files of scripts.evaluate, scripts.probe and "
            "scripts.preprocess that hold every fact of the card."
        ) from error
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf8")
    return text


def _more(facts: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return what follows from the facts."""
    pipeline, results = facts["pipeline"], facts["results"]
    final = list(results)[-1]
    labels = results[final]["per_label"]
    sets = facts["probe"]["sets"].values() if facts["probe"] else ()
    data = facts["about"]["name"]
    overrides = results[final]["conditions"]["training"].get("overrides", {})
    return {
        "name": f"{pipeline['lang']}_{name}" if name else pipeline["name"],
        "description": f"A text classifier with {len(pipeline['labels'])} labels, any number of "
        f"them per text, trained on {data if data != UNKNOWN else 'data of unknown origin'}.",
        "final": final,
        "few": FEW,
        "missing": MISSING,
        "rare": [label for label, row in labels.items() if row["support"] < FEW],
        "weakest": sorted(labels, key=lambda label: labels[label]["f1"])[:WEAKEST],
        "sentences": sum(g["sentences"] for part in sets for g in part["groups"].values()),
        "overrides": ", ".join(f"{key} {value}" for key, value in overrides.items()) or "none",
        "starts": _starts(pipeline["config"]),
        "config": _excerpt(pipeline["config"]),
    }


def _starts(config: Config) -> str:
    """Return what a training began with."""
    paths, names = config.get("paths", {}), config.get("vars", {})
    found = [paths.get(key) for key in ("vectors", "init_tok2vec", "source")]
    return ", ".join(str(x) for x in (*found, names.get("transformer")) if x) or "random weights"


def _excerpt(config: Config) -> str:
    parts = {name: config[name] for name in ("components", "training")}
    parts["system"] = config["system"]
    return Config(parts).to_str(interpolate=False).strip()


def _head(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that model hubs read."""
    about = facts["about"]
    found = {
        "license": facts["project"]["license"].lower(),
        "language": [facts["pipeline"]["lang"]],
        "library_name": "spacy",
        "pipeline_tag": "text-classification",
        "tags": ["spacy", "text-classification"],
        "author": facts["project"]["authors"],
        "description": facts["description"],
    }
    if about["hub_id"] != UNKNOWN:
        found["datasets"] = [about["hub_id"]]
    results = [
        {
            "task": {"type": "text-classification", "name": "Multilabel text classification"},
            "dataset": {
                "type": about["hub_id"] if about["hub_id"] != UNKNOWN else about["name"],
                "name": about["name"],
                "split": split,
            },
            "metrics": [
                {"type": kind, "name": title, "value": round(result[key], 4)}
                for key, (kind, title) in METRICS.items()
            ],
        }
        for split, result in facts["results"].items()
    ]
    return {**found, "model-index": [{"name": facts["name"], "results": results}]}


def _environment() -> Environment:
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {
        "cell": lambda text: " ".join(str(text).split()).replace("|", "\\|"),
        # int and float: of a fact that is missing they raise an error that names it.
        "count": lambda number: f"{int(number):,}",
        "number": lambda number: "none" if number is None else f"{float(number):.3f}",
        "interval": _interval,
    }
    return environment


def _interval(intervals: dict[str, Any], key: str) -> str:
    if key not in intervals:
        return ""
    low, high = intervals[key]
    return f" ({low:.3f} to {high:.3f})"


def main(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline with tuned thresholds", exists=True)],
    metrics: Annotated[Path, typer.Argument(help="JSON of evaluate, on dev")],
    output: Annotated[Path, typer.Argument(help="Markdown file to write", dir_okay=False)],
    name: Annotated[
        str | None, typer.Option(help="Name of the package, without the language")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="JSON of evaluate, on test")] = None,
    probe: Annotated[Path | None, typer.Option(help="JSON of probe")] = None,
    audit: Annotated[Path | None, typer.Option(help="JSON of counts of label errors")] = None,
    report: Annotated[Path | None, typer.Option(help="report.json of preprocess")] = None,
    about: Annotated[Path | None, typer.Option(help="YAML on the data set")] = None,
    project: Annotated[
        Path | None, typer.Option(help="pyproject.toml with licence and authors")
    ] = None,
    template: Annotated[
        Path, typer.Option(help="Jinja template of the card", exists=True, dir_okay=False)
    ] = TEMPLATE,
) -> None:
    """Write the model card; what a missing file would say is "not measured" or "unknown"."""
    sources = Sources(pipeline, metrics, test, probe, audit, report, about, project)
    try:
        card(sources, output, name=name, template=template)
    except ValueError as error:
        msg.fail("No card was written", str(error), exits=1)
    for path in sources.missing():
        msg.warn(f"{path}: no such file; the card says so where it is used")
    msg.good(f"Model card: {output}")


if __name__ == "__main__":
    typer.run(main)
