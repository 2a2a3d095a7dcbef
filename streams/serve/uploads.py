"""One upload: body → event and recording → `TakeIn` in a thread of a bounded pool → the answer."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from processors.custody.intake import IntakeBusyError, IntakeConflictError
from processors.custody.ports import CallPurgedError
from schemas.errors import InvalidCallError, OperatorError, RetryableError
from schemas.messages.message import MAX_PROBLEMS
from schemas.messages.transcript_received import TranscriptReceived
from streams.serve.authentication import answered
from streams.serve.body import BodyLimits, chunks, too_large
from streams.serve.chunk_pipe import AbortedError, ChunkPipe
from streams.serve.limits import Slots, TenantLimits
from streams.serve.multipart import PartBegins, PartEnds, boundary_of, events
from streams.serve.ports import Served, TakenInCall
from streams.serve.problems import RefusedError, gone, unavailable, unprocessable
from streams.serve.requests import (
    MOST_EVENT_BYTES,
    MULTIPART,
    Principal,
    event_of_header,
    extension_for,
    read_event,
    read_transcript,
    require_recording,
)

if TYPE_CHECKING:
    from starlette.requests import Request

log = logging.getLogger(__name__)

MOST_FRAMING_BYTES = MOST_EVENT_BYTES + 64 * 1024
"""What a body may have beside the recording."""


class Uploads:
    """Takes uploads in, so many at a time. For the thread of the event loop alone."""

    def __init__(self, served: Served, limits: TenantLimits) -> None:
        settings = served.settings
        self._served = served
        self._limits = limits
        self._most_bytes = settings.intake_max_bytes
        self._body_limits = BodyLimits(
            settings.intake_max_bytes + MOST_FRAMING_BYTES, settings.serve_min_bytes_per_s, settings.serve_slow_after_s
        )
        self._slots = Slots(settings.serve_uploads, settings.serve_uploads_per_tenant, settings.serve_wait_s)
        self._pool = ThreadPoolExecutor(settings.serve_uploads, thread_name_prefix="take-in")
        self._under_way: set[ChunkPipe] = set()

    async def take_in(self, request: "Request", principal: Principal) -> TakenInCall:
        """Raises `RefusedError` and `ClientGoneError`; then nothing was taken in."""
        content_type = request.headers.get("content-type", "")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type != MULTIPART:
            require_recording(media_type)
        body = chunks(
            request.receive,
            self._body_limits,
            _declared_bytes(request),
            lambda size: self._limits.pace(principal.tenant_id, size),
        )
        if media_type == MULTIPART:
            return await self._multipart(boundary_of(content_type), body, principal)
        header = request.headers.get("x-callstream-event")
        if header is None:
            raise unprocessable(
                "invalid_event", "The header X-Callstream-Event is missing.", ["X-Callstream-Event: missing"]
            )
        facts = read_event(event_of_header(header), principal.tenant_id, self._served.customer_of)
        async with self._slots.slot(principal.tenant_id):
            return await self._pour(facts, extension_for(media_type), body)

    async def hand_over(self, request: "Request", principal: Principal) -> TranscriptReceived:
        """A transcript that was made elsewhere. Raises `RefusedError` and `ClientGoneError`."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Send the transcript as application/json."
            )
        limits = replace(self._body_limits, most_bytes=TranscriptReceived.max_bytes)
        async with self._slots.slot(principal.tenant_id):
            raw = bytearray()
            async for data in chunks(
                request.receive,
                limits,
                _declared_bytes(request),
                lambda size: self._limits.pace(principal.tenant_id, size),
            ):
                raw += data
            message = read_transcript(bytes(raw), principal.tenant_id, self._served.customer_of)
            working = asyncio.get_running_loop().run_in_executor(self._pool, self._served.hand_over, message)
            try:
                await answered(working, "what keeps transcripts and events")
            except CallPurgedError:
                raise gone() from None
            return message

    async def _multipart(self, boundary: bytes, body: AsyncIterator[bytes], principal: Principal) -> TakenInCall:
        parts = events(boundary, body)
        facts = read_event(await _event_part(parts), principal.tenant_id, self._served.customer_of)
        part = await _file_part(parts)
        async with self._slots.slot(principal.tenant_id):
            return await self._pour(facts, extension_for(part.media_type, part.file_name), _file_of(parts))

    async def _pour(self, facts: dict[str, Any], extension: str, recording: AsyncIterator[bytes]) -> TakenInCall:
        loop = asyncio.get_running_loop()
        pipe = ChunkPipe(loop)
        self._under_way.add(pipe)

        def work() -> TakenInCall:
            try:
                return self._served.take_in.take_in(facts, pipe, extension=extension, source="serve")
            finally:
                pipe.close()

        working = loop.run_in_executor(self._pool, work)
        try:
            await self._fill(pipe, recording)
            return await _taken(working)
        except BaseException:
            pipe.abort()
            # What it stored is taken away by the time we answer; a cancelled request does not wait for that.
            await asyncio.wait([working])
            if not working.cancelled():
                working.exception()
            raise
        finally:
            self._under_way.discard(pipe)

    async def _fill(self, pipe: ChunkPipe, recording: AsyncIterator[bytes]) -> None:
        """Where nobody reads any more, `take_in` has refused, and says why."""
        total = 0
        async for data in recording:
            total += len(data)
            if total > self._most_bytes:
                raise too_large(self._most_bytes)
            if not await pipe.write(data):
                return
        pipe.end()

    def close(self) -> None:
        """Break off what is under way; nothing of it stays."""
        for pipe in self._under_way:
            pipe.abort()
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _taken(working: "asyncio.Future[TakenInCall]") -> TakenInCall:
    """Raises `RefusedError`."""
    try:
        return await asyncio.shield(working)
    except AbortedError:
        refused = unavailable("This server is stopping: send the recording again.")
    except InvalidCallError as error:
        # They name fields and kinds of error, never a value.
        refused = unprocessable("invalid_event", "The event is not one: see `errors`.", error.problems[:MAX_PROBLEMS])
    except CallPurgedError:
        refused = gone()
    except IntakeConflictError:
        refused = RefusedError(
            HTTPStatus.CONFLICT,
            "other_content",
            "Another recording, or other facts, were taken in under this call id; they stay as they are.",
        )
    except IntakeBusyError:
        refused = unavailable("Another upload of this call is under way: send this one again later.")
        refused.code = "under_way"
    except (RetryableError, OperatorError) as error:
        log.warning("a recording is not taken in: %s", str(error))
        refused = unavailable("Not now: what keeps recordings or events does not answer. Send this one again later.")
    raise refused


