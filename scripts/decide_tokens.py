"""Tune on dev what it costs when a word's label is not the one before, and store that."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer
from numpy.typing import NDArray
from wasabi import msg

from plugins.token_classifier import best_path
from scripts.files import check_output, hash_of, replacing
from scripts.scores import load_pipeline
from scripts.token_corpus import numbers_of, probabilities_of, read_examples, token_component

COSTS = numpy.arange(0, 6.01, 0.25)
SETTINGS = "decision.json"


def decide_tokens(
    model: Path,
    corpus: Path,
    output: Path,
    *,
    resamples: int = 200,
    seed: int = 0,
    gpu_id: int = -1,
) -> dict[str, Any]:
    """Find the switch cost with the best accuracy on dev: the median over resampled docs.

    Words are scored one by one, but fields are stretches of words: a cost keeps a single word from
    a label that its neighbours do not have.

    model: Trained pipeline with token_classifier; stays as it is.
    corpus: Dev set, .spacy.
    output: Folder of the new pipeline.
    resamples: Bootstraps; 0 takes the optimum on dev itself.
    RETURNS: switch_cost, accuracy by cost, and how it was found.
    RAISES ValueError: The model or the corpus cannot be used.
    """
    check_output(output, "pipeline", ["meta.json"], [model, corpus])
    nlp = load_pipeline(model, gpu_id)
    component = nlp.get_pipe(token_component(nlp))
    examples = read_examples(nlp, corpus)
    counts = numpy.zeros((len(COSTS), len(examples), 2), dtype="int64")
    scores = probabilities_of(nlp, examples, "tune on dev")
    for place, (example, Y) in enumerate(zip(examples, scores, strict=True)):
        counts[:, place] = count_by_cost(Y, numbers_of(example, component.labels))
    component.switch_cost = best_cost(counts, resamples, seed)
    total = counts.sum(axis=1)
    accuracy = (total[:, 0] / total[:, 1]).round(5).tolist()
    facts = {
        "switch_cost": component.switch_cost,
        "accuracy": dict(zip(COSTS.tolist(), accuracy, strict=True)),
        "resamples": resamples,
        "seed": seed,
        "corpus_sha256": hash_of(corpus),
    }
    with replacing(output) as temporary:
        nlp.to_disk(temporary)
        (temporary / SETTINGS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf8")
        if (model / "training.json").exists():
            shutil.copy(model / "training.json", temporary)
    return facts


def count_by_cost(scores: NDArray, true: NDArray[numpy.int64]) -> NDArray[numpy.int64]:
    """Return how many words of a doc are right, and how many have a label, by cost [costs, 2].

    scores ([words, labels]): Probabilities. true ([words]): Numbers of labels, or -1.
    """
    known = true >= 0
    right = [int(((best_path(scores, cost) == true) & known).sum()) for cost in COSTS]
    return numpy.stack([numpy.array(right), numpy.full(len(COSTS), known.sum())], axis=1)


def best_cost(counts: NDArray[numpy.int64], resamples: int, seed: int) -> float:
    """Return the cost with the best accuracy, the median over resampled docs; the least of equals.

    counts ([costs, docs, 2]): Of count_by_cost.
    """
    docs = counts.shape[1]
    weights = numpy.ones((1, docs))
    if resamples:
        weights = numpy.random.default_rng(seed).multinomial(docs, [1 / docs] * docs, resamples)
    right = numpy.einsum("rd,cd->cr", weights, counts[..., 0])  # a resample has the same words
    return float(numpy.median(COSTS[right.argmax(axis=0)]))


def main(
    model: Annotated[Path, typer.Argument(help="Trained pipeline, e.g. .../trained/model-best")],
    corpus: Annotated[Path, typer.Argument(help="Dev set as .spacy; never the test set")],
    output: Annotated[Path, typer.Argument(help="Where the tuned pipeline goes")],
    resamples: Annotated[
        int, typer.Option(help="Bootstraps of dev; 0 takes the optimum on dev itself", min=0)
    ] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the bootstraps", min=0)] = 0,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Tune on dev what it costs when a word's label is not the one before, and store that."""
    try:
        facts = decide_tokens(model, corpus, output, resamples=resamples, seed=seed, gpu_id=gpu_id)
    except ValueError as error:
        msg.fail("Cannot tune", str(error), exits=1)
    plain, best = facts["accuracy"][0.0], max(facts["accuracy"].values())
    found = f"switch cost {facts['switch_cost']:.2f}; accuracy on dev without {plain:.3f}"
    msg.good(f"{found}, at best {best:.3f}: {output}")


if __name__ == "__main__":
    typer.run(main)
