"""The HTTP interface: `/v1/recordings`, `/v1/calls/{call_id}`, `/v1/session`, `/v1/health`. Built without a server."""

import asyncio
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from processors.custody.authorization import Actor
from processors.custody.intake import Announced, Free, Intake, Reserved, Stored
from schemas.errors import OperatorError, RetryableError
from streams.serve.authentication import Authentication, actor_of_key, answered
from streams.serve.export_routes import add_export_routes
from streams.serve.limits import TenantLimits
from streams.serve.middleware import Edge
from streams.serve.people import COOKIE, People, Person
from streams.serve.permission import Permission, Permitted
from streams.serve.ports import Served
from streams.serve.problems import (
    HttpProblem,
    RefusedError,
    add_problem_handlers,
    described,
    entered,
    not_found,
    unavailable,
)
from streams.serve.requests import (
    CallAnswer,
    CallIdInPath,
    CallState,
    HandedOverAnswer,
    RecordingEvent,
    TakenInAnswer,
    TenantInQuery,
    TranscriptUpload,
)
from streams.serve.session_routes import ANYBODY, SignIn, add_session_routes
from streams.serve.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI, Request

log = logging.getLogger(__name__)

TITLE = "callstream"
VERSION = "1"
ASKING_THREADS = 8
CHECKS_ARE_KEPT_S = 5.0
"""However often a load balancer asks, store, register and Kafka are asked once in this time."""

_UNAUTHORIZED = (HTTPStatus.UNAUTHORIZED, "nobody who is known, whatever is wrong")
_FORBIDDEN = (HTTPStatus.FORBIDDEN, "the key lacks the scope, or no role of the person allows it")
_NOT_FOUND = (HTTPStatus.NOT_FOUND, "there is none, or none that the key may know of")
_BAD = (HTTPStatus.BAD_REQUEST, "not HTTP as it should be, or a form that is broken or cut")
_INVALID = (HTTPStatus.UNPROCESSABLE_ENTITY, "a field is wrong; `errors` names it")
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, "too much at once: send it again after Retry-After")
_UNAVAILABLE = (HTTPStatus.SERVICE_UNAVAILABLE, "something does not answer: send it again after Retry-After")


