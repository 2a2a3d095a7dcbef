"""FLOE: authenticated encryption in segments, with random access and key commitment.

Follows the public specification (https://github.com/Snowflake-Labs/floe-specification, also C2SP FLOE.md) for its one
choice of parts: AES-256-GCM, HKDF-Expand-SHA-384, an IV of 32 bytes. Why FLOE: docs/adr/0047-key-hierarchy-and-floe.md.

A ciphertext is a header of 74 bytes and segments, all of one length but for the last, which is marked as such. Which
segment stands where and which is the last is told to `FloeMessage` by its caller; it must come from something
authenticated, never from a request (see `processors.custody.sealed`).
"""

import hmac
import os
from dataclasses import dataclass
from struct import pack

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from processors.custody.ports import SealBrokenError

KEY_BYTES = 32
HEADER_BYTES = 74
"""10 bytes of parameters, the IV, and the tag that commits to key and associated data."""

_IV_BYTES = 32
_TAG_BYTES = 32
_AEAD_IV_BYTES = 12
_AEAD_TAG_BYTES = 16
_MARK_BYTES = 4
_NOT_LAST = b"\xff\xff\xff\xff"
_MESSAGE_KEY_BYTES = 48
_MOST_SEGMENTS = 2**40

OVERHEAD_BYTES = _MARK_BYTES + _AEAD_IV_BYTES + _AEAD_TAG_BYTES
"""What a segment is longer than its plaintext."""


@dataclass(frozen=True)
class FloeParameters:
    """`segment_bytes` is the length of a sealed segment. A new key is derived after 2^`rotation_bits` segments.

    The specification fixes `rotation_bits` at 20; only its test vectors use another.
    """

    segment_bytes: int
    rotation_bits: int = 20

    @property
    def plaintext_bytes(self) -> int:
        """Of a segment that is not the last."""
        return self.segment_bytes - OVERHEAD_BYTES

    def header_start(self) -> bytes:
        """As a header begins: AES-256-GCM is 0, SHA-384 is 0."""
        return pack(">BBII", 0, 0, self.segment_bytes, _IV_BYTES)


class FloeMessage:
    """One message under its own keys: seals and opens segments in any order. Not safe between threads."""

    def __init__(self, key: bytes, iv: bytes, associated: bytes, parameters: FloeParameters) -> None:
        """Use `start_sealing` or `start_opening`."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self.parameters = parameters
        self._iv = iv
        self._associated = associated
        self.header = parameters.header_start() + iv + self._expand(key, b"HEADER_TAG:", _TAG_BYTES)
        self._message_key = self._expand(key, b"MESSAGE_KEY:", _MESSAGE_KEY_BYTES)
        self._epoch = -1
        self._aead: AESGCM | None = None

    def derive(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for something beside the segments, bound to the header and the associated data.

        `purpose` must not begin with `DEK:`, which the segments have.
        """
        if purpose.startswith(b"DEK:"):
            raise ValueError("DEK: is for segments")
        return self._expand(self._message_key, purpose, KEY_BYTES)

    def seal(self, plaintext: memoryview, position: int) -> list[bytes]:
        """Segments that are not the last, from `position` on, in pieces to be joined.

        Raises `ValueError` unless `plaintext` fills them.
        """
        step = self.parameters.plaintext_bytes
        count, rest = divmod(len(plaintext), step)
        if rest or position + count >= _MOST_SEGMENTS:
            raise ValueError("a segment that is not the last is full, and there are at most 2^40")
        ivs = os.urandom(_AEAD_IV_BYTES * count)
        parts: list[bytes] = []
        for index in range(count):
            iv = ivs[index * _AEAD_IV_BYTES : (index + 1) * _AEAD_IV_BYTES]
            aead = self._aead_of(position + index)
            text = plaintext[index * step : (index + 1) * step]
            parts += (_NOT_LAST, iv, aead.encrypt(iv, text, pack(">QB", position + index, 0)))
        return parts

    def seal_last(self, plaintext: memoryview, position: int) -> bytes:
        """The last segment. Raises `ValueError` for more plaintext than a segment has."""
        if len(plaintext) > self.parameters.plaintext_bytes or position >= _MOST_SEGMENTS:
            raise ValueError("the last segment is no longer than the others, and there are at most 2^40")
        iv = os.urandom(_AEAD_IV_BYTES)
        sealed = self._aead_of(position).encrypt(iv, plaintext, pack(">QB", position, 1))
        return pack(">I", OVERHEAD_BYTES + len(plaintext)) + iv + sealed

    def open(self, segment: memoryview, position: int, *, last: bool) -> bytes:
        """The plaintext of one segment. Raises `SealBrokenError`, also for a segment that stands elsewhere."""
        if not 0 <= position < _MOST_SEGMENTS or len(segment) < OVERHEAD_BYTES:
            raise SealBrokenError("a segment is too short, or stands where none can")
        full = self.parameters.segment_bytes
        fits = len(segment) <= full if last else len(segment) == full
        mark = pack(">I", len(segment)) if last else _NOT_LAST
        if not fits or segment[:_MARK_BYTES] != mark:
            raise SealBrokenError("a segment has another length than it says")
        body = _MARK_BYTES + _AEAD_IV_BYTES
        try:
            return self._aead_of(position).decrypt(
                segment[_MARK_BYTES:body], segment[body:], pack(">QB", position, int(last))
            )
        except InvalidTag:
            raise SealBrokenError("a segment does not open") from None

    def _aead_of(self, position: int) -> AESGCM:
        epoch = position >> self.parameters.rotation_bits
        if self._aead is None or epoch != self._epoch:
            first = epoch << self.parameters.rotation_bits
            self._aead = AESGCM(self._expand(self._message_key, b"DEK:" + pack(">Q", first), KEY_BYTES))
            self._epoch = epoch
        return self._aead

    def _expand(self, key: bytes, purpose: bytes, length: int) -> bytes:
        info = self.parameters.header_start() + self._iv + purpose + self._associated
        return HKDFExpand(SHA384(), length, info).derive(key)


