"""The command that tunes what a switch of labels costs, and what it tunes by."""

import json
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from numpy.testing import assert_allclose
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from typer import Typer
from typer.testing import CliRunner

from plugins.tagged_words import Tagged, make_reference
from scripts.decide_tokens import COSTS, SETTINGS, best_cost, count_by_cost, decide_tokens, main
from scripts.evaluate_tokens import evaluate_tokens
from scripts.files import hash_of
from scripts.token_corpus import numbers_of, probabilities_of, read_examples, token_component
from tests.conftest import make_nlp

LABELS = ("does", "who")
# By text: what is true, and how likely each word is to be "who", else it is "does".
ROWS = {
    # Two switches fewer from 0.25 on, for 2 · 0.25 > ln(.6 / .4); a third from 2.25 on.
    "Ada Kent Bo ran": (["who", "who", "who", "does"], [0.9, 0.4, 0.9, 0.1]),
    "Bo sat": (["who", "does"], [0.9, 0.3]),  # wrong from 1 on: ln(.7 / .3) is .85
    "[7] ran": (["", "does"], [0.9, 0.4]),  # wrong from 0.5 on
}
WORDS = numpy.array([4, 2, 1])


def right_by_hand(cost: float) -> list[int]:
    """Return how many words of each text are right."""
    return [3 if cost < 0.25 or cost > 2.2 else 4, 2 if cost < 0.9 else 1, int(cost < 0.45)]


def save_corpus(path: Path) -> Path:
    nlp = spacy.blank("en")
    texts = [Tagged(text.split(), tags, 1) for text, (tags, _) in ROWS.items()]
    docs = [make_reference(nlp, one) for one in texts]
    DocBin(["ORTH", "TAG"], docs=docs).to_disk(path)
    return path


def save_model(folder: Path, cost: float = 0.0) -> Path:
    """Write a classifier that has learned nothing."""
    tokenizer = {"@tokenizers": "goemotions.WordTokenizer.v1"}
    nlp = spacy.blank("en", config={"nlp": {"tokenizer": tokenizer}})
    tok2vec = {"width": 8, "depth": 1, "embed_size": 50}
    component = nlp.add_pipe("token_classifier", config={"model": {"tok2vec": tok2vec}})
    for label in LABELS:
        component.add_label(label)
    nlp.initialize(lambda: [Example(nlp.make_doc("Bo"), nlp.make_doc("Bo"))])
    component.switch_cost = cost
    nlp.to_disk(folder)
    return folder


def rig(monkeypatch) -> None:
    """Let each classifier say what is written in ROWS."""

    def said(self, docs):
        return [numpy.array([[1 - p, p] for p in ROWS[doc.text][1]], dtype="f") for doc in docs]

    # Not the class that we import: a test that trains with -c may have registered its own copy.
    made = type(spacy.blank("en").add_pipe("token_classifier"))
    monkeypatch.setattr(made, "probabilities", said)


@pytest.fixture
def corpus(tmp_path) -> Path:
    return save_corpus(tmp_path / "dev.spacy")


@pytest.fixture
def model(tmp_path, monkeypatch) -> Path:
    rig(monkeypatch)
    return save_model(tmp_path / "model")


def counts_of(*docs: dict[float, int], words: int = 10) -> numpy.ndarray:
    """Return counts [costs, docs, 2] that are those of the nearest lower cost that is given."""
    counts = numpy.full((len(COSTS), len(docs), 2), words)
    for place, doc in enumerate(docs):
        for cost, right in sorted(doc.items()):
            counts[cost <= COSTS, place, 0] = right
    return counts


def test_costs_go_from_none_to_one_that_no_likelihood_pays():
    assert COSTS.tolist() == [n / 4 for n in range(25)]


def test_the_cost_with_the_most_right_words_is_taken_without_resamples():
    assert best_cost(counts_of({0: 5, 0.5: 7, 2: 6}, {0: 3, 1: 2, 3: 9}), 0, seed=0) == 3.0
    assert best_cost(counts_of({0: 5, 0.5: 7, 2: 6}, {0: 3, 1: 2, 3: 3}), 0, seed=0) == 0.5