def _declared_bytes(request: "Request") -> int | None:
    text = request.headers.get("content-length")
    return int(text) if text is not None and text.isdecimal() else None


async def _event_part(parts: AsyncIterator[PartBegins | bytes | PartEnds]) -> bytes:
    """The JSON of the first part. Raises `RefusedError` (413, 422)."""
    begins = await anext(parts, None)
    if not isinstance(begins, PartBegins) or begins.name != "event":
        raise unprocessable("missing_event", "The first part must be `event`.", ["event: missing"])
    data = bytearray()
    async for each in parts:
        if isinstance(each, PartEnds):
            return bytes(data)
        if isinstance(each, bytes):
            data += each
        if len(data) > MOST_EVENT_BYTES:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"The event has more than {MOST_EVENT_BYTES} bytes."
            )
    raise unprocessable("missing_event", "The first part must be `event`.", ["event: missing"])


async def _file_part(parts: AsyncIterator[PartBegins | bytes | PartEnds]) -> PartBegins:
    """The head of the second part. Raises `RefusedError` (415, 422)."""
    begins = await anext(parts, None)
    if not isinstance(begins, PartBegins) or begins.name != "file":
        raise unprocessable("missing_file", "The second part must be `file`.", ["file: missing"])
    require_recording(begins.media_type)
    if begins.encoding not in ("", "binary", "8bit", "7bit"):
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "Send the part `file` as it is, not encoded.",
        )
    return begins


async def _file_of(parts: AsyncIterator[PartBegins | bytes | PartEnds]) -> AsyncIterator[bytes]:
    """The recording. Ends only where the whole form came. Raises `RefusedError` (422) for a third part."""
    async for each in parts:
        if isinstance(each, PartBegins):
            raise unprocessable("unknown_part", "There are two parts: `event` and `file`.", ["form: unknown part"])
        if isinstance(each, bytes):
            yield each
