"""Tagged texts become .spacy with a tag on each word, and nothing wrong gets through."""

import gzip
import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from typer import Typer
from typer.testing import CliRunner

from plugins.tagged_words import Splitting, read_tagged
from scripts.check_config import check_inputs
from scripts.preprocess_tokens import main, make_report, preprocess_tokens
from tests.conftest import ROOT

SAMPLE = ROOT / "assets" / "sample-references"
TRAIN = "<who> A. Cau </who> <when> 1992 </when>\n[7] <what> Bread </what> <who> Kent </who>\n"
DEV = "<who> Kent </who> <when> 2001 </when>\n<who> A. Cau </who> <when> 1992 </when>\n"
TEST = "<who> Ada </who> <where> Oslo </where>\n"
SPLIT = {"train_txt": TRAIN, "dev_txt": DEV, "test_txt": TEST}


def write_data(folder: Path, **files: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode("utf8")
        (folder / ".".join(name.rsplit("_", 1))).write_bytes(data)
    return folder


def convert(tmp_path: Path, files: dict, **options) -> tuple[dict, dict[str, list[Doc]]]:
    """Return the report and the docs of each split."""
    report = preprocess_tokens(write_data(tmp_path / "in", **files), tmp_path / "out", **options)
    return report, {
        split: docs_of(tmp_path / "out" / f"{split}.spacy") for split in report["splits"]
    }


def docs_of(path: Path) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def load(path: Path):
    return json.loads(path.read_text(encoding="utf8"))


def rows(count: int) -> str:
    return "".join(f"<title> w{n // 2} </title> <date> {n} </date>\n" for n in range(count))


def sizes(report: dict) -> dict[str, int]:
    return {split: found["texts"] for split, found in report["splits"].items()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """The sample as a corpus; do not change it."""
    folder = tmp_path_factory.mktemp("sample") / "out"
    preprocess_tokens(SAMPLE, folder)
    return folder


def test_the_sample_becomes_a_corpus_of_240_texts_with_a_report(sample):
    report = load(sample / "report.json")
    keys = ("texts", "words", "ignored", "fields")
    assert {s: [x[key] for key in keys] for s, x in report["splits"].items()} == {
        "train": [167, 3664, 8, 962],
        "dev": [32, 747, 4, 193],
        "test": [41, 849, 3, 221],
    }
    labels = report["splits"]["dev"]["labels"]
    assert load(sample / "labels.json") == report["labels"] == list(labels) == sorted(labels)
    assert len(labels) == 13 and (labels["title"], labels["volume"]) == (235, 8)
    assert sum(labels.values()) + 4 == 747
    assert report["overlap"] == {"dev": 0, "test": 0}
    assert report["warnings"] == report["left_out"] == []
    assert sorted(path.name for path in sample.iterdir()) == [
        *("dev.spacy", "labels.json", "report.json", "test.spacy", "train.spacy"),
    ]


def test_docs_have_the_words_and_tags_of_their_lines_in_order(sample):
    texts = {one.text: one for one in read_tagged(SAMPLE / "references.txt")}
    found = {split: docs_of(sample / f"{split}.spacy") for split in ("train", "dev", "test")}
    for split, docs in found.items():
        for doc in docs:
            one = texts[doc.text]
            assert [token.text for token in doc] == one.words
            assert [token.tag_ for token in doc] == one.tags
            assert Splitting().split_of(one) == split
        lines = [texts[doc.text].line for doc in docs]
        assert lines == sorted(lines)


def test_words_without_a_label_have_no_tag_and_are_counted(tmp_path):
    report, docs = convert(tmp_path, SPLIT)
    assert [[token.tag_ for token in doc] for doc in docs["train"]] == [
        ["who", "who", "when"],
        ["", "what", "who"],
    ]
    assert report["splits"]["train"] == {
        "texts": 2,
        "words": 6,
        "ignored": 1,
        "fields": 4,
        "labels": {"what": 1, "when": 1, "where": 0, "who": 3},
    }
    assert load(tmp_path / "out" / "labels.json") == ["what", "when", "where", "who"]
    assert report["overlap"] == {"dev": 1, "test": 0}
    assert report["warnings"] == [
        "dev: 1 texts are in train too",
        "no what in dev and test",
        "no when in test",
        "no where in train and dev",
    ]
    report, docs = convert(tmp_path, SPLIT, ignored="who")
    assert report["labels"] == ["what", "when", "where"] and report["splits"]["dev"]["ignored"] == 3
    assert [token.tag_ for token in docs["dev"][0]] == ["", "when"]


def test_fields_are_stretches_of_one_tag(tmp_path):
    line = "<a> x y </a> z <a> x </a> <a> y </a> <b> w </b> <a> v </a>\n"
    report, _ = convert(tmp_path, {"train_txt": line, "dev_txt": line})
    assert report["splits"]["dev"]["fields"] == 4  # neighbours with one tag are one field
    assert make_report({"train": []}, [])["splits"]["train"]["fields"] == 0


def test_a_file_without_splits_is_split_as_asked(tmp_path):
    files = {"x_txt": rows(200)}
    default = sizes(convert(tmp_path, files)[0])
    assert sum(default.values()) == 200 and default["train"] > default["test"] > default["dev"]
    report, docs = convert(tmp_path, files, splitting=Splitting(dev=0.4, test=0.0, seed=1))
    assert list(sizes(report)) == ["train", "dev"] and 60 < sizes(report)["dev"] < 100
    assert report["warnings"] == ["no test split"]
    _, docs = convert(tmp_path, files, splitting=Splitting(together="title"))
    titles = [{doc[0].text for doc in found} for found in docs.values()]
    assert len(titles) == 3 and len(set.union(*titles)) == sum(map(len, titles)) == 100
    found = []
    for fold in range(3):
        _, docs = convert(tmp_path, files, splitting=Splitting(folds=3, fold=fold))
        found += [doc.text for doc in docs["test"]]
    assert len(found) == len(set(found)) == 200


def test_each_split_may_have_a_file_of_its_own_in_any_format(tmp_path):
    row = {"tokens": ["Kent", "2001"], "labels": ["who", "O"]}
    files = {"train_txt": TRAIN, "dev_jsonl": json.dumps(row), "README_md": "no texts"}
    folder = write_data(tmp_path / "in", **files)
    (folder / "test.txt.gz").write_bytes(gzip.compress(TEST.encode()))
    report, docs = convert(tmp_path, {})
    assert sizes(report) == {"train": 2, "dev": 1, "test": 1}
    assert [token.tag_ for token in docs["dev"][0]] == ["who", ""]
    (folder / "dev.jsonl").unlink()
    (folder / "test.txt.gz").unlink()
    (folder / "other.txt").write_text(rows(100))
    report, _ = convert(tmp_path, {}, file="other.txt")  # the one file then, though there is train
    assert sum(sizes(report).values()) == 100


def test_more_texts_are_for_train_alone_and_what_is_held_out_is_left_out(tmp_path):
    more = "<who> kent, </who> 2001.\n<who> Zoe </who> <when> 1999 </when>\n<who> x\n" + TEST
    files = {**SPLIT, "more_txt": more, "again_txt": "<who> Bo </who>\n"}
    report, docs = convert(tmp_path, files, more=["more.txt", "again.txt"])
    assert [doc.text for doc in docs["train"]][2:] == ["Zoe 1999", "Bo"]
    assert sizes(report) == {"train": 4, "dev": 2, "test": 1}
    path = tmp_path / "in" / "more.txt"
    held = "in dev or test. Expected it in neither."
    assert report["left_out"] == [
        f"{path}, line 1: {held}",
        f"{path}, line 3: <who> has no end. Expected </who>.",
        f"{path}, line 4: {held}",
    ]
    assert load(tmp_path / "out" / "report.json")["left_out"] == report["left_out"]


def test_of_more_texts_those_with_a_title_that_is_held_out_are_left_out(tmp_path):
    together = Splitting(together="title", dev=0.3, test=0.3)
    files = {"x_txt": rows(40), "more_txt": rows(60).replace("<date>", "<date> new")}
    report, docs = convert(tmp_path, files, splitting=together, more=["more.txt"])
    held = {doc[0].text for split in ("dev", "test") for doc in docs[split]}
    new = [doc[0].text for doc in docs["train"] if doc[1].text == "new"]
    assert not held & set(new) and len(report["left_out"]) == 2 * len(held) == 60 - len(new)


def test_elements_can_be_read_over(tmp_path):
    files = {"train_txt": TRAIN.replace("Cau", "<br> Cau"), "dev_txt": DEV}
    with pytest.raises(ValueError, match=r"train\.txt, line 1: <br> inside <who>"):
        convert(tmp_path, files)
    assert convert(tmp_path, files, skip=["br"])[1]["train"][0].text == "A. Cau 1992"


def test_labels_are_checked_before_training(tmp_path):
    convert(tmp_path, SPLIT)
    config = tmp_path / "x.cfg"
    config.write_text("[paths]\ntrain = null\nlabels = null\n")
    names = {"train": "train.spacy", "labels": "labels.json"}
    given = {f"paths.{key}": str(tmp_path / "out" / name) for key, name in names.items()}
    check_inputs(config, given)
    (tmp_path / "out" / "labels.json").write_text('["what", "when"]')
    with pytest.raises(ValueError, match=r"train\.spacy has label 'who', .*labels\.json has not"):
        check_inputs(config, given)


BAD = {
    "nothing": ({}, {}, r"in: no file of tagged texts\. Expected one in \.txt, .* or --file, or t"),
    "two": ({"a_txt": TRAIN, "b_jsonl": ""}, {}, r"a\.txt and b\.jsonl\. Expected one in"),
    "two trains": ({"train_txt": TRAIN, "train_jsonl": ""}, {}, r"train\.txt and train\.jsonl\. E"),
    "no such file": ({"a_txt": TRAIN}, {"file": "b.txt"}, r"b\.txt: no such file\. Expected one"),
    "no dev": ({"train_txt": TRAIN}, {}, r"in: no texts for dev\. Expected some for train and dev"),
    "no train": ({"dev_txt": DEV, "m_txt": TEST}, {"more": ["m.txt"]}, r"in: no texts for train\."),
    "no dev share": ({"a_txt": rows(9)}, {"splitting": Splitting(dev=0)}, r"no texts for dev\."),
    "splitting": (SPLIT, {"splitting": Splitting()},
                  r"shares, seed or folds, and train\.txt and dev\.txt and test\.txt\. Expected"),
    "no more": (SPLIT, {"more": ["m.txt"]}, r"m\.txt: no such file\. Expected one to train"),
    "no elements": ({"all_jsonl": '{"tokens": ["a"], "labels": ["b"]}'}, {"skip": ["br"]},
                    r"in: skip br, and JSONL has no elements\. Expected no skip"),
    "more again": (SPLIT, {"more": ["dev.txt"]}, r"in: dev\.txt and --more dev\.txt\. Expected an"),
    "together": ({"all_txt": "<a> x </a>\n<b> y </b>"}, {"splitting": Splitting(together="c")},
                 r"all\.txt: no word is 'c'\. Expected one of a, b\."),
    "bad more": ({**SPLIT, "m_txt": "<a> x"}, {"more": ["m.txt"]}, r"m\.txt: no texts\. Expected"),
    "no tags": ({"train_txt": "a b", "dev_txt": "c"}, {}, r"in: no word has a tag\. Expected some"),
    "bad line": ({**SPLIT, "dev_txt": "x\n<a> b"}, {}, r"dev\.txt, line 2: <a> has no end\. Expec"),
    "language": (SPLIT, {"lang": "zz"}, r"Language 'zz' cannot be used"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_converted_is_told_and_leaves_no_output(tmp_path, name):
    files, options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        convert(tmp_path, files, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_earlier_corpus_stays_when_a_file_is_bad_and_nothing_else_is_replaced(tmp_path):
    convert(tmp_path, SPLIT)
    before = (tmp_path / "out" / "train.spacy").read_bytes()
    with pytest.raises(ValueError, match=r"train\.txt, line 1: </x> outside all elements"):
        convert(tmp_path, {"train_txt": "x </x>"})
    assert (tmp_path / "out" / "train.spacy").read_bytes() == before
    with pytest.raises(ValueError, match="would replace the input"):
        preprocess_tokens(tmp_path / "in", tmp_path / "in")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("")
    with pytest.raises(ValueError, match="no corpus"):
        preprocess_tokens(tmp_path / "in", tmp_path / "mine")


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_every_option_of_the_command_reaches_the_conversion(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    content = rows(80).replace("<date>", "<br> <date>").replace("title>", "name>")
    write_data(folder, x_txt=content, y_txt="", m_txt=rows(99), n_txt="<date> x </date>\n<q>\n")
    command = ["--file", "x.txt", "--together", "name", "--skip", "br", "--more", "m.txt"]
    command += ["--more", "n.txt", "--ignored", "title", "--lang", "de", "--seed", 3]
    code, said = run_main(folder, out, *command, "--dev-share", 0.3, "--test-share", 0.4)
    assert code == 0, said
    splitting = Splitting(together="name", seed=3, dev=0.3, test=0.4)
    expected = {"train": 0, "dev": 0, "test": 0}
    for one in read_tagged(folder / "x.txt", skip=["br"]):
        expected[splitting.split_of(one)] += 1
    report = load(out / "report.json")
    assert {s: x["texts"] for s, x in report["splits"].items() if s != "train"} == {
        "dev": expected["dev"],
        "test": expected["test"],
    }
    assert report["labels"] == ["date", "name"] and min(expected.values()) > 10
    assert f"{len(report['left_out'])} lines left out, see report.json" in said
    assert f"{sum(sizes(report).values())} texts in" in said
    assert sizes(report)["train"] == expected["train"] + 99 + 2 - len(report["left_out"])
    folds = ["--folds", 4, "--fold", 1, "--seed", 3, "--together", "date"]
    code, said = run_main(folder, out, "--file", "m.txt", *folds)
    assert code == 0, said
    splitting = Splitting(folds=4, fold=1, seed=3, together="date")
    found = [splitting.split_of(one) for one in read_tagged(folder / "m.txt")]
    assert sizes(load(out / "report.json"))["test"] == found.count("test") > 10


def test_the_command_says_what_is_there_and_warns(tmp_path):
    code, said = run_main(write_data(tmp_path / "in", **SPLIT), tmp_path / "out")
    assert code == 0 and "5 texts in" in said
    assert "train 2 6 4 1" in said and "dev 2 5 4 0" in said  # texts, words, fields, ignored
    assert "who 3 3 1" in said and "no where in train and dev" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", 5, "--dev-share", 0.1], "--folds with --dev-share or --test-share. Expected"),
        (["--folds", 5, "--test-share", 0.1], "--folds with --dev-share or --test-share"),
        (["--folds", 5, "--fold", 5], "folds 5, fold 5. Expected no folds"),
        (["--fold", 1], "folds 0, fold 1. Expected no folds"),
        (["--dev-share", 1.5], "dev share 1.5, test share 0.2. Expected 0 or more"),
        (["--lang", "zz"], "Language 'zz' cannot be used"),
        (["--file", "none.txt"], "no such file"),
    ],
)
def test_what_does_not_go_together_is_refused_by_the_command(tmp_path, options, message):
    folder = write_data(tmp_path / "in", x_txt=rows(60))
    code, said = run_main(folder, tmp_path / "out", *options)
    assert code == 1 and "Nothing was converted" in said
    assert message.replace(" ", "") in said.replace(" ", "")
    assert not (tmp_path / "out").exists()
