"""Work out from the measured speeds what a million and a billion posts cost."""

import math
from pathlib import Path
from typing import Annotated

import srsly
import typer

CORES, HOURS = 16, 24  # of a machine, and until it has to be done
HEADER = """\
| step | posts/s of a core | core-hours per million | per billion | machines, billion in a day |
|---|---|---|---|---|"""


def speeds(folder: Path) -> dict[str, float]:
    """Return the posts per second and core of each step.

    folder: With the JSONs of the benchmarks and of bert.
    """
    read = {name: srsly.read_json(folder / f"{name}.json") for name in _NAMES}
    training = read["benchmark_parallel"]["results"]
    return {
        "preprocess": read["benchmark_preprocess"]["docs_per_second"]["preprocess_1"],
        "train cnn, one pass": training["cnn"]["one"],
        "train bert, one pass": training["bert"]["one"],
        "predict_shards, cnn": read["benchmark_shards"]["results"]["one_process"],
        "predict, bert": read["bert-seed0"]["docs_per_second"],
    }


_NAMES = (
    "benchmark_preprocess",
    "benchmark_parallel",
    "benchmark_shards",
    "bert-seed0",
)


def as_table(found: dict[str, float]) -> str:
    """Return the costs in Markdown."""
    rows = []
    for step, speed in found.items():
        million = 1e6 / speed / 3600
        machines = math.ceil(1000 * million / CORES / HOURS)
        rows.append(
            f"| {step} | {speed:,.0f} | {million:.2f} | {1000 * million:,.0f} | {machines} |"
        )
    return "\n".join([HEADER, *rows])


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of the JSONs")] = Path(
        "metrics/goemotions"
    ),
) -> None:
    """Print what steps cost by the number of posts, from what the other benchmarks measured."""
    print(as_table(speeds(folder)))


if __name__ == "__main__":
    typer.run(main)
