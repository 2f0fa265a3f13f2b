"""What the OpenAPI document allows, and what it does not, sent to every route by schemathesis.

No request is answered with a 5xx, with a status or a body that the document does not tell of, or
with a traceback.
"""

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.conftest import Online

    Serve = Callable[[str], Online]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 25  # for each route, each model and each way of drawing


@pytest.mark.parametrize("reference", ["delay:1", "class", "outlier"])
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_nothing_breaks(reference: str, mode: GenerationMode, online: "Serve") -> None:
    """Given requests drawn from the document, or against it: each is answered as it says."""
    served = online(reference)
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    reached = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        route = f"{operation.method.upper()} {operation.path}"
        if route not in served.routes:
            continue
        reached.add(route)
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # there is nothing to contradict
        statuses = sent(operation, mode)
        if (
            mode is GenerationMode.POSITIVE
            and operation.method == "get"
            and not operation.path_parameters
        ):
            assert statuses == {200}, route
    # The front page only leads to another, and schemathesis leaves out what it has read.
    assert reached == served.routes - {"GET /", "GET /openapi.json"}


def sent(operation: Any, mode: GenerationMode) -> set[int]:
    """Send what is drawn for an operation, and check each answer; the statuses seen."""
    statuses = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: "Case[Any]") -> None:
        response = case.call(timeout=30)
        case.validate_response(response, checks=CHECKS)
        assert "Traceback" not in response.text
        statuses.add(response.status_code)

    check()
    return statuses
