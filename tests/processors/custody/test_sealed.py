"""Sealed objects: whole ones open, anything else is refused before a byte of it is handed out."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.floe import HEADER_BYTES
from processors.custody.ports import SealBrokenError, SealedIdentity
from processors.custody.sealed import Opened, Sealer, open_sealed, seal, sealed_bytes_of, unseal

KEY = bytes(range(32))
IDENTITY = SealedIdentity("acme", "call-1", "recording", "0011223344556677")
SEGMENT = 16 * 1024
STEP = SEGMENT - 32
TRAILER_BYTES = 68

# Made by this code: what lies in a store opens for ever.
TRANSCRIPT = replace(IDENTITY, role="transcript")
STORED = bytes.fromhex(
    "000000004000000000205f36b2f90496d75c89387e71bff5fd6688341eec06fb8da863ce898b92c910374ef8e4442245fb94"
    "12b530f9c61e8786d7b952ab1e38cfb34f9f5724228a444c000000496af30a0457ff3e8ac373fd650953f2c8b5b82bb42b06"
    "2e929b583a919cd5a7242ee8260d7d31b803211548675eec9f6060e5519bd39f8a65bbe104c2e283e061ec49eee9c0951159"
    "fd43339229379ce027f832645326efb5bc928cfe5ad1833b449b334cdce743439a4f4914994f80a88309667b9985cbbec5cb"
    "9c5de9d9570692daa6d7c812fa652e"
)


def patterned(length: int, seed: int = 0) -> bytes:
    return bytes((at * 31 + seed) % 251 for at in range(251)) * (length // 251) + bytes(range(length % 251))


LENGTHS = st.one_of(
    st.integers(0, 200),
    st.integers(-2, 2).map(lambda off: STEP + off),
    st.integers(-2, 2).map(lambda off: 3 * STEP + off),
    st.integers(0, 5 * STEP),
)
PLAINTEXTS = st.builds(patterned, LENGTHS, st.integers(0, 250))


def opening(sealed: bytes, *, key: bytes = KEY, identity: SealedIdentity = IDENTITY) -> Opened:
    return open_sealed(key, identity, lambda start, length: sealed[start : start + length], len(sealed))


def assert_refused(sealed: bytes, plaintext: bytes) -> None:
    """All of it is; and a part that is read opens either to exactly what was sealed there or not at all."""
    with pytest.raises(SealBrokenError):
        unseal(KEY, IDENTITY, sealed)
    try:
        opened = opening(sealed)
    except SealBrokenError:
        return
    assert opened.plaintext_bytes == len(plaintext)
    refused = 0
    for start in range(0, max(1, len(plaintext)), STEP):
        try:
            assert opened.read(start, STEP) == plaintext[start : start + STEP]
        except SealBrokenError:
            refused += 1
    assert refused > 0


def test_what_lies_in_a_store_opens_for_ever() -> None:
    assert unseal(KEY, TRANSCRIPT, STORED) == b"Nothing that a caller said lies in clear."


@given(plaintext=PLAINTEXTS, pieces=st.lists(st.integers(0, 40_000), max_size=12))
def test_in_whatever_pieces_it_comes_the_plaintext_is_the_same(plaintext: bytes, pieces: list[int]) -> None:
    sealer = Sealer(KEY, IDENTITY)
    parts, at = [sealer.start()], 0
    for piece in pieces:
        parts.append(sealer.update(plaintext[at : at + piece]))
        at += piece
    parts += [sealer.update(plaintext[at:]), sealer.finish()]
    sealed = b"".join(parts)

    assert unseal(KEY, IDENTITY, sealed) == plaintext
    assert len(sealed) == sealed_bytes_of(len(plaintext))
    opened = opening(sealed)
    digest = hashlib.sha256(plaintext).hexdigest()
    assert (opened.plaintext_bytes, opened.sha256) == (len(plaintext), digest)
    assert (sealer.plaintext_bytes, sealer.sha256) == (len(plaintext), digest)


@given(plaintext=PLAINTEXTS, data=st.data())
def test_any_range_is_that_of_the_plaintext(plaintext: bytes, data: st.DataObject) -> None:
    opened = opening(seal(KEY, IDENTITY, plaintext))
    start = data.draw(st.integers(0, len(plaintext) + 10))
    length = data.draw(st.one_of(st.none(), st.integers(0, len(plaintext) + 10)))

    assert opened.read(start, length) == plaintext[start:][: len(plaintext) if length is None else length]


@given(plaintext=PLAINTEXTS, data=st.data())
def test_one_flipped_bit_anywhere_is_refused(plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, IDENTITY, plaintext))
    # The ends are as likely as the long middle.
    edge = HEADER_BYTES + TRAILER_BYTES
    at = data.draw(
        st.one_of(
            st.integers(0, len(sealed) - 1), st.integers(0, edge - 1), st.integers(len(sealed) - edge, len(sealed) - 1)
        )
    )
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))

    assert_refused(bytes(sealed), plaintext)


@given(plaintext=PLAINTEXTS, data=st.data())
def test_a_cut_anywhere_is_refused_at_once(plaintext: bytes, data: st.DataObject) -> None:
    sealed = seal(KEY, IDENTITY, plaintext)
    whole_segments = st.integers(0, len(plaintext) // STEP).map(lambda count: HEADER_BYTES + count * SEGMENT)
    cut = data.draw(st.one_of(st.integers(0, len(sealed) - 1), whole_segments.filter(lambda at: at < len(sealed))))

    with pytest.raises(SealBrokenError):
        opening(sealed[:cut])


@given(plaintext=PLAINTEXTS, more=st.binary(min_size=1, max_size=200))
def test_appended_bytes_are_refused_at_once(plaintext: bytes, more: bytes) -> None:
    with pytest.raises(SealBrokenError):
        opening(seal(KEY, IDENTITY, plaintext) + more)


@given(plaintext=PLAINTEXTS, data=st.data())
def test_a_piece_taken_out_of_the_middle_is_refused_at_once(plaintext: bytes, data: st.DataObject) -> None:
    sealed = seal(KEY, IDENTITY, plaintext)
    start = data.draw(st.integers(0, len(sealed) - 1))
    behind = data.draw(st.one_of(st.just(start + SEGMENT), st.integers(start + 1, len(sealed))))

    with pytest.raises(SealBrokenError):
        opening(sealed[:start] + sealed[behind:])


@given(data=st.data(), length=st.integers(STEP + 1, 5 * STEP))
def test_segments_that_change_places_are_refused(data: st.DataObject, length: int) -> None:
    plaintext = patterned(length)
    sealed = seal(KEY, IDENTITY, plaintext)
    whole = length // STEP  # the segments that are full, the last perhaps among them
    first = data.draw(st.integers(0, whole - 1))
    second = data.draw(st.integers(0, whole).filter(lambda at: at != first))
    places = {first: second, second: first}
    body = sealed[HEADER_BYTES:-TRAILER_BYTES]
    segments = [body[at : at + SEGMENT] for at in range(0, len(body), SEGMENT)]
    second %= len(segments)
    moved = [segments[places.get(at, at) % len(segments)] for at in range(len(segments))]
    changed = sealed[:HEADER_BYTES] + b"".join(moved) + sealed[-TRAILER_BYTES:]
    if changed == sealed:
        return

    assert_refused(changed, plaintext)


@given(plaintext=PLAINTEXTS)
def test_a_part_of_another_object_is_refused(plaintext: bytes) -> None:
    """Of the same call, key, identity and length, so that nothing but the header tells them apart."""
    one, other = (seal(KEY, IDENTITY, plaintext) for _ in range(2))
    split, end = HEADER_BYTES, len(one) - TRAILER_BYTES

    with pytest.raises(SealBrokenError):
        opening(one[:end] + other[end:])
    with pytest.raises(SealBrokenError):
        opening(other[:split] + one[split:])
    assert_refused(one[:split] + other[split:end] + one[end:], plaintext)


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(replace(IDENTITY, tenant_id="acne"), id="another tenant"),
        pytest.param(replace(IDENTITY, call_id="call-2"), id="another call"),
        pytest.param(replace(IDENTITY, role="peaks"), id="another role"),
        pytest.param(replace(IDENTITY, version="0011223344556678"), id="another version"),
        pytest.param(replace(IDENTITY, tenant_id="acmec", call_id="all-1"), id="the same letters, split elsewhere"),
    ],
)
def test_under_another_identity_nothing_opens(identity: SealedIdentity) -> None:
    with pytest.raises(SealBrokenError):
        opening(seal(KEY, IDENTITY, b"text"), identity=identity)


def test_under_another_key_nothing_opens() -> None:
    with pytest.raises(SealBrokenError):
        opening(seal(KEY, IDENTITY, b"text"), key=bytes(32))


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(bytes(length), IDENTITY)


@given(sealed=st.binary(max_size=400))
def test_what_was_never_sealed_is_refused(sealed: bytes) -> None:
    with pytest.raises(SealBrokenError):
        opening(sealed)


def test_an_object_that_shrinks_while_it_is_read_is_refused() -> None:
    sealed = seal(KEY, IDENTITY, patterned(3 * STEP))
    lengths = [len(sealed)]
    opened = open_sealed(
        KEY, IDENTITY, lambda start, length: sealed[: lengths[-1]][start : start + length], len(sealed)
    )
    lengths.append(2 * STEP)

    with pytest.raises(SealBrokenError):
        opened.read(2 * STEP, 10)


def test_only_the_segments_of_a_range_are_read() -> None:
    sealed = seal(KEY, IDENTITY, patterned(600 * STEP))
    asked: list[tuple[int, int]] = []

    def read(start: int, length: int) -> bytes:
        asked.append((start, length))
        return sealed[start : start + length]

    opened = open_sealed(KEY, IDENTITY, read, len(sealed))
    asked.clear()
    opened.read(10 * STEP - 1, 2)
    assert asked == [(HEADER_BYTES + 9 * SEGMENT, 2 * SEGMENT)]
    asked.clear()
    opened.read(600 * STEP, 10)
    opened.read(5, 0)
    assert asked == []
    opened.read()
    assert max(length for _, length in asked) <= 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("start", "length"),
    [
        pytest.param(-1, 5, id="from before the start"),
        pytest.param(0, -1, id="backwards"),
    ],
)
def test_a_range_that_cannot_be_is_a_mistake_of_the_caller(start: int, length: int) -> None:
    with pytest.raises(ValueError, match="not negative"):
        opening(seal(KEY, IDENTITY, b"text")).read(start, length)


def test_a_finished_object_takes_no_more() -> None:
    sealer = Sealer(KEY, IDENTITY)
    sealer.finish()

    with pytest.raises(ValueError, match="finished"):
        sealer.update(b"more")
    with pytest.raises(ValueError, match="finished"):
        sealer.finish()
