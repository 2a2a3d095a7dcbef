"""The HTTP interface to listen by: sound, waveform and transcript of a call. Built without a server."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from struct import pack
from typing import TYPE_CHECKING, Annotated, TypeVar

from processors.custody.authorization import Actor
from processors.custody.play_sessions import ListeningPurpose
from schemas.messages.message import Identifier, TenantId
from streams.listening import ListeningRequest, NotPlayedError, ShownPeaks, Why, why_not
from streams.play.answers import PeaksAnswer, TranscriptAnswer
from streams.play.ports import Played
from streams.play.ranges import Part, UnsatisfiableError, is_still, part_of
from streams.play.sound import FIRST_BLOCK_BYTES, SoundAnswer
from streams.serve.application import Health
from streams.serve.authentication import answered
from streams.serve.export_routes import add_export_routes
from streams.serve.limits import TenantLimits
from streams.serve.middleware import Edge
from streams.serve.permission import only_tenant
from streams.serve.problems import (
    RefusedError,
    add_problem_handlers,
    busy,
    described,
    not_found,
    unprocessable,
)
from streams.serve.requests import CallIdInPath

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

T = TypeVar("T")

TITLE = "callstream play"
VERSION = "1"
PLAYING_THREADS = 16
SHARE_OF_ONE = 4
"""Of the open requests a quarter at most is one person's: who takes slowly, and often, holds up nobody else."""

_STATUS: dict[Why, HTTPStatus] = {
    "forbidden": HTTPStatus.FORBIDDEN,
    "gone": HTTPStatus.GONE,
    "not_now": HTTPStatus.CONFLICT,
    "broken": HTTPStatus.INTERNAL_SERVER_ERROR,
}
_SENTENCES = {
    "not_granted": "No role that you have there allows this.",
    "no_role": "This account has no role: ask an administrator for one.",
    "destroyed": "The call was destroyed.",
    "key_destroyed": "The key of the recording was destroyed.",
    "object_missing": "What is asked for is not stored, or no more.",
    "not_heard_yet": "The recording was not heard yet, so that it is not known what to mute or how long it is.",
    "not_analyzed": "The recording was not analysed, so that it is not known what to mute.",
    "times_unknown": "Its transcript has no times, so that it is not known what to mute.",
    "seal_broken": "What is stored was changed: tell the operator.",
}
_REFUSALS = described(
    (HTTPStatus.UNAUTHORIZED, "nobody known asks"),
    (HTTPStatus.FORBIDDEN, "no role allows it"),
    (HTTPStatus.NOT_FOUND, "there is no such call, or none that may be known of"),
    (HTTPStatus.CONFLICT, "it cannot be shown as asked; `code` says why"),
    (HTTPStatus.GONE, "the call, or its key, was destroyed"),
    (HTTPStatus.UNPROCESSABLE_ENTITY, "purpose, ticket or tenant are missing or wrong"),
    (HTTPStatus.TOO_MANY_REQUESTS, "too much at once: send it again after Retry-After"),
    (HTTPStatus.INTERNAL_SERVER_ERROR, "what is stored was changed, or a bug"),
    (HTTPStatus.SERVICE_UNAVAILABLE, "something does not answer: send it again after Retry-After"),
)


