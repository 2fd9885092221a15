"""Let a pipeline write the same corpus with several decoders: how well, and how fast."""

import json
import statistics
from pathlib import Path
from typing import Annotated, Any

import srsly
import torch
import typer
from spacy.language import Language
from spacy.training import Example
from wasabi import msg

from plugins.pair_scorer import texts_of
from scripts.compare import as_markdown
from scripts.evaluate import conditions_of
from scripts.evaluate_entities import predict
from scripts.files import replacing
from scripts.pair_corpus import pair_component, read_pairs, set_decoder
from scripts.pair_scores import named_scores, score_tags
from scripts.pair_triples import score_of
from scripts.scores import load_pipeline

Decoders = dict[str, dict[str, Any]]

DECODERS: Decoders = {
    "greedy": {"@misc": "goemotions.GreedyDecoder.v1"},
    "beam of 4": {"@misc": "goemotions.BeamDecoder.v1", "width": 4},
    "top 10": {"@misc": "goemotions.TopKDecoder.v1", "k": 10},
    "nucleus 0.9": {"@misc": "goemotions.NucleusDecoder.v1", "p": 0.9},
}
COLUMNS = {
    "exact": ("exact", 3),
    "token accuracy": ("token_accuracy", 3),
    "BLEU": ("bleu", 3),
    "chrF": ("chrf", 3),
    "entity F": ("entity_f", 3),
    "macro-F1": ("macro_f1", 3),
    "mean score": ("mean_score", 2),
    "docs/s": ("docs_per_second", 0),
    "symbols/s": ("symbols_per_second", 0),
}
WARM_UP = 32  # docs


def compare_decoders(
    pipeline: Path,
    corpus: Path,
    output: Path,
    *,
    limit: int = 0,
    repeats: int = 1,
    decoders: Decoders | None = None,
    gpu_id: int = -1,
) -> dict[str, Any]:
    """Decode a corpus with each decoder in turn, and write scores and speeds.

    pipeline: Trained, with seq2seq.
    corpus: .spacy, its docs with targets.
    output: The JSON to write.
    limit (docs): Take the first so many; 0 takes all.
    repeats: Of all decoders; times are medians. Tokenization is not timed.
    decoders: Settings by name, as in a config; DECODERS when None.
    RETURNS: What was written. A mean score is that of docs._.seq2seq_best, which a beam divides by
        its length penalty, so it compares with those of the same kind of decoder only.
    RAISES ValueError: The pipeline, the corpus or a decoder cannot be used.
    """
    nlp = load_pipeline(pipeline, gpu_id)
    decoders = DECODERS if decoders is None else decoders
    settings = {name: set_decoder(nlp, given) for name, given in decoders.items()}
    examples = read_pairs(nlp, corpus)[: limit or None]
    predict(nlp, _fresh(examples[:WARM_UP]))
    rows: dict[str, dict[str, Any]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(repeats):
        for name, given in settings.items():
            set_decoder(nlp, given)
            written = _fresh(examples)
            seconds[name].append(predict(nlp, written))
            rows[name] = _scores(nlp, written)
    result = {
        "docs": len(examples),
        "decoders": {name: _with_speed(row, seconds[name]) for name, row in rows.items()},
        "conditions": conditions_of(nlp, pipeline, corpus, decoders=settings)
        | {"repeats": repeats, "gpu_id": gpu_id, "threads": torch.get_num_threads()},
    }
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    return result


def _fresh(examples: list[Example]) -> list[Example]:
    return [Example(example.predicted.copy(), example.reference) for example in examples]


def _scores(nlp: Language, examples: list[Example]) -> dict[str, Any]:
    pipe = nlp.get_pipe(pair_component(nlp))
    outputs, targets = texts_of(examples)
    tags = score_tags(examples, pipe.tags, resamples=1)
    scores = [score for example in examples if (score := score_of(example.predicted)) is not None]
    row = named_scores(outputs, targets, pipe.markup)
    if "exact" in tags:
        row["entity_f"] = tags["exact"]["micro"]["f"]
    if "labels" in tags:
        row["macro_f1"] = tags["labels"]["macro_f1"]
    row["mean_score"] = statistics.mean(scores) if scores else None
    row["symbols"] = sum(len(pipe.markup.split(text)) for text in outputs)
    row["docs"] = len(examples)
    return row


def _with_speed(row: dict[str, Any], seconds: list[float]) -> dict[str, Any]:
    taken = statistics.median(seconds)
    speed = {f"{key}_per_second": round(row[key] / taken, 1) for key in ("docs", "symbols")}
    return row | {"seconds": [round(one, 3) for one in seconds]} | speed


def read_decoders(path: Path) -> Decoders:
    """Read names and settings of decoders from a .json, .yml or .yaml.

    RAISES ValueError: The file holds something else.
    """
    try:
        found = srsly.read_json(path) if path.suffix == ".json" else srsly.read_yaml(path)
    except (ValueError, OSError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{path}: {said}. Expected JSON or YAML.") from error
    if not (isinstance(found, dict) and found and all(isinstance(x, dict) for x in found.values())):
        raise ValueError(f"{path}: {found!r}. Expected names, each with settings of a decoder.")
    return found


def table_of(result: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the table as text, without the columns that no decoder has."""
    rows = result["decoders"]
    known = {
        name: place
        for name, place in COLUMNS.items()
        if any(row.get(place[0]) is not None for row in rows.values())
    }
    return {
        name: {
            column: "" if row.get(key) is None else f"{row[key]:,.{digits}f}"
            for column, (key, digits) in known.items()
        }
        for name, row in rows.items()
    }


def main(
    pipeline: Annotated[Path, typer.Argument(help="Trained pipeline with seq2seq")],
    corpus: Annotated[Path, typer.Argument(help="Corpus as .spacy")],
    output: Annotated[Path, typer.Argument(help="JSON to write", dir_okay=False)],
    limit: Annotated[int, typer.Option(help="Docs to take, 0 for all", min=0)] = 0,
    repeats: Annotated[int, typer.Option(help="Of all decoders", min=1)] = 1,
    decoders: Annotated[
        Path | None,
        typer.Option(help=".json or .yml with other decoders by name", exists=True, dir_okay=False),
    ] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown")] = False,
) -> None:
    """Let a pipeline write the same corpus with several decoders: how well, and how fast."""
    try:
        given = read_decoders(decoders) if decoders else None
        result = compare_decoders(
            pipeline, corpus, output, limit=limit, repeats=repeats, decoders=given, gpu_id=gpu_id
        )
    except ValueError as error:
        msg.fail("Cannot compare", str(error), exits=1)
    rows = table_of(result)
    if markdown:
        print(as_markdown(rows, "decoder"))
        return
    header = ("decoder", *next(iter(rows.values())))
    table = [(name, *row.values()) for name, row in rows.items()]
    msg.table(table, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))
    msg.good(f"{result['docs']} docs: {output}")


if __name__ == "__main__":
    typer.run(main)
