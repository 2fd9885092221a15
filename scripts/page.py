"""The page that scripts.visualize serves; Streamlit runs it again after every change on it."""

import html
import sys
from pathlib import Path
from threading import Lock
from typing import Any

import streamlit as st

from scripts.explain import as_html
from scripts.facts import facts_of, names_of
from scripts.posts import read_labels
from scripts.predictor import Predictor
from scripts.reading import chart, chips, differences, highest, paragraphs
from scripts.scores import find_pipeline
from scripts.texts import read_texts

SAMPLE = Path("assets/sample")
MOST = 5000  # characters; each word is left out once, which takes a prediction
SHOWN = 8  # scores before one asks for all
ALONE = "no other"


@st.cache_resource(max_entries=4, show_spinner="Loading the pipeline")
def load(model: str, changed: int) -> tuple[Predictor, Lock]:
    """Load a pipeline once for all visitors; a pipeline serves one of them at a time.

    changed: When its files were; one that was trained again is loaded again.
    RAISES ValueError: No pipeline, it is damaged, or has no thresholds.
    """
    return Predictor(model), Lock()


@st.cache_data(max_entries=100, show_spinner="Reading")
def read(model: str, changed: int, text: str) -> dict[str, Any]:
    """Predict a text, with the words that the decisions rest on."""
    predictor, lock = load(model, changed)
    with lock:
        return next(predictor.predict([{"text": text}], with_words=True))


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


def choose(names: dict[str, str]) -> list[str]:
    """Return the names of one pipeline or of two that are compared."""
    left, right = st.columns(2)
    one = left.selectbox("Pipeline", list(names), key="model")
    others = [ALONE, *(name for name in names if name != one)]
    other = right.selectbox("Compare with", others, key="other", disabled=len(others) == 1)
    return [one] if other == ALONE else [one, other]


def write() -> str:
    """Return the text that is typed, or chosen among the posts of the sample."""
    posts = read_sample()
    if posts:
        st.selectbox(
            "A post of the sample",
            list(posts),
            index=None,
            key="post",
            format_func=lambda text: f"{posts[text][0]}: {text}",
            placeholder="Choose one, or write your own below",
            on_change=_take_post,
        )
    text = st.text_area("Text", key="text", height=100, on_change=_forget_post)
    st.button("Read", type="primary")  # to leave the field is enough; not everybody knows
    if text in posts:
        split, labels = posts[text]
        st.html(f"<p>Its labels in the sample ({split}): {chips(labels)}</p>")
    return text


def _take_post() -> None:
    if st.session_state.post:
        st.session_state.text = st.session_state.post


def _forget_post() -> None:
    st.session_state.post = None


def predict_all(names: dict[str, str], chosen: list[str], text: str) -> dict[str, Any]:
    """Return rows by name; for a pipeline that cannot be used, its error."""
    found: dict[str, Any] = {}
    for name in chosen:
        try:
            found[name] = read(names[name], time_of(names[name]), text)
        except ValueError as error:
            found[name] = error
    return found


def show(name: str, model: str, row: dict[str, Any] | ValueError, labels: list[str]) -> None:
    """Show what one pipeline says, and what is known of it."""
    st.html(f"<h3>{html.escape(name)}</h3>")
    if isinstance(row, ValueError):
        st.error("This pipeline cannot be used.")
        st.html(paragraphs([str(row)]))
        return
    predictor, _ = load(model, time_of(model))
    decided = chips(row["emotions"], row["scores"])
    st.html(decided or "<p>No score reaches its threshold, so nothing is decided.</p>")
    least = predictor.thresholds
    st.altair_chart(chart(row, least, labels[:SHOWN]), width="stretch", key=f"{name} highest")
    with st.expander(f"All {len(row['scores'])} scores"):
        st.altair_chart(chart(row, least, labels), width="stretch", key=f"{name} all")
    st.html("".join(as_html(found) for found in row["explanation"]))
    with st.expander("About this pipeline"):
        st.html(paragraphs(facts_of(model, predictor)))


def main(models: list[str]) -> None:
    """Show the page.

    models: Folders of pipelines, or names of installed ones.
    """
    st.set_page_config(page_title="Try a pipeline", layout="wide")
    st.title("Try a pipeline", anchor=False)
    names = names_of(models)
    chosen = choose(names)
    text = write()
    if not text.strip():
        st.info("Write a text, or choose a post of the sample.")
        return
    if len(text) > MOST:
        st.warning(
            f"{len(text):,} characters. Expected at most {MOST:,} here; "
            "`python -m scripts.predict` reads longer texts, and whole files."
        )
        return
    found = predict_all(names, chosen, text)
    rows = [row for row in found.values() if not isinstance(row, ValueError)]
    if len(rows) == 2:
        st.html(paragraphs(differences(rows, chosen)))
    labels = highest(rows)
    for place, name in zip(st.columns(len(chosen)), chosen, strict=True):
        with place:
            show(name, names[name], found[name], labels)
    st.caption(
        "Blue words raise the score, orange and underlined ones lower it: by how much, says a "
        "word under the pointer. A line in the chart is the label's threshold, ✓ a decision."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
