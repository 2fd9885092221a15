"""Components of two pipelines in one: joined without training, and frozen while one half trains."""

import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
import typer
from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.util import load_config
from typer.testing import CliRunner

from scripts import assemble as assemble_script
from scripts import train as train_script
from scripts.assemble import assemble
from scripts.check_config import check_config, check_inputs
from scripts.decide import decide
from scripts.files import hash_of
from scripts.train import train
from tests.conftest import LABELS, ROOT, make_examples

pytestmark = pytest.mark.slow

NO_CORPUS = {f"paths.{name}": None for name in ("train", "dev", "labels")}
ASSEMBLE, SOURCED = ROOT / "configs" / "assemble.cfg", ROOT / "configs" / "sourced.cfg"
REAL = ROOT / "assets" / "models" / "en_core_web_sm"
ROWS = [
    ("Ann likes Rome", ["NNP", "VBZ", "NNP"], [(0, 3, "PERSON"), (10, 14, "GPE")]),
    ("she hates rain", ["PRP", "VBZ", "NN"], []),
    ("Bob hates Oslo", ["NNP", "VBZ", "NNP"], [(0, 3, "PERSON"), (10, 14, "GPE")]),
    ("thanks Ann", ["UH", "NNP"], [(7, 10, "PERSON")]),
]
TEXTS = ["Bob hates Oslo", "Thanks [NAME], best present ever", "", "so happy she likes rain", "thx"]
WIDTH = 16
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH}


