"""Small trainings of all kinds, and what several tests of parallel training do with them."""

import io
from filecmp import dircmp
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.util import registry
from thinc.api import Config

from benchmarks.parallel import joined_by_file
from plugins.markup import Markup
from plugins.tagged_words import Tagged, make_reference
from scripts.compose import compose
from scripts.train import train
from scripts.train_worker import Worker
from scripts.training_state import digest_of, weights_to_dict
from tests.conftest import ROOT
from tests.made_tasks import MadeTask, made_tasks
from tests.test_assemble import make_source
from tests.tiny_transformer import save_tiny_transformer

TEXTCAT = "components.textcat_multilabel"
TOK2VEC = f"{TEXTCAT}.model.tok2vec"
LABELS = ("joy", "anger", "neutral")
SMALL_CNN = {
    f"{TOK2VEC}.encode.width": 16,
    f"{TOK2VEC}.encode.depth": 1,
    f"{TOK2VEC}.embed.width": 16,
    f"{TOK2VEC}.embed.rows": [200, 50],
    f"{TOK2VEC}.embed.ngram_rows": 200,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict:
    """Overrides of any config: forty posts of three labels, a few steps."""
    folder, nlp = tmp_path_factory.mktemp("corpus"), spacy.blank("en")
    words = ["great day", "awful stuff", "the bus", "what a great bus", "so awful a day"]
    docs = DocBin()
    for number in range(40):
        doc = nlp(" ".join(words[(number * step) % 5] for step in range(1, 2 + number % 4)))
        on = ["great" in doc.text, "awful" in doc.text, "bus" in doc.text]
        doc.cats = dict(zip(LABELS, map(float, on), strict=True))
        docs.add(doc)
    docs.to_disk(folder / "train.spacy")
    srsly.write_json(folder / "labels.json", LABELS)
    return {
        "paths.train": str(folder / "train.spacy"),
        "paths.dev": str(folder / "train.spacy"),
        "paths.labels": str(folder / "labels.json"),
        "training.batcher.size": 8,
        "training.max_steps": 12,
        "training.eval_frequency": 4,
    }


@pytest.fixture(scope="module")
def cnn(small) -> tuple[Path, dict]:
    return ROOT / "configs" / "cnn.cfg", {**small, **SMALL_CNN}


@pytest.fixture(scope="module")
def stream(small, tmp_path_factory) -> tuple[Path, dict]:
    path = tmp_path_factory.mktemp("stream") / "posts.jsonl"
    docs = list(DocBin().from_disk(small["paths.train"]).get_docs(spacy.blank("en").vocab))
    rows = [
        {"text": doc.text, "labels": [label for label in LABELS if doc.cats[label]]} for doc in docs
    ]
    srsly.write_jsonl(path, [row for row in rows if row["labels"]])
    paths = {"paths.train": str(path), "paths.dev": str(path)}
    return ROOT / "configs" / "stream.cfg", {**small, **SMALL_CNN, **paths}


@pytest.fixture(scope="module")
def shards(cnn, tmp_path_factory) -> tuple[Path, dict]:
    folder, nlp = tmp_path_factory.mktemp("shards"), spacy.blank("en")
    docs = list(DocBin().from_disk(cnn[1]["paths.train"]).get_docs(nlp.vocab))
    for start in range(0, 40, 10):
        DocBin(docs=docs[start : start + 10]).to_disk(folder / f"{start}.spacy")
    more = {
        "paths.train": str(folder),
        "corpora.train.@readers": "goemotions.Shards.v1",
        "corpora.train.shuffle_buffer": 15,
        "training.max_epochs": -1,
    }
    return cnn[0], {**cnn[1], **more}


@pytest.fixture(scope="module")
def soft(cnn, tmp_path_factory) -> tuple[Path, dict]:
    """cnn with soft labels of its posts and of raw texts, of which each pass has another part."""
    folder = tmp_path_factory.mktemp("soft")
    docs = DocBin().from_disk(cnn[1]["paths.train"]).get_docs(spacy.blank("en").vocab)
    texts = [*dict.fromkeys(doc.text for doc in docs), *(f"raw bus {n}" for n in range(7))]
    rows = [{"text": x, "soft": {y: 0.1 + 0.7 * (y[0] in x) for y in LABELS}} for x in texts]
    srsly.write_jsonl(folder / "soft.jsonl", rows)
    (folder / "soft.cfg").write_text(compose(["model=cnn", "labels=soft"], ROOT))
    more = {"paths.soft": str(folder / "soft.jsonl"), "corpora.train.raw_per_epoch": 3}
    return folder / "soft.cfg", {**cnn[1], **more, "training.max_epochs": -1}


@pytest.fixture(scope="module")
def torch_lstm(small) -> tuple[Path, dict]:
    widths = {f"{TEXTCAT}.model.lstm_width": 8, f"{TEXTCAT}.model.embed_width": 8}
    return ROOT / "configs" / "torch_lstm.cfg", {**small, **widths}


@pytest.fixture(scope="module")
def bert(small, tmp_path_factory) -> tuple[Path, dict]:
    model = save_tiny_transformer(tmp_path_factory.mktemp("models") / "tiny")
    return ROOT / "configs" / "bert.cfg", {**small, "vars.transformer": str(model)}


@pytest.fixture(scope="module")
def multitask(small, tmp_path_factory) -> tuple[Path, dict]:
    """Words are predicted from others that are hidden, by numbers that the encoder draws."""
    folder, nlp = tmp_path_factory.mktemp("raw"), spacy.blank("en")
    docs = list(DocBin().from_disk(small["paths.train"]).get_docs(nlp.vocab))
    numbers = numpy.random.RandomState(0)
    for word in sorted({token.text for doc in docs for token in doc}):
        nlp.vocab.set_vector(word, numbers.normal(size=8).astype("f"))
    nlp.to_disk(folder / "vectors")
    srsly.write_jsonl(folder / "raw.jsonl", [{"text": f"{doc.text} {doc.text}"} for doc in docs])
    objective = "components.pretraining_objective.objective"
    more = {
        "paths.raw_text": str(folder / "raw.jsonl"),
        "paths.vectors": str(folder / "vectors"),
        f"{objective}.hidden_size": 16,
        f"{objective}.loss": "cosine",
        f"{objective}.mask_prob": 0.3,
    }
    return ROOT / "configs" / "multitask.cfg", {**small, **SMALL_CNN, **more}


@registry.callbacks("count_steps")
def create_count_steps():
    def count(nlp, args: dict) -> None:
        """Leave in the saved pipeline which step was the last, and in the weights that it was."""
        nlp.get_pipe("textcat_multilabel").cfg["last"] = [args["step"], args["epoch"]]
        model = nlp.get_pipe("textcat_multilabel").model
        node = next(node for node in model.walk() if node.name == "layernorm")
        node.set_param("G", node.get_param("G") + 0.001 * args["step"])

    return count


@pytest.fixture(scope="module")
def frozen(cnn, tmp_path_factory) -> tuple[Path, dict]:
    """A tagger of another pipeline, frozen, whose tags the encoder sees, and before_update."""
    folder, overrides = tmp_path_factory.mktemp("frozen"), cnn[1]
    nlp = spacy.blank("en")
    nlp.add_pipe("tagger")
    docs = DocBin().from_disk(overrides["paths.train"]).get_docs(nlp.vocab)
    examples = []
    for doc in docs:
        reference = doc.copy()
        for token in reference:
            token.tag_ = "NN" if len(token) < 4 else "JJ"
        examples.append(Example(nlp.make_doc(doc.text), reference))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder / "tagger")
    config = Config().from_disk(cnn[0], interpolate=False)
    config["nlp"]["pipeline"] = ["tagger", "textcat_multilabel"]
    config["components"]["tagger"] = {"source": str(folder / "tagger")}
    embed = config["components"]["textcat_multilabel"]["model"]["tok2vec"]["embed"]
    embed["attrs"] = ["NORM", "TAG"]
    training = config["training"]
    training["frozen_components"] = training["annotating_components"] = ["tagger"]
    training["before_update"] = {"@callbacks": "count_steps"}
    config.to_disk(folder / "frozen.cfg")
    return folder / "frozen.cfg", overrides


