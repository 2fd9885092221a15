"""The page of the record says what the metrics say, with and without posts that are in train."""

import re
import shutil
import subprocess

import numpy
import pytest
import spacy
import srsly
import typer
from sklearn.metrics import average_precision_score, f1_score
from spacy.tokens import DocBin
from typer.testing import CliRunner

from scripts.bootstrap import pack
from scripts.decide import decide
from scripts.evaluate import evaluate
from scripts.files import hash_of
from scripts.leaks import kept, leaks, noted_of, read_leaks
from scripts.record import NONE, fill, main, record, tried
from scripts.scores import load_pipeline, predict_scores
from tests.conftest import LABELS, ROOT, ROWS

TRUTH = numpy.random.default_rng(7).random((200, 3)) < 0.3
CORPUS = "a" * 64
PAGE = ROOT / "docs" / "record.md"


def with_errors(rate, seed):
    """Return decisions of which a share is wrong."""
    return TRUTH ^ (numpy.random.default_rng(seed).random(TRUTH.shape) < rate)


def result_of(cells, config="cnn", seed=0, parts=(), method="expected", **scores):
    return {
        "docs": len(TRUTH),
        "macro_f1": f1_score(TRUTH, cells, average="macro", zero_division=0),
        "micro_f1": f1_score(TRUTH, cells, average="micro", zero_division=0),
        "mean_average_precision": 0.4,
        "decisions": {"at_global": {"macro_f1": 0.3, "micro_f1": 0.35}},
        "per_label": {f"label {number}": {} for number in range(3)},
        "conditions": {"corpus_sha256": CORPUS, "seed": seed, "thresholds": {"method": method}},
        "documents": {"truth": pack(TRUTH), "picked": pack(cells)},
        "experiment": {"config": f"configs/{config}.cfg", "parts": list(parts)},
        **scores,
    }


def write(folder, name, result):
    srsly.write_json(folder / f"{name}.json", result)


@pytest.fixture
def folder(tmp_path):
    """Test metrics of a baseline, a config with two seeds and its student; dev metrics of one."""
    write(tmp_path, "tfidf.test", result_of(with_errors(0.3, 0), method="exact"))
    for seed in (0, 1):
        cells = with_errors(0.1, 1 + seed)
        write(tmp_path, f"cnn-seed{seed}.test", result_of(cells, seed=seed))
    write(tmp_path, "cnn-distilled-seed0.test", result_of(with_errors(0.02, 5)))
    write(tmp_path, "cnn-seed0", result_of(with_errors(0.1, 1)))
    return tmp_path


def run_main(*arguments):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, arguments)


# The page -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_tables_of_the_page_are_what_the_metrics_say(tmp_path):
    # Not those of your own experiments, which git does not know yet.
    command = ["git", "ls-files", "metrics/goemotions"]
    known = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    for name in known or sorted((ROOT / "metrics" / "goemotions").glob("*.json")):
        shutil.copy(ROOT / name, tmp_path)
    page, tables = PAGE.read_text(encoding="utf8"), record(tmp_path)
    assert len(tables["test"]) >= 7 and set(tables["leaks"]) == set(tables["test"])
    assert fill(page, tables) == page


def test_the_page_names_as_many_posts_as_were_found():
    found = read_leaks(ROOT / "metrics" / "goemotions")
    page = PAGE.read_text(encoding="utf8")
    assert f"{len(found['rows'])} posts of test have the text of a post of train" in page
    assert f"{found['exact']} have the very text" in page
    audit = srsly.read_json(ROOT / "metrics" / "goemotions" / "audit.json")["leaks"]
    same = {"exact": found["exact"], "normalised": len(found["rows"])}
    assert audit["test in train"] == same


def test_every_row_of_the_readme_is_in_the_page():
    cells = {}
    for page in (ROOT / "README.md", PAGE):
        text = page.read_text(encoding="utf8").split("| config | seeds |", 1)[1]
        header, _, *lines = ("| config | seeds |" + text).split("\n\n")[0].splitlines()
        names = [name.strip() for name in header.split("|")[1:-1]]
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
        cells[page.name] = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
    readme, found = cells["README.md"], cells["record.md"]
    assert len(readme) >= 7 and list(readme) == list(found)
    for name, row in readme.items():
        assert row.items() <= found[name].items(), name


