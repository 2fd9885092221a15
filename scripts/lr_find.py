"""Find a learn rate: let it grow from batch to batch and see where the loss falls."""

import json
import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import numpy
import typer
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from spacy.cli._util import parse_config_overrides
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.loop import subdivide_batch
from spacy.util import load_config, registry, resolve_dot_names
from thinc.api import constant, fix_random_seed, set_gpu_allocator
from tqdm import tqdm
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from scripts.check_config import check_config, check_inputs
from scripts.config_yaml import as_cfg
from scripts.files import check_output, hash_of, replacing
from scripts.gpu import use_gpu
from scripts.report_figures import BLUE, GREY, ORANGE, STYLE, new_figure, save
from scripts.stream_batches import shuffle_of, stream_batches
from scripts.train import with_dashes
from scripts.train_loop import initialized, update

LEARN_RATE = "training.optimizer.learn_rate"
ROUNDING = 1e-9  # of a mean of equal losses
DIVERGED = 4.0  # times the least smoothed loss; fastai's rule
# Factories whose loss is a mean over the batch; the others of spaCy and of this project add it up.
MEANS = (
    "textcat",
    "textcat_multilabel",
    "soft_textcat_multilabel",
    "entity_linker",
    "pretraining_objective",
    "seq2seq",
)