@pytest.fixture(scope="module")
def sourced(cnn, tmp_path_factory) -> tuple[Path, dict]:
    """A tagger and an entity recogniser of another pipeline, frozen."""
    folder = tmp_path_factory.mktemp("sourced") / "source"
    make_source().to_disk(folder)
    return ROOT / "configs" / "sourced.cfg", {**cnn[1], "paths.source": str(folder)}


@pytest.fixture(scope="module")
def imdb(multitask, tmp_path_factory) -> tuple[Path, dict]:
    """Two labels that exclude each other, and static vectors."""
    folder, overrides = tmp_path_factory.mktemp("imdb"), multitask[1]
    docs = list(DocBin().from_disk(overrides["paths.train"]).get_docs(spacy.blank("en").vocab))
    for doc in docs:
        doc.cats = {"NEGATIVE": 1 - doc.cats["joy"], "POSITIVE": doc.cats["joy"]}
    DocBin(docs=docs).to_disk(folder / "train.spacy")
    srsly.write_json(folder / "labels.json", ["NEGATIVE", "POSITIVE"])
    kept = {key: value for key, value in overrides.items() if key.startswith("training.")}
    paths = {f"paths.{key}": str(folder / "train.spacy") for key in ("train", "dev")}
    paths |= {"paths.labels": str(folder / "labels.json")}
    paths |= {"paths.vectors": overrides["paths.vectors"]}
    return ROOT / "configs" / "imdb.cfg", {**kept, **paths}


