"""What a batch of Kafka may expand to, codec by codec, and what becomes of one that cannot be read."""

import gzip
import struct
import tracemalloc
from collections.abc import Callable

import aiokafka.consumer.fetcher
import cramjam
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.kafka.batches import (
    MAX_BATCH_BYTES,
    ExpandsTooFarError,
    UnreadableBatch,
    guard_aiokafka,
    gzip_decode,
    lz4_decode,
    snappy_decode,
    zstd_decode,
)

CAP = 1024 * 1024
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4


def xerial(*blocks: bytes) -> bytes:
    """Snappy as Java writes it."""
    head = b"\x82SNAPPY\x00" + struct.pack("!II", 1, 1)
    packed = [bytes(cramjam.snappy.compress_raw(block)) for block in blocks]
    return head + b"".join(struct.pack("!I", len(block)) + block for block in packed)


def in_many(encode: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """The same in frames of 64 KiB, one after the other."""
    step = 64 * 1024
    return lambda data: b"".join(encode(data[at : at + step]) for at in range(0, len(data), step))


def of_cramjam(name: str) -> Callable[[bytes], bytes]:
    return lambda data: bytes(getattr(cramjam, name).compress(data))


CODECS = {
    "gzip": (gzip.compress, gzip_decode),
    "gzip in members": (in_many(gzip.compress), gzip_decode),
    "snappy": (lambda data: bytes(cramjam.snappy.compress_raw(data)), snappy_decode),
    "snappy of Java": (xerial, snappy_decode),
    "snappy of Java in blocks": (
        lambda data: xerial(*(data[at : at + 32_768] for at in range(0, len(data), 32_768))),
        snappy_decode,
    ),
    "lz4": (of_cramjam("lz4"), lz4_decode),
    "lz4 in frames": (in_many(of_cramjam("lz4")), lz4_decode),
    "zstd": (of_cramjam("zstd"), zstd_decode),
    "zstd in frames": (in_many(of_cramjam("zstd")), zstd_decode),
}


@pytest.mark.parametrize("codec", CODECS)
def test_what_expands_to_no_more_than_the_cap_is_read(codec: str) -> None:
    encode, decode = CODECS[codec]
    for data in (b"one", bytes(range(256)) * 1024, bytes(CAP)):
        assert decode(encode(data), CAP) == data


@pytest.mark.parametrize("codec", CODECS)
def test_of_what_expands_to_more_no_more_than_the_cap_is_ever_held(codec: str) -> None:
    encode, decode = CODECS[codec]
    for size in (CAP + 1, 64 * CAP):
        bomb = encode(bytes(size))
        tracemalloc.start()
        with pytest.raises(ExpandsTooFarError):
            decode(bomb, CAP)
        _, most_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most_bytes < 4 * CAP


def test_a_snappy_block_that_claims_four_gigabytes_is_refused_before_there_is_room_for_it() -> None:
    with pytest.raises(ExpandsTooFarError):
        snappy_decode(b"\xff\xff\xff\xff\x0f" + b"abc", CAP)


def batch(codec: int, first: int, values: list[bytes]) -> bytes:
    """A batch as it lies in a topic."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 2 * MAX_BATCH_BYTES)
    for number, value in enumerate(values):
        assert builder.append(number, 0, b"acme/c-1", value, []) is not None
    built = bytearray(builder.build())
    built[:8] = struct.pack(">q", first)  # not under the checksum: the broker sets it
    return bytes(built)


def read(*batches: bytes, position: int = 0) -> list[tuple[int, bytes]]:
    """Offsets and values as aiokafka gives them out of the answer to a fetch."""
    guard_aiokafka()
    fetcher = aiokafka.consumer.fetcher
    records = fetcher.PartitionRecords(
        TopicPartition("calls.ended.v1", 0),
        fetcher.MemoryRecords(b"".join(batches)),
        None,
        position,
        None,
        None,
        True,
        fetcher.READ_COMMITTED,
    )
    return [(record.offset, record.value) for record in records]


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_a_bomb_is_passed_as_one_record_that_names_its_offsets(codec: int) -> None:
    bomb = batch(codec, 2, [b"a", bytes(MAX_BATCH_BYTES), b"c"])
    assert len(bomb) < MAX_BATCH_BYTES // 200
    before, unreadable, after = read(batch(codec, 1, [b"before"]), bomb, batch(codec, 5, [b"after"]))
    assert (before, after) == ((1, b"before"), (5, b"after"))
    offset, value = unreadable
    assert (offset, value) == (4, b"")
    assert isinstance(value, UnreadableBatch)
    assert value.problem == (
        "the batch of the offsets 2 to 4 cannot be read: it expands to more than 33,554,432 bytes, or is damaged"
    )


AFTER = batch(0, 2, [b"after"])


def with_payload(whole: bytes, payload: bytes) -> bytes:
    """A batch with something else in place of its records, and a checksum that is right: any producer can write it."""
    changed = whole[:61] + payload
    changed = changed[:8] + struct.pack(">i", len(changed) - 12) + changed[12:]
    return changed[:17] + struct.pack(">I", calc_crc32c(changed[21:])) + changed[21:]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_whatever_lies_in_a_batch_what_comes_after_it_is_read(codec: int) -> None:
    whole = batch(codec, 0, [b"a", b"b"])
    for payload in (b"", b"\x00", b"no such thing" * 9, whole[61:-3], whole[61:] + b"more"):
        *_some, (offset, value), last = read(with_payload(whole, payload), AFTER)
        assert last == (2, b"after")
        assert offset == 1
        assert isinstance(value, UnreadableBatch) or value == b"b"


def test_what_was_read_of_a_batch_before_it_turned_out_to_be_damaged_is_not_lost() -> None:
    plain = batch(0, 0, [b"a", b"b", b"c"])
    first, second, (offset, value), after = read(with_payload(plain, plain[61:-12]), batch(0, 3, [b"after"]))
    assert (first, second, after) == ((0, b"a"), (1, b"b"), (3, b"after"))
    assert offset == 2
    assert isinstance(value, UnreadableBatch)
    assert "offsets 2 to 2" in value.problem


def test_a_record_that_claims_an_offset_outside_of_its_batch_leads_nobody_astray() -> None:
    plain = batch(0, 0, [b"a", b"b"])
    zigzag_40 = b"\x50"
    (offset, value), after = read(with_payload(plain, plain[61:64] + zigzag_40 + plain[65:]), batch(0, 2, [b"after"]))
    assert (offset, after) == (1, (2, b"after"))
    assert isinstance(value, UnreadableBatch)
    assert "it is damaged (OutsideOfItsBatchError)" in value.problem


@given(st.sampled_from([0, GZIP, SNAPPY, LZ4, ZSTD]), st.binary(max_size=64))
def test_no_bytes_in_a_batch_hold_up_what_comes_after_it(codec: int, payload: bytes) -> None:
    offsets = [offset for offset, _value in read(with_payload(batch(codec, 0, [b"a", b"b"]), payload), AFTER)]
    assert offsets[-1] == 2
    assert offsets == sorted(set(offsets))
