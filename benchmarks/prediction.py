"""Time predictions of cnn and bert, as shipped and as by default, TF-IDF and plain transformers."""

import os
import statistics
import time
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import numpy
import spacy
import torch
import typer
from transformers import AutoModel, AutoTokenizer
from wasabi import msg

import plugins  # noqa: F401  registers what the pipelines name
from benchmarks.conditions import alone, conditions, peak_memory, write_result
from scripts.corpus import read_corpus
from scripts.metrics import macro_f1
from scripts.scores import find_pipeline, labels_of, predict_scores, stored_thresholds
from scripts.tfidf import Tfidf

DEFAULT = {"nlp": {"after_pipeline_creation": None}}  # thinc's own BLAS and layers
BATCH = 32  # of plain transformers
FIT_DOCS = 10_000
WARM_DOCS = 2000  # of dev, predicted first: a long run has met most words


def prediction(
    cnn: Path, bert: Path, fast: Path, plain: Path, data: str, docs: int, repeats: int
) -> dict[str, Any]:
    """Time the arms in turns, each turn in a process of its own, on the same texts of test.

    cnn, bert, fast: Pipelines; fast is bert's copy of scripts.faster.
    plain: Folder of the pretrained transformer, for an arm without spaCy.
    docs: Texts, from the first; 0 are all.
    RETURNS: results by arm: docs_per_second (median), turns, peak_memory_mb; ratios to the arm
        that each is held against; the largest differences of scores to that arm; macro-F1 of
        bert and its copy on dev.
    RAISES ValueError: A pipeline or a corpus is not there.
    """
    corpus = Path("corpus") / data
    for split in ("train", "dev", "test"):
        if not (corpus / f"{split}.spacy").exists():
            raise ValueError(f"{corpus / split}.spacy: no such file. Run preprocess first.")
    if not plain.exists():
        raise ValueError(f"{plain}: no such folder. Expected a pretrained transformer.")
    cnn, bert, fast = (find_pipeline(path) for path in (cnn, bert, fast))
    arms = {
        "cnn": (time_pipeline, cnn, {}, corpus, docs),
        "cnn, default settings": (time_pipeline, cnn, DEFAULT, corpus, docs),
        "tfidf": (time_tfidf, corpus, docs),
        "bert, bfloat16": (time_pipeline, fast, {}, corpus, docs),
        "bert": (time_pipeline, bert, {}, corpus, docs),
        "plain transformers": (time_plain, plain, corpus, docs),
    }
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    scores = {}
    for _ in range(repeats):
        for name, (work, *arguments) in arms.items():
            found = alone(work, *arguments)
            scores[name] = found.pop("scores")
            turns[name].append(found)
    held = {"cnn": "cnn, default settings", "bert, bfloat16": "bert"}
    return {
        "results": {name: _medians(found) for name, found in turns.items()},
        "ratios": {
            f"{name} : {other}": _ratio(turns[name], turns[other])
            for name, other in [
                *held.items(),
                ("cnn", "tfidf"),
                ("bert", "plain transformers"),
                ("bert, bfloat16", "plain transformers"),
            ]
        },
        "largest_difference_of_scores": {
            f"{name} : {other}": float(abs(scores[name] - scores[other]).max())
            for name, other in held.items()
        },
        "macro_f1_on_dev": {
            name: alone(macro_f1_of, path, corpus / "dev.spacy")
            for name, path in (("bert", bert), ("bert, bfloat16", fast))
        },
    }


def time_pipeline(
    pipeline: Path, changes: dict[str, Any], corpus: Path, docs: int
) -> dict[str, Any]:
    """Predict texts, tokenization included; with changes, in spaCy's default batch size."""
    warm, texts = _texts(corpus / "dev.spacy", WARM_DOCS), _texts(corpus / "test.spacy", docs)
    nlp = spacy.load(pipeline, config=changes)
    size = spacy.blank("en").batch_size if changes else nlp.batch_size
    labels = labels_of(nlp)
    deque(nlp.pipe(warm, batch_size=size), maxlen=0)
    start = time.perf_counter()
    cats = [doc.cats for doc in nlp.pipe(texts, batch_size=size)]
    found = _timing(len(texts), time.perf_counter() - start)
    return {**found, "scores": numpy.array([[row[x] for x in labels] for row in cats])}