@pytest.fixture(scope="module")
def entities(tmp_path_factory) -> dict:
    """Overrides of any config for entities: forty posts about two people and a town."""
    folder, nlp = tmp_path_factory.mktemp("entities"), spacy.blank("en")
    known = {"Ada Kent": "PERSON", "Bo": "PERSON", "Oslo": "PLACE"}
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": name} for name, label in known.items()])
    words = ["Ada Kent ran", "in Oslo", "the bus", "Bo sat", "so great a day"]
    texts = [" ".join(words[(n * step) % 5] for step in range(1, 2 + n % 4)) for n in range(40)]
    DocBin(docs=nlp.pipe(texts)).to_disk(folder / "train.spacy")
    srsly.write_json(folder / "labels.json", ["PERSON", "PLACE"])
    return {
        "paths.train": str(folder / "train.spacy"),
        "paths.dev": str(folder / "train.spacy"),
        "paths.labels": str(folder / "labels.json"),
        "training.batcher.size": 30,
        "training.max_steps": 12,
        "training.eval_frequency": 4,
    }


def small_tok2vec(component: str) -> dict:
    """Return overrides that make the encoder of a config for entities or words small."""
    tok2vec = f"components.{component}.model.tok2vec"
    return {
        f"{tok2vec}.encode.width": 16,
        f"{tok2vec}.encode.depth": 1,
        f"{tok2vec}.embed.rows": [200, 50, 50, 50],
        f"{tok2vec}.embed.ngram_rows": 200,
    }


@pytest.fixture(scope="module")
def ner(entities) -> tuple[Path, dict]:
    return ROOT / "configs" / "ner.cfg", {**entities, **small_tok2vec("ner")}


@pytest.fixture(scope="module")
def ner_crf(entities) -> tuple[Path, dict]:
    return ROOT / "configs" / "ner_crf.cfg", {**entities, **small_tok2vec("ner_crf")}


@pytest.fixture(scope="module")
def ner_crf_trf(entities, tmp_path_factory) -> tuple[Path, dict]:
    model = save_tiny_transformer(tmp_path_factory.mktemp("models") / "tiny")
    more = {
        "vars.transformer": str(model),
        "components.ner_crf.model.tok2vec.encode.width": 24,  # 16 of them the transformer's
        "components.ner_crf.model.tok2vec.embed.*.word.width": 8,
        "training.batcher.size": 8,
    }
    return ROOT / "configs" / "ner_crf_trf.cfg", {**entities, **more}


@pytest.fixture(scope="module")
def tagged(tmp_path_factory) -> dict:
    """Overrides of any config for tagged words: forty texts of names, towns and other words."""
    folder, nlp = tmp_path_factory.mktemp("tagged"), spacy.blank("en")
    parts = [("Kent, A.", "who"), ("in Oslo,", "where"), ("Bread and brine.", "what")]
    parts += [("[7]", ""), ("(1992).", "when")]
    docs = DocBin(["ORTH", "TAG"])
    for n in range(40):
        some = [parts[(n * step) % 5] for step in range(1, 2 + n % 4)]
        words = [word for text, _ in some for word in text.split()]
        tags = [tag for text, tag in some for _ in text.split()]
        if any(tags):
            docs.add(make_reference(nlp, Tagged(words, tags, n)))
    docs.to_disk(folder / "train.spacy")
    srsly.write_json(folder / "labels.json", ["what", "when", "where", "who"])
    return {
        "paths.train": str(folder / "train.spacy"),
        "paths.dev": str(folder / "train.spacy"),
        "paths.labels": str(folder / "labels.json"),
        "training.batcher.size": 30,
        "training.max_steps": 12,
        "training.eval_frequency": 4,
    }


@pytest.fixture(scope="module")
def references(tagged) -> tuple[Path, dict]:
    return ROOT / "configs" / "references.cfg", {**tagged, **small_tok2vec("token_classifier")}


