"""The batch shown is the one that the trainer gets, with all that it teaches."""

from itertools import islice
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training.loop import create_train_batches
from spacy.util import load_config, load_model_from_config, registry, resolve_dot_names
from thinc.api import fix_random_seed
from typer import Typer
from typer.testing import CliRunner

import plugins.pairs  # registers the reader
from scripts.show_batch import main, print_batch, show_batch
from tests.conftest import ROOT
from tests.small_recipes import RECIPES

pytest_plugins = ["tests.small_recipes"]

PAIRS = """
[paths]
train = null
dev = null

[nlp]
lang = "en"
pipeline = []
batch_size = 2

[nlp.tokenizer]
@tokenizers = "goemotions.Tokenizer.v1"
placeholders = ["[NAME]"]

[corpora]

[corpora.train]
@readers = "goemotions.PairsCsv.v1"
path = ${paths.train}
split = "train"

[corpora.dev]
@readers = "goemotions.PairsCsv.v1"
path = ${paths.dev}
split = "dev"

[training]
seed = 3
max_epochs = -1

[training.batcher]
@batchers = "spacy.batch_by_sequence.v1"
size = 2
"""
CSV = """orig_text,annotated_text,split
[NAME] ran,{{P}} [NAME]{{/P}}  ran,train
bus!,car!,train
d,e,train
f,g,dev
h i,j,dev
k,l,dev
"""


@pytest.fixture
def pairs(tmp_path) -> tuple[Path, dict]:
    (tmp_path / "pairs.csv").write_text(CSV)
    (tmp_path / "pairs.cfg").write_text(PAIRS)
    path = str(tmp_path / "pairs.csv")
    return tmp_path / "pairs.cfg", {"paths.train": path, "paths.dev": path}


def texts(shown: dict) -> list[str]:
    return [row["text"] for row in shown["rows"]]


def test_pairs_are_shown_with_target_and_symbols(pairs):
    shown = show_batch(pairs[0], overrides=pairs[1])
    assert shown == {
        "split": "train",
        "epoch": 1,
        "number": 1,
        "docs": 2,
        "tokens": [2, 2],
        "rows": [
            {
                "text": "[NAME] ran",
                "tokens": ["[NAME]", "ran"],
                "cats": {},
                "ents": None,
                "spans": {},
                "target": "{{P}} [NAME]{{/P}}  ran",
                "source_symbols": ["[", "￭NAME", "￭]", "ran"],
                "symbols": ["{{P}}", "[", "￭NAME", "￭]", "{{/P}}", "ran"],
            },
            {
                "text": "bus!",
                "tokens": ["bus", "!"],
                "cats": {},
                "ents": None,
                "spans": {},
                "target": "car!",
                "source_symbols": ["bus", "￭!"],
                "symbols": ["car", "￭!"],
            },
        ],
    }


def test_batches_are_counted_over_epochs_and_of_dev_once(pairs):
    config, overrides = pairs
    found = [show_batch(config, number=n, overrides=overrides) for n in (2, 3)]
    assert [(shown["epoch"], texts(shown)) for shown in found] == [
        (1, ["d"]),
        (2, ["[NAME] ran", "bus!"]),
    ]
    shown = show_batch(config, split="dev", number=2, overrides=overrides)
    assert (shown["docs"], texts(shown)) == (1, ["k"])
    with pytest.raises(ValueError, match=r"pairs\.cfg: no batch 3 of dev. Expected a smaller"):
        show_batch(config, split="dev", number=3, overrides=overrides)


def test_a_pair_is_found_in_a_corpus_too(pairs, tmp_path):
    nlp = spacy.blank("en")
    reader = plugins.pairs.create_pairs_reader(tmp_path / "pairs.csv", split="train")
    docs = DocBin(["ORTH"], store_user_data=True, docs=[x.reference for x in reader(nlp)])
    docs.to_disk(tmp_path / "train.spacy")
    (tmp_path / "pairs.cfg").write_text(
        PAIRS.replace("goemotions.PairsCsv.v1", "spacy.Corpus.v1", 1).replace('split = "train"', "")
    )
    overrides = pairs[1] | {"paths.train": str(tmp_path / "train.spacy")}
    shown = show_batch(pairs[0], rows=1, overrides=overrides)
    assert [row["target"] for row in shown["rows"]] == ["{{P}} [NAME]{{/P}}  ran"]


