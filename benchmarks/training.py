"""Time training steps of a config, of the same with thinc's BLAS, and of spaCy's default."""

import statistics
import time
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.pipeline.textcat_multilabel import multi_label_default_config
from spacy.schemas import ConfigSchemaTraining
from spacy.training.initialize import init_nlp
from spacy.training.loop import create_train_batches
from spacy.util import load_config, registry, resolve_dot_names
from thinc.api import Config
from tqdm import tqdm
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from benchmarks.conditions import alone, conditions, write_result

Changes = dict[tuple[str, ...], Any]


def arms_of(config: Path) -> dict[str, Changes]:
    """Return what each way to train changes: nothing, thinc's BLAS, spaCy's default model."""
    blis: Changes = {("nlp", "after_pipeline_creation"): None}
    model = Config().from_str(multi_label_default_config)["model"]
    default: Changes = {("components", "textcat_multilabel", "model"): model}
    return {config.stem: {}, f"{config.stem}, BLIS": blis, "spaCy's default": blis | default}


def compare(config: Path, data: str, steps: int, repeats: int) -> dict[str, Any]:
    """Time the arms in turns, each in a process of its own, on the same batches.

    config: Trains one textcat_multilabel.
    data: Folder in corpus/.
    steps: Updates that are timed, after a tenth as many that are not.
    repeats: Turns; the median counts.
    RETURNS: By arm: words_per_second, steps_per_second, ratio to spaCy's default.
    """
    arms = arms_of(config)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for _ in range(repeats):
        for name, changes in arms.items():
            found[name].append(alone(time_steps, config, data, steps, changes))
    results = {
        name: {key: round(statistics.median(turn[key] for turn in turns), 1) for key in turns[0]}
        for name, turns in found.items()
    }
    default = results["spaCy's default"]["words_per_second"]
    for result in results.values():
        result["ratio_to_default"] = round(result["words_per_second"] / default, 2)
    return results


def time_steps(config: Path, data: str, steps: int, changes: Changes) -> dict[str, float]:
    """Initialize a pipeline and time its updates; reading and evaluation do not count."""
    corpus = Path("corpus") / data
    paths = {"train": "train.spacy", "dev": "dev.spacy", "labels": "labels.json"}
    overrides = {f"paths.{key}": str(corpus / name) for key, name in paths.items()}
    loaded = load_config(config, overrides=overrides, interpolate=False)
    for (*sections, key), value in changes.items():
        reduce(getitem, sections, loaded)[key] = value
    nlp = init_nlp(loaded)
    settings = nlp.config.interpolate()
    training = registry.resolve(settings["training"], schema=ConfigSchemaTraining)
    (reader,) = resolve_dot_names(settings, [training["train_corpus"]])
    batches = create_train_batches(nlp, reader, training["batcher"], 0)
    dropout = training["dropout"]
    dropout = dropout if isinstance(dropout, float) else next(dropout)
    words, start = 0, 0.0
    for step in tqdm(range(steps + steps // 10), desc="updates"):
        if step == steps // 10:
            words, start = 0, time.perf_counter()
        _, batch = next(batches)
        nlp.update(batch, sgd=training["optimizer"], drop=dropout)
        words += sum(len(example) for example in batch)
    seconds = time.perf_counter() - start
    return {"words_per_second": words / seconds, "steps_per_second": steps / seconds}


def main(
    config: Annotated[Path, typer.Argument(help="Config to train", exists=True)],
    data: Annotated[str, typer.Option(help="Data set in corpus/")] = "goemotions",
    steps: Annotated[int, typer.Option(help="Updates to time", min=10)] = 200,
    repeats: Annotated[int, typer.Option(help="Turns; the median counts", min=1)] = 3,
) -> None:
    """Time training steps of a config against thinc's BLAS and spaCy's default text classifier."""
    before = conditions("training", 0)
    if not (Path("corpus") / data / "train.spacy").exists():
        msg.fail(f"No corpus/{data}/train.spacy. Run preprocess first", exits=1)
    result = compare(config, data, steps, repeats)
    output = Path("metrics") / data / "benchmark_training.json"
    write_result(output, {"results": result, "steps": steps, "conditions": before})
    rows = [
        (
            name,
            f"{r['words_per_second']:.0f}",
            f"{r['steps_per_second']:.1f}",
            r["ratio_to_default"],
        )
        for name, r in result.items()
    ]
    header = ("arm", "words/s", "steps/s", "ratio to default")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
