"""What a doc tells each task: which annotation it is, its labels, and how it is stored."""

from collections.abc import Iterable

from spacy.tokens import Doc

from scripts.entity_report import KEY
from scripts.tasks import Task

WHERE: dict[Task, str] = {
    "textcat": "doc.cats",
    "pairs": "doc._.seq2seq",
    "tokens": "token.tag_",
    "entities": f"doc.ents or doc.spans[{KEY!r}]",
}
ATTRS: dict[Task, list[str]] = {
    "textcat": ["ORTH"],
    "pairs": ["ORTH", "ENT_IOB", "ENT_TYPE"],
    "tokens": ["ORTH", "TAG"],
    "entities": ["ORTH", "ENT_IOB", "ENT_TYPE", "ENT_ID"],
}


def is_annotated(doc: Doc, task: Task) -> bool:
    """Say whether a doc teaches the task anything, be it that there is nothing to find."""
    if task == "textcat":
        return bool(doc.cats)
    if task == "pairs":
        return Doc.has_extension("seq2seq") and doc._.seq2seq is not None
    if task == "tokens":
        return doc.has_annotation("TAG")
    return doc.has_annotation("ENT_IOB") or KEY in doc.spans


def labels_of(doc: Doc, task: Task) -> list[str]:
    """Return the labels in a doc, one as often as it is there; texts to write have none."""
    if task == "textcat":
        return [label for label, score in doc.cats.items() if score >= 0.5]
    if task == "tokens":
        return [token.tag_ for token in doc if token.tag_]
    if task == "entities":
        return [span.label_ for span in doc.spans.get(KEY, doc.ents)]
    return []


def find_task(docs: Iterable[Doc]) -> Task:
    """Return the task that the first doc with any annotation is for.

    RAISES ValueError: There is no such doc, or it is for more than one.
    """
    for doc in docs:
        found = [task for task in WHERE if is_annotated(doc, task)]
        if len(found) > 1:
            what = " and ".join(WHERE[task] for task in found)
            raise ValueError(f"{what} in {doc.text[:40]!r}. Expected one of them, or --kind.")
        if found:
            return found[0]
    raise ValueError(f"No annotation. Expected {', '.join(WHERE.values())}.")


def check_annotated(doc: Doc, task: Task, labels: list[str] | None) -> None:
    """Check that a doc has what the task learns from.

    labels: Of textcat, those that doc.cats of the first doc has; None of the first doc.
    RAISES ValueError: It has not.
    """
    if task == "tokens":
        return  # the words of a text may all teach nothing
    if not is_annotated(doc, task):
        raise ValueError(f"nothing in {WHERE[task]}. Expected it in every doc.")
    if task == "textcat" and labels is not None and list(doc.cats) != labels:
        found = f"labels {list(doc.cats)}"
        raise ValueError(f"{found}. Expected {labels}, as in the first doc of train.")
