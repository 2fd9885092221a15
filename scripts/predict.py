"""Predict texts, files and folders with a trained pipeline of any task."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

from scripts.explain import as_text, has_colour
from scripts.forms import ENDINGS, check_save, save_rows
from scripts.kept import keep
from scripts.predict_file import predict_file
from scripts.predictor import BATCH, Predictor, describe
from scripts.tasks import Task, What
from scripts.texts import read_texts
from scripts.units import Unit, cut, dehyphenated

Row = dict[str, Any]


def predict(
    model: Path | str | Predictor,
    texts: str | Path | Iterable[str],
    *,
    what: What = "both",
    top_k: int = 0,
    with_words: bool = False,
    column: str = "text",
    unit: Unit | None = None,
    dehyphen: bool = False,
    save: Path | None = None,
    batch_size: int = BATCH,
    gpu_id: int = -1,
) -> Iterator[Row]:
    """Predict texts, one by one as they come.

    model: Folder of a pipeline, its short name <data>/<config>, the name of an installed one, a
        wheel or the address of one, or one that is loaded. A process keeps the last few loaded.
    texts: A text, several, or the Path of a file or folder that scripts.texts can read.
    what: Decisions need tuned thresholds, scores do not.
    top_k: Keep so many scores, the highest first; 0 keeps all.
    with_words: Add what each word does to the decided labels; as many predictions as words.
    column: Of the text in a table or in JSONL.
    unit: What is a text in .txt and .pdf: line, paragraph, page or file.
    dehyphen: Mend words and lines that line ends broke, see scripts.units.
    save: JSONL to write, all of it before the first row is returned; scripts.predict_file does
        it in memory that does not grow.
    batch_size: Texts that are read before the first of them is answered.
    RETURNS: Rows with text, what else a file has, and what the pipeline says, see
        scripts.predictor; of a text classifier emotions (highest score first) and scores.
    RAISES ValueError: The model or a file cannot be read, there are no thresholds, or a setting is
        not for this task or these texts.
    """
    predictor = _loaded(model, what, gpu_id)
    if save is not None:
        check_save(texts if isinstance(texts, Path) else None, save)
    if isinstance(texts, Path):
        reading = {"column": column, "unit": unit, "dehyphen": dehyphen, "own": predictor.own}
        rows = read_texts(texts, longest=predictor.nlp.max_length, **reading)
    elif column != "text" or unit:
        raise ValueError("column and unit are for files. Expected the Path of one.")
    else:
        texts = [texts] if isinstance(texts, str) else texts
        rows = ({"text": dehyphenated(text) if dehyphen else text} for text in texts)
    found = predictor.predict(rows, top_k=top_k, with_words=with_words, batch_size=batch_size)
    return found if save is None else iter(save_rows(found, save))


def _loaded(model: Path | str | Predictor, what: What, gpu_id: int) -> Predictor:
    if not isinstance(model, Predictor):
        return keep(model, what=what, gpu_id=gpu_id)
    if (what, gpu_id) != ("both", -1):
        raise ValueError("what and gpu_id are for loading a model. Expected them left out.")
    return model


def show(row: Row, task: Task) -> str:
    """Return a row as a terminal shows it: the text, what is said of it, and which words say so."""
    lines = [row["text"], f"    {describe(row, task)}"]
    if task == "textcat":
        found = row.get("explanation", [])
        lines += [f"    {as_text(part, coloured=has_colour())}" for part in found]
    return "\n".join(lines)


def read_stdin(unit: Unit, dehyphen: bool) -> Iterator[str]:
    """Yield texts of standard input.

    RAISES ValueError: It has no pages.
    """
    if unit == "page":
        raise ValueError("stdin: unit page, and no pages. Expected line, paragraph or file.")
    lines = (("", line.rstrip("\r\n")) for line in sys.stdin)
    return (text for _, text in cut(lines, unit, dehyphen=dehyphen))


def main(
    model: Annotated[
        str,
        typer.Argument(help="Folder, <data>/<config>, installed package, wheel or its address"),
    ],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any and --input, stdin's lines")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="File or folder of .txt, .csv, .tsv, .jsonl, each also .gz, and .pdf",
            exists=True,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help=f"File to write: {', '.join(ENDINGS)}; can be gone on with")
    ] = None,
    what: Annotated[What, typer.Option(help="What each text gets from a classifier")] = "both",
    top_k: Annotated[int, typer.Option(help="Show so many scores, 0 for all", min=0)] = 0,
    explained: Annotated[
        bool, typer.Option("--explain", help="Mark the words that decisions rest on")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSONL")] = False,
    column: Annotated[str, typer.Option(help="Column or key of the text")] = "text",
    unit: Annotated[
        Unit | None,
        typer.Option(help="Text in .txt, .pdf, stdin", show_default="line; page of a .pdf"),
    ] = None,
    dehyphen: Annotated[
        bool, typer.Option("--dehyphen", help="Mend words and lines that line ends broke")
    ] = False,
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
    if unit and texts:
        msg.fail("Cannot predict", "--unit with a text. Expected --input or stdin.", exits=1)
    asked: dict[str, Any] = {"top_k": top_k, "with_words": explained}
    reading: dict[str, Any] = {"column": column, "unit": unit, "dehyphen": dehyphen}
    try:
        if source and output:
            settings = {"what": what, "gpu_id": gpu_id, **asked, **reading}
            count = predict_file(model, source, output, **settings)
            msg.good(f"{count:,} texts: {output}")
            return
        if not source and not texts:
            lines, reading = read_stdin(unit or "line", dehyphen), {}
        predictor = keep(model, what=what, gpu_id=gpu_id)
        given = source or texts or lines
        for row in predict(predictor, given, batch_size=batch_size, **asked, **reading):
            said = json.dumps(row, ensure_ascii=False) if as_json else show(row, predictor.task)
            print(said, flush=True)
    except ValueError as error:
        msg.fail("Cannot predict", str(error), exits=1)
    except BrokenPipeError:  # e.g. into head
        sys.stderr.close()


if __name__ == "__main__":
    typer.run(main)
