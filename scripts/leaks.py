"""Find the docs of a test set whose text is in train, and score runs on the others."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer
from numpy.typing import NDArray
from wasabi import msg

from scripts.bootstrap import unpack
from scripts.corpus import read_corpus
from scripts.digests import normalise
from scripts.files import hash_of, replacing
from scripts.metrics import macro_auc, mean_average_precision, micro_f1
from scripts.scores import load_pipeline, predict_scores
from scripts.tfidf import Tfidf

NAME = "leaks.json"
BASELINE = "tfidf"
Floats = NDArray[numpy.float64]
Result = dict[str, Any]


def leaks(corpus: Path, metrics: Path, training: Path) -> Result:
    """Write which test docs have a text of train but for case and punctuation, and scores without.

    What a run decided is in its JSON, its scores are not: pipelines that are still there predict
    once more, and must decide as the JSON says. Pipelines that are gone keep what was noted.

    corpus: Folder of train.spacy and test.spacy.
    metrics: metrics/<data>, with <run>.test.json; leaks.json is written there.
    training: Folder of <run>/pipeline.
    RETURNS: What was written: corpus_sha256, docs, rows (numbers of the docs, from 0), exact (how
        many have the very text), and by run what only scores can say, without those docs; of_all is
        mAP of all docs, by which it is known that a run was replaced since.
    RAISES ValueError: No corpus or metrics, or a pipeline decides otherwise; the other runs are
        noted nevertheless.
    """
    found = {"corpus_sha256": hash_of(corpus / "test.spacy"), **_rows(corpus)}
    noted = read_leaks(metrics)
    same = noted is not None and noted["corpus_sha256"] == found["corpus_sha256"]
    runs: dict[str, Result] = dict(noted["runs"]) if same else {}
    keep, problems = kept(found), []
    for path in sorted(metrics.glob("*.test.json")):
        run = json.loads(path.read_text(encoding="utf8"))
        if "documents" not in run or run["conditions"]["corpus_sha256"] != found["corpus_sha256"]:
            continue
        name = path.name.removesuffix(".test.json")
        scores = _scores(name, run, corpus, training)
        try:
            if scores is not None:
                runs[name] = _without(path, run, scores, keep)
        except ValueError as error:
            problems.append(str(error))
    there = {name: runs[name] for name in sorted(runs) if (metrics / f"{name}.test.json").exists()}
    result = {**found, "runs": there}
    with replacing(metrics / NAME) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    if problems:
        raise ValueError("\n".join(problems))
    return result


def read_leaks(metrics: Path) -> Result | None:
    """Return what `leaks` wrote; None if it has not."""
    path = metrics / NAME
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else None


def kept(found: Result) -> NDArray[numpy.bool_]:
    """Return which docs have a text that is not in train, as [docs]."""
    keep = numpy.ones(found["docs"], dtype=bool)
    keep[found["rows"]] = False
    return keep


def noted_of(found: Result, run: str, result: Result) -> Result:
    """Return what was noted of a run; nothing if it was replaced since.

    found: From read_leaks. run: Its name. result: Its metrics on test.
    """
    noted = found["runs"].get(run, {})
    now = result.get("mean_average_precision", math.nan)
    # JSON libraries differ in the last digit.
    return noted if noted and math.isclose(noted["of_all"], now, rel_tol=1e-9) else {}


def _rows(corpus: Path) -> Result:
    train, test = (read_corpus(corpus / f"{split}.spacy")[0] for split in ("train", "test"))
    exact, normal = set(train), {normalise(text) for text in train}
    rows = [number for number, text in enumerate(test) if normalise(text) in normal]
    return {"docs": len(test), "rows": rows, "exact": sum(test[row] in exact for row in rows)}


def _scores(name: str, run: Result, corpus: Path, training: Path) -> Floats | None:
    """Return scores [docs, labels] of a run on test; None if its pipeline is gone."""
    labels = list(run["per_label"])
    if name == BASELINE:
        return _baseline(run, labels, corpus)
    pipeline = training / name / "pipeline"
    if not pipeline.exists():
        return None
    found = predict_scores(load_pipeline(pipeline), corpus / "test.spacy")
    return found.scores[:, [found.labels.index(label) for label in labels]]


def _baseline(run: Result, labels: list[str], corpus: Path) -> Floats:
    texts, cats = read_corpus(corpus / "train.spacy")
    truth = numpy.array([[row[label] for label in labels] for row in cats])
    conditions = run["conditions"]
    settings = {key: conditions["settings"][key] for key in ("min_df", "strength")}
    model = Tfidf(**settings, seed=conditions["seed"]).fit(texts, truth)
    return model.predict(read_corpus(corpus / "test.spacy")[0])


def _without(path: Path, run: Result, scores: Floats, keep: NDArray[numpy.bool_]) -> Result:
    shape = run["docs"], len(run["per_label"])
    if scores.shape != shape:
        raise ValueError(f"{path}: scores {scores.shape}. Expected {shape}, docs and labels.")
    truth, picked = (unpack(run["documents"][key], *shape) for key in ("truth", "picked"))
    least = numpy.array([row["threshold"] for row in run["per_label"].values()])
    other = int(((scores >= least) != picked).sum())
    if other > picked.size / 10_000:  # rounding of another machine may turn a few
        raise ValueError(
            f"{path}: its pipeline decides otherwise in {other} of {picked.size} cases. "
            "Expected the pipeline that was scored there: evaluate again."
        )
    one = scores >= run["global_threshold"]
    return {
        "of_all": run["mean_average_precision"],
        "mean_average_precision": mean_average_precision(truth[keep], scores[keep]),
        "macro_auc": macro_auc(truth[keep], scores[keep]),
        "micro_f1_at_global": micro_f1(truth[keep], one[keep]),
    }


def main(
    data: Annotated[str, typer.Argument(help="Data set, a folder in corpus/")] = "goemotions",
    training: Annotated[
        Path | None,
        typer.Option(help="Folder of <run>/pipeline", show_default="training/<data>"),
    ] = None,
) -> None:
    """Note which test docs are in train, and score what is trained without them."""
    folder = Path("metrics") / data
    try:
        found = leaks(Path("corpus") / data, folder, training or Path("training") / data)
    except ValueError as error:
        msg.fail("Cannot compare test with train", str(error), exits=1)
    count = f"{len(found['rows'])} of {found['docs']} docs ({found['exact']} word for word)"
    msg.good(f"{count} are in train; {len(found['runs'])} runs scored: {folder / NAME}")


if __name__ == "__main__":
    typer.run(main)
