"""Texts, files and folders are predicted, explained, and gone on with after a kill."""

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from scripts.explain import STRONG, as_html, as_text, explain
from scripts.forms import flat
from scripts.predict import main, predict
from scripts.predict_file import predict_file
from scripts.predictor import Predictor, describe
from scripts.texts import read_texts
from tests.conftest import LABELS, ROOT, ROWS

TEXTS = [text for text, _ in ROWS]


@pytest.fixture(scope="module")
def pipeline(decided) -> Path:
    """A pipeline that decides and has probabilities."""
    return decided


@pytest.fixture(scope="module")
def predictor(pipeline) -> Predictor:
    return Predictor(pipeline)


def test_rows_get_what_the_pipeline_says_and_keep_what_they_have(predictor):
    rows = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    found = list(predictor.predict(iter(rows), batch_size=3))
    for row, text in zip(found, TEXTS, strict=True):
        doc = predictor.nlp(text)
        assert row["text"] == text and row["emotions"] == doc._.emotions
        assert row["scores"] == pytest.approx(doc.cats, abs=1e-5)
        assert row["probabilities"] == pytest.approx(doc._.probabilities, abs=1e-5)
    assert [row["id"] for row in found] == list(range(8))


def test_the_highest_scores_come_first_and_alone(predictor):
    (row,) = predict(predictor, TEXTS[0], top_k=2)
    doc = predictor.nlp(TEXTS[0])
    highest = sorted(doc.cats, key=doc.cats.get, reverse=True)[:2]
    assert list(row["scores"]) == list(row["probabilities"]) == highest


def test_scores_alone_need_no_thresholds(files):
    with pytest.raises(ValueError, match="no tuned thresholds"):
        Predictor(files["model"])
    (row,) = predict(files["model"], TEXTS[0], what="scores")
    assert set(row) == {"text", "scores"}
    assert describe(row).split() == [
        part
        for label in LABELS
        for part in (label, f"{row['scores'][label]:.2f}{','[label == LABELS[-1] :]}")
    ]


def test_decisions_alone_have_no_scores(pipeline):
    (row,) = predict(pipeline, TEXTS[0], what="decisions")
    assert set(row) == {"text", "emotions"}
    assert describe({"text": "", "emotions": []}) == "no decision"


def test_a_text_that_is_too_long_is_named(predictor, monkeypatch):
    monkeypatch.setattr(predictor.nlp, "max_length", 20)
    with pytest.raises(ValueError, match=r"'x{40}'\.\.\.: 50 characters\. Expected at most 20"):
        list(predict(predictor, ["short", "x" * 50]))


def test_a_text_of_a_file_that_is_too_long_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "a.txt", "short\nlonger\n")
    with pytest.raises(ValueError, match=r"a\.txt, line 2: 6 characters\. Expected at most 5"):
        list(read_texts(path, longest=5))


def test_texts_are_read_no_further_than_the_batch(predictor):
    read = []

    def endless():
        while True:
            read.append(1)
            yield "a text"

    found = predict(predictor, endless(), batch_size=2)
    next(found)
    assert len(read) == 2


# What decisions rest on.


def test_the_effect_of_a_word_is_the_score_without_it(predictor):
    text = "So happy we made it"
    (row,) = predict(predictor, text)
    found = explain(predictor.nlp, {**row, "emotions": ["joy"]})[0]
    assert "".join(part for part, _ in found["parts"]) == text
    left = predictor.nlp("So we made it").cats["joy"]
    assert found["parts"][1][0] == "happy "
    assert found["parts"][1][1] == pytest.approx(row["scores"]["joy"] - left, abs=2e-5)


def test_long_texts_are_left_out_in_parts(predictor, monkeypatch):
    monkeypatch.setattr("scripts.explain.MOST", 3)
    (row,) = predict(predictor, "one two three four five six seven", with_words=True)
    for found in row["explanation"]:
        assert [part for part, _ in found["parts"]] == ["one two three ", "four five six ", "seven"]


