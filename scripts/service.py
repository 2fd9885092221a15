"""A web service over the same predictions as everywhere."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from scripts.predictor import Predictor, highest
from scripts.service_guard import Guard
from scripts.service_metrics import Counting, Counts
from scripts.service_models import Served
from scripts.service_problems import PATHS, PROBLEMS, add_errors
from scripts.service_schema import Answer, Ask, Health, Limits, Model, Problem, ask_within
from scripts.service_worker import Full, Job, Worker
from scripts.tasks import check_settings


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
        title="What pipelines say of texts",
        description="Labels with scores and the words they rest on, marked parts, or new texts.",
        lifespan=lifespan,
    )
    app.add_middleware(Guard, limits=limits)
    app.add_middleware(Counting, counts=counts)
    add_errors(app)
    _add_predict(app, limits, worker, counts)
    _add_state(app, models, worker, counts)
    return app


def _add_predict(app: FastAPI, limits: Limits, worker: Worker, counts: Counts) -> None:
    request = ask_within(limits)
    problems = {
        status: {"model": Problem, "description": said} for status, said in PROBLEMS.items()
    }

    @app.post("/predict", response_model=Answer, responses=problems)
    async def predict(ask: request) -> Response:
        """Predict texts; the predictions come in their order."""
        name = _check(ask, worker.predictors, limits)
        groups = [[text] for text in ask.texts] if ask.explain else [ask.texts]
        jobs = [Job(name, texts, ask.explain) for texts in groups]
        rows = await _answer(worker, jobs, limits)
        counts.texts.labels(name).inc(len(rows))
        narrowed = [_narrow(row, ask, worker.predictors[name]) for row in rows]
        answer = {"model": name, "predictions": narrowed}
        return Response(json.dumps(answer), media_type="application/json")


def _check(ask: Any, predictors: Mapping[str, Predictor], limits: Limits) -> str:
    """Return the name of the model that is asked; refuse what it cannot do."""
    name = next(iter(predictors)) if ask.model is None else ask.model
    if name not in predictors:
        known = ", ".join(predictors)
        raise HTTPException(404, f"model: {name[:80]!r}. Expected one of {known}.")
    try:
        task = predictors[name].task
        check_settings(task, what=ask.what, top_k=ask.top_k, with_words=ask.explain)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    if ask.explain and len(ask.texts) > limits.explained:
        found = f"texts: {len(ask.texts)} to explain"
        raise HTTPException(422, f"{found}. Expected at most {limits.explained}.")
    return name


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


def _narrow(row: dict[str, Any], ask: Ask, predictor: Predictor) -> dict[str, Any]:
    """Return what was asked for of all that a text got."""
    if predictor.task != "textcat":
        return {key: row[key] for key in predictor.own if key in row}
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
