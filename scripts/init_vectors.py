"""Convert word vectors in word2vec, fastText or floret text format to a pipeline that has them."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import numpy
import typer
from spacy.training.initialize import convert_vectors
from spacy.vectors import Vectors
from spacy.vocab import Vocab
from tqdm import tqdm
from wasabi import msg

from scripts.files import check_output, replacing
from scripts.lang import blank

Mode = Literal["default", "floret"]
SUFFIXES = (".vec", ".txt", ".floret")  # also with .gz or .zip after them, or .zip alone
MAX_LINE = 1 << 20  # bytes; a vector of 300 numbers takes about 3,000
MAX_RATIO = 100  # text of vectors packs to a half or a third


def init_vectors(
    source: Path,
    output: Path,
    *,
    lang: str = "en",
    mode: Mode = "default",
    lower: bool = False,
    prune: int = -1,
    truncate: int = 0,
    name: str | None = None,
) -> dict[str, Any]:
    """Check a file of vectors and write a pipeline for --paths.vectors; all of it or nothing.

    source: A word and its numbers per line, after a header "rows width" or none; or floret's own
        table. May be packed: .gz, or .zip of one file.
    output: Folder of the pipeline; an earlier pipeline is replaced.
    lower: The words are lower-cased, and So and SO get the vector of so.
    prune (vectors): Keep so many, and let the other words share the nearest; -1 keeps all.
    truncate (vectors): Read so many from the top; 0 reads all.
    name: Of the vectors, for the pipeline's meta.json.
    RETURNS: rows, width and keys of the table; keys is -1 if every word has a vector.
    RAISES ValueError: Bad input; names file, line, found, expected.
    """
    _check_arguments(source, output, mode, prune, truncate)
    check_vectors(source, mode, truncate)
    nlp = blank(lang)
    try:
        convert_vectors(
            nlp,
            source,
            truncate=truncate,
            prune=-1,  # by _prune, since this would take the first rows for the frequent words
            name=name or output.name,
            mode=mode,
            # Only a floret table keeps its attribute when saved; others look up ORTH again.
            attr="LOWER" if lower and mode == "floret" else "ORTH",
        )
    except ValueError as error:
        raise ValueError(_find_bad_number(source) or f"{source}: {error}") from error
    vectors = nlp.vocab.vectors
    bad = numpy.flatnonzero(~numpy.isfinite(vectors.data).all(axis=1))
    if len(bad):
        raise ValueError(f"{source}: {len(bad)} vectors with nan or inf. Expected finite numbers.")
    if prune > 0:
        _prune(nlp.vocab, prune)
        vectors = nlp.vocab.vectors
    if lower and mode == "default":
        _add_cases(vectors)
    with replacing(output) as temporary:
        nlp.to_disk(temporary)
    return {"rows": vectors.shape[0], "width": vectors.shape[1], "keys": vectors.n_keys}


def check_vectors(source: Path, mode: Mode = "default", truncate: int = 0) -> None:
    """Read a file of vectors once, in constant memory, and compare each line with the first.

    truncate (vectors): Stop after so many; 0 reads all.
    RAISES ValueError: A line that is no vector, or more or fewer lines than the header says.
    """
    rows, width, count = None, 0, 0
    for number, line in tqdm(read_lines(source), desc=f"check {source.name}", unit=" lines"):
        if number == 1:
            rows, width = _read_header(source, line, mode)
            if rows is not None:
                continue
        parts = line.rstrip().split(" ")
        # Some words contain blanks; what looks like a number is no part of a word.
        inside = parts[1 : len(parts) - width]
        if len(parts) <= width or (inside and all(map(_is_number, inside))):
            raise ValueError(
                f"{source}, line {number}: {len(parts) - 1} numbers after the word. "
                f"Expected {width}, as line 1 says."
            )
        count += 1
        if count == truncate:
            return
        if rows is not None and count > rows:
            raise ValueError(f"{source}, line {number}: one more than the header's {rows} vectors.")
    if not count or (rows is not None and count < rows and not truncate):
        raise ValueError(f"{source}: {count} vectors. Expected {rows or 'at least 1'}.")


def read_lines(source: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of every line of a plain or packed file.

    RAISES ValueError: The file is damaged, no text, or not what its name says.
    """
    number = 0
    try:
        with _open(source) as file:
            while raw := file.readline(MAX_LINE):
                number += 1
                if len(raw) == MAX_LINE:
                    raise ValueError(
                        f"{source}, line {number}: over {MAX_LINE} bytes. Expected shorter lines."
                    )
                yield number, raw.decode("utf8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}, line {number}: not UTF-8 at byte {error.start}.") from error
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{source}, after line {number}: damaged or cut off ({error}).") from error


@contextmanager
def _open(source: Path) -> Iterator[IO[bytes]]:
    if source.suffix == ".zip":
        with (
            zipfile.ZipFile(source) as archive,
            archive.open(_only_member(source, archive)) as file,
        ):
            yield file
    else:
        with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as file:
            yield file