@pytest.fixture(scope="module")
def references_trf(tagged, tmp_path_factory) -> tuple[Path, dict]:
    model = save_tiny_transformer(tmp_path_factory.mktemp("models") / "tiny")
    more = {
        "vars.transformer": str(model),
        "components.token_classifier.model.tok2vec.encode.width": 24,  # 16 the transformer's
        "components.token_classifier.model.tok2vec.embed.*.word.width": 8,
        "training.batcher.size": 8,
    }
    return ROOT / "configs" / "references_trf.cfg", {**tagged, **more}


@pytest.fixture(scope="module")
def pair_overrides(entities, tmp_path_factory) -> dict:
    """Overrides of any config for pairs: the posts of `entities`, and the same marked up."""
    folder, nlp, markup = tmp_path_factory.mktemp("pairs"), spacy.blank("en"), Markup()
    nlp.add_pipe("seq2seq")  # registers doc._.seq2seq
    docs = list(DocBin().from_disk(entities["paths.train"]).get_docs(nlp.vocab))
    for doc in docs:
        spans = [(span.start_char, span.end_char, span.label_) for span in doc.ents]
        doc._.seq2seq = markup.write(doc.text, spans)
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "train.spacy")
    paths = {f"paths.{split}": str(folder / "train.spacy") for split in ("train", "dev")}
    network = "components.seq2seq.model"
    return {
        **entities,
        **paths,
        f"{network}.hidden_width": 8,
        f"{network}.embed_width": 8,
        "training.batcher.size": 60,
    }


@pytest.fixture(scope="module")
def seq2seq(pair_overrides) -> tuple[Path, dict]:
    tok2vec = "components.seq2seq.model.tok2vec"
    small = {f"{tok2vec}.width": 8, f"{tok2vec}.rows": [200, 50, 50, 50, 50]}
    return ROOT / "configs" / "seq2seq.cfg", {
        **pair_overrides,
        **small,
        f"{tok2vec}.ngram_rows": 200,
    }


@pytest.fixture(scope="module")
def seq2seq_rnn(pair_overrides) -> tuple[Path, dict]:
    """What it is told falls with the steps."""
    schedule = {"@schedules": "goemotions.teacher_forcing.v1", "end": 0.2, "steps": 10}
    return ROOT / "configs" / "seq2seq_rnn.cfg", {
        **pair_overrides,
        "components.seq2seq.teacher_forcing": schedule,
    }


@pytest.fixture(scope="module")
def crf_model(ner_crf, tmp_path_factory) -> Path:
    """An entity recogniser of a dozen steps, on disk; do not change it."""
    folder = tmp_path_factory.mktemp("crf") / "trained"
    train(ner_crf[0], folder, overrides=ner_crf[1])
    return folder / "model-best"


RECIPES = ["cnn", "stream", "shards", "soft", "torch_lstm", "bert", "multitask", "frozen"]
RECIPES += ["sourced", "imdb", "ner", "ner_crf", "ner_crf_trf", "references", "references_trf"]
RECIPES += ["seq2seq", "seq2seq_rnn"]


def recipe_of(task: MadeTask):
    """Return a fixture of a task that scripts.new_task has made."""

    @pytest.fixture(scope="module", name=f"{task.name}_task")
    def recipe(tmp_path_factory) -> tuple[Path, dict]:
        return task.small(tmp_path_factory.mktemp(task.name))

    return recipe


for task in made_tasks():
    globals()[f"{task.name}_task"] = recipe_of(task)
    RECIPES.append(f"{task.name}_task")


def train_here(recipe: tuple[Path, dict], work: Path) -> Worker:
    """Train in this process, as the only worker."""
    work.mkdir(exist_ok=True)
    worker = Worker(*recipe, work)
    worker.train(io.StringIO(), io.StringIO())
    return worker


def be_one(rank: int, workers: int, recipe: tuple[Path, dict], folder: Path) -> None:
    """Be one of several workers; write what weights there are after each step."""
    with joined_by_file(rank, workers, folder):
        worker = Worker(*recipe, folder)
        digests = [digest_of(worker.parameters)]
        for _ in worker.steps():
            digests.append(digest_of(worker.parameters))
    srsly.write_json(folder / f"digests-{rank}.json", digests)
    weights = weights_to_dict(worker.parameters)
    numpy.savez(folder / f"weights-{rank}.npz", **weights)
    with worker.nlp.use_params(worker.optimizer.averages):
        numpy.savez(folder / f"averages-{rank}.npz", **weights_to_dict(worker.parameters))


def assert_same_files(one: Path, other: Path, ignore: list[str] | None = None) -> None:
    compared = dircmp(one, other, ignore)
    assert not compared.left_only and not compared.right_only, (one, other)
    for name in compared.common_files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name in compared.common_dirs:
        assert_same_files(one / name, other / name)
