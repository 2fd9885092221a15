"""Check labelled posts, convert them to .spacy and report what is in them."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.tokens import DocBin
from tqdm import tqdm
from wasabi import msg

from scripts.data_report import Facts, make_report, print_report
from scripts.digests import Digests
from scripts.files import check_output, remove, replacing
from scripts.lang import blank
from scripts.posts import Format, Layout, Problems, find_split, read_labels, read_posts
from scripts.workers import Post, mapping, pack, pipeline_of

VIEWS = {"ekman": "ekman_mapping.json", "sentiment": "sentiment_dict.json"}
CHUNK = 1000


def preprocess(
    source: Path,
    output: Path,
    *,
    lang: str = "en",
    layout: Layout | None = None,
    n_process: int = 2,
    address: str | None = None,
    shard_size: int = 50_000,
    skip_bad: bool = False,
) -> dict[str, Any]:
    """Convert train, dev and test of a folder; all of the output appears, or none.

    source: Folder with the splits and the labels file.
    output: Folder for {train,dev,test}.spacy, labels.json, views.json and report.json.
    n_process, address: Workers of this machine or of Ray, see scripts.workers.mapping.
    shard_size (posts): A longer split becomes a folder of parts under the same name, which spaCy
        reads as it reads a file; a part may be up to 999 posts longer. Memory is bounded by one.
    skip_bad: Leave bad rows out and count them, instead of refusing the file.
    RETURNS: The report.
    RAISES ValueError: Bad rows, a missing file; names file, line, found, expected.
    """
    layout = layout or Layout()
    _check_arguments(source, output, lang, layout, shard_size)
    labels = read_labels(source)
    splits = {split: find_split(source, split) for split in ("train", "dev", "test")}
    missing = [split for split in ("train", "dev") if splits[split] is None]
    if missing:
        raise ValueError(f"{source}: no {' and '.join(missing)}. Expected .tsv, .csv or .jsonl.")
    facts, problems = {}, []
    pipeline_of(lang)  # forked workers inherit it, started later they each build their own
    with replacing(output) as temporary, mapping(n_process, address) as run:
        scratch = temporary / "digests"
        scratch.mkdir(parents=True)
        for split, path in splits.items():
            if path is None:
                continue
            problem = Problems(path)
            ids = Digests(scratch / f"{split}-ids", 2)
            posts = read_posts(path, labels, layout, problem, ids)
            found = facts[split] = Facts(len(labels), scratch / f"{split}-texts")
            target = temporary / f"{split}.spacy"
            _convert(posts, target, labels, lang, run, shard_size, found)
            found.skipped = problem.count
            if problem.count and (not skip_bad or problem.fatal or not found.lengths):
                problems.append(problem.report())
        if problems:
            raise ValueError("\n".join(problems))
        report = make_report(facts, labels)
        remove(scratch)
        files = {k: source / f for k, f in VIEWS.items() if (source / f).exists()}
        views = {k: read_view(file, labels) for k, file in files.items()}
        for name, value in (("labels", labels), ("views", views), ("report", report)):
            (temporary / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")
    return report


def _check_arguments(
    source: Path, output: Path, lang: str, layout: Layout, shard_size: int
) -> None:
    parts = ("train.spacy", "dev.spacy", "test.spacy", "report.json")
    check_output(output, "corpus", parts, [source])
    if not layout.separator:
        raise ValueError("Label separator ''. Expected at least one character.")
    if shard_size < 1:
        raise ValueError(f"Shard size {shard_size}. Expected at least 1.")
    blank(lang)


def _convert(
    posts: Iterator[Post],
    target: Path,
    labels: list[str],
    lang: str,
    run: Callable,
    size: int,
    facts: Facts,
) -> None:
    def chunks() -> Iterator[list[Post]]:
        while chunk := list(islice(posts, min(CHUNK, size))):
            for _, text, numbers in chunk:
                facts.add(text, numbers)
            yield chunk

    work = partial(pack, labels=labels, lang=lang)
    with tqdm(desc=target.stem, unit="posts") as bar:
        part, parts = DocBin(attrs=["ORTH"]), 0
        for data, lengths in run(work, chunks()):
            facts.lengths.update(lengths)
            bar.update(len(lengths))
            part.merge(DocBin().from_bytes(data))
            if len(part) >= size:
                _write_part(part, target, parts)
                part, parts = DocBin(attrs=["ORTH"]), parts + 1
        if len(part) or not parts:
            _write_part(part, target, parts)
            parts += 1
    if parts == 1:  # one part is a plain file
        only = target.with_suffix(".part")
        next(target.iterdir()).rename(only)
        target.rmdir()
        only.rename(target)


def _write_part(part: DocBin, target: Path, number: int) -> None:
    target.mkdir(exist_ok=True)
    part.to_disk(target / f"{number:05d}.spacy")


def read_view(path: Path, labels: list[str]) -> dict[str, list[str]]:
    try:
        view = json.loads(path.read_text(encoding="utf8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}. Expected JSON.") from error
    if not isinstance(view, dict) or not all(isinstance(group, list) for group in view.values()):
        raise ValueError(f"{path}: {str(view)[:80]}. Expected an object of lists of labels.")
    members = [label for group in view.values() for label in group]
    odd = [label for label in members if label not in labels or members.count(label) > 1]
    if odd:
        raise ValueError(f"{path}: label {odd[0]!r}. Expected known labels, once each.")
    return view


def main(
    source: Annotated[Path, typer.Argument(help="Folder with train, dev, test and a labels file")],
    output: Annotated[Path, typer.Argument(help="Folder for the corpus")],
    lang: Annotated[str, typer.Option(help="Language code of the tokenizer")] = "en",
    text_column: Annotated[str, typer.Option(help="Text column of a CSV or JSONL")] = "text",
    label_column: Annotated[str, typer.Option(help="Label column of a CSV or JSONL")] = "labels",
    label_separator: Annotated[str, typer.Option(help="Between several labels")] = ",",
    delimiter: Annotated[str, typer.Option(help="Between the fields of a CSV")] = ",",
    format: Annotated[
        Format, typer.Option(help="auto: .tsv is GoEmotions (text, label ids, id), .csv, .jsonl")
    ] = "auto",
    n_process: Annotated[int, typer.Option(help="Worker processes", min=1)] = 2,
    address: Annotated[
        str | None,
        typer.Option(help="Work on Ray: local (started for this), or a cluster: auto, HOST:PORT"),
    ] = None,
    shard_size: Annotated[int, typer.Option(help="Posts per part of a long split", min=1)] = 50_000,
    strict: Annotated[
        bool, typer.Option("--strict/--skip-bad", help="Refuse files with bad rows, or skip them")
    ] = True,
) -> None:
    """Check labelled posts, convert them to .spacy and report what is in them."""
    try:
        if len(delimiter := delimiter.replace("\\t", "\t")) != 1:
            raise ValueError(f"--delimiter {delimiter!r}. Expected one character.")
        layout = Layout(format, text_column, label_column, delimiter, label_separator)
        report = preprocess(
            source,
            output,
            lang=lang,
            layout=layout,
            n_process=n_process,
            address=address,
            shard_size=shard_size,
            skip_bad=not strict,
        )
    except ValueError as error:
        msg.fail("Nothing was converted", str(error), exits=1)
    print_report(report)
    total = sum(facts["posts"] for facts in report["splits"].values())
    msg.good(f"{total} posts in {output}")


if __name__ == "__main__":
    typer.run(main)
