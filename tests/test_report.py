"""The report shows what the metrics say, and the docs that they are made of."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from scripts import report_figures as draw
from scripts.bootstrap import resample_f1
from scripts.calibration import fit_curves
from scripts.evaluate import evaluate
from scripts.report import TEMPLATE, read_log, render, report
from scripts.report_findings import (
    co_occurrence,
    label_issues,
    label_rows,
    length_rows,
    repeated_texts,
    worst_errors,
)
from scripts.scores import predict_scores
from tests.browser import BROWSER, opened
from tests.conftest import LABELS, ROWS, make_examples

TRUTH = numpy.array([[1, 0], [1, 1], [0, 1], [0, 0]], dtype=bool)


def test_the_worst_error_is_the_least_expected_and_right_docs_are_left_out():
    likely = numpy.array([[0.9, 0.1], [0.6, 0.1], [0.2, 0.3], [0.1, 0.7]])
    found = worst_errors(["a", "b", "c", "d"], likely, TRUTH, likely >= 0.5, ["joy", "anger"])
    assert [row["text"] for row in found] == ["b", "c", "d"]
    assert found[0]["loss"] == pytest.approx(-numpy.log(0.6) - numpy.log(0.1))
    assert (found[0]["true"], found[0]["missed"]) == (["joy", "anger"], ["anger"])
    assert found[2]["added"] == ["anger"] and found[2]["missed"] == []


def test_labels_that_contradict_sure_scores_come_first():
    numbers = numpy.random.default_rng(0)
    truth = numpy.eye(3, dtype=bool)[numpy.arange(300) % 3]
    likely = numpy.where(truth, 0.9, 0.05) + numbers.uniform(-0.04, 0.04, truth.shape)
    given = truth.copy()
    given[[5, 50]] = given[[5, 50]][:, [2, 0, 1]]
    found = label_issues([str(n) for n in range(300)], likely, given, LABELS)
    assert {row["text"] for row in found} == {"5", "50"} and found[0]["found"] == 2
    assert found[0]["likely"] == [f"{LABELS[2]} {likely[int(found[0]['text'])].max():.2f}"]
    assert label_issues(["a"] * 300, likely, truth, LABELS) == []


def test_groups_of_lengths_divide_the_docs():
    picked = TRUTH.copy()
    picked[3] = True
    rows = length_rows([1, 5, 6, 99], TRUTH, picked)
    assert [(row["tokens"], row["docs"]) for row in rows] == [
        ("1 to 5", 2),
        ("6 to 10", 1),
        ("26 or more", 1),
    ]
    assert [row["micro_f1"] for row in rows] == [1.0, 1.0, 0.0]


def test_repeated_texts_are_counted_exactly_and_without_case_and_space():
    assert repeated_texts(["A b", "A b", "a  B", "c"]) == {"exact": 1, "normalised": 2}


def test_co_occurrence_is_the_share_of_the_row_s_docs():
    found = co_occurrence(numpy.array([[1, 1, 0], [1, 0, 0]], dtype=bool))
    numpy.testing.assert_equal(
        found, [[numpy.nan, 0.5, 0], [1, numpy.nan, 0], [numpy.nan, numpy.nan, numpy.nan]]
    )


def test_labels_are_ranked_and_their_interval_is_of_the_bootstraps():
    picked = TRUTH ^ [[0, 1], [0, 0], [0, 0], [0, 1]]
    metrics = {"per_label": {"joy": {"f1": 1.0}, "anger": {"f1": 2 / 3}}}
    rows = label_rows(metrics, TRUTH, picked)
    drawn = resample_f1(TRUTH, picked)
    assert drawn[0].tolist() == pytest.approx([1.0, 2 / 3])
    assert [row["label"] for row in rows] == ["joy", "anger"]
    assert rows[1]["low"] == pytest.approx(numpy.percentile(drawn[1:, 1], 2.5))
    assert rows[1]["low"] < 2 / 3 < rows[1]["high"]


def test_a_curve_is_drawn_with_few_points_and_keeps_its_ends():
    falling = numpy.linspace(1, 0, 5000) ** 3
    few = draw._spaced(falling)
    assert 100 < len(few) <= draw.POINTS
    assert few[0] == 0 and falling[few[-1]] < 1e-6
    assert numpy.abs(numpy.diff(falling[few])).max() < 0.02


def test_a_saved_figure_is_a_png_and_an_svg_in_the_colour_of_the_page(tmp_path):
    rows = [
        {"step": "1", "loss": "2.5", "score": "0.1"},
        {"step": "2", "loss": "1", "score": "0.3"},
    ]
    svg = draw.save(draw.learning_curve(rows), tmp_path / "learning.png")
    assert (tmp_path / "learning.png").read_bytes().startswith(b"\x89PNG")
    ET.fromstring(svg)
    assert "currentColor" in svg and draw.INK not in svg and "best 0.300" in svg
    names = re.findall(r'id="([^"]*)"', svg)
    assert names and all(name.startswith("learning-") for name in names)
    assert not [link for link in re.findall(r'href="#([^"]*)"', svg) if link not in names]
    again = draw.save(draw.learning_curve(rows), tmp_path / "learning.png")
    assert again == svg


@pytest.fixture(scope="module")
def made(files, tmp_path_factory) -> dict:
    """A report of a pipeline that decides, and what it is of."""
    folder = tmp_path_factory.mktemp("report")
    nlp = spacy.load(files["model"])
    found = predict_scores(nlp, files["dev.spacy"])
    curves = fit_curves(found.scores, found.truth, "isotonic", 1)
    settings = {"calibration": "isotonic", "min_support": 1, "seed": 0, "corpus_sha256": ""}
    thresholds = {"joy": 0.35, "anger": 0.999, "neutral": 0.35}  # so that some anger is missed
    nlp.add_pipe("decide").set(thresholds, 0.3, settings, curves)
    nlp.to_disk(folder / "pipeline")
    corpus, metrics = files["dev.spacy"], folder / "metrics.json"
    evaluate(folder / "pipeline", corpus, metrics, views=files["views.json"], resamples=5)
    log = folder / "log.csv"
    log.write_text("epoch,step,score,loss\n0,5,0.25,9\n1,10,0.5,4\n")
    places = {"pipeline": folder / "pipeline", "corpus": corpus, "metrics": metrics}
    facts = report(**places, output=folder / "report", log=log)
    return {**places, "output": folder / "report", "facts": facts}


@pytest.mark.slow
def test_the_page_holds_the_numbers_the_pictures_and_nothing_from_elsewhere(made):
    page = (made["output"] / "index.html").read_text(encoding="utf8")
    metrics = srsly.read_json(made["metrics"])
    assert f"<b>{metrics['macro_f1']:.3f}</b>macro-F1" in page
    assert f"{metrics['calibration']['after']['ece']:.4f}" in page
    for label, row in metrics["per_label"].items():
        assert f"<tr><td>{label}</td><td>{row['precision']:.3f}</td>" in page
    pictures = sorted(path.stem for path in made["output"].glob("*.png"))
    assert len(pictures) == page.count("<svg ") == 7 and "learning" in pictures
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    assert not re.findall(r"url\((?!#)", page)
    assert metrics["conditions"]["corpus_sha256"] in page
    assert len(made["facts"]["errors"]) == made["facts"]["wrong"]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [390, 1100])
def test_a_browser_searches_the_errors_and_loads_nothing_else(made, width):
    rows = made["facts"]["errors"]
    label = (rows[0]["true"] + rows[0]["added"])[0]
    with opened("about:blank", viewport={"width": width, "height": 800}) as page:
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((made["output"] / "index.html").as_uri())
        assert page.inner_text("#count") == f"{len(rows)} of {len(rows)}"
        page.select_option("#which", label)
        with_label = [row for row in rows if label in row["true"] + row["added"]]
        assert page.inner_text("#count") == f"{len(with_label)} of {len(rows)}"
        page.fill("#find", "no such words")
        assert page.inner_text("#count") == f"0 of {len(rows)}"
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert len(asked) == 1 and not said


@pytest.mark.slow
def test_texts_are_shown_as_they_are_and_never_run(made, tmp_path):
    row = {"text": "<script>alert(1)</script>", "true": [], "missed": [], "added": [], "loss": 1.0}
    facts = made["facts"] | {"errors": [row]}
    page = render(TEMPLATE, facts, {})
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page


@pytest.mark.slow
def test_metrics_of_something_else_are_refused_and_the_earlier_report_stays(made, tmp_path):
    before = (made["output"] / "index.html").read_bytes()
    other = tmp_path / "other.json"
    found = srsly.read_json(made["metrics"])
    for key, value, what in (
        ("config_sha256", "0", "pipeline"),
        ("thresholds", {}, "pipeline"),
        ("corpus_sha256", "0", "corpus"),
    ):
        conditions = found["conditions"] | {key: value}
        srsly.write_json(other, found | {"conditions": conditions})
        with pytest.raises(ValueError, match=f"of another {what} than"):
            report(made["pipeline"], made["corpus"], other, made["output"])
    assert (made["output"] / "index.html").read_bytes() == before


def test_a_folder_that_is_no_report_is_not_replaced(files, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    (tmp_path / "mine" / "index.html").write_text("my own")
    with pytest.raises(ValueError, match="no report"):
        report(files["model"], files["dev.spacy"], tmp_path / "m.json", tmp_path / "mine")


def test_a_log_of_something_else_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="Expected columns step, loss and score"):
        read_log(tmp_path / "log.csv")
    assert read_log(Path("nowhere.csv")) == []


def test_a_label_with_dollars_is_drawn_as_it_is(tmp_path):
    row = {"label": r"a$\foo$", "f1": 0.5, "low": 0.2, "high": 0.7, "support": 3}
    svg = draw.save(draw.label_scores([row], 0.5), tmp_path / "labels.png")
    assert r"a$\foo$" in svg


@pytest.mark.slow
def test_docs_without_tokens_are_left_out_of_all_parts(made, tmp_path):
    docs = [*ROWS[:3], ("", {"joy"}), *ROWS[3:]]
    nlp = spacy.load(made["pipeline"])
    corpus = tmp_path / "dev.spacy"
    DocBin(docs=[example.reference for example in make_examples(nlp, docs)]).to_disk(corpus)
    evaluate(made["pipeline"], corpus, tmp_path / "m.json", resamples=0)
    facts = report(made["pipeline"], corpus, tmp_path / "m.json", tmp_path / "report")
    texts = [text for text, _ in ROWS]
    assert sum(row["docs"] for row in facts["lengths"]) == 8
    for row in facts["errors"]:
        assert set(row["true"]) == dict(ROWS)[row["text"]] and row["text"] in texts
