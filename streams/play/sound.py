"""The answer that is a part of a virtual WAV: made block by block, as fast as it is taken."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import Executor
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from processors.custody.ports import SealBrokenError
from processors.listening.audio import UnhearableError
from processors.listening.virtual_wav import VirtualWav
from schemas.errors import OperatorError, RetryableError
from streams.play.ranges import Part
from streams.ports import ObjectMissingError
from streams.serve.problems import ClientGoneError

log = logging.getLogger(__name__)

FIRST_BLOCK_BYTES = 16 * 1024
BLOCK_BYTES = 128 * 1024
TAKEN_WITHIN_S = 60.0
"""Who takes no block for so long is hung up on."""

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class SoundAnswer(Response):
    """An ASGI answer of the bytes of `part`. At most one block is held, and only bytes that were verified are sent.

    Where the rest cannot be had, the connection ends before its length, so that nobody takes a part for the whole.
    """

    def __init__(
        self,
        wav: VirtualWav,
        part: Part,
        first: bytes,
        pool: Executor,
        status: HTTPStatus,
        told: Mapping[str, str],
        taken_within_s: float = TAKEN_WITHIN_S,
    ) -> None:
        """`first` is the beginning of the part, which was read already."""
        super().__init__(status_code=status.value)
        self._wav = wav
        self._part = part
        self._first = first
        self._pool = pool
        self._taken_within_s = taken_within_s
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in told.items()]

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:  # noqa: ARG002 - as ASGI has it
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            await self._send(self._first, self._part.start + len(self._first), send)
            at = self._part.start + len(self._first)
            while at < self._part.end:
                if gone.done():
                    raise ClientGoneError
                block = await self._read(at)
                at += len(block)
                await self._send(block, at, send)
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _read(self, at: int) -> bytes:
        length = min(BLOCK_BYTES, self._part.end - at)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._wav.read, at, length)
        except (SealBrokenError, ObjectMissingError, UnhearableError, RetryableError, OperatorError) as error:
            log.error("a recording ends in the middle of its answer: %s", type(error).__name__)
            raise ClientGoneError from None

    async def _send(self, block: bytes, at: int, send: _Send) -> None:
        message = {"type": "http.response.body", "body": block, "more_body": at < self._part.end}
        try:
            await asyncio.wait_for(send(message), self._taken_within_s)
        except TimeoutError:
            raise ClientGoneError from None


async def _hung_up(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
