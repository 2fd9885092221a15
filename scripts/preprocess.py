"""Check labelled posts, convert them to .spacy and report what is in them."""

import json
import multiprocessing
import re
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer
from spacy.language import Language
from spacy.tokens import DocBin
from tqdm import tqdm
from wasabi import msg

from plugins.tokenizer import create_tokenizer
from scripts.files import check_output, replacing
from scripts.lang import blank
from scripts.posts import Format, Layout, Problems, digest, find_split, read_labels, read_posts

PLACEHOLDERS = ["[NAME]", "[RELIGION]"]
VIEWS = {"ekman": "ekman_mapping.json", "sentiment": "sentiment_dict.json"}
CHUNK = 1000
Post = tuple[int, str, list[int]]


@dataclass
class Facts:
    """What one pass over a split leaves behind: counts and 64-bit digests, never texts."""

    labels: numpy.ndarray
    several: int = 0
    skipped: int = 0
    lengths: array = field(default_factory=lambda: array("I"))
    exact: array = field(default_factory=lambda: array("Q"))
    normal: array = field(default_factory=lambda: array("Q"))

    def add(self, post: Post) -> None:
        """Count a post."""
        _, text, numbers = post
        self.labels[numbers] += 1
        self.several += len(numbers) > 1
        self.exact.append(digest(text))
        self.normal.append(digest(" ".join(re.findall(r"\w+", text.lower())) or text))


