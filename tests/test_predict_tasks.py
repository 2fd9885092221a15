"""Pipelines of every task are predicted by the same function, into the same files."""

import csv
import html
import json
from pathlib import Path

import pytest
import spacy
import srsly
import typer
from typer.testing import CliRunner

from scripts.predict import main, predict
from scripts.predict_file import predict_file
from scripts.predict_shards import Worker
from scripts.predictor import Predictor, describe
from scripts.tasks import OWN
from scripts.texts import read_texts
from tests.conftest import LABELS
from tests.pdfs import lines_page, write_pdf
from tests.small_tasks import TARGET, TEXT, save_all

TAGGED = {
    "entities": "<PERSON>Ada Kent</PERSON> ran to <PLACE>Oslo</PLACE>.",
    "tokens": "<who>Ada Kent</who> <does>ran to</does> <where>Oslo.</where>",
}
TAGS = ["who", "who", "does", "does", "where", "where"]
SAID = {**TAGGED, "pairs": TARGET}
TASKS = list(SAID)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    save_all(folder)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    """Short names are of training/ where the process is."""
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("task", TASKS)
def test_a_row_has_what_the_task_gives_and_what_it_had(task):
    predictor = Predictor(f"small/{task}")
    (row,) = predictor.predict([{"id": 7, "text": TEXT}])
    assert list(row) == ["id", "text", *(key for key in OWN[task] if key in row)]
    assert (predictor.task, row["id"], describe(row, task)) == (task, 7, SAID[task])
    assert predictor.labels == list(predictor.nlp.get_pipe(predictor.nlp.pipe_names[0]).labels)
    assert predictor.thresholds == {} and predictor.folder == Path(
        f"training/small/{task}/pipeline"
    )


def test_entities_words_and_texts_are_in_the_row():
    (entities,), (words,), (pair,) = (predict(f"small/{task}", TEXT) for task in TASKS)
    assert [found["text"] for found in entities["entities"]] == ["Ada Kent", "Oslo"]
    assert entities["entities"][0]["confidence"] > 0.9
    assert words["tags"] == TAGS and "entities" not in words
    assert pair["target"] == TARGET
    assert [(found["label"], found["text"]) for found in pair["entities"]] == [
        ("PERSON", "Ada Kent"),
        ("PLACE", "Oslo"),
    ]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "asked", [{"what": "scores"}, {"top_k": 1}, {"with_words": True}], ids=lambda x: next(iter(x))
)
def test_what_is_for_classifiers_is_refused_before_anything_is_read(task, asked, tmp_path):
    with pytest.raises(
        ValueError, match=r"with a pipeline that .*\. Expected one that labels texts"
    ):
        predict(f"small/{task}", iter(()), **asked)
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(ValueError, match="Expected one that labels texts"):
        predict_file(f"small/{task}", tmp_path / "a.txt", tmp_path / "out.csv", **asked)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_words_of_other_tasks_are_not_explained():
    with pytest.raises(ValueError, match="explain with a pipeline that writes texts"):
        Predictor("small/pairs").explain({"text": TEXT})


def test_a_pipeline_for_nothing_is_refused(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match=r"Pipeline \[\]\. Expected one of textcat_multilabel"):
        predict(tmp_path / "blank", TEXT)


# Inputs.


def test_a_text_is_mended_whatever_it_comes_in(tmp_path, decided):
    broken, whole = "so hap-\npy to\nsee", "so happy to see"
    srsly.write_jsonl(tmp_path / "a.jsonl", [{"text": broken, "n": 1}])
    (tmp_path / "a.csv").write_text(f'text\n"{broken}"\n')
    for texts in (broken, [broken], iter([broken]), tmp_path / "a.jsonl", tmp_path / "a.csv"):
        (row,) = predict(decided, texts, dehyphen=True)
        assert row["text"] == whole
        assert row["scores"] == next(predict(decided, whole))["scores"]
    assert next(predict(decided, tmp_path / "a.jsonl"))["text"] == broken


def test_the_text_of_another_column_is_mended_and_the_column_stays(tmp_path):
    srsly.write_jsonl(tmp_path / "a.jsonl", [{"post": "a-\nb"}])
    (row,) = read_texts(tmp_path / "a.jsonl", column="post", dehyphen=True)
    assert row == {"post": "a-\nb", "text": "ab"}


def test_units_of_a_file_are_texts(tmp_path):
    (tmp_path / "a.txt").write_text("one exam-\nple\n\ntwo\n")
    found = {}
    for unit in (None, "line", "paragraph", "file"):
        rows = predict("small/tokens", tmp_path / "a.txt", unit=unit, dehyphen=True)
        found[unit] = [row["text"] for row in rows]
    assert found == {
        None: ["one example", "", "two"],
        "line": ["one example", "", "two"],
        "paragraph": ["one example", "two"],
        "file": ["one example\n\ntwo"],
    }


