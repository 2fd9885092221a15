"""Measure how often a graph of vectors finds the words that comparing with all of them finds."""

import time
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer
from tqdm import tqdm
from wasabi import msg

from benchmarks.conditions import conditions, write_result
from plugins.lmfao import NearestWords
from scripts.corpus import read_corpus
from scripts.language_model import language_model

K = 10
EFFORTS = (16, 32, 64, 128, 256)


def measure(pretrained: Path, texts: list[str]) -> dict[str, Any]:
    """Look up the words nearest to predicted vectors, by graphs of several efforts and exactly.

    pretrained: Folder of a pretraining; its language model predicts a vector per token.
    texts: To predict.
    RETURNS: Numbers of words and queries, and of exact and each effort: seconds to build, words/s,
        recall at 1 and at 10, which is the share of the exact nearest words that are found.
    """
    nlp = language_model(pretrained, k=K)
    nlp.remove_pipe("lmfao")
    tensors = [doc.tensor for doc in tqdm(nlp.pipe(texts), total=len(texts), desc="predict")]
    queries = numpy.concatenate(tensors).astype("float32")
    truth, exact = _search(NearestWords(nlp.vocab, k=K, index="exact"), queries)
    results = {"exact": exact}
    for effort in EFFORTS:
        found, result = _search(NearestWords(nlp.vocab, k=K, effort=effort), queries)
        same = [len(set(a) & set(b)) / K for a, b in zip(found, truth, strict=True)]
        result["recall_at_1"] = round(float((found[:, 0] == truth[:, 0]).mean()), 4)
        result["recall_at_10"] = round(float(numpy.mean(same)), 4)
        result["ratio_to_exact"] = round(result["words_per_second"] / exact["words_per_second"], 1)
        results[f"hnsw, effort {effort}"] = result
    return {
        "vectors": int(nlp.vocab.vectors.shape[0]),
        "width": nlp.vocab.vectors_length,
        "queries": len(queries),
        "results": results,
    }


def _search(lmfao: NearestWords, queries: numpy.ndarray) -> tuple[numpy.ndarray, dict[str, Any]]:
    start = time.perf_counter()
    lmfao.search(queries[:1])
    built = time.perf_counter()
    found = numpy.concatenate(
        [lmfao.search(part)[0] for part in numpy.array_split(queries, len(queries) // 1000 + 1)]
    )
    seconds = time.perf_counter() - built
    return found, {
        "seconds_to_build": round(built - start, 2),
        "words_per_second": round(len(queries) / seconds),
    }


def main(
    pretrained: Annotated[Path, typer.Argument(help="Folder of a pretraining", exists=True)],
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
) -> None:
    """Compare approximate with exact search for the words nearest to predictions on dev."""
    before = conditions("lmfao", 0)
    try:
        texts, _ = read_corpus(Path("corpus") / data / "dev.spacy")
        result = measure(pretrained, texts)
    except ValueError as error:
        msg.fail("Cannot measure", str(error), exits=1)
    output = Path("metrics") / data / "benchmark_lmfao.json"
    write_result(output, {**result, "conditions": before})
    columns = ("seconds_to_build", "words_per_second", "recall_at_1", "recall_at_10")
    rows = [(name, *(r.get(c, "") for c in columns)) for name, r in result["results"].items()]
    header = ("index", "build s", "words/s", "recall@1", "recall@10")
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * 4))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
