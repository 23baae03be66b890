"""Whatever the schema allows and much that it does not: no answer of 5xx, none that the schema does not describe."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from attrimorph.studio.server import create_app

CHECKS = (not_a_server_error, status_code_conformance, response_schema_conformance)

HERE = {"host": "localhost"}


@pytest.fixture(scope="module")
def described(models: list[str]) -> Any:
    return schemathesis.openapi.from_asgi("/api/openapi.json", create_app(models[:2]), headers=HERE)


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_it(case: Any) -> None:
    case.call_and_validate(checks=list(CHECKS), headers=HERE)
