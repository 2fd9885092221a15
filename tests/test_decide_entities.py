"""The command that tunes how readily entities are found, and what it tunes by."""

import json
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from typer import Typer
from typer.testing import CliRunner

from plugins.entity_scorers import count_exact
from scripts.decide_entities import (
    BIASES,
    SETTINGS,
    best_bias,
    count_by_bias,
    decide_entities,
    main,
)
from scripts.entity_corpus import read_examples
from scripts.evaluate_entities import evaluate_entities
from scripts.files import hash_of
from scripts.train import train
from tests.conftest import make_nlp

pytest_plugins = ["tests.small_recipes"]

ZERO = int(numpy.flatnonzero(BIASES == 0)[0])


@pytest.fixture
def corpus(entities) -> Path:
    return Path(entities["paths.dev"])


def counts_of(*docs: dict[float, tuple[int, int, int]]) -> numpy.ndarray:
    """Return counts [biases, docs, 3] that are those of the nearest lower bias that is given."""
    counts = numpy.zeros((len(BIASES), len(docs), 3), dtype="int64")
    for place, doc in enumerate(docs):
        for bias, numbers in sorted(doc.items()):
            counts[bias <= BIASES, place] = numbers
    return counts


def test_the_bias_with_the_best_f_of_all_docs_is_taken_without_resamples():
    # F of -2 to 0.75: 2 · 1 / 4; of 1 to 1.75: 2 · 2 / 5; from 2 on: 2 · 2 / 8
    counts = counts_of({-2: (1, 1, 2), 1: (1, 1, 2), 2: (1, 3, 2)},
                       {-2: (0, 0, 1), 1: (1, 1, 0), 2: (1, 2, 1)})  # fmt: skip
    assert best_bias(counts, 0, seed=0) == 1.0


@pytest.mark.parametrize(
    ("best", "expected"),
    [
        ([-2.0, 0.5, 6.0], 0.5),
        ([-1.0, 1.25], -1.0),
        ([-1.0, 1.0], -1.0),
        ([0.25, 0.0, -0.25], 0.0),
        ([], 0.0),
    ],
)
def test_of_equally_good_biases_the_nearest_to_zero_is_taken(best, expected):
    counts = numpy.ones((len(BIASES), 1, 3), dtype="int64") * (1, 2, 2)
    counts[numpy.isin(BIASES, best), 0, 0] = 2
    for resamples in (0, 5):
        assert best_bias(counts, resamples, seed=0) == expected


