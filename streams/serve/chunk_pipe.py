"""From the event loop to the thread that takes a recording in: a few pieces under way, and each waits for the other."""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator

PIECE_BYTES = 256 * 1024
"""Small pieces are joined up to this size: each costs a change of threads."""


class AbortedError(Exception):
    """The upload ended before its end: what was stored of it is to be taken away."""


class ChunkPipe:
    """Written by coroutines of one loop, read by one thread. Holds at most `most_bytes` and one piece more."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most_bytes: int = 2 * PIECE_BYTES) -> None:
        self._loop = loop
        self._most_bytes = most_bytes
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._room = asyncio.Event()
        self._ended = self._aborted = self._closed = False

    async def write(self, data: bytes) -> bool:
        """Returns when it is handed over; False where nobody reads any more."""
        while True:
            with self._changed:
                if self._closed:
                    return False
                if self._bytes < self._most_bytes:
                    self._pieces.append(data)
                    self._bytes += len(data)
                    self._changed.notify()
                    return True
                self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        """That was all."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def abort(self) -> None:
        """There will be no end. Does nothing after `end`."""
        with self._changed:
            self._aborted = not self._ended
            self._changed.notify()

    def close(self) -> None:
        """By the reader: it wants no more."""
        with self._changed:
            self._closed = True
            self._pieces.clear()
        self._tell_writer()

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, in pieces of any size. Raises `AbortedError`."""
        while True:
            with self._changed:
                while not (self._bytes >= PIECE_BYTES or self._ended or self._aborted):
                    if self._pieces and not self._changed.wait(timeout=0.05):
                        break  # a slow sender: what is there is sealed
                    if not self._pieces:
                        self._changed.wait()
                if self._aborted:
                    raise AbortedError
                data = b"".join(self._pieces)
                self._pieces.clear()
                self._bytes = 0
                ended = self._ended
            self._tell_writer()
            if data:
                yield data
            if ended:
                return

    def _tell_writer(self) -> None:
        # The loop may be gone already where the process stops.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._room.set)
