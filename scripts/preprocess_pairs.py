"""Check pairs of texts, convert them to .spacy and report what is in them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer
from spacy.tokens import Doc, DocBin
from spacy.util import filter_spans
from tqdm import tqdm
from wasabi import msg

from plugins.pairs import (
    DELIMITERS,
    SPLIT_COLUMN,
    Pair,
    Shares,
    Split,
    columns_of,
    make_reference,
    read_pairs,
)
from plugins.stream import read_labels_file
from scripts.entity_report import KEY
from scripts.files import check_output, replacing
from scripts.pair_facts import MARKUP, Facts, make_report, print_report
from scripts.posts import LABEL_FILES
from scripts.preprocess import VIEWS, read_view
from scripts.workers import pipeline_of

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
DEV_SHARE, TEST_SHARE = 0.2, 0.1
FAITHFUL = 0.99  # of the targets with tags, how many are their sources at least, without them
ATTRS = ["ORTH", "ENT_IOB", "ENT_TYPE"]
Tags = Literal["entities", "labels", "none"]


@dataclass(frozen=True)
class Reading:
    """How the file is read, see plugins.pairs.

    reverse: Swap source and target.
    dev_share, test_share (0 to 1): Of a file that has no split column, or of train.csv for a split
        that has no file; DEV_SHARE and, of the one file, TEST_SHARE when None.
    """

    source_column: str = "orig_text"
    target_column: str = "annotated_text"
    reverse: bool = False
    dev_share: float | None = None
    test_share: float | None = None
    seed: int = 0
    min_chars: int = 2
    max_chars: int = 1000
    keep_repeats: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Return the arguments of read_pairs that are the same for all files."""
        columns = (self.source_column, self.target_column)
        source, target = reversed(columns) if self.reverse else columns
        return {
            "source_column": source,
            "target_column": target,
            "min_chars": self.min_chars,
            "max_chars": self.max_chars,
            "dedupe": not self.keep_repeats,
        }


class Part(NamedTuple):
    """Where a split is: which split of a file, all of it if None, and how the file is split."""

    path: Path
    split: Split | None
    column: str | None
    shares: Shares


def preprocess_pairs(
    source: Path,
    output: Path,
    *,
    file: str | None = None,
    reading: Reading | None = None,
    tags: Tags | None = None,
    labels: Path | None = None,
    lang: str = "en",
) -> dict[str, Any]:
    """Convert the pairs of a folder; all of the output appears, or none.

    Each doc has the source as its text and, in doc._.seq2seq, the target as `join(split(target))`
    of goemotions.Markup.v1 writes it.

    source: Folder with one CSV, or with train.csv and dev.csv, test.csv or both; see plugins.pairs
        for columns, endings and splits.
    output: Folder for {train,dev,test}.spacy, labels.json, report.json and, of labels, views.json.
    file: Name in source of the one CSV.
    tags: What tags in the targets mark: entities, which doc.ents and doc.spans get; labels of the
        text, which doc.cats gets; or none. Found out from train when None, see find_tags.
    labels: File with a label per line, in the order of doc.cats; one beside the CSV, or all that
        are in the targets by name, when None.
    RETURNS: The report.
    RAISES ValueError: A missing or malformed file, options that do not go together; names file,
        line, found, expected.
    """
    reading = reading or Reading()
    _check_options(reading, tags, labels)
    check_output(output, "corpus", [f"{split}.spacy" for split in SPLITS], [source])
    parts = _find_parts(source, file, reading)
    facts = {split: Facts() for split in parts}
    pairs = {split: _read(part, reading, facts[split]) for split, part in parts.items()}
    if tags is None:
        tags = "none" if reading.reverse else find_tags(pairs["train"])
        msg.info(f"Tags mark {tags if tags != 'none' else 'nothing'}, as the targets of train say")
    _check_options(reading, tags, labels)
    names = _names_of(pairs, tags, labels or _labels_beside(source, tags))
    bins = {}
    for split, part in parts.items():
        bins[split] = _convert(part.path, pairs[split], facts[split], tags, names, lang)
    report = make_report(facts, tags)
    files = {"labels": names, "report": report}
    if tags == "labels":
        groups = {view: source / name for view, name in VIEWS.items() if (source / name).exists()}
        files["views"] = {view: read_view(path, names) for view, path in groups.items()}
    _write(output, bins, files)
    return report