def test_resampling_takes_the_median_of_the_best_biases_of_docs_drawn_anew():
    numbers = numpy.random.default_rng(1)
    true = numbers.integers(1, 9, size=12)
    found = numbers.integers(1, 9, size=(len(BIASES), 12))
    counts = numpy.stack([numpy.minimum(found, true) // 2, found, 0 * found + true], axis=2)
    best = []
    for draw in numpy.random.default_rng(3).multinomial(12, [1 / 12] * 12, 101):
        tp, positives, support = (draw * counts.transpose(2, 0, 1)).sum(axis=2)
        scores = dict(zip(BIASES, 2 * tp / (positives + support), strict=True))
        best.append(max(scores, key=lambda bias: (scores[bias], -abs(bias))))
    assert len(set(best)) > 3
    assert best_bias(counts, 101, seed=3) == numpy.median(best) != best_bias(counts, 0, seed=3)


def test_the_median_over_an_even_number_of_resamples_may_lie_between_two_biases(monkeypatch):
    draws = numpy.array([[2, 0], [0, 2]])
    fake = type("Fake", (), {"multinomial": lambda *args: draws})
    monkeypatch.setattr("numpy.random.default_rng", lambda seed: fake())
    counts = counts_of({-2: (0, 0, 1), 1: (1, 1, 1)}, {-2: (0, 0, 1), 2: (1, 1, 1)})
    assert best_bias(counts, 2, seed=0) == 1.5


def test_counts_by_bias_are_those_of_the_pipeline_set_to_each_bias(crf_model, corpus):
    nlp = spacy.load(crf_model)
    nlp.batch_size = 7
    counts = count_by_bias(nlp, "ner_crf", read_examples(nlp, corpus))
    assert counts.shape == (len(BIASES), 40, 3)
    for number in (0, 3, ZERO, len(BIASES) - 1):
        nlp.get_pipe("ner_crf").recall_bias = BIASES[number]
        for place, example in enumerate(read_examples(nlp, corpus)):
            example.predicted = nlp(example.predicted)
            table = numpy.array([[0, 0, 0], *count_exact(example).values()]).sum(axis=0)
            assert counts[number, place].tolist() == table.tolist()
    found = counts.sum(axis=1)[:, 1]
    assert found[0] < found[ZERO] < found[-1]


def test_components_before_the_crf_are_run_first(entities):
    nlp = spacy.blank("en")
    tok2vec = nlp.add_pipe("tok2vec", config={"model": {"width": 16, "depth": 1}})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16}
    nlp.add_pipe("ner_crf", config={"model": {"tok2vec": listener}})
    examples = read_examples(nlp, Path(entities["paths.dev"]))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    assert tok2vec.listeners
    again = read_examples(nlp, Path(entities["paths.dev"]))
    counts = count_by_bias(nlp, "ner_crf", again).sum(axis=1)
    for example in examples:
        example.predicted = nlp(example.predicted.text)
    assert counts[ZERO].tolist() == [
        sum(numbers[place] for example in examples for numbers in count_exact(example).values())
        for place in range(3)
    ]
    assert counts[ZERO, 1] > 0


def test_the_bias_is_stored_and_used_after_loading(crf_model, corpus, tmp_path):
    before = hash_of(crf_model)
    facts = decide_entities(crf_model, corpus, tmp_path / "out", resamples=0)
    assert facts["recall_bias"] != 0
    assert facts["f"][facts["recall_bias"]] == max(facts["f"].values()) > facts["f"][0.0]
    assert list(facts["f"]) == BIASES.tolist()
    assert (facts["resamples"], facts["seed"]) == (0, 0)
    assert facts["corpus_sha256"] == hash_of(corpus)
    assert spacy.load(tmp_path / "out").get_pipe("ner_crf").recall_bias == facts["recall_bias"]
    for model, bias in ((crf_model, 0.0), (tmp_path / "out", facts["recall_bias"])):
        result = evaluate_entities(model, corpus, tmp_path / "metrics.json", resamples=1)
        assert round(result["exact"]["micro"]["f"], 4) == facts["f"][bias]
    saved = json.loads((tmp_path / "out" / SETTINGS).read_text())
    assert saved == {**facts, "f": {str(bias): f for bias, f in facts["f"].items()}}
    training = (tmp_path / "out" / "training.json").read_bytes()
    assert training == (crf_model / "training.json").read_bytes()
    assert hash_of(crf_model) == before


def test_tuning_again_starts_from_zero_and_seeds_draw_other_docs(crf_model, corpus, tmp_path):
    first = decide_entities(crf_model, corpus, tmp_path / "one", resamples=9, seed=4)
    again = decide_entities(tmp_path / "one", corpus, tmp_path / "two", resamples=9, seed=4)
    assert again == first and first["resamples"] == 9 and first["seed"] == 4
    nlp = spacy.load(crf_model)
    counts = count_by_bias(nlp, "ner_crf", read_examples(nlp, corpus))
    assert first["recall_bias"] == best_bias(counts, 9, 4)


@pytest.mark.slow
def test_spacys_own_recogniser_is_copied_unchanged(ner, corpus, tmp_path):
    train(ner[0], tmp_path / "trained", overrides=ner[1])
    model = tmp_path / "trained" / "model-best"
    facts = decide_entities(model, corpus, tmp_path / "out")
    assert facts == {"recall_bias": None} == srsly.read_json(tmp_path / "out" / SETTINGS)
    files = {path.relative_to(model) for path in model.rglob("*") if path.is_file()}
    assert Path("ner/model") in files
    for file in files:
        assert (tmp_path / "out" / file).read_bytes() == (model / file).read_bytes(), file


def run_main(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def others(tmp_path) -> Path:
    """A folder with corpora and pipelines that cannot be used."""
    nlp = spacy.blank("en")
    DocBin(attrs=["ORTH"], docs=[nlp("nothing is known")]).to_disk(tmp_path / "raw.spacy")
    DocBin().to_disk(tmp_path / "empty.spacy")
    make_nlp(steps=0).to_disk(tmp_path / "textcat")
    return tmp_path


@pytest.mark.parametrize(
    ("model", "dev", "message"),
    [
        ("nowhere", None, "nowhere: no pipeline here"),
        ("textcat", None, "Pipeline ['textcat_multilabel']. Expected exactly one of"),
        (None, "gone.spacy", "gone.spacy: no such corpus. Expected a .spacy file"),
        (None, "textcat/meta.json", "meta.json: no such corpus"),
        (None, "empty.spacy", "empty.spacy: no docs"),
        (None, "raw.spacy", "raw.spacy, doc 0: nothing in doc.ents. Expected entities, or none."),
    ],
)
def test_what_cannot_be_used_is_named_and_an_earlier_pipeline_stays(
    model, dev, message, crf_model, corpus, others
):
    output = others / "out"
    output.mkdir()
    (output / "meta.json").write_text("earlier")
    found = run_main(
        others / model if model else crf_model, others / dev if dev else corpus, output
    )
    assert found[0] == 1
    assert "Cannot tune" in found[1]
    assert message.replace(" ", "") in found[1].replace(" ", "")
    assert [path.name for path in output.iterdir()] == ["meta.json"]
    assert (output / "meta.json").read_text() == "earlier"


def test_nothing_is_written_over_the_model_or_other_things(crf_model, corpus, tmp_path):
    with pytest.raises(ValueError, match="would replace the input"):
        decide_entities(crf_model, corpus, crf_model)
    (tmp_path / "mine").write_text("")
    with pytest.raises(ValueError, match="no pipeline"):
        decide_entities(crf_model, corpus, tmp_path)
    assert spacy.load(crf_model).get_pipe("ner_crf").recall_bias == 0


def test_the_command_says_what_the_bias_gains(crf_model, corpus, tmp_path):
    code, said = run_main(crf_model, corpus, tmp_path / "out", "--resamples", 0, "--seed", 2)
    facts = srsly.read_json(tmp_path / "out" / SETTINGS)
    assert code == 0, said
    assert (facts["resamples"], facts["seed"]) == (0, 2)
    expected = f"recall bias {facts['recall_bias']:.2f}; F on dev {facts['f']['0.0']:.3f}"
    assert f"{expected}, at best {max(facts['f'].values()):.3f}" in said
