"""Check texts whose words have tags, convert them to .spacy and report what is in them."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.tokens import DocBin
from wasabi import msg

from plugins.tagged_words import (
    ENDINGS,
    Split,
    Splitting,
    Tagged,
    check_together,
    make_reference,
    read_tagged,
)
from scripts.files import check_output, replacing
from scripts.lang import blank

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
DEV_SHARE, TEST_SHARE = 0.1, 0.2
ATTRS = ["ORTH", "TAG"]


def preprocess_tokens(
    source: Path,
    output: Path,
    *,
    file: str | None = None,
    splitting: Splitting | None = None,
    more: Sequence[str] = (),
    skip: Sequence[str] = (),
    ignored: str = "O",
    lang: str = "en",
) -> dict[str, Any]:
    """Convert the tagged texts of a folder; all of the output appears, or none.

    source: Folder with one file of goemotions.TaggedWords.v1, or with train, dev and perhaps test.
    output: Folder for {train,dev,test}.spacy, labels.json and report.json.
    file: Name in source of the one file.
    splitting: Of the one file; Splitting() when None.
    more: Names of files in source to train on, too. What dev or test have is left out of them, and
        so are lines that cannot be read; the report says which.
    skip: Elements that are read as if they were not there.
    ignored: Label of words that teach nothing.
    RETURNS: The report.
    RAISES ValueError: A missing or malformed file, a splitting of what has splits already, no texts
        for train or dev, or an unknown language; names file, line, found, expected.
    """
    check_output(output, "corpus", [f"{split}.spacy" for split in SPLITS], [source])
    read = partial(read_tagged, ignored=ignored, skip=skip)
    splitting, parts = _find(source, file, splitting, more)
    if twice := [path.name for path in parts.values() if path.name in more]:
        raise ValueError(f"{source}: {twice[0]} and --more {twice[0]}. Expected another file.")
    names = [*(path.name for path in parts.values()), *more]
    if skip and not any(name.endswith((".txt", ".txt.gz")) for name in names):
        raise ValueError(f"{source}: skip {skip[0]}, and JSONL has no elements. Expected no skip.")
    found = _read(parts, splitting, read)
    if lacking := [split for split in ("train", "dev") if not found.get(split)]:
        raise ValueError(f"{source}: no texts for {lacking[0]}. Expected some for train and dev.")
    left_out = _add(found, [source / name for name in more], splitting or Splitting(), read)
    labels = sorted({tag for one in chain(*found.values()) for tag in one.tags if tag})
    if not labels:
        raise ValueError(f"{source}: no word has a tag. Expected some.")
    report = make_report(found, labels) | {"left_out": left_out}
    nlp = blank(lang)
    with replacing(output) as temporary:
        temporary.mkdir()
        for split, texts in found.items():
            docs = (make_reference(nlp, one) for one in texts)
            DocBin(ATTRS, docs=docs).to_disk(temporary / f"{split}.spacy")
        for name, value in {"labels": labels, "report": report}.items():
            text = json.dumps(value, indent=2, ensure_ascii=False)
            (temporary / f"{name}.json").write_text(text + "\n", encoding="utf8")
    return report


def make_report(found: dict[Split, list[Tagged]], labels: list[str]) -> dict[str, Any]:
    """Return the report: labels, numbers of each split, texts that train has too, warnings."""
    splits = {}
    for split, texts in found.items():
        words = Counter(tag for one in texts for tag in one.tags)
        splits[split] = {
            "texts": len(texts),
            "words": words.total(),
            "ignored": words[""],
            "fields": _count_fields(texts),
            "labels": {label: words[label] for label in labels},
        }
    known = {one.text for one in found["train"]}
    same = {split: sum(x.text in known for x in found[split]) for split in found}
    del same["train"]
    warnings = [
        f"{split}: {count} texts are in train too" for split, count in same.items() if count
    ]
    for label in labels:
        lacking = [split for split, row in splits.items() if not row["labels"][label]]
        if lacking:
            warnings.append(f"no {label} in {' and '.join(lacking)}")
    if "test" not in found:
        warnings.append("no test split")
    return {"labels": labels, "splits": splits, "overlap": same, "warnings": warnings}


def _count_fields(texts: Iterable[Tagged]) -> int:
    """Return the number of stretches of words with the same tag."""
    return sum(
        tag != before and tag != ""
        for one in texts
        for before, tag in zip(["", *one.tags], one.tags, strict=False)
    )


def _find(
    source: Path, file: str | None, splitting: Splitting | None, more: Sequence[str]
) -> tuple[Splitting | None, dict[Split, Path]]:
    """Return the files of the splits; how to split if there is one file, which is train's."""
    parts = {} if file else {split: path for split in SPLITS if (path := _only(source, split))}
    if not parts:
        path = source / file if file else _the_file(source, more)
        if not path.is_file():
            raise ValueError(f"{path}: no such file. Expected one in {', '.join(ENDINGS)}.")
        return splitting or Splitting(), {"train": path}
    if splitting is not None:
        there = " and ".join(path.name for path in parts.values())
        raise ValueError(f"{source}: shares, seed or folds, and {there}. Expected one of them.")
    return None, parts


