"""The OpenAPI document is what the server does: compared as a file, and tried by schemathesis."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streams.serve.openapi import OPENAPI_FILE, openapi_text
from tests.support.serving import ALL, Serving, serving

REPOSITORY = Path(__file__).parents[3]
DOCUMENT = json.loads(openapi_text())


def test_the_published_document_is_current() -> None:
    published = (REPOSITORY / OPENAPI_FILE).read_text(encoding="utf-8")
    assert published == openapi_text(), "run `callstream contracts`"


def test_every_operation_but_health_needs_a_key_and_says_how_it_refuses() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            open_to_all = path.startswith("/v1/health/")
            signs_in = operation["operationId"] in ("sign_in", "begin_oidc", "end_oidc")
            assert ("security" in operation) is not (open_to_all or signs_in)
            refusals = [status for status in operation["responses"] if status >= "400"]
            assert open_to_all or {"401", "403", "404", "422", "429", "503"} <= set(refusals)
            assert all("application/problem+json" in operation["responses"][each]["content"] for each in refusals)


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= DOCUMENT["components"]["schemas"].keys()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serve"), serve_requests_per_s=0) as running:
        yield running


OPERATIONS = [
    *("take_in_recording", "hand_over_transcript", "get_call", "live", "ready"),
    *("get_me", "sign_in", "sign_out", "begin_oidc", "end_oidc"),
]

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.loopback
@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_to_what_the_document_allows_or_forbids_are_those_it_names(
    server: Serving, name: str, mode: schemathesis.GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT).find_operation_by_id(name)
    key = server.key(scopes=ALL)
    statuses = set()

    @settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def try_one(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=server.url, headers={"Authorization": f"Bearer {key}"})
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    try:
        try_one()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE, "what has no parameter cannot be asked wrongly"
        return
    assert 500 not in statuses
