"""Convert what any registered reader yields to .spacy and report what is in it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from tqdm import tqdm
from wasabi import msg

from scripts.annotation_report import Facts, make_report, print_report
from scripts.annotations import ATTRS, find_task
from scripts.any_reader import SPLITS, Reader, arguments_of, make_reader, parse_arguments
from scripts.files import check_output, replacing
from scripts.tasks import Task
from scripts.workers import pipeline_of


def convert(
    reader: str,
    source: Path,
    output: Path,
    *,
    kind: Task | None = None,
    files: dict[str, str] | None = None,
    arguments: dict[str, Any] | None = None,
    lang: str = "en",
) -> dict[str, Any]:
    """Convert train, dev and perhaps test; all of the output appears, or none.

    reader: Registered name. Its first argument gets the path of a split.
    source: Folder with a file or folder of each split; or one file with all, if the reader has an
        argument `split`, which then gets the name of each.
    output: Folder for {train,dev,test}.spacy, labels.json, report.json and, of textcat, views.json.
    kind: Which annotation there must be; found out from train when None.
    files: Names in source of splits that are called otherwise.
    arguments: More for the reader.
    RETURNS: The report.
    RAISES ValueError: A missing file, an unknown reader, arguments that it does not take, a text
        without annotation, or what the reader raises.
    """
    check_output(output, "corpus", [f"{split}.spacy" for split in SPLITS], [source])
    given = arguments_of(reader, source, files or {}, arguments or {})
    readers = {split: make_reader(reader, one) for split, one in given.items()}
    nlp = pipeline_of(lang)
    task = kind or find_task(_docs(given["train"], readers["train"], nlp))
    facts: dict[str, Facts] = {}
    bins: dict[str, DocBin] = {}
    for split, read in readers.items():
        cats = facts["train"].cats if split != "train" else None
        one = facts[split] = Facts(task, cats)
        packed = bins[split] = DocBin(ATTRS[task], store_user_data=True)
        for doc in tqdm(_docs(given[split], read, nlp), desc=split, unit=" texts"):
            try:
                one.add(doc)
            except ValueError as error:
                raise ValueError(f"{source}, {split}, text {one.texts + 1}: {error}") from error
            packed.add(doc)
    report = make_report(facts)
    _check(source, report)
    _write(output, bins, report)
    return report


def _docs(arguments: dict[str, Any], read: Reader, nlp: Language) -> Iterator[Doc]:
    """Yield what a reader teaches.

    RAISES ValueError: As the reader, or a file is missing or not UTF-8.
    """
    try:
        for example in read(nlp):
            yield example.reference
    except OSError as error:
        found = f"{error.filename}: {error.strerror}"
        raise ValueError(f"{found}. Expected what the reader reads.") from error
    except UnicodeDecodeError as error:
        path = next(iter(arguments.values()))
        raise ValueError(f"{path}: {error.reason} at {error.start}. Expected UTF-8.") from error


def _check(source: Path, report: dict[str, Any]) -> None:
    for split, found in report["splits"].items():
        if not found["texts"]:
            raise ValueError(f"{source}: no texts for {split}. Expected at least one.")
    if not report["labels"] and report["kind"] != "pairs":
        raise ValueError(f"{source}: no labels of {report['kind']} in any text. Expected some.")


def _write(output: Path, bins: dict[str, DocBin], report: dict[str, Any]) -> None:
    values = {"labels": report["labels"], "report": report}
    if report["kind"] == "textcat":
        values["views"] = {}  # groups of labels, which scripts.evaluate scores too
    with replacing(output) as temporary:
        temporary.mkdir()
        for split, packed in bins.items():
            packed.to_disk(temporary / f"{split}.spacy")
        for name, value in values.items():
            text = json.dumps(value, indent=2, ensure_ascii=False)
            (temporary / f"{name}.json").write_text(text + "\n", encoding="utf8")


def main(
    ctx: typer.Context,
    reader: Annotated[str, typer.Argument(help="Registered name, e.g. goemotions.TaggedWords.v1")],
    source: Annotated[
        Path, typer.Argument(help="Folder with train, dev and test, or a file", exists=True)
    ],
    output: Annotated[Path, typer.Argument(help="Folder for the corpus")],
    kind: Annotated[
        Task | None, typer.Option(help="Annotation there must be", show_default="as train says")
    ] = None,
    train: Annotated[str | None, typer.Option(help="Name of train in the folder")] = None,
    dev: Annotated[str | None, typer.Option(help="Name of dev in the folder")] = None,
    test: Annotated[str | None, typer.Option(help="Name of test in the folder")] = None,
    lang: Annotated[str, typer.Option(help="Language code of the tokenizer")] = "en",
) -> None:
    """Convert what a reader yields to .spacy; further options are its arguments, e.g. --limit 9."""
    named = {"train": train, "dev": dev, "test": test}
    try:
        report = convert(
            reader,
            source,
            output,
            kind=kind,
            files={split: name for split, name in named.items() if name is not None},
            arguments=parse_arguments(ctx.args),
            lang=lang,
        )
    except ValueError as error:
        msg.fail("Nothing was converted", str(error), exits=1)
    print_report(report)
    total = sum(found["texts"] for found in report["splits"].values())
    msg.good(f"{total} texts in {output}")


if __name__ == "__main__":
    app = typer.Typer()
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)
    app()