def find_tags(pairs: list[Pair]) -> Tags:
    """Return what the tags in targets mark.

    RETURNS: none if no target has tags, or if, without them, more than one of a hundred is not its
        source; labels if every tag is around a whole text; otherwise entities.
    """
    tagged = faithful = 0
    whole = True
    for pair in pairs:
        text, spans = MARKUP.parse(pair.target)
        tagged += bool(spans)
        faithful += bool(spans) and text == pair.source
        whole &= all(text[start:end].strip() == text.strip() for start, end, _ in spans)
    if not tagged or faithful < FAITHFUL * tagged:
        return "none"
    return "labels" if whole else "entities"


def _check_options(reading: Reading, tags: Tags | None, labels: Path | None) -> None:
    """Raise ValueError if options do not go together."""
    if reading.reverse and tags not in (None, "none"):
        raise ValueError(f"--reverse with --tags {tags}. Expected none: the sources have the tags.")
    if labels is not None and tags not in (None, "labels"):
        raise ValueError(f"--labels with tags {tags}. Expected it with labels alone.")


def _find_parts(source: Path, file: str | None, reading: Reading) -> dict[Split, Part]:
    """Return where each split is: in one file with all, or in one for each."""
    files = {} if file else {split: path for split in SPLITS if (path := _only(source, split))}
    if "train" in files and len(files) > 1:
        column, shares = None, _shares(reading, files, 0.0)
    else:
        files = {"train": source / file if file else files.get("train") or _the_file(source)}
        column = SPLIT_COLUMN if SPLIT_COLUMN in columns_of(files["train"]) else None
        where = f"the column {SPLIT_COLUMN!r} of {files['train']}"
        shares = _shares(reading, dict.fromkeys(SPLITS if column else (), where), TEST_SHARE)
    parts = {split: Part(path, None, None, Shares(0, 0)) for split, path in files.items()}
    path, everything = files["train"], {"min_chars": 0, "max_chars": 0}
    pairs = read_pairs(path, split_column=column, shares=shares, **reading.options | everything)
    for split in {pair.split for pair in pairs}:
        parts[split] = Part(path, split, column, shares)
    if lacking := [split for split in ("train", "dev") if split not in parts]:
        raise ValueError(f"{path}: no pairs for {lacking[0]}. Expected some for train and dev.")
    return {split: parts[split] for split in SPLITS if split in parts}


def _only(source: Path, name: str) -> Path | None:
    there = [path for ending in DELIMITERS if (path := source / f"{name}{ending}").exists()]
    if len(there) > 1:
        raise ValueError(
            f"{source}: {' and '.join(path.name for path in there)}. Expected one of them."
        )
    return there[0] if there else None


def _the_file(source: Path) -> Path:
    there = [p for p in sorted(source.iterdir()) if p.name.endswith(tuple(DELIMITERS))]
    if len(there) != 1:
        found = " and ".join(path.name for path in there) or "no file of pairs"
        expected = f"one in {', '.join(DELIMITERS)}, or --file, or train.csv and dev.csv"
        raise ValueError(f"{source}: {found}. Expected {expected}.")
    return there[0]


def _shares(reading: Reading, there: dict[Split, Any], test_share: float) -> Shares:
    """Return how much becomes dev and test of what is not there.

    there: For the splits that are, where.
    """
    given = {"dev": reading.dev_share, "test": reading.test_share}
    used = {"dev": DEV_SHARE, "test": test_share}
    for split, share in given.items():
        if share is not None and split in there:
            raise ValueError(f"--{split}-share {share}, and {there[split]}. Expected one of them.")
        if split in there or share is not None:
            used[split] = share or 0.0
    if reading.seed and not any(used.values()):
        where = " and ".join(map(str, dict.fromkeys(there.values())))
        raise ValueError(f"--seed {reading.seed}, and {where}. Expected one of them.")
    for split, share in used.items():
        if share:
            msg.info(f"No {split} there; taken by a hash of the source: {share:.0%}")
    return Shares(used["dev"], used["test"], reading.seed)


def _read(part: Part, reading: Reading, facts: Facts) -> list[Pair]:
    return list(
        read_pairs(
            part.path,
            split=part.split,
            split_column=part.column,
            shares=part.shares,
            report=facts.tell,
            **reading.options,
        )
    )


def _labels_beside(source: Path, tags: Tags) -> Path | None:
    there = [source / name for name in LABEL_FILES if (source / name).exists()]
    return there[0] if there and tags == "labels" else None


