"""Time text to text: greedy decoding in batches, one sentence at a time, and a beam."""

import os
import statistics
import time
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from spacy.language import Language
from tqdm import tqdm
from wasabi import msg

from benchmarks.conditions import conditions, write_result
from scripts.compare_decoders import DECODERS
from scripts.pair_corpus import pair_component, read_pairs, set_decoder
from scripts.scores import load_pipeline

# Name of the decoder, and whether sentences come in batches of nlp.batch_size.
ARMS = {
    "greedy": ("greedy", True),
    "greedy, one at a time": ("greedy", False),
    "beam of 4": ("beam of 4", True),
}
BAR = 500  # sentences per second that greedy decoding in batches has to reach
WARM_UP = 64  # sentences


def pairs(pipeline: Path, corpus: Path, limit: int, repeats: int) -> dict[str, Any]:
    """Let a pipeline write in all ways in turns, on the CPU with a thread for each core.

    pipeline: Trained, with seq2seq.
    corpus: .spacy, whose texts are read.
    limit (sentences): Take the first so many; 0 takes all.
    repeats: Turns; medians count.
    RETURNS: results, by way: sentences_per_second, the median, and turns; bar, and whether it is
        reached; and how many sentences of how many symbols in how many threads there were.
    RAISES ValueError: The pipeline or the corpus cannot be used.
    """
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    nlp = load_pipeline(pipeline)
    texts = [example.reference.text for example in read_pairs(nlp, corpus)][: limit or None]
    split = nlp.get_pipe(pair_component(nlp)).markup.split
    turns: dict[str, list[float]] = {name: [] for name in ARMS}
    for name in tqdm([*ARMS] * repeats, desc="write"):
        decoder, batched = ARMS[name]
        set_decoder(nlp, DECODERS[decoder])
        _sentences_per_second(nlp, texts[:WARM_UP], batched)
        turns[name].append(round(_sentences_per_second(nlp, texts, batched), 1))
    found = {
        name: {"sentences_per_second": statistics.median(rates), "turns": rates}
        for name, rates in turns.items()
    }
    return {
        "results": found,
        "bar": {"greedy": BAR, "reached": found["greedy"]["sentences_per_second"] >= BAR},
        "sentences": len(texts),
        "symbols": sum(len(split(text)) for text in texts),
        "batch_size": nlp.batch_size,
        "threads": torch.get_num_threads(),
    }


def _sentences_per_second(nlp: Language, texts: list[str], batched: bool) -> float:
    start = time.perf_counter()
    deque(nlp.pipe(texts) if batched else map(nlp, texts), maxlen=0)  # keeps no doc
    return len(texts) / (time.perf_counter() - start)


def main(
    pipeline: Annotated[Path, typer.Option(help="Trained pipeline with seq2seq")],
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "seq2seq_markup",
    corpus: Annotated[
        Path | None, typer.Option(help=".spacy to read; dev of the data set if not given")
    ] = None,
    limit: Annotated[int, typer.Option(help="Sentences to take, 0 for all", min=0)] = 1000,
    repeats: Annotated[int, typer.Option(help="Turns; medians count", min=1)] = 3,
) -> None:
    """Time text to text on the CPU: greedy in batches, one sentence at a time, and a beam."""
    before = conditions("pairs", 0)
    corpus = corpus or Path("corpus") / data / "dev.spacy"
    try:
        result = pairs(pipeline, corpus, limit, repeats)
    except ValueError as error:
        msg.fail("Cannot time", str(error), exits=1)
    output = Path("metrics") / data / "benchmark_pairs.json"
    paths = {"pipeline": pipeline.as_posix(), "corpus": corpus.as_posix()}
    write_result(output, {**result, **paths, "repeats": repeats, "conditions": before})
    rows = [
        (name, f"{way['sentences_per_second']:,.0f}") for name, way in result["results"].items()
    ]
    rows.append(("bar of greedy", f"≥ {BAR}"))
    msg.table(rows, header=("decoding", "sentences/s"), divider=True, aligns=("l", "r"))
    msg.good(f"{result['sentences']} sentences, {result['threads']} threads: {output}")


if __name__ == "__main__":
    typer.run(main)
