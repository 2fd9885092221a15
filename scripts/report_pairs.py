"""Write a page about a trained text-to-text pipeline: what it writes, where it errs and looks."""

import json
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import srsly
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

from scripts import report_figures as draw
from scripts.evaluate_entities import predict
from scripts.files import check_output, hash_of, replacing
from scripts.pair_corpus import pair_component, read_pairs, set_decoder
from scripts.pair_triples import Triple, differences, pick, triples_of
from scripts.report import FACTS, PAGE, read_log, render
from scripts.scores import load_pipeline

TEMPLATE = "report_pairs.html.jinja"
WRONG, RIGHT = 60, 20  # triples on the page
MAPS = 3  # of the attention
SIDE = range(4, 21)  # symbols on either side of a map


def report_pairs(
    pipeline: Path,
    corpus: Path,
    metrics: Path,
    output: Path,
    *,
    log: Path | None = None,
    gpu_id: int = -1,
) -> dict[str, Any]:
    """Write the texts of a corpus, and index.html about them, and its pictures as PNG.

    The page needs nothing else; report.json says what it was made of. Texts are decoded as for the
    metrics.

    pipeline: With seq2seq.
    corpus: .spacy that `metrics` is of.
    metrics: JSON of scripts.evaluate_pairs for this pipeline and corpus.
    output: Folder; an earlier report stays until the new one is complete.
    log: log.csv of the training, for the learning curve.
    RETURNS: What the page shows.
    RAISES ValueError: Something is missing, or the metrics are of another pipeline or corpus.
    """
    check_output(output, "report", [FACTS], [pipeline, corpus, metrics])
    found = _read_metrics(metrics, pipeline, corpus)
    facts = _facts(pipeline, corpus, found, gpu_id)
    facts |= {"log": read_log(log), "metrics_file": metrics.as_posix()}
    facts["config"] = (pipeline / "config.cfg").read_text(encoding="utf8")
    with replacing(output) as temporary:
        temporary.mkdir()
        svgs = {
            name: draw.save(figure, temporary / f"{name}.png")
            for name, figure in _figures(facts).items()
        }
        (temporary / PAGE).write_text(render(TEMPLATE, facts, svgs), encoding="utf8")
        srsly.write_json(temporary / FACTS, {"metrics": found["conditions"]})
    return facts


def _read_metrics(path: Path, pipeline: Path, corpus: Path) -> dict[str, Any]:
    for file in (path, pipeline / "config.cfg"):
        if not file.is_file():
            raise ValueError(f"{file}: no such file. Run train and evaluate-pairs first.")
    try:
        found = json.loads(path.read_text(encoding="utf8"))
        config, of = (found["conditions"][f"{name}_sha256"] for name in ("config", "corpus"))
        found["text"]["lengths"], found["conditions"]["decoder"]  # both only of evaluate_pairs
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}. Expected JSON.") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: no {error}. Expected the JSON of evaluate_pairs.") from error
    if config != hash_of(pipeline / "config.cfg"):
        raise ValueError(f"{path}: of another pipeline than {pipeline}. Run evaluate-pairs again.")
    if not corpus.exists() or of != hash_of(corpus):
        raise ValueError(f"{path}: of another corpus than {corpus}. Run evaluate-pairs again.")
    return found


def _facts(pipeline: Path, corpus: Path, metrics: dict[str, Any], gpu_id: int) -> dict[str, Any]:
    """Write the texts, and gather all that the page shows."""
    nlp = load_pipeline(pipeline, gpu_id)
    set_decoder(nlp, metrics["conditions"]["decoder"])
    examples = read_pairs(nlp, corpus)
    predict(nlp, examples)
    triples = triples_of(examples)
    maps, excuse = _attention(nlp, examples)
    return {
        "metrics": metrics,
        "triples": [_marked(triple) for triple in pick(triples, WRONG, RIGHT)],
        "wrong": sum(not triple.right for triple in triples),
        "maps": maps,
        "excuse": excuse,
        "misses": nlp.get_pipe(pair_component(nlp)).misses,
    }