def _names_of(pairs: dict[Split, list[Pair]], tags: Tags, labels: Path | None) -> list[str]:
    """Return the labels of the corpus."""
    if labels is not None:
        return read_labels_file(labels)
    if tags == "none":
        return []
    texts = (pair.target for found in pairs.values() for pair in found)
    names = sorted({label for text in texts for *_, label in MARKUP.parse(text)[1]})
    if not names:
        raise ValueError(f"--tags {tags}, and no target has tags. Expected some.")
    return names


def _convert(
    path: Path, pairs: list[Pair], facts: Facts, tags: Tags, labels: list[str], lang: str
) -> DocBin:
    docs, nlp = DocBin(ATTRS, store_user_data=True), pipeline_of(lang)
    for pair in tqdm(pairs, desc=path.name, unit=" pairs"):
        symbols = MARKUP.split(pair.target)
        canonical = MARKUP.join(symbols)
        facts.add(pair.source, symbols)
        facts.normalised += canonical != pair.target
        doc = make_reference(nlp, replace(pair, target=canonical))
        text, spans = MARKUP.parse(canonical)
        if tags == "entities" and text == pair.source:
            _set_entities(doc, spans, facts)
        elif tags == "labels":
            found = {label for *_, label in spans}
            if unknown := sorted(found - set(labels)):
                where = f"{path}, line {pair.line}"
                raise ValueError(f"{where}: label {unknown[0]!r}. Expected one of the labels file.")
            doc.cats = {label: float(label in found) for label in labels}
        docs.add(doc)
    return docs


def _set_entities(doc: Doc, spans: list[tuple[int, int, str]], facts: Facts) -> None:
    """Mark in a doc what tags mark in its text; entities become whole tokens."""
    found = {}
    for start, end, label in spans:
        piece = doc.text[start:end]
        left, right = start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
        span = None
        if left < right:  # spaCy's entity recogniser refuses white space at the ends
            span = doc.char_span(left, right, label, alignment_mode="expand")
            found[span.start, span.end, label] = span
        facts.misaligned += span is None or (span.start_char, span.end_char) != (start, end)
    entities = filter_spans(found.values())
    doc.set_ents(entities, default="outside")
    doc.spans[KEY] = list(found.values())
    facts.overlapping += len(found) - len(entities)


def _write(output: Path, bins: dict[Split, DocBin], files: dict[str, Any]) -> None:
    with replacing(output) as temporary:
        temporary.mkdir()
        for split, packed in bins.items():
            packed.to_disk(temporary / f"{split}.spacy")
        for name, value in files.items():
            text = json.dumps(value, indent=2, ensure_ascii=False)
            (temporary / f"{name}.json").write_text(text + "\n", encoding="utf8")


def main(
    source: Annotated[Path, typer.Argument(help="Folder with the pairs", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder for the corpus")],
    file: Annotated[str | None, typer.Option(help="Name of the one CSV in the folder")] = None,
    source_column: Annotated[str, typer.Option(help="Column to read")] = "orig_text",
    target_column: Annotated[str, typer.Option(help="Column to write")] = "annotated_text",
    reverse: Annotated[bool, typer.Option("--reverse", help="Swap the columns")] = False,
    tags: Annotated[
        Tags | None, typer.Option(help="What tags in targets mark", show_default="as train says")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of --tags labels, one per line", exists=True)
    ] = None,
    dev_share: Annotated[
        float | None,
        typer.Option(help="Of pairs without splits, 0 to 1", show_default=str(DEV_SHARE)),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(help="Of pairs without splits, 0 to 1", show_default=str(TEST_SHARE)),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the shares")] = 0,
    max_chars: Annotated[int, typer.Option(help="Longest text, 0 for any", min=0)] = 1000,
    min_chars: Annotated[int, typer.Option(help="Shortest text", min=0)] = 2,
    keep_repeats: Annotated[
        bool, typer.Option("--keep-repeats", help="Keep pairs that are there again")
    ] = False,
    lang: Annotated[str, typer.Option(help="Language code of the tokenizer")] = "en",
) -> None:
    """Check pairs of texts, convert them to .spacy and report what is in them."""
    reading = Reading(source_column, target_column, reverse, dev_share, test_share, seed, min_chars,
                      max_chars, keep_repeats)  # fmt: skip
    try:
        report = preprocess_pairs(
            source, output, file=file, reading=reading, tags=tags, labels=labels, lang=lang
        )
    except ValueError as error:
        msg.fail("Nothing was converted", str(error), exits=1)
    print_report(report)
    total = sum(found["pairs"] for found in report["splits"].values())
    msg.good(f"{total} pairs in {output}")


if __name__ == "__main__":
    typer.run(main)
