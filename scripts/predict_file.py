"""Predict a file or a folder into one file, and go on after a kill where it stopped."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from scripts.files import hash_of
from scripts.forms import check_output, is_added, write_rows
from scripts.kept import keep
from scripts.predictor import Predictor
from scripts.tasks import What, check_settings
from scripts.texts import read_texts
from scripts.units import Unit


def predict_file(
    model: Path | str,
    source: Path,
    output: Path,
    *,
    what: What = "both",
    top_k: int = 0,
    with_words: bool = False,
    column: str = "text",
    unit: Unit | None = None,
    dehyphen: bool = False,
    gpu_id: int = -1,
) -> int:
    """Predict the texts of a file or folder; arguments are those of scripts.predict.predict.

    output: .jsonl, .jsonl.gz, .csv or .html, in the order of the texts. While it grows it has
        another name; a second call goes on with that, if inputs and settings are still the same.
    RETURNS: Number of texts.
    RAISES ValueError: A bad row, another ending, or another process is at it.
    """
    check_output(source, output)
    reading = {"column": column, "unit": unit, "dehyphen": dehyphen}
    asked = {"top_k": top_k, "with_words": with_words}
    predictor = keep(model, what=what, gpu_id=gpu_id)
    check_settings(predictor.task, **asked)
    identity = {
        "model_sha256": hash_of(predictor.folder),
        "source_sha256": hash_of(source),
        "what": what,
        **asked,
        **reading,
    }
    partial = output.with_name(f".{output.name}.partial")
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output), partial.open("r+b" if partial.exists() else "w+b") as file:
        done = _done(file, identity)
        longest = predictor.nlp.max_length
        rows = read_texts(source, longest=longest, own=predictor.own, **reading)
        rows = itertools.islice(_free(rows, output, predictor), done, None)
        count = _append(file, predictor.predict(rows, **asked), done)
        write_rows(partial, output, predictor.task)
        partial.unlink()
    return count


def _append(file: IO[bytes], found: Iterator[dict[str, Any]], done: int) -> int:
    """Write rows behind those that are done; return how many there are."""
    for row in tqdm(found, initial=done, unit=" texts"):
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        done += 1
    file.flush()
    return done


def _free(
    rows: Iterator[dict[str, Any]], output: Path, predictor: Predictor
) -> Iterator[dict[str, Any]]:
    """Yield rows, none of which has a column that a table of predictions adds."""
    for number, row in enumerate(rows, 1):
        taken = sorted(key for key in row if is_added(key, predictor.own))
        if taken and output.suffix == ".csv":
            raise ValueError(f"Row {number}: {taken[0]!r} is taken. Expected rows without.")
        yield row


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
