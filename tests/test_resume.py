"""Weights of an earlier training: taken for every kind of model, or what differs is named."""

import logging
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.training.initialize import init_nlp
from spacy.util import load_config, registry, resolve_dot_names

from scripts.train import train
from scripts.training_state import digest_of, parameters_of
from tests.small_recipes import RECIPES

pytest_plugins = ["tests.small_recipes"]


def trained(recipe: tuple[Path, dict], folder: Path) -> Path:
    """Return model-last of a training; the folder of its first steps is enough."""
    config, overrides = recipe
    train(config, folder, overrides=overrides)
    return folder / "model-last"


def started(recipe: tuple[Path, dict], path: Path, **settings):
    """Return a pipeline that has begun with the weights of another."""
    callback = {"@callbacks": "goemotions.resume.v1", "path": str(path), **settings}
    config = load_config(recipe[0], overrides=recipe[1], interpolate=False)
    config["initialize"]["after_init"] = callback
    return init_nlp(config)


def scores_of(nlp, like) -> dict:
    """Return the scores of a pipeline on the dev corpus of another's config."""
    config = like.config.interpolate()
    (dev,) = resolve_dot_names(config, [config["training"]["dev_corpus"]])
    scores = nlp.evaluate(dev(nlp))
    return {key: value for key, value in scores.items() if key != "speed"}


def weights_of(nlp, names: list[str]) -> str:
    return digest_of(parameters_of([(name, nlp.get_pipe(name).model) for name in names]))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_scores_and_weights_are_those_at_the_end_of_the_earlier_training(name, tmp_path, request):
    recipe = request.getfixturevalue(name)
    before = spacy.load(trained(recipe, tmp_path / "one"))
    names = ["textcat_multilabel"] if name == "multitask" else None
    nlp = started(recipe, tmp_path / "one" / "model-last", components=names)
    frozen = nlp.config["training"]["frozen_components"]
    taken = [one for one in before.pipe_names if one not in frozen]
    assert taken and weights_of(nlp, taken) == weights_of(before, taken)
    with nlp.select_pipes(enable=before.pipe_names):
        assert scores_of(nlp, nlp) == scores_of(before, nlp)
    fresh = init_nlp(load_config(recipe[0], overrides=recipe[1], interpolate=False))
    assert weights_of(fresh, taken) != weights_of(before, taken)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "bert"])
def test_the_first_evaluation_is_the_last_one_of_the_earlier_training(name, tmp_path, request):
    config, overrides = request.getfixturevalue(name)
    path = trained((config, overrides), tmp_path / "one")
    still = {"training.optimizer.learn_rate": 0.0, "training.max_steps": 1}
    callback = {"@callbacks": "goemotions.resume.v1", "path": str(path)}
    train(
        config, tmp_path / "two", overrides=overrides | still | {"initialize.after_init": callback}
    )
    rows = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("one", "two")]
    last, first = rows[0][-1].split(","), rows[1][1].split(",")
    assert last[1] == "12" and first[1] == "0"
    assert last[2] == first[2] and last[4:] == first[4:]


@pytest.fixture(scope="module")
def small_cnn(cnn, tmp_path_factory) -> Path:
    return trained(cnn, tmp_path_factory.mktemp("small") / "one")


def test_it_says_on_stderr_what_begins_anew(cnn, small_cnn, caplog):
    with caplog.at_level(logging.WARNING, "spacy"):
        started(cnn, small_cnn)
    assert f"Weights of textcat_multilabel are those of {small_cnn}." in caplog.text
    assert "The optimizer and the count of steps begin anew" in caplog.text
    assert "scripts.train_parallel --workers 1 --resume" in caplog.text


def test_settings_of_the_config_stay_and_those_of_the_pipeline_do_not_come(cnn, small_cnn):
    more = {"components.textcat_multilabel.threshold": 0.25}
    nlp = started((cnn[0], cnn[1] | more), small_cnn)
    assert nlp.get_pipe("textcat_multilabel").cfg["threshold"] == 0.25
    assert spacy.load(small_cnn).get_pipe("textcat_multilabel").cfg["threshold"] == 0.5


def test_a_vocabulary_with_other_words_is_left_alone(cnn, small_cnn, tmp_path):
    other = spacy.load(small_cnn)
    other.vocab.strings.add("onlythere")
    other.tokenizer.add_special_case("onlythere", [{"ORTH": "only"}, {"ORTH": "there"}])
    other.to_disk(tmp_path / "other")
    nlp = started(cnn, tmp_path / "other")
    assert "onlythere" not in nlp.vocab.strings and len(nlp.make_doc("onlythere")) == 1


