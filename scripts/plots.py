"""Pictures of what the commands measured."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from scripts.files import replacing

# Told apart by dashes too, not by colour alone.
LINES = (("#8a8a8a", "--"), ("#0b5fa5", "-"), ("#b3541e", "-."), ("#3d7a3d", ":"))


def plot_pretraining(epochs: list[dict[str, Any]], path: Path) -> None:
    """Draw the loss of each epoch, on the texts trained on and on the held-out ones.

    epochs: Rows with epoch, loss and held_out_loss.
    path: A .png; replaced.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    numbers = [row["epoch"] for row in epochs]
    axes.plot(numbers, [row["loss"] for row in epochs], "o--", color="#8a8a8a", label="training")
    held = [row["held_out_loss"] for row in epochs]
    axes.plot(numbers, held, "o-", color="#0b5fa5", label="held-out texts")
    best = min(range(len(held)), key=held.__getitem__)
    axes.annotate(
        "model-best.bin", (numbers[best], held[best]), (0, 10), textcoords="offset points"
    )
    axes.set(xlabel="epoch", ylabel="loss per predicted word", xticks=numbers)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def plot_search(arms: str, metric: str, scores: dict[str, list[float]], path: Path) -> None:
    """Draw the score of every trial, an arm per column, and the mean of the best three.

    scores: By arm, best first; may be empty.
    path: A .png; replaced.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for column, found in enumerate(scores.values()):
        axes.plot([column] * len(found), found, "o", color="#0b5fa5", alpha=0.4, mew=0)
        if found:
            top = sum(found[:3]) / len(found[:3])
            axes.plot([column - 0.25, column + 0.25], [top, top], color="#111111", lw=2)
            axes.annotate(f"{top:.3f}", (column + 0.27, top), va="center", fontsize=8)
    axes.set(xlabel=arms or "search", ylabel=metric, xlim=(-0.6, len(scores) - 0.2))
    axes.set_xticks(range(len(scores)), list(scores))
    axes.set_title("Each dot a trial, the line the mean of the best three", fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def plot_curve(key: str, metric: str, arms: str, points: list[dict[str, Any]], path: Path) -> None:
    """Draw the mean score over a setting, a line per arm, deviations as bars.

    key: Of the setting; a limit of 0 is the end of the scale: all.
    points: Rows with arm, value, mean and deviation.
    path: A .png; replaced.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    end = 0 if key.endswith("limit") else None
    values = sorted({row["value"] for row in points}, key=lambda value: (value == end, value))
    for number, arm in enumerate(dict.fromkeys(row["arm"] for row in points)):
        mine = sorted((row for row in points if row["arm"] == arm),
                      key=lambda row: values.index(row["value"]))  # fmt: skip
        axes.errorbar(
            [values.index(row["value"]) for row in mine],
            [row["mean"] for row in mine],
            [row["deviation"] for row in mine],
            color=LINES[number % len(LINES)][0],
            linestyle=LINES[number % len(LINES)][1],
            marker="o",
            capsize=3,
            label=f"{arms.split('.')[-1]} {arm}" if arms else metric,
        )
    axes.set(xlabel=key, ylabel=metric)
    names = {0: "all"} if key.endswith("limit") else {}
    axes.set_xticks(range(len(values)), [str(names.get(value, value)) for value in values])
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def plot_memory(peaks: dict[str, dict[str, float]], nothing: float, path: Path) -> None:
    """Draw the most memory over the number of posts, a line per stage.

    peaks (MB): By stage and number of posts.
    nothing (MB): Of a process that does nothing.
    path: A .png; replaced.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, found) in enumerate(peaks.items()):
        posts = sorted(map(int, found))
        axes.plot(
            posts,
            [found[str(size)] for size in posts],
            color=LINES[number % len(LINES)][0],
            linestyle=LINES[number % len(LINES)][1],
            marker="o",
            label=name,
        )
    axes.axhline(nothing, color="#111111", lw=0.8, label="nothing but spaCy loaded")
    axes.set(xlabel="posts", ylabel="MB, at the most", xscale="log")
    axes.set_ylim(0, 1.2 * max(max(found.values()) for found in peaks.values()))
    sizes = sorted({int(size) for found in peaks.values() for size in found})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.legend(loc="lower left")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
