"""The service keeps what its own OpenAPI schema promises, whatever is asked of it."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from scripts.service import build_app
from scripts.service_models import load_served
from scripts.service_schema import Limits

FAST = settings(
    max_examples=15, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


EXPECTED = {
    GenerationMode.POSITIVE: {("/predict", 200), ("/predict", 404), ("/models", 200)},
    GenerationMode.NEGATIVE: {("/predict", 422)},
}


@pytest.fixture(scope="module")
def api(decided):
    """The schema of a service whose limits are all in it."""
    served = load_served([str(decided)], names=["small"], characters=50)
    app = build_app(served, Limits(texts=4, characters=50, explained=4))
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=SchemathesisConfig())


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_as_the_schema_says(api, mode):
    checked = []
    operations = [result.ok() for result in api.get_all_operations()]
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.method == "get":
            continue  # nothing in it that could be wrong

        @FAST
        @given(operation.as_strategy(generation_mode=mode))
        def check(case):
            checked.append((case.method, case.path, case.call_and_validate().status_code))

        check()
    found = {(path, status) for _, path, status in checked}
    assert found >= EXPECTED[mode], found


def test_the_schema_names_limits_paths_and_problems(api):
    raw = api.raw_schema
    assert sorted(raw["paths"]) == ["/health", "/metrics", "/models", "/predict"]
    texts = raw["components"]["schemas"]["Request"]["properties"]["texts"]
    assert (texts["minItems"], texts["maxItems"], texts["items"]["maxLength"]) == (1, 4, 50)
    answers = raw["paths"]["/predict"]["post"]["responses"]
    problems = ["400", "404", "408", "413", "415", "422", "500", "503", "504"]
    assert sorted(answers) == ["200", *problems]
    for status in problems:
        found = answers[status]["content"]["application/json"]["schema"]["$ref"]
        assert found == "#/components/schemas/Problem"