def test_rows_are_found_by_the_hashes_of_the_earlier_training(cnn, small_cnn, tmp_path):
    other = spacy.load(small_cnn)
    for layer in other.get_pipe("textcat_multilabel").model.walk():
        if layer.name == "hashembed":
            layer.attrs["seed"] += 100
    other.to_disk(tmp_path / "other")
    layers = started(cnn, tmp_path / "other").get_pipe("textcat_multilabel").model.walk()
    seeds = [layer.attrs["seed"] for layer in layers if layer.name == "hashembed"]
    assert seeds and min(seeds) >= 100


TOK2VEC = "components.textcat_multilabel.model.tok2vec"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({f"{TOK2VEC}.embed.rows": [99, 50]}, r"layer \d+, hashembed: E is \(99, 16\) here, \(200"),
        (
            {f"{TOK2VEC}.encode.depth": 2},
            r"model-last: textcat_multilabel: layer 0 is with_nonempty",
        ),
        ({f"{TOK2VEC}.embed.attrs": ["NORM", "SUFFIX"]}, "columns 1 is SUFFIX here, SHAPE there"),
        ({f"{TOK2VEC}.embed.max_n": 4}, "with_ngrams: max_n is 4 here, 5 there. Expected the same"),
    ],
)
def test_other_layers_and_shapes_are_named(more, message, cnn, small_cnn):
    with pytest.raises(ValueError, match=message):
        started((cnn[0], cnn[1] | more), small_cnn)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["anger", "joy", "neutral"], "label 0 is anger here, joy there"),
        (["joy", "anger"], "label 2 is nothing here, neutral there"),
        (["joy", "anger", "neutral", "zeal"], "label 3 is zeal here, nothing there"),
    ],
)
def test_other_labels_are_named(labels, message, cnn, small_cnn, tmp_path):
    srsly.write_json(tmp_path / "labels.json", labels)
    recipe = (cnn[0], cnn[1] | {"paths.labels": str(tmp_path / "labels.json")})
    with pytest.raises(ValueError, match=f"{small_cnn}: textcat_multilabel: {message}. Expected"):
        started(recipe, small_cnn)


def test_nothing_is_changed_if_anything_differs(cnn, small_cnn, tmp_path):
    config = load_config(cnn[0], overrides=cnn[1], interpolate=False)
    nlp = init_nlp(config)
    before = weights_of(nlp, nlp.pipe_names)
    nlp.get_pipe("textcat_multilabel").cfg["labels"] = ["joy", "anger", "zeal"]
    resume = registry.resolve(
        {"it": {"@callbacks": "goemotions.resume.v1", "path": str(small_cnn)}}
    )["it"]
    with pytest.raises(ValueError, match="label 2 is zeal here, neutral there"):
        resume(nlp)
    assert weights_of(nlp, nlp.pipe_names) == before


@pytest.mark.slow
def test_rows_of_other_words_are_refused_though_the_shapes_are_the_same(torch_lstm, tmp_path):
    path = trained(torch_lstm, tmp_path / "one")
    nlp = spacy.load(path)
    words = nlp.get_pipe("textcat_multilabel").model.attrs["vocabulary"]
    last = list(words)[-1]
    words["other"] = words.pop(last)
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match=f"bilstm_textcat: vocabulary {last} is \\d+ here, noth"):
        started(torch_lstm, tmp_path / "other")


@pytest.mark.slow
def test_other_torch_layers_are_named(torch_lstm, tmp_path):
    path = trained(torch_lstm, tmp_path / "one")
    wider = {"components.textcat_multilabel.model.lstm_width": 10}
    with pytest.raises(ValueError, match=r"0/.* is \(\d+, ?\d*\) here, \(\d+, ?\d*\) there"):
        started((torch_lstm[0], torch_lstm[1] | wider), path)


def test_other_components_are_named(cnn, small_cnn, tmp_path):
    with pytest.raises(ValueError, match=rf"no pipeline at {tmp_path}. Expected its folder"):
        started(cnn, tmp_path)
    with pytest.raises(ValueError, match="to train: no component ner in textcat_multilabel"):
        started(cnn, small_cnn, components=["ner"])
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match=r"blank: no component textcat_multilabel in none. Exp"):
        started(cnn, tmp_path / "blank")
