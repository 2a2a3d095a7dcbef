"""Bodies, forms and pipes, piece by piece, without a server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.serve.body import BodyLimits, chunks
from streams.serve.chunk_pipe import PIECE_BYTES, AbortedError, ChunkPipe
from streams.serve.multipart import PartBegins, PartEnds, events
from streams.serve.problems import ClientGoneError, RefusedError

LIMITS = BodyLimits(most_bytes=100, min_bytes_per_s=10, window_s=0.05)


def body_of(messages: Sequence[Mapping[str, Any] | None], declared: int | None = None) -> bytes:
    """What is read of these messages; None is a sender that stands still."""
    left = list(messages)

    async def receive() -> Mapping[str, Any]:
        message = left.pop(0)
        if message is None:
            await asyncio.sleep(60)
        assert message is not None
        return message

    async def no_pace(_size: int) -> None:
        pass

    async def run() -> bytes:
        return b"".join([data async for data in chunks(receive, LIMITS, declared, no_pace)])

    return asyncio.run(run())


def piece(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


def test_a_body_is_what_came() -> None:
    assert body_of([piece(b"ab"), piece(b""), piece(b"cd"), piece(b"", more=False)]) == b"abcd"


@pytest.mark.parametrize(
    ("messages", "declared", "status"),
    [
        pytest.param([], 101, 413, id="declared longer than allowed"),
        pytest.param([piece(b"x" * 60), piece(b"x" * 60)], None, 413, id="longer than allowed"),
        pytest.param([piece(b"x"), None], None, 408, id="stands still"),
        pytest.param([None], None, 408, id="never begins"),
    ],
)
def test_a_body_that_is_too_long_or_too_slow_is_refused(
    messages: list[dict[str, Any] | None], declared: int | None, status: int
) -> None:
    with pytest.raises(RefusedError) as refused:
        body_of(messages, declared)
    assert refused.value.status == status


def test_a_sender_that_hangs_up_is_no_end_of_the_body() -> None:
    with pytest.raises(ClientGoneError):
        body_of([piece(b"x"), {"type": "http.disconnect"}])


FORM = (
    b'preamble\r\n--b\r\nContent-Disposition: form-data; name="event"\r\n\r\n{}\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: Audio/WAV; x=1\r\n'
    b"Content-Transfer-Encoding: binary\r\n\r\n\r\n--bx\r\n--\r\n-b--\r\n--b--\r\n"
)


def parts_of(pieces: Sequence[bytes]) -> list[Any]:
    """The events, the bytes of each part joined."""

    async def body() -> AsyncIterator[bytes]:
        for each in pieces:
            yield each

    async def run() -> list[Any]:
        found: list[Any] = []
        async for event in events(b"b", body()):
            if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
                found[-1] += event
            else:
                found.append(event)
        return found

    return asyncio.run(run())


WHOLE = [
    PartBegins("event", "", "", ""),
    b"{}",
    PartEnds(),
    PartBegins("file", "a.wav", "audio/wav", "binary"),
    b"\r\n--bx\r\n--\r\n-b--",
    PartEnds(),
]


@given(cuts=st.lists(st.integers(0, len(FORM)), max_size=12))
def test_a_form_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    form = FORM.removeprefix(b"preamble\r\n")
    at = sorted({0, *(min(cut, len(form)) for cut in cuts), len(form)})
    assert parts_of([form[start:end] for start, end in pairwise(at)]) == WHOLE


@given(end=st.integers(0, len(FORM) - 15))
def test_a_form_that_is_cut_anywhere_is_refused(end: int) -> None:
    with pytest.raises(RefusedError) as refused:
        parts_of([FORM.removeprefix(b"preamble\r\n")[:end]])
    assert refused.value.status == 400


def poured(pieces: Sequence[bytes], *, ends: bool = True, most: int = 2 * PIECE_BYTES) -> list[bytes]:
    """What a thread reads of the pieces. Raises what it met."""

    async def run() -> list[bytes]:
        loop = asyncio.get_running_loop()
        pipe = ChunkPipe(loop, most)
        reading = loop.run_in_executor(None, lambda: list(pipe))
        for each in pieces:
            assert await pipe.write(each)
        if ends:
            pipe.end()
        else:
            pipe.abort()
        return await reading

    return asyncio.run(run())


@given(pieces=st.lists(st.binary(max_size=2_000), max_size=30), most=st.integers(1, 3_000))
def test_a_thread_reads_what_was_written(pieces: list[bytes], most: int) -> None:
    assert b"".join(poured(pieces, most=most)) == b"".join(pieces)


def test_what_is_broken_off_has_no_end() -> None:
    with pytest.raises(AbortedError):
        poured([b"x"], ends=False)


def test_a_writer_is_held_up_by_a_slow_reader_and_freed_when_that_goes() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        pipe, may_go = ChunkPipe(loop, 10), threading.Event()

        def read_little() -> None:
            may_go.wait(20)
            pipe.close()

        reading = loop.run_in_executor(None, read_little)
        assert await pipe.write(b"x" * 10)
        held = asyncio.create_task(pipe.write(b"y"))
        await asyncio.sleep(0.02)
        assert not held.done()
        may_go.set()
        assert not await held, "nobody reads any more"
        await reading

    asyncio.run(run())
