"""Score the labels of words: over all, by label, of whole texts, and what is taken for what."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from numpy.typing import NDArray
from spacy.training import Example
from wasabi import msg

from plugins.token_scorer import Counts, add_counts, pairs_of, summarise
from scripts.decide_tokens import SETTINGS
from scripts.evaluate import conditions_of
from scripts.evaluate_entities import predict
from scripts.files import check_result, replacing
from scripts.scores import load_pipeline
from scripts.token_corpus import read_examples, token_component

Pairs = list[tuple[str, str]]  # what is said and what is true of each word


def evaluate_tokens(
    model: Path, corpus: Path, output: Path, *, resamples: int = 1000, gpu_id: int = -1
) -> dict[str, Any]:
    """Predict a corpus and write all scores and how they came about.

    model: Trained pipeline with token_classifier.
    corpus: .spacy file or folder.
    output: The JSON to write.
    resamples: Bootstraps for the confidence interval of the micro-F1.
    RETURNS: What was written: micro_f1, which is the accuracy since each word has one label;
        macro_f1, the mean over labels that are true of a word; exact, the share of texts with
        every word right; field_f1, for which a stretch of words is right as a whole; per_label;
        confusion, how often a true label (row) was taken for another; `as_trained`, the scores
        without switch cost; documents, the words that are right, and all, of each text.
    RAISES ValueError: The model or the corpus cannot be used.
    """
    check_result(output, [model, corpus])
    nlp = load_pipeline(model, gpu_id)
    component = nlp.get_pipe(token_component(nlp))
    examples = read_examples(nlp, corpus)
    seconds = predict(nlp, examples)
    found = [pairs_of(example) for example in examples]
    words = numpy.array([[sum(a == b for a, b in pairs), len(pairs)] for pairs in found])
    drawn = resample_accuracy(words, resamples)
    tuned = model / SETTINGS
    decision = srsly.read_json(tuned) if tuned.exists() else {}
    result = {
        "docs": len(examples),
        "tokens": int(words[:, 1].sum()),
        **score(found),
        "field_f1": field_f1(examples),
        "confidence_95": numpy.percentile(drawn, [2.5, 97.5]).round(4).tolist(),
        "confusion": confusion_of(found, component.labels),
        "docs_per_second": round(len(examples) / seconds, 1),
        "conditions": conditions_of(nlp, model, corpus, decision=decision),
        "documents": {
            name: " ".join(map(str, column))
            for name, column in zip(("right", "words"), words.T, strict=True)
        },
    }
    if component.switch_cost:
        component.switch_cost = 0.0
        predict(nlp, examples)
        plain = score([pairs_of(example) for example in examples])
        result["as_trained"] = {key: plain[key] for key in ("micro_f1", "macro_f1", "exact")}
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    return result


def score(found: list[Pairs]) -> dict[str, Any]:
    """Return micro_f1, macro_f1, exact and per_label of texts."""
    counts: Counts = {}
    for pairs in found:
        add_counts(counts, pairs)
    micro, macro, labels = summarise(counts)
    exact = sum(all(said == true for said, true in pairs) for pairs in found) / len(found)
    return {"micro_f1": micro, "macro_f1": macro, "exact": exact, "per_label": labels}


def field_f1(examples: list[Example]) -> float:
    """Return F of stretches of words with one tag: right if both ends and the tag are."""
    right = found = true = 0
    for example in examples:
        tags = example.get_aligned("TAG", as_string=True)
        said = [t.tag_ if tag else "" for t, tag in zip(example.predicted, tags, strict=True)]
        ours, theirs = fields_of(said), fields_of([tag or "" for tag in tags])
        right, found, true = right + len(ours & theirs), found + len(ours), true + len(theirs)
    return 2 * right / max(1, found + true)


def fields_of(tags: list[str]) -> set[tuple[int, int, str]]:
    """Return the stretches of words with the same tag: first, behind the last, tag."""
    starts = [n for n, tag in enumerate(tags) if n == 0 or tag != tags[n - 1]]
    return {(a, b, tags[a]) for a, b in pairwise([*starts, len(tags)]) if tags[a]}


def confusion_of(found: list[Pairs], labels: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Return by true label how many words got each label."""
    table = {true: dict.fromkeys(labels, 0) for true in labels}
    for pairs in found:
        for said, true in pairs:
            if said:
                table[true][said] += 1
    return table


def resample_accuracy(
    words: NDArray[numpy.int64], resamples: int, seed: int = 0
) -> NDArray[numpy.float64]:
    """Return the accuracy of words of docs drawn with replacement [resamples].

    words ([docs, 2]): Right words, and all.
    """
    docs = len(words)
    drawn = numpy.random.default_rng(seed).multinomial(docs, [1 / docs] * docs, resamples)
    right, total = (drawn @ words).T
    return right / numpy.maximum(total, 1)


def print_table(result: dict[str, Any]) -> None:
    """Print the scores as a human reads them: labels by falling support."""
    labels = sorted(result["per_label"].items(), key=lambda item: -item[1]["support"])
    rows = [
        (label, *(f"{100 * row[x]:.1f}" for x in "prf"), row["support"]) for label, row in labels
    ]
    msg.table(rows, header=("label", "P", "R", "F1", "words"), divider=True, aligns=("l", *"rrrr"))
    exact, fields = 100 * result["exact"], 100 * result["field_f1"]
    msg.text(f"whole texts right {exact:.1f} %, F1 of whole fields {fields:.1f}")
    if "as_trained" in result:
        msg.text(f"micro-F1 without switch cost: {100 * result['as_trained']['micro_f1']:.1f}")


def main(
    model: Annotated[Path, typer.Argument(help="Trained pipeline with token_classifier")],
    corpus: Annotated[Path, typer.Argument(help="Corpus as .spacy")],
    output: Annotated[Path, typer.Argument(help="JSON to write", dir_okay=False)],
    resamples: Annotated[
        int, typer.Option(help="Bootstraps for the confidence interval", min=1)
    ] = 1000,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Score the labels of words: over all, by label, of whole texts, and what is taken for what."""
    try:
        result = evaluate_tokens(model, corpus, output, resamples=resamples, gpu_id=gpu_id)
    except ValueError as error:
        msg.fail("Cannot evaluate", str(error), exits=1)
    print_table(result)
    low, high = result["confidence_95"]
    micro, macro = result["micro_f1"], result["macro_f1"]
    found = f"micro-F1 {micro:.3f} (95 % interval {low:.3f} to {high:.3f}), macro-F1 {macro:.3f}"
    msg.good(f"{found}: {output}")


if __name__ == "__main__":
    typer.run(main)
