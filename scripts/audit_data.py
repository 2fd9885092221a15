"""Look for what is wrong in a corpus: duplicates, leaks, conflicts, likely label errors."""

import json
import platform
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy
import srsly
import typer
from spacy.language import Language
from tqdm import tqdm
from wasabi import msg

from scripts.corpus import Post, read_splits
from scripts.files import hash_of, replacing
from scripts.label_errors import cross_validated_scores, find_label_errors, truth_of
from scripts.same_texts import same_texts
from scripts.scores import labels_of, load_pipeline
from scripts.tfidf import Floats, Tfidf

PACKAGES = ("cleanlab", "numpy", "scikit-learn", "scipy", "spacy", "torch")


def audit_data(
    corpus: Path,
    output: Path,
    findings: Path,
    *,
    model: Path | None = None,
    folds: int = 5,
    near: float = 0.9,
    seed: int = 0,
    gpu_id: int = -1,
) -> dict[str, Any]:
    """Write how much is suspect in a corpus, and what.

    corpus: Folder with train.spacy, dev.spacy, test.spacy or some of them.
    output: JSON of counts, without texts.
    findings: JSONL of the posts, which git should not keep.
    model: Pipeline that was trained on train; its scores show likely label errors of dev and test,
        otherwise those of TF-IDF with logistic regression.
    folds: Of the cross-validation that shows likely label errors of train, or of the first split
        there is; 0 leaves TF-IDF out.
    near (0 to 1): Least cosine of near-duplicates; 0 leaves them out.
    seed: Of the cross-validation.
    gpu_id: For the model, -1 for the CPU.
    RETURNS: The counts.
    RAISES ValueError: There is no such corpus, its labels differ, a setting cannot be.
    """
    _check_arguments(output, findings, model, folds, near, gpu_id)
    posts, labels = read_splits(corpus)
    nlp = _pipeline(model, corpus, posts, labels, gpu_id)
    found, counts = same_texts(posts, near)
    errors: dict[str, Any] = {}
    for split, scores_of, scores in _judged(posts, labels, corpus, nlp, model, folds, seed):
        rows, summary = find_label_errors(posts[split], labels, scores)
        found += rows
        errors[split] = {"scores_of": scores_of, **summary}
    settings = {"folds": folds, "near": near, "seed": seed, "gpu_id": gpu_id}
    result = {**counts, "label_errors": errors, "conditions": _conditions(corpus, posts, settings)}
    with replacing(findings) as rows_file, replacing(output) as counts_file:
        srsly.write_jsonl(rows_file, found)
        counts_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    return result


def _judged(
    posts: dict[str, list[Post]],
    labels: list[str],
    corpus: Path,
    nlp: Language | None,
    model: Path | None,
    folds: int,
    seed: int,
) -> Iterator[tuple[str, str, Floats]]:
    """Yield splits and scores of classifiers that were not trained on them."""
    first, *others = posts
    if folds and (first == "train" or nlp is None):
        name = f"TF-IDF, cross-validation of {folds} folds"
        yield first, name, cross_validated_scores(posts[first], labels, folds=folds, seed=seed)
    if nlp is not None:
        for split in [name for name in posts if name != "train"]:
            texts = tqdm([post.text for post in posts[split]], desc=split, unit="posts")
            scores = [[doc.cats[label] for label in labels] for doc in nlp.pipe(texts)]
            yield split, Path(model).as_posix(), numpy.array(scores)
    elif folds and others:
        texts = [post.text for post in posts[first]]
        trained = Tfidf(seed=seed).fit(texts, truth_of(posts[first], labels), f"all of {first}")
        for split in others:
            scores = trained.predict([post.text for post in posts[split]])
            yield split, f"TF-IDF, trained on {first}", scores


