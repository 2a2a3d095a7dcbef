"""Batches of Kafka records as aiokafka reads them, with a cap on what they expand to. A batch that cannot be read takes
its place among the records, so that whoever reads goes on behind it.

aiokafka expands a batch to whatever size it has, and ends the reading of a partition at one that is damaged. What is
replaced in it here is replaced for the whole process, Faust's consumers included.
"""

import gzip
import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import aiokafka.consumer.fetcher
import cramjam
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import decode_varint, decode_varint_py

from schemas.messages.topics import MAX_MESSAGE_BYTES

MAX_BATCH_BYTES = 2 * MAX_MESSAGE_BYTES
"""What a batch may expand to. Producers fill a batch with a megabyte or so, or with one message that is larger."""

MAX_HEADERS = 1_000
"""Of a record; nobody here reads them. Each takes two bytes of a batch, and forty times as much as an object."""

_MOST_VARINT_BYTES = 10
_FIRST_GUESS_BYTES = 64 * 1024
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
"""Of snappy as Java writes it: then come blocks, each behind its length."""

Data = bytes | bytearray | memoryview


class ExpandsTooFarError(Exception):
    """It expands to more than the cap."""


class TooManyHeadersError(Exception):
    """A record has more than `MAX_HEADERS`."""


class OutsideOfItsBatchError(Exception):
    """A record claims an offset that its batch does not have; reading would go on where there is nothing."""


def gzip_decode(payload: Data, cap: int = MAX_BATCH_BYTES) -> bytes:
    """Raises `ExpandsTooFarError`, and what gzip raises for what is damaged."""
    with gzip.GzipFile(fileobj=io.BytesIO(payload)) as file:
        data = file.read(cap + 1)
    if len(data) > cap:
        raise ExpandsTooFarError
    return data


