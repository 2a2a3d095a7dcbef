"""Attacks by a batch of Kafka that is legal in size: what it costs to read, and where reading goes on after it."""

import gzip
import struct
from binascii import crc32
from typing import Any

import aiokafka.consumer.fetcher
import cramjam
import pytest
from aiokafka.structs import TopicPartition

from streams.adapters.kafka import batches
from streams.adapters.kafka.batches import MAX_HEADERS, UnreadableBatch, guard_aiokafka, lz4_decode, snappy_decode
from tests.streams.adapters.test_batches import AFTER, batch, read, with_payload

EMPTY_BLOCK = bytes(cramjam.snappy.compress_raw(b""))


def varint(number: int) -> bytes:
    """As records of Kafka write a number that is not negative."""
    number, written = number * 2, b""
    while number > 127:
        number, written = number >> 7, written + bytes([number & 127 | 128])
    return written + bytes([number])


def with_headers(count: int) -> bytes:
    """A batch with one record of so many headers, of two bytes each."""
    record = b"\0\0\0" + b"\1" + varint(1) + b"v" + varint(count) + b"\0\1" * count
    return with_payload(batch(0, 0, [b"a"]), varint(len(record)) + record)


def test_a_batch_of_empty_snappy_blocks_is_read_in_steps_that_do_not_grow() -> None:
    """What each block may still expand to was summed up anew for each: a megabyte took six minutes, 16 MB a day."""
    head = b"\x82SNAPPY\x00" + struct.pack("!II", 1, 1)
    assert snappy_decode(head + (struct.pack("!I", len(EMPTY_BLOCK)) + EMPTY_BLOCK) * 200_000) == b""


def test_a_record_of_millions_of_headers_makes_no_objects_of_them() -> None:
    (offset, value), after = read(with_headers(MAX_HEADERS + 1), batch(0, 1, [b"after"]))
    assert (offset, after) == (0, (1, b"after"))
    assert isinstance(value, UnreadableBatch)
    assert value.problem == "the batch of the offsets 0 to 0 cannot be read: a record has more than 1,000 headers"
    assert read(with_headers(MAX_HEADERS)) == [(0, b"v")]


@pytest.mark.parametrize("delta", [-1, -11, -(2**31)])
def test_a_batch_that_ends_before_it_begins_leads_nobody_back(delta: int) -> None:
    guard_aiokafka()
    whole = bytearray(batch(0, 10, [b"a"]))
    whole[23:27] = struct.pack(">i", delta)
    fetcher: Any = aiokafka.consumer.fetcher
    lies = fetcher.MemoryRecords(with_payload(bytes(whole), bytes(whole[61:])))
    place = TopicPartition("calls.ended.v1", 0)
    records = fetcher.PartitionRecords(place, lies, None, 10, None, None, True, fetcher.READ_COMMITTED)
    assert [record.offset for record in records] == [10]
    assert records.next_fetch_offset == 11


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_codec_that_nobody_knows_is_passed(codec: int) -> None:
    whole = bytearray(batch(0, 0, [b"a", b"b"]))
    whole[22] |= codec
    (offset, value), after = read(with_payload(bytes(whole), bytes(whole[61:])), AFTER)
    assert (offset, after) == (1, (2, b"after"))
    assert isinstance(value, UnreadableBatch)


def test_what_an_lz4_frame_says_of_its_size_makes_no_room() -> None:
    """A size of 2^62 bytes, with a checksum of the header that is wrong, or right: either way it ends."""
    frame = bytearray(bytes(cramjam.lz4.compress(b"abc")))
    told = frame[:4] + bytes([frame[4] | 0b1000, frame[5]]) + struct.pack("<Q", 2**62)
    refused = 0
    for checksum in range(256):
        try:
            assert lz4_decode(bytes(told) + bytes([checksum]) + bytes(frame[7:]), 1024) == b"abc"
        except batches.ExpandsTooFarError:
            refused += 1
    assert refused >= 255


def old_message(codec: int, payload: bytes, magic: int) -> bytes:
    """A message at offset 5 as it was written before Kafka 0.11; where it is compressed, others lie in it."""
    body = struct.pack(">bb", magic, codec) + bytes(8 * magic) + struct.pack(">ii", -1, len(payload)) + payload
    return struct.pack(">qiI", 5, len(body) + 4, crc32(body)) + body


@pytest.mark.parametrize("magic", [0, 1])
def test_a_batch_of_an_old_form_is_passed_like_any_other(magic: int) -> None:
    assert read(old_message(0, b"plain", magic))[0] == (5, b"plain")
    for payload in (b"no such thing", gzip.compress(bytes(batches.MAX_BATCH_BYTES + 1))):
        (offset, value), after = read(old_message(1, payload, magic), batch(0, 6, [b"after"]))
        assert (offset, after) == (5, (6, b"after"))
        assert isinstance(value, UnreadableBatch)
        assert "the offsets 5 to 5 cannot be read" in value.problem
