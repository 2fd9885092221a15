"""Choose on dev how a pipeline searches for what to write, and store that in it."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

from scripts.compare_decoders import DECODERS, Decoders, compare_decoders, table_of
from scripts.files import check_output, replacing
from scripts.pair_corpus import pair_component, set_decoder
from scripts.scores import load_pipeline

FACTS = "decoders.json"
# Sampling writes another text at each seed: good for variety, never for the best text.
CANDIDATES: Decoders = {name: DECODERS[name] for name in ("greedy", "beam of 4")}
# What decides, of what the task has: what the tags mark, then the texts.
CRITERIA = ("entity_f", "macro_f1", "exact", "token_accuracy", "bleu")


def decide_pairs(
    model: Path,
    corpus: Path,
    output: Path,
    *,
    limit: int = 0,
    decoders: Decoders | None = None,
    gpu_id: int = -1,
) -> dict[str, Any]:
    """Decode dev with each decoder and save the pipeline with the best one.

    model: Trained pipeline; stays as it is.
    corpus: Dev set, .spacy.
    output: Folder of the new pipeline.
    limit (docs): Take the first so many; 0 takes all.
    decoders: Settings by name, the cheapest first, which ties go to; CANDIDATES when None.
    RETURNS: What compare_decoders found, and `decoder`, the name of the best.
    RAISES ValueError: The model, the corpus or a decoder cannot be used.
    """
    check_output(output, "pipeline", ["meta.json"], [model, corpus])
    decoders = CANDIDATES if decoders is None else decoders
    with replacing(output) as temporary:
        temporary.mkdir()
        found = compare_decoders(
            model, corpus, temporary / FACTS, limit=limit, decoders=decoders, gpu_id=gpu_id
        )
        best = max(decoders, key=lambda name: _rank(found["decoders"][name]))
        nlp = load_pipeline(model, gpu_id)
        nlp.get_pipe_config(pair_component(nlp))["decoder"] = set_decoder(nlp, decoders[best])
        nlp.to_disk(temporary)
        if (model / "training.json").exists():
            shutil.copy(model / "training.json", temporary)
    return found | {"decoder": best}


def _rank(row: dict[str, Any]) -> list[float]:
    return [row[key] for key in CRITERIA if row.get(key) is not None]


def main(
    model: Annotated[Path, typer.Argument(help="Trained pipeline with seq2seq")],
    corpus: Annotated[Path, typer.Argument(help="Dev set as .spacy")],
    output: Annotated[Path, typer.Argument(help="Folder for the pipeline with its decoder")],
    limit: Annotated[int, typer.Option(help="Take the first docs only, 0 for all", min=0)] = 0,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Choose on dev how a pipeline searches for what to write, and store that in it."""
    try:
        found = decide_pairs(model, corpus, output, limit=limit, gpu_id=gpu_id)
    except ValueError as error:
        msg.fail("No decoder chosen", str(error), exits=1)
    rows = table_of(found)
    columns = list(next(iter(rows.values())))
    table = [(name, *row.values()) for name, row in rows.items()]
    msg.table(table, header=("decoder", *columns), divider=True, aligns=("l", *"r" * len(columns)))
    msg.good(f"{found['decoder']}: {output}")


if __name__ == "__main__":
    typer.run(main)
