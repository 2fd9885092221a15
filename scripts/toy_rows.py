"""Invent rows of a toy task for each kind: a few templates, so that a minute teaches them."""

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

from scripts.tasks import Task

Row = dict[str, Any]
SIZES = {"train": 180, "dev": 45, "test": 45}
SAID = {  # by label
    "delivery": ["came late", "arrived early", "was left outside", "got lost on its way"],
    "price": ["was too dear", "was a bargain", "cost more than before", "is worth its money"],
    "quality": ["broke at once", "is well made", "fell apart", "still looks like new"],
}
GOODS = ["cup", "lamp", "chair", "rug", "clock", "kettle", "plate", "mirror"]
PLACES = ["Ashby", "Bexhill", "Corwen", "Derry", "Elgin", "Port Mere", "Upper Yale", "New Inver"]
NAMES = ["Ada", "Ben", "Cleo", "Dora", "Emil", "Fay"]
FAMILIES = ["Kent", "Moss", "Reed", "Stone", "Vale"]
STREETS = ["Mill Lane", "High Street", "Elm Road", "Dock Street", "Bell Lane"]


def make_rows(task: Task) -> dict[str, list[Row]]:
    """Return the rows of each split, the same ones each time; no two have the same text."""
    rows = list(MAKERS[task]())
    random.Random(0).shuffle(rows)
    splits = {}
    for split, size in SIZES.items():
        splits[split], rows = rows[:size], rows[size:]
    return splits


def labels_of(splits: dict[str, list[Row]]) -> list[str]:
    """Return the labels of the rows of textcat, sorted."""
    return sorted({label for rows in splits.values() for row in rows for label in row["labels"]})


def _texts_with_labels() -> Iterator[Row]:
    for goods, ((one, first), (other, second)) in product(
        GOODS, product([(label, end) for label, ends in SAID.items() for end in ends], repeat=2)
    ):
        if one == other and first == second:
            yield {"text": f"The {goods} {first}.", "labels": [one]}
        elif one < other:
            yield {"text": f"The {goods} {first} and {second}.", "labels": [one, other]}


def _texts_with_entities() -> Iterator[Row]:
    frames = ["Send the {} to {}.", "Is the {} from {} here?", "My {} never left {}."]
    for frame, goods, place in product(frames, GOODS, PLACES):
        for colour in ("", "red ", "old "):
            text = frame.format(colour + goods, place)
            found = {"GOODS": colour + goods, "PLACE": place}
            spans = [
                {"start": text.index(piece), "end": text.index(piece) + len(piece), "label": label}
                for label, piece in found.items()
            ]
            yield {"text": text, "spans": spans}


def _words_with_tags() -> Iterator[Row]:
    for number, (name, family, street, place) in enumerate(
        product(NAMES, FAMILIES, STREETS, PLACES)
    ):
        fields = {"name": f"{name} {family},", "street": f"{street}", "house": f"{number % 89},"}
        fields["place"] = place
        if number % 2:
            fields = {"house": f"{number % 89}", "street": f"{street},", **fields}
        words = [(word, label) for label, piece in fields.items() for word in piece.split()]
        yield {"tokens": [word for word, _ in words], "labels": [label for _, label in words]}


def _pairs_of_texts() -> Iterator[Row]:
    frames = ["Please send {n} {goods}s to {place}", "{place} wants {n} {goods}s"]
    for frame, goods, place, n in product(frames, GOODS, PLACES, range(2, 8)):
        source = frame.format(n=n, goods=goods, place=place)
        yield {"source": source, "target": f"{place} : {n} {goods}s"}


MAKERS = {
    "textcat": _texts_with_labels,
    "entities": _texts_with_entities,
    "tokens": _words_with_tags,
    "pairs": _pairs_of_texts,
}
