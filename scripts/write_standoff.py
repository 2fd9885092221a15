"""Write the entities of a corpus as brat standoff: pairs of name.txt and name.ann."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.tokens import Doc, DocBin, Span
from spacy.training.corpus import walk_corpus
from spacy.vocab import Vocab
from tqdm import tqdm
from wasabi import msg

from plugins.standoff import Line, cover, entity_line, parse_line
from scripts.files import check_output, hash_of, replacing

FACTS = "standoff.json"  # marks a folder as written here
COUNTS = ("documents", "entities", "new", "changed", "deleted", "lines_deleted")


def write_standoff(corpus: Path, output: Path, *, spans: str = "entities") -> dict[str, int]:
    """Write a pair of files per doc; what was read from standoff and not changed is exact.

    corpus: .spacy, or a folder of them, as preprocess_entities and predicting make them. Docs that
        are not from standoff are called doc-00001 and so on; parts of a text name-1, name-2.
    output: New folder, or one written before in which nothing was changed since.
    spans: Name of the group of doc.spans that is written, or ents for doc.ents.
    RETURNS: How many documents and entities there are, how many entities are new, changed and
        deleted, and how many lines went with deleted ones, because they were about these alone.
    RAISES ValueError: No docs, no such spans, two docs of one name, or something else is there.
    """
    _check_folder(output, corpus)
    counts = dict.fromkeys(COUNTS, 0)
    with replacing(output) as temporary:
        temporary.mkdir()
        for number, doc in enumerate(tqdm(_docs(corpus), unit=" docs"), 1):
            where = f"{corpus}, doc {number}"
            path = temporary / f"{_name_of(doc, number, where)}.txt"
            if path.exists():
                raise ValueError(f"{where}: {path.name} again. Expected each name once.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(doc.text.encode("utf8"))
            lines, changes = annotation_of(doc, _spans_of(doc, spans, where))
            path.with_suffix(".ann").write_bytes("".join(f"{x}\n" for x in lines).encode("utf8"))
            for name, count in {"documents": 1, **changes}.items():
                counts[name] += count
        if not counts["documents"]:
            raise ValueError(f"{corpus}: no docs. Expected a .spacy with at least one.")
        facts = {**counts, "sha256": _hash_of(temporary)}
        (temporary / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf8")
    return counts


def annotation_of(doc: Doc, spans: list[Span]) -> tuple[list[str], Counter[str]]:
    """Return the lines of the .ann of a doc, and what changed since it was read.

    spans: Entities; one whose id is that of a T line is this entity.
    """
    stored = [(parse_line(0, raw), start, end) for raw, start, end in _origin(doc).get("lines", ())]
    entities = [line for line, _, _ in stored if line.fragments]
    left, counts = _by_id(spans, {line.id for line in entities}), Counter(entities=len(spans))
    lines, gone = [], set()
    for line, start, end in stored:
        span = left.pop(line.id, None) if line.fragments else None
        if span is not None and (span.label_, span.start_char, span.end_char) != (
            line.label,
            start,
            end,
        ):
            line = line._replace(raw=_line_of(span, line.id))
            counts["changed"] += 1
        if span is None and line.fragments and end >= 0:
            gone.add(line.id)
        else:
            lines.append(line)
    counts["deleted"] = len(gone)
    kept = _without(lines, gone)
    counts["lines_deleted"] = len(lines) - len(kept)
    counts["new"] = len(left)
    return kept + [_line_of(span, key) for key, span in left.items()], counts


def _by_id(spans: list[Span], known: set[str]) -> dict[str, Span]:
    """Return spans by their ids, those of the file first; who has none, or another's, gets one."""
    found = {}
    for span in spans:
        if re.fullmatch("T[0-9]+", span.id_):
            found.setdefault(span.id_, span)
    last = max((int(key[1:]) for key in known | found.keys()), default=0)
    for span in spans:
        if found.get(span.id_) is not span:
            last += 1
            found[f"T{last}"] = span
    return found


