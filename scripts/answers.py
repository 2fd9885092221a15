"""Read what a pipeline has written into a doc, for each task but classifying texts."""

from collections.abc import Callable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from plugins.seq2seq import KEY
from scripts.tagged import spans_of_tags, tagged_text
from scripts.tasks import Task, component_of

Row = dict[str, Any]
DIGITS = 5


def read_entities(nlp: Language, doc: Doc) -> Row:
    """Return entities, tagged_text, tokens and tags.

    entities: Of doc.spans if the component has a key there, so that they may overlap; else those
        of doc.ents.
    """
    component = nlp.get_pipe(component_of(nlp, "entities"))
    key = getattr(component, "spans_key", None)
    if key is None:
        return _row_of(doc, list(doc.ents), [confidence_of(span) for span in doc.ents])
    group = doc.spans[key]
    return _row_of(doc, list(group), group.attrs.get("scores") or [None] * len(group))


def read_tokens(nlp: Language, doc: Doc) -> Row:
    """Return tagged_text, an element for neighbouring words of a tag; tokens; tags."""
    tokens, tags = [token.text for token in doc], [token.tag_ for token in doc]
    text = tagged_text(doc.text, spans_of_tags(doc.text, tokens, tags))
    return {"tagged_text": text, "tokens": tokens, "tags": tags}


def read_pairs(nlp: Language, doc: Doc) -> Row:
    """Return target, the text that was written, and what the tags in it say of the doc's text.

    RETURNS: Where tags are labels, emotions too; where they are entities, what read_entities has.
    """
    component = nlp.get_pipe(component_of(nlp, "pairs"))
    row: Row = {"target": doc._.seq2seq}
    if component.tags == "labels":
        row["emotions"] = [label for label in component.labels if doc.cats[label]]
    elif component.tags == "entities":
        group = doc.spans[KEY]
        row |= _row_of(doc, list(group), [None] * len(group))
    return row


READERS: dict[Task, Callable[[Language, Doc], Row]] = {
    "pairs": read_pairs,
    "tokens": read_tokens,
    "entities": read_entities,
}


def confidence_of(span: Span) -> float | None:
    """Return how sure the component is of an entity, None if it does not say."""
    return span._.confidence if Span.has_extension("confidence") else None


def iob_of(doc: Doc, found: list[Span]) -> list[str]:
    """Return B-label, I-label or O for each token; of spans that overlap, the longest counts."""
    tags = ["O"] * len(doc)
    for span in filter_spans(found):
        for place in range(span.start, span.end):
            tags[place] = f"{'B' if place == span.start else 'I'}-{span.label_}"
    return tags


def _row_of(doc: Doc, found: list[Span], confidences: list[float | None]) -> Row:
    entities = [
        {"start": span.start_char, "end": span.end_char, "label": span.label_, "text": span.text}
        | ({} if confidence is None else {"confidence": round(float(confidence), DIGITS)})
        for span, confidence in zip(found, confidences, strict=True)
    ]
    places = [(span.start_char, span.end_char, span.label_) for span in found]
    return {
        "entities": entities,
        "tagged_text": tagged_text(doc.text, places),
        "tokens": [token.text for token in doc],
        "tags": iob_of(doc, list(doc.ents) or found),
    }
