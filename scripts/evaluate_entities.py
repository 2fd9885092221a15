"""Score the entities of a pipeline: exact, by token and by overlap, as one JSON and a table."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from numpy.typing import NDArray
from spacy.language import Language
from spacy.training import Example
from tqdm import tqdm
from wasabi import msg

from plugins.entity_scorers import Counts, count_exact, count_overlapping, count_tokens, summarise
from scripts.decide_entities import SETTINGS
from scripts.entity_corpus import entity_component, read_examples, spans_key_of
from scripts.evaluate import conditions_of
from scripts.files import check_result, replacing
from scripts.scores import load_pipeline

COUNTS = ("tp", "found", "true")
KINDS: dict[str, Callable[[Example, str | None], Counts]] = {
    "exact": count_exact,
    "token": count_tokens,
    "overlap": count_overlapping,
}


def evaluate_entities(
    model: Path, corpus: Path, output: Path, *, resamples: int = 1000, gpu_id: int = -1
) -> dict[str, Any]:
    """Predict a corpus and write all scores and how they came about.

    model: Trained pipeline with ner_crf or ner.
    corpus: .spacy file or folder.
    output: The JSON to write.
    resamples: Bootstraps for the confidence interval of the exact F.
    RETURNS: What was written. `as_trained` are the exact scores without the recall bias, if there
        is one; `documents` are found and true, found, and true entities of each doc.
    RAISES ValueError: The model or the corpus cannot be used.
    """
    check_result(output, [model, corpus])
    nlp = load_pipeline(model, gpu_id)
    name, key = entity_component(nlp), spans_key_of(nlp)
    examples = read_examples(nlp, corpus)
    seconds = predict(nlp, examples)
    by_doc = counts_by_doc(examples, key)
    drawn = resample_f(by_doc, resamples=resamples)[1:]
    tuned = model / SETTINGS
    decision = srsly.read_json(tuned) if tuned.exists() else {}
    result = {
        "docs": len(examples),
        "tokens": sum(len(example.predicted) for example in examples),
        **{kind: score(examples, key, count) for kind, count in KINDS.items()},
        "confidence_95": numpy.percentile(drawn, [2.5, 97.5]).round(4).tolist(),
        "docs_per_second": round(len(examples) / seconds, 1),
        "conditions": conditions_of(nlp, model, corpus, decision=decision),
        "documents": dict(zip(COUNTS, (" ".join(map(str, x)) for x in by_doc.T), strict=True)),
    }
    if getattr(nlp.get_pipe(name), "recall_bias", 0.0):
        nlp.get_pipe(name).recall_bias = 0.0
        predict(nlp, examples)
        result["as_trained"] = score(examples, key, count_exact)["micro"]
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    return result


def predict(nlp: Language, examples: list[Example]) -> float:
    """Let a pipeline find the entities of examples; return the seconds, without tokenization."""
    start = time.perf_counter()
    docs = nlp.pipe([example.predicted for example in examples])
    for example, doc in zip(examples, tqdm(docs, total=len(examples), desc="predict"), strict=True):
        example.predicted = doc
    return time.perf_counter() - start


def score(
    examples: list[Example], key: str | None, count: Callable[[Example, str | None], Counts]
) -> dict[str, Any]:
    """Return p, r, f and counts over all entities and by label, and the mean f of the labels."""
    micro, labels = summarise(count(example, key) for example in examples)
    found = [row["f"] for row in labels.values()]
    return {"micro": micro, "macro_f": sum(found) / max(1, len(found)), "labels": labels}


def counts_by_doc(examples: list[Example], key: str | None) -> NDArray[numpy.int64]:
    """Return how many entities of each doc are found and true, found, true [docs, 3]."""
    table = numpy.zeros((len(examples), 3), dtype="int64")
    for row, example in zip(table, examples, strict=True):
        for counts in count_exact(example, key).values():
            row += counts
    return table


def resample_f(
    by_doc: NDArray[numpy.int64], *, resamples: int = 1000, seed: int = 0
) -> NDArray[numpy.float64]:
    """Return the exact micro-F of all docs, then of docs drawn with replacement [1 + resamples].

    by_doc ([docs, 3]): Of counts_by_doc.
    seed: Equal seeds draw the same docs for every system, so that comparisons are paired.
    """
    docs = len(by_doc)
    drawn = numpy.random.default_rng(seed).multinomial(docs, [1 / docs] * docs, resamples)
    tp, found, true = (numpy.concatenate([numpy.ones((1, docs), "int64"), drawn]) @ by_doc).T
    return 2 * tp / numpy.maximum(found + true, 1)


def print_table(result: dict[str, Any]) -> None:
    """Print the scores as a human reads them: kinds, then labels by falling support."""
    header = ("", "P", "R", "F", "macro-F", "found", "true")
    rows = []
    for kind in KINDS:
        micro = result[kind]["micro"]
        scores = [f"{100 * x:.1f}" for x in (micro["p"], micro["r"], micro["f"])]
        macro = f"{100 * result[kind]['macro_f']:.1f}"
        rows.append((kind, *scores, macro, micro["positives"], micro["support"]))
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * 6))
    if "as_trained" in result:
        msg.text(f"exact F without the recall bias: {100 * result['as_trained']['f']:.1f}")
    labels = sorted(result["exact"]["labels"].items(), key=lambda item: -item[1]["support"])
    rows = [
        (label, *(f"{100 * row[x]:.1f}" for x in "prf"), row["positives"], row["support"])
        for label, row in labels
    ]
    header = ("exact", "P", "R", "F", "found", "true")
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * 5))


def main(
    model: Annotated[Path, typer.Argument(help="Trained pipeline with entities")],
    corpus: Annotated[Path, typer.Argument(help="Corpus as .spacy")],
    output: Annotated[Path, typer.Argument(help="JSON to write", dir_okay=False)],
    resamples: Annotated[
        int, typer.Option(help="Bootstraps for the confidence interval", min=1)
    ] = 1000,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Score the entities of a pipeline: exact, by token and by overlap, as one JSON and a table."""
    try:
        result = evaluate_entities(model, corpus, output, resamples=resamples, gpu_id=gpu_id)
    except ValueError as error:
        msg.fail("Cannot evaluate", str(error), exits=1)
    print_table(result)
    low, high = result["confidence_95"]
    micro = result["exact"]["micro"]
    msg.good(f"F {micro['f']:.3f} (95 % interval {low:.3f} to {high:.3f}): {output}")


if __name__ == "__main__":
    typer.run(main)