def _check_arguments(
    output: Path, findings: Path, model: Path | None, folds: int, near: float, gpu_id: int
) -> None:
    for path, suffix in ((output, ".json"), (findings, ".jsonl")):
        if path.suffix != suffix:  # which no corpus and no model has
            raise ValueError(f"Output {path}. Expected a name that ends in {suffix}.")
    if folds < 0 or folds == 1:
        raise ValueError(f"{folds} folds. Expected 0 or at least 2.")
    if not 0 <= near <= 1:
        raise ValueError(f"Cosine {near} of near-duplicates. Expected 0 to 1.")
    if gpu_id >= 0 and model is None:
        raise ValueError(f"GPU {gpu_id} without a pipeline to run on it. Expected a pipeline too.")


def _pipeline(
    model: Path | None, corpus: Path, posts: dict[str, list[Post]], labels: list[str], gpu_id: int
) -> Language | None:
    """Return the pipeline, if one is named, before anything that takes long."""
    if model is not None and list(posts) == ["train"]:
        raise ValueError(f"{corpus}: no dev.spacy or test.spacy. Expected one to use {model} on.")
    if model is None:
        return None
    nlp = load_pipeline(model, gpu_id)
    if odd := sorted(set(labels_of(nlp)) ^ set(labels)):
        raise ValueError(f"{corpus}: labels differ from those of {model}: {', '.join(odd)}.")
    return nlp


def _conditions(
    corpus: Path, posts: dict[str, list[Post]], settings: dict[str, Any]
) -> dict[str, Any]:
    return {
        "command": shlex.join(["python", "-m", "scripts.audit_data", *sys.argv[1:]]),
        "corpus_sha256": {split: hash_of(corpus / f"{split}.spacy") for split in posts},
        "normalised": "words in small letters, without punctuation, symbols and more than a blank",
        **settings,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def print_tables(result: dict[str, Any]) -> None:
    """Print the counts, and of each split the labels with most likely errors."""
    rows = [
        (f"{kind} {where}", count["exact"], count["normalised"])
        for kind, key in (("again in", "duplicates"), ("", "leaks"))
        for where, count in result[key].items()
    ]
    header = ("the same text", "exact", "normalised")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r"))
    for where, pairs in result.get("near_duplicates", {}).items():
        msg.text(f"pairs of near-duplicates, {where}: {pairs}")
    conflicts = result["conflicts"]
    msg.text(f"the same text with other labels: {conflicts['posts']}")
    for split, errors in result["label_errors"].items():
        msg.text(f"{split}: {errors['suspect']} of {errors['posts']} posts with likely wrong "
                 f"labels, by {errors['scores_of']}")  # fmt: skip
        labels = errors["labels"].items()
        worst = sorted(
            labels, key=lambda item: -item[1]["likely_wrong"] - item[1]["likely_missing"]
        )
        rows = [(label, *count.values()) for label, count in worst[:10]]
        header = ("label", "given", "likely wrong", "likely missing")
        msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))


def main(
    corpus: Annotated[Path, typer.Argument(help="Folder with .spacy files of preprocess")],
    output: Annotated[
        Path | None, typer.Option(help="JSON of counts. Default: metrics/<data>/audit.json")
    ] = None,
    findings: Annotated[
        Path | None, typer.Option(help="JSONL of posts. Default: training/<data>/audit.jsonl")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Pipeline whose scores judge dev and test, not TF-IDF")
    ] = None,
    folds: Annotated[
        int, typer.Option(help="Of the cross-validation on train, 0 for none", min=0)
    ] = 5,
    near: Annotated[
        float, typer.Option(help="Least cosine of near-duplicates, 0 for none", min=0, max=1)
    ] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the cross-validation", min=0)] = 0,
    gpu_id: Annotated[int, typer.Option(help="GPU for the model, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Look for duplicates, leaks, conflicting and likely wrong labels; changes nothing."""
    data = corpus.absolute().name
    output = output or Path("metrics") / data / "audit.json"
    findings = findings or Path("training") / data / "audit.jsonl"
    settings = {"folds": folds, "near": near, "seed": seed, "gpu_id": gpu_id}
    try:
        result = audit_data(corpus, output, findings, model=model, **settings)
    except ValueError as error:
        msg.fail("Cannot audit", str(error), exits=1)
    print_tables(result)
    msg.good(f"Counts in {output}, posts in {findings}")


if __name__ == "__main__":
    typer.run(main)