def build_app(played: Played) -> "FastAPI":
    """The application. What it starts, it stops at the end of its lifespan."""
    from fastapi import FastAPI, Header, Query, Request, Response

    settings = played.settings
    pool = ThreadPoolExecutor(PLAYING_THREADS, thread_name_prefix="play")
    limits = TenantLimits(settings.serve_requests_per_s, 0)
    open_of: Counter[str] = Counter()
    most_of_one = max(1, settings.play_requests // SHARE_OF_ONE)
    close_exports: Callable[[], None] | None = None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> "AsyncIterator[dict[str, float]]":
        yield {"head_within_s": settings.serve_slow_after_s}
        if close_exports is not None:
            close_exports()
        pool.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description="Recordings to listen to. Errors are problems of RFC 9457.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
        redirect_slashes=False,
    )

    add_problem_handlers(app)

    def ended(actor_id: str) -> None:
        open_of[actor_id] -= 1
        if not open_of[actor_id]:
            del open_of[actor_id]

    async def actor_of(request: Request) -> Actor:
        """Who asks, as often as anybody may: each refusal is an entry."""
        actor = await played.authentication.actor_of(request)
        request.state.key_id = actor.actor_id
        limits.request(f"account {actor.actor_id}")
        if open_of[actor.actor_id] >= most_of_one:
            raise busy("too_many_requests", "Too many requests of yours at once: send this one again later.")
        open_of[actor.actor_id] += 1
        request.state.ended = partial(ended, actor.actor_id)
        return actor

    async def asked(
        request: Request,
        call_id: CallIdInPath,
        purpose: Annotated[ListeningPurpose | None, Query(description="what for; or the header")] = None,
        ticket: Annotated[Identifier | None, Query(description="the case it is for; or the header")] = None,
        tenant: Annotated[TenantId | None, Query(description="whose call; needed where you have several")] = None,
        unmasked: Annotated[bool, Query(description="without muting; needs `listen_unmasked`")] = False,
        purpose_header: Annotated[ListeningPurpose | None, Header(alias="X-Callstream-Purpose")] = None,
        ticket_header: Annotated[Identifier | None, Header(alias="X-Callstream-Ticket")] = None,
    ) -> ListeningRequest:
        actor = await actor_of(request)
        given = purpose or purpose_header
        if given is None:
            raise unprocessable("purpose", "Say what for: ?purpose=complaint, sampling, …", ["purpose: missing"])
        return ListeningRequest(
            actor=actor,
            tenant_id=tenant or only_tenant(actor),
            call_id=call_id,
            purpose=given,
            ticket=ticket or ticket_header,
            unmasked=unmasked,
            address=request.client.host if request.client else None,
        )

    async def of_listening(ask: Callable[..., T], *arguments: object) -> T:
        running = asyncio.get_running_loop().run_in_executor(pool, lambda: ask(*arguments))
        try:
            return await answered(running, "what is needed to listen")
        except NotPlayedError as error:
            raise _refusal(error.why, error.reason) from None

    from fastapi import Depends

    asks = Annotated[ListeningRequest, Depends(asked)]

    @app.head("/v1/recordings/{call_id}/audio", include_in_schema=False, response_class=Response)
    @app.get(
        "/v1/recordings/{call_id}/audio",
        summary="Listen to a recording",
        description="A WAV file of 16-bit PCM, made as it is asked for, of which any part can be had. Personal data is "
        "muted unless `unmasked` is asked for and granted.",
        operation_id="listen_to_recording",
        responses={
            200: {"content": {"audio/wav": {}}, "description": "all of it"},
            206: {"content": {"audio/wav": {}}, "description": "a part, which may end earlier than was asked for"},
            416: {"description": "the part lies behind the end"},
            **_REFUSALS,
        },
        response_class=Response,
    )
    async def audio(asked_for: asks, request: Request) -> Response:
        playing = await of_listening(played.listening.play, asked_for)
        size = playing.wav.shape.size_bytes
        headers = {
            "Content-Type": "audio/wav",
            "Accept-Ranges": "bytes",
            "ETag": playing.etag,
            "Cache-Control": "no-store, private",
            "Content-Disposition": "inline",
            "X-Callstream-Masking": playing.masking,
        }
        if request.method == "HEAD":  # ranges are of GET alone
            return Response(headers={**headers, "Content-Length": str(size)})
        try:
            asked_range = (
                request.headers.get("range") if is_still(request.headers.get("if-range"), playing.etag) else None
            )
            part = part_of(asked_range, size, settings.play_most_bytes)
        except UnsatisfiableError:
            raise RefusedError(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                "range",
                "The recording ends before that.",
                headers={"Content-Range": f"bytes */{size}"},
            ) from None
        status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
        if part is not None:
            headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
        sent = part or Part(0, size)
        headers["Content-Length"] = str(sent.end - sent.start)
        first = await of_listening(_read_first, playing.wav.read, sent)
        return SoundAnswer(playing.wav, sent, first, pool, status, headers)

    @app.get(
        "/v1/recordings/{call_id}/peaks",
        summary="The waveform of a recording",
        description="As BBC audiowaveform has it, 20 stretches a second, in 8 bit: JSON, or binary where that is "
        "accepted. Flat where the sound is muted.",
        operation_id="get_peaks",
        responses={200: {"model": PeaksAnswer, "content": {"application/octet-stream": {}}}, **_REFUSALS},
    )
    async def peaks(asked_for: asks, request: Request) -> Response:
        shown = await of_listening(played.listening.peaks, asked_for)
        if "application/octet-stream" in request.headers.get("accept", ""):
            return Response(binary_peaks(shown), media_type="application/octet-stream")
        answer = PeaksAnswer.of(shown)
        return Response(answer.model_dump_json(), media_type="application/json")

    @app.get(
        "/v1/calls/{call_id}/transcript",
        summary="What was said in a call",
        description="Masked, with the times of segments and words.",
        operation_id="get_transcript",
        responses=_REFUSALS,
    )
    async def transcript(asked_for: asks) -> TranscriptAnswer:
        found = await of_listening(played.listening.transcript, asked_for)
        return TranscriptAnswer.of(found)

    @app.get("/v1/health/live", summary="Is the process alive", operation_id="live")
    async def live() -> Health:
        return Health(status="live")

    @app.get(
        "/v1/health/ready",
        summary="Can recordings be listened to",
        operation_id="ready",
        responses=described((HTTPStatus.SERVICE_UNAVAILABLE, "something does not answer")),
    )
    async def ready() -> Health:
        loop = asyncio.get_running_loop()
        for name, check in played.checks.items():
            await answered(loop.run_in_executor(pool, check), name)
        return Health(status="ready")

    if played.exports is not None:
        close_exports = add_export_routes(app, played.exports, actor_of)
    app.add_middleware(Edge, most_requests=settings.play_requests)
    return app


def _read_first(read: Callable[[int, int], bytes], sent: Part) -> bytes:
    """The beginning, before the answer is begun: what goes wrong here is still told by a status."""
    try:
        return read(sent.start, min(FIRST_BLOCK_BYTES, sent.end - sent.start))
    except Exception as error:
        found = why_not(error)
        if found is None:
            raise
        raise NotPlayedError(*found) from None


def _refusal(why: Why, reason: str) -> RefusedError:
    if why == "unknown":
        return not_found()
    return RefusedError(_STATUS[why], reason, _SENTENCES.get(reason, "The recording cannot be played."))


def binary_peaks(shown: ShownPeaks) -> bytes:
    """As BBC audiowaveform writes it: version 2, 8 bit."""
    pairs = shown.peaks.pairs
    header = pack("<iIiiIi", 2, 1, shown.peaks.rate_hz, shown.peaks.samples_per_peak, len(pairs), pairs.shape[1])
    return header + pairs.tobytes()
