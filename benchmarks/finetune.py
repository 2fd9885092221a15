"""Time fine-tuning with bert.cfg against a plain loop of torch and transformers."""

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from spacy.schemas import ConfigSchemaTraining
from spacy.training.initialize import init_nlp
from spacy.training.loop import create_train_batches
from spacy.util import load_config, load_model_from_config, registry, resolve_dot_names
from thinc.api import fix_random_seed
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from benchmarks.conditions import alone, conditions, peak_memory, write_result
from plugins.transformer import has_bf16


def compare(config: Path, data: str, steps: int, repeats: int) -> dict[str, Any]:
    """Time the arms in turns, each in a process of its own, on the same batches.

    config: Has a transformer of goemotions.TransformerModel.v1 and a batcher.
    steps: Updates that are timed, after a tenth as many that are not.
    repeats: Turns; the median counts.
    RETURNS: By arm: posts_per_second, peak_mb, time_ratio (to the plain loop).
    """
    arms = {config.stem: time_project, "plain loop": time_plain}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for _ in range(repeats):
        for name, function in arms.items():
            found[name].append(alone(function, config, data, steps))
    results = {
        name: {key: round(statistics.median(turn[key] for turn in turns), 1) for key in turns[0]}
        for name, turns in found.items()
    }
    plain = results["plain loop"]["posts_per_second"]
    for result in results.values():
        result["time_ratio"] = round(plain / result["posts_per_second"], 2)
    return results


def time_project(config: Path, data: str, steps: int) -> dict[str, float]:
    """Time updates as `spacy train` makes them."""
    nlp, training, batches = _set_up(config, data, steps)
    dropout = training["dropout"]

    def update(batch: list) -> None:
        nlp.update(batch, sgd=training["optimizer"], drop=dropout)

    return _time(update, batches)


def time_plain(config: Path, data: str, steps: int) -> dict[str, float]:
    """Time a loop that a PyTorch user would write: mean of the tokens, a linear layer, AdamW."""
    nlp, _, batches = _set_up(config, data, steps, initialize=False)
    settings = nlp.config.interpolate()["components"]["transformer"]["model"]
    tokenizer = AutoTokenizer.from_pretrained(settings["name"])
    model = AutoModel.from_pretrained(settings["name"])
    model.get_input_embeddings().requires_grad_(not settings["freeze_embeddings"])
    linear = torch.nn.Linear(model.config.hidden_size, len(batches[0][0].reference.cats))
    weights = [p for p in (*model.parameters(), *linear.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)
    model.train()

    def update(batch: list) -> None:
        inputs = tokenizer([e.reference.text for e in batch], padding=True, return_tensors="pt")
        truths = torch.tensor([list(e.reference.cats.values()) for e in batch])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_in_bf16(settings)):
            hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        logits = linear((hidden.float() * mask).sum(1) / mask.sum(1))
        torch.nn.functional.binary_cross_entropy_with_logits(logits, truths).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return _time(update, batches)


def _set_up(
    config: Path, data: str, steps: int, *, initialize: bool = True
) -> tuple[Any, dict[str, Any], list[list]]:
    corpus = Path("corpus") / data
    paths = {"train": "train.spacy", "dev": "dev.spacy", "labels": "labels.json"}
    overrides = {f"paths.{key}": str(corpus / name) for key, name in paths.items()}
    loaded = load_config(config, overrides=overrides, interpolate=False)
    # The plain loop has a transformer of its own, and no memory for a second one.
    nlp = init_nlp(loaded) if initialize else load_model_from_config(loaded, auto_fill=True)
    fix_random_seed(nlp.config.interpolate()["training"]["seed"])  # the same batches for both
    settings = nlp.config.interpolate()
    training = registry.resolve(settings["training"], schema=ConfigSchemaTraining)
    (reader,) = resolve_dot_names(settings, [training["train_corpus"]])
    stream = create_train_batches(nlp, reader, training["batcher"], 0)
    return nlp, training, [next(stream)[1] for _ in range(steps + steps // 10)]


def _in_bf16(settings: dict[str, Any]) -> bool:
    return settings["cpu_bf16"] == "on" or (settings["cpu_bf16"] == "auto" and has_bf16())


def _time(update: Any, batches: list[list]) -> dict[str, float]:
    warm_up = len(batches) // 11
    for batch in batches[:warm_up]:
        update(batch)
    start = time.perf_counter()
    for batch in tqdm(batches[warm_up:], desc="updates"):
        update(batch)
    seconds = time.perf_counter() - start
    posts = sum(len(batch) for batch in batches[warm_up:])
    return {"posts_per_second": posts / seconds, "peak_mb": peak_memory()}


def main(
    config: Annotated[Path, typer.Argument(help="Config to train", exists=True)] = Path(
        "configs/bert.cfg"
    ),
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
    steps: Annotated[int, typer.Option(help="Updates to time", min=10)] = 60,
    repeats: Annotated[int, typer.Option(help="Turns; the median counts", min=1)] = 3,
) -> None:
    """Time fine-tuning against a plain loop of torch and transformers on the same batches."""
    before = conditions("finetune", 0)
    if not (Path("corpus") / data / "train.spacy").exists():
        msg.fail(f"No corpus/{data}/train.spacy. Run preprocess first", exits=1)
    result = compare(config, data, steps, repeats)
    output = Path("metrics") / data / "benchmark_finetune.json"
    write_result(output, {"results": result, "steps": steps, "conditions": before})
    rows = [
        (name, f"{r['posts_per_second']:.1f}", f"{r['peak_mb']:.0f}", r["time_ratio"])
        for name, r in result.items()
    ]
    header = ("arm", "posts/s", "peak MB", "time ratio")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
