"""FLOE, against the ciphertexts that four other implementations published, and against bytes that were changed."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.floe import (
    HEADER_BYTES,
    FloeMessage,
    FloeParameters,
    FloeReader,
    start_opening,
    start_sealing,
)
from processors.custody.ports import SealBrokenError

_REPOSITORY = Path(__file__).parents[3]
VECTORS = Path(os.environ.get("FLOE_VECTORS", _REPOSITORY.parent / "shared" / "data" / "floe_vectors"))
"""The folder `kats` of https://github.com/Snowflake-Labs/floe-specification; the files of 1 MiB are not needed."""

SMALL = FloeParameters(segment_bytes=64)
ROTATING = FloeParameters(segment_bytes=40, rotation_bits=2)
KEY = bytes(range(32))
AAD = b"callstream"

PARAMETERS = {
    "GCM256_IV256_4K": FloeParameters(segment_bytes=4096),
    "GCM256_IV256_64": SMALL,
    "rotation": ROTATING,
    "lastSegAligned": FloeParameters(segment_bytes=40),
    "lastSegEmpty": FloeParameters(segment_bytes=40),
}
NAMES = [
    *(
        f"{language}_{kind}"
        for language in ("cpp", "go", "java", "pub_java", "rust")
        for kind in ("GCM256_IV256_4K", "GCM256_IV256_64", "rotation")
    ),
    "java_lastSegAligned",
    "java_lastSegEmpty",
]

# Made by this code, and opened by the reference implementation in Go (e466ef4): what was sealed once opens for ever.
OWN = bytes.fromhex(
    "00000000002800000020503eb5df002535c6fb892320660d6453db81b575ddbcf5b4f7bcfed1693e750f16f764d561aff29615a0f9e1"
    "a1bd3dfe908b38dffd31eff5cdc81682a5ac81d6ffffffffe8de91f39d0e8b149c8d52886839825140ef947ec002d30ef3a96ade91e9"
    "9fc4d5e277e0ffffffff27b8fa8737c405634a2628589fd9fc06879665998f5fd6a3a3e1fd4007df437631cf6372ffffffff60263b33"
    "74a0c686c12e0e1229c512e726ae8bf6ec15268f6dc6f2c62292486bd837bffeffffffff69f14c64972531cbffb0fc8bf9b959725105"
    "55a3f499e78671a678ea9ea7693f6e401701ffffffff7b835ab996ea9297fcec5cc4f656d249dcce28d2ffbb301922cecc96c1e4b60d"
    "d14f736400000021b46e79a79cabd6af62b92cc7ea9e9d9f31ac22653e0592b0718c178226"
)


def sealed(parameters: FloeParameters, plaintext: bytes, *, key: bytes = KEY, aad: bytes = AAD) -> bytes:
    message = start_sealing(key, aad, parameters)
    whole = max(0, len(plaintext) - 1) // parameters.plaintext_bytes
    split = whole * parameters.plaintext_bytes
    view = memoryview(plaintext)
    return message.header + b"".join(message.seal(view[:split], 0)) + message.seal_last(view[split:], whole)


def opened(
    parameters: FloeParameters, ciphertext: bytes, *, key: bytes = KEY, aad: bytes = AAD, piece: int = 10**9
) -> bytes:
    """As it streams in, `piece` bytes at a time."""
    reader = FloeReader(key, aad, parameters)
    pieces = [reader.update(ciphertext[at : at + piece]) for at in range(0, len(ciphertext), piece)]
    return b"".join(pieces) + reader.finish()


def opened_at_random(
    parameters: FloeParameters, ciphertext: bytes, *, key: bytes = KEY, aad: bytes = AAD
) -> list[bytes]:
    """Every segment by itself, the last one first."""
    message = start_opening(key, aad, ciphertext[:HEADER_BYTES], parameters)
    body = memoryview(ciphertext)[HEADER_BYTES:]
    segments = [body[at : at + parameters.segment_bytes] for at in range(0, len(body), parameters.segment_bytes)]
    last = len(segments) - 1
    return [message.open(segments[at], at, last=at == last) for at in range(last, -1, -1)][::-1]


@pytest.mark.parametrize("name", NAMES)
def test_what_other_implementations_sealed_opens(name: str) -> None:
    ciphertext_file = VECTORS / f"{name}_ct.txt"
    if not VECTORS.is_dir():
        pytest.skip("no published vectors: FLOE_VECTORS names the folder `kats` of the FLOE specification")
    parameters = PARAMETERS[name.removeprefix("pub_").split("_", 1)[1]]
    ciphertext = bytes.fromhex(ciphertext_file.read_text())
    plaintext = bytes.fromhex((VECTORS / f"{name}_pt.txt").read_text())

    key, aad = bytes(32), b"This is AAD"
    assert opened(parameters, ciphertext, key=key, aad=aad, piece=7) == plaintext
    assert b"".join(opened_at_random(parameters, ciphertext, key=key, aad=aad)) == plaintext


def test_what_was_sealed_once_opens_for_ever() -> None:
    text = b"Nothing that a caller said lies in clear."

    assert opened(ROTATING, OWN) == text
    assert b"".join(opened_at_random(ROTATING, OWN)) == text