def tok2vec_config(vectors: bool) -> dict:
    embed = {"@architectures": "spacy.MultiHashEmbed.v2", "width": WIDTH, "attrs": ["NORM"],
             "rows": [200], "include_static_vectors": vectors}  # fmt: skip
    encode = {"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": WIDTH, "depth": 1,
              "window_size": 1, "maxout_pieces": 2}  # fmt: skip
    return {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": encode}


def add_vectors(nlp: Language, seed: int) -> None:
    words = ["Ann", "Bob", "likes", "hates", "Rome", "Oslo", "rain", "happy"]
    table = numpy.random.default_rng(seed).random((len(words), 5), dtype="float32")
    for word, row in zip(words, table, strict=True):
        nlp.vocab.set_vector(word, row)


def make_source(vectors: bool = False, steps: int = 20) -> Language:
    """Return a trained tagger and ner that listen to one tok2vec and know a norm of their own."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    if vectors:
        add_vectors(nlp, seed=0)
    nlp.add_pipe("tok2vec", config={"model": tok2vec_config(vectors)})
    nlp.add_pipe("tagger", config={"model": {"tok2vec": LISTENER}})
    nlp.add_pipe("ner", config={"model": {"tok2vec": LISTENER, "hidden_width": 16}})
    nlp.vocab.lookups.add_table("lexeme_norm", {"thx": "thanks"})
    nlp.vocab.from_bytes(nlp.vocab.to_bytes())  # the table takes effect when it is read
    examples = [
        Example.from_dict(nlp.make_doc(text), {"tags": tags, "entities": entities})
        for text, tags, entities in ROWS
    ]
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 0.02
    for _ in range(steps):
        nlp.update(examples, sgd=sgd)
    return nlp


def described(nlp: Language, text: str) -> tuple:
    doc = nlp(text)
    return [token.tag_ for token in doc], [(entity.text, entity.label_) for entity in doc.ents]


def listeners_of(nlp: Language) -> list[str]:
    return [
        name
        for name, pipe in nlp.pipeline
        if hasattr(pipe, "model")
        and any(isinstance(layer, Tok2VecListener) for layer in pipe.model.walk())
    ]


def weights_of(source: Path) -> dict[str, bytes]:
    """Return what the models of tagger and ner must be once each has a tok2vec of its own."""
    nlp = spacy.load(source)
    for name in ("tagger", "ner"):
        nlp.replace_listeners("tok2vec", name, ["model.tok2vec"])
    return {name: nlp.get_pipe(name).model.to_bytes() for name in ("tagger", "ner")}


def run_main(script, *arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=settings)(script.main)
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "tiny_sm"
    make_source().to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def source_with_vectors(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "tiny_md"
    make_source(vectors=True).to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def emotions(files, tmp_path_factory) -> Path:
    """A pipeline with decisions whose layers use the BLAS that the configs ask for."""
    folder = tmp_path_factory.mktemp("emotions")
    blas = {"after_pipeline_creation": {"@callbacks": "goemotions.numpy_blas.v1"}}
    spacy.load(files["model"], config={"nlp": blas}).to_disk(folder / "model")
    decide(folder / "model", files["dev.spacy"], folder / "pipeline", min_support=1)
    return folder / "pipeline"


@pytest.fixture(scope="module")
def assembled(source, emotions, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("assembled") / "pipeline"
    assemble(ASSEMBLE, output, overrides=paths_of(source, emotions))
    return output


def paths_of(source: Path, emotions: Path) -> dict[str, str]:
    return {"paths.source": str(source), "paths.emotions": str(emotions)}


def test_scores_and_decisions_are_exactly_those_of_the_emotion_pipeline(assembled, emotions):
    before, after = spacy.load(emotions), spacy.load(assembled)
    assert after.pipe_names == ["tagger", "ner", "textcat_multilabel", "decide"]
    for text in TEXTS:
        one, two = before(text), after(text)
        assert [token.text for token in one] == [token.text for token in two]
        assert one.cats == two.cats
        assert one._.emotions == two._.emotions
    assert after("So happy we made it home")._.emotions


def test_tags_and_entities_are_those_of_the_source(assembled, source):
    before, after = spacy.load(source), spacy.load(assembled)
    expected = ["NNP", "VBZ", "NNP"], [("Bob", "PERSON"), ("Oslo", "GPE")]
    assert described(after, "Bob hates Oslo") == described(before, "Bob hates Oslo") == expected
    # The norms are those that the emotions were trained with, so the source's own are not known.
    assert before("thx")[0].norm_ == "thanks"
    assert after("thx")[0].norm_ == "thx"


def test_every_weight_is_the_same_byte(assembled, source, emotions):
    for file in ("textcat_multilabel/model", "textcat_multilabel/cfg", "decide/thresholds.json"):
        assert (assembled / file).read_bytes() == (emotions / file).read_bytes()
    for file in ("tagger/cfg", "ner/cfg", "ner/moves"):
        assert (assembled / file).read_bytes() == (source / file).read_bytes()
    for name, weights in weights_of(source).items():
        assert (assembled / name / "model").read_bytes() == weights


def test_no_listener_is_left(assembled, source):
    nlp = spacy.load(assembled)
    assert listeners_of(spacy.load(source)) == ["tagger", "ner"]
    assert listeners_of(nlp) == []
    for name in ("tagger", "ner"):
        tok2vec = nlp.config["components"][name]["model"]["tok2vec"]
        assert tok2vec["@architectures"] == "spacy.Tok2Vec.v2"


def test_the_assembled_pipeline_needs_neither_of_the_others(source, emotions, tmp_path):
    paths = paths_of(source, emotions)
    assemble(ASSEMBLE, tmp_path / "new", overrides=paths)
    config = (tmp_path / "new" / "config.cfg").read_text()
    assert "source" not in load_config(tmp_path / "new" / "config.cfg")["components"]["tagger"]
    # The paths stay as values, which nothing reads: before_init belongs to initialize.
    assert config.count(str(source)) == 1


@pytest.fixture(scope="module")
def listening_emotions(emotions, tmp_path_factory) -> Path:
    """Emotions whose classifier listens to a tok2vec that uses word vectors."""
    config = load_config(emotions / "config.cfg")
    nlp = spacy.blank("en", config={"nlp": {**config["nlp"], "pipeline": []}})
    add_vectors(nlp, seed=1)
    nlp.add_pipe("tok2vec", config={"model": tok2vec_config(vectors=True)})
    model = config["components"]["textcat_multilabel"]["model"]
    model["tok2vec"] = LISTENER
    nlp.add_pipe("textcat_multilabel", config={"model": model})
    examples = make_examples(nlp)
    sgd = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=sgd)
    nlp.add_pipe("decide").set(dict.fromkeys(LABELS, 0.3), 0.3)
    folder = tmp_path_factory.mktemp("listening") / "pipeline"
    nlp.to_disk(folder)
    return folder


def test_emotions_with_a_shared_tok2vec_and_vectors_keep_their_scores(
    listening_emotions, source, tmp_path
):
    assemble(ASSEMBLE, tmp_path / "new", overrides=paths_of(source, listening_emotions))
    before, after = spacy.load(listening_emotions), spacy.load(tmp_path / "new")
    assert listeners_of(before) == ["textcat_multilabel"]
    assert listeners_of(after) == []
    for text in TEXTS:
        assert before(text).cats == after(text).cats


def test_two_pipelines_with_other_word_vectors_are_refused(
    listening_emotions, source_with_vectors, tmp_path
):
    paths = paths_of(source_with_vectors, listening_emotions)
    for vectors, loser in ((None, "tagger"), (str(source_with_vectors), "textcat_multilabel")):
        with pytest.raises(ValueError, match=rf"{loser} of .* word vectors"):
            assemble(ASSEMBLE, tmp_path / "new", overrides={**paths, "paths.vectors": vectors})


def test_a_source_with_word_vectors_asks_for_them_and_works_with_them(
    source_with_vectors, emotions, tmp_path
):
    paths = paths_of(source_with_vectors, emotions)
    with pytest.raises(ValueError, match=r"word vectors.*--paths\.vectors .*tiny_md"):
        assemble(ASSEMBLE, tmp_path / "new", overrides=paths)
    assert not (tmp_path / "new").exists()
    paths["paths.vectors"] = str(source_with_vectors)
    assemble(ASSEMBLE, tmp_path / "new", overrides=paths)
    before, after = spacy.load(source_with_vectors), spacy.load(tmp_path / "new")
    assert described(before, "Bob hates Oslo") == described(after, "Bob hates Oslo")
    assert after("Bob hates Oslo").cats == spacy.load(emotions)("Bob hates Oslo").cats


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"paths.source": "nowhere"}, r"no pipeline at nowhere\. Expected the folder of"),
        ({"paths.emotions": "assets/models/x"}, r"Run python -m scripts\.models x first"),
        ({"components.ner.component": "nerr"}, r"tiny_sm has no nerr\. Expected one of .*'ner'"),
        ({"components.ner.replace_listener": []}, "Did you mean components.ner.replace_listeners"),
        ({"nlp.tokenizer.placeholders": ["[X]"]}, "different tokenizer settings"),
        ({"components.tagger.replace_listeners": ["model.embed"]}, "model.embed"),
    ],
)
def test_what_cannot_be_assembled_is_named_and_the_old_pipeline_stays(
    source, emotions, tmp_path, overrides, message
):
    output = tmp_path / "pipeline"
    output.mkdir()
    with pytest.raises(ValueError, match=message):
        assemble(ASSEMBLE, output, overrides={**paths_of(source, emotions), **overrides})
    assert list(tmp_path.iterdir()) == [output]


def test_emotions_without_decisions_are_refused(source, emotions, tmp_path):
    paths = paths_of(source, emotions.parent / "model")
    with pytest.raises(ValueError, match=r"model has no decide\. Expected one of"):
        assemble(ASSEMBLE, tmp_path / "pipeline", overrides=paths)


def test_both_commands_say_in_one_sentence_what_is_missing(tmp_path, source):
    output = str(tmp_path / "out")
    for script, config in ((assemble_script, ASSEMBLE), (train_script, SOURCED)):
        arguments = str(config), output, "--paths.source", "assets/models/gone"
        code, said = run_main(script, *arguments)
        assert code == 1
        assert "no pipeline at assets/models/gone. Run python -m scripts.models gone first" in said
        assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_assemble_command_says_where_everything_came_from(source, emotions, tmp_path):
    paths = ["--paths.source", source, "--paths.emotions", emotions]
    code, said = run_main(assemble_script, ASSEMBLE, tmp_path / "out", *paths)
    assert code == 0
    assert "ner of" in said and (tmp_path / "out" / "ner" / "model").exists()


@pytest.mark.parametrize("config", [ASSEMBLE, SOURCED], ids=lambda path: path.stem)
def test_keys_are_checked_where_no_source_is(config):
    gone = {"paths.source": "gone"}
    check_config(config, gone)
    with pytest.raises(ValueError, match=r"nothing reads components\.tagger\.sourc\b"):
        check_config(config, {**gone, "components.tagger.sourc": "x"})
    with pytest.raises(ValueError, match="no pipeline at gone"):
        check_inputs(config, gone)


def test_a_source_may_be_an_installed_package(monkeypatch, source):
    monkeypatch.setattr("scripts.check_config.is_package", lambda name: name == "tiny_sm")
    monkeypatch.setattr("scripts.check_config.get_package_path", lambda name: source)
    check_inputs(SOURCED, NO_CORPUS | {"paths.source": "tiny_sm"})
    with pytest.raises(ValueError, match="no pipeline at tiny_md"):
        check_inputs(SOURCED, NO_CORPUS | {"paths.source": "tiny_md"})


def test_vectors_may_be_a_folder_or_an_installed_package(monkeypatch, source):
    monkeypatch.setattr("scripts.check_config.is_package", lambda name: name == "tiny_sm")
    monkeypatch.setattr("scripts.check_config.get_package_path", lambda name: source)
    cnn = ROOT / "configs" / "cnn.cfg"
    for vectors in ("tiny_sm", str(source), None):
        check_inputs(cnn, NO_CORPUS | {"paths.vectors": vectors})
    with pytest.raises(ValueError, match="no pipeline at tiny_md"):
        check_inputs(cnn, NO_CORPUS | {"paths.vectors": "tiny_md"})


def test_sourced_trains_exactly_what_cnn_trains():
    cnn, sourced = (load_config(ROOT / "configs" / f"{x}.cfg") for x in ("cnn", "sourced"))
    assert sourced["components"]["textcat_multilabel"] == cnn["components"]["textcat_multilabel"]
    assert sourced["corpora"] == {k: v for k, v in cnn["corpora"].items() if k != "pretrain"}
    own = {"frozen_components", "score_weights"}
    trained = {key: value for key, value in sourced["training"].items() if key not in own}
    assert trained == {k: v for k, v in cnn["training"].items() if k != "score_weights"}
    assert sourced["training"]["frozen_components"] == ["tagger", "ner"]


# Training beside frozen components.

SMALL = {
    "training.max_steps": 6,
    "training.eval_frequency": 3,
    "components.textcat_multilabel.model.tok2vec.embed.rows": [200, 100],
    "components.textcat_multilabel.model.tok2vec.embed.ngram_rows": 200,
}


@pytest.fixture(scope="module")
def trained(source, files, tmp_path_factory) -> Path:
    """Three trained components, two of them frozen, in a folder of a run."""
    folder = tmp_path_factory.mktemp("trained")
    srsly.write_json(folder / "labels.json", LABELS)
    overrides = {f"paths.{key}": str(files["dev.spacy"]) for key in ("train", "dev")}
    overrides |= {"paths.labels": str(folder / "labels.json"), "paths.source": str(source)}
    train(SOURCED, folder / "trained", overrides={**SMALL, **overrides})
    return folder / "trained"


def test_frozen_weights_are_the_same_byte_after_training_and_the_others_move(trained, source):
    for name in ("model-best", "model-last"):
        for pipe, weights in weights_of(source).items():
            assert (trained / name / pipe / "model").read_bytes() == weights
        for file in ("tagger/cfg", "ner/cfg", "ner/moves"):
            assert (trained / name / file).read_bytes() == (source / file).read_bytes()
    linear = (
        spacy.load(trained / "model-last").get_pipe("textcat_multilabel").model.get_ref("linear")
    )
    assert linear.layers[0].get_param("W").any()  # zeros at the start


def test_the_trained_half_learns_and_the_frozen_half_does_what_it_did(trained, source):
    before, after = spacy.load(source), spacy.load(trained / "model-last")
    assert listeners_of(after) == []
    # The last text needs the source's norm of thx.
    for text in ("Bob hates Oslo", "she likes rain", "thx"):
        assert described(after, text) == described(before, text)
    assert after("thx")[0].norm_ == "thanks"
    cats = [after(text).cats for text in ("so happy", "stop parking")]
    assert list(cats[0]) == LABELS
    assert cats[0] != cats[1]
    assert [token.text for token in after("[NAME] won")] == ["[NAME]", "won"]


def test_the_checkpoint_is_chosen_by_the_emotions_alone(trained):
    performance = srsly.read_json(trained / "model-best" / "meta.json")["performance"]
    assert performance["cats_macro_auc"] > 0
    weights = spacy.load(trained / "model-best").config["training"]["score_weights"]
    assert {key for key, weight in weights.items() if weight} == {"cats_macro_auc"}
    # Nor does the table show scores of components that have nothing to be scored on.
    assert all(key.startswith("cats_") for key, weight in weights.items() if weight is not None)


def test_decisions_are_tuned_and_made_beside_the_frozen_half(trained, files, tmp_path):
    decide(trained / "model-best", files["dev.spacy"], tmp_path / "pipeline", min_support=1)
    nlp = spacy.load(tmp_path / "pipeline")
    doc = nlp("Bob hates Oslo")
    assert [entity.text for entity in doc.ents] == ["Bob", "Oslo"]
    assert isinstance(doc._.emotions, list) and set(doc._.emotions) <= set(LABELS)
    corpus = DocBin().from_disk(files["dev.spacy"])
    assert any(nlp(doc.text)._.emotions for doc in corpus.get_docs(nlp.vocab))


def test_spacy_assemble_makes_the_same_bytes(assembled, source, emotions, tmp_path):
    for entry in ([sys.executable, "-m", "spacy"], [str(Path(sys.executable).with_name("spacy"))]):
        output = tmp_path / str(len(entry))
        command = [*entry, "assemble", str(ASSEMBLE), str(output), "--code", "plugins/__init__.py"]
        command += ["--paths.source", str(source), "--paths.emotions", str(emotions)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True)
        assert run.returncode == 0, run.stderr.decode()
        assert hash_of(output) == hash_of(assembled)


@pytest.mark.skipif(not REAL.exists(), reason="needs python -m scripts.models en_core_web_sm")
def test_the_real_pipeline_is_assembled_with_the_emotions(emotions, tmp_path):
    assemble(ASSEMBLE, tmp_path / "new", overrides=paths_of(REAL, emotions))
    nlp, text = spacy.load(tmp_path / "new"), "Barack Obama visited Paris on Monday."
    assert described(nlp, text) == described(spacy.load(REAL), text)
    assert ("Paris", "GPE") in described(nlp, text)[1]
    assert nlp(text).cats == spacy.load(emotions)(text).cats
