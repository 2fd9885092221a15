"""Predict texts, files and folders with a trained pipeline."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

from scripts.explain import as_text, has_colour
from scripts.predict_file import ENDINGS, predict_file
from scripts.predictor import BATCH, Predictor, What, describe
from scripts.texts import read_texts


def predict(
    model: Path | str | Predictor,
    texts: str | Path | Iterable[str],
    *,
    what: What = "both",
    top_k: int = 0,
    with_words: bool = False,
    column: str = "text",
    batch_size: int = BATCH,
    gpu_id: int = -1,
) -> Iterator[dict[str, Any]]:
    """Predict texts, one by one as they come.

    model: Folder of a pipeline, the name of an installed one, or one that is loaded.
    texts: A text, several, or the Path of a file or folder that scripts.texts can read.
    what: Decisions need tuned thresholds, scores do not.
    top_k: Keep so many scores, the highest first; 0 keeps all.
    with_words: Add what each word does to the decided labels; as many predictions as words.
    column: Of the text in a table or in JSONL.
    batch_size: Texts that are read before the first of them is answered.
    RETURNS: Rows with text, emotions (highest score first), scores, and what else a file has.
    RAISES ValueError: The model or a file cannot be read, or there are no thresholds.
    """
    if isinstance(model, Predictor):
        if (what, gpu_id) != ("both", -1):
            raise ValueError("what and gpu_id are for loading a model. Expected them left out.")
        predictor = model
    else:
        predictor = Predictor(model, what=what, gpu_id=gpu_id)
    if isinstance(texts, Path):
        rows = read_texts(texts, column=column, longest=predictor.nlp.max_length)
    else:
        rows = ({"text": text} for text in ([texts] if isinstance(texts, str) else texts))
    yield from predictor.predict(rows, top_k=top_k, with_words=with_words, batch_size=batch_size)


def show(row: dict[str, Any]) -> str:
    """Return a row as a terminal shows it: the text, the decision, and the words it rests on."""
    lines = [row["text"], f"    {describe(row)}"]
    lines += [
        f"    {as_text(found, coloured=has_colour())}" for found in row.get("explanation", [])
    ]
    return "\n".join(lines)


def main(
    model: Annotated[str, typer.Argument(help="Folder of a pipeline, or an installed one's name")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any and --input, stdin's lines")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input", help="File or folder of .txt, .csv, .tsv, .jsonl, each also .gz", exists=True
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help=f"File to write: {', '.join(ENDINGS)}; can be gone on with")
    ] = None,
    what: Annotated[What, typer.Option(help="What each text gets")] = "both",
    top_k: Annotated[int, typer.Option(help="Show so many scores, 0 for all", min=0)] = 0,
    explained: Annotated[
        bool, typer.Option("--explain", help="Mark the words that decisions rest on")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSONL")] = False,
    column: Annotated[str, typer.Option(help="Column or key of the text")] = "text",
    batch_size: Annotated[
        int, typer.Option(help="Texts to read before the first answer; 1 answers at once", min=1)
    ] = BATCH,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Predict texts, the lines of stdin, a file or a folder.

    In Python: from scripts.predict import predict; for row in predict(MODEL, [TEXT, ...]): ...
    """
    if texts and source:
        msg.fail("Cannot predict", "Texts and --input: Expected one of them.", exits=1)
    if output and not source:
        msg.fail("Cannot predict", "--output without --input. Expected both.", exits=1)
    if output and (as_json or batch_size != BATCH):
        msg.fail("Cannot predict", "--json and --batch-size are for the screen.", exits=1)
    if column != "text" and not source:
        msg.fail("Cannot predict", "--column without --input. Expected both.", exits=1)
    settings = {"what": what, "top_k": top_k, "with_words": explained, "column": column}
    try:
        if source and output:
            count = predict_file(model, source, output, gpu_id=gpu_id, **settings)
            msg.good(f"{count:,} texts: {output}")
            return
        lines = source or texts or (line.rstrip("\r\n") for line in sys.stdin)
        rows = predict(model, lines, batch_size=batch_size, gpu_id=gpu_id, **settings)
        for row in rows:
            print(json.dumps(row, ensure_ascii=False) if as_json else show(row), flush=True)
    except ValueError as error:
        msg.fail("Cannot predict", str(error), exits=1)
    except BrokenPipeError:  # e.g. into head
        sys.stderr.close()


if __name__ == "__main__":
    typer.run(main)
