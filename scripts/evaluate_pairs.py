"""Score the texts a pipeline writes, and what their tags mark, as one JSON and a table."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from wasabi import msg

from plugins.pair_scorer import texts_of
from scripts import evaluate_entities
from scripts.evaluate import conditions_of
from scripts.evaluate_entities import predict
from scripts.files import check_result, replacing
from scripts.pair_corpus import pair_component, read_pairs, set_decoder
from scripts.pair_scores import score_tags, score_text
from scripts.pair_triples import Triple, print_triples, triples_of
from scripts.scores import load_pipeline

COLUMNS = {
    "exact": "exact",
    "token accuracy": "token_accuracy",
    "with pads": "token_accuracy_padded",
    "BLEU": "bleu",
    "chrF": "chrf",
}


def evaluate_pairs(
    model: Path,
    corpus: Path,
    output: Path,
    *,
    resamples: int = 1000,
    gpu_id: int = -1,
    decoder: dict[str, Any] | None = None,
    triples: Path | None = None,
    report: Callable[[list[Triple]], None] = lambda triples: None,
) -> dict[str, Any]:
    """Write a text for each of a corpus; write all scores and how they came about.

    model: Trained pipeline with seq2seq.
    corpus: .spacy file or folder, its docs with targets.
    output: The JSON to write; it has no texts.
    resamples: Bootstraps for the confidence intervals.
    decoder: Settings of another decoder than the pipeline's, as in a config.
    triples: .jsonl that gets input, target, output and score of each doc.
    report: Takes the triples.
    RETURNS: What was written. `text` has the scores of the texts; with tags for entities the rest
        is as evaluate_entities writes it, with tags around whole texts it is in `labels`.
    RAISES ValueError: The model, the corpus or the decoder cannot be used.
    """
    check_result(output, [model, corpus])
    nlp = load_pipeline(model, gpu_id)
    pipe, settings = nlp.get_pipe(pair_component(nlp)), set_decoder(nlp, decoder)
    examples = read_pairs(nlp, corpus)
    seconds = predict(nlp, examples)
    symbols = sum(len(pipe.markup.split(text)) for text in texts_of(examples)[0])
    result = {
        "docs": len(examples),
        "tokens": sum(len(example.predicted) for example in examples),
        "text": score_text(examples, pipe.markup, resamples),
        **score_tags(examples, pipe.tags, resamples),
        "docs_per_second": round(len(examples) / seconds, 1),
        "symbols_per_second": round(symbols / seconds, 1),
        "vector_misses": misses_of(pipe),
        "conditions": conditions_of(nlp, model, corpus, decoder=settings),
    }
    found = triples_of(examples)
    if triples:
        with replacing(triples) as temporary:
            srsly.write_jsonl(temporary, map(asdict, found))
    report(found)
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    return result


def misses_of(pipe: Any) -> dict[str, dict[str, int]]:
    """Return how many symbols there are and how many have no vector, by side, if vectors are used.

    Not which: metrics have no texts.
    """
    return {
        side: {key: found[key] for key in ("words", "missing")}
        for side, found in pipe.misses.items()
    }


def print_table(result: dict[str, Any]) -> None:
    """Print the scores as a human reads them: texts, their lengths, what the tags mark."""
    text = result["text"]
    rows = [
        (name, *(f"{100 * found[key]:.1f}" for key in COLUMNS.values()))
        for name, found in (("written", text), ("source, copied", text["copied"]))
    ]
    msg.table(rows, header=("", *COLUMNS), divider=True, aligns=("l", *"r" * len(COLUMNS)))
    rows = [(row["symbols"], row["docs"], f"{100 * row['exact']:.1f}") for row in text["lengths"]]
    msg.table(rows, header=("symbols", "docs", "exact"), divider=True, aligns=("l", "r", "r"))
    msg.text(f"{100 * text['faithful']:.1f} % have the text of the source, tags aside")
    for side, found in result["vector_misses"].items():
        msg.text(f"{found['missing']} of {found['words']} symbols of the {side} have no vector")
    if "exact" in result:
        evaluate_entities.print_table(result)
    if "labels" in result:
        _print_labels(result["labels"])


def _print_labels(found: dict[str, Any]) -> None:
    labels = sorted(found["per_label"].items(), key=lambda item: -item[1]["support"])
    rows = [
        (label, *(f"{100 * row[x]:.1f}" for x in "prf"), row["positives"], row["support"])
        for label, row in labels
    ]
    header = ("label", "P", "R", "F1", "found", "true")
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * 5))
    msg.text(f"macro-F1 {100 * found['macro_f1']:.1f}, micro-F1 {100 * found['micro_f1']:.1f}")


def parse_decoder(text: str | None) -> dict[str, Any] | None:
    """Return what --decoder says.

    RAISES ValueError: It is no JSON object.
    """
    if text is None:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--decoder {text}: {error}. Expected JSON.") from error
    if not isinstance(found, dict):
        raise ValueError(f"--decoder {text}. Expected a JSON object with @misc.")
    return found


def main(
    model: Annotated[Path, typer.Argument(help="Trained pipeline with seq2seq")],
    corpus: Annotated[Path, typer.Argument(help="Corpus as .spacy")],
    output: Annotated[Path, typer.Argument(help="JSON to write", dir_okay=False)],
    resamples: Annotated[
        int, typer.Option(help="Bootstraps for the confidence intervals", min=1)
    ] = 1000,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
    decoder: Annotated[
        str | None,
        typer.Option(help="""Another decoder, e.g. '{"@misc": "goemotions.BeamDecoder.v1"}'"""),
    ] = None,
    triples: Annotated[
        Path | None, typer.Option(help=".jsonl for input, target, output of all docs")
    ] = None,
) -> None:
    """Score the texts a pipeline writes, and what their tags mark, as one JSON and a table."""
    kept: list[Triple] = []
    try:
        result = evaluate_pairs(
            model,
            corpus,
            output,
            resamples=resamples,
            gpu_id=gpu_id,
            decoder=parse_decoder(decoder),
            triples=triples,
            report=kept.extend,
        )
    except ValueError as error:
        msg.fail("Cannot evaluate", str(error), exits=1)
    print_triples(kept)
    print_table(result)
    low, high = result["text"]["confidence_95"]
    speed = f"{result['docs_per_second']} docs and {result['symbols_per_second']} symbols a second"
    msg.text(f"{result['conditions']['decoder']['@misc']}: {speed}")
    msg.good(
        f"{result['text']['exact']:.3f} of {result['docs']} outputs are the target "
        f"(95 % interval {low:.3f} to {high:.3f}): {output}"
    )


if __name__ == "__main__":
    typer.run(main)
