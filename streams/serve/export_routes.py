"""`/v1/exports`: asked for, approved, refused, withdrawn and handed out over HTTP."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from processors.custody.authorization import Actor
from processors.custody.exports import (
    MOST_CALLS,
    Export,
    ExportContent,
    ExportNotFoundError,
    ExportRefusedError,
    ExportState,
)
from processors.custody.makers import Tie
from schemas.messages.belongs_there import with_what_belongs_there
from schemas.messages.message import Identifier, Slug, TenantId, problems_of
from streams.serve.authentication import answered
from streams.serve.body import BodyLimits
from streams.serve.body import chunks as chunks_of
from streams.serve.ports import Exporter, ServedExports
from streams.serve.problems import RefusedError, described, entered, not_found, unprocessable

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

EXPORT_THREADS = 8
EXPORT_BODY_LIMITS = BodyLimits(most_bytes=4 * 1024 * 1024, min_bytes_per_s=1_024, window_s=10.0)
TOKEN_HEADER = "X-Callstream-Download"  # noqa: S105 - the name of a header
"""In a header and not in the URL, which proxies log and browsers remember."""

ExportId = Annotated[str, Field(pattern=r"^[a-z0-9]{1,32}$")]

_CONFLICTS = frozenset(
    {
        *("exists", "approved_before", "another_set", "set_changed", "swapped", "not_requested", "not_granted"),
        *("over", "no_downloads_left", "not_here"),
    }
)
_FORBIDDEN = frozenset({"own_request", "not_requester", "no_right", "no_token", *get_args(Tie)})


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExportRequest(_Body):
    """What is asked for: calls by their ids, or those of days, which are found once, now."""

    tenant_id: TenantId
    call_ids: tuple[Identifier, ...] = Field(default=(), max_length=MOST_CALLS)
    first_day: date | None = Field(default=None, description="instead of call_ids: calls that ended from this day on …")
    last_day: date | None = Field(default=None, description="… to this one, days of the tenant")
    contents: tuple[ExportContent, ...] = Field(min_length=1, max_length=4)
    recipient: str = Field(min_length=1, max_length=128, description="who gets it; stands in every file")
    reason: Slug = Field(description="why, as a word: complaint, audit, court …")
    ticket: Identifier | None = Field(default=None, description="the case that it is for")


class ExportApproval(_Body):
    """Agreement to hand out exactly this set."""

    set_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="as the export shows it")


class ExportRefusal(_Body):
    """Why it is not handed out."""

    reason: Slug = "not_justified"


class ExportCallAnswer(BaseModel):
    """A call of an export, in the version that would be handed out."""

    call_id: str
    recording_sha256: str | None
    text_sha256: str | None
    analysis: str | None
    muting: str | None = Field(description="which stretches of its sound are muted; null where none are")


class ExportApprovalAnswer(BaseModel):
    """Who agreed, and when."""

    account: str
    at: datetime


class ExportAnswer(BaseModel):
    """An export."""

    export_id: str
    tenant_id: str
    state: ExportState
    state_reason: str | None = Field(
        description="why it ended; null while it has not, and where there is no more to say"
    )
    contents: tuple[ExportContent, ...]
    recipient: str
    reason: str
    ticket: str | None
    requested_by: str
    requested_at: datetime
    request_until: datetime = Field(description="unless it is approved by then, it expires")
    approvals: tuple[ExportApprovalAnswer, ...]
    approvals_needed: int
    grant_until: datetime | None = Field(description="it can be downloaded until then; null before it is approved")
    downloads: int
    downloads_allowed: int
    set_sha256: str = Field(description="of the exact set: an approval names it")
    calls_count: int
    calls: tuple[ExportCallAnswer, ...] | None = Field(default=None, description="null in lists")

    @classmethod
    def of(cls, export: Export, *, with_calls: bool = True) -> "ExportAnswer":
        """What is told of it."""
        contained = export.contained
        calls = tuple(
            ExportCallAnswer(
                call_id=each.call_id,
                recording_sha256=each.recording,
                text_sha256=each.text,
                analysis=each.analysis,
                muting=each.muting,
            )
            for each in contained.calls
        )
        return cls(
            export_id=export.export_id,
            tenant_id=export.tenant_id,
            state=export.state,
            state_reason=export.end_reason,
            contents=contained.contents,
            recipient=contained.recipient,
            reason=export.reason,
            ticket=export.ticket,
            requested_by=export.requester.account,
            requested_at=export.requested_at,
            request_until=export.request_until,
            approvals=tuple(ExportApprovalAnswer(account=each.by.account, at=each.at) for each in export.approvals),
            approvals_needed=export.terms.approvals,
            grant_until=export.grant_until,
            downloads=export.downloads,
            downloads_allowed=export.terms.downloads,
            set_sha256=contained.digest,
            calls_count=len(contained.calls),
            calls=calls if with_calls else None,
        )


class ExportsAnswer(BaseModel):
    """Exports, the newest first."""

    exports: tuple[ExportAnswer, ...]


class DownloadAnswer(BaseModel):
    """With this, once and soon, `content` is asked for."""

    export_id: str
    token: str = Field(description=f"goes into the header {TOKEN_HEADER}")


def add_export_routes(
    app: "FastAPI", served: ServedExports, actor_of: "Callable[[Request], Awaitable[Actor]]"
) -> Callable[[], None]:
    """The routes; what is returned is called at the end of the application. `actor_of` says who asks, where `served`
    does not.
    """
    from fastapi import Request
    from fastapi.responses import StreamingResponse

    pool = ThreadPoolExecutor(EXPORT_THREADS, thread_name_prefix="export")

    async def asking(request: Request) -> Actor:
        """Who asks; found out before anything that they send is read. Raises `RefusedError`."""
        actor = await (served.actor_of or actor_of)(request)
        request.state.key_id = actor.actor_id
        return actor

    async def done(actor: Actor, act: Callable[[Exporter], T]) -> T:
        """What came of it, in a thread. Raises `RefusedError`."""

        def run() -> T | RefusedError:
            try:
                return act(served.exporter_for(actor))
            except ExportNotFoundError:
                return entered(not_found("There is no such export for this account."))
            except ExportRefusedError as error:
                return entered(_refusal(error))

        result = await answered(asyncio.get_running_loop().run_in_executor(pool, run), "what is needed")
        if isinstance(result, RefusedError):
            raise result
        return result

    def operation(identifier: str, summary: str, model: type[BaseModel] | None = None) -> dict[str, Any]:
        extra: dict[str, Any] = {"security": [{"api_key": []}, {"session": []}]}
        if model is not None:
            schema = model.model_json_schema()
            extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        return {
            "operation_id": identifier,
            "summary": summary,
            "openapi_extra": extra,
            "responses": _REFUSALS,
        }

    @app.post(
        "/v1/exports",
        status_code=HTTPStatus.CREATED,
        **operation("request_export", "Ask for an export", ExportRequest),
    )
    async def request_export(request: Request) -> ExportAnswer:
        actor = await asking(request)
        asked = await _read(request, ExportRequest)
        days = (asked.first_day, asked.last_day)
        if (asked.call_ids != ()) == (days != (None, None)) or (days[0] is None) != (days[1] is None):
            raise unprocessable("calls_or_days", "Name calls, or a first and a last day.", ["call_ids: missing"])
        return ExportAnswer.of(await done(actor, lambda exporter: exporter.request(asked)))

    @app.get("/v1/exports", **operation("list_exports", "The own exports, and those to decide about"))
    async def list_exports(request: Request, tenant: Annotated[str, Field(pattern=_TENANT)]) -> ExportsAnswer:
        found = await done(await asking(request), lambda exporter: exporter.list(tenant))
        return ExportsAnswer(exports=tuple(ExportAnswer.of(each, with_calls=False) for each in found))

    @app.get("/v1/exports/{export_id}", **operation("get_export", "An export with its exact set"))
    async def get_export(export_id: ExportId, request: Request) -> ExportAnswer:
        return ExportAnswer.of(await done(await asking(request), lambda exporter: exporter.show(export_id)))

    @app.post(
        "/v1/exports/{export_id}/approve",
        **operation("approve_export", "Agree to hand out exactly this set", ExportApproval),
    )
    async def approve_export(export_id: ExportId, request: Request) -> ExportAnswer:
        actor = await asking(request)
        given = await _read(request, ExportApproval)
        return ExportAnswer.of(await done(actor, lambda exporter: exporter.approve(export_id, given.set_sha256)))

    @app.post(
        "/v1/exports/{export_id}/refuse",
        **operation("refuse_export", "Do not agree, or no longer", ExportRefusal),
    )
    async def refuse_export(export_id: ExportId, request: Request) -> ExportAnswer:
        actor = await asking(request)
        given = await _read(request, ExportRefusal)
        return ExportAnswer.of(await done(actor, lambda exporter: exporter.refuse(export_id, given.reason)))

    @app.post("/v1/exports/{export_id}/withdraw", **operation("withdraw_export", "Take back an own request"))
    async def withdraw_export(export_id: ExportId, request: Request) -> ExportAnswer:
        return ExportAnswer.of(await done(await asking(request), lambda exporter: exporter.withdraw(export_id)))

    @app.post(
        "/v1/exports/{export_id}/downloads",
        status_code=HTTPStatus.CREATED,
        **operation("offer_download", "A token for one download, good for five minutes"),
    )
    async def offer_download(export_id: ExportId, request: Request) -> DownloadAnswer:
        token = await done(await asking(request), lambda exporter: exporter.offer(export_id))
        return DownloadAnswer(export_id=export_id, token=token)

    content = operation("download_export", "The export as a ZIP")
    content["responses"] = {200: {"content": {"application/zip": {}}, "description": "as it is made"}, **_REFUSALS}

    @app.get("/v1/exports/{export_id}/content", response_class=StreamingResponse, **content)
    async def download_export(export_id: ExportId, request: Request) -> StreamingResponse:
        token = request.headers.get(TOKEN_HEADER, "")
        name, chunks = await done(await asking(request), lambda exporter: exporter.hand_out(export_id, token))
        return StreamingResponse(
            _in_threads(chunks, pool),
            media_type="application/zip",
            headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"},
        )

    return lambda: pool.shutdown(wait=False, cancel_futures=True)


async def _in_threads(chunks: Iterator[bytes], pool: ThreadPoolExecutor) -> AsyncIterator[bytes]:
    """The chunks, made in threads. However it ends, they are closed, which enters how much was handed out."""
    turn = threading.Lock()

    def following() -> bytes | None:
        with turn:
            return next(chunks, None)

    def close() -> None:
        with turn:
            closing = getattr(chunks, "close", None)
            if closing is not None:
                closing()

    loop = asyncio.get_running_loop()
    try:
        while (chunk := await loop.run_in_executor(pool, following)) is not None:
            yield chunk
    finally:
        pool.submit(close)  # not waited for: whoever hung up has ended this task, too


async def _read(request: "Request", model: type[M]) -> M:
    """The body. Raises `RefusedError` (408, 413, 422)."""
    raw = bytearray()
    async for chunk in chunks_of(request.receive, EXPORT_BODY_LIMITS, None, _at_once):
        raw += chunk
    try:
        return model.model_validate_json(bytes(raw) or b"{}")
    except ValidationError as error:
        problems = [with_what_belongs_there(model, problem) for problem in problems_of(model, error)]
    raise unprocessable("invalid", "The body is not what belongs there: see `errors`.", problems)


async def _at_once(_size: int) -> None:
    return None


def _refusal(error: ExportRefusedError) -> RefusedError:
    sentence = f"{str(error)[:1].upper()}{str(error)[1:]}."
    if error.reason in _FORBIDDEN:
        return RefusedError(HTTPStatus.FORBIDDEN, error.reason, sentence)
    if error.reason in _CONFLICTS:
        return RefusedError(HTTPStatus.CONFLICT, error.reason, sentence)
    return unprocessable(error.reason, sentence)


_TENANT = r"^[a-z][a-z0-9_-]{0,63}$"

_REFUSALS = described(
    (HTTPStatus.BAD_REQUEST, "not HTTP as it should be"),
    (HTTPStatus.UNAUTHORIZED, "nobody known asks"),
    (HTTPStatus.FORBIDDEN, "no role allows it, it was the own request, or the token does not hold"),
    (HTTPStatus.NOT_FOUND, "there is none, or none that this account may know of"),
    (HTTPStatus.CONFLICT, "it does not stand so that this could be done; `code` says why"),
    (HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly"),
    (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large"),
    (HTTPStatus.UNPROCESSABLE_ENTITY, "a field is wrong, or a call is not there or not this account's"),
    (HTTPStatus.TOO_MANY_REQUESTS, "too much at once: send it again after Retry-After"),
    (HTTPStatus.SERVICE_UNAVAILABLE, "something does not answer: send it again after Retry-After"),
)
