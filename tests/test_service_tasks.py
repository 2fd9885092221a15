"""One service serves pipelines of several tasks, and each answers with its own keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from scripts.predict import predict
from scripts.service import build_app
from scripts.service_models import Served, load_served
from scripts.service_schema import Answer, Limits
from tests.conftest import LABELS
from tests.small_tasks import TARGET, TEXT, save_all

LIMITS = Limits(texts=4, characters=50, explained=2)
TASKS = ["entities", "tokens", "pairs"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    save_all(folder)
    return folder


@pytest.fixture(scope="module")
def served(folder, decided) -> dict[str, Served]:
    paths = [str(folder / "training" / "small" / task / "pipeline") for task in TASKS]
    return load_served([str(decided), *paths], characters=50)


@pytest.fixture(scope="module")
def client(served) -> Iterator[TestClient]:
    with TestClient(build_app(served, LIMITS)) as client:
        yield client


def ask(client: TestClient, model: str, *texts: str, **more):
    return client.post("/predict", json={"texts": texts, "model": model, **more})


@pytest.mark.parametrize("task", TASKS)
def test_answers_have_the_keys_of_the_task_in_the_order_of_the_texts(client, folder, task):
    texts = [TEXT, "", "naïve <b>"]
    answer = ask(client, f"small/{task}", *texts)
    assert answer.status_code == 200
    Answer.model_validate(answer.json())
    rows = predict(folder / "training" / "small" / task / "pipeline", texts)
    for found, row in zip(answer.json()["predictions"], rows, strict=True):
        assert found == {key: value for key, value in row.items() if key != "text"}


def test_what_a_pipeline_knows_is_in_the_answer(client):
    (found,) = ask(client, "small/entities", TEXT).json()["predictions"]
    assert [entity["label"] for entity in found["entities"]] == ["PERSON", "PLACE"]
    (found,) = ask(client, "small/tokens", TEXT).json()["predictions"]
    assert found["tags"] == ["who", "who", "does", "does", "where", "where"]
    (found,) = ask(client, "small/pairs", TEXT).json()["predictions"]
    assert found["target"] == TARGET


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"what": "decisions"}, "what with a pipeline that finds entities"),
        ({"top_k": 1}, "top_k with a pipeline that finds entities"),
        ({"explain": True}, "explain with a pipeline that finds entities"),
    ],
)
def test_what_is_for_classifiers_is_refused_with_a_sentence(client, asked, said):
    answer = ask(client, "small/entities", TEXT, **asked)
    assert answer.status_code == 422
    assert answer.json() == {"error": f"{said}. Expected one that labels texts."}
    name = client.get("/health").json()["models"][0]
    assert ask(client, name, TEXT, **asked).status_code == 200


def test_models_say_their_task_and_labels(client):
    found = {model["task"]: model for model in client.get("/models").json()}
    assert list(found) == ["textcat", *TASKS]
    assert found["textcat"]["labels"] == LABELS and set(found["textcat"]["thresholds"]) == set(
        LABELS
    )
    assert found["entities"]["labels"] == found["pairs"]["labels"] == ["PERSON", "PLACE"]
    assert found["tokens"]["labels"] == ["does", "where", "who"]
    assert [found[task]["thresholds"] for task in TASKS] == [{}, {}, {}]
    assert [found[task]["name"] for task in TASKS] == [f"small/{task}" for task in TASKS]


def test_short_names_are_served_under_themselves(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (name,) = load_served(["small/tokens"], characters=50)
    assert name == "small/tokens"
