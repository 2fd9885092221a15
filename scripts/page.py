"""The page that scripts.visualize serves; Streamlit runs it again after every change on it."""

import sys
from typing import Any

import streamlit as st

from scripts.facts import names_of
from scripts.loaded import find_task, read, read_sample, time_of
from scripts.page_parts import show, show_words
from scripts.reading import chips, differences, differences_of_parts, highest, paragraphs
from scripts.tasks import Task

MOST = 5000  # characters
ALONE = "no other"


def choose(names: dict[str, str]) -> list[str]:
    """Return the names of one pipeline or of two for the same task that are compared."""
    left, right = st.columns(2)
    one = left.selectbox("Pipeline", list(names), key="model")
    tasks = {name: task_at(names[name]) for name in names}
    alike = [
        name for name in names if None in (tasks[one], tasks[name]) or tasks[name] == tasks[one]
    ]
    others = [ALONE, *(name for name in alike if name != one)]
    other = right.selectbox("Compare with", others, key="other", disabled=len(others) == 1)
    return [one] if other == ALONE else [one, other]


def task_at(model: str) -> Task | None:
    """Return what a pipeline is for; None of one that cannot be used, which says so when asked."""
    try:
        return find_task(model, time_of(model))
    except ValueError:
        return None


def write(task: Task | None) -> str:
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
    if text in posts and task == "textcat":
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


def compare(names: dict[str, str], chosen: list[str], text: str) -> None:
    """Show what the chosen pipelines say of a text, and how they differ."""
    found = predict_all(names, chosen, text)
    rows = [row for row in found.values() if not isinstance(row, ValueError)]
    is_labelled = all("scores" in row for row in rows)
    if len(rows) == 2:
        compared = differences if is_labelled else differences_of_parts
        st.html(paragraphs(compared(rows, chosen)))
    labels, places = highest(rows) if is_labelled else [], {}
    for column, name in zip(st.columns(len(chosen)), chosen, strict=True):
        with column:
            places[name] = show(name, names[name], found[name], labels)
    for name, place in places.items():
        if place is not None and is_labelled:
            show_words(place, names[name], found[name])


def main(models: list[str]) -> None:
    """Show the page.

    models: As scripts.find_model takes them.
    """
    st.set_page_config(page_title="Try a pipeline", layout="wide")
    st.title("Try a pipeline", anchor=False)
    names = names_of(models)
    chosen = choose(names)
    task = task_at(names[chosen[0]])
    text = write(task)
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
    if task == "textcat":
        st.caption(
            "Blue words raise the score, orange and underlined ones lower it: by how much, says a "
            "word under the pointer. A line in the chart is the label's threshold, ✓ a decision."
        )


if __name__ == "__main__":
    main(sys.argv[1:])
