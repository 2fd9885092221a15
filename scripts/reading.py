"""Show a predicted row in a page: chips of decisions, a chart of scores, how two rows differ."""

import html
from collections.abc import Iterable
from typing import Any

import altair

from scripts.tagged import spans_of_row

Row = dict[str, Any]
# Told apart by the colour-blind, and at 3 : 1 at least on white and on a dark page.
DECIDED, OTHER, THRESHOLD = "#2a7fc1", "#8a8a8a", "#d55e00"
STEP, AXIS = 28, 50  # pixels of a label in the chart, and of what is below


def chips(labels: Iterable[str], scores: dict[str, float] | None = None) -> str:
    """Return HTML: each label in a frame, with its score if there are scores."""
    style = (
        f"display:inline-block;border:1px solid {DECIDED};background:{DECIDED}33;"
        "border-radius:1em;padding:0.1em 0.7em;margin:0 0.4em 0.4em 0"
    )
    return "".join(
        f'<span style="{style}">{html.escape(label)}'
        f"{f' <strong>{scores[label]:.2f}</strong>' if scores else ''}</span>"
        for label in labels
    )


def paragraphs(sentences: Iterable[str]) -> str:
    """Return HTML: a paragraph for each sentence, whatever signs it has."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def highest(rows: list[Row], count: int = 0) -> list[str]:
    """Return the labels of the highest scores in any of the rows; 0 returns all."""
    best: dict[str, float] = {}
    for row in rows:
        for label, score in row["scores"].items():
            best[label] = max(score, best.get(label, 0.0))
    return sorted(best, key=best.get, reverse=True)[: count or None]


def chart(row: Row, thresholds: dict[str, float], labels: list[str]) -> altair.LayerChart:
    """Return a chart: a bar for each score, and a mark where the label's threshold is.

    labels: In this order; those that the row does not have are left out.
    """
    known = [label for label in labels if label in row["scores"]]
    values = [
        {
            "label": f"{'✓ ' * (label in row['emotions'])}{label} {row['scores'][label]:.2f}",
            "score": row["scores"][label],
            "threshold": thresholds[label],
            "decided": "yes" if label in row["emotions"] else "no",
        }
        for label in known
    ]
    axis = altair.Axis(labelLimit=220, labelOverlap=False, labelFontSize=12)
    base = altair.Chart(altair.Data(values=values)).encode(
        y=altair.Y("label:N", sort=None, title=None, axis=axis),
        tooltip=[
            altair.Tooltip("label:N"),
            altair.Tooltip("score:Q", format=".3f"),
            altair.Tooltip("threshold:Q", format=".3f"),
            altair.Tooltip("decided:N"),
        ],
    )
    colour = altair.Color("decided:N", legend=None).scale(
        domain=["yes", "no"], range=[DECIDED, OTHER]
    )
    across = altair.X("score:Q", title="score, and threshold as a line").scale(domain=[0, 1])
    bars = base.mark_bar(height=14).encode(x=across.axis(tickCount=5), color=colour)
    # An outline, as the line would be lost on a bar for some eyes.
    ticks = base.mark_tick(
        color=THRESHOLD, opacity=1, thickness=5, size=24, stroke="white", strokeWidth=1
    ).encode(x="threshold:Q")
    return (bars + ticks).properties(height=STEP * len(values) + AXIS)


def differences_of_parts(rows: list[Row], names: list[str]) -> list[str]:
    """Return sentences on what two readings mark in one text, or write for it."""
    said = []
    if "target" in rows[0]:
        same = rows[0]["target"] == rows[1]["target"]
        said.append("Both write the same text." if same else "They write different texts.")
    if any("tokens" not in row for row in rows):
        return said
    one, other = (
        [f"{row['text'][start:end]} ({label})" for start, end, label in spans_of_row(row)]
        for row in rows
    )
    both = [part for part in one if part in other]
    said.append(f"Both mark {', '.join(both)}." if both else "They mark nothing in common.")
    sides = [[x for x in one if x not in other], [x for x in other if x not in one]]
    said += [
        f"Only {name}: {', '.join(side)}." for name, side in zip(names, sides, strict=True) if side
    ]
    return said if one or other else [*said[:-1], "Neither marks anything."]


def differences(rows: list[Row], names: list[str]) -> list[str]:
    """Return sentences on where two readings of one text agree and differ."""
    one, other = (row["emotions"] for row in rows)
    both = [label for label in one if label in other]
    sides = [[x for x in one if x not in other], [x for x in other if x not in one]]
    said = [f"Both decide {', '.join(both)}."] if both else ["They have no decision in common."]
    said += [
        f"Only {name}: {', '.join(side)}." for name, side in zip(names, sides, strict=True) if side
    ]
    if not one and not other:
        said = ["Neither decides anything."]
    first, second = (row["scores"] for row in rows)
    gaps = {label: abs(first[label] - second[label]) for label in first if label in second}
    if gaps:
        widest = max(gaps, key=gaps.get)
        said.append(
            f"Their scores differ most for {widest}: {first[widest]:.2f} and {second[widest]:.2f}."
        )
    return said
