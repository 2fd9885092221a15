"""Train a config in a loop that stands here to be read, copied and changed.

With its defaults it makes the model that `spacy train` makes, byte for byte.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Annotated, Any

import typer
from spacy.cli._util import parse_config_overrides
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import (
    create_before_to_disk_callback,
    create_evaluation_callback,
    subdivide_batch,
    update_meta,
)
from spacy.util import load_config, registry, resolve_dot_names
from thinc.api import Config, constant, fix_random_seed, set_gpu_allocator
from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from scripts.check_config import check_config, check_inputs
from scripts.config_yaml import as_cfg
from scripts.files import check_output, replacing
from scripts.gpu import use_gpu
from scripts.stream_batches import batcher_of, cleared, shuffle_of, stream_batches
from scripts.train import with_dashes
from scripts.training_folder import training_folder
from scripts.training_log import noting


def train_loop(
    config: Path,
    output: Path,
    *,
    shuffle: str = "config",
    batch: str = "config",
    gpu_id: int = -1,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a config into a fresh folder that appears only when it is complete.

    config: What to train, .cfg or YAML.
    output: Folder for model-best, model-last, training.json and log.csv, as scripts.train makes it.
    shuffle: "dataset", "100 docs", "none", or "config": as `spacy train` does.
    batch: "4096 tokens", "32 docs", or "config": by the batcher of the config.
    overrides: Config values by dotted key, as after `spacy train`.
    RETURNS: What training.json holds: seconds, config hash, overrides, shuffle, batch.
    RAISES ValueError: A key that the config does not know, a bad shuffle or batch, a missing path,
        an empty corpus, a GPU that is not there.
    """
    overrides, batcher = dict(overrides or {}), batcher_of(batch)
    if batcher and any(key.startswith("training.batcher") for key in overrides):
        raise ValueError("--batch and --training.batcher. Expected one of them.")
    shuffle_of(shuffle, 0)
    use_gpu(gpu_id)
    check_output(output, "trained model", ["training.json"])
    conditions = {"overrides": overrides, "shuffle": shuffle, "batch": batch, "gpu_id": gpu_id}
    with as_cfg(config) as path:
        check_config(path, overrides)
        check_inputs(path, overrides)
        with (
            training_folder(config, output, **conditions) as (folder, facts),
            noting(path, overrides, folder / "log.csv"),
        ):
            loaded = load_config(path, overrides=overrides, interpolate=False)
            if batcher:
                loaded["training"]["batcher"] = batcher  # so that it is saved with the model
            run(initialized(loaded, gpu_id), folder, shuffle, gpu_id)
    return facts


def initialized(config: Config, gpu_id: int) -> Language:
    """Return the pipeline of a config, ready to train.

    RAISES ValueError: The training corpus is empty.
    """
    try:
        return init_nlp(config, use_gpu=gpu_id)
    except AssertionError as error:  # which is spaCy's for no examples
        raise ValueError(
            f"The training corpus is empty, or its docs are. Expected examples. {error}"
        ) from error


def run(nlp: Language, folder: Path, shuffle: str, gpu_id: int = -1) -> None:
    """Train an initialized pipeline by its config; this is the loop.

    folder: For model-best and model-last.
    """
    T, batches, evaluate = _parts(nlp, shuffle, gpu_id)
    dropouts = constant(T["dropout"]) if isinstance(T["dropout"], float) else T["dropout"]
    losses: dict[str, float] = {}  # by component, since the last evaluation
    results: list[tuple[float, int]] = []  # score and step of each evaluation
    words, start = 0, time.perf_counter()
    with _logger(nlp, T) as (log, bar):
        for step, (epoch, batch) in enumerate(batches):
            if T["before_update"]:
                T["before_update"](nlp, {"step": step, "epoch": epoch})
            update(nlp, batch, next(dropouts), losses, T)
            words += sum(len(example) for example in batch)
            info = None
            if step % T["eval_frequency"] == 0:
                with nlp.use_params(T["optimizer"].averages):
                    score, other_scores = evaluate()
                results.append((score, step))
                info = {"epoch": epoch, "step": step, "score": score, "other_scores": other_scores}
                info |= {"losses": losses, "checkpoints": results, "words": words}
                info |= {"seconds": int(time.perf_counter() - start)}
                save(nlp, folder, T, info)
                losses = {}
            log(info)
            bar.update()
            bar.set_postfix(loss=float(sum(losses.values())), score=results[-1][0], refresh=False)
            best_step = -max((score, -number) for score, number in results)[1]
            if 0 < T["patience"] <= step - best_step or 0 < T["max_steps"] <= step:
                break
    save(nlp, folder, T)


