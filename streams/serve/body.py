"""The body of a request as it comes in: never whole in memory, never on disk, never longer or slower than allowed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from streams.serve.problems import ClientGoneError, RefusedError

AsgiReceive = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class BodyLimits:
    """`min_bytes_per_s` is the slowest that a sender may be, on average over each `window_s` that we wait for it."""

    most_bytes: int
    min_bytes_per_s: int
    window_s: float = 10.0


def too_large(most_bytes: int) -> RefusedError:
    """The body is longer than allowed (413)."""
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        f"The body has more bytes than are taken in ({most_bytes}).",
    )


async def chunks(
    receive: AsgiReceive,
    limits: BodyLimits,
    declared_bytes: int | None,
    pace: Callable[[int], Awaitable[None]],
    monotonic_s: Callable[[], float] = time.monotonic,
) -> AsyncIterator[bytes]:
    """The body, piece by piece. Only time in which we wait for the sender counts against it.

    Raises `RefusedError` (408, 413) and `ClientGoneError`, also where the sender closes in the middle.
    """
    if declared_bytes is not None and declared_bytes > limits.most_bytes:
        raise too_large(limits.most_bytes)
    total = 0
    window_bytes, waited_s = 0, 0.0
    more = True
    while more:
        began_s = monotonic_s()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, limits.window_s - waited_s))
        except TimeoutError:
            if window_bytes < limits.min_bytes_per_s * limits.window_s:
                raise RefusedError(
                    HTTPStatus.REQUEST_TIMEOUT,
                    "too_slow",
                    f"The body comes more slowly than {limits.min_bytes_per_s} bytes a second.",
                ) from None
            window_bytes, waited_s = 0, 0.0
            continue
        waited_s += monotonic_s() - began_s
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        data: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        window_bytes += len(data)
        if window_bytes >= limits.min_bytes_per_s * limits.window_s:
            window_bytes, waited_s = 0, 0.0
        total += len(data)
        if total > limits.most_bytes:
            raise too_large(limits.most_bytes)
        if data:
            await pace(len(data))
            yield data
