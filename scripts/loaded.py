"""Pipelines that the page keeps loaded, and what it has read with them."""

from pathlib import Path
from threading import Lock
from typing import Any

import streamlit as st

from scripts.explain import as_html, explain
from scripts.posts import read_labels
from scripts.predictor import Predictor
from scripts.scores import find_pipeline
from scripts.texts import read_texts

SAMPLE = Path("assets/sample")


@st.cache_resource(max_entries=4, show_spinner="Loading the pipeline")
def load(model: str, changed: int) -> tuple[Predictor, Lock]:
    """Load a pipeline once for all visitors; a pipeline serves one of them at a time.

    changed: When its files were; one that was trained again is loaded again.
    RAISES ValueError: No pipeline, it is damaged, or has no thresholds.
    """
    return Predictor(model), Lock()


@st.cache_data(max_entries=100, show_spinner="Reading")
def read(model: str, changed: int, text: str) -> dict[str, Any]:
    """Predict a text."""
    predictor, lock = load(model, changed)
    with lock:
        return next(predictor.predict([{"text": text}]))


@st.cache_data(max_entries=100, show_spinner="Leaving out each word")
def find_words(model: str, changed: int, row: dict[str, Any]) -> str:
    """Return the text of a row as HTML, with the words marked that its decisions rest on."""
    predictor, lock = load(model, changed)
    with lock:
        return "".join(as_html(found) for found in explain(predictor.nlp, row))


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


def time_of(model: str) -> int:
    """Return when a pipeline was written.

    RAISES ValueError: There is none.
    """
    return (find_pipeline(model) / "meta.json").stat().st_mtime_ns
