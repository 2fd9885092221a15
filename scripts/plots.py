"""Pictures of what the commands measured."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from scripts.files import replacing


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
