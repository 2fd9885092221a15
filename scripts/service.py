"""A web service over the same predictions as everywhere."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as AnyHTTPException

from scripts.predictor import highest
from scripts.service_guard import Guard
from scripts.service_metrics import Counting, Counts
from scripts.service_models import Served
from scripts.service_schema import Answer, Ask, Health, Limits, Model, Problem, ask_within
from scripts.service_worker import Full, Job, Worker

PATHS = ["/predict", "/models", "/health", "/metrics"]
PROBLEMS = {
    400: "The body is no JSON",
    404: "No such model",
    408: "The body took too long",
    413: "The body is too large",
    415: "The content type is not that of JSON",
    422: "A field is wrong, or beyond a limit",
    500: "A mistake of ours; the log of the server says which",
    503: "Too many requests wait",
    504: "The answer took too long",
}
# What the framework says, in our words.
SAID = {
    "Not Found": f"No such path. Expected one of {', '.join(PATHS)}, /docs.",
    "Method Not Allowed": "Not with this method. Expected POST for /predict, else GET.",
    "There was an error parsing the body": "body: cannot be read. Expected JSON in UTF-8.",
}


def build_app(models: Mapping[str, Served], limits: Limits) -> FastAPI:
    """Build the service; its lifespan starts and ends the thread that predicts.

    models: By name; the first is the default.
    limits: Of requests.
    """
    worker = Worker({name: served.predictor for name, served in models.items()}, limits.queue)
    counts = Counts(PATHS, lambda: worker.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        await asyncio.to_thread(worker.stop)

    app = FastAPI(
        title="Emotions of texts",
        description="Labels, scores, and the words that they rest on.",
        lifespan=lifespan,
    )
    app.add_middleware(Guard, limits=limits)
    app.add_middleware(Counting, counts=counts)
    _add_errors(app)
    _add_predict(app, list(models), limits, worker, counts)
    _add_state(app, models, worker, counts)
    return app


def _add_predict(
    app: FastAPI, names: list[str], limits: Limits, worker: Worker, counts: Counts
) -> None:
    request = ask_within(limits)
    problems = {
        status: {"model": Problem, "description": said} for status, said in PROBLEMS.items()
    }

    @app.post("/predict", response_model=Answer, responses=problems)
    async def predict(ask: request) -> Response:
        """Predict texts; the predictions come in their order."""
        name = names[0] if ask.model is None else ask.model
        if name not in names:
            raise HTTPException(404, f"model: {name[:80]!r}. Expected one of {', '.join(names)}.")
        if ask.explain and len(ask.texts) > limits.explained:
            found = f"texts: {len(ask.texts)} to explain"
            raise HTTPException(422, f"{found}. Expected at most {limits.explained}.")
        groups = [[text] for text in ask.texts] if ask.explain else [ask.texts]
        jobs = [Job(name, texts, ask.explain) for texts in groups]
        rows = await _answer(worker, jobs, limits)
        counts.texts.labels(name).inc(len(rows))
        answer = {"model": name, "predictions": [_narrow(row, ask) for row in rows]}
        return Response(json.dumps(answer), media_type="application/json")


async def _answer(worker: Worker, jobs: list[Job], limits: Limits) -> list[dict[str, Any]]:
    """Wait for the rows of all jobs; those that have not begun are dropped if it takes too long."""
    try:
        worker.submit(jobs)
    except Full as error:
        found = f"{worker.waiting} requests wait, this is {len(jobs)} more"
        problem = f"{found}. Expected at most {limits.queue}."
        raise HTTPException(503, problem, {"Retry-After": "1"}) from error
    futures = [asyncio.wrap_future(job.future) for job in jobs]
    try:
        async with asyncio.timeout(limits.timeout):
            return [row for rows in await asyncio.gather(*futures) for row in rows]
    except TimeoutError as error:
        problem = f"No answer in {limits.timeout:g} seconds. Expected fewer or shorter texts."
        raise HTTPException(504, problem) from error
    finally:
        for future in futures:
            future.cancel()  # whatever the reason, nobody waits any more


def _narrow(row: dict[str, Any], ask: Ask) -> dict[str, Any]:
    """Return what was asked for of all that a text got."""
    found = {}
    if ask.what != "scores":
        found["emotions"] = row["emotions"]
    if ask.what != "decisions":
        found["scores"] = highest(row["scores"], ask.top_k)
        if "probabilities" in row:
            likely = row["probabilities"]
            found["probabilities"] = {label: likely[label] for label in found["scores"]}
    if ask.explain:
        found["explanation"] = row["explanation"]
    return found


def _add_state(app: FastAPI, models: Mapping[str, Served], worker: Worker, counts: Counts) -> None:
    described = [served.describe(name) for name, served in models.items()]

    @app.get("/models")
    async def list_models() -> list[Model]:
        """List the models; the first is the default."""
        return described

    @app.get("/health", responses={503: {"model": Problem}})
    async def tell_health() -> Health:
        """Tell whether requests are answered."""
        if not worker.is_running:
            raise HTTPException(503, "The thread that predicts has ended. Expected it to run.")
        return Health(status="ready", models=list(models))

    @app.get("/metrics", response_class=PlainTextResponse)
    async def tell_metrics() -> Response:
        """Tell what was counted, in Prometheus' text format."""
        return Response(counts.as_text(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    """Give all errors one shape, without tracebacks."""

    @app.exception_handler(AnyHTTPException)
    async def refuse(request: Request, error: AnyHTTPException) -> Response:
        said = SAID.get(str(error.detail), str(error.detail))
        return JSONResponse({"error": said}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_fields(request: Request, error: RequestValidationError) -> Response:
        status, said = _read(error.errors()[0], request.headers.get("content-type", ""))
        return JSONResponse({"error": said}, status)

    @app.exception_handler(Exception)
    async def apologise(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"{PROBLEMS[500]}."}, 500)


def _read(problem: dict[str, Any], content_type: str) -> tuple[int, str]:
    """Return the status and the sentence for what is wrong with a body."""
    where = ".".join(
        ascii(part)[1:-1] if isinstance(part, str) else str(part) for part in problem["loc"]
    )
    if problem["type"] == "json_invalid":
        return 400, f"{where}: {problem['ctx']['error']}. Expected JSON."
    if isinstance(problem["input"], bytes):  # not read as JSON
        return 415, f"content-type: {content_type[:80]!a}. Expected application/json."
    found = ascii(problem["input"])
    return 422, f"{where}: {found[:80]}{'...' * (len(found) > 80)}. {problem['msg']}."
