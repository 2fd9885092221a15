"""What deciding on and scoring words have in common: the component, the examples, the scores."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.util import minibatch
from thinc.api import to_numpy
from tqdm import tqdm

FACTORY = "token_classifier"


def token_component(nlp: Language) -> str:
    """Return the name of the component that gives words their labels.

    RAISES ValueError: There is none, or more than one.
    """
    found = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == FACTORY]
    if len(found) != 1:
        raise ValueError(f"Pipeline {nlp.pipe_names}. Expected exactly one {FACTORY}.")
    return found[0]


def read_examples(nlp: Language, corpus: Path) -> list[Example]:
    """Read a .spacy corpus whose words have tags.

    RAISES ValueError: It is missing, empty, or a doc has no tag, or one that the pipeline lacks.
    """
    if not corpus.exists() or ".spacy" not in corpus.name:
        raise ValueError(
            f"{corpus}: no such corpus. Expected a .spacy file; run preprocess-tokens first."
        )
    examples = list(Corpus(corpus)(nlp))
    if not examples:
        raise ValueError(f"{corpus}: no docs. Expected at least one.")
    labels = set(nlp.get_pipe(token_component(nlp)).labels)
    for number, example in enumerate(examples):
        tags = {token.tag_ for token in example.reference} - {""}
        if not tags:
            raise ValueError(f"{corpus}, doc {number}: no tag. Expected one of each word.")
        if unknown := sorted(tags - labels):
            expected = ", ".join(sorted(labels))
            raise ValueError(f"{corpus}, doc {number}: tag {unknown[0]!r}. Expected {expected}.")
    return examples


def probabilities_of(
    nlp: Language, examples: list[Example], desc: str
) -> Iterator[NDArray[numpy.float32]]:
    """Yield the probabilities [words, labels] of each example, in batches."""
    name = token_component(nlp)
    component, before = nlp.get_pipe(name), nlp.pipe_names[: nlp.pipe_names.index(name)]
    with tqdm(total=len(examples), desc=desc, unit=" docs") as bar:
        for batch in minibatch(examples, nlp.batch_size):
            docs = [example.predicted for example in batch]
            for pipe in before:
                docs = list(nlp.get_pipe(pipe).pipe(docs))
            yield from map(to_numpy, component.probabilities(docs))
            bar.update(len(batch))


def numbers_of(example: Example, labels: Iterable[str]) -> NDArray[numpy.int64]:
    """Return the number of the true label of each word [words], -1 where there is none."""
    number: dict[Any, int] = {label: n for n, label in enumerate(labels)}
    tags = example.get_aligned("TAG", as_string=True)
    return numpy.array([number.get(tag, -1) for tag in tags], dtype="int64")
