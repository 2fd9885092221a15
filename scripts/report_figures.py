"""Figures of a report. Nothing is told by colour alone: marks, dashes and places differ too."""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from scripts.calibration import reliability
from scripts.files import replacing

Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]
INK = "#123456"  # stands for the colour of the page's text, which is another in the dark
BLUE, ORANGE, GREY = "#3f7fbf", "#d07520", "#8a8a8a"  # readable on white and on black
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,  # a label may have dollars
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
POINTS = 120  # of a curve


def save(figure: Figure, path: Path) -> str:
    """Write a figure as PNG, on white, and return it as SVG for a page, on nothing.

    path: A .png; replaced.
    """
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": path.stem}):
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=130, facecolor="white")
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Two figures of a page may not share names.
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{path.stem}-", svg)
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure.

    width, height: In inches of 72 points.
    """
    return Figure(figsize=(width, height), layout="constrained")


def learning_curve(rows: list[dict[str, str]]) -> Figure:
    """Draw loss and score of each evaluation; rows are those of log.csv."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(7, 2.8)
        left, right = figure.subplots(1, 2)
        steps = [int(row["step"]) for row in rows]
        left.plot(steps, [float(row["loss"]) for row in rows], "o--", ms=3, color=GREY)
        left.set(xlabel="step", ylabel="loss since the evaluation before", ylim=(0, None))
        scores = [float(row["score"]) for row in rows]
        right.plot(steps, scores, "o-", ms=3, color=BLUE)
        best = int(numpy.argmax(scores))
        right.annotate(
            f"best {scores[best]:.3f}", (steps[best], scores[best]), (0, 6),
            textcoords="offset points", ha="right",
        )  # fmt: skip
        right.set(xlabel="step", ylabel="score on dev")
        return figure