def preprocess(
    source: Path,
    output: Path,
    *,
    lang: str = "en",
    layout: Layout | None = None,
    n_process: int = 2,
    shard_size: int = 50_000,
    skip_bad: bool = False,
) -> dict[str, Any]:
    """Convert train, dev and test of a folder; all of the output appears, or none.

    source: Folder with the splits and the labels file.
    output: Folder for {train,dev,test}.spacy, labels.json, views.json and report.json.
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
    _blank(lang)  # forked workers inherit it, started later they each build their own
    with replacing(output) as temporary, _mapper(n_process) as run:
        temporary.mkdir()
        for split, path in splits.items():
            if path is None:
                continue
            problem = Problems(path)
            posts = read_posts(path, labels, layout, problem)
            target = temporary / f"{split}.spacy"
            facts[split] = _convert(posts, target, labels, lang, run, shard_size)
            facts[split].skipped = problem.count
            if problem.count and (not skip_bad or problem.fatal or not facts[split].lengths):
                problems.append(problem.report())
        if problems:
            raise ValueError("\n".join(problems))
        report = make_report(facts, labels)
        files = {k: source / f for k, f in VIEWS.items() if (source / f).exists()}
        views = {k: _read_view(file, labels) for k, file in files.items()}
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
    posts: Iterator[Post], target: Path, labels: list[str], lang: str, run: Callable, size: int
) -> Facts:
    facts = Facts(numpy.zeros(len(labels), dtype=int))

    def chunks() -> Iterator[list[Post]]:
        while chunk := list(islice(posts, min(CHUNK, size))):
            for post in chunk:
                facts.add(post)
            yield chunk

    pack = partial(_pack, labels=labels, lang=lang)
    with tqdm(desc=target.stem, unit="posts") as bar:
        part, parts = DocBin(attrs=["ORTH"]), 0
        for data, lengths in run(pack, chunks()):
            facts.lengths.extend(lengths)
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
    return facts


def _write_part(part: DocBin, target: Path, number: int) -> None:
    target.mkdir(exist_ok=True)
    part.to_disk(target / f"{number:05d}.spacy")


@contextmanager
def _mapper(n_process: int) -> Iterator[Callable]:
    if n_process <= 1:
        yield map
        return
    # A forked worker has spaCy already; elsewhere forking is not safe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with context.Pool(n_process) as pool:

        def run(work: Callable, chunks: Iterator) -> Iterator:
            # In windows: a pool reads its whole input ahead, and memory would grow with it.
            while window := list(islice(chunks, 8 * n_process)):
                yield from pool.imap(work, window)  # in order, whatever n_process is

        yield run


def _pack(chunk: list[Post], labels: list[str], lang: str) -> tuple[bytes, list[int]]:
    nlp = _blank(lang)
    docs = DocBin(attrs=["ORTH"])
    lengths = []
    for _, text, numbers in chunk:
        doc = nlp.make_doc(text)
        doc.cats = {label: float(number in numbers) for number, label in enumerate(labels)}
        docs.add(doc)
        lengths.append(len(doc))
    return docs.to_bytes(), lengths


@lru_cache
def _blank(lang: str) -> Language:
    nlp = blank(lang)
    nlp.tokenizer = create_tokenizer(PLACEHOLDERS)(nlp)
    return nlp


def _read_view(path: Path, labels: list[str]) -> dict[str, list[str]]:
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


def make_report(facts: dict[str, Facts], labels: list[str]) -> dict[str, Any]:
    """Return the data report: sizes, labels, lengths, duplicates, overlaps, warnings."""
    report: dict[str, Any] = {"splits": {}, "overlap": {}, "warnings": []}
    arrays = {k: [numpy.frombuffer(x, dtype="uint64") for x in (f.exact, f.normal)]
              for k, f in facts.items()}  # fmt: skip
    for split, found in facts.items():
        lengths = numpy.frombuffer(found.lengths, dtype="uint32")
        exact = arrays[split][0]
        report["splits"][split] = {
            "posts": len(lengths),
            "skipped": found.skipped,
            "several_labels": found.several,
            "extra_duplicates": len(exact) - len(numpy.unique(exact)),
            "tokens": {f"p{p}": int(numpy.percentile(lengths, p)) for p in (0, 50, 90, 99, 100)},
            "labels": dict(zip(labels, found.labels.tolist(), strict=True)),
        }
        if split != "train":
            same = [int(numpy.isin(x, t).sum()) for x, t in zip(arrays[split], arrays["train"],
                                                                strict=True)]  # fmt: skip
            report["overlap"][split] = {"exact": same[0], "normalised": same[1]}
    report["warnings"] = _warnings(report)
    return report


def _warnings(report: dict[str, Any]) -> list[str]:
    found = []
    for split, facts in report["splits"].items():
        least = 10 if split == "train" else 1
        rare = [f"{label} ({n})" for label, n in facts["labels"].items() if n < least]
        if rare:
            found.append(f"{split}: fewer than {least} posts for {', '.join(rare)}")
        if facts["skipped"]:
            found.append(f"{split}: {facts['skipped']} bad rows left out")
        if facts["extra_duplicates"]:
            found.append(f"{split}: {facts['extra_duplicates']} texts are there again")
    for split, same in report["overlap"].items():
        if same["normalised"]:
            found.append(
                f"{split}: {same['exact']} texts are in train too, {same['normalised']} if case "
                "and punctuation are ignored"
            )
    if "test" not in report["splits"]:
        found.append("no test split: evaluate-test will not work")
    return found


def print_report(report: dict[str, Any]) -> None:
    """Print the data report as tables."""
    splits = report["splits"]
    keys = ("posts", "several_labels", "extra_duplicates", "skipped")
    rows = [(s, *(f[k] for k in keys), *f["tokens"].values()) for s, f in splits.items()]
    header = ("split", "posts", "several labels", "duplicates", "skipped",
              "tokens min", "50 %", "90 %", "99 %", "max")  # fmt: skip
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * 9))
    labels = sorted(splits["train"]["labels"], key=lambda x: -splits["train"]["labels"][x])
    rows = [(label, *(f["labels"][label] for f in splits.values())) for label in labels]
    msg.table(rows, header=("label", *splits), divider=True, aligns=("l", *"r" * len(splits)))
    for warning in report["warnings"]:
        msg.warn(warning)


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