def test_tables_go_between_their_marks_and_nothing_else_changes():
    page = "a\n<!-- record: one -->\nold\n\nold\n<!-- record: end -->\nb\n"
    page += "<!-- record: two -->\n<!-- record: end -->\n"
    tables = {"one": {"cnn": {"seeds": "3"}}, "two": {}}
    filled = fill(page, tables)
    assert filled == (
        "a\n<!-- record: one -->\n| config | seeds |\n| --- | --- |\n| cnn | 3 |\n"
        f"<!-- record: end -->\nb\n<!-- record: two -->\n{NONE}\n<!-- record: end -->\n"
    )
    assert fill(filled, tables) == filled


@pytest.mark.parametrize("names", [["one"], ["one", "two", "three"]])
def test_a_mark_without_a_table_and_a_table_without_a_mark_are_named(names):
    page = "<!-- record: one -->\n<!-- record: end -->\n<!-- record: two -->\n<!-- record: end -->"
    with pytest.raises(ValueError, match=rf"Marks one, two\. Expected {', '.join(names)}, each"):
        fill(page, {name: {} for name in names})


def test_the_command_prints_the_tables_or_puts_them_into_a_page(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "metrics" / "mine", ignore=lambda *_: ["metrics"])
    printed = run_main("mine")
    assert printed.exit_code == 0 and "| cnn | tfidf | 2 against 1 |" in printed.stdout
    names = ("test", "leaks", "baseline", "distilled", "tried")
    marks = "".join(f"<!-- record: {name} -->\n<!-- record: end -->\n" for name in names)
    (tmp_path / "page.md").write_text(marks)
    assert run_main("mine", "--page", "page.md").exit_code == 0
    assert "| cnn | tfidf | 2 against 1 |" in (tmp_path / "page.md").read_text()
    assert run_main("other").exit_code == 1


# The tables ---------------------------------------------------------------------------------------


def test_rows_are_compared_with_the_baseline_and_students_with_what_they_are_without(folder):
    tables = record(folder)
    assert list(tables["test"]) == ["cnn-distilled", "cnn", "tfidf"]
    assert tables["test"]["cnn"]["seeds"] == "2"
    assert tables["test"]["cnn"]["macro-F1, one threshold"] == "0.300 ± 0.000"
    assert [row["thresholds"] for row in tables["test"].values()] == ["expected"] * 2 + ["exact"]
    assert {name: row["versus"] for name, row in tables["baseline"].items()} == {
        "cnn-distilled": "tfidf",
        "cnn": "tfidf",
    }
    assert {name: row["versus"] for name, row in tables["distilled"].items()} == {
        "cnn-distilled": "cnn"
    }
    assert tables["distilled"]["cnn-distilled"]["verdict"] == "better"
    assert (tables["leaks"], tables["tried"]) == ({}, {})


def test_a_student_whose_config_has_no_metrics_of_its_own_is_not_compared(tmp_path):
    write(tmp_path, "lstm-distilled-seed0.test", result_of(with_errors(0.1, 1)))
    write(tmp_path, "lstm-seed0", result_of(with_errors(0.1, 1)))
    tables = record(tmp_path)
    assert (tables["distilled"], tables["baseline"]) == ({}, {})


