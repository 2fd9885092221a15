"""The page that scripts.visualize serves; Streamlit runs it again after every change on it."""

import html
import sys
from typing import Any

import streamlit as st

from scripts.facts import facts_of, names_of
from scripts.loaded import find_words, load, read, read_sample, time_of
from scripts.reading import chart, chips, differences, highest, paragraphs

MOST = 5000  # characters
MOST_EXPLAINED = 1000  # characters; leaving out each word takes as many predictions
SHOWN = 8  # scores before one asks for all
ALONE = "no other"


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


def show(name: str, model: str, row: dict[str, Any] | ValueError, labels: list[str]) -> Any:
    """Show what one pipeline says, and what is known of it.

    RETURNS: The place where show_words goes on.
    """
    st.html(f"<h3>{html.escape(name)}</h3>")
    if isinstance(row, ValueError):
        st.error("This pipeline cannot be used.")
        st.html(paragraphs([str(row)]))
        return None
    predictor, _ = load(model, time_of(model))
    decided = chips(row["emotions"], row["scores"])
    st.html(decided or "<p>No score reaches its threshold, so nothing is decided.</p>")
    least = predictor.thresholds
    st.altair_chart(chart(row, least, labels[:SHOWN]), width="stretch", key=f"{name} highest")
    with st.expander(f"All {len(row['scores'])} scores"):
        st.altair_chart(chart(row, least, labels), width="stretch", key=f"{name} all")
    words = st.container()
    with st.expander("About this pipeline"):
        st.html(paragraphs(facts_of(model, predictor)))
    return words


def show_words(place: Any, model: str, row: dict[str, Any]) -> None:
    """Show which words a decision rests on; it takes longer than the decision."""
    with place:
        if len(row["text"]) > MOST_EXPLAINED:
            st.caption(f"Words are marked in texts of at most {MOST_EXPLAINED:,} characters.")
        else:
            st.html(find_words(model, time_of(model), row))


def compare(names: dict[str, str], chosen: list[str], text: str) -> None:
    """Show what the chosen pipelines say of a text, and how they differ."""
    found = predict_all(names, chosen, text)
    rows = [row for row in found.values() if not isinstance(row, ValueError)]
    if len(rows) == 2:
        st.html(paragraphs(differences(rows, chosen)))
    labels, places = highest(rows), {}
    for column, name in zip(st.columns(len(chosen)), chosen, strict=True):
        with column:
            places[name] = show(name, names[name], found[name], labels)
    for name, place in places.items():
        if place is not None:
            show_words(place, names[name], found[name])


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
    compare(names, chosen, text)
    st.caption(
        "Blue words raise the score, orange and underlined ones lower it: by how much, says a "
        "word under the pointer. A line in the chart is the label's threshold, ✓ a decision."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