def _read(
    parts: dict[Split, Path], splitting: Splitting | None, read: Callable
) -> dict[Split, list[Tagged]]:
    """Return the texts of each split that there is."""
    found = {split: list(read(path)) for split, path in parts.items()}
    if splitting is not None:
        texts = found["train"]
        check_together(parts["train"], splitting, texts)
        found = {s: [one for one in texts if splitting.split_of(one) == s] for s in SPLITS}
    return {split: some for split, some in found.items() if some}


def _add(
    found: dict[Split, list[Tagged]], more: list[Path], splitting: Splitting, read: Callable
) -> list[str]:
    """Add the texts of more files to train.

    RETURNS: What is left out of them.
    """
    left_out: list[str] = []
    held = {splitting.key_of(x) for split, some in found.items() if split != "train" for x in some}
    for path in more:
        if not path.is_file():
            raise ValueError(f"{path}: no such file. Expected one to train on, too.")
        for one in read(path, report=left_out.append):
            if splitting.key_of(one) in held:
                left_out.append(f"{path}, line {one.line}: in dev or test. Expected it in neither.")
            else:
                found["train"].append(one)
    return left_out


def _only(source: Path, name: str) -> Path | None:
    there = [path for ending in ENDINGS if (path := source / f"{name}{ending}").exists()]
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise ValueError(f"{source}: {names}. Expected one of them.")
    return there[0] if there else None


def _the_file(source: Path, more: Sequence[str]) -> Path:
    names = (p.name for p in sorted(source.iterdir()) if p.name.endswith(ENDINGS))
    there = [source / name for name in names if name not in more]
    if len(there) != 1:
        names = " and ".join(path.name for path in there) or "no file of tagged texts"
        expected = f"one in {', '.join(ENDINGS)}, or --file, or train and dev"
        raise ValueError(f"{source}: {names}. Expected {expected}.")
    return there[0]


def print_report(report: dict[str, Any]) -> None:
    """Print the report as tables."""
    splits = report["splits"]
    keys = ("texts", "words", "fields", "ignored")
    rows = [(split, *(found[key] for key in keys)) for split, found in splits.items()]
    msg.table(rows, header=("split", *keys), divider=True, aligns=("l", *"r" * len(keys)))
    rows = [(x, *(found["labels"][x] for found in splits.values())) for x in report["labels"]]
    msg.table(rows, header=("words", *splits), divider=True, aligns=("l", *"r" * len(splits)))
    if left_out := report["left_out"]:
        msg.warn(f"{len(left_out)} lines left out, see report.json", left_out[0])
    for warning in report["warnings"]:
        msg.warn(warning)


def main(
    source: Annotated[
        Path, typer.Argument(help="Folder with the texts", exists=True, file_okay=False)
    ],
    output: Annotated[Path, typer.Argument(help="Folder for the corpus")],
    file: Annotated[str | None, typer.Option(help="Name of the one file in the folder")] = None,
    dev_share: Annotated[
        float | None,
        typer.Option(help="Of texts without splits, 0 to 1", show_default=str(DEV_SHARE)),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(help="Of texts without splits, 0 to 1", show_default=str(TEST_SHARE)),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the splits", show_default="0")] = None,
    folds: Annotated[
        int | None, typer.Option(help="Cut into so many parts instead, e.g. 10", min=3)
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(help="Which part is test, from 0; the next is dev", min=0, show_default="0"),
    ] = None,
    together: Annotated[
        str | None, typer.Option(help="Label; texts with the same words of it stay together")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Option(help="Name of a file to train on, too; can be repeated")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(help="Element to read over, e.g. br; can be repeated")
    ] = None,
    ignored: Annotated[str, typer.Option(help="Label of words that teach nothing")] = "O",
    lang: Annotated[str, typer.Option(help="Language code of the pipeline")] = "en",
) -> None:
    """Check texts whose words have tags, convert them to .spacy and report what is in them."""
    given = {"dev": dev_share, "test": test_share, "seed": seed, "folds": folds, "fold": fold}
    given["together"] = together
    given = {name: value for name, value in given.items() if value is not None}
    try:
        if "folds" in given and given.keys() & {"dev", "test"}:
            raise ValueError("--folds with --dev-share or --test-share. Expected one of them.")
        splitting = Splitting(**given) if given else None
        report = preprocess_tokens(
            source,
            output,
            file=file,
            splitting=splitting,
            more=more or (),
            skip=skip or (),
            ignored=ignored,
            lang=lang,
        )
    except ValueError as error:
        msg.fail("Nothing was converted", str(error), exits=1)
    print_report(report)
    total = sum(found["texts"] for found in report["splits"].values())
    msg.good(f"{total} texts in {output}")


if __name__ == "__main__":
    typer.run(main)