def _line_of(span: Span, key: str) -> str:
    place = [(span.start_char, span.end_char)]
    return entity_line(key, span.label_, place, cover(span.doc.text, place))


def _without(lines: list[Line], gone: set[str]) -> list[str]:
    """Return the lines that are left when entities are gone, and what speaks of them alone."""
    while True:
        kept = [(line, _pruned(line, gone)) for line in lines]
        lost = {line.id for line, raw in kept if raw is None and line.id}
        if lost <= gone:
            return [raw for _, raw in kept if raw is not None]
        gone = gone | lost


def _pruned(line: Line, gone: set[str]) -> str | None:
    """Return a line without what is gone; None if that leaves nothing to say."""
    if gone.isdisjoint(line.refers):
        return line.raw
    kind, words = line.raw[0], line.raw.split("\t")[1].split(" ")
    head = 1 if kind == "*" else 0
    words = words[:head] + [x for x in words[head:] if x.rpartition(":")[2] not in gone]
    equivalent = kind == "*" and len(words) > 2
    event = kind == "E" and line.refers[0] not in gone
    return f"{line.raw.split(chr(9))[0]}\t{' '.join(words)}" if equivalent or event else None


def _origin(doc: Doc) -> dict[str, Any]:
    return doc.user_data.get("standoff", {})


def _name_of(doc: Doc, number: int, where: str) -> str:
    origin = _origin(doc)
    if not origin:
        return f"doc-{number:05d}"
    name = f"{origin['file']}-{origin['part']}" if origin["part"] else origin["file"]
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{where}: file {name!r}. Expected a name within the folder.")
    return name


def _spans_of(doc: Doc, name: str, where: str) -> list[Span]:
    if name == "ents":
        return list(doc.ents)
    if name not in doc.spans:
        there = ", ".join(doc.spans) or "no other"
        raise ValueError(f"{where}: no spans {name!r}. Expected ents, or of doc.spans: {there}.")
    return list(doc.spans[name])


def _docs(corpus: Path) -> Iterator[Doc]:
    for file in walk_corpus(corpus, ".spacy"):
        try:
            yield from DocBin().from_disk(file).get_docs(Vocab())
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{file}: {str(error)[:80]}. Expected a .spacy.") from error


def _check_folder(output: Path, corpus: Path) -> None:
    """Raise ValueError if the output would replace anything but what was written here."""
    check_output(output, "standoff of this command", [FACTS], [corpus])
    if not (output / FACTS).exists():
        return
    try:
        written = json.loads((output / FACTS).read_text(encoding="utf8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        written = None
    if written != _hash_of(output):
        raise ValueError(f"Output {output} was changed since it was written. Expected another.")


def _hash_of(folder: Path) -> str:
    """Return the SHA-256 of all files of a folder but the one that states it."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file != folder / FACTS:
            name = file.relative_to(folder).as_posix()
            digest.update(f"{name}\0{hash_of(file)}\n".encode())
    return digest.hexdigest()


def main(
    corpus: Annotated[Path, typer.Argument(help=".spacy with entities", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder to write")],
    spans: Annotated[str, typer.Option(help="Group of doc.spans, or ents")] = "entities",
) -> None:
    """Write the entities of a corpus as brat standoff, what was read from standoff as it was."""
    try:
        counts = write_standoff(corpus, output, spans=spans)
    except ValueError as error:
        msg.fail("Nothing was written", str(error), exits=1)
    changes = [f"{counts[name]} {name.replace('_', ' ')}" for name in COUNTS[3:] if counts[name]]
    if changes:
        msg.warn(f"Unlike what was read: {', '.join(changes)}")
    found = f"{counts['entities']} entities, {counts['new']} of them new, "
    msg.good(f"{found}of {counts['documents']} documents: {output}")


if __name__ == "__main__":
    typer.run(main)