def test_what_was_tried_stands_beside_what_it_changes_with_the_difference_over_shared_seeds():
    def runs(config, scores, parts=()):
        return {
            seed: result_of(TRUTH, config, seed, parts, macro_f1=score, macro_auc=0.9)
            for seed, score in enumerate(scores)
        }

    found = tried(
        {
            "tried-bert-swa": runs("bert", [0.57, 0.56]),
            "bert": runs("bert", [0.55, 0.55, 0.1]),
            "tried-cnn-more": runs("cnn", [0.53], ["labels=soft", "distil=cnn"]),
            "cnn-distilled": runs("cnn", [0.52], ["labels=soft"]),
            "tfidf": runs("", [0.5]),
            "cnn": runs("cnn", [0.49]),
            "tried-cnn-less": runs("cnn", [0.48]),
            "tried-new": runs("lstm", [0.4]),
            "tried-cnn-less-still": runs("cnn", [0.3]),
            "tried-cnn-less-still-more": runs("cnn", [0.35]),
            "tried-cnn-lesser": runs("cnn", [0.47]),
        }
    )
    assert {
        name: (row["versus"], row["difference in macro-F1"]) for name, row in found.items()
    } == {
        "tried-bert-swa": ("bert", "+0.015 ± 0.007"),
        "bert": ("", ""),
        "tried-cnn-more": ("cnn-distilled", "+0.010"),
        "cnn-distilled": ("", ""),
        "cnn": ("", ""),
        "tried-cnn-less": ("cnn", "-0.010"),
        "tried-new": ("lstm", ""),
        "tried-cnn-less-still": ("tried-cnn-less", "-0.180"),
        "tried-cnn-less-still-more": ("tried-cnn-less-still", "+0.050"),
        "tried-cnn-lesser": ("cnn", "-0.020"),
    }
    assert found["tried-bert-swa"]["macro-F1"] == "0.565 ± 0.007"
    assert found["tried-bert-swa"]["seeds"] == "2"
    assert found["tried-bert-swa"]["AUC"] == "0.900 ± 0.000"


def test_scores_without_posts_of_train_leave_just_these_out(folder):
    rows = [0, 3, 199]
    noted = {"of_all": 0.4, "mean_average_precision": 0.123}
    write(
        folder,
        "leaks",
        {"corpus_sha256": CORPUS, "docs": 200, "rows": rows, "runs": {"tfidf": noted}},
    )
    table = record(folder)["leaks"]
    keep = [number for number in range(200) if number not in rows]
    truth, picked = TRUTH[keep], with_errors(0.3, 0)[keep]
    assert table["tfidf"]["macro-F1 without"] == f"{f1_score(truth, picked, average='macro'):.3f}"
    assert table["tfidf"]["micro-F1 without"] == f"{f1_score(truth, picked, average='micro'):.3f}"
    assert table["tfidf"]["mAP without"] == "0.123"
    assert table["cnn"]["mAP without"] == "" and table["cnn"]["macro-F1 without"] != ""


def test_what_was_noted_of_a_run_that_was_replaced_does_not_count():
    found = {"runs": {"cnn": {"of_all": 0.4}}}
    assert noted_of(found, "cnn", {"mean_average_precision": 0.4 + 1e-16}) == {"of_all": 0.4}
    assert noted_of(found, "cnn", {"mean_average_precision": 0.41}) == {}
    assert noted_of(found, "other", {"mean_average_precision": 0.4}) == {}


def test_metrics_of_another_corpus_than_the_leaks_are_named(folder):
    write(folder, "leaks", {"corpus_sha256": "b" * 64, "docs": 200, "rows": [], "runs": {}})
    with pytest.raises(ValueError, match=r"test\.json: of another corpus.*scripts\.leaks again"):
        record(folder)


# What is in train ---------------------------------------------------------------------------------


def write_corpus(path, rows):
    vocab = spacy.blank("en")
    docs = []
    for text, on in rows:
        doc = vocab.make_doc(text)
        doc.cats = {label: float(label in on) for label in LABELS}
        docs.append(doc)
    DocBin(docs=docs).to_disk(path)


@pytest.fixture
def project(files, tmp_path, monkeypatch):
    """A corpus whose test set has two texts of train, one but for case, and a scored pipeline."""
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "corpus" / "small"
    corpus.mkdir(parents=True)
    write_corpus(corpus / "train.spacy", ROWS[:4])
    test = [ROWS[0], (ROWS[1][0].upper() + "!!", {"joy"}), *ROWS[2:4], *ROWS[4:]]
    test[2] = ("The shop opens at ten", {"neutral"})
    test[3] = ("You lost! I love that", {"anger"})
    write_corpus(corpus / "test.spacy", test)
    metrics, training = tmp_path / "metrics" / "small", tmp_path / "training" / "small"
    decide(files["model"], corpus / "test.spacy", training / "cnn-seed0" / "pipeline")
    evaluate(
        training / "cnn-seed0" / "pipeline",
        corpus / "test.spacy",
        metrics / "cnn-seed0.test.json",
        resamples=0,
    )
    return corpus, metrics, training


