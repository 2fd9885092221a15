"""What the page has read, with the pipelines that its process keeps loaded."""

from pathlib import Path
from typing import Any

import streamlit as st
from spacy.util import load_config

from scripts.explain import as_html
from scripts.find_model import find_model
from scripts.kept import Changed, changed_of, keep
from scripts.posts import read_labels
from scripts.tasks import Task, task_of
from scripts.texts import read_texts

SAMPLE = Path("assets/sample")


@st.cache_data(max_entries=100, show_spinner="Reading")
def read(model: str, changed: Changed, text: str) -> dict[str, Any]:
    """Predict a text.

    changed: When the pipeline was; one that was trained again reads again.
    RAISES ValueError: No pipeline, it is damaged, or has no thresholds.
    """
    return next(keep(model).predict([{"text": text}]))


@st.cache_data(max_entries=100, show_spinner="Leaving out each word")
def find_words(model: str, changed: Changed, row: dict[str, Any]) -> str:
    """Return the text of a row as HTML, with the words marked that its decisions rest on."""
    return "".join(as_html(found) for found in keep(model).explain(row))


@st.cache_data(max_entries=1000, show_spinner=False)
def find_task(model: str, changed: Changed) -> Task:
    """Return what a pipeline is for, without loading it.

    RAISES ValueError: It is damaged, or for nothing that we know.
    """
    path = find_model(model) / "config.cfg"
    try:
        return task_of(load_config(path))
    except (OSError, KeyError) as error:
        raise ValueError(f"{path}: cannot be read. Expected that of a pipeline.") from error


@st.cache_data
def read_sample() -> dict[str, tuple[str, list[str]]]:
    """Return split and true labels of the sample's posts by their texts; empty without a sample."""
    found: dict[str, tuple[str, list[str]]] = {}
    for path in (SAMPLE / "test.tsv", SAMPLE / "dev.tsv"):
        labels = read_labels(SAMPLE) if path.exists() else []
        for row in read_texts(path) if labels else ():
            numbers = row["labels"].split(",")
            found[row["text"]] = (path.stem, [labels[int(number)] for number in numbers])
    return found


def time_of(model: str) -> Changed:
    """Return when a pipeline was written.

    RAISES ValueError: There is none.
    """
    return changed_of(find_model(model))
