"""Pairs become .spacy with what their tags mark, and nothing wrong gets through."""

import gzip
import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus
from typer import Typer
from typer.testing import CliRunner

from plugins.pairs import Pair, create_pairs_reader
from scripts.check_config import check_inputs
from scripts.decide import decide
from scripts.entity_corpus import read_examples
from scripts.evaluate import evaluate
from scripts.mark_up import mark_up
from scripts.preprocess_pairs import Reading, find_tags, main, preprocess_pairs
from scripts.train import train
from tests.conftest import ROOT
from tests.small_recipes import small_tok2vec

SAMPLE = ROOT / "assets" / "sample-pairs"
HEAD = "orig_text,annotated_text,split\n"
ENTITIES = HEAD + (
    "old cells grew,{{B}} old {{A}} cells{{/A}} {{/B}}  grew,train\n"
    "antibody,anti{{A}} body{{/A}} ,train\n"
    "new cells,{{A}} new cells{{/A}},train\n"
    "nothing here,nothing here,train\n"
    "cells grew,{{A}} cells{{/A}}  grew,dev\n"
    "the mast cells,the {{A}}mast cells{{/A}},test\n"
)
LABELS = HEAD + (
    "we won,{{joy}} we won{{/joy}},train\n"
    "so mad,{{anger}} {{joy}} so mad{{/joy}} {{/anger}},train\n"
    "the bus,the bus,train\n"
    "hm hm,{{anger}} hm hm{{/anger}},dev\n"
)
FREE = HEAD + "a cat,{{Q}} ein Kater{{/Q}},train\nred,rot,train\nbread,Brot,dev\n"


