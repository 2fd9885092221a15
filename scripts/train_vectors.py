"""Train word vectors on raw text and .spacy corpora, for a pipeline that has them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import floret
import typer
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training.corpus import walk_corpus
from tqdm import tqdm
from wasabi import msg

from plugins.tokenizer import create_tokenizer
from scripts.files import check_output, remove, replacing
from scripts.init_vectors import Mode, init_vectors, read_lines
from scripts.lang import PLACEHOLDERS, blank

HELD_OUT = ("dev", "test")
SUFFIXES = (".spacy", ".jsonl", ".txt", ".tsv")  # the last three also with .gz
LINE = 500  # tokens; floret cuts longer lines at 1,024
MAX_TEXT = 1_000_000  # characters, the most that spaCy takes


def train_vectors(
    sources: list[Path],
    output: Path,
    *,
    lang: str = "en",
    mode: Mode = "default",
    lower: bool = True,
    width: int = 100,
    epochs: int = 5,
    min_count: int = 3,
    buckets: int = 50_000,
    threads: int = 1,
) -> dict[str, Any]:
    """Train skip-gram vectors with character n-grams and write a pipeline for --paths.vectors.

    sources: .spacy corpora of the train split, and raw texts: .txt or .tsv (first column), a text
        per line, .jsonl with "text"; the raw ones also packed as .gz.
    output: Folder of the pipeline; an earlier pipeline is replaced.
    mode: default gives a table of the words seen, floret one of hashed n-grams, for any word.
    lower: Train on lower-cased words, and let So and SO have the vector of so.
    min_count (tokens): Words seen less often get no vector of their own.
    buckets: Rows of the table of n-grams; with floret all that is kept.
    threads: The same vectors come out only with 1.
    RETURNS: rows, width and keys as of init_vectors, and docs and tokens trained on.
    RAISES ValueError: A dev or test split, a missing file, a row without text, too little text.
    SOURCE: Bojanowski et al. 2017, Enriching Word Vectors with Subword Information,
        arXiv 1607.04606.
    """
    _check_sources(sources, output)
    # Raw text needs the tokens that training and prediction will look up.
    nlp = blank(lang)
    nlp.tokenizer = create_tokenizer(PLACEHOLDERS)(nlp)
    work = output.with_name(f".{output.name}.training")
    remove(work)
    work.mkdir(parents=True)
    try:
        text, table = work / "text.txt", work / f"{output.name}.vec"
        facts = _write_text(nlp, sources, text, lower)
        model = _train(
            text,
            sources,
            mode="floret" if mode == "floret" else "fasttext",
            hashCount=2 if mode == "floret" else 1,
            dim=width,
            epoch=epochs,
            minCount=min_count,
            bucket=buckets,
            thread=threads,
        )
        (model.save_floret_vectors if mode == "floret" else model.save_vectors)(str(table))
        facts |= init_vectors(table, output, lang=lang, mode=mode, lower=lower)
    finally:
        remove(work)
    with replacing(output / "vectors.json") as temporary:
        facts |= {"sources": [path.as_posix() for path in sources], "mode": mode, "lower": lower}
        facts |= {"epochs": epochs, "min_count": min_count, "threads": threads}
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf8")
    return facts


def read_docs(nlp: Language, source: Path) -> Iterator[Doc]:
    """Yield the docs of a corpus, or of each row of a raw text.

    RAISES ValueError: A row without text, or longer than spaCy allows; names file and line.
    """
    if source.suffix == ".spacy":
        for file in walk_corpus(source, ".spacy"):
            yield from DocBin().from_disk(file).get_docs(nlp.vocab)
        return
    kind = Path(source.name.removesuffix(".gz")).suffix
    for number, line in read_lines(source):
        text = text_of(line, kind, f"{source}, line {number}")
        if len(text) > MAX_TEXT:
            raise ValueError(f"{source}, line {number}: {len(text)} characters. Expected a post.")
        yield nlp.make_doc(text)


def text_of(line: str, kind: str, where: str) -> str:
    """Return the text of a line of a .txt, .tsv or .jsonl file.

    RAISES ValueError: No JSON, or no object with "text".
    """
    if kind != ".jsonl":
        return (line.split("\t")[0] if kind == ".tsv" else line).strip("\r\n")
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: {error.msg}. Expected JSON.") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError(f'{where}: {line.strip()[:60]}. Expected an object with "text".')
    return row["text"]


def _write_text(nlp: Language, sources: list[Path], target: Path, lower: bool) -> dict[str, int]:
    """Write the tokens of all docs, divided by blanks; floret splits at white space only."""
    docs = tokens = 0
    with target.open("w", encoding="utf8", newline="\n") as file:
        for source in sources:
            for doc in tqdm(read_docs(nlp, source), desc=source.name, unit=" docs"):
                words = [token.lower_ if lower else token.orth_ for token in doc]
                # Of a token with white space inside, floret would make several words.
                found = [word for word in words if len(word.split()) == 1]
                for start in range(0, len(found), LINE):
                    file.write(" ".join(found[start : start + LINE]) + "\n")
                docs, tokens = docs + 1, tokens + len(found)
    return {"docs": docs, "tokens": tokens}


def _train(text: Path, sources: list[Path], **arguments: Any) -> Any:
    try:
        return floret.train_unsupervised(str(text), model="skipgram", minn=3, maxn=5, **arguments)
    except ValueError as error:
        names = ", ".join(map(str, sources))
        raise ValueError(
            f"{names}: {error} Expected some word at least {arguments['minCount']} times."
        ) from error


def _check_sources(sources: list[Path], output: Path) -> None:
    for path in sources:
        if not path.exists():
            raise ValueError(f"{path}: no such file. Run preprocess first, or correct the name.")
        kind = Path(path.name.removesuffix(".gz")).suffix
        if kind not in SUFFIXES or (path.suffix == ".gz" and kind == ".spacy"):
            raise ValueError(f"{path}: Expected a name in {', '.join(SUFFIXES)}, texts also .gz.")
        if path.is_dir() and kind != ".spacy":
            raise ValueError(f"{path}: a folder. Expected a file.")
        if path.name.split(".")[0] in HELD_OUT:
            raise ValueError(
                f"{path}: a split to judge on. Expected train texts only: vectors that have seen "
                "it make its scores too good."
            )
    check_output(output, "pipeline", ["meta.json"], sources)


def main(
    sources: Annotated[list[Path], typer.Argument(help="train.spacy, .jsonl, .txt or .tsv texts")],
    output: Annotated[Path, typer.Argument(help="Folder for the pipeline")],
    lang: Annotated[str, typer.Option(help="Language code of the tokenizer")] = "en",
    mode: Annotated[Mode, typer.Option(help="floret: any word gets a vector")] = "default",
    lower: Annotated[
        bool, typer.Option("--lower/--cased", help="So and SO get the vector of so, or their own")
    ] = True,
    width: Annotated[int, typer.Option(help="Numbers per vector", min=1)] = 100,
    epochs: Annotated[int, typer.Option(help="Passes over the text", min=1)] = 5,
    min_count: Annotated[int, typer.Option(help="Leave out words seen less often", min=1)] = 3,
    buckets: Annotated[int, typer.Option(help="Rows of the table of n-grams", min=1)] = 50_000,
    threads: Annotated[int, typer.Option(help="Reproducible with 1 only", min=1)] = 1,
) -> None:
    """Train word vectors on raw text and the train split, for --paths.vectors."""
    try:
        facts = train_vectors(
            sources,
            output,
            lang=lang,
            mode=mode,
            lower=lower,
            width=width,
            epochs=epochs,
            min_count=min_count,
            buckets=buckets,
            threads=threads,
        )
    except ValueError as error:
        msg.fail("No vectors were trained", str(error), exits=1)
    words = "every word" if facts["keys"] < 0 else f"{facts['keys']} words"
    msg.good(f"Trained on {facts['tokens']} tokens, vectors for {words}: {output}")


if __name__ == "__main__":
    typer.run(main)