@pytest.mark.parametrize("number", [2, 7])  # of five batches in an epoch
def test_the_batch_is_that_of_spacy_train(cnn, number):
    config, overrides = cnn
    nlp = load_model_from_config(load_config(config, overrides=overrides), auto_fill=True)
    settings = nlp.config.interpolate()
    fix_random_seed(settings["training"]["seed"])
    (corpus,) = resolve_dot_names(settings, ["corpora.train"])
    batcher = registry.resolve({"batcher": settings["training"]["batcher"]})["batcher"]
    batches = create_train_batches(nlp, corpus, batcher, max_epochs=0)
    epoch, batch = next(islice(batches, number - 1, None))
    shown = show_batch(config, number=number, rows=99, overrides=overrides)
    assert texts(shown) == [example.text for example in batch]
    assert (shown["epoch"], shown["docs"]) == (epoch + 1, 8)
    assert [row["cats"] for row in shown["rows"]] == [example.y.cats for example in batch]
    assert shown["tokens"] == [len(example) for example in batch]


def test_entities_are_shown_as_ents_and_as_spans(ner_crf, tmp_path):
    config, overrides = ner_crf
    docs = list(DocBin().from_disk(overrides["paths.train"]).get_docs(spacy.blank("en").vocab))
    doc = next(doc for doc in docs if doc.text == "Ada Kent ran")
    doc.spans["entities"] = [doc[0:2], doc[1:2]]
    DocBin(docs=[doc]).to_disk(tmp_path / "one.spacy")
    changes = {"paths.dev": str(tmp_path / "one.spacy")}
    (row,) = show_batch(config, split="dev", overrides=overrides | changes)["rows"]
    assert row["ents"] == [("Ada Kent", "PERSON")]
    assert row["spans"] == {"entities": [("Ada Kent", ""), ("Kent", "")]}


def test_tags_are_shown_of_the_words_that_have_one(references, capsys):
    config, overrides = references
    rows = show_batch(config, split="dev", rows=40, overrides=overrides)["rows"]
    row = next(row for row in rows if row["text"] == "[7] in Oslo,")
    assert row["tags"] == [("in", "where"), ("Oslo,", "where")]
    assert row["ents"] is None and not row["cats"]
    shown = {"split": "dev", "epoch": 1, "number": 1, "docs": 1, "tokens": [3], "rows": [row]}
    print_batch(shown)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "1  [7] in Oslo,",
        "   tokens: 3: [7] | in | Oslo,",
        "   tags: where in; where Oslo,",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "dev"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_config_that_trains_has_a_batch_to_show(name, split, request):
    config, overrides = request.getfixturevalue(name)
    shown = show_batch(config, split=split, overrides=overrides)
    assert 1 <= shown["docs"] == len(shown["tokens"]) and len(shown["rows"]) == min(
        8, shown["docs"]
    )
    known = [
        bool(row["cats"]) or row["ents"] is not None or row.keys() & {"tags", "target"}
        for row in shown["rows"]
    ]
    assert any(known) if name == "multitask" else all(known)


def run(*arguments: str):
    app = Typer()
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=settings)(main)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_prints_what_there_is_to_say(cnn, pairs):
    config, overrides = pairs
    options = [part for key, value in overrides.items() for part in (f"--{key}", value)]
    result = run(config, "--rows", 1, *options)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "batch 1 of train, epoch 1: 2 texts, 4 tokens, 2 to 2 each",
        "",
        "1  [NAME] ran",
        "   tokens: 2: [NAME] | ran",
        "   target: {{P}} [NAME]{{/P}}  ran",
        "   source symbols: 4: [ | ￭NAME | ￭] | ran",
        "   symbols: 6: {{P}} | [ | ￭NAME | ￭] | {{/P}} | ran",
        "",
        "... and 1 more",
    ]
    config, overrides = cnn
    paths = [f"--{key}={overrides[key]}" for key in ("paths.train", "paths.dev", "paths.labels")]
    result = run(config, "--split", "dev", "--batch", "1", *paths, "--nlp.batch_size", "3")
    assert result.output.startswith("batch 1 of dev, epoch 1: 3 texts, ")
    assert "   labels: joy 1 (of 3)\n" in result.output


def test_what_a_training_would_refuse_is_refused(cnn, tmp_path):
    config, overrides = cnn
    with pytest.raises(ValueError, match=r"nothing reads training\.dropuot\. Did you mean"):
        show_batch(config, overrides=overrides | {"training.dropuot": 0.1})
    with pytest.raises(ValueError, match=r"--paths\.train .*none\.spacy: no such file"):
        show_batch(config, overrides=overrides | {"paths.train": str(tmp_path / "none.spacy")})
    result = run(ROOT / "configs" / "cnn.cfg", "--no.such.key", "1")
    assert result.exit_code == 1 and "No batch to show" in result.output
