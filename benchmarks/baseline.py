"""Score TF-IDF with logistic regression, the baseline that a neural pipeline has to beat."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from numpy.typing import NDArray
from wasabi import msg

from benchmarks.conditions import conditions, write_result
from scripts.bootstrap import pack
from scripts.corpus import read_corpus
from scripts.files import hash_of
from scripts.metrics import compute_metrics, macro_f1
from scripts.tfidf import STRENGTH, Tfidf
from scripts.thresholds import Method, tune_thresholds

Floats = NDArray[numpy.float64]
MIN_DF = (2, 5)
METHOD: Method = "bootstrap"


def baseline(
    data: str,
    *,
    test: bool = False,
    min_df: Sequence[int] = MIN_DF,
    strength: float = STRENGTH,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit on train, choose min_df and thresholds on dev, score dev and, if asked, test.

    data: Folder in corpus/; the metrics go to metrics/<data>/tfidf.json and tfidf.test.json.
    min_df (docs): Values to try; the best macro-F1 on dev wins, which flatters dev a little.
    strength, seed: As for Tfidf.
    RETURNS: Metrics by split.
    RAISES ValueError: The corpus is not there, or no min_df is given.
    """
    if not min_df:
        raise ValueError("No min_df to try. Expected at least one.")
    corpus = Path("corpus") / data
    splits = ["dev", "test"] if test else ["dev"]
    labels = _read_labels(corpus)
    found = {split: _load(corpus, split, labels) for split in ("train", *splits)}
    tried, best = {}, None
    for value in min_df:
        candidate = _try(found, value, strength, seed)
        tried[str(value)] = candidate["macro_f1"]
        if best is None or candidate["macro_f1"] > best["macro_f1"]:
            best = candidate
    settings = {"min_df": best["min_df"], "strength": strength, "macro_f1_by_min_df": tried}
    results = {}
    for split in splits:
        results[split] = _score(best, found[split], labels, corpus, split)
        results[split]["conditions"] |= {**conditions("baseline", seed), "settings": settings}
        name = "tfidf.json" if split == "dev" else f"tfidf.{split}.json"
        write_result(Path("metrics") / data / name, results[split])
    return results


def _try(
    found: dict[str, tuple[list[str], Floats]], min_df: int, strength: float, seed: int
) -> dict[str, Any]:
    start = time.perf_counter()
    model = Tfidf(min_df=min_df, strength=strength, seed=seed).fit(*found["train"])
    seconds = time.perf_counter() - start
    texts, truth = found["dev"]
    scores = model.predict(texts)
    thresholds, global_threshold = tune_thresholds(scores, truth, method=METHOD, seed=seed)
    return {
        "model": model,
        "min_df": min_df,
        "seconds": round(seconds, 1),
        "thresholds": thresholds,
        "global_threshold": global_threshold,
        "macro_f1": macro_f1(truth.astype(bool), scores >= thresholds),
    }


def _score(
    best: dict[str, Any],
    found: tuple[list[str], Floats],
    labels: list[str],
    corpus: Path,
    split: str,
) -> dict[str, Any]:
    texts, truth = found
    start = time.perf_counter()
    scores = best["model"].predict(texts)
    seconds = time.perf_counter() - start
    views = srsly.read_json(corpus / "views.json")
    tuned = best["thresholds"], best["global_threshold"]
    metrics = compute_metrics(scores, truth, labels, *tuned, views)
    path = corpus / f"{split}.spacy"
    return {
        **metrics,
        "docs_per_second": round(len(texts) / seconds, 1),
        "conditions": {
            "model": "TF-IDF of words (1-2) and characters (2-5), logistic regression per label",
            "corpus": path.as_posix(),
            "corpus_sha256": hash_of(path),
            "training": {"seconds": best["seconds"]},
            "thresholds": {"method": METHOD},
        },
        "documents": {"truth": pack(truth > 0), "picked": pack(scores >= best["thresholds"])},
    }


def _read_labels(corpus: Path) -> list[str]:
    if not (corpus / "labels.json").exists():
        raise ValueError(f"{corpus}: no labels.json. Run preprocess first.")
    return srsly.read_json(corpus / "labels.json")


def _load(corpus: Path, split: str, labels: list[str]) -> tuple[list[str], Floats]:
    texts, cats = read_corpus(corpus / f"{split}.spacy")
    return texts, numpy.array([[row[label] for label in labels] for row in cats])


def main(
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
    test: Annotated[bool, typer.Option("--test", help="Score the test set too")] = False,
    min_df: Annotated[
        list[int], typer.Option(help="Least docs of a feature; repeat to let dev choose", min=1)
    ] = list(MIN_DF),  # noqa: B006  typer reads it, nobody changes it
    strength: Annotated[float, typer.Option(help="Inverse regularisation (C)")] = STRENGTH,
    seed: Annotated[int, typer.Option(help="Seed of solver and bootstraps", min=0)] = 0,
) -> None:
    """Fit and score TF-IDF with logistic regression: minutes on one core, about 2 GB of memory."""
    try:
        results = baseline(data, test=test, min_df=min_df, strength=strength, seed=seed)
    except ValueError as error:
        msg.fail("Cannot score the baseline", str(error), exits=1)
    for split, result in results.items():
        scores = f"macro-F1 {result['macro_f1']:.3f}, micro-F1 {result['micro_f1']:.3f}"
        msg.good(f"tfidf on {data}, {split}: {scores}")


if __name__ == "__main__":
    typer.run(main)
