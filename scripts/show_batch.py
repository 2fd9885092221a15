"""Show a batch of a config as the trainer gets it: texts, targets, labels, entities, tags."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from spacy.cli._util import parse_config_overrides
from spacy.language import Language
from spacy.tokens import Span
from spacy.training import Example
from spacy.util import get_lang_class, load_config, minibatch, registry, resolve_dot_names
from thinc.api import Config, fix_random_seed
from wasabi import msg

import plugins  # noqa: F401  registers what the configs name
from plugins.markup import Markup
from scripts.check_config import check_config, check_inputs
from scripts.config_yaml import as_cfg
from scripts.stream_batches import shuffle_of, stream_batches
from scripts.train import with_dashes

TARGET = ("._.", "seq2seq", None, None)  # where a doc keeps doc._.seq2seq
MARKUP = Markup()


def show_batch(
    config: Path,
    *,
    split: Literal["train", "dev"] = "train",
    number: int = 1,
    rows: int = 8,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Read a batch with the reader, the batcher and the seed of a config; no model is made.

    config: .cfg or YAML.
    split: Of train, what the trainer updates on; of dev, what it evaluates at a time.
    number: Of the batch, from 1, epoch after epoch.
    rows: Examples of the batch that are returned.
    overrides: Config values by dotted key, as after `spacy train`.
    RETURNS: split, epoch and number, from 1; docs of the batch and the tokens of each; rows, see
        describe.
    RAISES ValueError: What train_loop refuses, or there is no batch of this number.
    """
    overrides = overrides or {}
    with as_cfg(config) as path:
        check_config(path, overrides)
        check_inputs(path, overrides)
        nlp = tokenizer_of(load_config(path, overrides=overrides, interpolate=True))
    found = next(islice(_batches(nlp, split), number - 1, None), None)
    if found is None:
        raise ValueError(f"{config}: no batch {number} of {split}. Expected a smaller number.")
    epoch, batch = found
    return {
        "split": split,
        "epoch": epoch + 1,
        "number": number,
        "docs": len(batch),
        "tokens": [len(example.predicted) for example in batch],
        "rows": [describe(example) for example in batch[:rows]],
    }


def tokenizer_of(config: Config) -> Language:
    """Return the pipeline of a config without its components.

    config: With its ${references} replaced.
    """
    bare = Config({**config, "components": {}, "nlp": {**config["nlp"], "pipeline": []}})
    bare["nlp"]["disabled"] = []
    return get_lang_class(bare["nlp"]["lang"]).from_config(bare)


def _batches(nlp: Language, split: str) -> Iterator[tuple[int, list[Example]]]:
    """Yield the number of the epoch and a batch."""
    config = nlp.config.interpolate()
    training = config["training"]
    if training["seed"] is not None:
        fix_random_seed(training["seed"])
    (read,) = resolve_dot_names(config, [training[f"{split}_corpus"]])
    if split == "dev":
        return ((0, batch) for batch in minibatch(read(nlp), nlp.batch_size))
    batcher = registry.resolve({"batcher": training["batcher"]})["batcher"]
    limit = training["max_epochs"]
    shuffle = shuffle_of("config", limit)
    return stream_batches(lambda: read(nlp), batcher, max_epochs=limit, shuffle=shuffle)


def describe(example: Example) -> dict[str, Any]:
    """Return what an example teaches.

    RETURNS: text and tokens; if there is one, target, and symbols of source and target; cats, all
        labels with their values; ents, pairs of text and label, or None if they are not known;
        spans, such pairs by group; tags, such pairs of the words that have one, if there are some.
    """
    gold = example.reference
    found = {
        "text": example.predicted.text,
        "tokens": [token.text for token in example.predicted],
        "cats": dict(gold.cats),
        "ents": [_pair(span) for span in gold.ents] if gold.has_annotation("ENT_IOB") else None,
        "spans": {key: [_pair(span) for span in group] for key, group in gold.spans.items()},
    }
    if tags := [(token.text, token.tag_) for token in gold if token.tag_]:
        found["tags"] = tags
    target = gold.user_data.get(TARGET)
    if target is None:
        return found
    symbols = {"source_symbols": MARKUP.split(found["text"]), "symbols": MARKUP.split(target)}
    return found | {"target": target} | symbols


def _pair(span: Span) -> tuple[str, str]:
    return span.text, span.label_


def print_batch(shown: dict[str, Any]) -> None:
    """Print what show_batch returns."""
    least, most = min(shown["tokens"]), max(shown["tokens"])
    print(f"batch {shown['number']} of {shown['split']}, epoch {shown['epoch']}: {shown['docs']} "
          f"texts, {sum(shown['tokens'])} tokens, {least} to {most} each")  # fmt: skip
    for number, row in enumerate(shown["rows"], 1):
        print(f"\n{number}  {row['text']}")
        for name, value in _lines(row):
            print(f"   {name}: {value}")
    if rest := shown["docs"] - len(shown["rows"]):
        print(f"\n... and {rest} more")


def _lines(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and values of what there is to say about an example."""
    yield "tokens", f"{len(row['tokens'])}: {' | '.join(row['tokens'])}"
    if "target" in row:
        yield "target", row["target"]
        for name in ("source_symbols", "symbols"):
            yield name.replace("_", " "), f"{len(row[name])}: {' | '.join(row[name])}"
    if row["cats"]:
        on = [f"{label} {value:g}" for label, value in row["cats"].items() if value]
        yield "labels", f"{', '.join(on) or 'none'} (of {len(row['cats'])})"
    if row["ents"] is not None:
        yield "entities", _listed(row["ents"])
    for key, spans in row["spans"].items():
        yield f"spans {key}", _listed(spans)
    if "tags" in row:
        yield "tags", _listed(row["tags"])


def _listed(pairs: list[tuple[str, str]]) -> str:
    return "; ".join(f"{label} {text}" for text, label in pairs) or "none"


def main(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config, .cfg or YAML", exists=True)],
    split: Annotated[Literal["train", "dev"], typer.Option(help="Corpus to read")] = "train",
    batch: Annotated[int, typer.Option(help="Number of the batch, from 1", min=1)] = 1,
    rows: Annotated[int, typer.Option(help="Most examples to show", min=1)] = 8,
) -> None:
    """Show a batch as the trainer gets it; further options override values of the config."""
    try:
        overrides = parse_config_overrides(with_dashes(ctx.args))
        shown = show_batch(config, split=split, number=batch, rows=rows, overrides=overrides)
    except ValueError as error:
        msg.fail("No batch to show", str(error), exits=1)
    print_batch(shown)


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
