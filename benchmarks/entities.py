"""Time the CRF for entities against spaCy's own recogniser: updates, then predictions of dev."""

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import create_train_batches
from spacy.util import load_config, registry, resolve_dot_names
from tqdm import tqdm
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from benchmarks.conditions import alone, conditions, write_result

CRF, SPACY = ARMS = ("ner_crf", "ner")  # configs, and their components
PASSES = 3  # over dev; the median counts
# By what is compared: what the CRF may take, or has to reach, of spaCy's.
BARS = {"update_seconds": 1.5, "docs_per_second": 0.5}


def entities(
    data: str, steps: int, repeats: int, vectors: Path | None = None
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, Any]]]:
    """Time both recognisers in turns, each in a process of its own, on the same batches and docs.

    data: Folder in corpus/.
    steps: Updates that are timed, after a tenth as many that are not.
    repeats: Turns; medians count.
    vectors: Pipeline whose static vectors both read.
    RETURNS: By recogniser: medians of what time_recogniser returns. By name of BARS: ratio, that of
        the CRF to spaCy's, the median of the turns' ratios; and bar.
    RAISES ValueError: A corpus or the vectors are not there.
    """
    for path in [Path("corpus") / data / f"{split}.spacy" for split in ("train", "dev")]:
        if not path.exists():
            raise ValueError(f"{path}: no such file. Expected it; run preprocess-entities first.")
    if vectors and not (vectors / "meta.json").exists():
        raise ValueError(f"{vectors}: no pipeline here. Expected a folder with meta.json.")
    turns = [
        {name: alone(time_recogniser, name, data, steps, vectors) for name in ARMS}
        for _ in range(repeats)
    ]
    results = {
        name: {key: statistics.median(turn[name][key] for turn in turns) for key in turns[0][name]}
        for name in ARMS
    }
    ratios = {}
    for key, bar in BARS.items():
        found = [round(turn[CRF][key] / turn[SPACY][key], 3) for turn in turns]
        ratios[key] = {"ratio": statistics.median(found), "turns": found, "bar": bar}
    return results, ratios


def time_recogniser(name: str, data: str, steps: int, vectors: Path | None) -> dict[str, float]:
    """Train a config for some steps, then predict dev; reading and tokenizing do not count.

    RETURNS: words of the timed updates, update_seconds, docs_per_second.
    """
    corpus, files = Path("corpus") / data, ("train.spacy", "dev.spacy", "labels.json")
    overrides: dict[str, Any] = {f"paths.{Path(x).stem}": str(corpus / x) for x in files}
    if vectors:
        overrides["paths.vectors"] = str(vectors)
        overrides[f"components.{name}.model.tok2vec.embed.include_static_vectors"] = True
    config = load_config(Path("configs") / f"{name}.cfg", overrides=overrides, interpolate=False)
    nlp = init_nlp(config)
    settings = nlp.config.interpolate()
    training = registry.resolve(settings["training"], schema=ConfigSchemaTraining)
    train, dev = resolve_dot_names(settings, [training["train_corpus"], training["dev_corpus"]])
    # All before the first update, in which spaCy's draws numbers that would shuffle otherwise.
    batches = create_train_batches(nlp, train, training["batcher"], 0)
    batches = [batch for _, batch in islice(batches, steps + steps // 10)]
    words, start = 0, 0.0
    for step, batch in enumerate(tqdm(batches, desc=f"updates of {name}")):
        if step == steps // 10:
            words, start = 0, time.perf_counter()
        nlp.update(batch, sgd=training["optimizer"], drop=training["dropout"])
        words += sum(len(example) for example in batch)
    seconds = time.perf_counter() - start
    with nlp.use_params(training["optimizer"].averages):
        rates = [_docs_per_second(nlp, dev) for _ in range(1 + PASSES)][1:]
    return {
        "words": words,
        "update_seconds": round(seconds, 3),
        "docs_per_second": round(statistics.median(rates), 1),
    }


def _docs_per_second(nlp: Language, dev: Callable[[Language], Iterable[Example]]) -> float:
    docs = [example.predicted for example in dev(nlp)]
    start = time.perf_counter()
    deque(nlp.pipe(docs), maxlen=0)  # keeps no doc
    return len(docs) / (time.perf_counter() - start)


def main(
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "wnut17",
    steps: Annotated[int, typer.Option(help="Updates to time", min=10)] = 200,
    repeats: Annotated[int, typer.Option(help="Turns; medians count", min=1)] = 3,
    vectors: Annotated[
        Path | None, typer.Option(help="Pipeline whose static vectors both read")
    ] = None,
) -> None:
    """Time the CRF for entities against spaCy's own recogniser, on the CPU."""
    before = conditions("entities", 0)
    try:
        results, ratios = entities(data, steps, repeats, vectors)
    except ValueError as error:
        msg.fail("Cannot time", str(error), exits=1)
    name = "benchmark_entities_vectors" if vectors else "benchmark_entities"
    output = Path("metrics") / data / f"{name}.json"
    settings = {"steps": steps, "repeats": repeats, "vectors": vectors and vectors.as_posix()}
    write_result(output, {"results": results, "ratios": ratios, **settings, "conditions": before})
    rows = [
        (name, *(f"{found[key]:,.1f}" for key in BARS), f"{found['words']:,.0f}")
        for name, found in results.items()
    ]
    rows.append(("ratio", *(f"{ratios[key]['ratio']:.2f}" for key in BARS), ""))
    rows.append(("bar", *(f"{'≤' if bar > 1 else '≥'} {bar}" for bar in BARS.values()), ""))
    header = ("recogniser", "s of updates", "docs/s", "words")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
