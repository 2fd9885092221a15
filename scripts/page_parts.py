"""What the page shows of one pipeline: its answer, what is known of it, and words that count."""

import html
from typing import Any

import streamlit as st

from scripts.facts import facts_of
from scripts.kept import keep
from scripts.loaded import find_words, time_of
from scripts.reading import chart, chips, paragraphs
from scripts.tagged import row_html

MOST_EXPLAINED = 1000  # characters; leaving out each word takes as many predictions
SHOWN = 8  # scores before one asks for all


def show(name: str, model: str, row: dict[str, Any] | ValueError, labels: list[str]) -> Any:
    """Show what one pipeline says, and what is known of it.

    RETURNS: The place where show_words goes on.
    """
    st.html(f"<h3>{html.escape(name)}</h3>")
    if isinstance(row, ValueError):
        st.error("This pipeline cannot be used.")
        st.html(paragraphs([str(row)]))
        return None
    predictor = keep(model)
    if predictor.task == "textcat":
        _show_scores(name, row, predictor.thresholds, labels)
    else:
        st.html(row_html(row))
    words = st.container()
    with st.expander("About this pipeline"):
        st.html(paragraphs(facts_of(model, predictor)))
    return words


def _show_scores(
    name: str, row: dict[str, Any], least: dict[str, float], labels: list[str]
) -> None:
    decided = chips(row["emotions"], row["scores"])
    st.html(decided or "<p>No score reaches its threshold, so nothing is decided.</p>")
    st.altair_chart(chart(row, least, labels[:SHOWN]), width="stretch", key=f"{name} highest")
    with st.expander(f"All {len(row['scores'])} scores"):
        st.altair_chart(chart(row, least, labels), width="stretch", key=f"{name} all")


def show_words(place: Any, model: str, row: dict[str, Any]) -> None:
    """Show which words a decision rests on; it takes longer than the decision."""
    with place:
        if len(row["text"]) > MOST_EXPLAINED:
            st.caption(f"Words are marked in texts of at most {MOST_EXPLAINED:,} characters.")
        else:
            st.html(find_words(model, time_of(model), row))
