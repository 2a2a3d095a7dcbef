"""The OpenAPI document as a file, `docs/contracts/openapi.json`: what senders are written against."""

import json
from typing import Any

from streams.ports import SystemClock
from streams.serve.application import build_app
from streams.serve.people import PeopleServed
from streams.serve.ports import Served, ServedExports
from streams.settings import Settings

OPENAPI_FILE = "docs/contracts/openapi.json"


def openapi_text() -> str:
    """The document that a running server gives at `/v1/openapi.json`, whatever its settings."""
    nothing: Any = None  # no request comes, so nothing behind the application is asked
    nothing_of_exports = ServedExports(exporter_for=nothing, actor_of=nothing)
    served = Served(
        settings=Settings(),
        clock=SystemClock(),
        take_in=nothing,
        hand_over=nothing,
        api_keys=nothing,
        intakes=nothing,
        outcomes=nothing,
        audit=nothing,
        customer_of=nothing,
        people=PeopleServed(nothing, nothing, nothing, {}, nothing),
        owners=nothing,
        checks={},
        exports=nothing_of_exports,
    )
    return json.dumps(build_app(served).openapi(), ensure_ascii=False, indent=2) + "\n"
