"""What README and docs say is there: commands, links, and the numbers of the table."""

import json
import re
import shutil
import subprocess

import pytest
import srsly

from benchmarks.scale import as_table, speeds
from scripts.compare import as_markdown, compare, differences
from scripts.compare_decoders import table_of
from scripts.compare_entities import compare_entities
from scripts.compare_runs import compare_runs
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PROJECT = srsly.read_yaml(ROOT / "project.yml")
COMMANDS = {command["name"] for command in PROJECT["commands"]} | set(PROJECT["workflows"])


def test_there_are_pages():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_links_of_a_page_exist(page):
    text = page.read_text(encoding="utf8")
    for folder, module in re.findall(r"\b(scripts|benchmarks)\.(\w+)", text):
        assert (ROOT / folder / f"{module}.py").exists(), module
    for name in re.findall(r"spacy project run (?!my_)([\w-]+)", text):  # my_: the reader's own
        assert name in COMMANDS, name
    for config in re.findall(r"\bconfigs/(?!my_)(\w+)\.cfg", text):
        assert (ROOT / "configs" / f"{config}.cfg").exists(), config
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / link).exists(), link


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "page"), [("goemotions", "README.md"), ("goemotions-1k", "docs/lmao.md")]
)
def test_the_results_table_is_what_the_metrics_say(data, page, tmp_path):
    # Not those of your own experiments, which git does not know yet.
    command = ["git", "ls-files", f"metrics/{data}"]
    known = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    for name in known or (ROOT / "metrics" / data).glob("*.json"):
        shutil.copy(ROOT / name, tmp_path)
    text = (ROOT / page).read_text(encoding="utf8")
    assert as_markdown(compare(tmp_path, "test")) in text
    assert as_markdown(differences(tmp_path, "test")) in text


@pytest.mark.parametrize("search", sorted((ROOT / "metrics" / "search").iterdir()), ids=str)
def test_the_arms_of_a_search_are_in_the_page_that_reads_them(search):
    page = (ROOT / "docs" / "lmao.md").read_text(encoding="utf8")
    arms = (search / "tables.md").read_text(encoding="utf8").split("\n\n")[1].splitlines()
    scored = [line for line in arms if "|  |  |" not in line]
    assert len(scored) >= 3 and all(line in page for line in scored)


def test_the_table_of_entities_is_what_the_metrics_say():
    page = (ROOT / "docs" / "entities.md").read_text(encoding="utf8")
    names = ("wnut17", "ner_drugs", "ner_fashion_brands", "anatem")
    rows = compare_entities([ROOT / "metrics" / name for name in names], reference="ner-vectors")
    assert {row["seeds"] for row in rows.values()} == {"3"} and len(rows) == 9
    assert as_markdown(rows) in page


def test_the_tables_of_text_to_text_are_what_the_metrics_say():
    page = (ROOT / "docs" / "seq2seq.md").read_text(encoding="utf8")
    folders = [ROOT / "metrics" / name for name in ("seq2seq_markup-plain", "seq2seq_markup")]
    assert as_markdown(compare_runs(folders)) in page
    entities = compare_entities(folders[1:], reference="ner_crf")
    assert len(entities) == 3
    assert as_markdown(entities) in page
    decoders = json.loads((folders[1] / "decoders.json").read_text())
    assert as_markdown(table_of(decoders), "decoder") in page


def test_the_table_of_references_is_what_the_metrics_say():
    page = (ROOT / "docs" / "references.md").read_text(encoding="utf8")
    rows = compare_runs([ROOT / "metrics" / "cora"], task="tokens")
    assert [row["seeds"] for row in rows.values()] == ["3", "3"]
    assert as_markdown(rows) in page


def test_the_costs_are_what_the_benchmarks_measured():
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf8")
    assert as_table(speeds(ROOT / "metrics" / "goemotions")) in page


def test_the_table_of_the_probe_is_what_was_measured():
    page = (ROOT / "docs" / "card.md").read_text(encoding="utf8")
    files = [ROOT / "metrics" / "goemotions" / f"{c}-seed0.probe.json" for c in ("cnn", "bert")]
    cnn, bert = (json.loads(file.read_text())["sets"] for file in files)
    lines = [line for line in page.splitlines() if line.count(" % |") == 2]
    expected = []
    for name, part in cnn.items():
        for group, found in part["groups"].items():
            cells = [f"{name}: {group}", str(found["sentences"])]
            for one in (found, bert[name]["groups"][group]):
                top = one["largest"][0]
                cells.append(f"{100 * one['changed_share']:.1f} %")
                cells.append(f"{top['term']}: {top['label']} {top['shift']:+.3f}")
            expected.append(f"| {' | '.join(cells)} |")
    assert len(expected) == 13 and lines == expected


def test_there_is_a_search_with_its_tables():
    assert (ROOT / "metrics" / "search" / "lmao" / "results.csv").exists()
