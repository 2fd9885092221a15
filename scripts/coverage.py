"""Report how many tokens and words of a corpus have a vector, and which do not."""

import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.tokens import DocBin
from spacy.training.corpus import walk_corpus
from spacy.training.initialize import load_vectors_into_model
from spacy.util import is_package
from spacy.vectors import Mode
from tqdm import tqdm
from wasabi import msg

from scripts.files import replacing


def coverage(vectors: str, corpora: list[Path], *, top: int = 10) -> dict[str, Any]:
    """Look up every token of some corpora in a pipeline's vectors.

    vectors: Pipeline folder or package, as for --paths.vectors.
    corpora: .spacy files, or folders of parts; the name of each is its split.
    top (words): How many missing words to name, most frequent first.
    RETURNS: vectors (rows, width, mode, attr) and splits: tokens, words (distinct), how many and
        what share of each have a vector (0 to 1), missing as [word, count].
    RAISES ValueError: No such pipeline or corpus, or a pipeline without vectors.
    """
    names = [path.stem for path in corpora]
    if len(set(names)) < len(names):
        raise ValueError(f"Splits {', '.join(names)}. Expected files of different names.")
    for path in corpora:
        if not path.exists():
            raise ValueError(f"{path}: no such corpus. Run preprocess first.")
    nlp = _load(vectors)
    table = nlp.vocab.vectors
    report: dict[str, Any] = {
        "vectors": {
            "pipeline": vectors,
            "rows": table.shape[0],
            "width": table.shape[1],
            "mode": Mode(table.mode).value,
            "attr": nlp.vocab.strings[table.attr] if table.attr else "ORTH",
        },
        "splits": {},
    }
    for path in corpora:
        report["splits"][path.stem] = _look_up(nlp, path, top)
    return report


def _load(vectors: str) -> spacy.language.Language:
    if not Path(vectors).is_dir() and not is_package(vectors):
        raise ValueError(f"{vectors}: no such pipeline. Expected a folder or an installed package.")
    nlp = spacy.blank("en")  # Only its vocab is used: the corpus is tokenized already.
    try:
        with warnings.catch_warnings():
            # Not of interest: components of another version, and W112, which is an error below.
            warnings.simplefilter("ignore")
            load_vectors_into_model(nlp, vectors)
    except (OSError, ValueError) as error:
        raise ValueError(f"{vectors}: cannot be loaded ({error}).") from error
    if not nlp.vocab.vectors.size:
        raise ValueError(f"{vectors}: a pipeline without vectors. Expected one with vectors.")
    return nlp


def _look_up(nlp: spacy.language.Language, path: Path, top: int) -> dict[str, Any]:
    table = nlp.vocab.vectors
    counts: Counter[int] = Counter()
    for file in walk_corpus(path, ".spacy"):
        docs = DocBin().from_disk(file).get_docs(nlp.vocab)
        for doc in tqdm(docs, desc=path.stem, unit=" docs"):
            counts.update(doc.to_array(table.attr).tolist())
    known = {key for key in counts if table.mode == Mode.floret or key in table.key2row}
    missing = Counter({key: count for key, count in counts.items() if key not in known})
    tokens, with_vector = counts.total(), counts.total() - missing.total()
    if not tokens:
        raise ValueError(f"{path}: no tokens. Expected a corpus with some.")
    return {
        "tokens": tokens,
        "tokens_with_vector": with_vector,
        "token_share": round(with_vector / tokens, 4),
        "words": len(counts),
        "words_with_vector": len(known),
        "word_share": round(len(known) / len(counts), 4),
        "missing": [[nlp.vocab.strings[key], count] for key, count in missing.most_common(top)],
    }


def print_report(report: dict[str, Any]) -> None:
    """Print the report as a table, and the missing words of each split."""
    keys = ("tokens", "tokens_with_vector", "token_share", "words", "words_with_vector")
    rows = [(s, *(f[k] for k in (*keys, "word_share"))) for s, f in report["splits"].items()]
    header = ("split", "tokens", "with vector", "share", "words", "with vector", "share")
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * 6))
    for split, found in report["splits"].items():
        if found["missing"]:
            words = ", ".join(f"{word!r} ({count})" for word, count in found["missing"])
            print(f"{split}, missing most often: {words}")


def main(
    vectors: Annotated[str, typer.Argument(help="Pipeline folder or package with vectors")],
    corpora: Annotated[list[Path], typer.Argument(help="One or more .spacy files")],
    output: Annotated[
        Path | None, typer.Option(help="JSON to write as well", dir_okay=False)
    ] = None,
    top: Annotated[int, typer.Option(help="How many missing words to print", min=0)] = 10,
) -> None:
    """Report how many tokens and words of a corpus have a vector, and which do not."""
    try:
        report = coverage(vectors, corpora, top=top)
    except ValueError as error:
        msg.fail("No coverage", str(error), exits=1)
    print_report(report)
    if output:
        with replacing(output) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf8")
        msg.good(f"Written to {output}")


if __name__ == "__main__":
    typer.run(main)
