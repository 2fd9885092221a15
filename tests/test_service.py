"""The service says what the pipeline says, and refuses the rest with one sentence."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import spacy
from fastapi.testclient import TestClient

from scripts.find_model import name_of
from scripts.predictor import Predictor
from scripts.service import build_app
from scripts.service_guard import Guard
from scripts.service_models import Served, load_served
from scripts.service_schema import Answer, Limits
from scripts.service_worker import Full, Job, Worker
from tests.conftest import LABELS, ROWS

TEXTS = [text for text, _ in ROWS]
LIMITS = Limits(texts=8, characters=50, explained=2, size=1000, queue=4, timeout=5)
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def served(decided) -> dict[str, Served]:
    return load_served([str(decided)] * 2, names=["first", "second"], characters=50)


@pytest.fixture(scope="module")
def client(served) -> Iterator[TestClient]:
    with TestClient(build_app(served, LIMITS)) as client:
        yield client


class Slow:
    """Stands in for a predictor: waits until it may answer, and notes what it was given."""

    def __init__(self) -> None:
        self.task, self.labels, self.thresholds = "textcat", LABELS, {}
        self.nlp = spacy.blank("en")
        self.given: list[list[str]] = []
        self.begun, self.may = threading.Event(), threading.Event()

    def predict(self, rows: list[dict[str, Any]], with_words: bool) -> Iterator[dict[str, Any]]:
        self.given.append([row["text"] for row in rows])
        self.begun.set()
        assert self.may.wait(20)
        for row in rows:
            if row["text"] == "bad":
                raise RuntimeError("secret")
            yield {**row, "emotions": [row["text"]], "scores": {}, "explanation": []}


@pytest.fixture
def slow() -> Slow:
    return Slow()


def app_of(slow: Slow, **limits: Any) -> TestClient:
    app = build_app({"slow": Served(slow, "0")}, Limits(**{"timeout": 20, **limits}))
    return TestClient(app, raise_server_exceptions=False)


def ask(client: TestClient, *texts: str, **more: Any) -> Any:
    return client.post("/predict", json={"texts": texts, **more})


def said(answer: Any) -> list[list[str]]:
    return [found["emotions"] for found in answer.json()["predictions"]]


def wait_until(true: Any) -> None:
    done = threading.Event()
    for _ in range(1000):
        if true():
            return
        done.wait(0.01)
    raise AssertionError("It never became true.")


def test_answers_are_what_the_pipeline_says_in_the_order_of_the_texts(client, decided):
    nlp = spacy.load(decided)
    texts = ["", *TEXTS[:5], "naïve 🎉 \x00"]
    answer = ask(client, *texts)
    assert answer.status_code == 200 and answer.json()["model"] == "first"
    Answer.model_validate(answer.json())
    for text, found in zip(texts, answer.json()["predictions"], strict=True):
        doc = nlp(text)
        assert list(found) == ["emotions", "scores", "probabilities"]
        assert found["emotions"] == doc._.emotions
        assert found["scores"] == pytest.approx(doc.cats, abs=1e-5)
        assert found["probabilities"] == pytest.approx(doc._.probabilities, abs=1e-5)
    assert sum(bool(found["emotions"]) for found in answer.json()["predictions"]) >= 4


def test_a_request_chooses_model_scores_and_words(client):
    whole = ask(client, TEXTS[0]).json()["predictions"][0]
    answer = ask(client, TEXTS[0], model="second", what="scores", top_k=1).json()
    assert answer["model"] == "second"
    joy = {key: {"joy": whole[key]["joy"]} for key in ("scores", "probabilities")}
    assert answer["predictions"] == [joy]
    assert ask(client, TEXTS[0], model="second", what="scores", top_k=1.0).json() == answer
    answer = ask(client, TEXTS[0], TEXTS[1], what="decisions", explain=True).json()
    Answer.model_validate(answer)
    for text, found in zip(TEXTS, answer["predictions"], strict=False):
        assert list(found) == ["emotions", "explanation"]
        assert [part["label"] for part in found["explanation"]] == found["emotions"]
        assert "".join(part for part, _ in found["explanation"][0]["parts"]) == text


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ("{", 400, "body.1: .* Expected JSON"),
        ("", 422, "body: None. Field required"),
        ("[" * 900, 400, "Expected JSON"),
        (b'{"texts": ["\xff"]}', 400, r"body: cannot be read\. Expected JSON in UTF-8"),
        ([], 422, r"body: \[\]\. Input should be"),
        ({}, 422, r"body.texts: \{\}\. Field required"),
        ({"texts": "a"}, 422, r"body.texts: 'a'\. Input should be a valid list"),
        ({"texts": []}, 422, "body.texts: .* at least 1 item"),
        ({"texts": ["a", 7]}, 422, r"body\.texts\.1: 7\. Input should be a valid string"),
        ({"texts": [None]}, 422, r"body\.texts\.0: None\. Input should be a valid string"),
        ({"texts": ["\ud800"]}, 422, r"body\.texts\.0: '\\ud800'"),
        ({"texts": ["a"] * 9}, 422, "body.texts: .* at most 8 items"),
        ({"texts": ["a" * 51]}, 422, r"body\.texts\.0: 'aaa.*at most 50 characters"),
        ({"texts": ["a"] * 3, "explain": True}, 422, "texts: 3 to explain. Expected at most 2"),
        ({"texts": ["a"], "top_k": "1"}, 422, r"body.top_k: '1'\. Input should be a valid integer"),
        ({"texts": ["a"], "top_k": -1}, 422, "body.top_k: -1. Input should be greater"),
        ({"texts": ["a"], "explain": 1}, 422, "body.explain: 1. Input should be a valid boolean"),
        ({"texts": ["a"], "what": "all"}, 422, "body.what: 'all'. Input should be 'both', 'dec"),
        ({"texts": ["a"], "topk": 1}, 422, r"body\.topk: 1\. Extra inputs are not permitted"),
        ({"texts": ["a"], "\ud800": 1}, 422, r"body: '\\ud800'"),
        ({"texts": ["a"], "é'": 1}, 422, r"body\.\\xe9': 1\. Extra inputs"),
        ({"texts": ["a"], "model": "x"}, 404, "model: 'x'. Expected one of first, second"),
        ({"texts": ["a"], "model": 1}, 422, "body.model: 1. Input should be a valid string"),
        ("[" * 100_000, 413, r"body: 100000 bytes or more\. Expected at most 1000"),
    ],
)
def test_bad_requests_get_a_status_and_a_sentence(client, body, status, problem):
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    answer = client.post("/predict", content=content, headers=JSON)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    with pytest.raises(ValueError, match=problem):
        raise ValueError(answer.json()["error"])


def test_other_paths_methods_and_types_are_refused(client):
    answer = client.get("/x")
    assert (answer.status_code, answer.json()["error"][:30]) == (
        404,
        "No such path. Expected one of ",
    )
    answer = client.get("/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json() == {"error": "Not with this method. Expected POST for /predict, else GET."}
    answer = client.post("/predict", content='{"texts": ["a"]}', headers={"content-type": "text/x"})
    assert answer.status_code == 415
    assert answer.json() == {"error": "content-type: 'text/x'. Expected application/json."}


def test_a_body_without_a_length_is_cut_off_at_the_limit(client):
    sent = []

    def body(size: int) -> Iterator[bytes]:
        yield b'{"texts": ["a"]'
        for number in range(15, size - 1):
            sent.append(number)
            yield b" "
        yield b"}"

    assert client.post("/predict", content=body(1000), headers=JSON).status_code == 200
    answer = client.post("/predict", content=body(1001), headers=JSON)
    assert answer.status_code == 413 and "Expected at most 1000" in answer.json()["error"]


def test_models_health_and_metrics(served):
    with TestClient(build_app(served, LIMITS)) as client:
        assert client.get("/health").json() == {"status": "ready", "models": ["first", "second"]}
        models = client.get("/models").json()
        assert [model["name"] for model in models] == ["first", "second"]
        assert models[0]["labels"] == LABELS and len(models[0]["sha256"]) == 64
        assert models[0]["thresholds"] == pytest.approx(dict.fromkeys(LABELS, 0.3))
        ask(client, "a", "b", "c")
        ask(client, 7)
        client.get("/unheard/of")
        lines = client.get("/metrics").text.splitlines()
    assert {
        'requests_total{path="/predict",status="200"} 1.0',
        'requests_total{path="/predict",status="422"} 1.0',
        'requests_total{path="other",status="404"} 1.0',
        'texts_total{model="first"} 3.0',
        'request_seconds_count{path="/predict"} 2.0',
        "waiting 0.0",
    } <= set(lines)
    another = TestClient(build_app(served, LIMITS)).get("/metrics").text
    assert "requests_total" in another and 'model="first"' not in another


def test_a_service_without_its_thread_says_so(served):
    answer = TestClient(build_app(served, LIMITS)).get("/health")  # no lifespan
    assert answer.status_code == 503
    assert "Expected it to run" in answer.json()["error"]


def test_a_full_queue_sends_away_and_loses_nothing(slow):
    with app_of(slow, queue=2) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, client, "begun")
        assert slow.begun.wait(5)
        others = []
        for number, text in enumerate(("two", "three"), start=1):  # one by one: their order counts
            others.append(pool.submit(ask, client, text))
            wait_until(lambda n=number: f"waiting {n}.0" in client.get("/metrics").text)
        answer = ask(client, "four")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert answer.json()["error"].startswith("2 requests wait, this is 1 more. Expected at mo")
        slow.may.set()
        assert [said(one.result()) for one in (first, *others)] == [
            [["begun"]],
            [["two"]],
            [["three"]],
        ]
    assert slow.given == [["begun"], ["two", "three"]]


def test_what_took_too_long_is_dropped_and_makes_place(slow):
    with app_of(slow, queue=1, timeout=0.2) as client:
        assert ask(client, "begun").status_code == 504
        answer = ask(client, "not begun")
        assert answer.status_code == 504
        assert answer.json()["error"].startswith("No answer in 0.2 seconds. Expected fewer")
        assert ask(client, "in its place").status_code == 504
        slow.may.set()
        wait_until(lambda: said(answer) if (answer := ask(client, "last")).is_success else [])
    assert slow.given == [["begun"], ["last"]]


def test_a_mistake_of_ours_is_told_to_the_log_only_and_fails_nobody_else(slow, caplog):
    with app_of(slow) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, client, "begun")
        assert slow.begun.wait(5)
        others = []
        for number, text in enumerate(("good", "bad", "fine")):
            others.append(pool.submit(ask, client, text))
            wait_until(lambda n=number: f"waiting {n + 1}.0" in client.get("/metrics").text)
        slow.may.set()
        answers = [one.result() for one in (first, *others)]
        counted = client.get("/metrics").text
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
    assert answers[2].json() == {"error": "A mistake of ours; the log of the server says which."}
    assert slow.given[1:] == [["good", "bad", "fine"], ["good"], ["bad"], ["fine"]]
    assert 'requests_total{path="/predict",status="500"} 1.0' in counted


def test_texts_to_explain_wait_one_by_one_or_not_at_all(slow):
    slow.may.set()
    with app_of(slow, queue=3, explained=8) as client:
        assert said(ask(client, "a", "b", "c", explain=True)) == [["a"], ["b"], ["c"]]
        assert slow.given == [["a"], ["b"], ["c"]]
        answer = ask(client, *"abcd", explain=True)
        assert answer.status_code == 503 and "this is 4 more" in answer.json()["error"]
    assert len(slow.given) == 3


def test_small_requests_are_predicted_together_up_to_a_batch(slow, monkeypatch):
    monkeypatch.setattr("scripts.service_worker.BATCH", 5)
    worker = Worker({"a": slow, "b": slow}, 9)
    jobs = [Job("a", ["x"] * size) for size in (3, 2, 1, 9)]
    jobs += [Job("b", ["y"]), Job("b", ["y"], True), Job("b", ["y"])]
    worker.submit(jobs[:1])
    worker.submit(jobs[1:])
    with pytest.raises(Full):
        worker.submit([Job("a", []), Job("a", []), Job("a", [])])
    assert worker.waiting == 7
    slow.may.set()
    worker.start()
    worker.stop()
    assert [len(texts) for texts in slow.given] == [5, 1, 9, 1, 1, 1]
    assert [len(job.future.result()) for job in jobs] == [3, 2, 1, 9, 1, 1, 1]


# Bodies that are slow, and clients that leave.

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/predict",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
}
BODY = {"type": "http.request", "body": b'{"texts": ["a"]}', "more_body": False}


def play(app: Any, messages: list[Any], scope: Any = SCOPE) -> list[dict[str, Any]]:
    """Return what an app sends to a client that sends messages, or sleeps a number of seconds."""
    sent = []

    async def receive() -> dict[str, Any]:
        while messages and isinstance(messages[0], float):
            await asyncio.sleep(messages.pop(0))
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_a_slow_body_is_given_up():
    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    messages = [{**BODY, "more_body": True}, 9.0, BODY]
    start, body = play(Guard(never, Limits(timeout=0.05)), messages)
    assert start["status"] == 408 and (b"connection", b"close") in start["headers"]
    assert json.loads(body["body"]) == {
        "error": "body: 16 bytes in 0.05 seconds. Expected all of it."
    }


def test_a_body_announced_too_large_is_refused_before_it_comes(client):
    scope = {**SCOPE, "headers": [(b"content-length", b"1001")]}
    start, body = play(Guard(client.app, LIMITS), [9.0], scope)
    assert start["status"] == 413
    assert json.loads(body["body"])["error"] == "body: 1001 bytes or more. Expected at most 1000."


def test_nothing_is_done_for_a_client_that_left_with_half_a_body():
    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    assert play(Guard(never, Limits()), [{**BODY, "more_body": True}]) == []


def test_work_of_a_client_that_left_is_dropped_if_not_begun(slow):
    app = build_app({"slow": Served(slow, "0")}, Limits())
    with TestClient(app) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, client, "begun")
        assert slow.begun.wait(5)
        assert play(app, [BODY, 0.1]) == []  # leaves after 0.1 seconds
        counted = client.get("/metrics").text
        slow.may.set()
        assert said(first.result()) == [["begun"]]
    assert slow.given == [["begun"]]
    assert "waiting 0.0" in counted
    assert 'requests_total{path="/predict",status="499"} 1.0' in counted


# Models.


def test_models_are_named_by_their_folders(tmp_path):
    for path, name in {
        "training/goemotions/cnn/pipeline": "goemotions/cnn",
        "training/mine/cnn/trained/model-best": "trained/model-best",
    }.items():
        (tmp_path / path).mkdir(parents=True)
        assert name_of(str(tmp_path / path)) == name
    assert name_of("en_goemotions_cnn") == "en_goemotions_cnn"


def test_models_that_cannot_be_served_are_refused(decided, files, tmp_path):
    for models, names, problem in (
        (["nowhere"], [], "nowhere: no pipeline here. Expected a folder"),
        ([str(files["model"])], [], r"no tuned thresholds\. Run python -m scripts\.decide"),
        ([str(decided)] * 2, [], r"/small'\]\. Expected each once; choose with --name"),
        ([str(decided)], ["a", "b"], "2 names of 1 models. Expected one for each"),
    ):
        with pytest.raises(ValueError, match=problem):
            load_served(models, names=names, characters=50)
    with pytest.raises(ValueError, match=r"takes texts of 1000000 char.*or a smaller --max-char"):
        load_served([str(decided)], characters=1_000_001)


def test_limits_are_above_zero():
    with pytest.raises(ValueError, match=r"queue 0\. Expected more than 0"):
        Limits(queue=0)


def test_explaining_leaves_no_words_behind(decided):
    predictor = Predictor(decided)
    before = list(predictor.nlp.vocab.strings)
    list(predictor.predict([{"text": "Unheardof wordlike thingummies"}], with_words=True))
    assert list(predictor.nlp.vocab.strings) == before


def test_nothing_is_logged_of_what_is_well(client, caplog):
    with caplog.at_level(logging.INFO, "uvicorn"):
        ask(client, "a")
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