def _parts(nlp: Language, shuffle: str, gpu_id: int) -> tuple[dict[str, Any], Iterator, Callable]:
    """Return the resolved [training] section, batches without end and what evaluates on dev."""
    config = nlp.config.interpolate()
    if config["training"]["seed"] is not None:
        fix_random_seed(config["training"]["seed"])
    if gpu_id >= 0 and config["training"]["gpu_allocator"]:
        set_gpu_allocator(config["training"]["gpu_allocator"])
    T = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    train, dev = resolve_dot_names(config, [T["train_corpus"], T["dev_corpus"]])
    limit = T["max_epochs"]
    batches = stream_batches(
        lambda: train(nlp), T["batcher"], max_epochs=limit, shuffle=shuffle_of(shuffle, limit)
    )
    evaluate = create_evaluation_callback(nlp, lambda nlp: cleared(dev(nlp)), T["score_weights"])
    return T, batches, evaluate


def update(
    nlp: Language, batch: list[Example], dropout: float, losses: dict[str, float], T: dict[str, Any]
) -> None:
    """Add up the gradients of all components, then move their weights once."""
    for part in subdivide_batch(batch, T["accumulate_gradient"]):
        nlp.update(
            part,
            drop=dropout,
            losses=losses,
            sgd=False,
            exclude=T["frozen_components"],
            annotates=T["annotating_components"],
        )
    for name, component in nlp.pipeline:
        has_weights = getattr(component, "is_trainable", False) and component.model is not None
        if has_weights and name not in T["frozen_components"]:
            component.finish_update(T["optimizer"])
    T["optimizer"].step_schedules()


def save(
    nlp: Language, folder: Path, T: dict[str, Any], info: dict[str, Any] | None = None
) -> None:
    """Write model-last, and model-best if the evaluation that info is of was the best so far."""
    if info:
        with nlp.select_pipes(disable=T["frozen_components"]):
            update_meta(T, nlp, info)
        info["output_path"] = str(folder / "model-last")
    before_to_disk = create_before_to_disk_callback(T["before_to_disk"])
    with replacing(folder / "model-last") as temporary, nlp.use_params(T["optimizer"].averages):
        before_to_disk(nlp).to_disk(temporary)
    if info and info["score"] == max(info["checkpoints"])[0]:
        with replacing(folder / "model-best") as temporary:
            copytree(folder / "model-last", temporary)


@contextmanager
def _logger(nlp: Language, T: dict[str, Any]) -> Iterator[tuple[Callable, tqdm]]:
    """Yield what the config's logger calls after each step, and a progress bar below its lines."""
    with tqdm(total=T["max_steps"] or None, unit="step", disable=None) as bar:
        with nlp.select_pipes(disable=T["frozen_components"]):
            log, finish = T["logger"](nlp, DummyTqdmFile(sys.stdout), DummyTqdmFile(sys.stderr))
        try:
            yield log, bar
        finally:
            finish()


def with_short(overrides: dict[str, Any], short: dict[str, Any]) -> dict[str, Any]:
    """Return overrides and those that came by a short option, unless they are None.

    RAISES ValueError: A key that came both ways.
    """
    given = {key: value for key, value in short.items() if value is not None}
    if both := sorted(given.keys() & overrides.keys()):
        raise ValueError(f"--{both[0]} is given by a short option too. Expected one of them.")
    return overrides | given


def main(
    ctx: typer.Context,
    config: Annotated[
        Path, typer.Option(help="Config to train, .cfg or YAML", exists=True, dir_okay=False)
    ],
    output: Annotated[Path, typer.Option(help="Folder for model-best and model-last")],
    seed: Annotated[int | None, typer.Option(help="Of all random numbers", min=0)] = None,
    shuffle: Annotated[str, typer.Option(help='dataset, "100 docs" at a time, none')] = "config",
    batch: Annotated[str, typer.Option(help='"4096 tokens", "32 docs"')] = "config",
    evaluate_every: Annotated[int | None, typer.Option(help="Steps", min=1)] = None,
    max_steps: Annotated[int | None, typer.Option(help="0 for no end", min=0)] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Train a config in a loop of our own; further options override its values."""
    try:
        overrides = parse_config_overrides(with_dashes(ctx.args))
        short = {"training.max_steps": max_steps, "training.eval_frequency": evaluate_every}
        if seed is not None:
            short |= {"system.seed": seed, "training.seed": "${system.seed}"}
        overrides = with_short(overrides, short)
        settings = {"shuffle": shuffle, "batch": batch, "gpu_id": gpu_id}
        facts = train_loop(config, output, **settings, overrides=overrides)
    except ValueError as error:
        msg.fail("Cannot train", str(error), exits=1)
    msg.good(f"Trained in {facts['seconds'] / 60:.1f} minutes: {output / 'model-best'}")


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