def test_an_empty_text_has_no_parts(predictor):
    (row,) = predict(predictor, "", with_words=True)
    assert row["explanation"][0]["parts"] == []


def test_words_are_marked_with_and_without_colour():
    found = {"label": "joy", "score": 0.9, "parts": [["so ", 0.0], ["<b> ", 0.5], ["no", -0.5]]}
    assert as_text(found, coloured=False) == "joy 0.90: so [+<b>+] [-no-]"
    assert "so \x1b[38;5;15;48;5;25m<b>\x1b[0m \x1b" in as_text(found, coloured=True)
    page = as_html(found)
    assert "so <span" in page and "&lt;b&gt; </span>" in page and "underline" in page
    assert STRONG > 0 and 'title="+0.500"' in page


# Files.


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


SOURCES = {
    "a.txt": "one\n\ntwo\n",
    "a.csv": 'id,text\n1,"one, ""or"" more"\n2,two\n',
    "head.tsv": 'text\tid\n"one\t1\n',
    "go.tsv": 'one\t2,5\tabc\n"two\t27\tdef\n',
    "a.jsonl": '{"text": "one", "n": 1}\n{"text": "two"}\n',
    "bom.jsonl": '\ufeff{"text": "one"}\n',
    "a.jsonl.gz": '{"text": "one"}\n',
}
ROWS_READ = {
    "a.txt": [{"text": "one"}, {"text": ""}, {"text": "two"}],
    "a.csv": [{"id": "1", "text": 'one, "or" more'}, {"id": "2", "text": "two"}],
    "head.tsv": [{"text": '"one', "id": "1"}],
    "go.tsv": [
        {"text": "one", "labels": "2,5", "id": "abc"},
        {"text": '"two', "labels": "27", "id": "def"},
    ],
    "a.jsonl": [{"text": "one", "n": 1}, {"text": "two"}],
    "bom.jsonl": [{"text": "one"}],
    "a.jsonl.gz": [{"text": "one"}],
}


@pytest.mark.parametrize("name", SOURCES)
def test_texts_of_all_kinds_are_read_with_what_is_beside_them(name, tmp_path):
    assert list(read_texts(write(tmp_path / name, SOURCES[name]))) == ROWS_READ[name]


def test_a_folder_is_read_by_name_and_each_row_says_its_file(tmp_path):
    for name in ("b/two.txt", "one.txt", "ignored.docx"):
        write(tmp_path / name, f"{name}\n")
    rows = [{"file": name, "text": name} for name in ("b/two.txt", "one.txt")]
    assert list(read_texts(tmp_path)) == rows


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": 1}\n', r"line 2: .*Expected an object with 'text'"),
        ("a.jsonl", "{\n", r"a\.jsonl, line 1: .*Expected JSON"),
        ("a.jsonl", '{"text": "a", "scores": 1}\n', r"line 1: 'scores' is taken"),
        ("a.csv", "id,post\n1,a\n", r"line 1: columns id, post\. Expected 'text'"),
        ("a.csv", "", r"line 1: columns none"),
        ("a.csv", "text,text\na,b\n", r"line 1: columns text, text"),
        ("a.csv", "id,text\n1,a,b\n", r"line 2: 3 columns\. Expected 2"),
        ("a.csv", 'id,text\n1,"a\n', r"line 2: .*Expected a table"),
        ("a.tsv", "post\tid\na\tb\n", r"line 1: columns post, id"),
        ("a.docx", "x", r"a\.docx: Expected a file in \.txt, .*, plain or \.gz, or in \.pdf"),
    ],
)
def test_a_bad_line_is_named(name, text, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        list(read_texts(write(tmp_path / name, text)))


def test_other_columns_can_hold_the_text(tmp_path):
    path = write(tmp_path / "a.csv", "post\nhello\n")
    assert list(read_texts(path, column="post")) == [{"post": "hello", "text": "hello"}]
    path = write(tmp_path / "b.csv", "post,text\nhello,a\n")
    with pytest.raises(ValueError, match="Expected one of them"):
        list(read_texts(path, column="post"))


def rows_of(path: Path) -> list[dict]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.decode().splitlines()]