def lr_find(
    config: Path,
    output: Path,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    gpu_id: int = -1,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a config with a learn rate that grows, and write the losses; no model is kept.

    config: What to train, .cfg or YAML.
    output: Folder for lr_find.png and lr_find.json.
    lowest, highest: First and last rate; the rates between have the same ratio.
    steps: Batches; a corpus that has fewer starts over.
    overrides: Config values by dotted key, as after `spacy train`.
    RETURNS: What lr_find.json holds. The suggestion is None if the loss never fell.
    RAISES ValueError: Bad bounds, a key that the config does not know, a learn rate among the
        overrides, a missing path, an empty corpus, nothing to train, a GPU that is not there.
    """
    overrides = dict(overrides or {})
    _check(lowest, highest, steps, overrides)
    use_gpu(gpu_id)
    check_output(output, "scan of learn rates", ["lr_find.json"], [config])
    with as_cfg(config) as path:
        check_config(path, overrides)
        check_inputs(path, overrides)
        loaded = load_config(path, overrides=overrides, interpolate=False)
        nlp = initialized(loaded, gpu_id)
        rates = numpy.geomspace(lowest, highest, steps).tolist()
        losses, why = scan(nlp, rates, gpu_id)
    training = nlp.config.interpolate()["training"]
    found = suggest(rates, losses, steps)
    rate = float(f"{found['steepest']:.2g}") if found else None
    result = {
        "suggestion": rate,
        **(found or dict.fromkeys(("steepest", "minimum", "tenth_of_minimum"))),
        "stopped": {"steps": len(losses), "why": why},
        "config": config.as_posix(),
        "config_file_sha256": hash_of(config),
        "overrides": overrides,
        "seed": training["seed"],
        "lowest": lowest,
        "highest": highest,
        "steps": steps,
        "gpu_id": gpu_id,
        "commands": rate and commands_of(config, overrides, rate, training["max_steps"]),
        "rates": rates[: len(losses)],
        "losses": losses,
        "smoothed": smooth(losses, steps),
    }
    _write(result, output)
    return result


def _check(lowest: float, highest: float, steps: int, overrides: dict[str, Any]) -> None:
    if not 0 < lowest < highest < math.inf:
        raise ValueError(
            f"lowest {lowest}, highest {highest}. Expected rates above 0, the lowest first."
        )
    if steps < 20:
        raise ValueError(f"steps {steps}. Expected 20 or more.")
    if given := [key for key in overrides if key.startswith(LEARN_RATE)]:
        raise ValueError(f"--{given[0]}: the scan sets the learn rate. Expected other overrides.")


def _write(result: dict[str, Any], output: Path) -> None:
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    with replacing(output) as folder:
        folder.mkdir()
        save(draw(result), folder / "lr_find.png")
        (folder / "lr_find.json").write_text(text, encoding="utf8")


def scan(nlp: Language, rates: Sequence[float], gpu_id: int = -1) -> tuple[list[float], str]:
    """Train an initialized pipeline by its config, a batch at each of the rates.

    Other schedules of the optimizer, such as that of beta1, move on as in a training.

    RETURNS: The losses, as loss_of has them, and why there are no more.
    """
    T, batches = _parts(nlp, gpu_id)
    optimizer, before_update = T["optimizer"], T["before_update"]
    optimizer.schedules.pop("learn_rate", None)  # or each update would set another
    dropouts = constant(T["dropout"]) if isinstance(T["dropout"], float) else T["dropout"]
    losses: list[float] = []
    skip = len(rates) // 10
    # At the end of a scan numbers overflow, as they should.
    with tqdm(rates, unit="step", disable=None) as bar, numpy.errstate(all="ignore"):
        for rate, (epoch, batch) in zip(bar, batches, strict=False):
            optimizer.learn_rate = rate
            if before_update:
                before_update(nlp, {"step": len(losses), "epoch": epoch})
            loss = loss_of(nlp, batch, next(dropouts), T)
            if not math.isfinite(loss):
                return losses, "the next loss was no finite number"
            losses.append(loss)
            smoothed = smooth(losses, len(rates))[skip:]
            if smoothed and smoothed[-1] - min(smoothed) > (DIVERGED - 1) * abs(min(smoothed)):
                return losses, f"the smoothed loss was above {DIVERGED:g} times its minimum"
            bar.set_postfix(rate=f"{rate:.1e}", loss=f"{loss:.4g}", refresh=False)
    return losses, "the highest rate was reached"


def _parts(
    nlp: Language, gpu_id: int
) -> tuple[dict[str, Any], Iterator[tuple[int, list[Example]]]]:
    """Return the resolved [training] section and batches without end."""
    config = nlp.config.interpolate()
    if config["training"]["seed"] is not None:
        fix_random_seed(config["training"]["seed"])
    if gpu_id >= 0 and config["training"]["gpu_allocator"]:
        set_gpu_allocator(config["training"]["gpu_allocator"])
    T = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    (train,) = resolve_dot_names(config, [T["train_corpus"]])
    endless = min(T["max_epochs"], 0)  # -1 is a stream
    batches = stream_batches(
        lambda: train(nlp),
        T["batcher"],
        max_epochs=endless,
        shuffle=shuffle_of("config", endless),
    )
    return T, batches


def loss_of(nlp: Language, batch: list[Example], dropout: float, T: dict[str, Any]) -> float:
    """Update on a batch; return its loss before, summed over components, for any size of batch.

    Text classifiers report a mean, and it stays one. Most others report a sum over words, so that
    it is divided by the words of the batch. A tok2vec or transformer that others listen to reports
    the size of its gradient, which is no loss and does not count.

    T: The resolved [training] section.
    RETURNS: NaN if a component stops at such a loss.
    RAISES ValueError: No component that is trained has a loss.
    """
    losses: dict[str, float] = {}
    try:
        update(nlp, batch, dropout, losses, T)
    except ValueError as error:
        if "[E910]" not in str(error):  # spaCy's for a loss that is no number
            raise
        return math.nan
    words = max(1, sum(len(example) for example in batch))
    parts = len(list(subdivide_batch(batch, T["accumulate_gradient"])))
    found = [
        float(losses[name]) / (parts if nlp.get_pipe_meta(name).factory in MEANS else words)
        for name, component in nlp.pipeline
        if name in losses and not hasattr(component, "listeners")
    ]
    if not found:
        raise ValueError(
            f"{nlp.pipe_names}: none has a loss. Expected a component that is trained."
        )
    return sum(found)


def smooth(losses: Sequence[float], steps: int) -> list[float]:
    """Return the exponential moving average after each loss, without its bias towards 0.

    It remembers a twentieth of the scan. That is fastai's weight of 0.98 for 1000 steps; for 100 it
    would be half of the scan, and the minimum would come several powers of ten too late.

    steps: Of the whole scan, which may have ended early.
    """
    weight, average, found = _weight(steps), 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = weight * average + (1 - weight) * loss
        found.append(average / (1 - weight**number))
    return found


def _weight(steps: int) -> float:
    return max(0.0, 1 - 20 / steps)


def suggest(
    rates: Sequence[float], losses: Sequence[float], steps: int | None = None
) -> dict[str, float] | None:
    """Return where the smoothed loss falls fastest, where it is least, and a tenth of that.

    The first tenth of the scan is left out: the average is of few losses, Adam's of few gradients.

    rates: Growing by the same ratio; those after the last loss are left out.
    steps: Of the whole scan; as many as there are rates if None.
    RETURNS: Rates `steepest`, `minimum` and `tenth_of_minimum`; None if the average never fell by
        more than six standard deviations of what it would be by chance.
    """
    steps = steps or len(rates)
    skip, smoothed = steps // 10, numpy.array(smooth(losses, steps))
    if len(smoothed) < skip + 2:
        return None
    best = skip + int(smoothed[skip:].argmin())
    # Of independent losses; the median leaves out where they fall and where they rise.
    spread = float(numpy.median(numpy.abs(numpy.diff(losses[skip:])))) / (0.6745 * 2**0.5)
    weight = _weight(steps)
    spread *= ((1 - weight) / (1 + weight)) ** 0.5  # of their average
    if smoothed[skip] - smoothed[best] <= 6 * spread + ROUNDING * abs(smoothed[skip]):
        return None
    steepest = skip + int(numpy.gradient(smoothed)[skip : best + 1].argmin())
    minimum = rates[best]
    return {"steepest": rates[steepest], "minimum": minimum, "tenth_of_minimum": minimum / 10}


def draw(result: dict[str, Any]) -> Figure:
    """Draw the losses over the rates and mark what is suggested; result as of lr_find."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(7, 3.2)
        axes = figure.subplots()
        axes.plot(result["rates"], result["losses"], ".", ms=3, color=GREY, label="each batch")
        axes.plot(result["rates"], result["smoothed"], color=BLUE, lw=1.4, label="smoothed")
        marks = {"steepest": (ORANGE, "--"), "tenth_of_minimum": (GREY, ":")}
        for name, (colour, dashes) in marks.items():
            if result[name] is not None:
                label = f"{name.replace('_', ' ')} {result[name]:.2g}"
                axes.axvline(result[name], color=colour, ls=dashes, lw=1.2, label=label)
        if result["smoothed"]:
            low, high = min(result["smoothed"]), max(result["smoothed"])
            margin = 0.15 * (high - low) or 1.0
            axes.set_ylim(low - margin, high + margin)  # single batches may be far above
        axes.set(xscale="log", xlabel="learn rate", ylabel="loss")
        few = result["highest"] < 100 * result["lowest"]
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        # The default is a formula, which STYLE refuses.
        axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        axes.xaxis.set_minor_formatter("")
        axes.legend(fontsize=8)
        return figure


def commands_of(
    config: Path, overrides: dict[str, Any], rate: float, max_steps: int
) -> dict[str, str]:
    """Return commands that train at a rate, and in one cycle up to it if the training has an end.

    max_steps: Of the training; 0 for no end.
    """
    cycle = {"@schedules": "goemotions.one_cycle.v1", "max_rate": rate}
    cycle["total_steps"] = "${training.max_steps}"
    ways = {"train": {LEARN_RATE: rate}}
    if max_steps > 0:  # patience would end the training before the rate has come down
        ways["one_cycle"] = {"training.patience": 0, LEARN_RATE: cycle}
    start = ["python", "-m", "scripts.train_loop", "--config", config.as_posix(), "--output"]
    return {
        way: shlex.join([*start, f"training/mine/{way}", *_arguments(overrides | more)])
        for way, more in ways.items()
    }


def _arguments(overrides: dict[str, Any]) -> Iterator[str]:
    for key, value in overrides.items():
        yield f"--{key}"
        yield value if isinstance(value, str) else json.dumps(value)


def main(
    ctx: typer.Context,
    config: Annotated[
        Path, typer.Argument(help="Config to train, .cfg or YAML", exists=True, dir_okay=False)
    ],
    output: Annotated[Path, typer.Argument(help="Folder for lr_find.png and lr_find.json")],
    lowest: Annotated[float, typer.Option(help="First learn rate")] = 1e-7,
    highest: Annotated[float, typer.Option(help="Last learn rate")] = 10.0,
    steps: Annotated[int, typer.Option(help="Batches to train on", min=20)] = 100,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Find a learn rate for a config; further options override its values."""
    try:
        overrides = parse_config_overrides(with_dashes(ctx.args))
        bounds = {"lowest": lowest, "highest": highest, "steps": steps}
        result = lr_find(config, output, **bounds, gpu_id=gpu_id, overrides=overrides)
    except ValueError as error:
        msg.fail("Cannot scan", str(error), exits=1)
    stopped, rate = result["stopped"], result["suggestion"]
    msg.info(f"{stopped['steps']} of {steps} steps: {stopped['why']}. {output / 'lr_find.png'}")
    if rate is None:
        msg.warn("No suggestion: the loss never fell. Expected other bounds, or another config.")
        return
    tenth = result["tenth_of_minimum"]
    msg.good(
        f"Learn rate {rate}, where the loss falls fastest; a tenth of its minimum: {tenth:.2g}"
    )
    print(*result["commands"].values(), sep="\n")


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
