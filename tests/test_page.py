"""The page shows what Predictor says, of one pipeline and of two, and survives bad input."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import spacy
import streamlit as st
from streamlit.testing.v1 import AppTest

from scripts import loaded as module
from scripts.explain import as_html
from scripts.kept import keep
from scripts.page import MOST
from scripts.page_parts import MOST_EXPLAINED
from scripts.predictor import Predictor
from scripts.texts import read_texts
from tests.browser import BROWSER, compare_with, opened, served, type_text
from tests.conftest import LABELS, ROOT, make_nlp

HAPPY = "What a lovely morning, so happy"
FILE = str(ROOT / "scripts" / "page.py")


@pytest.fixture(scope="module")
def pipelines(files, tmp_path_factory) -> list[Path]:
    """Two pipelines that decide differently, as training/tiny/{a,b}/pipeline."""
    folder = tmp_path_factory.mktemp("page") / "training" / "tiny"
    for name, steps, least in (("a", 25, 0.3), ("b", 5, 0.2)):
        nlp = spacy.load(files["model"]) if steps == 25 else make_nlp(steps=steps)
        nlp.add_pipe("decide").set(dict.fromkeys(LABELS, least), least)
        (folder / name).mkdir(parents=True)
        nlp.to_disk(folder / name / "pipeline")
    return [folder / name / "pipeline" for name in "ab"]


@pytest.fixture
def page(pipelines, monkeypatch) -> AppTest:
    """The page as it is opened."""
    return open_page(monkeypatch, pipelines)


def open_page(monkeypatch, models: list[Path]) -> AppTest:
    monkeypatch.setattr(sys, "argv", [FILE, *map(str, models)])
    found = AppTest.from_file(FILE, default_timeout=60).run()
    assert not found.exception
    return found


def type_in(page: AppTest, text: str) -> AppTest:
    return page.text_area(key="text").input(text).run()


def html_of(page: AppTest) -> str:
    return "\n".join(found.proto.body for found in page.get("html"))


def charts_of(page: AppTest) -> list[dict]:
    return [json.loads(found.proto.spec) for found in page.get("vega_lite_chart")]


def chips_of(row: dict) -> list[str]:
    return [f"{label} <strong>{row['scores'][label]:.2f}</strong>" for label in row["emotions"]]


def test_it_opens_with_the_pipelines_and_asks_for_a_text(page):
    assert page.selectbox(key="model").options == ["tiny/a", "tiny/b"]
    assert page.selectbox(key="other").options == ["no other", "tiny/b"]
    assert page.info[0].value.startswith("Write a text") and not page.error
    assert not page.get("vega_lite_chart")
    assert type_in(page, " \n\t ").info[0].value.startswith("Write a text")


def test_it_shows_the_decision_the_scores_and_the_words(page, pipelines):
    type_in(page, HAPPY)
    (row,) = Predictor(pipelines[0]).predict([{"text": HAPPY}], with_words=True)
    shown = html_of(page)
    assert row["emotions"] and not page.exception and not page.error
    assert all(chip in shown for chip in chips_of(row))
    assert shown.count("<strong>") == 2 * len(row["emotions"])  # chips and words
    assert all(as_html(found) in shown for found in row["explanation"])
    assert "tiny/a" in shown and "tiny/b" not in shown
    top, every = charts_of(page)
    assert len(top["layer"]) == 2 and len(every["layer"]) == 2
    assert page.expander[0].label == "All 3 scores"
    assert "3 labels, each with a threshold of its own: 0.30 to 0.30." in shown
    assert "tiny/a.json: no such file" in shown.replace("metrics/", "")


@pytest.mark.slow
def test_two_are_side_by_side_with_their_differences(page, pipelines):
    page.selectbox(key="other").select("tiny/b")
    type_in(page, HAPPY)
    shown = html_of(page)
    for pipeline in pipelines:
        (row,) = Predictor(pipeline).predict([{"text": HAPPY}])
        assert all(chip in shown for chip in chips_of(row))
    assert "<h3>tiny/a</h3>" in shown and "<h3>tiny/b</h3>" in shown
    assert "Their scores differ most for" in shown and len(charts_of(page)) == 4
    page.selectbox(key="model").select("tiny/b").run()
    assert page.selectbox(key="other").options == ["no other", "tiny/a"]
    assert not page.exception


def test_a_post_of_the_sample_is_read_and_its_true_labels_are_shown(page):
    row = next(read_texts(ROOT / "assets" / "sample" / "test.tsv"))
    labels = (ROOT / "assets" / "sample" / "emotions.txt").read_text().splitlines()
    assert len(page.selectbox(key="post").options) == 430 + 424
    assert page.selectbox(key="post").options[0] == f"test: {row['text']}"
    page.selectbox(key="post").select_index(0).run()
    assert page.text_area(key="text").value == row["text"]
    shown = html_of(page)
    true = [labels[int(number)] for number in row["labels"].split(",")]
    assert "Its labels in the sample (test): " in shown
    assert all(f">{label}</span>" in shown for label in true)
    type_in(page, HAPPY)
    assert page.selectbox(key="post").value is None
    assert "Its labels in the sample" not in html_of(page)


def test_without_the_sample_there_is_no_choice_of_posts(pipelines, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    st.cache_data.clear()
    found = open_page(monkeypatch, pipelines)
    st.cache_data.clear()
    assert [box.key for box in found.selectbox] == ["model", "other"]


def test_a_long_text_gets_a_sentence_and_no_prediction(page):
    type_in(page, "a" * (MOST + 1))
    assert page.warning[0].value.startswith("5,001 characters. Expected at most 5,000 here")
    assert not charts_of(page)
    type_in(page, "a" * MOST)
    assert not page.warning and not page.exception and charts_of(page)


def test_words_of_a_longer_text_are_not_marked_and_it_says_so(page):
    type_in(page, "a" * (MOST_EXPLAINED + 1))
    said = "Words are marked in texts of at most 1,000 characters."
    assert page.caption[0].value == said and "aaa" not in html_of(page) and charts_of(page)
    type_in(page, "a" * MOST_EXPLAINED)
    assert said not in [found.value for found in page.caption] and "aaa" in html_of(page)


def test_signs_of_html_are_shown_as_signs(page):
    type_in(page, "<script>alert(1)</script> so happy & **glad**")
    shown = html_of(page)
    assert "<script" not in shown and "&lt;" in shown and "&amp;" in shown and "**" in shown


@pytest.mark.slow
def test_a_text_without_a_decision_says_so(files, tmp_path, monkeypatch):
    nlp = spacy.load(files["model"])
    nlp.add_pipe("decide").set(dict.fromkeys(LABELS, 1.0), 1.0)
    nlp.to_disk(tmp_path / "strict")
    page = type_in(open_page(monkeypatch, [tmp_path / "strict"]), "The shop opens at nine")
    assert "No score reaches its threshold, so nothing is decided." in html_of(page)
    assert page.selectbox(key="other").disabled


@pytest.mark.slow
def test_a_damaged_pipeline_gets_a_sentence_and_the_other_still_answers(
    pipelines, tmp_path, monkeypatch
):
    for name in ("damaged", "gone"):
        shutil.copytree(pipelines[0], tmp_path / name)
    (tmp_path / "damaged" / "textcat_multilabel" / "model").write_bytes(b"no model")
    page = open_page(monkeypatch, [pipelines[0], tmp_path / "damaged", tmp_path / "gone"])
    shutil.rmtree(tmp_path / "gone")
    type_in(page, HAPPY)
    for name, said in (("damaged", "cannot be loaded"), ("gone", "no pipeline here")):
        page.selectbox(key="other").select(str(tmp_path / name)).run()
        assert page.error[0].value == "This pipeline cannot be used." and not page.exception
        assert f"{name}: {said}" in html_of(page)
        assert len(charts_of(page)) == 2  # of the first one


def test_a_pipeline_without_thresholds_says_what_to_run(files, monkeypatch):
    page = type_in(open_page(monkeypatch, [files["model"]]), HAPPY)
    assert "no tuned thresholds. Run python -m scripts.decide first." in html_of(page)


def test_a_pipeline_serves_one_visitor_at_a_time(pipelines, monkeypatch):
    model = str(pipelines[0])
    predictor, held = keep(model), []
    monkeypatch.setattr(
        predictor.nlp, "pipe", lambda texts, **_: held.append(predictor._lock.locked()) or []
    )
    with pytest.raises(ValueError, match="shorter"):  # nothing came back for the text
        module.read(model, module.time_of(model), "held?")
    monkeypatch.setattr(
        "scripts.predictor.explain", lambda *_: held.append(predictor._lock.locked()) or []
    )
    module.find_words(model, module.time_of(model), {"text": "held?"})
    assert held == [True, True] and not predictor._lock.locked()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_in_a_browser_a_text_is_read_and_two_pipelines_are_compared(pipelines, tmp_path):
    rows = [next(Predictor(path).predict([{"text": HAPPY}])) for path in pipelines]
    with served(pipelines, tmp_path / "log") as address, opened(address) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        type_text(page, HAPPY)
        for label in rows[0]["emotions"]:
            text = f"{label} {rows[0]['scores'][label]:.2f}"
            assert page.locator("span", has_text=text).first.is_visible()
        compare_with(page, "tiny/b")
        for pipeline, row in zip("ab", rows, strict=True):
            column = page.get_by_test_id("stColumn").filter(has_text=f"tiny/{pipeline}").last
            shown = column.inner_text()
            for label in row["emotions"]:
                assert f"{label} {row['scores'][label]:.2f}" in shown
            assert column.locator("canvas, svg.marks").first.is_visible()
        assert page.get_by_text("Their scores differ most for").is_visible()
        for sign in ("stException", "stAlertContentError"):
            assert page.get_by_test_id(sign).count() == 0
        assert len(asked) > 5 and [url for url in asked if not url.startswith(address)] == []
    assert "Traceback" not in (tmp_path / "log").read_text()
