"""Load a pipeline and a corpus, and predict the scores of all docs in one pass."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.training import Corpus
from spacy.util import get_package_path, is_package
from tqdm import tqdm

import plugins  # noqa: F401  registers what the pipelines are made of
from scripts.gpu import use_gpu

TEXTCAT_FACTORIES = ("textcat_multilabel", "soft_textcat_multilabel")


@dataclass
class Scores:
    """What a pipeline said about a corpus.

    scores ([docs, labels], 0 to 1), truth ([docs, labels], 0 or 1), labels in the model's order,
    seconds of prediction, tokenization included; texts and lengths (tokens) of the docs, without
    those that are empty, which spaCy leaves out.
    """

    scores: NDArray[numpy.float64]
    truth: NDArray[numpy.float64]
    labels: list[str]
    seconds: float
    texts: list[str]
    lengths: list[int]


def find_pipeline(model: Path | str) -> Path:
    """Return the folder of a pipeline, given as a folder or as the name of an installed package.

    RAISES ValueError: There is none.
    """
    path = Path(model)
    if (path / "meta.json").exists():
        return path
    if is_package(str(model)):
        package = get_package_path(str(model))
        found = [meta.parent for meta in package.glob("*/meta.json")]
        if len(found) == 1:
            return found[0]
    raise ValueError(f"{model}: no pipeline here. Expected a folder with meta.json; train first.")


def load_pipeline(model: Path | str, gpu_id: int = -1) -> Language:
    """Load a pipeline, on the GPU if one is named.

    model: Folder, or the name of an installed package.
    RAISES ValueError: There is no pipeline, it is damaged, or there is no such GPU.
    """
    use_gpu(gpu_id)
    path = find_pipeline(model)
    try:
        return spacy.load(path)
    except Exception as error:  # whatever a damaged file makes of some library
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: cannot be loaded. {said[0]}") from error


def labels_of(nlp: Language) -> list[str]:
    """Return the labels of the pipeline's text classifier, in the order of its scores.

    RAISES ValueError: The pipeline has no multilabel text classifier, or more than one.
    """
    found = [
        name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory in TEXTCAT_FACTORIES
    ]
    if len(found) != 1:
        raise ValueError(f"Pipeline {nlp.pipe_names}. Expected exactly one textcat_multilabel.")
    return list(nlp.get_pipe(found[0]).labels)


def stored_thresholds(nlp: Language, model: Path | str) -> tuple[dict[str, float], float]:
    """Return the thresholds of the pipeline's decide component.

    RAISES ValueError: There is none, or it was never tuned.
    """
    if "decide" not in nlp.pipe_names or not nlp.get_pipe("decide").thresholds:
        raise ValueError(f"{model}: no tuned thresholds. Run python -m scripts.decide first.")
    component = nlp.get_pipe("decide")
    return component.thresholds, component.global_threshold


def predict_scores(nlp: Language, corpus: Path) -> Scores:
    """Predict every doc of a .spacy corpus once.

    RAISES ValueError: The corpus is missing, empty, or its labels are not the pipeline's.
    """
    if not corpus.exists() or ".spacy" not in corpus.name:
        raise ValueError(f"{corpus}: no such corpus. Expected a .spacy file; run preprocess first.")
    labels = labels_of(nlp)
    references = [example.reference for example in Corpus(corpus)(nlp)]
    if not references:
        raise ValueError(f"{corpus}: no docs. Expected at least one.")
    for number, doc in enumerate(references):
        if set(doc.cats) != set(labels):
            odd = sorted(set(doc.cats) ^ set(labels))
            raise ValueError(f"{corpus}, doc {number}: labels differ from the pipeline's: {odd}.")
    truth = numpy.array([[doc.cats[label] for label in labels] for doc in references])
    texts = [doc.text for doc in references]
    start = time.perf_counter()
    docs = tqdm(nlp.pipe(texts), total=len(references), desc=f"predict {corpus.stem}", unit="docs")
    scores = numpy.array([[doc.cats[label] for label in labels] for doc in docs])
    seconds = time.perf_counter() - start
    return Scores(scores, truth, labels, seconds, texts, [len(doc) for doc in references])
