"""Tune on dev how readily a CRF finds entities, and store that in a copy of the pipeline."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer
from numpy.typing import NDArray
from spacy.language import Language
from spacy.training import Example
from spacy.util import minibatch
from tqdm import tqdm
from wasabi import msg

from plugins.entity_scorers import count_exact
from scripts.entity_corpus import entity_component, read_examples
from scripts.files import check_output, hash_of, replacing
from scripts.scores import load_pipeline

BIASES = numpy.arange(-2, 6.01, 0.25)
SETTINGS = "decision.json"


def decide_entities(
    model: Path,
    corpus: Path,
    output: Path,
    *,
    resamples: int = 200,
    seed: int = 0,
    gpu_id: int = -1,
) -> dict[str, Any]:
    """Find the recall bias with the best exact F on dev: the median over resampled docs.

    A pipeline with spaCy's own `ner`, which has no scores to move, is copied as it is.

    model: Trained pipeline; stays as it is.
    corpus: Dev set, .spacy.
    output: Folder of the new pipeline.
    resamples: Bootstraps; 0 takes the optimum on dev itself.
    RETURNS: recall_bias, None for `ner`; f by bias; and how it was found.
    RAISES ValueError: The model or the corpus cannot be used.
    SOURCE: Minkov et al. 2006, NER Systems that Suit User's Preferences.
    """
    check_output(output, "pipeline", ["meta.json"], [model, corpus])
    nlp = load_pipeline(model, gpu_id)
    name = entity_component(nlp)
    facts: dict[str, Any] = {"recall_bias": None}
    if nlp.get_pipe_meta(name).factory == "ner_crf":
        counts = count_by_bias(nlp, name, read_examples(nlp, corpus))
        best = best_bias(counts, resamples, seed)
        nlp.get_pipe(name).recall_bias = best
        scores = _f(counts.sum(axis=1))
        facts = {
            "recall_bias": best,
            "f": dict(zip(BIASES.tolist(), scores.round(4).tolist(), strict=True)),
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


def count_by_bias(nlp: Language, name: str, examples: list[Example]) -> NDArray[numpy.int64]:
    """Return found and true, found, true entities [biases, docs, 3]; each doc is scored once."""
    component, counts = nlp.get_pipe(name), []
    before = nlp.pipe_names[: nlp.pipe_names.index(name)]
    for batch in tqdm(list(minibatch(examples, nlp.batch_size)), desc="tune on dev"):
        docs = [example.predicted for example in batch]
        for pipe in before:
            docs = list(nlp.get_pipe(pipe).pipe(docs))
        emissions = component.model.predict(docs)
        of_batch = numpy.zeros((len(BIASES), len(batch), 3), dtype="int64")
        for number, bias in enumerate(BIASES):
            component.set_annotations(docs, component.decode(emissions, bias))
            for place, example in enumerate(batch):
                for found in count_exact(example, component.spans_key).values():
                    of_batch[number, place] += found
        counts.append(of_batch)
    return numpy.concatenate(counts, axis=1)


def best_bias(counts: NDArray[numpy.int64], resamples: int, seed: int) -> float:
    """Return the bias with the best F, the median over resampled docs; ties go to the smallest.

    counts ([biases, docs, 3]): Of count_by_bias.
    """
    docs = counts.shape[1]
    weights = numpy.ones((1, docs))
    if resamples:
        weights = numpy.random.default_rng(seed).multinomial(docs, [1 / docs] * docs, resamples)
    order = numpy.argsort(abs(BIASES), kind="stable")
    scores = _f(numpy.einsum("rd,bdc->brc", weights, counts[order]))  # [biases, resamples]
    return float(numpy.median(BIASES[order][scores.argmax(axis=0)]))


def _f(counts: NDArray) -> NDArray[numpy.float64]:
    """Return F of counts [..., 3], 0 where nothing is found and nothing true."""
    total = counts[..., 1] + counts[..., 2]
    return 2 * counts[..., 0] / numpy.maximum(total, 1)


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
    """Tune on dev how readily a CRF finds entities, and store that in a copy of the pipeline."""
    try:
        facts = decide_entities(
            model, corpus, output, resamples=resamples, seed=seed, gpu_id=gpu_id
        )
    except ValueError as error:
        msg.fail("Cannot tune", str(error), exits=1)
    if facts["recall_bias"] is None:
        msg.good(f"Nothing to tune in spaCy's ner; copied: {output}")
        return
    plain, best = facts["f"][0.0], max(facts["f"].values())
    found = f"recall bias {facts['recall_bias']:.2f}; F on dev {plain:.3f}, at best {best:.3f}"
    msg.good(f"{found}: {output}")


if __name__ == "__main__":
    typer.run(main)
