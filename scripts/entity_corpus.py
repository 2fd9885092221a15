"""What deciding on and scoring entities have in common: the component and the examples."""

from pathlib import Path

from spacy.language import Language
from spacy.training import Corpus, Example

from plugins.entity_scorers import is_annotated

FACTORIES = ("ner_crf", "ner")


def entity_component(nlp: Language) -> str:
    """Return the name of the component that finds entities.

    RAISES ValueError: There is none, or more than one.
    """
    found = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory in FACTORIES]
    if len(found) != 1:
        raise ValueError(f"Pipeline {nlp.pipe_names}. Expected exactly one of {FACTORIES}.")
    return found[0]


def spans_key_of(nlp: Language) -> str | None:
    """Return the group of doc.spans that the component writes to, None for doc.ents."""
    return getattr(nlp.get_pipe(entity_component(nlp)), "spans_key", None)


def read_examples(nlp: Language, corpus: Path) -> list[Example]:
    """Read a .spacy corpus; texts are tokenized anew unless their blanks are unknown.

    RAISES ValueError: It is missing, empty, or a doc has no entity annotation.
    """
    if not corpus.exists() or ".spacy" not in corpus.name:
        raise ValueError(
            f"{corpus}: no such corpus. Expected a .spacy file; run preprocess-entities first."
        )
    examples = list(Corpus(corpus)(nlp))
    if not examples:
        raise ValueError(f"{corpus}: no docs. Expected at least one.")
    key = spans_key_of(nlp)
    for number, example in enumerate(examples):
        if not is_annotated(example.reference, key):
            where = "doc.ents" if key is None else f"doc.spans[{key!r}]"
            raise ValueError(
                f"{corpus}, doc {number}: nothing in {where}. Expected entities, or none."
            )
    return examples
