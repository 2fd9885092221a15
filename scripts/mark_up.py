"""Make pairs of texts, plain and marked up, from labelled posts or from brat standoff."""

import csv
import gzip
import io
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import typer
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc
from spacy.util import filter_spans
from tqdm import tqdm
from wasabi import msg

from plugins.markup import TAG, Span
from plugins.standoff import read_standoff
from scripts.digests import Digests
from scripts.entity_report import KEY
from scripts.files import check_output, replacing
from scripts.pair_facts import MARKUP
from scripts.posts import LABEL_FILES, Layout, Problems, find_split, read_labels, read_posts
from scripts.preprocess import VIEWS
from scripts.workers import pipeline_of

OUTPUT = "pairs.csv.gz"
COLUMNS = ("orig_text", "annotated_text", "source", "split")
SPLITS = ("train", "dev", "test")
LINE_ENDS = str.maketrans("\r\n\t", "   ")
CUT = r"\n"  # brat takes a line for a sentence too
TOLD = {
    "cut": "entities go over a cut, which is not made",
    "discontinuous": "entities in fragments are marked from the first to the last",
    "misaligned": "entities are widened to whole tokens",
    "nested": "entities within or across longer ones are not marked",
    "reference": "lines speak of several parts, or of a blank",
    "tags": "texts have tags already, left out",
    "unannotated": "texts have no .ann, left out",
}


class Text(NamedTuple):
    """A text and what to mark in it; source says where it is from."""

    text: str
    spans: list[Span]
    source: str
    split: str


def mark_up(
    source: Path, output: Path, *, split: str | None = None, lang: str = "en"
) -> Counter[str]:
    """Write pairs.csv.gz of the texts of a folder.

    Of posts in train.tsv, dev.tsv and test.tsv, as scripts.preprocess reads them, the labels are
    marked around the whole text, in the order of the labels file, which goes along with the files
    of groups. Of folders train, dev and test of standoff, the entities are marked in each sentence.

    source: Folder with a labels file and posts, or with folders of standoff.
    output: Folder for pairs.csv.gz; other files in it stay.
    split: Regular expression; standoff is cut where it matches, at every line end when None, and
        at the ends of sentences, but never in an entity.
    lang: Language code of the tokenizer of standoff.
    RETURNS: How many texts there are of each split, and how many of each kind in TOLD.
    RAISES ValueError: There is neither, or a file is malformed; names file, line, found, expected.
    """
    has_labels = any((source / name).exists() for name in LABEL_FILES)
    if not has_labels and not any((source / split).is_dir() for split in SPLITS):
        expected = f"{' or '.join(LABEL_FILES)} and posts, or folders of standoff"
        raise ValueError(f"{source}: nothing to mark up. Expected {expected}: {', '.join(SPLITS)}.")
    if has_labels and split is not None:
        raise ValueError(f"--split {split!r} with posts. Expected it with standoff alone.")
    check_output(output, "marked-up data", [OUTPUT, "pairs.csv"], [source])
    counts: Counter[str] = Counter()
    cut = CUT if split is None else split
    texts = _posts(source) if has_labels else _sentences(source, cut, lang, counts)
    data = _pack(_rows(texts, counts))
    if not sum(counts[split] for split in SPLITS):
        raise ValueError(f"{source}: no texts. Expected at least one.")
    output.mkdir(parents=True, exist_ok=True)
    for name in (*LABEL_FILES, *VIEWS.values()) if has_labels else ():
        if (source / name).exists():
            with replacing(output / name) as temporary:
                shutil.copyfile(source / name, temporary)
    with replacing(output / OUTPUT) as temporary:
        temporary.write_bytes(data)
    return counts


def _rows(texts: Iterable[Text], counts: Counter[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield plain text, marked text, source and split."""
    for text, spans, source, split in texts:
        if TAG.search(text):
            counts["tags"] += 1
            continue
        marked = MARKUP.write(text, spans)
        if MARKUP.parse(marked)[0] != text:
            raise ValueError(f"{source}: {marked[:80]!r} gives another text than {text[:80]!r}.")
        counts[split] += 1
        yield text, marked, source, split


def _pack(rows: Iterable[tuple[str, str, str, str]]) -> bytes:
    """Return the gzipped CSV of rows, the same bytes for the same rows."""
    content = io.StringIO(newline="")
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return gzip.compress(content.getvalue().encode("utf8"), mtime=0)


def _posts(source: Path) -> Iterator[Text]:
    labels = read_labels(source)
    files = {split: path for split in SPLITS if (path := find_split(source, split))}
    for split, path in files.items():
        problems = Problems(path)
        with TemporaryDirectory() as scratch:
            ids = Digests(Path(scratch) / "ids", 2)
            posts = read_posts(path, labels, Layout(), problems, ids)
            for line, text, numbers in tqdm(posts, desc=split, unit=" posts"):
                spans = [(0, len(text), labels[number]) for number in numbers]
                yield Text(text, spans, f"{path.name}:{line}", split)
        if problems.count:
            raise ValueError(problems.report())


def _sentences(source: Path, cut: str, lang: str, counts: Counter[str]) -> Iterator[Text]:
    nlp, sentencizer = pipeline_of(lang), Sentencizer()
    for split in SPLITS:
        if not (source / split).is_dir():
            continue
        docs = read_standoff(
            source / split,
            nlp,
            span_setter=[KEY],
            split=cut,
            misaligned="expand",
            report=lambda kind, _: counts.update([kind]),
        )
        for doc in tqdm(docs, desc=split, unit=" docs"):
            for text, spans in _cut(sentencizer(doc), counts):
                yield Text(text, spans, doc.user_data["standoff"]["file"], split)


def _cut(doc: Doc, counts: Counter[str]) -> Iterator[tuple[str, list[Span]]]:
    """Yield each sentence and its entities; white space becomes blanks, none is at the ends."""
    entities = filter_spans(doc.spans[KEY])
    counts["nested"] += len(doc.spans[KEY]) - len(entities)
    for entity in entities:
        for token in entity[1:]:
            token.is_sent_start = False
    for sentence in doc.sents:
        raw = sentence.text.translate(LINE_ENDS)
        text = raw.strip()
        start = sentence.start_char + len(raw) - len(raw.lstrip())
        within = [entity for entity in entities if sentence.start <= entity.start < sentence.end]
        if text:
            yield (
                text,
                [(x.start_char - start, x.end_char - start, x.label_) for x in within],
            )


def main(
    source: Annotated[Path, typer.Argument(help="Folder with posts or standoff", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder for pairs.csv.gz")],
    split: Annotated[
        str | None,
        typer.Option(help="Cut standoff where this matches, and at sentences", show_default=CUT),
    ] = None,
    lang: Annotated[str, typer.Option(help="Language code of the tokenizer")] = "en",
) -> None:
    """Make pairs of texts, plain and marked up, from labelled posts or from brat standoff."""
    try:
        counts = mark_up(source, output, split=split, lang=lang)
    except ValueError as error:
        msg.fail("Nothing was marked up", str(error), exits=1)
    for kind, said in TOLD.items():
        if counts[kind]:
            msg.warn(f"{counts[kind]} {said}")
    found = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
    msg.good(f"Pairs of {found}: {output / OUTPUT}")


if __name__ == "__main__":
    typer.run(main)
