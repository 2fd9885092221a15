"""Documents with entities from CoNLL columns and from Prodigy's JSONL."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans, get_words_and_spaces, logger, registry

TAG = re.compile(r"O|-|[BIELSU]-\S.*")  # - is what some files have for O
BadTags = Literal["refuse", "repair"]
Misaligned = Literal["refuse", "expand", "skip"]
Report = Callable[[str, str], None]


@registry.readers("goemotions.Conll.v1")
def create_conll_reader(
    path: Path,
    token_column: int = 0,
    tag_column: int = -1,
    bad_tags: BadTags = "refuse",
    spans_key: str | None = "entities",
    limit: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of CoNLL columns; the arguments are those of read_conll.

    limit (docs): Read so many; 0 reads all.
    RETURNS: A function of nlp that yields an Example per doc, with the tokens of the file.
    RAISES ValueError: A negative limit, or a file as in read_conll.
    """

    def docs(nlp: Language) -> Iterator[Doc]:
        report = partial(logger.debug, "%s: %s")
        return read_conll(
            Path(path),
            nlp,
            token_column=token_column,
            tag_column=tag_column,
            bad_tags=bad_tags,
            spans_key=spans_key,
            report=report,
        )

    return _reader(docs, limit)


@registry.readers("goemotions.Prodigy.v1")
def create_prodigy_reader(
    path: Path,
    use_tokens: bool = False,
    misaligned: Misaligned = "refuse",
    spans_key: str | None = "entities",
    limit: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Create a reader of Prodigy's JSONL; the arguments are those of read_prodigy.

    limit (docs): Read so many; 0 reads all.
    RETURNS: A function of nlp that yields an Example per doc with the pipeline's own tokens.
    RAISES ValueError: A negative limit, or a file as in read_prodigy.
    """

    def docs(nlp: Language) -> Iterator[Doc]:
        return read_prodigy(
            Path(path),
            nlp,
            use_tokens=use_tokens,
            misaligned=misaligned,
            spans_key=spans_key,
            report=partial(logger.debug, "%s: %s"),
        )

    return _reader(docs, limit)


def _reader(
    docs: Callable[[Language], Iterator[Doc]], limit: int
) -> Callable[[Language], Iterator[Example]]:
    if limit < 0:
        raise ValueError(f"limit {limit}. Expected 0 or more.")

    def read(nlp: Language) -> Iterator[Example]:
        for doc in islice(docs(nlp), limit or None):
            yield Example(
                _copy_tokens(doc) if doc.has_unknown_spaces else nlp.make_doc(doc.text), doc
            )

    return read


def _copy_tokens(doc: Doc) -> Doc:
    spaces = [bool(token.whitespace_) for token in doc]
    return Doc(doc.vocab, words=[token.text for token in doc], spaces=spaces)


def read_conll(
    path: Path,
    nlp: Language,
    *,
    token_column: int = 0,
    tag_column: int = -1,
    bad_tags: BadTags = "refuse",
    spans_key: str | None = "entities",
    report: Report = lambda kind, sentence: None,
) -> Iterator[Doc]:
    """Yield a doc per sentence, with the tokens of the file; where blanks were is not known.

    spacy.Corpus.v1 and the project's commands keep such tokens, so that scores are those of the
    file's entities, whatever spaCy's tokenizer makes of the text.

    A token is a line of columns, with tabs or blanks between them; a blank line ends a sentence.
    Lines that begin with "# " and have no tag, and -DOCSTART- lines, are no tokens. Tags may be
    those of IOB, BIO, BIOES or BILUO.

    path: File, also with .gz.
    token_column, tag_column: From 0, or from the last with -1.
    bad_tags: Of an I-, E- or L- that follows no tag of its label, repair begins an entity, which is
        how the oldest IOB files mean it.
    spans_key: Group of doc.spans that gets the entities as doc.ents does; None makes none.
    report: Takes a kind and a sentence, with file and line, per repaired tag.
    RAISES ValueError: There is no token, or a line is malformed; names file and line.
    """
    for rows in _sentences(path, token_column, tag_column):
        spaces = [True] * (len(rows) - 1) + [False]
        doc = Doc(nlp.vocab, words=[word for _, word, _ in rows], spaces=spaces)
        doc.has_unknown_spaces = True
        spans = [Span(doc, *bounds) for bounds in _chunks(rows, bad_tags == "repair", report)]
        yield _with_entities(doc, spans, spans_key)


def _sentences(path: Path, token: int, tag: int) -> Iterator[list[tuple[str, str, str]]]:
    rows, found = [], False
    for where, line in _lines(path):
        cells = line.rstrip().split("\t") if "\t" in line.strip() else line.split()
        if not cells or not line.strip():
            if rows:
                yield rows
            rows = []
            continue
        tagged = -len(cells) <= tag < len(cells) and TAG.fullmatch(cells[tag])
        if cells[0] == "-DOCSTART-" or (line.startswith("# ") and not tagged):
            continue
        for column in (token, tag):
            if not -len(cells) <= column < len(cells) or len(cells) == 1:
                raise ValueError(f"{where}: {len(cells)} columns. Expected one numbered {column}.")
        if not tagged:
            raise ValueError(f"{where}: tag {cells[tag]!r}. Expected O, or B-, I-, E-, L-, S- or U-"
                             " and a label.")  # fmt: skip
        if not cells[token]:
            raise ValueError(f"{where}: an empty token. Expected a word.")
        rows.append((where, cells[token], cells[tag]))
        found = True
    if rows:
        yield rows
    if not found:
        raise ValueError(f"{path}: no tokens. Expected a token and its tag in each line.")


def _chunks(
    rows: list[tuple[str, str, str]], repair: bool, report: Report
) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and label of each entity."""
    start, label = 0, ""
    for place, (where, _, tag) in enumerate([*rows, ("", "", "O")]):
        prefix, _, name = tag.partition("-")
        goes_on = prefix in ("I", "E", "L") and name == label
        if prefix in ("I", "E", "L") and not goes_on:
            if not repair:
                said = f"{label!r}" if label else "no entity"
                raise ValueError(f"{where}: tag {tag!r} after {said}. Expected B-{name} before it;"
                                 " bad_tags = 'repair' begins an entity there.")  # fmt: skip
            report("tag", f"{where}: {tag!r} begins an entity")
        if label and not goes_on:
            yield start, place, label
        if not goes_on:
            start, label = place, name
        if label and prefix in ("E", "L", "S", "U"):
            yield start, place + 1, label
            label = ""


def read_prodigy(
    path: Path,
    nlp: Language,
    *,
    use_tokens: bool = False,
    misaligned: Misaligned = "refuse",
    spans_key: str | None = "entities",
    report: Report = lambda kind, sentence: None,
) -> Iterator[Doc]:
    """Yield a doc per line, which has "text", "spans" of start, end and label, perhaps "answer".

    A line without spans has no entities. An answer that is not accept is left out, and reported.

    path: .jsonl, also with .gz.
    use_tokens: Take the tokens of the file, objects with "text" or strings, not the pipeline's.
    misaligned: Of entities that are not whole tokens, or have white space at an end, expand takes
        the tokens they touch.
    spans_key: Group of doc.spans that gets all entities; doc.ents takes the longest of those that
        overlap. None makes none.
    report: Takes a kind, misaligned or answer, and a sentence, with file and line.
    RAISES ValueError: There is no text, or a line is malformed; names file and line.
    """
    found = False
    for where, line in _lines(path):
        if not line.strip():
            continue
        found, row = True, _object(where, line)
        if row.get("answer", "accept") != "accept":
            report("answer", f"{where}: answer {row['answer']!r}, left out")
            continue
        doc = _from_tokens(where, nlp, row) if use_tokens else nlp.make_doc(row["text"])
        text, entities = row["text"], row.get("spans") or []
        if doc.text != text:
            raise ValueError(
                f"{where}: the tokenizer changes the text. Expected one that does not."
            )
        spans = [_place(doc, text, entity, misaligned, report, where) for entity in entities]
        yield _with_entities(doc, [span for span in spans if span], spans_key)
    if not found:
        raise ValueError(f"{path}: no texts. Expected an object in each line.")


def _object(where: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: no JSON ({error}). Expected an object.") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError(f'{where}: {line[:80]}. Expected {{"text": "…"}}.')
    spans = row.get("spans") or []
    if not isinstance(spans, list):
        raise ValueError(f"{where}: spans {str(spans)[:80]}. Expected a list.")
    for span in spans:
        keys = [type(span.get(k)) for k in ("start", "end", "label")] if type(span) is dict else []
        if keys != [int, int, str] or not span["label"]:
            raise ValueError(f"{where}: span {str(span)[:80]}. Expected start, end and a label.")
        if not 0 <= span["start"] < span["end"] <= len(row["text"]):
            found = f"{span['label']} at {span['start']} to {span['end']}"
            raise ValueError(f"{where}: {found}. Expected a place in 0 to {len(row['text'])}.")
    return row


def _from_tokens(where: str, nlp: Language, row: dict[str, Any]) -> Doc:
    tokens = row.get("tokens")
    if isinstance(tokens, list):
        words = [token.get("text") if isinstance(token, dict) else token for token in tokens]
        if all(isinstance(word, str) and word for word in words):
            try:
                words, spaces = get_words_and_spaces(words, row["text"])
            except ValueError as error:
                found = f"tokens {' '.join(words)[:60]!r}"
                raise ValueError(f"{where}: {found}. Expected those of the text.") from error
            return Doc(nlp.vocab, words=words, spaces=spaces)
    raise ValueError(f"{where}: tokens {str(tokens)[:60]}. Expected a list of words, or of objects "
                     'with "text".')  # fmt: skip


def _place(
    doc: Doc, text: str, entity: dict[str, Any], misaligned: Misaligned, report: Report, where: str
) -> Span | None:
    start, end, label = (entity[key] for key in ("start", "end", "label"))
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    span = Span(doc, 0, 0)
    if piece.strip():  # spaCy's entity recogniser refuses white space at the ends
        span = doc.char_span(left, left + len(piece.strip()), label, alignment_mode="expand")
    if len(span) and (span.start_char, span.end_char) == (start, end):
        return span
    found = (
        f"{where}: {label} {piece[:60]!r} at {start} to {end} is not the tokens {span.text[:60]!r}"
    )
    if misaligned == "refuse":
        ways = "misaligned = 'expand' takes these, 'skip' none"
        raise ValueError(f"{found}. Expected whole ones; {ways}.")
    taken = misaligned == "expand" and len(span) > 0
    report("misaligned", f"{found}, {'taken instead' if taken else 'left out'}")
    return span if taken else None


def _with_entities(doc: Doc, spans: list[Span], spans_key: str | None) -> Doc:
    doc.set_ents(filter_spans(spans), default="outside")
    if spans_key is not None:
        doc.spans[spans_key] = spans
    return doc


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield where each line is, and the line, without its end."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf8")
                yield f"{path}, line {number}", line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {number}: {error.reason}. Expected UTF-8.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}, line {number + 1}: {error}. Expected a whole gzip.") from error
