"""Join components of trained pipelines into one pipeline, without training."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.cli._util import parse_config_overrides
from spacy.language import Language
from spacy.util import get_sourced_components, load_config, load_model_from_config
from thinc.api import Config
from wasabi import msg

from scripts.check_config import check_config, check_inputs
from scripts.files import check_output, replacing


def assemble(
    config: Path, output: Path, *, overrides: dict[str, Any] | None = None
) -> dict[str, str]:
    """Do what `spacy assemble` does, with checks before and after.

    config: Names the pipelines and their components.
    output: Folder of the new pipeline; an earlier one stays in place until it is complete.
    overrides: Config values by dotted key, as after `spacy assemble`.
    RETURNS: Where each sourced component came from.
    RAISES ValueError: A key that nothing reads, a pipeline or component that is missing, another
        tokenizer than the emotions had, or word vectors that a component does not know.
    """
    overrides = dict(overrides or {})
    check_config(config, overrides)
    check_inputs(config, overrides)
    parts = load_config(config, overrides=overrides, interpolate=True)["components"].values()
    inputs = [Path(str(section["source"])) for section in parts if "source" in section]
    check_output(output, "pipeline", ["meta.json"], inputs)
    nlp, sources = _build(load_config(config, overrides=overrides, interpolate=False))
    with replacing(output) as temporary:
        nlp.to_disk(temporary)
    return sources


def _build(config: Config) -> tuple[Language, dict[str, str]]:
    nlp = load_model_from_config(config, auto_fill=True)
    components = get_sourced_components(config.interpolate())
    sources = {name: str(section["source"]) for name, section in components.items()}
    # spaCy's note of the vectors that each sourced component had; initialize removes it.
    hashes = dict(nlp.meta.get("_sourced_vectors_hashes", {}))
    with warnings.catch_warnings(), nlp.select_pipes(disable=list(sources)):
        # Vectors differ: of interest only to components that use them, see below.
        warnings.filterwarnings("ignore", message=r"\[W113\]")
        nlp.initialize()
    found = hash(nlp.vocab.vectors.to_bytes(exclude=["strings"]))
    for name, source in sources.items():
        if hashes[name] != found and _uses_vectors(nlp, name):
            raise ValueError(
                f"{name} of {source} uses that pipeline's word vectors, which the new one does "
                f"not have. Expected --paths.vectors {source}."
            )
    return nlp, sources


def _uses_vectors(nlp: Language, name: str) -> bool:
    model = getattr(nlp.get_pipe(name), "model", None)
    return model is not None and any(layer.name == "static_vectors" for layer in model.walk())


def main(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config to assemble", exists=True, dir_okay=False)],
    output: Annotated[Path, typer.Argument(help="Folder of the new pipeline")],
) -> None:
    """Join trained components; further options override the config, e.g. --paths.source DIR."""
    try:
        sources = assemble(config, output, overrides=parse_config_overrides(ctx.args))
    except ValueError as error:
        msg.fail("Cannot assemble", str(error), exits=1)
    parts = ", ".join(f"{name} of {source}" for name, source in sources.items())
    msg.good(f"{output}: {parts}")


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
