"""What a service says when it refuses: one sentence for every error, and no traceback."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

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


def add_errors(app: FastAPI) -> None:
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
