"""Documents with entities from brat standoff: pairs of name.txt and name.ann."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans, logger, registry

COLUMNS = {"T": (3, 3), "A": (2, 2), "M": (2, 2), "R": (2, 2), "E": (2, 2), "*": (2, 2),
           "N": (2, 3), "#": (2, 3)}  # fmt: skip
MOST_PROBLEMS = 10  # of a file that are told at once
Discontinuous = Literal["merge", "refuse", "skip"]
Misaligned = Literal["refuse", "expand", "skip"]
Report = Callable[[str, str], None]


class Line(NamedTuple):
    """A line of an .ann file.

    raw: As it stands there, without its end.
    label: Of a T line, else the type.
    fragments (characters): Starts and ends of a T line's text, in order; of other lines none.
    refers: Ids that the line speaks of.
    """

    number: int
    raw: str
    id: str
    label: str
    fragments: list[tuple[int, int]]
    refers: list[str]

    @property
    def extent(self) -> tuple[int, int]:
        """Return where the first fragment starts and the last one ends."""
        return self.fragments[0][0], self.fragments[-1][1]


class Source(NamedTuple):
    """A text, or a part of one, with its lines.

    ann: File that the lines are from.
    name: Of the pair of files, relative to the folder, without ending.
    start (characters): Of the text in the .txt.
    part: Number of the part, from 1; 0 is the whole text.
    """

    ann: Path
    name: str
    text: str
    lines: list[Line]
    start: int = 0
    part: int = 0


@registry.readers("goemotions.Standoff.v1")
def create_standoff_reader(
    path: Path,
    span_setter: list[str] | tuple[str, ...] = ("ents", "entities"),
    split: str | None = None,
    skip_empty: bool = False,
    discontinuous: Discontinuous = "merge",
    misaligned: Misaligned = "refuse",
    limit: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of brat standoff; the arguments are those of read_standoff.

    What is widened, merged or left out is told to spaCy's logger, at the level of --verbose.

    limit (docs): Read so many; 0 reads all.
    RETURNS: A function of nlp that yields an Example per doc.
    RAISES ValueError: A negative limit, or a file as in read_standoff.
    """
    if limit < 0:
        raise ValueError(f"limit {limit}. Expected 0 or more.")

    def read(nlp: Language) -> Iterator[Example]:
        docs = read_standoff(
            Path(path),
            nlp,
            span_setter=span_setter,
            split=split,
            skip_empty=skip_empty,
            discontinuous=discontinuous,
            misaligned=misaligned,
            report=partial(logger.debug, "%s: %s"),
        )
        for doc in islice(docs, limit or None):
            yield Example(nlp.make_doc(doc.text), doc)

    return read


def read_standoff(
    path: Path,
    nlp: Language,
    *,
    span_setter: list[str] | tuple[str, ...] = ("ents", "entities"),
    split: str | None = None,
    skip_empty: bool = False,
    discontinuous: Discontinuous = "merge",
    misaligned: Misaligned = "refuse",
    report: Report = lambda kind, sentence: None,
) -> Iterator[Doc]:
    """Yield the documents of a folder, searched to its depths, or of one .txt.

    Each doc keeps all lines of its .ann in `user_data["standoff"]`, for scripts.write_standoff. A
    .txt without .ann is not annotated yet: it is left out, and reported. An empty .ann is a doc
    without entities.

    span_setter: Where entities go. "ents" is doc.ents, which takes the longest of overlapping ones;
        any other name is a group of doc.spans, which takes all, in file order, with their ids.
    split: Regular expression, e.g. "\\n\\n"; cuts texts where it matches. A cut within an entity is
        not made, and blank parts are left out.
    skip_empty: Leave out docs, or parts, without entities.
    discontinuous: Of entities in fragments, merge takes what is between them too.
    misaligned: Of entities that are not whole tokens, or have white space at an end, expand takes
        the tokens they touch.
    report: Takes a kind and a sentence, with file and line, for whatever is not as in the file:
        misaligned, discontinuous, cut, reference, unannotated.
    RAISES ValueError: There are no documents, a .ann has no .txt, or a file is malformed; names up
        to ten lines of the file.
    """
    cut = _compile(split)
    for ann, name in _pairs(path, report):
        text = _read(ann.with_suffix(".txt"))
        source = Source(ann, name, text, _parse(ann, text))
        for part in _parts(source, cut, report) if cut else [source]:
            doc = _make_doc(nlp, part, span_setter, discontinuous, misaligned, report)
            if not skip_empty or any(end >= 0 for _, _, end in doc.user_data["standoff"]["lines"]):
                yield doc