def _only_member(source: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of an archive; spaCy reads the first, whatever it is."""
    members = archive.infolist()
    if len(members) != 1 or members[0].is_dir():
        names = ", ".join(member.filename for member in members[:5]) or "nothing"
        raise ValueError(f"{source} holds {names}. Expected one file of vectors.")
    member = members[0]
    path = Path(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{source} holds {member.filename!r}. Expected a plain file name.")
    if member.flag_bits & 1:
        raise ValueError(f"{source} is encrypted. Expected one without a password.")
    if member.file_size > MAX_RATIO * max(member.compress_size, 1):
        raise ValueError(
            f"{source} unpacks to {member.file_size / max(member.compress_size, 1):.0f} times its "
            f"size. Expected at most {MAX_RATIO} times: no vectors look like that."
        )
    return member


def _read_header(source: Path, line: str, mode: Mode) -> tuple[int | None, int]:
    """Return rows (None without a header) and width, as spaCy will read the first line."""
    parts = line.split()
    try:
        rows, width = (int(part) for part in parts[:2])
    except ValueError:
        rows, width = None, len(parts) - 1
    said = f"{source}, line 1: {line.strip()[:60]!r}. Expected "
    if mode == "floret" and (rows is None or len(parts) != 8):
        raise ValueError(said + "floret's header of 8 fields; without --mode floret, words.")
    if mode == "default" and rows is not None and len(parts) != 2:
        hint = "; a floret table wants --mode floret" if len(parts) == 8 else ""
        raise ValueError(f"{said}a header of 2 numbers, rows and width{hint}.")
    if width < 1 or (rows is not None and rows < 1):
        raise ValueError(said + "rows and width, or a word and its numbers.")
    return rows, width


def _prune(vocab: Vocab, size: int) -> None:
    """Keep the vectors of the first words of the file, which are the frequent ones."""
    # spaCy ranks words by probability, equals by row, and removing repeated rows shuffles the rest.
    ranks = {word: -float(rank) for rank, word in enumerate(vocab.strings)}
    vocab.lookups.add_table("lexeme_prob", ranks)
    vocab.prune_vectors(size)
    vocab.lookups.remove_table("lexeme_prob")


def _add_cases(vectors: Vectors) -> None:
    """Let the capitalised forms of words share their vectors, unless they have their own."""
    for key, row in list(vectors.key2row.items()):
        word = vectors.strings[key]
        for form in (word.capitalize(), word.upper()):
            if vectors.strings[form] not in vectors.key2row:
                vectors.add(form, row=row)


def _find_bad_number(source: Path) -> str | None:
    """Return which line holds what is no number; None if that was not the problem."""
    width = 0
    for number, line in read_lines(source):
        if number == 1:
            mode: Mode = "floret" if len(line.split()) == 8 else "default"
            rows, width = _read_header(source, line, mode)
            if rows is not None:
                continue
        for part in line.rstrip().rsplit(" ", width)[1:]:
            if not _is_number(part):
                return f"{source}, line {number}: {part[:40]!r}. Expected a number."
    return None


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def _check_arguments(source: Path, output: Path, mode: Mode, prune: int, truncate: int) -> None:
    if not source.is_file():
        raise ValueError(f"{source}: no such file. Expected vectors in text format.")
    plain = source.name.removesuffix(".gz").removesuffix(".zip")
    if not plain.endswith(SUFFIXES) and source.suffix != ".zip":
        raise ValueError(
            f"{source}: Expected a name in {', '.join(SUFFIXES)}, also packed as .gz or .zip; "
            "a binary .bin holds no text."
        )
    check_output(output, "pipeline", ["meta.json"], [source])
    if mode == "floret" and (prune >= 0 or truncate):
        raise ValueError("--prune and --truncate do not apply to --mode floret, a table of hashes.")
    if prune == 0 or prune < -1 or truncate < 0:
        raise ValueError(f"prune {prune}, truncate {truncate}. Expected counts of vectors.")


def main(
    source: Annotated[Path, typer.Argument(help="Vectors: .vec or .txt, plain, .gz or .zip")],
    output: Annotated[Path, typer.Argument(help="Folder for the pipeline")],
    lang: Annotated[str, typer.Option(help="Language code")] = "en",
    mode: Annotated[Mode, typer.Option(help="floret: a table of hashes, not of words")] = "default",
    lower: Annotated[
        bool, typer.Option("--lower", help="Words are lower-cased: So and SO get the vector of so")
    ] = False,
    prune: Annotated[int, typer.Option(help="Keep so many; others share the nearest")] = -1,
    truncate: Annotated[int, typer.Option(help="Read so many from the top; 0 is all")] = 0,
    name: Annotated[
        str | None, typer.Option(help="Name of the vectors  [default: output's]")
    ] = None,
) -> None:
    """Convert word vectors to a pipeline for --paths.vectors."""
    try:
        facts = init_vectors(
            source,
            output,
            lang=lang,
            mode=mode,
            lower=lower,
            prune=prune,
            truncate=truncate,
            name=name,
        )
    except ValueError as error:
        msg.fail("No vectors were converted", str(error), exits=1)
    words = "every word" if facts["keys"] < 0 else f"{facts['keys']} words"
    msg.good(f"{facts['rows']} vectors of width {facts['width']} for {words}: {output}")


if __name__ == "__main__":
    typer.run(main)
