"""Time pretraining with LMAO, and `spacy pretrain` with PretrainVectors, on the same text."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import spacy.training.pretrain
import srsly
import typer
from spacy.language import DEFAULT_CONFIG, Language
from spacy.training import Example
from spacy.util import load_config, registry
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from benchmarks.conditions import alone, conditions, write_result
from scripts.pretrain import Pretraining

TIMED = "benchmark.timed_text.v1"
VECTORS = {"@architectures": "spacy.PretrainVectors.v1", "maxout_pieces": 3, "hidden_size": 300,
           "loss": "cosine"}  # fmt: skip
ARMS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "scripts.pretrain, PretrainLMAO": ("ours", None),
    "scripts.pretrain, PretrainVectors": ("ours", VECTORS),
    "spacy pretrain, PretrainVectors": ("spacy", VECTORS),
}
REFERENCE = "spacy pretrain, PretrainVectors"


def compare(config: Path, vectors: str, text: Path, texts: int, repeats: int) -> dict[str, Any]:
    """Time the arms in turns, each in a process of its own, one epoch over the same texts.

    config: With [pretraining]; its objective is one of the arms.
    text: .jsonl or .jsonl.gz with "text".
    texts: How many of them.
    repeats: Turns; the median counts.
    RETURNS: By arm: words, words_per_second, ratio to `spacy pretrain`.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for _ in range(repeats):
        for name, (loop, objective) in ARMS.items():
            found[name].append(alone(time_epoch, config, vectors, text, texts, loop, objective))
    results = {
        name: {key: round(statistics.median(turn[key] for turn in turns)) for key in turns[0]}
        for name, turns in found.items()
    }
    for result in results.values():
        ratio = result["words_per_second"] / results[REFERENCE]["words_per_second"]
        result["ratio"] = round(ratio, 2)
    return results


def time_epoch(
    config: Path, vectors: str, text: Path, texts: int, loop: str, objective: dict | None
) -> dict[str, float]:
    """Pretrain for an epoch, and time it from the first text to the end.

    loop: "ours" counts the pass over the held-out texts too, "spacy" the files it writes.
    """
    seen = {"words": 0, "start": 0.0}
    registry.readers.register(TIMED, func=lambda: _timed(text, texts, seen))
    overrides = {"paths.vectors": vectors, "pretraining.max_epochs": 1}
    loaded = load_config(config, overrides=overrides, interpolate=False)
    loaded["corpora"]["pretrain"] = {"@readers": TIMED}
    if objective is not None:
        loaded["pretraining"]["objective"] = objective
    loaded = DEFAULT_CONFIG.merge(loaded).interpolate()  # which `spacy pretrain` wants complete
    if loop == "ours":
        training = Pretraining(loaded)
        training.epoch("epoch")
    else:
        with tempfile.TemporaryDirectory() as folder:
            spacy.training.pretrain.pretrain(loaded, Path(folder), silent=True)
    seconds = time.perf_counter() - seen["start"]
    return {"words": seen["words"], "words_per_second": seen["words"] / seconds}


def _timed(
    text: Path, texts: int, seen: dict[str, float]
) -> Callable[[Language], Iterator[Example]]:
    rows = [row["text"] for row in islice(_rows(text), texts)]

    def read(nlp: Language) -> Iterator[Example]:
        seen.update(words=0, start=time.perf_counter())
        for row in rows:
            doc = nlp.make_doc(row)
            seen["words"] += len(doc)
            yield Example(doc, doc.copy())

    return read


def _rows(text: Path) -> Iterator[dict[str, Any]]:
    if not text.is_file():
        raise ValueError(f"{text}: no such file. Expected what scripts.raw_text wrote.")
    return (srsly.read_gzip_jsonl if text.suffix == ".gz" else srsly.read_jsonl)(text)


def main(
    config: Annotated[Path, typer.Argument(help="Config", exists=True)] = Path("configs/cnn.cfg"),
    data: Annotated[str, typer.Option(help="Data set in corpus/raw/")] = "goemotions",
    vectors: Annotated[str, typer.Option(help="Pipeline")] = "assets/models/en_core_web_md",
    texts: Annotated[int, typer.Option(help="Texts of the epoch", min=100)] = 10_000,
    repeats: Annotated[int, typer.Option(help="Turns; the median counts", min=1)] = 3,
) -> None:
    """Time an epoch of pretraining against `spacy pretrain` on the same text."""
    before = conditions("pretraining", 0)
    text = Path("corpus") / "raw" / f"{data}.jsonl.gz"
    try:
        _rows(text)
    except ValueError as error:
        msg.fail("Cannot measure", str(error), exits=1)
    result = compare(config, vectors, text, texts, repeats)
    output = Path("metrics") / data / "benchmark_pretraining.json"
    write_result(output, {"results": result, "texts": texts, "conditions": before})
    rows = [(name, r["words_per_second"], r["ratio"]) for name, r in result.items()]
    msg.table(rows, header=("arm", "words/s", "ratio"), divider=True, aligns=("l", "r", "r"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