@pytest.fixture
def source(tmp_path) -> Path:
    return write(tmp_path / "in.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in TEXTS))


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_a_file_of_predictions_has_the_rows_of_predict(pipeline, source, tmp_path, ending):
    output = tmp_path / f"out.{ending}"
    assert predict_file(pipeline, source, output, with_words=True) == 8
    assert rows_of(output) == list(predict(pipeline, TEXTS, with_words=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".out." + ending + ".lock",
        "in.jsonl",
        output.name,
    ]


def test_a_table_has_a_column_per_score(pipeline, source, tmp_path):
    predict_file(pipeline, source, tmp_path / "out.csv", with_words=True)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, found in zip(rows, predict(pipeline, TEXTS), strict=True):
        assert row["emotions"] == ",".join(found["emotions"])
        assert float(row["score.joy"]) == found["scores"]["joy"]
        assert float(row["probability.joy"]) == found["probabilities"]["joy"]
    assert list(rows[0])[:2] == ["text", "emotions"]
    assert json.loads(rows[0]["words.joy"])[0][0] == "What "


def test_a_page_shows_texts_as_they_are(pipeline, tmp_path):
    path = write(tmp_path / "a.txt", "<script>alert(1)</script>\n")
    predict_file(pipeline, path, tmp_path / "out.html", with_words=True)
    page = (tmp_path / "out.html").read_text()
    assert "<script>" not in page and page.count("&lt;script") >= 1


def test_a_killed_prediction_goes_on_where_it_stopped(pipeline, source, tmp_path, monkeypatch):
    predict_file(pipeline, source, tmp_path / "whole.jsonl")
    original, seen = Predictor.predict, []

    def killed(self, rows, **settings):
        for number, row in enumerate(original(self, rows, **settings)):
            if number == 3:
                raise KeyboardInterrupt
            yield row

    def counted(self, rows, **settings):
        for row in original(self, rows, **settings):
            seen.append(row)
            yield row

    output = tmp_path / "out.jsonl"
    monkeypatch.setattr(Predictor, "predict", killed)
    with pytest.raises(KeyboardInterrupt):
        predict_file(pipeline, source, output)
    assert not output.exists()
    with (tmp_path / ".out.jsonl.partial").open("ab") as file:
        file.write(b'{"text": "cut')
    monkeypatch.setattr(Predictor, "predict", counted)
    assert predict_file(pipeline, source, output) == 8
    assert len(seen) == 5
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_other_settings_begin_anew(pipeline, source, tmp_path):
    partial = write(tmp_path / ".out.jsonl.partial", '{"other": 1}\n{"text": "old"}\n')
    predict_file(pipeline, source, tmp_path / "out.jsonl", what="decisions")
    assert [row["text"] for row in rows_of(tmp_path / "out.jsonl")] == TEXTS
    assert not partial.exists()


def test_a_bad_row_leaves_the_earlier_output(pipeline, source, tmp_path):
    output = tmp_path / "out.jsonl"
    predict_file(pipeline, source, output)
    before = output.read_bytes()
    source.write_text(source.read_text() + "{\n")
    with pytest.raises(ValueError, match=r"in\.jsonl, line 9: .*Expected JSON"):
        predict_file(pipeline, source, output)
    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out.pdf", r"Expected a name in \.jsonl"),
        ("in.jsonl", "part of the input"),
        ("dir.csv", "a folder"),
    ],
)
def test_an_output_that_would_lose_something_is_refused(pipeline, source, tmp_path, name, said):
    (tmp_path / "dir.csv").mkdir()
    before = source.read_bytes()
    with pytest.raises(ValueError, match=said):
        predict_file(pipeline, source, tmp_path / name)
    assert source.read_bytes() == before