_UPLOAD_REFUSALS = described(
    _BAD,
    _UNAUTHORIZED,
    _FORBIDDEN,
    (HTTPStatus.NOT_FOUND, "the event names another tenant than the key"),
    (HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly"),
    (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "recording, event or transcript is too large"),
    (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not what belongs there, or compressed"),
    _INVALID,
    _BUSY,
    _UNAVAILABLE,
)


class Health(BaseModel):
    """Whether this server is of use."""

    status: str


def build_app(served: Served) -> "FastAPI":
    """The application. What it starts, it stops at the end of its lifespan."""
    from fastapi import FastAPI, Request, Response

    settings = served.settings
    asking = ThreadPoolExecutor(ASKING_THREADS, thread_name_prefix="ask")
    limits = TenantLimits(settings.serve_requests_per_s, settings.serve_bytes_per_s)
    uploads = Uploads(served, limits)
    people = People(served.people, served.clock, asking)
    authentication = Authentication(served.api_keys, people, served.clock, asking)
    permission = Permission(authentication, served.owners, served.people.audit_log, served.clock, asking, limits)
    readiness = _Readiness(served, asking)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> "AsyncIterator[dict[str, float]]":
        yield {"head_within_s": settings.serve_slow_after_s}
        uploads.close()
        people.close()
        if close_exports is not None:
            close_exports()
        asking.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description="Recordings in, and where their calls stand. Errors are problems of RFC 9457.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.permission = permission

    async def principal_of(request: Request, scope: Any) -> Any:
        principal = await authentication.require(request, scope, limits)
        request.state.key_id = principal.key_id
        request.state.principal = principal
        limits.request(principal.tenant_id)
        return principal

    async def tenant_of_call(request: Request, call_id: str, tenant: str | None) -> tuple[str, Permitted | None]:
        """Where the call is that a key or a person may ask about; of a person, why. Raises `RefusedError`."""
        who = await authentication.who(request)
        if isinstance(who, Person):
            request.state.key_id = who.account.account_id
            limits.request(f"account {who.account.account_id}")
            permitted = await permission.permit_actor(request, who.actor, "see_text", call_id, tenant)
            return permitted.target.tenant_id, permitted
        request.state.key_id = who.key_id
        limits.request(who.tenant_id)
        request.state.principal = who
        await authentication.require_scope(request, who, "calls:read")
        if tenant not in (None, who.tenant_id):
            await permission.permit_actor(request, actor_of_key(who), "see_text", call_id, tenant)
        return who.tenant_id, None

    async def enter(request: Request, error: RefusedError) -> None:
        if error.status in _ENTERED and not error.entered:
            await asyncio.get_running_loop().run_in_executor(asking, _enter_refusal, served, request, error)

    add_problem_handlers(app, enter)

    @app.post(
        "/v1/recordings",
        status_code=HTTPStatus.CREATED,
        summary="Take in a recording",
        description="Answers when the sealed recording is durable and Kafka has acknowledged its event. Doing it "
        "again with the same recording and event is right after every error, and answers 200.",
        operation_id="take_in_recording",
        responses={
            201: {"headers": _LOCATION},
            200: {
                "model": TakenInAnswer,
                "description": "the same recording was taken in before",
                "headers": _LOCATION,
            },
            **_UPLOAD_REFUSALS,
            **described((HTTPStatus.CONFLICT, "the call id is taken by another recording or other facts")),
            **described((HTTPStatus.GONE, "the call was destroyed, or erased; it is never taken in again")),
        },
        openapi_extra=_UPLOAD,
    )
    async def take_in_recording(request: Request, response: Response) -> TakenInAnswer:
        principal = await principal_of(request, "recordings:write")
        taken = await uploads.take_in(request, principal)
        if not taken.created:
            response.status_code = HTTPStatus.OK
        response.headers["Location"] = f"/v1/calls/{taken.call.call_id}"
        return TakenInAnswer(
            tenant_id=taken.call.tenant_id,
            call_id=taken.call.call_id,
            created=taken.created,
            sha256=taken.call.audio.sha256,
            bytes=taken.call.audio.bytes,
            capture_ms=taken.capture_ms,
        )

    @app.post(
        "/v1/transcripts",
        status_code=HTTPStatus.ACCEPTED,
        summary="Hand over a transcript that was made elsewhere",
        description="Answers when what was said is sealed and durable, and the pipeline has its message.",
        operation_id="hand_over_transcript",
        responses={202: {"headers": _LOCATION}, **_UPLOAD_REFUSALS},
        openapi_extra=_TRANSCRIPT,
    )
    async def hand_over_transcript(request: Request, response: Response) -> HandedOverAnswer:
        principal = await principal_of(request, "transcripts:write")
        message = await uploads.hand_over(request, principal)
        response.headers["Location"] = f"/v1/calls/{message.call_id}"
        return HandedOverAnswer(tenant_id=message.tenant_id, call_id=message.call_id)

    @app.get(
        "/v1/calls/{call_id}",
        summary="Where a call stands",
        operation_id="get_call",
        responses=described(_BAD, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _INVALID, _BUSY, _UNAVAILABLE),
        openapi_extra=ANYBODY,
    )
    async def get_call(call_id: CallIdInPath, request: Request, tenant: TenantInQuery = None) -> CallAnswer:
        tenant_id, permitted = await tenant_of_call(request, call_id, tenant)
        loop = asyncio.get_running_loop()
        intake, outcome = await asyncio.gather(
            loop.run_in_executor(asking, served.intakes.intake, tenant_id, call_id),
            loop.run_in_executor(asking, served.outcomes.outcome, tenant_id, call_id),
            return_exceptions=True,
        )
        try:
            answer = _answer(tenant_id, call_id, intake, outcome)
        except RefusedError as error:
            if permitted is not None and error.status == HTTPStatus.NOT_FOUND:
                await permission.enter_refusal(permitted, "viewed_call", error.code)
                entered(error)
            raise
        principal = getattr(request.state, "principal", None)
        if permitted is not None:
            await permission.enter(permitted, "viewed_call")
        elif principal is not None:
            shown = ("viewed_call", tenant_id, principal.key_id, call_id, _address_of(request))
            await answered(loop.run_in_executor(asking, served.audit.shows, *shown), "the register")
        return answer

    add_session_routes(app, authentication, people, limits, served.clock)

    @app.get("/v1/health/live", summary="Is the process alive", operation_id="live")
    async def live() -> Health:
        return Health(status="live")

    @app.get(
        "/v1/health/ready",
        summary="Can recordings be taken in",
        operation_id="ready",
        responses=described(_UNAVAILABLE),
    )
    async def ready() -> Health:
        lacking = await readiness.lacking()
        if lacking:
            raise unavailable(f"Not now: {', '.join(lacking)} does not answer.")
        return Health(status="ready")

    async def actor_of(request: Request) -> Actor:
        """Who asks for exports, as often as anybody may: each refusal is an entry."""
        actor = await authentication.actor_of(request)
        limits.request(f"account {actor.actor_id}")
        return actor

    close_exports = None if served.exports is None else add_export_routes(app, served.exports, actor_of)
    _complete_openapi(app)
    app.add_middleware(Edge, most_requests=settings.serve_requests)
    return app


_ENTERED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
"""Refusals that are entries of the audit log: somebody asked for what is not for him."""

_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")


def _address_of(request: "Request") -> str | None:
    return None if request.client is None else request.client.host


def _enter_refusal(served: Served, request: "Request", error: RefusedError) -> None:
    """Who asked for what, and why it was refused; waits for the register."""
    principal = getattr(request.state, "principal", None)
    named = str(request.path_params.get("call_id", ""))
    call_id = named if _CALL_ID.fullmatch(named) else None
    served.audit.refuses(
        error.code,
        _address_of(request),
        action="asked" if call_id is None else "viewed_call",
        tenant_id=None if principal is None else principal.tenant_id,
        key_id=None if principal is None else principal.key_id,
        call_id=call_id,
    )


def _answer(
    tenant_id: str, call_id: str, intake: Intake | BaseException, outcome: tuple[str, str] | BaseException | None
) -> CallAnswer:
    """Raises `RefusedError` (404, 503), and whatever bug there was."""
    for each in (intake, outcome):
        if isinstance(each, BaseException) and not isinstance(each, RetryableError | OperatorError):
            raise each
    if isinstance(intake, BaseException):
        log.warning("where a call stands is not known: %s", str(intake))
        raise unavailable("Not now: the register does not answer.")
    state = _STATES[type(intake)]
    capture_ms = intake.capture_ms if isinstance(intake, Announced) else None
    told: str | None = None
    reason: str | None = None
    if isinstance(outcome, BaseException):
        log.warning("the outcome of a call is not known: %s", str(outcome))
        if state is None:
            raise unavailable("Not now: the database does not answer.")
        reason = "not_available"
    elif outcome is not None and state in (None, "announced"):
        state, told, reason = ("pending", None, None) if outcome[0] == "pending" else ("done", *outcome)
    if state is None:
        raise not_found()
    return CallAnswer(
        tenant_id=tenant_id,
        call_id=call_id,
        state=state,
        outcome=told,
        outcome_reason=reason,
        capture_ms=capture_ms,
    )


_STATES: dict[type[Intake], CallState | None] = {
    Free: None,
    Reserved: "receiving",
    Stored: "stored",
    Announced: "announced",
}


class _Readiness:
    """Asks all that is needed, in threads, and keeps the answer for seconds."""

    def __init__(self, served: Served, pool: ThreadPoolExecutor) -> None:
        self._checks = served.checks
        self._pool = pool
        self._lock = asyncio.Lock()
        self._lacking: tuple[str, ...] = ()
        self._at_s = float("-inf")

    async def lacking(self) -> tuple[str, ...]:
        """The names of what does not answer."""
        async with self._lock:
            if time.monotonic() - self._at_s >= CHECKS_ARE_KEPT_S:
                loop = asyncio.get_running_loop()
                results = await asyncio.gather(
                    *(loop.run_in_executor(self._pool, check) for check in self._checks.values()),
                    return_exceptions=True,
                )
                found = dict(zip(self._checks, results, strict=True))
                for name, result in found.items():
                    if isinstance(result, RetryableError | OperatorError):
                        log.warning("%s is needed: %s", name, str(result))
                    elif isinstance(result, BaseException):
                        raise result
                self._lacking = tuple(name for name, result in found.items() if result is not None)
                self._at_s = time.monotonic()
            return self._lacking


_LOCATION = {"Location": {"description": "of the call", "schema": {"type": "string"}}}
_EVENT = {"$ref": "#/components/schemas/RecordingEvent"}
_TRANSCRIPT: dict[str, Any] = {
    "security": [{"api_key": []}],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TranscriptUpload"}}},
    },
}
_RECORDING = {"type": "string", "format": "binary"}
_UPLOAD: dict[str, Any] = {
    "security": [{"api_key": []}],
    "parameters": [
        {
            "name": "X-Callstream-Event",
            "in": "header",
            "required": False,
            "description": "base64url of the JSON of RecordingEvent, where the body is the recording itself; headers "
            "have 64 KiB in all",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]+={0,2}$", "maxLength": 60_000},
        }
    ],
    "requestBody": {
        "required": True,
        "description": "a form with the parts `event` and `file`, in this order, or the recording itself",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["event", "file"],
                    "properties": {"event": _EVENT, "file": _RECORDING},
                },
                "encoding": {"event": {"contentType": "application/json"}},
            },
            "audio/*": {"schema": _RECORDING},
            "application/octet-stream": {"schema": _RECORDING},
        },
    },
}


def _complete_openapi(app: "FastAPI") -> None:
    """The document of FastAPI, with what it does not see: our bodies, our problems, the key."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = made()
        schemas = document["components"]["schemas"]
        for model in (HttpProblem, RecordingEvent, SignIn, TranscriptUpload):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        document["components"]["securitySchemes"] = {
            "api_key": {
                "type": "http",
                "scheme": "bearer",
                "description": "of a system: `callstream api-keys issue`; of a person: `callstream user token add`, or "
                "an access token of the OpenID provider",
            },
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "of POST /v1/session"},
        }
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        app.openapi_schema = document
        return document

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents it