def test_leaks_are_found_and_pipelines_scored_without_them(project):
    corpus, metrics, training = project
    found = leaks(corpus, metrics, training)
    assert found == read_leaks(metrics)
    assert (found["rows"], found["exact"], found["docs"]) == ([0, 1], 1, 8)
    assert found["corpus_sha256"] == hash_of(corpus / "test.spacy")
    assert kept(found).tolist() == [False, False, *[True] * 6]
    nlp = load_pipeline(training / "cnn-seed0" / "pipeline")
    scores = predict_scores(nlp, corpus / "test.spacy")
    expected = [
        average_precision_score(scores.truth[2:, label], scores.scores[2:, label])
        for label in range(3)
    ]
    noted = found["runs"]["cnn-seed0"]
    assert noted["mean_average_precision"] == pytest.approx(numpy.mean(expected))
    result = srsly.read_json(metrics / "cnn-seed0.test.json")
    one = scores.scores[2:] >= result["global_threshold"]
    micro = f1_score(scores.truth[2:], one, average="micro")
    assert noted["micro_f1_at_global"] == pytest.approx(micro)
    assert noted_of(found, "cnn-seed0", result) == noted


def test_what_was_noted_stays_when_the_pipeline_is_gone_and_goes_with_the_corpus(project):
    corpus, metrics, training = project
    noted = leaks(corpus, metrics, training)["runs"]
    shutil.rmtree(training)
    assert leaks(corpus, metrics, training)["runs"] == noted and noted
    write_corpus(corpus / "test.spacy", ROWS)
    assert leaks(corpus, metrics, training)["runs"] == {}


def test_a_pipeline_that_decides_otherwise_than_its_metrics_is_named(project):
    corpus, metrics, training = project
    path = metrics / "cnn-seed0.test.json"
    result = srsly.read_json(path)
    result["documents"]["picked"] = pack(numpy.zeros((8, 3), dtype=bool))
    srsly.write_json(path, result)
    with pytest.raises(ValueError, match=r"cnn-seed0\.test\.json: its pipeline decides otherwise"):
        leaks(corpus, metrics, training)


def test_one_pipeline_that_decides_otherwise_costs_no_other_run(project):
    corpus, metrics, training = project
    shutil.copytree(training / "cnn-seed0", training / "cnn-seed1")
    shutil.copy(metrics / "cnn-seed0.test.json", metrics / "cnn-seed1.test.json")
    shutil.copy(metrics / "cnn-seed0.test.json", metrics / "gone.test.json")
    shutil.copytree(training / "cnn-seed0", training / "gone")
    assert sorted(leaks(corpus, metrics, training)["runs"]) == ["cnn-seed0", "cnn-seed1", "gone"]
    (metrics / "leaks.json").unlink()
    result = srsly.read_json(metrics / "cnn-seed0.test.json")
    result["documents"]["picked"] = pack(numpy.zeros((8, 3), dtype=bool))
    srsly.write_json(metrics / "cnn-seed0.test.json", result)
    with pytest.raises(ValueError, match=r"cnn-seed0\.test\.json: its pipeline decides otherwise"):
        leaks(corpus, metrics, training)
    assert sorted(read_leaks(metrics)["runs"]) == ["cnn-seed1", "gone"]
    (metrics / "gone.test.json").unlink()
    (metrics / "cnn-seed0.test.json").unlink()
    assert list(leaks(corpus, metrics, training)["runs"]) == ["cnn-seed1"]


def test_marks_in_the_page_are_those_that_the_command_fills():
    marks = re.findall(r"<!-- record: (?!end)(\w+) -->", PAGE.read_text(encoding="utf8"))
    assert marks == ["test", "leaks", "baseline", "distilled", "tried"]
