"""Pipelines tell by their components what they are for."""

import pytest
import spacy

from scripts.tasks import OWN, SAID, check_settings, component_of, task_of
from tests.small_tasks import make_entities


def config_of(**factories: str) -> dict:
    parts = {name: {"factory": factory} for name, factory in factories.items()}
    return {"nlp": {"pipeline": list(parts)}, "components": parts}


@pytest.mark.parametrize(
    ("factories", "task"),
    [
        ({"any": "textcat_multilabel", "decide": "decide"}, "textcat"),
        ({"tok2vec": "tok2vec", "names": "ner"}, "entities"),
        ({"crf": "ner_crf"}, "entities"),
        ({"fields": "token_classifier"}, "tokens"),
        ({"writer": "seq2seq"}, "pairs"),
        ({"names": "ner", "any": "textcat_multilabel"}, "textcat"),
        ({"names": "ner", "fields": "token_classifier"}, "tokens"),
        ({"fields": "token_classifier", "writer": "seq2seq"}, "pairs"),
    ],
)
def test_the_task_is_that_of_the_components(factories, task):
    assert task_of(config_of(**factories)) == task
    assert task in SAID and task in OWN


def test_components_out_of_the_pipeline_do_not_count():
    config = config_of(names="ner")
    config["components"]["writer"] = {"factory": "seq2seq"}
    assert task_of(config) == "entities"


def test_a_pipeline_for_nothing_that_we_know_is_refused():
    known = "textcat_multilabel, soft_textcat_multilabel, seq2seq, token_classifier, ner_crf, ner"
    with pytest.raises(ValueError, match=rf"Pipeline \['tagger'\]\. Expected one of {known}"):
        task_of(config_of(tagger="tagger"))


def test_the_component_is_found_by_its_factory_and_must_be_alone():
    nlp = make_entities()
    nlp.rename_pipe("ner_crf", "people")
    assert component_of(nlp, "entities") == "people"
    with pytest.raises(ValueError, match=r"\['people'\]\. Expected exactly one seq2seq"):
        component_of(nlp, "pairs")
    nlp.add_pipe("ner")
    with pytest.raises(ValueError, match=r"'ner'\]\. Expected exactly one ner_crf or ner"):
        component_of(nlp, "entities")


def test_a_config_of_a_loaded_pipeline_tells_its_task_too():
    nlp = spacy.blank("en")
    nlp.add_pipe("seq2seq", name="writer")
    assert task_of(nlp.config) == "pairs"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"what": "all"}, "^what 'all', top_k 0. Expected what both, decisions, scores"),
        ({"top_k": -1}, "^what 'both', top_k -1. Expected .*0 or more"),
        ({"what": "decisions", "top_k": 2}, "^top_k 2 of scores, and what decisions"),
    ],
)
def test_settings_that_mean_nothing_are_refused(asked, said):
    with pytest.raises(ValueError, match=said):
        check_settings("textcat", **asked)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"what": "scores"}, r"^what with a pipeline that tags words\. Expected one that labels"),
        ({"top_k": 3}, "^top_k with a pipeline"),
        ({"with_words": True}, "^explain with a pipeline"),
        ({"what": "scores", "top_k": 1}, "^what, top_k with a pipeline"),
    ],
)
def test_scores_of_labels_are_for_classifiers_of_texts(asked, said):
    check_settings("textcat", **asked)
    check_settings("tokens")
    with pytest.raises(ValueError, match=said):
        check_settings("tokens", **asked)
