"""Check texts with entities, convert them to .spacy and report what is in them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.tokens import Doc, DocBin
from tqdm import tqdm
from wasabi import msg

from plugins.entity_files import BadTags, read_conll, read_prodigy
from plugins.standoff import Discontinuous, Misaligned, read_standoff
from scripts.entity_report import KEY, Facts, digest_of, make_report, print_report
from scripts.files import check_output, replacing
from scripts.workers import pipeline_of

# The splits, and what the name of a file contains if it is not just theirs.
SPLITS = {"train": "train", "dev": "dev|valid", "test": "test|eval"}
DEV_SHARE = 0.2
ENDINGS = [x + packed for x in (".conll", ".iob", ".bio", ".jsonl") for packed in ("", ".gz")]
ATTRS = ["ORTH", "ENT_IOB", "ENT_TYPE", "ENT_ID"]
# What is in Reading: the option, and by which name each kind of file takes it.
OPTIONS = {
    "split": ("--split", {"standoff": "split"}),
    "misaligned": ("--misaligned", {"standoff": "misaligned", "jsonl": "misaligned"}),
    "discontinuous": ("--discontinuous", {"standoff": "discontinuous"}),
    "use_tokens": ("--use-tokens", {"jsonl": "use_tokens"}),
    "bad_tags": ("--bad-tags", {"conll": "bad_tags"}),
}


@dataclass(frozen=True)
class Reading:
    """How the files are read; see the readers of plugins.standoff and plugins.entity_files.

    skip_empty: Leave out texts of train without entities.
    """

    split: str | None = None
    misaligned: Misaligned = "expand"
    discontinuous: Discontinuous = "merge"
    use_tokens: bool = False
    bad_tags: BadTags = "refuse"
    skip_empty: bool = False


def preprocess_entities(
    source: Path,
    output: Path,
    *,
    files: dict[str, str] | None = None,
    reading: Reading | None = None,
    dev_share: float | None = None,
    seed: int = 0,
    lang: str = "en",
) -> dict[str, Any]:
    """Convert train, dev and test of a folder; all of the output appears, or none.

    source: Folder with a folder of standoff, a CoNLL file or a JSONL per split.
    output: Folder for {train,dev,test}.spacy, labels.json and report.json.
    files: Names in source of splits that cannot be told by their names: train, dev or test, or one
        that contains train, dev or valid, test or eval. One whose ending is unknown is CoNLL.
    dev_share (0 to 1): If there is no dev, take about so much of train for it, DEV_SHARE when None,
        by a hash of the text, or of the name of the .txt; equal texts stay together.
    seed: Of the hash.
    RETURNS: The report.
    RAISES ValueError: A missing or malformed file; names file, line, found, expected.
    """
    reading = reading or Reading()
    check_output(output, "corpus", [f"{split}.spacy" for split in SPLITS], [source])
    found = _find(source, files or {})
    share = _share_of(source, found, dev_share, seed)
    _check_used(reading, {_kind(path) for path in found.values()})
    facts = {split: Facts() for split in SPLITS if split in found or (split == "dev" and share)}
    bins = {split: DocBin(ATTRS, store_user_data=True) for split in facts}
    for split, path in found.items():
        for doc, told in tqdm(_read(path, reading, lang), desc=split, unit=" docs"):
            to_dev = split == "train" and _place_of(doc, seed) < share
            target = "dev" if to_dev else split
            facts[target].tell(told)
            if target == "train" and reading.skip_empty and not doc.spans[KEY]:
                facts[target].left_out += 1
                continue
            facts[target].add(doc)
            bins[target].add(doc)
    for split, said in facts.items():
        if not said.docs:
            raise ValueError(f"{source}: no texts for {split}. Expected at least one.")
    report = make_report(facts)
    with replacing(output) as temporary:
        temporary.mkdir()
        for split, packed in bins.items():
            packed.to_disk(temporary / f"{split}.spacy")
        for name, value in (("labels", report["labels"]), ("report", report)):
            text = json.dumps(value, indent=2, ensure_ascii=False)
            (temporary / f"{name}.json").write_text(text + "\n", encoding="utf8")
    return report


def _find(source: Path, files: dict[str, str]) -> dict[str, Path]:
    """Return the file or folder of each split that there is: named, of its name, or one like it."""
    found: dict[str, Path] = {}
    for split in SPLITS:
        names = [files[split]] if split in files else [split, *(split + end for end in ENDINGS)]
        there = [path for name in names if (path := source / name).exists()]
        if split in files and not there:
            raise ValueError(f"{source / files[split]}: no such {split}. Expected it to be there.")
        found |= _only(source, split, there)
    rest = [path for path in sorted(source.iterdir()) if path not in found.values()]
    alike = {
        split: [path for path in rest if re.search(SPLITS[split], path.name.lower())]
        for split in SPLITS
        if split not in found
    }
    for split, there in alike.items():
        found |= _only(source, split, there)
    if len(set(guessed := [found[split] for split in alike if split in found])) < len(guessed):
        path = next(path for path in guessed if guessed.count(path) > 1)
        options = " and ".join(f"--{split}" for split in alike if found.get(split) == path)
        raise ValueError(f"{path}: a name of two splits. Expected {options} to tell them.")
    return found


def _only(source: Path, split: str, there: list[Path]) -> dict[str, Path]:
    if len(there) > 1:
        both = " and ".join(path.name for path in there)
        raise ValueError(f"{source}: {both}. Expected one of them, or --{split} to name it.")
    return {split: there[0]} if there else {}


def _share_of(source: Path, found: dict[str, Path], dev_share: float | None, seed: int) -> float:
    """Return how much of train becomes dev; 0 if there is a dev."""
    if "dev" in found:
        for option, value in (("--dev-share", dev_share), ("--seed", seed or None)):
            if value is not None:
                raise ValueError(f"{option} {value}, and {found['dev']}. Expected one of them.")
    share = DEV_SHARE if dev_share is None else dev_share
    if not 0 <= share < 1:
        raise ValueError(f"dev share {share}. Expected 0 or more, less than 1.")
    for split in ("train", "dev"):
        if split not in found and (split == "train" or not share):
            ways = f"one with {SPLITS[split].replace('|', ' or ')} in its name, or --{split}"
            kinds = f"a folder of standoff or a file in {', '.join(ENDINGS)}"
            raise ValueError(f"{source}: no {split}. Expected {kinds}, {ways}.")
    if "dev" in found:
        return 0.0
    msg.info(f"No dev in {source}; taken from train: {share:.0%}")
    return share


def _kind(path: Path) -> str:
    if path.is_dir():
        return "standoff"
    return "jsonl" if path.name.removesuffix(".gz").endswith(".jsonl") else "conll"


def _check_used(reading: Reading, kinds: set[str]) -> None:
    """Raise ValueError if something was asked for that no file has."""
    for name, (option, readers) in OPTIONS.items():
        if getattr(reading, name) != getattr(Reading, name) and not kinds & readers.keys():
            expected = " or ".join(sorted(readers))
            raise ValueError(f"{option} with {', '.join(sorted(kinds))}. Expected {expected}.")


def _read(path: Path, reading: Reading, lang: str) -> Iterator[tuple[Doc, list[tuple[str, str]]]]:
    """Yield each doc with what was reported on the way to it: kinds and sentences."""
    kind, told = _kind(path), []
    read = {"standoff": read_standoff, "conll": read_conll, "jsonl": read_prodigy}[kind]
    given = {
        readers[kind]: getattr(reading, name)
        for name, (_, readers) in OPTIONS.items()
        if kind in readers
    }
    for doc in read(path, pipeline_of(lang), report=lambda *said: told.append(said), **given):
        yield doc, told.copy()
        told.clear()


def _place_of(doc: Doc, seed: int) -> float:
    """Return a number from 0 to 1 that a text, or all parts of a file, always has."""
    name = doc.user_data.get("standoff", {}).get("file", doc.text)
    return int.from_bytes(digest_of(f"{seed} {name}")) / 2**64


def main(
    source: Annotated[Path, typer.Argument(help="Folder with the splits", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder for the corpus")],
    lang: Annotated[str, typer.Option(help="Language code of the tokenizer")] = "en",
    train: Annotated[str | None, typer.Option(help="Name of train in the folder")] = None,
    dev: Annotated[str | None, typer.Option(help="Name of dev in the folder")] = None,
    test: Annotated[str | None, typer.Option(help="Name of test in the folder")] = None,
    dev_share: Annotated[
        float | None,
        typer.Option(
            help="Part of train, 0 to 1, to take for dev where there is none  "
            f"[default: {DEV_SHARE}]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of --dev-share")] = 0,
    split: Annotated[
        str | None, typer.Option(help=r"Cut texts of standoff where this matches, e.g. '\n\n'")
    ] = None,
    misaligned: Annotated[
        Misaligned, typer.Option(help="What to do with entities that are not whole tokens")
    ] = "expand",
    discontinuous: Annotated[
        Discontinuous, typer.Option(help="What to do with entities of standoff in fragments")
    ] = "merge",
    use_tokens: Annotated[bool, typer.Option(help="Take the tokens of a JSONL")] = False,
    bad_tags: Annotated[
        BadTags, typer.Option(help="Of CoNLL: refuse an I- that follows nothing, or begin there")
    ] = "refuse",
    skip_empty: Annotated[
        bool, typer.Option(help="Leave out texts of train without entities")
    ] = False,
) -> None:
    """Check texts with entities, convert them to .spacy and report what is in them."""
    named = {"train": train, "dev": dev, "test": test}
    try:
        report = preprocess_entities(
            source,
            output,
            files={split: name for split, name in named.items() if name is not None},
            reading=Reading(split, misaligned, discontinuous, use_tokens, bad_tags, skip_empty),
            dev_share=dev_share,
            seed=seed,
            lang=lang,
        )
    except ValueError as error:
        msg.fail("Nothing was converted", str(error), exits=1)
    print_report(report)
    total = sum(found["docs"] for found in report["splits"].values())
    msg.good(f"{total} texts in {output}")


if __name__ == "__main__":
    typer.run(main)