def write_data(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(content, encoding="utf8")
    return folder


def convert(tmp_path: Path, content: str, **options) -> tuple[dict, dict[str, list[Doc]]]:
    """Return the report and the docs of each split."""
    report = preprocess_pairs(
        write_data(tmp_path / "in", pairs_csv=content), tmp_path / "out", **options
    )
    return report, {split: read(tmp_path / "out" / f"{split}.spacy") for split in report["splits"]}


def read(path: Path) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def load(path: Path):
    return json.loads(path.read_text(encoding="utf8"))


def marked(doc: Doc) -> list[tuple[str, str]]:
    return [(span.text, span.label_) for span in doc.spans["entities"]]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """The sample as a corpus; do not change it."""
    folder = tmp_path_factory.mktemp("sample") / "out"
    preprocess_pairs(SAMPLE, folder)
    return folder


def test_the_sample_becomes_a_corpus_of_477_pairs_with_a_report(sample):
    report = load(sample / "report.json")
    splits = report["splits"]
    found = {s: (x["pairs"], x["tagged"], x["equal"]) for s, x in splits.items()}
    assert found == {"train": (303, 262, 41), "dev": (86, 74, 12), "test": (88, 72, 16)}
    labels = {"EXPRESSION": 130, "FEELING": 40, "PERSON": 151, "PLACE": 147}
    assert report["tags"] == "entities" and splits["train"]["labels"] == labels
    assert splits["train"]["told"] == {"repeated": 8, "short": 1}
    assert splits["test"]["told"] == {"shared": 3} and report["overlap"] == {"dev": 0, "test": 3}
    assert report["warnings"] == ["test: 3 texts are in train too"]
    assert splits["train"]["source_symbols"] == {"mean": 12.67, "max": 21}
    assert splits["train"]["target_symbols"] == {"mean": 15.76, "max": 26}
    assert [splits["train"][x] for x in ("differing", "normalised", "misaligned")] == [0, 0, 0]
    assert load(sample / "labels.json") == report["labels"] == list(labels)
    assert not (sample / "views.json").exists()


def test_docs_have_the_target_and_the_entities_that_its_tags_mark(tmp_path):
    report, docs = convert(tmp_path, ENTITIES)
    first, second, *_ = docs["train"]
    assert (first.text, first._.seq2seq) == (
        "old cells grew",
        "{{B}} old {{A}} cells{{/A}} {{/B}}  grew",
    )
    assert [(ent.text, ent.label_) for ent in first.ents] == [("old cells", "B")]
    assert marked(first) == [("old cells", "B"), ("cells", "A")]
    assert marked(second) == [("antibody", "A")]  # whole tokens
    assert all(doc.has_annotation("ENT_IOB") for found in docs.values() for doc in found)
    assert marked(docs["test"][0]) == [("mast cells", "A")]
    assert docs["test"][0]._.seq2seq == "the {{A}} mast cells{{/A}}"
    train = report["splits"]["train"]
    assert [train[x] for x in ("overlapping", "misaligned", "normalised", "equal")] == [1, 1, 1, 1]
    assert second._.seq2seq == "anti{{A}} body{{/A}}" and report["splits"]["test"]["normalised"]
    assert report["unseen"]["test"] == {
        "source_share": 0.6667,  # the and mast
        "target_share": 0.4,
        "target": 2,
        "copied": 2,
    }


def test_the_corpus_is_one_of_entities_and_of_pairs(sample, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    examples = read_examples(nlp, sample / "dev.spacy")
    assert sum(len(example.reference.ents) for example in examples) == 129
    (pair,) = create_pairs_reader(SAMPLE / "pairs.csv", split="dev", limit=1)(nlp)
    assert examples[0].reference._.seq2seq == pair.reference._.seq2seq
    config = tmp_path / "x.cfg"
    config.write_text("[paths]\ntrain = null\nlabels = null\n")
    files = {"train": "train.spacy", "labels": "labels.json"}
    check_inputs(config, {f"paths.{key}": str(sample / x) for key, x in files.items()})


def test_tags_around_whole_texts_are_labels_and_every_doc_has_all(tmp_path):
    report, docs = convert(tmp_path, LABELS)
    assert report["tags"] == "labels" and load(tmp_path / "out/labels.json") == ["anger", "joy"]
    assert [doc.cats for doc in docs["train"]] == [
        {"anger": 0.0, "joy": 1.0},
        {"anger": 1.0, "joy": 1.0},
        {"anger": 0.0, "joy": 0.0},
    ]
    assert not docs["train"][0].ents and not docs["train"][0].spans
    assert load(tmp_path / "out" / "views.json") == {}
    assert report["warnings"] == ["no joy in dev", "no test split"]


def test_the_labels_file_and_groups_beside_the_pairs_are_used_or_another_one(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "labels.txt").write_text("sad\njoy\nanger\n")
    (tmp_path / "in" / "ekman_mapping.json").write_text('{"all": ["joy", "anger"]}')
    _, docs = convert(tmp_path, LABELS)
    assert list(docs["dev"][0].cats.items()) == [("sad", 0.0), ("joy", 0.0), ("anger", 1.0)]
    assert load(tmp_path / "out" / "views.json") == {"ekman": {"all": ["joy", "anger"]}}
    (tmp_path / "mine.txt").write_text("joy\nanger\n")
    _, docs = convert(tmp_path, LABELS, labels=tmp_path / "mine.txt")
    assert list(docs["dev"][0].cats) == load(tmp_path / "out" / "labels.json") == ["joy", "anger"]
    (tmp_path / "mine.txt").write_text("joy\n")
    with pytest.raises(ValueError, match=r"pairs\.csv, line 3: label 'anger'. Expected one of"):
        convert(tmp_path, LABELS, labels=tmp_path / "mine.txt")


def test_free_text_has_neither_and_an_explicit_choice_wins(tmp_path):
    report, docs = convert(tmp_path, FREE)
    assert report["tags"] == "none" and load(tmp_path / "out" / "labels.json") == []
    assert not docs["train"][0].has_annotation("ENT_IOB") and not docs["train"][0].cats
    assert docs["train"][0]._.seq2seq == "{{Q}} ein Kater{{/Q}}"
    report, docs = convert(tmp_path, FREE, tags="entities")
    assert report["splits"]["train"]["differing"] == 1
    assert "train: 1 targets with tags are not their sources" in report["warnings"][0]
    assert "entities" not in docs["train"][0].spans  # not known
    report, docs = convert(tmp_path, ENTITIES, tags="labels")
    assert [list(doc.cats.values()) for doc in docs["train"]][:2] == [[1, 1], [1, 0]]
    assert convert(tmp_path, LABELS, tags="none")[0]["splits"]["dev"]["labels"] == {
        "anger": 1,
        "joy": 0,
    }


def test_tags_of_a_hundredth_of_the_targets_may_differ():
    good, bad = Pair("a b", "{{A}} a{{/A}}  b", "train", 1), Pair("a", "{{A}} b{{/A}}", "train", 1)
    assert find_tags([good] * 99 + [bad]) == "entities"
    assert find_tags([good] * 98 + [bad]) == "none"
    whole = Pair("a", "{{A}} {{B}} a{{/B}} {{/A}}", "train", 1)
    assert find_tags([whole] * 99) == "labels" and find_tags([whole] * 99 + [good]) == "entities"
    assert find_tags([]) == find_tags([Pair("a", "a", "train", 1)]) == "none"


def test_the_direction_can_be_reversed(tmp_path):
    report, docs = convert(tmp_path, ENTITIES, reading=Reading(reverse=True))
    assert (docs["train"][3].text, docs["train"][3]._.seq2seq) == ("nothing here", "nothing here")
    assert docs["dev"][0].text == "{{A}} cells{{/A}}  grew"
    assert docs["dev"][0]._.seq2seq == "cells grew" and not docs["dev"][0].spans
    assert report["tags"] == "none" and load(tmp_path / "out" / "labels.json") == []


def rows(count: int, head: str = "orig_text,annotated_text\n") -> str:
    return head + "".join(f"text {i // 2},text {i}\n" for i in range(count))


def test_pairs_without_splits_are_split_by_a_hash_and_that_is_said(tmp_path, capsys):
    sizes, texts = {}, {}
    for name, reading in {
        "default": Reading(),
        "seed": Reading(dev_share=0.2, test_share=0.1, seed=1),
        "no test": Reading(dev_share=0.2, test_share=0.0),
    }.items():
        report, docs = convert(tmp_path, rows(60), reading=reading)
        sizes[name] = {split: x["pairs"] for split, x in report["splits"].items()}
        texts[name] = {doc.text for doc in docs["dev"]}
        assert not texts[name] & {doc.text for doc in docs["train"]}
    assert "No dev there; taken by a hash of the source: 20%" in capsys.readouterr().out
    assert sizes["default"] == {"train": 40, "dev": 10, "test": 10}
    assert sizes["no test"] == {"train": 50, "dev": 10}
    assert texts["default"] == texts["no test"] != texts["seed"]


def test_each_split_may_have_a_file_of_its_own(tmp_path):
    data = {"train_csv": rows(40), "dev_tsv": rows(4).replace(",", "\t"), "notes_txt": "no pairs"}
    folder = write_data(tmp_path / "in", **data)
    (folder / "test.csv.gz").write_bytes(gzip.compress(rows(6).encode()))
    report = preprocess_pairs(folder, tmp_path / "out")
    assert {s: x["pairs"] for s, x in report["splits"].items()} == {
        "train": 40,
        "dev": 4,
        "test": 6,
    }
    assert report["overlap"] == {"dev": 2, "test": 3}
    (folder / "dev.tsv").unlink()
    report = preprocess_pairs(folder, tmp_path / "out", reading=Reading(dev_share=0.5))
    counts = [x["pairs"] for x in report["splits"].values()]
    assert counts[2] == 6 and counts[0] + counts[1] == 40 and 4 < counts[1] < 36
    (folder / "test.csv.gz").unlink()
    (folder / "train.csv").write_text(ENTITIES)  # the one file then, whatever its name
    report = preprocess_pairs(folder, tmp_path / "out")
    assert [x["pairs"] for x in report["splits"].values()] == [4, 1, 1]


def test_repeats_and_lengths_are_left_out_or_kept(tmp_path):
    content = ENTITIES + "x,x,train\n" + "nothing here,nothing here,train\n" * 2
    report, _ = convert(tmp_path, content, reading=Reading(max_chars=35))
    assert report["splits"]["train"]["told"] == {"long": 1, "repeated": 2, "short": 1}
    assert "line 2: 40 characters, more than 35" in report["splits"]["train"]["first"][0]
    report, docs = convert(
        tmp_path, content, reading=Reading(keep_repeats=True, min_chars=0, max_chars=0)
    )
    assert len(docs["train"]) == 7 and report["splits"]["train"]["told"] == {}


BAD = {
    "nothing": ({}, {}, r"in: no file of pairs. Expected one in \.csv, .* or --file, or train"),
    "two": ({"a_csv": FREE, "b_tsv": FREE}, {}, r"a\.csv and b\.tsv. Expected one in"),
    "two trains": ({"train_csv": FREE, "train_tsv": FREE}, {}, r"train\.csv and train\.tsv"),
    "no such file": ({"a_csv": FREE}, {"file": "b.csv"}, r"b\.csv: no such file"),
    "no dev": ({"a_csv": FREE.replace("dev", "test")}, {}, r"a\.csv: no pairs for dev. Expected"),
    "dev share": ({"a_csv": FREE}, {"reading": Reading(dev_share=0.0)},
                  r"--dev-share 0.0, and the column 'split' of .*a\.csv. Expected one of them"),
    "test share": ({"train_csv": FREE, "test_csv": FREE}, {"reading": Reading(test_share=0.1)},
                   r"--test-share 0.1, and .*test\.csv"),
    "seed": ({"a_csv": FREE}, {"reading": Reading(seed=2)}, "--seed 2, and the column"),
    "shares": ({"a_csv": rows(9)}, {"reading": Reading(dev_share=0.9, test_share=0.1)},
               "dev share 0.9, test share 0.1. Expected 0 or more"),
    "reversed tags": ({"a_csv": FREE}, {"reading": Reading(reverse=True), "tags": "labels"},
                      "--reverse with --tags labels. Expected none"),
    "labels of entities": ({"a_csv": ENTITIES}, {"labels": SAMPLE / "README.md"},
                           "--labels with tags entities. Expected it with labels"),
    "no tags": ({"a_csv": rows(9)}, {"tags": "entities"}, "--tags entities, and no target has"),
    "column": ({"a_csv": FREE}, {"reading": Reading(source_column="src")}, "no column 'src' in"),
    "bad row": ({"a_csv": FREE + "a,b\n"}, {}, r"a\.csv, line 5: 2 columns. Expected 3"),
    "bad dev": ({"train_csv": FREE, "dev_csv": HEAD}, {}, r"dev\.csv: no pairs. Expected"),
    "language": ({"a_csv": FREE}, {"lang": "zz"}, "Language 'zz' cannot be used"),
    "groups": ({"a_csv": LABELS, "ekman_mapping_json": '{"x": ["y"]}'}, {}, "label 'y'. Expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_converted_is_told_and_leaves_no_output(tmp_path, name):
    files, options, message = BAD[name]
    folder = write_data(tmp_path / "in", **files)
    with pytest.raises(ValueError, match=message):
        preprocess_pairs(folder, tmp_path / "out", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_earlier_corpus_stays_when_a_file_is_bad_and_nothing_else_is_replaced(tmp_path):
    convert(tmp_path, FREE)
    before = (tmp_path / "out" / "train.spacy").read_bytes()
    with pytest.raises(ValueError, match=r"line 5: an empty source"):
        convert(tmp_path, FREE + ",b,dev\n")
    assert (tmp_path / "out" / "train.spacy").read_bytes() == before
    with pytest.raises(ValueError, match="would replace the input"):
        preprocess_pairs(tmp_path / "in", tmp_path / "in")


def test_every_option_of_the_command_reaches_the_conversion(tmp_path):
    app = Typer()
    app.command()(main)
    content = "a,b\n" + "".join(f"{{{{joy}}}} text{i}{{{{/joy}}}},text{i}\n" * 2 for i in range(60))
    folder = write_data(tmp_path / "in", x_csv=content + "z,z\n", y_csv="", l_txt="sad\njoy\n")
    command = ["--file", "x.csv", "--source-column", "b", "--target-column", "a", "--tags",
               "labels", "--labels", str(folder / "l.txt"), "--dev-share", "0.3", "--test-share",
               "0", "--seed", "3", "--max-chars", "21", "--min-chars", "1", "--keep-repeats",
               "--lang", "de"]  # fmt: skip
    result = CliRunner().invoke(app, [str(folder), str(tmp_path / "out"), *command])
    assert result.exit_code == 0, result.output
    assert "21 pairs in" in result.output
    told = [x["told"]["long"] for x in load(tmp_path / "out" / "report.json")["splits"].values()]
    assert sum(told) == 100
    docs = read(tmp_path / "out" / "train.spacy") + read(tmp_path / "out" / "dev.spacy")
    assert sum(doc.cats == {"sad": 0, "joy": 1} for doc in docs) == 20
    assert not (tmp_path / "out" / "test.spacy").exists()
    result = CliRunner().invoke(app, [str(folder), str(tmp_path / "out"), "--reverse"])
    assert result.exit_code == 1 and "Nothing was converted" in result.output


@pytest.mark.slow
def test_the_same_corpus_trains_a_recogniser_of_entities(sample, tmp_path):
    files = {"train": "train.spacy", "dev": "dev.spacy", "labels": "labels.json"}
    overrides = {f"paths.{key}": str(sample / name) for key, name in files.items()}
    overrides |= {"training.max_steps": 120, "training.eval_frequency": 40, "training.dropout": 0.1}
    overrides |= {"training.optimizer.learn_rate": 0.02, **small_tok2vec("ner_crf")}
    train(ROOT / "configs" / "ner_crf.cfg", tmp_path / "trained", overrides=overrides)
    nlp = spacy.load(tmp_path / "trained" / "model-best")
    scores = nlp.evaluate(list(Corpus(sample / "dev.spacy")(nlp)))
    assert scores["ents_f"] > 0.4


@pytest.mark.slow
def test_the_corpus_of_labels_is_decided_and_evaluated_as_one_of_posts(files, tmp_path):
    posts = "We won today\t0\ta\nDamn thieves\t1\tb\nThe shop opens\t2\tc\nSo happy\t0\td\n"
    data = {"labels_txt": "joy\nanger\nneutral\n", "train_tsv": posts, "dev_tsv": posts}
    data["sentiment_dict_json"] = '{"good": ["joy"], "bad": ["anger"]}'
    mark_up(write_data(tmp_path / "in", **data), tmp_path / "marked")
    preprocess_pairs(tmp_path / "marked", tmp_path / "out")
    corpus, pipeline = tmp_path / "out" / "dev.spacy", tmp_path / "decided" / "pipeline"
    decide(files["model"], corpus, pipeline, min_support=1)
    views = tmp_path / "out" / "views.json"
    result = evaluate(pipeline, corpus, tmp_path / "metrics.json", views=views, resamples=2)
    assert list(result["views"]) == ["sentiment"]
