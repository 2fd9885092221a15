"""Texts with entities become .spacy, and nothing wrong gets through."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from typer import Typer
from typer.testing import CliRunner

from scripts.check_config import check_inputs
from scripts.preprocess_entities import Reading, main, preprocess_entities
from tests.conftest import ROOT

SAMPLE = ROOT / "assets" / "sample-entities"
CONLL = "[NAME]\tB-PER\nran\tO\n\nOslo\tB-LOC\n"
ROW = json.dumps({"text": "[NAME] ran", "spans": [{"start": 0, "end": 6, "label": "PER"}]})


def write_data(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(content, encoding="utf8")
    return folder


def read(path: Path) -> list:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_the_sample_becomes_a_corpus_of_384_posts_with_a_report(tmp_path):
    report = preprocess_entities(SAMPLE, tmp_path / "out", reading=Reading(split="\n\n"))
    found = {split: (x["docs"], x["entities"]) for split, x in report["splits"].items()}
    assert found == {"train": (240, 524), "dev": (72, 151), "test": (72, 137)}
    assert report["splits"]["train"]["labels"] == {
        "EXPRESSION": 115,
        "FEELING": 150,
        "PERSON": 132,
        "PLACE": 127,
    }
    assert report["splits"]["train"]["overlapping"] == 116  # FEELING in EXPRESSION, and a sister
    assert report["splits"]["train"]["told"] == {"discontinuous": 1}
    (said,) = report["splits"]["train"]["first"]
    assert "page-03.ann, line 7: T6 is in 2 fragments, taken from " in said
    assert report["overlap"] == {"dev": 0, "test": 0} and report["warnings"] == []
    assert json.loads((tmp_path / "out/labels.json").read_text()) == report["labels"]
    assert json.loads((tmp_path / "out/report.json").read_text()) == report
    docs = read(tmp_path / "out" / "train.spacy")
    assert len(docs) == 240 and all("entities" in doc.spans for doc in docs)
    assert sum(len(doc.spans["entities"]) for doc in docs) == 524
    assert "[NAME]" in {token.text for doc in docs for token in doc}
    assert docs[0].user_data["standoff"]["file"] == "page-01"


@pytest.mark.parametrize(
    "files",
    [
        {"train_conll": CONLL, "dev_conll": CONLL},
        {"train_iob": CONLL, "dev_bio": CONLL},
        {"train_jsonl": ROW, "dev_conll": CONLL.replace("ran", "sat")},
    ],
)
def test_each_kind_of_file_is_found_by_its_ending(tmp_path, files):
    report = preprocess_entities(write_data(tmp_path / "in", **files), tmp_path / "out")
    assert [token.text for token in read(tmp_path / "out" / "train.spacy")[0]] == ["[NAME]", "ran"]
    assert report["splits"]["dev"]["labels"] == {"LOC": 1, "PER": 1}
    assert "no test split" in report["warnings"]
    assert any(said.endswith("texts are in train too") for said in report["warnings"]) == (
        "train_jsonl" not in files
    )


NAMES = [
    ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"),
    ("Training.iob", "x.devel.iob", "x-eval.iob"),
    ("train.conll", "train-valid.conll", "evaluation"),
    ("train.conll", "dev.conll", "dev-test.conll"),
]


@pytest.mark.parametrize("names", NAMES, ids=lambda names: names[0])
def test_each_split_is_found_by_a_name_that_contains_its_own(tmp_path, names):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "README.md").write_text("no split")
    for number, name in enumerate(names, 1):
        (tmp_path / "in" / name).write_text(CONLL * number)  # two docs, three, four
    report = preprocess_entities(tmp_path / "in", tmp_path / "out")
    found = {split: x["docs"] for split, x in report["splits"].items()}
    assert found == {"train": 2, "dev": 3, "test": 4}
    assert list(report["splits"]) == ["train", "dev", "test"]


def test_files_of_other_names_are_named_and_other_endings_are_conll(tmp_path):
    write_data(tmp_path / "in", drugs_jsonl=ROW, emerging_annotated=CONLL)
    files = {"train": "drugs.jsonl", "dev": "emerging.annotated"}
    report = preprocess_entities(tmp_path / "in", tmp_path / "out", files=files)
    assert {split: x["docs"] for split, x in report["splits"].items()} == {"train": 1, "dev": 2}
    write_data(tmp_path / "in", one_train=CONLL, two_train=CONLL)
    report = preprocess_entities(tmp_path / "in", tmp_path / "out", files=files)
    assert report["splits"]["train"]["docs"] == 1
    write_data(tmp_path / "named", devices_jsonl=rows(40))  # which is no dev then
    report = preprocess_entities(
        tmp_path / "named", tmp_path / "out", files={"train": "devices.jsonl"}
    )
    assert sum(x["docs"] for x in report["splits"].values()) == 40
    with pytest.raises(ValueError, match=r"eval\.jsonl: no such test\. Expected it to be there"):
        preprocess_entities(tmp_path / "in", tmp_path / "out", files={"test": "eval.jsonl"})


def rows(count: int) -> str:
    return "".join(json.dumps({"text": f"post {i // 2}"}) + "\n" for i in range(count))


def test_dev_is_taken_from_train_by_a_hash_and_equal_texts_stay_together(tmp_path):
    folder = write_data(tmp_path / "in", train_jsonl=rows(40))
    texts = []
    for seed, output in ((0, "a"), (0, "b"), (1, "c")):
        preprocess_entities(folder, tmp_path / output, dev_share=0.2, seed=seed)
        train, dev = ({doc.text for doc in read(tmp_path / output / f"{split}.spacy")}
                      for split in ("train", "dev"))  # fmt: skip
        assert len(train | dev) == 20 and not train & dev and 1 <= len(dev) <= 9
        texts.append(dev)
    assert texts[0] == texts[1] != texts[2]


def test_without_a_dev_a_fifth_of_train_becomes_it_and_that_is_said(tmp_path, capsys):
    folder = write_data(tmp_path / "in", posts_training_jsonl=rows(400))
    preprocess_entities(folder, tmp_path / "a")
    assert "No dev in" in (said := capsys.readouterr().out) and "20%" in said
    preprocess_entities(folder, tmp_path / "b", dev_share=0.2)
    one, two = ((tmp_path / name / "dev.spacy").read_bytes() for name in "ab")
    assert one == two and 60 < len(read(tmp_path / "a" / "dev.spacy")) < 100
    capsys.readouterr()
    write_data(folder, dev_jsonl=rows(2))
    preprocess_entities(folder, tmp_path / "a")
    assert "No dev in" not in capsys.readouterr().out
    assert len(read(tmp_path / "a" / "train.spacy")) == 400


def test_an_entity_inside_a_token_is_widened_and_the_report_says_where(tmp_path):
    row = json.dumps({"text": "antitumor", "spans": [{"start": 4, "end": 9, "label": "X"}]})
    folder = write_data(tmp_path / "in", train_jsonl=f"{ROW}\n{row}\n", dev_conll=CONLL)
    report = preprocess_entities(folder, tmp_path / "out")
    assert report["splits"]["train"]["told"] == {"misaligned": 1}
    (said,) = report["splits"]["train"]["first"]
    assert "train.jsonl, line 2: X 'tumor' at 4 to 9 is not the tokens 'antitumor'" in said
    assert read(tmp_path / "out" / "train.spacy")[1].ents[0].text == "antitumor"
    with pytest.raises(ValueError, match=r"line 2: X 'tumor' .* Expected whole ones"):
        preprocess_entities(folder, tmp_path / "out", reading=Reading(misaligned="refuse"))


def test_parts_of_a_page_go_to_dev_together_with_what_was_said_of_them(tmp_path):
    pages = {f"{name}_txt": f"{name} one\n\n{name} two" for name in "abcdefgh"}
    notes = {f"{name}_ann": "T1\tX 0 1;2 5\t" + f"{name} one\n" for name in "abcdefgh"}
    (tmp_path / "in").mkdir()
    write_data(tmp_path / "in" / "train", **pages, **notes)
    reading = Reading(split="\n\n")
    report = preprocess_entities(tmp_path / "in", tmp_path / "out", reading=reading, dev_share=0.5)
    there = {}
    for split in ("train", "dev"):
        texts = [doc.text for doc in read(tmp_path / "out" / f"{split}.spacy")]
        there[split] = {text[0] for text in texts}
        assert len(texts) == 2 * len(there[split]) > 2
        assert report["splits"][split]["told"] == {"discontinuous": len(there[split])}
    assert not there["train"] & there["dev"]


def test_skip_empty_leaves_texts_out_of_train_alone(tmp_path):
    folder = write_data(tmp_path / "in", train_jsonl=f"{ROW}\n{rows(3)}", dev_jsonl=rows(3))
    report = preprocess_entities(folder, tmp_path / "out", reading=Reading(skip_empty=True))
    found = {split: (x["docs"], x["left_out"]) for split, x in report["splits"].items()}
    assert found == {"train": (1, 3), "dev": (3, 0)}
    assert "no PER in dev" in report["warnings"]


BAD = {
    "nothing": ({}, {}, "no train. Expected a folder of standoff or a file in .conll.* --train.$"),
    "no dev": ({"train_jsonl": ROW}, {"dev_share": 0.0}, "no dev. Expected .*dev or valid.* --dev"),
    "two trains": ({"train_jsonl": ROW, "train_iob": CONLL}, {},
                   "train.iob and train.jsonl. Expected one of them, or --train"),
    "two like train": ({"a-train_jsonl": ROW, "training_iob": CONLL}, {},
                       "a-train.jsonl and training.iob. Expected one of them, or --train"),
    "dev or test": ({"train_jsonl": ROW, "devtest_iob": CONLL}, {},
                    "devtest.iob: a name of two splits. Expected --dev and --test"),
    "share and dev": ({"train_jsonl": ROW, "dev_jsonl": ROW}, {"dev_share": 0.0},
                      "dev-share 0.0, and .*dev.jsonl"),
    "seed and dev": ({"train_jsonl": ROW, "dev_jsonl": ROW}, {"seed": 1}, "--seed 1, and .*dev"),
    "share": ({"train_jsonl": ROW}, {"dev_share": 1.0}, "dev share 1.0. Expected 0 or more"),
    "language": ({"train_jsonl": ROW, "dev_jsonl": ROW}, {"lang": "zz"}, "Language 'zz'"),
    "bad row": ({"train_jsonl": ROW, "dev_jsonl": "{"}, {}, "dev.jsonl, line 1: no JSON"),
    "empty dev": ({"train_jsonl": ROW, "dev_jsonl": '{"text": "x", "answer": "ignore"}'}, {},
                  "no texts for dev"),
    "split": ({"train_jsonl": ROW, "dev_iob": CONLL}, {"reading": Reading(split="x")},
              "--split with conll, jsonl. Expected standoff"),
    "misaligned": ({"train_conll": CONLL, "dev_iob": CONLL},
                   {"reading": Reading(misaligned="skip")},
                   "--misaligned with conll. Expected jsonl or standoff"),
    "tags": ({"train_jsonl": ROW, "dev_jsonl": ROW}, {"reading": Reading(bad_tags="repair")},
             "--bad-tags with jsonl. Expected conll"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_converted_is_told_and_leaves_no_output(tmp_path, name):
    files, options, message = BAD[name]
    folder = write_data(tmp_path / "in", **files)
    with pytest.raises(ValueError, match=message):
        preprocess_entities(folder, tmp_path / "out", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_earlier_corpus_stays_when_a_file_is_bad_and_nothing_else_is_replaced(tmp_path):
    folder = write_data(tmp_path / "in", train_jsonl=ROW, dev_jsonl=ROW)
    preprocess_entities(folder, tmp_path / "out")
    before = (tmp_path / "out" / "train.spacy").read_bytes()
    write_data(folder, train_jsonl=ROW * 2)
    with pytest.raises(ValueError, match=r"train\.jsonl, line 1: no JSON"):
        preprocess_entities(folder, tmp_path / "out")
    assert (tmp_path / "out" / "train.spacy").read_bytes() == before
    with pytest.raises(ValueError, match="would replace the input"):
        preprocess_entities(folder, folder)


def test_every_option_of_the_command_reaches_the_readers(tmp_path):
    row = {"text": "Leeward (x)", "tokens": ["Leeward", "(x)"]}
    row["spans"] = [{"start": 0, "end": 3, "label": "P"}]
    write_data(tmp_path / "in", t_jsonl=json.dumps(row), d_x="a\tI-P\n")
    write_data(tmp_path / "in" / "brat", a_txt="one x two", a_ann="T1\tQ 0 1;2 3\to e\n")
    app = Typer()
    app.command()(main)
    command = ["--train", "t.jsonl", "--dev", "d.x", "--test", "brat", "--misaligned", "skip",
               "--use-tokens", "--bad-tags", "repair", "--split", " x ", "--discontinuous",
               "skip"]  # fmt: skip
    result = CliRunner().invoke(app, [str(tmp_path / "in"), str(tmp_path / "out"), *command])
    assert result.exit_code == 0, result.output
    assert "4 texts in" in result.output and "train: misaligned 1 times" in result.output
    train, test = (read(tmp_path / "out" / f"{split}.spacy") for split in ("train", "test"))
    assert [token.text for token in train[0]] == ["Leeward", "(x)"]
    assert not train[0].ents
    assert [doc.text for doc in test] == ["one", "two"] and not test[0].ents
    result = CliRunner().invoke(app, [str(tmp_path / "in"), str(tmp_path / "out")])
    assert result.exit_code == 1 and "Nothing was converted" in result.output


def test_labels_of_entities_are_checked_before_training(tmp_path):
    folder = write_data(tmp_path / "in", train_conll=CONLL, dev_conll=CONLL)
    preprocess_entities(folder, tmp_path / "out")
    files = {name: str(tmp_path / "out" / name) for name in ("train.spacy", "labels.json")}
    config = tmp_path / "x.cfg"
    config.write_text("[paths]\ntrain = null\nlabels = null\n")
    given = {"paths.train": files["train.spacy"], "paths.labels": files["labels.json"]}
    check_inputs(config, given)
    Path(files["labels.json"]).write_text('["LOC", "MORE", "PER"]')
    check_inputs(config, given)
    Path(files["labels.json"]).write_text('["LOC"]')
    with pytest.raises(ValueError, match=r"train\.spacy has label 'PER', .*labels\.json has not"):
        check_inputs(config, given)
