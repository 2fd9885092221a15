"""Draw which labels are taken for which, of the metrics of words."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray
from wasabi import msg

from scripts.files import replacing


def confusion(metrics: list[Path], output: Path) -> NDArray[numpy.int64]:
    """Draw the confusions of one or several evaluations as a heat map; counts are added up.

    metrics: JSONs of scripts.evaluate_tokens with the same labels.
    output: A .png; replaced.
    RETURNS ([labels, labels]): How many words with a label (row) got each label.
    RAISES ValueError: A file has no confusions, or other labels than the first; another ending.
    """
    if output.suffix != ".png":
        raise ValueError(f"{output}: a picture. Expected a name that ends in .png.")
    tables = [_read(path) for path in metrics]
    labels = list(tables[0])
    for path, table in zip(metrics, tables, strict=True):
        if set(table) != set(labels):
            odd = ", ".join(sorted(set(table) ^ set(labels)))
            raise ValueError(f"{path}: differs in {odd}. Expected the labels of {metrics[0]}.")
    counts = sum(numpy.array([[table[a][b] for b in labels] for a in labels]) for table in tables)
    _draw(counts, labels, output)
    return counts


def _read(path: Path) -> dict[str, dict[str, int]]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf8"))["confusion"]
        table = {true: {said: int(found[true][said]) for said in found} for true in found}
    except (LookupError, TypeError, ValueError):
        table = {}
    if not table:
        raise ValueError(f"{path}: no confusions. Expected a JSON of scripts.evaluate_tokens.")
    return table


def _draw(counts: NDArray[numpy.int64], labels: list[str], output: Path) -> None:
    """Draw a heat map: shades are shares of a row, numbers are words."""
    size = 2 + 0.5 * len(labels)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / numpy.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*numpy.nonzero(counts), strict=True):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, counts[row, column], ha="center", va="center", color=color, size=8)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="said", ylabel="true")
    figure.colorbar(image, label="share of the words with the true label", shrink=0.8)
    with replacing(output) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def main(
    metrics: Annotated[
        list[Path],
        typer.Argument(help="JSONs of scripts.evaluate_tokens", exists=True, dir_okay=False),
    ],
    output: Annotated[Path, typer.Option(help="Picture to write, .png", dir_okay=False)],
) -> None:
    """Draw which labels are taken for which, of the metrics of words; several are added up."""
    try:
        counts = confusion(metrics, output)
    except ValueError as error:
        msg.fail("Nothing to draw", str(error), exits=1)
    wrong = counts.sum() - numpy.trace(counts)
    msg.good(f"{counts.sum():,} words, {wrong:,} of them wrong: {output}")


if __name__ == "__main__":
    typer.run(main)