def parse_line(number: int, raw: str) -> Line:
    """Take a line of an .ann apart.

    RAISES ValueError: It is malformed; says found and expected.
    """
    kind = raw[:1]
    if kind not in COLUMNS:
        raise ValueError(f"unknown kind of line {raw[:20]!r}. Expected T, A, M, R, E, N, # or *.")
    least, most = COLUMNS[kind]
    columns = raw.split("\t", 2) if most == 3 else raw.rstrip("\t").split("\t")
    if not least <= len(columns) <= most:
        raise ValueError(f"{len(columns)} columns. Expected {least}, with tabs between them.")
    key, (label, *words) = columns[0], columns[1].split(" ")
    if not re.fullmatch(r"\*|[^*][0-9]+", key):
        raise ValueError(
            f"id {key!r}. Expected {'* alone' if kind == '*' else f'{kind} and a number'}."
        )
    if not label:
        raise ValueError(f"{key} has an empty label. Expected a label, then a blank.")
    if kind == "T":
        return Line(number, raw, key, label, _fragments(key, words), [])
    return Line(number, raw, "" if kind == "*" else key, label, [], _references(kind, label, words))


def _fragments(key: str, words: list[str]) -> list[tuple[int, int]]:
    pairs = [piece.split(" ") for piece in " ".join(words).split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            f"{key} at {' '.join(words)!r}. Expected start and end, ; before the next."
        )
    for offset in (offset for pair in pairs for offset in pair):
        if not re.fullmatch(r"[0-9]+", offset):
            raise ValueError(f"{key} has the offset {offset!r}. Expected a whole number.")
    found = [(int(start), int(end)) for start, end in pairs]
    for start, end in found:
        if start >= end:
            raise ValueError(f"{key} at {start} to {end}. Expected the start before the end.")
    for (_, end), (start, _) in pairwise(found):
        if start < end:
            raise ValueError(f"{key}: a fragment starts at {start}, one ends at {end}. "
                             "Expected fragments in order that do not overlap.")  # fmt: skip
    return found


def _references(kind: str, label: str, words: list[str]) -> list[str]:
    if kind == "*":
        least, refers = 2, words
    elif kind in "RE":
        words = [word for word in ([label, *words] if kind == "E" else words) if word]
        least, refers = 2 if kind == "R" else 1, [word.rpartition(":")[2] for word in words]
        if any(":" not in word for word in words):
            raise ValueError(f"arguments {' '.join(words)!r}. Expected role:id for each.")
    else:
        least, refers = 1, words[:1]
    if len(refers) < least or not all(refers):
        raise ValueError(f"{len(list(filter(None, refers)))} ids. Expected {least} or more.")
    return refers


def _parse(ann: Path, text: str) -> list[Line]:
    lines, problems, first = [], [], {}
    for number, raw in enumerate(_read(ann).split("\n"), 1):
        raw = raw.removesuffix("\r")
        if not raw.strip():
            continue
        try:
            line = parse_line(number, raw)
            _check_text(line, text)
            if line.id and first.setdefault(line.id, number) != number:
                raise ValueError(f"id {line.id} again. Expected it in line {first[line.id]} alone.")
            lines.append(line)
        except ValueError as error:
            problems.append((number, str(error)))
            first.setdefault(raw.split("\t")[0], number)  # what refers to it is not wrong too
    for line in lines:
        unknown = [key for key in line.refers if key not in first]
        if unknown:
            found = f"refers to {unknown[0]}, which is not there. Expected an id of this file."
            problems.append((line.number, found))
    _raise(ann, problems)
    return lines