def snappy_decode(payload: Data, cap: int = MAX_BATCH_BYTES) -> bytes:
    """In blocks as Java writes it, or raw. Raises `ExpandsTooFarError`, and another exception for what is damaged."""
    data = memoryview(payload)
    if bytes(data[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(data, cap)
    blocks: list[bytes] = []
    left = cap
    at = _XERIAL_HEADER_BYTES
    while at < len(data):
        (length,) = struct.unpack_from("!I", data, at)
        at += 4
        blocks.append(_snappy_block(data[at : at + length], left))
        left -= len(blocks[-1])
        at += length
    return b"".join(blocks)


def _snappy_block(block: memoryview, cap: int) -> bytes:
    # A block tells its size at its beginning, and is held to it.
    if cramjam.snappy.decompress_raw_len(block) > cap:
        raise ExpandsTooFarError
    return bytes(cramjam.snappy.decompress_raw(block))


def lz4_decode(payload: Data, cap: int = MAX_BATCH_BYTES) -> bytes:
    """Raises `ExpandsTooFarError`, also for what is damaged."""
    return _into_growing_room(cramjam.lz4.decompress_into, payload, cap)


def zstd_decode(payload: Data, cap: int = MAX_BATCH_BYTES) -> bytes:
    """Raises `ExpandsTooFarError`, also for what is damaged."""
    return _into_growing_room(cramjam.zstd.decompress_into, payload, cap)


def _into_growing_room(decompress_into: Callable[[Data, bytearray], int], payload: Data, cap: int) -> bytes:
    """A frame need not tell its size, and what it tells need not be true: room is made in steps."""
    size = min(max(_FIRST_GUESS_BYTES, 4 * len(payload)), cap)
    while True:
        room = bytearray(size)
        try:
            return bytes(memoryview(room)[: decompress_into(payload, room)])
        except cramjam.DecompressionError:  # damaged, or too little room: its text alone would tell
            if size == cap:
                raise ExpandsTooFarError from None
        size = min(4 * size, cap)


class UnreadableBatch(bytes):
    """In place of the value of a record: a batch that cannot be read. Empty; no producer can write one."""

    problem: str

    @classmethod
    def of(cls, first: int, last: int, why: str) -> "UnreadableBatch":
        """The batch of the offsets from `first` to `last`."""
        value = cls()
        value.problem = f"the batch of the offsets {first} to {last} cannot be read: {why}"
        return value


@dataclass(frozen=True)
class _InPlaceOfBatch:
    """What aiokafka takes for a record. Its offset is the last of the batch: behind it reading goes on."""

    offset: int
    timestamp: int
    value: UnreadableBatch
    timestamp_type: int = 0
    key: None = None
    headers: tuple[()] = ()
    checksum: None = None


class _FewHeaders(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch that makes no objects of more than `MAX_HEADERS` headers of a record."""

    def _read_msg(self) -> Any:
        if self._headers_ahead() > MAX_HEADERS:
            raise TooManyHeadersError
        return super()._read_msg(_varint_within)

    def _headers_ahead(self) -> int:
        at = self._pos
        for _ in ("length", "attributes", "time", "offset"):
            _, at = _varint_within(self._buffer, at)
        for _ in ("key", "value"):
            size, at = _varint_within(self._buffer, at)
            at += max(size, 0)
        return _varint_within(self._buffer, at)[0]


def _varint_within(buffer: Data, at: int) -> tuple[int, int]:
    """The number at that place, and the place behind it. Raises `IndexError` where there is none.

    aiokafka's own, in C, looks at whatever memory a place beyond the buffer stands for.
    """
    has_room = at <= len(buffer) - _MOST_VARINT_BYTES
    found: tuple[int, int] = (decode_varint if has_room else decode_varint_py)(buffer, at)
    return found


class _Batch:
    """A batch whose records end with `UnreadableBatch` where they cannot be read."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    @property
    def next_offset(self) -> int:
        """Never where the batch began, or before: reading would go in a circle."""
        return int(max(self._batch.next_offset, self._batch.base_offset + 1))

    def __iter__(self) -> Iterator[Any]:
        first, last = self._batch.base_offset, self.next_offset - 1
        try:
            for record in self._batch:
                if not first <= record.offset <= last:
                    raise OutsideOfItsBatchError
                yield record
                first = record.offset + 1
        # Whatever it is: who may write to a topic must not be able to stop those who read it.
        except Exception as error:
            yield _InPlaceOfBatch(last, self._batch.max_timestamp, UnreadableBatch.of(first, last, _why(error)))


class _OldBatch:
    """The same of the forms before Kafka 0.11, which old brokers keep in their logs; it tells its last offset alone."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except Exception as error:
            last = self._batch.next_offset - 1
            yield _InPlaceOfBatch(last, 0, UnreadableBatch.of(last, last, _why(error)))


def _why(error: Exception) -> str:
    if isinstance(error, ExpandsTooFarError):
        return f"it expands to more than {MAX_BATCH_BYTES:,} bytes, or is damaged"
    if isinstance(error, TooManyHeadersError):
        return f"a record has more than {MAX_HEADERS:,} headers"
    return f"it is damaged ({type(error).__name__})"


class _Batches(_MemoryRecordsPy):  # type: ignore[misc]
    """What the answer to a fetch holds."""

    def next_batch(self) -> Any:
        data = self._next_slice
        batch = super().next_batch()
        return _Batch(_FewHeaders(data)) if isinstance(batch, DefaultRecordBatch) else _OldBatch(batch)


def guard_aiokafka() -> None:
    """From now on whatever aiokafka reads in this process is read as this module says."""
    for form in ("default_records", "legacy_records"):
        for package in ("aiokafka.record", "aiokafka.record._crecords"):
            module = import_module(f"{package}.{form}")
            for decode in (gzip_decode, snappy_decode, lz4_decode, zstd_decode):
                if hasattr(module, decode.__name__):
                    setattr(module, decode.__name__, decode)
    aiokafka.consumer.fetcher.MemoryRecords = _Batches
