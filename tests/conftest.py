"""Small corpora and pipelines that several tests use."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example

import plugins  # noqa: F401  registers the architectures

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True, scope="module")
def fixed_seed_of_a_module() -> None:
    """Draw the same numbers in every run, whichever files ran before."""
    spacy.util.fix_random_seed(0)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Draw the same numbers in a test, whichever tests ran before."""
    spacy.util.fix_random_seed(0)


def copy_project(folder: Path, sample: str) -> Path:
    """Copy what a workflow reads of the project, without anything built."""
    for name in (f"assets/{sample}", "configs", "plugins", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("project.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


LABELS = ["joy", "anger", "neutral"]
ROWS = [
    ("What a lovely morning, I could sing", {"joy"}),
    ("My bike was stolen again, damn thieves", {"anger"}),
    ("The shop opens at nine", {"neutral"}),
    ("You won! I hate that I love this so much", {"joy", "anger"}),
    ("Thanks [NAME], best present ever", {"joy"}),
    ("Stop parking in front of my door", {"anger"}),
    ("[NAME] lives in the second house", {"neutral"}),
    ("So happy we made it home", {"joy"}),
]
TOKENIZER = {"@tokenizers": "goemotions.Tokenizer.v1", "placeholders": ["[NAME]", "[RELIGION]"]}


def model_config(**changes: Any) -> dict[str, Any]:
    """Return a small PooledTextcat config."""
    return {
        "@architectures": "goemotions.PooledTextcat.v1",
        "pooling": ["mean", "max", "attention"],
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "width": 16,
            "depth": 1,
            "embed_size": 200,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
            "pretrained_vectors": None,
        },
        "label_attention": {"@layers": "goemotions.LabelAttention.v1"},
        "output_layer": {"@layers": "goemotions.CrossEntropy.v1", "pos_weight": 1.0},
        **changes,
    }


def make_nlp(rows: list[tuple[str, set[str]]] = ROWS, steps: int = 25) -> Language:
    """Return a pipeline trained on `rows` for some steps."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en", config={"nlp": {"tokenizer": TOKENIZER}})
    nlp.add_pipe("textcat_multilabel", config={"model": model_config()})
    examples = make_examples(nlp, rows)
    sgd = nlp.initialize(lambda: examples)
    for _ in range(steps):
        nlp.update(examples, sgd=sgd, drop=0.1)
    return nlp


def make_examples(nlp: Language, rows: list[tuple[str, set[str]]] = ROWS) -> list[Example]:
    """Return examples with every label set on every doc."""
    return [
        Example.from_dict(nlp.make_doc(text), {"cats": {x: float(x in on) for x in LABELS}})
        for text, on in rows
    ]


@pytest.fixture(scope="session")
def nlp() -> Language:
    """A trained pipeline; do not change it."""
    return make_nlp()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, nlp: Language) -> dict[str, Path]:
    """A trained pipeline, a corpus and views on disk; do not change them."""
    folder = tmp_path_factory.mktemp("files")
    nlp.to_disk(folder / "model")
    corpus = DocBin(attrs=["ORTH"], docs=[example.reference for example in make_examples(nlp)])
    corpus.to_disk(folder / "dev.spacy")
    srsly.write_json(folder / "views.json", {"polarity": {"emotional": ["joy", "anger"]}})
    return {name: folder / name for name in ("model", "dev.spacy", "views.json")}


@pytest.fixture(scope="session")
def decided(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained pipeline with thresholds and probabilities, on disk; do not change it."""
    folder = tmp_path_factory.mktemp("decided") / "small" / "pipeline"
    nlp = spacy.load(files["model"])
    curves = [{"temperature": 2.0}] * len(LABELS)
    nlp.add_pipe("decide").set(dict.fromkeys(LABELS, 0.3), 0.3, {}, curves)
    folder.parent.mkdir()
    nlp.to_disk(folder)
    return folder