@pytest.mark.parametrize(
    ("best", "expected"), [([1.25, 0.5, 6.0], 0.5), ([6.0], 6.0), ([0.0, 0.25], 0.0), ([], 0.0)]
)
def test_of_equally_good_costs_the_least_is_taken(best, expected):
    counts = numpy.ones((len(COSTS), 1, 2), dtype="int64")
    counts[numpy.isin(COSTS, best), 0, 0] = 2
    for resamples in (0, 5):
        assert best_cost(counts, resamples, seed=0) == expected


def test_resampling_takes_the_median_of_the_best_costs_of_docs_drawn_anew():
    right = numpy.random.default_rng(1).integers(0, 9, size=(len(COSTS), 12))
    counts = numpy.stack([right, numpy.full_like(right, 9)], axis=2)
    found = set()
    for seed in range(8):
        best = []
        for draw in numpy.random.default_rng(seed).multinomial(12, [1 / 12] * 12, 9):
            scores = dict(zip(COSTS, (draw * right).sum(axis=1), strict=True))
            best.append(max(scores, key=lambda cost: (scores[cost], -cost)))
        assert best_cost(counts, 9, seed) == numpy.median(best)
        found.add(best_cost(counts, 9, seed))
    assert len(found) > 3 and found != {best_cost(counts, 0, seed=0)}


@pytest.mark.parametrize("text", ROWS)
def test_counts_by_cost_are_those_found_by_hand(text):
    true, likely = ROWS[text]
    numbers = numpy.array([-1 if not tag else LABELS.index(tag) for tag in true])
    counts = count_by_cost(numpy.array([[1 - p, p] for p in likely]), numbers)
    place = [*ROWS].index(text)
    assert counts[:, 0].tolist() == [right_by_hand(cost)[place] for cost in COSTS]
    assert set(counts[:, 1].tolist()) == {WORDS[place]}


def test_the_cost_is_stored_and_used_after_loading(model, corpus, tmp_path):
    srsly.write_json(model / "training.json", {"seconds": 3})
    before = hash_of(model)
    facts = decide_tokens(model, corpus, tmp_path / "out", resamples=0)
    assert facts == {
        "switch_cost": 0.25,
        "accuracy": {cost: round(sum(right_by_hand(cost)) / 7, 5) for cost in COSTS.tolist()},
        "resamples": 0,
        "seed": 0,
        "corpus_sha256": hash_of(corpus),
    }
    assert facts["accuracy"][0.25] == 1.0
    saved = json.loads((tmp_path / "out" / SETTINGS).read_text())
    assert saved == {**facts, "accuracy": {str(x): y for x, y in facts["accuracy"].items()}}
    nlp = spacy.load(tmp_path / "out")
    assert nlp.get_pipe("token_classifier").switch_cost == 0.25
    assert [token.tag_ for token in nlp("Ada Kent Bo ran")] == ["who", "who", "who", "does"]
    assert srsly.read_json(tmp_path / "out" / "training.json") == {"seconds": 3}
    assert hash_of(model) == before
    result = evaluate_tokens(tmp_path / "out", corpus, tmp_path / "metrics.json", resamples=1)
    assert result["micro_f1"] == 1.0


def test_tuning_again_starts_from_zero_and_seeds_are_kept(model, corpus, tmp_path):
    first = decide_tokens(model, corpus, tmp_path / "one", resamples=9, seed=4)
    again = decide_tokens(tmp_path / "one", corpus, tmp_path / "two", resamples=9, seed=4)
    assert again == first and (first["resamples"], first["seed"]) == (9, 4)
    counts = numpy.array([[*zip(right_by_hand(cost), WORDS, strict=True)] for cost in COSTS])
    assert first["switch_cost"] == best_cost(counts, 9, 4)


