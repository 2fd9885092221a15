"""Time trained pipelines and the TF-IDF baseline on the same texts, each in a fresh process."""

import statistics
import time
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from wasabi import msg

from benchmarks.conditions import alone, conditions, peak_memory, write_result
from scripts.corpus import read_corpus
from scripts.scores import load_pipeline
from scripts.tfidf import Tfidf


def speed(
    data: str, runs: list[str], *, batch_size: int = 256, repeats: int = 3, fit_docs: int = 10_000
) -> dict[str, Any]:
    """Time pipelines of training/<data>/ and the baseline on dev.

    data: Folder in corpus/.
    runs: Names of runs in training/<data>/.
    repeats: Predictions of all texts; the median counts.
    fit_docs: Texts of train that the baseline is fitted on; all of them takes minutes and has more
        features, which slows it a little.
    RETURNS: By name: docs_per_second, peak_memory_mb, ratio_to_tfidf; load_seconds and training of
        runs, fit_seconds of the baseline.
    RAISES ValueError: A corpus or a pipeline is not there.
    """
    corpus = Path("corpus") / data
    for split in ("train", "dev"):
        if not (corpus / f"{split}.spacy").exists():
            raise ValueError(f"{corpus / split}.spacy: no such file. Run preprocess first.")
    folders = {run: Path("training") / data / run for run in runs}
    for folder in folders.values():
        if not (folder / "pipeline" / "meta.json").exists():
            raise ValueError(f"{folder / 'pipeline'}: no pipeline here. Expected one from decide.")
    dev = corpus / "dev.spacy"
    results = {}
    for run, folder in folders.items():
        arguments = (folder / "pipeline", dev, batch_size, repeats)
        results[run] = {**alone(time_pipeline, *arguments), "training": _training(folder)}
    results["tfidf"] = alone(time_tfidf, corpus / "train.spacy", dev, fit_docs, repeats)
    for found in results.values():
        ratio = found["docs_per_second"] / results["tfidf"]["docs_per_second"]
        found["ratio_to_tfidf"] = round(ratio, 3)
    return results


def time_pipeline(pipeline: Path, corpus: Path, batch_size: int, repeats: int) -> dict[str, Any]:
    """Load a pipeline and predict all texts of a corpus, tokenization included."""
    texts, _ = read_corpus(corpus)
    start = time.perf_counter()
    nlp = load_pipeline(pipeline)
    loaded = time.perf_counter() - start
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        deque(nlp.pipe(texts, batch_size=batch_size), maxlen=0)  # keeps no doc
        seconds.append(time.perf_counter() - start)
    return {**_timing(len(texts), seconds), "load_seconds": round(loaded, 2)}


def time_tfidf(train: Path, corpus: Path, fit_docs: int, repeats: int) -> dict[str, Any]:
    """Fit the baseline on the first texts of train and predict all texts of a corpus."""
    texts, _ = read_corpus(corpus)
    fit_texts, cats = read_corpus(train)
    truth = numpy.array([list(row.values()) for row in cats[:fit_docs]])
    start = time.perf_counter()
    model = Tfidf().fit(fit_texts[:fit_docs], truth)
    fitted = time.perf_counter() - start
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict(texts)
        seconds.append(time.perf_counter() - start)
    fit = {"fit_docs": len(truth), "fit_seconds": round(fitted, 2)}
    return {**_timing(len(texts), seconds), **fit}


def _timing(docs: int, seconds: list[float]) -> dict[str, Any]:
    return {
        "docs": docs,
        "docs_per_second": round(docs / statistics.median(seconds), 1),
        "seconds": [round(s, 3) for s in seconds],
        "peak_memory_mb": round(peak_memory(), 1),
    }


def _training(folder: Path) -> dict[str, Any]:
    """Return what training noted: seconds, and words/s where the words were counted."""
    facts = srsly.read_json(folder / "trained" / "training.json")
    found = {"seconds": facts["seconds"]}
    if "words" in facts:
        found["words_per_second"] = round(facts["words"] / facts["seconds"])
    return found


def main(
    runs: Annotated[list[str], typer.Argument(help="Runs in training/<data>/, e.g. cnn")],
    data: Annotated[str, typer.Option(help="Data set in corpus/ and training/")] = "goemotions",
    batch_size: Annotated[int, typer.Option(help="Docs the pipelines read at once", min=1)] = 256,
    repeats: Annotated[int, typer.Option(help="Predictions; the median counts", min=1)] = 3,
    fit_docs: Annotated[int, typer.Option(help="Texts the baseline is fitted on", min=2)] = 10_000,
) -> None:
    """Time pipelines and the TF-IDF baseline on dev, one process after the other, on the CPU."""
    before = conditions("speed", 0)
    try:
        results = speed(data, runs, batch_size=batch_size, repeats=repeats, fit_docs=fit_docs)
    except ValueError as error:
        msg.fail("Cannot time", str(error), exits=1)
    output = Path("metrics") / data / "benchmark_speed.json"
    write_result(output, {"results": results, "batch_size": batch_size, "conditions": before})
    rows = [
        (name, f"{r['docs_per_second']:.0f}", f"{r['peak_memory_mb']:.0f}", r["ratio_to_tfidf"])
        for name, r in results.items()
    ]
    header = ("model", "docs/s", "peak MB", "ratio to tfidf")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