def _check_text(line: Line, text: str) -> None:
    if not line.fragments:
        return
    if line.extent[1] > len(text):
        found = f"{line.id} ends at {line.extent[1]}"
        raise ValueError(f"{found}. Expected at most {len(text)}, the length of the text.")
    said, covered = line.raw.split("\t", 2)[2], cover(text, line.fragments)
    if said.replace("\r", " ") != covered:
        raise ValueError(
            f"{line.id} says {said[:60]!r}. Expected {covered[:60]!r}, as in the text."
        )


def cover(text: str, fragments: list[tuple[int, int]]) -> str:
    """Return the text of fragments as the last column of a T line has it, without line ends."""
    return re.sub(r"[\r\n]", " ", " ".join(text[start:end] for start, end in fragments))


def _parts(source: Source, cut: re.Pattern[str], report: Report) -> Iterator[Source]:
    bounds = [0, *_cuts(source, cut, report), len(source.text)]
    pieces = zip(bounds[::2], bounds[1::2], strict=True)
    pieces = [(start, end) for start, end in pieces if source.text[start:end].strip()]
    lost = {line.number: line for line in source.lines}
    for number, (start, end) in enumerate(pieces, 1):
        lines = _within(source.lines, start, end)
        for line in lines:
            del lost[line.number]
        yield Source(source.ann, source.name, source.text[start:end], lines, start, number)
    for line in lost.values():
        said = "is blank" if line.fragments else "speaks of several parts"
        _telling(report, "reference", f"{source.ann}, line {line.number}")(
            f"{line.id or '*'} {said}, left out"
        )


def _cuts(source: Source, cut: re.Pattern[str], report: Report) -> Iterator[int]:
    """Yield the start and end of each match that no entity goes over."""
    entities = [line for line in source.lines if line.fragments]
    for match in cut.finditer(source.text):
        start, end = match.span()
        if start == end:
            raise ValueError(f"split {cut.pattern!r} matches nothing. Expected some characters.")
        over = [x for x in entities if x.extent[0] < end and x.extent[1] > start]
        if over:
            told = _telling(report, "cut", f"{source.ann}, line {over[0].number}")
            told(f"{over[0].id} goes over the cut at {start} to {end}, which is not made")
        else:
            yield from (start, end)


def _within(lines: list[Line], start: int, end: int) -> list[Line]:
    """Return the lines that are about a part alone, entities at their places in it."""
    entities = {line.id for line in lines if line.fragments and start <= line.extent[0] < end}
    others = [line for line in lines if not line.fragments]
    about, size = entities | {line.id for line in others}, -1
    while size != len(about):  # a note may be about a relation, that about an event, ...
        size = len(about)
        about = entities | {line.id for line in others if about.issuperset(line.refers)}
    found = [x for x in lines if (about.issuperset(x.refers) if x.refers else x.id in about)]
    return [_shifted(line, start) if line.fragments and start else line for line in found]


def _shifted(line: Line, start: int) -> Line:
    moved = [(a - start, b - start) for a, b in line.fragments]
    raw = entity_line(line.id, line.label, moved, line.raw.split("\t", 2)[2])
    return line._replace(fragments=moved, raw=raw)


def entity_line(key: str, label: str, fragments: list[tuple[int, int]], covered: str) -> str:
    """Return a T line, without its end."""
    return f"{key}\t{label} {';'.join(f'{a} {b}' for a, b in fragments)}\t{covered}"


def _make_doc(
    nlp: Language,
    source: Source,
    span_setter: list[str] | tuple[str, ...],
    discontinuous: Discontinuous,
    misaligned: Misaligned,
    report: Report,
) -> Doc:
    doc = nlp.make_doc(source.text)
    if doc.text != source.text:
        raise ValueError(
            f"{source.ann}: the tokenizer changes the text. Expected one that does not."
        )
    spans, kept, problems = [], [], []
    for line in source.lines:
        span, where = None, f"{source.ann}, line {line.number}"
        if line.fragments:
            try:
                if _is_wanted(line, discontinuous, _telling(report, "discontinuous", where)):
                    told = _telling(report, "misaligned", where)
                    span = _place(doc, source.text, line, misaligned, told)
            except ValueError as error:
                problems.append((line.number, str(error)))
        spans += [span] if span else []
        kept.append((line.raw, *((span.start_char, span.end_char) if span else (-1, -1))))
    _raise(source.ann, problems)
    for name in span_setter:
        if name == "ents":
            doc.set_ents(filter_spans(spans), default="outside")
        else:
            doc.spans[name] = spans
    doc.user_data["standoff"] = {"file": source.name, "start": source.start, "part": source.part,
                                 "lines": kept}  # fmt: skip
    return doc