def test_components_before_the_classifier_are_run_first(corpus):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": {"width": 16, "depth": 1}})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16}
    component = nlp.add_pipe("token_classifier", config={"model": {"tok2vec": listener}})
    for label in LABELS:
        component.add_label(label)
    examples = read_examples(nlp, corpus)
    sgd = nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples, sgd=sgd)
    nlp.batch_size = 2
    found = list(probabilities_of(nlp, read_examples(nlp, corpus), "test"))
    for example, Y in zip(examples, found, strict=True):
        doc = nlp.get_pipe("tok2vec")(nlp.make_doc(example.text))
        assert_allclose(Y, component.probabilities([doc])[0], atol=1e-5)
        assert isinstance(Y, numpy.ndarray) and len(Y) == len(doc)
    tags = [token.tag_ for token in nlp(examples[1].text)]
    assert tags == [LABELS[number] for number in found[1].argmax(axis=1)]
    assert numbers_of(examples[2], LABELS).tolist() == [-1, -1, -1, 0]  # [ 7 ] ran


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def save_others(folder: Path) -> Path:
    """Write corpora and pipelines that cannot be used."""
    nlp = spacy.blank("en")
    DocBin(["ORTH"], docs=[nlp("nothing is known")]).to_disk(folder / "raw.spacy")
    DocBin(["TAG"], docs=[Doc(nlp.vocab, ["a"], tags=["NN"])]).to_disk(folder / "other.spacy")
    DocBin().to_disk(folder / "empty.spacy")
    make_nlp(steps=0).to_disk(folder / "textcat")
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Path:
    return save_others(tmp_path_factory.mktemp("others"))


def test_a_pipeline_has_one_classifier_whatever_its_name():
    nlp = spacy.blank("en")
    for name in ("one", "two"):
        nlp.add_pipe("token_classifier", name=name)
    message = r"Pipeline \['one', 'two'\]\. Expected exactly one token_classifier"
    with pytest.raises(ValueError, match=message):
        token_component(nlp)
    nlp.remove_pipe("one")
    assert token_component(nlp) == "two"


WRONG = [
    ("nowhere", None, "nowhere: no pipeline here"),
    ("textcat", None, "Pipeline ['textcat_multilabel']. Expected exactly one token_classifier."),
    (None, "gone.spacy", "gone.spacy: no such corpus. Expected a .spacy file; run preprocess-to"),
    (None, "textcat/meta.json", "meta.json: no such corpus"),
    (None, "empty.spacy", "empty.spacy: no docs. Expected at least one."),
    (None, "raw.spacy", "raw.spacy, doc 0: no tag. Expected one of each word."),
    (None, "other.spacy", "other.spacy, doc 0: tag 'NN'. Expected does, who."),
]


@pytest.mark.parametrize(("pipeline", "dev", "message"), WRONG)
def test_what_cannot_be_used_is_named_and_an_earlier_pipeline_stays(
    pipeline, dev, message, model, corpus, others, tmp_path
):
    output = tmp_path / "out"
    output.mkdir()
    (output / "meta.json").write_text("earlier")
    found = run_main(
        others / pipeline if pipeline else model, others / dev if dev else corpus, output
    )
    assert found[0] == 1
    assert "Cannot tune" in found[1]
    assert message.replace(" ", "") in found[1].replace(" ", "")
    assert [path.name for path in output.iterdir()] == ["meta.json"]
    assert (output / "meta.json").read_text() == "earlier"


def test_nothing_is_written_over_the_model_or_other_things(model, corpus, tmp_path):
    with pytest.raises(ValueError, match="would replace the input"):
        decide_tokens(model, corpus, model)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("")
    with pytest.raises(ValueError, match="no pipeline"):
        decide_tokens(model, corpus, tmp_path / "mine")
    assert spacy.load(model).get_pipe("token_classifier").switch_cost == 0


def test_the_command_says_what_the_cost_gains(model, corpus, tmp_path):
    code, said = run_main(model, corpus, tmp_path / "out", "--resamples", 0, "--seed", 2)
    facts = srsly.read_json(tmp_path / "out" / SETTINGS)
    assert code == 0, said
    assert (facts["resamples"], facts["seed"]) == (0, 2)
    assert "switch cost 0.25; accuracy on dev without 0.857, at best 1.000" in said