def _marked(triple: Triple) -> dict[str, Any]:
    return {
        "right": triple.right,
        "input": triple.input,
        "parts": differences(triple.target, triple.output),
        "score": triple.score,
    }


def _attention(nlp: Language, examples: list[Example]) -> tuple[list[tuple], str]:
    """Return where the model looks for some short outputs, or why there is nothing to show."""
    pipe = nlp.get_pipe(pair_component(nlp))
    docs = _short_docs(pipe.markup, [example.predicted for example in examples])
    try:
        maps = [pipe.attention(doc) for doc in docs[:MAPS]]
    except ValueError as error:
        return [], str(error)
    words = pipe.markup.words
    found = [(words(source), words(output), weights) for source, output, weights in maps]
    return found, "" if found else f"No text and output of {SIDE[0]} to {SIDE[-1]} symbols."


def _short_docs(markup: Any, docs: list[Doc]) -> list[Doc]:
    """Return the docs whose text and output fit into a picture, those with tags first."""
    found = []
    for doc in docs:
        symbols = markup.split(doc._.seq2seq or "")
        if len(symbols) in SIDE and len(markup.split(doc.text)) in SIDE:
            found.append((not any(map(markup.label_of, symbols)), doc))
    return [doc for _, doc in sorted(found, key=lambda pair: pair[0])]


def _figures(facts: dict[str, Any]) -> dict[str, Figure]:
    figures = {"lengths": length_chart(facts["metrics"]["text"]["lengths"])}
    if facts["log"]:
        figures["learning"] = draw.learning_curve(facts["log"])
    for number, found in enumerate(facts["maps"], start=1):
        figures[f"attention{number}"] = attention_map(*found)
    return figures


def length_chart(rows: list[dict[str, Any]]) -> Figure:
    """Draw how many sources are how long, and exact match of each group; rows as in metrics."""
    with matplotlib.rc_context(draw.STYLE):
        figure = draw.new_figure(7, 2.6)
        left, right = figure.subplots(1, 2)
        names = [row["symbols"] for row in rows]
        left.bar(names, [row["docs"] for row in rows], color=draw.GREY)
        left.set(ylabel="docs", xlabel="symbols of the source")
        right.plot(names, [row["exact"] for row in rows], "o-", color=draw.BLUE)
        right.set(ylabel="exact match", xlabel="symbols of the source", ylim=(0, 1))
        return figure


def attention_map(source: list[str], output: list[str], weights: NDArray) -> Figure:
    """Draw how much of the source (across) is looked at for each symbol of the output (down).

    weights ([output, source], 0 to 1).
    """
    with matplotlib.rc_context(draw.STYLE):
        figure = draw.new_figure(2.2 + 0.26 * len(source), 1.4 + 0.24 * len(output))
        axes = figure.subplots()
        image = axes.imshow(weights, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(source)), source, rotation=90, fontsize=8)
        axes.set_yticks(range(len(output)), output, fontsize=8)
        axes.xaxis.tick_top()
        figure.colorbar(image, ax=axes, shrink=0.7, label="weight")
        return figure


def main(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline with seq2seq", exists=True)],
    corpus: Annotated[Path, typer.Argument(help="Corpus as .spacy", exists=True)],
    metrics: Annotated[Path, typer.Argument(help="JSON of evaluate_pairs for both", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder for index.html and pictures")],
    log: Annotated[Path | None, typer.Option(help="log.csv of the training", exists=True)] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to use, -1 for the CPU", min=-1)] = -1,
) -> None:
    """Write a page about a text-to-text pipeline, to open in a browser; it needs no network."""
    try:
        report_pairs(pipeline, corpus, metrics, output, log=log, gpu_id=gpu_id)
    except ValueError as error:
        msg.fail("No report", str(error), exits=1)
    msg.good(f"{output / PAGE}")


if __name__ == "__main__":
    typer.run(main)