def test_a_pdf_is_predicted_page_by_page(tmp_path):
    source = write_pdf(tmp_path / "a.pdf", lines_page("Ada Kent ran", "to Oslo."), lines_page("x"))
    first, second = predict("small/entities", source, dehyphen=True)
    assert (first["page"], first["text"], first["tagged_text"]) == (1, TEXT, TAGGED["entities"])
    assert (second["page"], second["text"]) == (2, "x")


def test_settings_of_files_are_for_files():
    for setting in ({"unit": "line"}, {"column": "post"}):
        with pytest.raises(ValueError, match=r"column and unit are for files\. Expected the Path"):
            predict("small/tokens", [TEXT], **setting)


@pytest.mark.parametrize(
    ("task", "taken"), [("entities", "tags"), ("tokens", "tokens"), ("pairs", "target")]
)
def test_keys_that_the_task_adds_are_taken_and_those_of_others_are_not(
    task, taken, tmp_path, decided
):
    srsly.write_jsonl(tmp_path / "a.jsonl", [{"text": TEXT, taken: "mine"}])
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 1: '{taken}' is taken"):
        list(predict(f"small/{task}", tmp_path / "a.jsonl"))
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 1: '{taken}' is taken"):
        list(predict(f"small/{task}", tmp_path))
    (row,) = predict(decided, tmp_path / "a.jsonl")
    assert row[taken] == "mine" and set(row["scores"]) == set(LABELS)
    predict_file(decided, tmp_path / "a.jsonl", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        assert list(next(csv.DictReader(file)))[:3] == ["text", taken, "emotions"]


# Outputs.


@pytest.mark.parametrize("task", TASKS)
def test_rows_are_saved_as_jsonl_by_one_call(task, tmp_path):
    rows = predict(f"small/{task}", [TEXT, "é"], save=tmp_path / "new" / "out.jsonl")
    lines = (tmp_path / "new" / "out.jsonl").read_text(encoding="utf8").splitlines()
    saved = [json.loads(line) for line in lines]
    assert saved == list(rows) == list(predict(f"small/{task}", [TEXT, "é"]))
    assert '"é"' in lines[1]


def test_saving_keeps_an_earlier_file_when_a_text_fails_and_never_replaces_its_input(tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text('{"text": "earlier"}\n')

    def texts():
        yield TEXT
        raise RuntimeError

    with pytest.raises(RuntimeError):
        predict("small/tokens", texts(), save=output)
    with pytest.raises(ValueError, match=r"out\.jsonl: part of the input"):
        predict("small/tokens", output, save=output)
    with pytest.raises(ValueError, match=r"out\.csv: Expected a name in \.jsonl"):
        predict("small/tokens", TEXT, save=tmp_path / "out.csv")
    assert output.read_text() == '{"text": "earlier"}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("task", TASKS)
def test_a_table_has_lists_as_json(task, tmp_path):
    srsly.write_jsonl(tmp_path / "in.jsonl", [{"n": 1, "text": TEXT}])
    assert predict_file(f"small/{task}", tmp_path / "in.jsonl", tmp_path / "out.csv") == 1
    with (tmp_path / "out.csv").open(newline="") as file:
        (cells,) = csv.DictReader(file)
    (row,) = predict(f"small/{task}", TEXT)
    assert list(cells) == ["n", *row]
    for key, value in row.items():
        assert (json.loads(cells[key]) if isinstance(value, list) else cells[key]) == value


@pytest.mark.parametrize("task", TASKS)
def test_columns_of_the_texts_come_first_though_the_first_row_lacks_them(task, tmp_path):
    srsly.write_jsonl(tmp_path / "in.jsonl", [{"text": TEXT}, {"text": TEXT, "n": 1}])
    predict_file(f"small/{task}", tmp_path / "in.jsonl", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        assert next(csv.reader(file))[:2] == ["text", "n"]


@pytest.mark.parametrize("task", TASKS)
def test_a_page_marks_the_parts_and_shows_what_was_written(task, tmp_path):
    (tmp_path / "in.txt").write_text(f"{TEXT}\n<b>&\n")
    predict_file(f"small/{task}", tmp_path / "in.txt", tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text()
    marks = {
        "entities": ("Ada Kent", "PERSON"),
        "tokens": ("ran to", "does"),
        "pairs": ("Oslo", "PLACE"),
    }
    part, label = marks[task]
    assert f'">{part} <small style="opacity:.75">{label}</small></mark>' in page
    assert "<b>" not in page and "&lt;b&gt;" in page and "Blue speaks" not in page
    assert (f"→ {html.escape(TARGET)}</p>" in page) == (task == "pairs")
    assert page.count("<article>") == 2


def test_other_units_begin_a_file_anew(tmp_path):
    (tmp_path / "in.txt").write_text("a-\nb\n\nc\n")
    for settings, texts in (
        ({}, ["a-", "b", "", "c"]),
        ({"dehyphen": True}, ["ab", "", "c"]),
        ({"unit": "paragraph"}, ["a-\nb", "c"]),
    ):
        count = predict_file("small/tokens", tmp_path / "in.txt", tmp_path / "o.jsonl", **settings)
        assert [row["text"] for row in srsly.read_jsonl(tmp_path / "o.jsonl")] == texts
        assert count == len(texts)


def test_shards_are_predicted_for_any_task(folder, tmp_path):
    (tmp_path / "in").mkdir()
    srsly.write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": TEXT, "scores": 1}])
    places = (folder, Path("training/small/entities/pipeline"), tmp_path / "in", tmp_path / "out")
    found = Worker(*places, -1)({"file": "a.jsonl"})
    assert (found["error"], found["posts"]) == ("", 1)
    (row,) = srsly.read_jsonl(tmp_path / "out" / "a.jsonl")
    assert (row["scores"], row["tagged_text"]) == (1, TAGGED["entities"])


# The command.


def run(*arguments: str, **settings):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, list(map(str, arguments)), **settings)


@pytest.mark.parametrize("task", TASKS)
def test_the_command_prints_the_text_and_what_is_said_of_it(task):
    found = run(f"small/{task}", TEXT)
    assert (found.exit_code, found.output) == (0, f"{TEXT}\n    {SAID[task]}\n")
    found = run(f"small/{task}", "--json", input=f"{TEXT}\n")
    assert json.loads(found.output) == next(predict(f"small/{task}", TEXT))


def test_lines_of_stdin_are_cut_and_mended_as_those_of_a_file():
    found = run("small/tokens", "--json", "--dehyphen", "--unit", "paragraph", input="a-\nb\n\nc\n")
    assert [json.loads(line)["text"] for line in found.output.splitlines()] == ["ab", "c"]
    found = run("small/tokens", "--json", "--dehyphen", input="a-\nb\n\nc\n")
    assert [json.loads(line)["text"] for line in found.output.splitlines()] == ["ab", "", "c"]
    found = run("small/tokens", "--unit", "page", input="a\n")
    assert found.exit_code == 1 and "stdin: unit page, and no pages" in found.output


def test_the_command_reads_pdfs_and_writes_pages(tmp_path):
    write_pdf(tmp_path / "a.pdf", lines_page("Ada Kent ran", "to Oslo."))
    files = ("--input", tmp_path / "a.pdf", "--output", tmp_path / "out.jsonl")
    found = run("small/entities", *files, "--dehyphen", "--unit", "file")
    assert found.exit_code == 0 and "1 texts" in found.output
    (row,) = srsly.read_jsonl(tmp_path / "out.jsonl")
    assert (row["text"], row["tagged_text"]) == (TEXT, TAGGED["entities"]) and "page" not in row


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["small/tokens", TEXT, "--top-k", "1"], "top_k with a pipeline that tags words"),
        (["small/tokens", TEXT, "--explain"], "explain with a pipeline that tags words"),
        (["small/tokens", TEXT, "--what", "scores"], "what with a pipeline that tags words"),
        (["small/tokens", TEXT, "--unit", "line"], "--unit with a text"),
        (["small/nothing", TEXT], "small/nothing: no pipeline here"),
    ],
)
def test_the_command_refuses_in_a_sentence(arguments, said):
    found = run(*arguments)
    assert found.exit_code == 1 and said in found.output and "Traceback" not in found.output


def test_a_classifier_takes_mended_texts_through_the_command_too(decided):
    found = run(decided, "so hap-\npy", "--dehyphen", "--json")
    assert json.loads(found.output)["text"] == "so happy"


@pytest.mark.parametrize(
    ("texts", "settings", "said"),
    [
        (["x", "y"], {"batch_size": 0}, "^batch_size 0. Expected 1 or more"),
        (["x", None], {}, "^None: no text. Expected a str"),
        (["a\ud800"], {}, r"^'a\\ud800': no text"),
    ],
)
def test_what_cannot_be_predicted_is_named(texts, settings, said):
    with pytest.raises(ValueError, match=said):
        list(predict("small/tokens", texts, **settings))


def test_a_column_of_files_that_have_none_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    for source in (tmp_path / "a.txt", tmp_path):
        with pytest.raises(ValueError, match=r"column 'body', and no columns\. Expected a table"):
            list(read_texts(source, column="body"))
    (tmp_path / "b.jsonl").write_text('{"body": "two"}\n')
    assert [row["text"] for row in read_texts(tmp_path, column="body")] == ["one", "two"]