def time_tfidf(corpus: Path, docs: int) -> dict[str, Any]:
    """Fit TF-IDF and logistic regression on the first texts of train, predict those of test."""
    texts = _texts(corpus / "test.spacy", docs)
    fit_texts, cats = read_corpus(corpus / "train.spacy")
    truth = numpy.array([list(row.values()) for row in cats[:FIT_DOCS]])
    model = Tfidf().fit(fit_texts[:FIT_DOCS], truth)
    start = time.perf_counter()
    scores = model.predict(texts)
    return {**_timing(len(texts), time.perf_counter() - start), "scores": scores}


def time_plain(folder: Path, corpus: Path, docs: int) -> dict[str, Any]:
    """Predict as a user of transformers would: batches in the order given, mean, linear layer."""
    warm, texts = _texts(corpus / "dev.spacy", BATCH), _texts(corpus / "test.spacy", docs)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    linear = torch.nn.Linear(model.config.hidden_size, 28)
    model.eval()

    @torch.inference_mode()
    def predict(batch: list[str]) -> torch.Tensor:
        X = tokenizer(batch, padding=True, truncation=True, max_length=128, return_tensors="pt")
        Y = model(**X).last_hidden_state
        mask = X["attention_mask"][:, :, None]
        return torch.sigmoid(linear((Y * mask).sum(1) / mask.sum(1)))

    predict(warm)
    start = time.perf_counter()
    parts = [predict(texts[i : i + BATCH]).numpy() for i in range(0, len(texts), BATCH)]
    found = _timing(len(texts), time.perf_counter() - start)
    return {**found, "scores": numpy.concatenate(parts)}


def macro_f1_of(pipeline: Path, corpus: Path) -> float:
    """Return macro-F1 at the pipeline's own thresholds."""
    nlp = spacy.load(pipeline)
    thresholds, _ = stored_thresholds(nlp, pipeline)
    found = predict_scores(nlp, corpus)
    least = numpy.array([thresholds[label] for label in found.labels])
    return float(macro_f1(found.truth > 0, found.scores >= least))


def _texts(corpus: Path, docs: int) -> list[str]:
    texts, _ = read_corpus(corpus)
    return texts[:docs] if docs else texts


def _timing(docs: int, seconds: float) -> dict[str, float]:
    return {"docs_per_second": docs / seconds, "peak_memory_mb": peak_memory()}


def _medians(turns: list[dict[str, float]]) -> dict[str, Any]:
    rates = [round(turn["docs_per_second"], 1) for turn in turns]
    memory = statistics.median(turn["peak_memory_mb"] for turn in turns)
    median = round(statistics.median(rates), 1)
    return {"docs_per_second": median, "turns": rates, "peak_memory_mb": round(memory, 1)}


def _ratio(turns: list[dict[str, float]], others: list[dict[str, float]]) -> float:
    """Return the median over turns of one rate to the other: a busy machine slows both."""
    pairs = zip(turns, others, strict=True)
    key = "docs_per_second"
    return round(statistics.median(one[key] / other[key] for one, other in pairs), 3)


def main(
    cnn: Annotated[Path, typer.Argument(help="Pipeline of cnn.cfg")],
    bert: Annotated[Path, typer.Argument(help="Pipeline of bert.cfg")],
    fast: Annotated[Path, typer.Argument(help="Its copy in bfloat16, of scripts.faster")],
    plain: Annotated[Path, typer.Option(help="Pretrained transformer")] = Path(
        "assets/models/minilm"
    ),
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
    docs: Annotated[int, typer.Option(help="Texts of test; 0 are all", min=0)] = 0,
    repeats: Annotated[int, typer.Option(help="Turns; medians count", min=1)] = 3,
    threads: Annotated[int, typer.Option(help="Of each process", min=1)] = 1,
) -> None:
    """Time predictions on test, on the CPU, each in a fresh process, in turns."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # the processes of the turns read it
    before = conditions("prediction", 0)
    try:
        found = prediction(cnn, bert, fast, plain, data, docs, repeats)
    except ValueError as error:
        msg.fail("Cannot time", str(error), exits=1)
    settings = {"docs": docs, "repeats": repeats, "threads": threads}
    settings |= {"fit_docs": FIT_DOCS, "warm_docs": WARM_DOCS}
    output = Path("metrics") / data / "benchmark_prediction.json"
    write_result(output, {**found, **settings, "conditions": before})
    rows = [
        (name, f"{r['docs_per_second']:,.0f}", f"{r['peak_memory_mb']:,.0f}")
        for name, r in found["results"].items()
    ]
    header = ("arm", "docs/s", "peak MB")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
