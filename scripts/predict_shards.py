"""Predict a folder of JSONL on Ray Data, file by file: each output appears once, and whole."""

import gzip
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from tqdm import tqdm
from wasabi import msg

from scripts.files import hash_of, replacing
from scripts.on_ray import connected
from scripts.predictor import Predictor
from scripts.texts import read_texts

KINDS = (".jsonl", ".jsonl.gz")
DONE = "manifest.ndjson"
ZONE = 2000  # rows after which the vocabulary forgets new words


def predict_shards(
    model: Path,
    source: Path,
    output: Path,
    *,
    workers: int = 2,
    cores: int = 1,
    gpu_id: int = -1,
    address: str = "local",
) -> dict[str, Any]:
    """Add what a pipeline says to each row of many files.

    model: Pipeline of any task; one that labels texts has tuned thresholds.
    source: Folder of .jsonl and .jsonl.gz, searched to its depths; each row has "text".
    output: Folder. Each file gets one of the same name, whose rows have what scripts.predict adds
        for the task, such as "emotions" and "scores". Run again, it does the files that are not
        there, or whose input has changed; manifest.ndjson says which are.
    workers: Processes, each with the pipeline, each at a file of its own.
    cores: CPU cores of each.
    gpu_id: -1 for the CPU; with any other each worker gets a GPU, which Ray chooses.
    address: Of a Ray cluster, whose machines see all folders under the same path.
    RETURNS: files and posts predicted now, files done before, seconds.
    RAISES ValueError: No files, another pipeline than before, bad rows; names file and line. The
        other files are done nevertheless.
    """
    files = _files_of(source, output)
    Predictor(model)  # before workers stumble over it
    pipeline = {"model": model.as_posix(), "model_sha256": hash_of(model)}
    done = _done(output, pipeline["model_sha256"])
    todo = [name for name in files if not _is_done(name, source, output, done)]
    start = time.perf_counter()
    counts = {"files": 0, "posts": 0, "files_before": len(files) - len(todo)}
    problems = []
    if todo:
        output.mkdir(parents=True, exist_ok=True)
        resources = {"cpu": cores, "gpu": int(gpu_id >= 0)}
        with connected(address, workers, resources, workers), (output / DONE).open("a") as log:
            rows = _run(todo, workers, cores, gpu_id, (Path.cwd(), model, source, output))
            for row in tqdm(rows, total=len(todo), unit=" files"):
                if row["error"]:
                    problems.append(row["error"])
                    continue
                _note(log, {key: row[key] for key in ("file", "sha256", "posts")} | pipeline)
                counts["files"] += 1
                counts["posts"] += row["posts"]
    if problems:
        done_now = f"{counts['files']} of {len(todo)} files were predicted."
        raise ValueError("\n".join([*sorted(problems)[:10], done_now]))
    return counts | {"seconds": round(time.perf_counter() - start, 1)}


def _files_of(source: Path, output: Path) -> list[str]:
    one, other = source.resolve(), output.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise ValueError(f"{output} and {source}: one in the other. Expected a folder elsewhere.")
    found = sorted(path for path in source.rglob("*") if path.name.endswith(KINDS))
    if not found:
        raise ValueError(f"{source}: no {' or '.join(KINDS)}. Expected at least one.")
    return [path.relative_to(source).as_posix() for path in found]


def _done(output: Path, model: str) -> dict[str, dict[str, Any]]:
    """Return what earlier runs noted, by file."""
    done: dict[str, dict[str, Any]] = {}
    path = output / DONE
    for line in path.read_text(encoding="utf8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # killed while it was written
        if row["model_sha256"] != model:
            raise ValueError(f"{output}: predictions of {row['model']}. Expected a new folder.")
        done[row["file"]] = row
    return done


def _is_done(name: str, source: Path, output: Path, done: dict[str, dict[str, Any]]) -> bool:
    there = name in done and (output / name).exists()
    return there and done[name]["sha256"] == hash_of(source / name)


def _note(log: IO[str], row: dict[str, Any]) -> None:
    log.write(json.dumps(row) + "\n")
    log.flush()
    os.fsync(log.fileno())


def _run(
    files: list[str], workers: int, cores: int, gpu_id: int, places: tuple[Path, ...]
) -> Iterator[dict[str, Any]]:
    """Yield file, posts, sha256 and error of each file, as they are done."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    items = ray.data.from_items([{"file": name} for name in files], override_num_blocks=len(files))
    results = items.map(
        Worker,
        fn_constructor_args=(*places, 0 if gpu_id >= 0 else -1),
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(files))),
        num_cpus=cores,
        num_gpus=int(gpu_id >= 0),
    )
    yield from results.iter_rows()


class Worker:
    """Loads the pipeline once, then predicts file after file."""

    def __init__(self, project: Path, model: Path, source: Path, output: Path, gpu_id: int):
        """Load the pipeline.

        project: Folder that the other paths start from.
        """
        os.chdir(project)
        self.predictor = Predictor(model, gpu_id=gpu_id)
        self.source, self.output = source, output

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Predict a file; what is wrong with it is returned, so that the others go on."""
        try:
            source, found = self.source / row["file"], {"error": ""}
            found["sha256"] = hash_of(source)
            found["posts"] = self.predict(source, self.output / row["file"])
            if hash_of(source) != found["sha256"]:
                raise ValueError(f"{source}: changed meanwhile. Run it again when it stays.")
        except (ValueError, OSError) as error:
            found = {"posts": 0, "sha256": "", "error": str(error)}
        return {"file": row["file"], **found}

    def predict(self, source: Path, target: Path) -> int:
        """Predict the rows of a file in memory that does not grow with it."""
        count = 0
        with replacing(target) as temporary, _opened(temporary, target.suffix) as file:
            longest, own = self.predictor.nlp.max_length, self.predictor.own
            rows = read_texts(source, longest=longest, own=own)
            for row in self.predictor.predict(rows, batch_size=ZONE):
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                count += 1
        return count


@contextmanager
def _opened(path: Path, suffix: str) -> Iterator[IO[bytes]]:
    with path.open("wb") as plain:
        if suffix != ".gz":
            yield plain
            return
        with gzip.GzipFile("", "wb", 6, plain, 0) as packed:  # no time: same rows, same file
            yield packed


def main(
    model: Annotated[Path, typer.Argument(help="Pipeline of any task", exists=True)],
    source: Annotated[Path, typer.Argument(help="Folder of .jsonl(.gz)", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder for the same files, predicted")],
    workers: Annotated[int, typer.Option(help="Processes", min=1)] = 2,
    cores: Annotated[int, typer.Option(help="CPU cores per worker", min=1)] = 1,
    gpu_id: Annotated[
        int, typer.Option(help="-1 for the CPU, else a GPU of Ray's choice per worker", min=-1)
    ] = -1,
    address: Annotated[str, typer.Option(help="Of a Ray cluster; auto finds it")] = "local",
) -> None:
    """Predict many files on several cores or machines; run it again after a kill."""
    try:
        found = predict_shards(
            model, source, output, workers=workers, cores=cores, gpu_id=gpu_id, address=address
        )
    except ValueError as error:
        msg.fail("Cannot predict all of it", str(error), exits=1)
    posts = f"{found['posts']:,} posts of {found['files']} files in {found['seconds']:.0f} s"
    msg.good(f"{posts}, {found['files_before']} files done before: {output}")


if __name__ == "__main__":
    typer.run(main)
