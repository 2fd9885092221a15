"""Train a config with spaCy into a fresh folder that appears only when it is complete."""

from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.cli._util import parse_config_overrides
from spacy.cli.train import train as spacy_train
from wasabi import msg

from scripts.check_config import check_config, check_inputs
from scripts.files import check_output
from scripts.gpu import use_gpu
from scripts.training_folder import training_folder
from scripts.training_log import noting


def train(
    config: Path,
    output: Path,
    *,
    gpu_id: int = -1,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Run `spacy train`, then note its time and conditions in each saved pipeline.

    config: What to train.
    output: Folder for model-best, model-last, training.json and log.csv, a row per evaluation; an
        earlier one stays in place until the new one is complete. After an error or Ctrl-C the
        models are in <output>.unfinished.
    overrides: Config values by dotted key, as after `spacy train`.
    RETURNS: What training.json holds: seconds, config hash, overrides.
    RAISES ValueError: A key that the config does not know, a missing path, an empty corpus, a GPU
        that is not there.
    """
    overrides = dict(overrides or {})
    use_gpu(gpu_id)
    check_output(output, "trained model", ["training.json"])
    check_config(config, overrides)
    check_inputs(config, overrides)
    conditions = {"overrides": overrides, "gpu_id": gpu_id}
    with (
        training_folder(config, output, **conditions) as (folder, facts),
        noting(config, overrides, folder / "log.csv"),
    ):
        try:
            spacy_train(config, folder, use_gpu=gpu_id, overrides=overrides)
        except AssertionError as error:  # which is spaCy's for no examples
            if "E923" not in str(error):
                raise
            raise ValueError(
                f"The training corpus is empty, or its docs are. Expected examples. {error}"
            ) from error
    return facts


def with_dashes(arguments: list[str]) -> list[str]:
    """Return overrides with the dashes that the project runner takes out of --vars.options.

    arguments: Keys and values in turn, or key=value; the keys with dashes or without.
    """
    found, is_key = [], True
    for argument in arguments:
        is_key = is_key or argument.startswith("--")
        found.append(f"--{argument.removeprefix('--')}" if is_key else argument)
        is_key = not is_key or "=" in argument
    return found


def main(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config to train", exists=True, dir_okay=False)],
    output: Annotated[Path, typer.Argument(help="Folder for model-best and model-last")],
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Train a config; further options override its values, e.g. --training.dropout 0.3."""
    try:
        overrides = parse_config_overrides(with_dashes(ctx.args))
        facts = train(config, output, gpu_id=gpu_id, overrides=overrides)
    except ValueError as error:
        msg.fail("Cannot train", str(error), exits=1)
    msg.good(f"Trained in {facts['seconds'] / 60:.1f} minutes: {output / 'model-best'}")


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