def test_two_at_one_output_are_refused(pipeline, source, tmp_path):
    with (
        FileLock(tmp_path / ".out.jsonl.lock"),
        pytest.raises(ValueError, match="another process writes it"),
    ):
        predict_file(pipeline, source, tmp_path / "out.jsonl")


# The command.


def run(*arguments: str, **settings):
    import typer

    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, list(map(str, arguments)), **settings)


def test_the_command_prints_texts_and_decisions_or_json(pipeline):
    found = run(pipeline, TEXTS[0], "--explain")
    assert found.exit_code == 0, found.output
    assert found.output.startswith(f"{TEXTS[0]}\n    joy ") and found.output.count("joy ") >= 2
    found = run(pipeline, "--json", input="one\r\ntwo\n")
    assert [json.loads(line)["text"] for line in found.output.splitlines()] == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["text", "--input", "in.jsonl"], "Expected one of them"),
        (["text", "--output", "out.csv"], "--output without --input"),
        (["text", "--column", "post"], "--column without --input"),
        (["--input", "in.jsonl", "--output", "out.csv", "--json"], "are for the screen"),
    ],
)
def test_the_command_refuses_what_it_would_ignore(pipeline, source, arguments, said, monkeypatch):
    monkeypatch.chdir(source.parent)
    found = run(pipeline, *arguments)
    assert found.exit_code == 1 and said in found.output


def test_a_damaged_pipeline_is_one_sentence(pipeline, tmp_path):
    import shutil

    damaged = shutil.copytree(pipeline, tmp_path / "damaged")
    model = damaged / "textcat_multilabel" / "model"
    model.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged: cannot be loaded"):
        Predictor(damaged)
    with pytest.raises(ValueError, match="no pipeline here"):
        Predictor("no_such_package")


@pytest.mark.slow
def test_lines_of_a_pipe_are_answered_at_once(pipeline):
    command = [
        sys.executable,
        "-m",
        "scripts.predict",
        str(pipeline),
        "--batch-size",
        "1",
        "--json",
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.write("so happy\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["text"] == "so happy"
    process.stdin.close()
    assert process.wait() == 0


def test_a_calibrated_pipeline_gives_probabilities_with_scores_alone(pipeline):
    (row,) = predict(pipeline, TEXTS[0], what="scores")
    assert set(row) == {"text", "scores", "probabilities"}


def test_a_loaded_pipeline_is_not_loaded_in_another_way(predictor):
    with pytest.raises(ValueError, match="Expected them left out"):
        list(predict(predictor, "text", what="scores"))


def test_endings_in_capitals_and_empty_lines_are_read(tmp_path):
    write(tmp_path / "A.CSV", "text\none\n\ntwo\n")
    write(tmp_path / "b.jsonl", '{"text": "three"}\n\n')
    assert [row["text"] for row in read_texts(tmp_path)] == ["one", "two", "three"]


def test_half_a_letter_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "ok"}\n{"text": "\\ud800"}\n')
    with pytest.raises(ValueError, match=r"line 2: half a surrogate pair"):
        list(read_texts(path))


def test_a_table_keeps_what_is_nested_and_refuses_a_column_of_its_own(pipeline, tmp_path):
    path = write(tmp_path / "in.jsonl", '{"text": "a", "more": {"b": [true, null]}}\n')
    predict_file(pipeline, path, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert json.loads(row["more"]) == {"b": [True, None]}
    write(path, '{"text": "a", "score.joy": 1}\n')
    with pytest.raises(ValueError, match=r"Row 1: 'score\.joy' is taken"):
        predict_file(pipeline, path, tmp_path / "out.csv")


def test_decisions_with_commas_are_a_list_in_a_table():
    found = flat({"text": "a", "emotions": ["joy, great", "b"]})
    assert found["emotions"] == '["joy, great", "b"]'