def start_sealing(key: bytes, associated: bytes, parameters: FloeParameters) -> FloeMessage:
    """A new message, with an IV of its own. Its `header` comes first."""
    return FloeMessage(key, os.urandom(_IV_BYTES), associated, parameters)


def start_opening(key: bytes, associated: bytes, header: bytes, parameters: FloeParameters) -> FloeMessage:
    """The message that begins with `header`. Raises `SealBrokenError` for another key, other associated data or
    parameters, and a header that was changed."""
    start = parameters.header_start()
    if len(header) != HEADER_BYTES or not header.startswith(start):
        raise SealBrokenError("this does not begin like a sealed object")
    message = FloeMessage(key, header[len(start) : -_TAG_BYTES], associated, parameters)
    if not hmac.compare_digest(message.header, header):
        raise SealBrokenError("the header does not open: another key, another identity, or it was changed")
    return message


class FloeReader:
    """A message as it streams in, without knowing its length before: every byte it returns is verified.

    That nothing is missing at the end is known only when `finish` has returned.
    """

    def __init__(self, key: bytes, associated: bytes, parameters: FloeParameters) -> None:
        self._key = key
        self._associated = associated
        self._parameters = parameters
        self._message: FloeMessage | None = None
        self._held = bytearray()
        self._position = 0

    def update(self, data: bytes) -> bytes:
        """The plaintext of every segment that is complete and not the last. Raises `SealBrokenError`."""
        self._held += data
        if self._message is None:
            if len(self._held) < HEADER_BYTES:
                return b""
            header = bytes(self._held[:HEADER_BYTES])
            self._message = start_opening(self._key, self._associated, header, self._parameters)
            del self._held[:HEADER_BYTES]
        step = self._parameters.segment_bytes
        parts = []
        whole = max(0, len(self._held) - 1) // step  # what might be the last waits for `finish`
        with memoryview(bytes(self._held[: whole * step])) as view:
            for start in range(0, whole * step, step):
                parts.append(self._message.open(view[start : start + step], self._position, last=False))
                self._position += 1
        del self._held[: whole * step]
        return b"".join(parts)

    def finish(self) -> bytes:
        """The plaintext of the last segment. Raises `SealBrokenError` where it is missing."""
        if self._message is None:
            raise SealBrokenError("this ends within its header")
        with memoryview(bytes(self._held)) as view:
            return self._message.open(view, self._position, last=True)
