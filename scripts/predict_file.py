"""Predict a file or a folder into one file, and go on after a kill where it stopped."""

import csv
import gzip
import html
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from scripts.explain import as_html
from scripts.files import hash_of, replacing
from scripts.predictor import Predictor, What, describe
from scripts.scores import find_pipeline
from scripts.texts import read_texts

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".html")
NESTED = ("scores", "probabilities", "explanation")
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Predictions</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:46em;
margin:2em auto;padding:0 1em}article{border-top:1px solid #8886;padding:.6em 0}p{margin:.2em 0}
.said{opacity:.75}</style><h1>Predictions</h1>
<p>Blue speaks for a label, underlined orange against it.</p>
"""


def predict_file(
    model: Path | str,
    source: Path,
    output: Path,
    *,
    what: What = "both",
    top_k: int = 0,
    with_words: bool = False,
    column: str = "text",
    gpu_id: int = -1,
) -> int:
    """Predict the texts of a file or folder; arguments are those of scripts.predict.predict.

    output: .jsonl, .jsonl.gz, .csv or .html, in the order of the texts. While it grows it has
        another name; a second call goes on with that, if inputs and settings are still the same.
    RETURNS: Number of texts.
    RAISES ValueError: A bad row, another ending, or another process is at it.
    """
    _check(source, output)
    settings = {"what": what, "top_k": top_k, "with_words": with_words, "column": column}
    predictor = Predictor(model, what=what, gpu_id=gpu_id)
    identity = {
        "model_sha256": hash_of(find_pipeline(model)),
        "source_sha256": hash_of(source),
        **settings,
    }
    partial = output.with_name(f".{output.name}.partial")
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output), partial.open("r+b" if partial.exists() else "w+b") as file:
        done = _done(file, identity)
        rows = read_texts(source, column=column, longest=predictor.nlp.max_length)
        rows = itertools.islice(_free(rows, output), done, None)
        found = predictor.predict(rows, top_k=top_k, with_words=with_words)
        count = done
        for row in tqdm(found, initial=done, unit=" texts"):
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            count += 1
        file.flush()
        _finish(partial, output)
        partial.unlink()
    return count


def _free(rows: Iterator[dict[str, Any]], output: Path) -> Iterator[dict[str, Any]]:
    """Yield rows, none of which has a column that a table of predictions adds."""
    for number, row in enumerate(rows, 1):
        taken = sorted(key for key in row if _is_added(key))
        if taken and output.suffix == ".csv":
            raise ValueError(f"Row {number}: {taken[0]!r} is taken. Expected rows without.")
        yield row


def _check(source: Path, output: Path) -> None:
    if not output.name.endswith(ENDINGS):
        raise ValueError(f"{output}: Expected a name in {', '.join(ENDINGS)}.")
    one, other = source.resolve(), output.resolve()
    if one == other or one in other.parents:
        raise ValueError(f"{output}: part of the input {source}. Expected another place.")
    if output.is_dir():
        raise ValueError(f"{output}: a folder. Expected the name of a file.")


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    try:
        with FileLock(output.with_name(f".{output.name}.lock"), timeout=0):
            yield
    except Timeout as error:
        found = f"{output}: another process writes it"
        raise ValueError(f"{found}. Expected one at a time.") from error


def _done(file: IO[bytes], identity: dict[str, Any]) -> int:
    """Return how many rows an earlier call has left, and go to their end.

    The first line says of what; if it is not this call's, all is begun anew.
    """
    first = json.dumps(identity).encode() + b"\n"
    good = file.readline()
    count = 0
    if good == first:
        end = len(good)
        for line in file:
            if not line.endswith(b"\n"):
                break  # killed while it was written
            end += len(line)
            count += 1
        file.seek(end)
    else:
        file.seek(0)
        file.write(first)
    file.truncate()
    return count


def _finish(partial: Path, output: Path) -> None:
    """Write the rows in the form that the output's name asks for."""
    write = {".csv": _write_table, ".html": _write_page}
    with replacing(output) as temporary:
        write.get(output.suffix, _write_lines)(partial, temporary, output.suffix)


def _rows(partial: Path) -> Iterator[dict[str, Any]]:
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


def _write_table(partial: Path, target: Path, suffix: str) -> None:
    """Write a column per score; of decisions, their names with commas between.

    What is not a text or a number is written as JSON, as are decisions if a label has a comma.
    """
    found = dict.fromkeys(name for row in _rows(partial) for name in _flat(row))
    columns = sorted(found, key=_is_added)  # the texts' own first
    with target.open("w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(_flat(row) for row in _rows(partial))


def _is_added(column: str) -> bool:
    return column == "emotions" or column.startswith(("score.", "probability.", "words."))


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in row.items() if key not in NESTED}
    if "emotions" in row and not any("," in label for label in row["emotions"]):
        flat["emotions"] = ",".join(row["emotions"])
    for key, value in flat.items():
        if isinstance(value, list | dict):
            flat[key] = json.dumps(value, ensure_ascii=False)
    for found in row.get("explanation", []):
        flat[f"words.{found['label']}"] = json.dumps(found["parts"], ensure_ascii=False)
    for key, name in (("scores", "score"), ("probabilities", "probability")):
        flat |= {f"{name}.{label}": value for label, value in row.get(key, {}).items()}
    return flat


def _write_page(partial: Path, target: Path, suffix: str) -> None:
    with target.open("w", encoding="utf8") as file:
        file.write(HEAD)
        for row in _rows(partial):
            file.write(f"<article><p>{html.escape(row['text'])}</p>")
            file.write(f'<p class="said">{html.escape(describe(row))}</p>')
            file.writelines(as_html(found) for found in row.get("explanation", []))
            file.write("</article>\n")
