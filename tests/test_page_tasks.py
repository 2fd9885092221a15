"""The page shows marked texts and written ones, and compares like with like."""

import shutil
import sys
from pathlib import Path

import pytest
import spacy
from streamlit.testing.v1 import AppTest

from scripts.predict import predict
from scripts.tagged import row_html
from tests.browser import BROWSER, opened, served, type_text
from tests.conftest import ROOT
from tests.small_tasks import TARGET, TEXT, make_entities, save_all

FILE = str(ROOT / "scripts" / "page.py")
TASKS = ["entities", "tokens", "pairs"]
MARKED = {"entities": "Ada Kent", "tokens": "Ada Kent", "pairs": "Oslo"}


@pytest.fixture(scope="module")
def models(tmp_path_factory, decided) -> list[Path]:
    """Pipelines of all tasks, and a second one that finds entities and knows none."""
    folder = tmp_path_factory.mktemp("page") / "training"
    save_all(folder.parent)
    shutil.copytree(decided, folder / "small" / "textcat" / "pipeline")
    (folder / "small" / "other").mkdir()
    nlp = make_entities()
    nlp.get_pipe("ner_crf").model.get_ref("output").set_param("b", -bias(nlp))
    nlp.to_disk(folder / "small" / "other" / "pipeline")
    names = [*TASKS, "textcat", "other"]
    return [folder / "small" / name / "pipeline" for name in names]


def bias(nlp: spacy.Language):
    """Return numbers that make everything but "outside" unlikely when they are taken away."""
    found = nlp.get_pipe("ner_crf").model.get_ref("output").get_param("b").copy()
    found[:] = [0.0 if place % 5 == 0 else 9.0 for place in range(len(found))]
    return found


@pytest.fixture
def page(models, monkeypatch) -> AppTest:
    monkeypatch.setattr(sys, "argv", [FILE, *map(str, models)])
    found = AppTest.from_file(FILE, default_timeout=60).run()
    assert not found.exception
    return found


def html_of(page: AppTest) -> str:
    return "\n".join(found.proto.body for found in page.get("html"))


@pytest.mark.parametrize("task", TASKS)
def test_the_text_is_marked_and_nothing_of_classifiers_is_there(page, models, task):
    page.selectbox(key="model").select(f"small/{task}").run()
    page.text_area(key="text").input(TEXT).run()
    (row,) = predict(models[TASKS.index(task)], TEXT)
    shown = html_of(page)
    assert row_html(row) in shown and f">{MARKED[task]} <small" in shown
    assert (TARGET in shown) == (task == "pairs")
    assert not page.exception and not page.error
    assert not page.get("vega_lite_chart") and not page.caption
    assert [found.label for found in page.expander] == ["About this pipeline"]


def test_signs_of_html_are_shown_as_signs(page):
    page.text_area(key="text").input("<script>alert(1)</script> Ada & Bo").run()
    shown = html_of(page)
    assert "<script" not in shown and "&lt;" in shown and "&amp;" in shown


def test_only_pipelines_for_the_same_task_are_compared(page):
    assert page.selectbox(key="other").options == ["no other", "small/other"]
    page.selectbox(key="model").select("small/tokens").run()
    assert page.selectbox(key="other").options == ["no other"]
    assert page.selectbox(key="other").disabled


def test_two_are_compared_by_what_they_mark(page):
    page.selectbox(key="other").select("small/other").run()
    page.text_area(key="text").input(TEXT).run()
    shown = html_of(page)
    assert "They mark nothing in common." in shown
    assert "Only small/entities: Ada Kent (PERSON), Oslo (PLACE)." in shown
    assert shown.count("It finds entities; 2 labels: PERSON, PLACE.") == 2


def test_labels_of_the_sample_are_shown_to_classifiers_alone(page):
    page.selectbox(key="post").select_index(0).run()
    assert "Its labels in the sample" not in html_of(page)
    page.selectbox(key="model").select("small/textcat").run()
    assert "Its labels in the sample" in html_of(page) and not page.exception


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_in_a_browser_the_parts_are_marked(models, tmp_path):
    with served(models[:1], tmp_path / "log") as address, opened(address) as page:
        type_text(page, TEXT)
        marks = page.locator("mark")
        assert marks.all_inner_texts() == ["Ada Kent PERSON", "Oslo PLACE"]
        assert marks.first.is_visible()
        colour = marks.first.evaluate("mark => getComputedStyle(mark).backgroundColor")
        assert colour == "rgba(42, 127, 193, 0.2)"
        assert page.get_by_test_id("stException").count() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