@given(plaintext=st.binary(max_size=400), piece=st.integers(1, 200))
def test_any_length_in_any_pieces_opens_as_it_was(plaintext: bytes, piece: int) -> None:
    for parameters in (SMALL, ROTATING):
        ciphertext = sealed(parameters, plaintext)

        assert opened(parameters, ciphertext, piece=piece) == plaintext
        assert b"".join(opened_at_random(parameters, ciphertext)) == plaintext


@given(data=st.data(), plaintext=st.binary(max_size=200))
def test_one_flipped_bit_anywhere_is_refused(data: st.DataObject, plaintext: bytes) -> None:
    ciphertext = bytearray(sealed(ROTATING, plaintext))
    bit = data.draw(st.integers(0, len(ciphertext) * 8 - 1))
    ciphertext[bit // 8] ^= 1 << bit % 8

    reader = FloeReader(KEY, AAD, ROTATING)
    released = b""
    with pytest.raises(SealBrokenError):  # noqa: PT012 - what came before it matters
        for at in range(0, len(ciphertext), 40):
            released += reader.update(bytes(ciphertext[at : at + 40]))
        released += reader.finish()
    assert plaintext.startswith(released)
    with pytest.raises(SealBrokenError):
        opened_at_random(ROTATING, bytes(ciphertext))


@given(data=st.data(), plaintext=st.binary(max_size=200))
def test_a_cut_is_noticed_at_the_end(data: st.DataObject, plaintext: bytes) -> None:
    ciphertext = sealed(ROTATING, plaintext)
    cut = data.draw(st.integers(0, len(ciphertext) - 1))

    with pytest.raises(SealBrokenError):
        opened(ROTATING, ciphertext[:cut], piece=13)


@given(data=st.data(), plaintext=st.binary(min_size=9, max_size=200))
def test_segments_that_change_places_are_refused(data: st.DataObject, plaintext: bytes) -> None:
    body = sealed(ROTATING, plaintext)
    step = ROTATING.segment_bytes
    header, segments = body[:HEADER_BYTES], [body[at : at + step] for at in range(HEADER_BYTES, len(body), step)]
    first = data.draw(st.integers(0, len(segments) - 1))
    second = data.draw(st.integers(0, len(segments) - 1).filter(lambda at: at != first))
    segments[first], segments[second] = segments[second], segments[first]

    with pytest.raises(SealBrokenError):
        opened(ROTATING, header + b"".join(segments))


@pytest.mark.parametrize(
    ("key", "aad", "parameters"),
    [
        pytest.param(bytes(32), AAD, SMALL, id="another key"),
        pytest.param(KEY, b"callstreams", SMALL, id="other associated data"),
        pytest.param(KEY, AAD, FloeParameters(segment_bytes=65), id="another length of segments"),
    ],
)
def test_a_header_commits_to_key_data_and_parameters(key: bytes, aad: bytes, parameters: FloeParameters) -> None:
    with pytest.raises(SealBrokenError):
        start_opening(key, aad, sealed(SMALL, b"text")[:HEADER_BYTES], parameters)


def test_a_segment_does_not_open_as_the_last_and_the_last_not_as_another() -> None:
    full = bytes(SMALL.plaintext_bytes)
    message = start_sealing(KEY, AAD, SMALL)
    inner, last = b"".join(message.seal(memoryview(full), 0)), message.seal_last(memoryview(full), 1)

    for segment, position, as_last in ((inner, 0, True), (last, 1, False), (inner, 1, False), (last, 0, True)):
        with pytest.raises(SealBrokenError):
            message.open(memoryview(segment), position, last=as_last)


def test_nothing_is_sealed_the_same_way_twice() -> None:
    assert sealed(SMALL, b"the same text") != sealed(SMALL, b"the same text")


@pytest.mark.parametrize(
    ("text_bytes", "position"),
    [
        pytest.param(SMALL.plaintext_bytes - 1, 0, id="a segment in the middle that is not full"),
        pytest.param(SMALL.plaintext_bytes, 2**40 - 1, id="more segments than the specification allows"),
    ],
)
def test_the_sealing_side_refuses_what_nobody_could_open(text_bytes: int, position: int) -> None:
    message = start_sealing(KEY, AAD, SMALL)

    with pytest.raises(ValueError, match="at most 2\\^40"):
        message.seal(memoryview(bytes(text_bytes)), position)


def test_a_last_segment_is_no_longer_than_the_others() -> None:
    message = start_sealing(KEY, AAD, SMALL)

    with pytest.raises(ValueError, match="no longer than the others"):
        message.seal_last(memoryview(bytes(SMALL.plaintext_bytes + 1)), 0)


def test_keys_for_other_things_differ_by_purpose_and_never_equal_those_of_segments() -> None:
    message = start_sealing(KEY, AAD, SMALL)

    assert message.derive(b"TRAILER:") != message.derive(b"OTHER:")
    with pytest.raises(ValueError, match="for segments"):
        message.derive(b"DEK:" + bytes(8))


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        FloeMessage(bytes(length), bytes(32), AAD, SMALL)