def label_scores(rows: list[dict[str, Any]], macro: float) -> Figure:
    """Draw the F1 of each label with its interval; rows as of label_rows."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(7, 0.7 + 0.22 * len(rows))
        axes = figure.subplots()
        places = numpy.arange(len(rows))[::-1]
        for place, row in zip(places, rows, strict=True):
            axes.plot([row["low"], row["high"]], [place, place], color=BLUE, lw=1.5, alpha=0.6)
            axes.annotate(
                f"{row['support']:,}", (1.01, place), va="center", fontsize=8,
                annotation_clip=False,
            )  # fmt: skip
        axes.plot([row["f1"] for row in rows], places, "o", color=BLUE, ms=5)
        axes.axvline(macro, color=ORANGE, ls="--", lw=1)
        axes.annotate(f"mean {macro:.3f}", (macro, places[0] + 0.8), color=ORANGE, ha="center")
        axes.set_yticks(places, [row["label"] for row in rows])
        axes.set(xlim=(0, 1), ylim=(-0.7, len(rows) + 0.4), xlabel="F1, line: middle 95 %")
        axes.set_title("docs", loc="right", fontsize=8)
        return figure


def _grid(labels: list[str], height: float = 1.25) -> tuple[Figure, list[Axes]]:
    """Return small axes for each label, four in a row."""
    rows = -(-len(labels) // 4)
    figure = new_figure(7.4, height * rows + 0.3)
    axes = figure.subplots(rows, 4, sharex=True, sharey=True, squeeze=False).ravel()
    for place, label in zip(axes, labels, strict=False):
        place.set_title(label, fontsize=8, pad=2, loc="left")
        place.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        place.tick_params(labelsize=7)
    for place in axes[len(labels) :]:
        place.set_visible(False)
    return figure, list(axes[: len(labels)])


def precision_recall(scores: Floats, truth: Bools, metrics: dict[str, Any]) -> Figure:
    """Draw precision over recall of each label, and where its threshold puts it."""
    with matplotlib.rc_context(STYLE):
        labels = metrics["per_label"]
        figure, grid = _grid(list(labels))
        for j, (axes, found) in enumerate(zip(grid, labels.values(), strict=True)):
            if not found["support"]:
                axes.annotate("no docs", (0.5, 0.5), ha="center")
                continue
            precision, recall, _ = precision_recall_curve(truth[:, j], scores[:, j])
            few = _spaced(recall)
            axes.plot(recall[few], precision[few], color=BLUE, lw=1.2)
            axes.plot(found["recall"], found["precision"], "D", color=ORANGE, ms=5, mew=0)
            axes.set_title(f"AP {found['average_precision']:.2f}", fontsize=7, pad=2, loc="right")
        figure.supxlabel("recall", fontsize=9)
        figure.supylabel("precision", fontsize=9)
        return figure


def _spaced(values: Floats) -> NDArray[numpy.intp]:
    """Return places in a falling curve that are about evenly spaced in it."""
    wanted = numpy.linspace(values[0], values[-1], POINTS)
    found = numpy.searchsorted(-values, -wanted)
    return numpy.unique(found.clip(0, len(values) - 1))


def threshold_curves(scores: Floats, truth: Bools, metrics: dict[str, Any]) -> Figure:
    """Draw the F1 of each label over the threshold, and the threshold that was chosen."""
    with matplotlib.rc_context(STYLE):
        labels = metrics["per_label"]
        figure, grid = _grid(list(labels))
        cuts = numpy.linspace(0.01, 0.99, 99)
        for j, (axes, found) in enumerate(zip(grid, labels.values(), strict=True)):
            picked = scores[:, j, None] >= cuts
            both = (picked & truth[:, j, None]).sum(axis=0)
            total = numpy.maximum(picked.sum(axis=0) + truth[:, j].sum(), 1)
            axes.plot(cuts, 2 * both / total, color=BLUE, lw=1.2)
            axes.axvline(found["threshold"], color=ORANGE, lw=1.2, ls="--")
            axes.set_title(f"{found['threshold']:.2f}", fontsize=7, pad=2, loc="right")
        figure.supxlabel("threshold", fontsize=9)
        figure.supylabel("F1", fontsize=9)
        return figure


def reliability_diagram(scores: Floats, probabilities: Floats | None, truth: Bools) -> Figure:
    """Draw how often what is said to have a probability is true, and how much is said where."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(7, 3.2)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1))
        left.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
        drawn = [("scores", scores, ORANGE, "s--")]
        if probabilities is not None:
            drawn.append(("probabilities", probabilities, BLUE, "o-"))
        for number, (name, values, colour, style) in enumerate(drawn):
            said, true, counts = reliability(values.ravel(), truth.ravel().astype("float64"))
            left.plot(said, true, style, color=colour, ms=4, label=name)
            right.bar(
                said + 0.012 * (2 * number - 1), counts, 0.022, color=colour, label=name,
                hatch="" if number else "///", edgecolor="white", lw=0,
            )  # fmt: skip
        left.set(xlabel="said", ylabel="true", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        left.legend(loc="upper left")
        right.set(xlabel="said", ylabel="decisions", yscale="log", xlim=(0, 1))
        right.legend(loc="upper right")
        return figure


def co_occurrence_maps(true: Floats, said: Floats, labels: list[str]) -> Figure:
    """Draw how often labels come together, in truth and in what was decided."""
    with matplotlib.rc_context(STYLE):
        side = 1.4 + 0.17 * len(labels)
        figure = new_figure(2 * side, side)
        both = figure.subplots(1, 2, sharey=True)
        most = max(0.05, numpy.nanmax([numpy.nanmax(true), numpy.nanmax(said)]))
        for axes, cells, title in zip(both, (true, said), ("in truth", "as decided"), strict=True):
            image = axes.imshow(cells, cmap="cividis", vmin=0, vmax=most)
            axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
            axes.set_yticks(range(len(labels)), labels, fontsize=7)
            axes.set_title(title)
        figure.colorbar(image, ax=both, shrink=0.7, label="share of the row's docs")
        return figure


def length_chart(rows: list[dict[str, Any]]) -> Figure:
    """Draw how many docs are how long, and micro-F1 of each group; rows as of length_rows."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(7, 2.6)
        left, right = figure.subplots(1, 2)
        names = [row["tokens"] for row in rows]
        left.bar(names, [row["docs"] for row in rows], color=GREY)
        left.set(ylabel="docs", xlabel="tokens")
        right.plot(names, [row["micro_f1"] for row in rows], "o-", color=BLUE)
        right.set(ylabel="micro-F1", xlabel="tokens", ylim=(0, 1))
        for axes in (left, right):
            axes.tick_params(axis="x", labelsize=7, rotation=25)
        return figure