def _telling(report: Report, kind: str, where: str) -> Callable[[str], None]:
    return lambda said: report(kind, f"{where}: {said}")


def _is_wanted(line: Line, discontinuous: Discontinuous, report: Callable[[str], None]) -> bool:
    if len(line.fragments) == 1:
        return True
    found = f"{line.id} is in {len(line.fragments)} fragments"
    if discontinuous == "refuse":
        raise ValueError(f"{found}. Expected one; discontinuous = 'merge' takes all between.")
    start, end = line.extent
    done = "left out" if discontinuous == "skip" else f"taken from {start} to {end}"
    report(f"{found}, {done}")
    return discontinuous == "merge"


def _place(
    doc: Doc, text: str, line: Line, misaligned: Misaligned, report: Callable[[str], None]
) -> Span | None:
    start, end = line.extent
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    span = Span(doc, 0, 0)
    if piece.strip():  # spaCy's entity recogniser refuses white space at the ends
        span = doc.char_span(left, left + len(piece.strip()), line.label, alignment_mode="expand",
                             span_id=line.id)  # fmt: skip
    if len(span) and (span.start_char, span.end_char) == (start, end):
        return span
    found = f"{line.id} {piece[:60]!r} at {start} to {end} is not the tokens {span.text[:60]!r}"
    if misaligned == "refuse":
        ways = "misaligned = 'expand' takes these, 'skip' none"
        raise ValueError(f"{found}. Expected whole ones; {ways}.")
    report(f"{found}, {'taken instead' if misaligned == 'expand' and len(span) else 'left out'}")
    return span if misaligned == "expand" and len(span) else None


def _pairs(path: Path, report: Report) -> list[tuple[Path, str]]:
    """Return the .ann files with the names of their pairs."""
    root, texts, anns = path.parent, [path], [path.with_suffix(".ann")]
    if path.is_dir():
        root, texts, anns = path, _files(path, ".txt"), _files(path, ".ann")
    pairs = [ann for text in texts if (ann := text.with_suffix(".ann")).is_file()]
    if lonely := [ann for ann in anns if not ann.with_suffix(".txt").is_file()]:
        raise ValueError(f"{lonely[0]}: no text. Expected {lonely[0].stem}.txt beside it.")
    if not pairs:
        raise ValueError(f"{path}: no documents. Expected pairs of name.txt and name.ann.")
    for text in texts:
        if text.with_suffix(".ann") not in pairs:
            report("unannotated", f"{text}: no {text.stem}.ann beside it, left out")
    return [(ann, ann.relative_to(root).with_suffix("").as_posix()) for ann in pairs]


def _files(folder: Path, suffix: str) -> list[Path]:
    """Return files to the depths of a folder, but not what is hidden by a dot."""
    found = (path.relative_to(folder) for path in folder.rglob(f"*{suffix}"))
    return [folder / x for x in sorted(found) if not any(y.startswith(".") for y in x.parts)]


def _read(path: Path) -> str:
    """Return a text as it is, with its line ends, but without a byte order mark."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x}"
        raise ValueError(f"{path}, line {line}: {found}. Expected UTF-8.") from error


def _compile(split: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(split) if split is not None else None
    except re.error as error:
        raise ValueError(f"split {split!r}: {error}. Expected a regular expression.") from error


def _raise(path: Path, problems: list[tuple[int, str]]) -> None:
    said = [f"{path}, line {number}: {problem}" for number, problem in sorted(problems)]
    if len(said) > MOST_PROBLEMS:
        said[MOST_PROBLEMS:] = [f"... and {len(said) - MOST_PROBLEMS} more in {path}"]
    if said:
        raise ValueError("\n".join(said))
