"""Write predicted rows as lines, as a table or as a page."""

import csv
import gzip
import html
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from scripts.explain import as_html
from scripts.files import replacing
from scripts.predictor import describe
from scripts.tagged import row_html
from scripts.tasks import OWN, Task

Row = dict[str, Any]
ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".html")
SPREAD = ("scores", "probabilities", "explanation")  # each gets columns of its own
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Predictions</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:46em;
margin:2em auto;padding:0 1em}article{border-top:1px solid #8886;padding:.6em 0}p{margin:.2em 0}
.said{opacity:.75}</style><h1>Predictions</h1>
"""
LEGEND = "<p>Blue speaks for a label, underlined orange against it.</p>\n"


def check_output(source: Path, output: Path) -> None:
    """Check that an output has a form, and is none of the inputs.

    RAISES ValueError: It has not, or is.
    """
    if not output.name.endswith(ENDINGS):
        raise ValueError(f"{output}: Expected a name in {', '.join(ENDINGS)}.")
    one, other = source.resolve(), output.resolve()
    if one == other or one in other.parents:
        raise ValueError(f"{output}: part of the input {source}. Expected another place.")
    if output.is_dir():
        raise ValueError(f"{output}: a folder. Expected the name of a file.")


def check_save(source: Path | None, output: Path) -> None:
    """Check that rows can be saved there.

    source: What they are read from, if they are.
    RAISES ValueError: They cannot.
    """
    if output.suffix != ".jsonl":
        raise ValueError(f"{output}: Expected a name in .jsonl; scripts.predict_file has others.")
    if source is not None:
        check_output(source, output)


def save_rows(found: Iterator[Row], output: Path) -> list[Row]:
    """Write all rows as JSONL and return them; an earlier file stays until they are complete."""
    rows = []
    with replacing(output) as temporary, temporary.open("w", encoding="utf8") as file:
        for row in found:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            rows.append(row)
    return rows


def write_rows(partial: Path, output: Path, task: Task) -> None:
    """Write the rows of a file in the form that the output's name asks for.

    partial: JSONL, whose first line is no row.
    """
    with replacing(output) as temporary:
        if output.suffix == ".csv":
            _write_table(partial, temporary, OWN[task])
        elif output.suffix == ".html":
            _write_page(partial, temporary, task)
        else:
            _write_lines(partial, temporary, output.suffix)


def is_added(column: str, own: Collection[str]) -> bool:
    """Tell whether a table of predictions adds a column to what the texts have."""
    parts = column.startswith(("score.", "probability.", "words.")) if "scores" in own else False
    return parts or (column in own and column not in SPREAD)


def _rows(partial: Path) -> Iterator[Row]:
    with partial.open("rb") as file:
        next(file)
        for line in file:
            yield json.loads(line)


def _write_lines(partial: Path, target: Path, suffix: str) -> None:
    with target.open("wb") as plain, partial.open("rb") as file:
        packed = gzip.GzipFile("", "wb", 6, plain, 0) if suffix == ".gz" else plain
        next(file)
        packed.writelines(file)
        if packed is not plain:
            packed.close()


def _write_table(partial: Path, target: Path, own: Collection[str]) -> None:
    """Write a column per score; of decisions, their names with commas between.

    What is not a text or a number is written as JSON, as are decisions if a label has a comma.
    """
    found = dict.fromkeys(name for row in _rows(partial) for name in flat(row))
    columns = sorted(found, key=lambda name: is_added(name, own))  # the texts' own first
    with target.open("w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(flat(row) for row in _rows(partial))


def flat(row: Row) -> Row:
    """Return a row as a table has it."""
    cells = {key: value for key, value in row.items() if key not in SPREAD}
    if "emotions" in row and not any("," in label for label in row["emotions"]):
        cells["emotions"] = ",".join(row["emotions"])
    for key, value in cells.items():
        if isinstance(value, list | dict):
            cells[key] = json.dumps(value, ensure_ascii=False)
    for found in row.get("explanation", []):
        cells[f"words.{found['label']}"] = json.dumps(found["parts"], ensure_ascii=False)
    for key, name in (("scores", "score"), ("probabilities", "probability")):
        cells |= {f"{name}.{label}": value for label, value in row.get(key, {}).items()}
    return cells


def _write_page(partial: Path, target: Path, task: Task) -> None:
    with target.open("w", encoding="utf8") as file:
        file.write(HEAD + LEGEND * (task == "textcat"))
        for row in _rows(partial):
            said = _said_of_labels(row) if task == "textcat" else row_html(row)
            file.write(f"<article>{said}</article>\n")


def _said_of_labels(row: Row) -> str:
    words = "".join(as_html(found) for found in row.get("explanation", []))
    text, said = html.escape(row["text"]), html.escape(describe(row))
    return f'<p>{text}</p><p class="said">{said}</p>{words}'
