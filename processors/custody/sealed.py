"""Sealed objects: what recordings and transcripts are while they lie in the store.

    FLOE header (74 bytes) | segments of 16 KiB, the last one shorter | trailer (68 bytes)

The trailer holds the length and the SHA-256 of the plaintext, sealed under a key that is derived for it and bound to
the header, so that it fits this object alone. Who opens an object reads header and trailer first and knows from then
on, by something authenticated, where every segment stands and which is the last: an object that was cut or lengthened
is refused before anything of it is read.
"""

import hashlib
import os
from collections.abc import Callable
from struct import pack, unpack

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from processors.custody.floe import (
    HEADER_BYTES,
    OVERHEAD_BYTES,
    FloeMessage,
    FloeParameters,
    start_opening,
    start_sealing,
)
from processors.custody.ports import SealBrokenError, SealedIdentity

SUITE = "floe-aes256-gcm-16k"
"""How an object is sealed, as events name it."""

_PARAMETERS = FloeParameters(segment_bytes=16 * 1024)
_STEP = _PARAMETERS.plaintext_bytes
_TRAILER_PURPOSE = b"TRAILER:"
_IV_BYTES = 12
_FACTS_BYTES = 8 + 32
_TRAILER_BYTES = _IV_BYTES + _FACTS_BYTES + 16
_SEGMENTS_AT_ONCE = 512
"""8 MiB: so much of an object is held sealed while it is read."""


def sealed_bytes_of(plaintext_bytes: int) -> int:
    """How long the sealed object is."""
    return HEADER_BYTES + plaintext_bytes + _segments_of(plaintext_bytes) * OVERHEAD_BYTES + _TRAILER_BYTES


class Sealer:
    """Seals one object as it streams by: `start`, any number of `update`, `finish`; what they return, one after the
    other, is the sealed object. Holds at most one segment; fastest with 64 KiB at once. Not safe between
    threads.

    `plaintext_bytes` and `sha256` (64 hex digits) are of what was sealed so far, of all of it after `finish`.
    """

    def __init__(self, key: bytes, identity: SealedIdentity) -> None:
        """Raises `ValueError` for a key that does not have 32 bytes."""
        self.plaintext_bytes = 0
        self._digest = hashlib.sha256()
        self._message = start_sealing(key, _associated(identity), _PARAMETERS)
        self._held = b""
        self._position = 0
        self._finished = False

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def start(self) -> bytes:
        """What the object begins with."""
        return self._message.header

    def update(self, data: bytes) -> bytes:
        """Seal some more. Returns the segments that are full, often nothing. Raises `ValueError` after `finish`."""
        if self._finished:
            raise ValueError("this object is finished")
        self._digest.update(data)
        self.plaintext_bytes += len(data)
        if len(self._held) + len(data) <= _STEP:  # what might be the last segment waits
            self._held += data
            return b""
        view = memoryview(data)
        parts = []
        if self._held:
            missing = _STEP - len(self._held)
            parts = self._seal(memoryview(self._held + view[:missing]))
            view = view[missing:]
        whole = (len(view) - 1) // _STEP * _STEP
        parts += self._seal(view[:whole])
        self._held = bytes(view[whole:])
        return b"".join(parts)

    def finish(self) -> bytes:
        """The end of the object. Raises `ValueError` the second time."""
        if self._finished:
            raise ValueError("this object is finished")
        self._finished = True
        last = self._message.seal_last(memoryview(self._held), self._position)
        self._held = b""
        iv = os.urandom(_IV_BYTES)
        facts = pack(">Q", self.plaintext_bytes) + self._digest.digest()
        return last + iv + AESGCM(self._message.derive(_TRAILER_PURPOSE)).encrypt(iv, facts, self._message.header)

    def _seal(self, plaintext: memoryview) -> list[bytes]:
        sealed = self._message.seal(plaintext, self._position)
        self._position += len(plaintext) // _STEP
        return sealed


class Opened:
    """A sealed object whose header and trailer were verified. See `open_sealed`. Not safe between threads.

    `plaintext_bytes` and `sha256` (64 hex digits) are those of the plaintext, authenticated.
    """

    def __init__(
        self, message: FloeMessage, read: Callable[[int, int], bytes], plaintext_bytes: int, sha256: str
    ) -> None:
        self.plaintext_bytes = plaintext_bytes
        self.sha256 = sha256
        self._message = message
        self._read = read

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """Plaintext from `start`, at most `length` bytes, fewer where it ends before; every one of them verified.

        Raises `ValueError` for a range that begins before the start or runs backwards, `SealBrokenError` unless all
        of it opens, and what `read` of `open_sealed` raises.
        """
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length of a range are not negative")
        end = self.plaintext_bytes if length is None else min(self.plaintext_bytes, start + length)
        if start >= end:
            return b""
        first, behind = start // _STEP, -(-end // _STEP)
        parts = []
        for position in range(first, behind, _SEGMENTS_AT_ONCE):
            parts += self._segments(position, min(position + _SEGMENTS_AT_ONCE, behind))
        parts[-1] = parts[-1][: end - (behind - 1) * _STEP]
        parts[0] = parts[0][start - first * _STEP :]
        return b"".join(parts)

    def _segments(self, first: int, behind: int) -> list[bytes]:
        """The plaintext of segments `first` to `behind` - 1, which there are."""
        last = _segments_of(self.plaintext_bytes) - 1
        length = (behind - first) * _PARAMETERS.segment_bytes
        if behind - 1 == last:
            length -= (last + 1) * _STEP - self.plaintext_bytes
        sealed = _exactly(self._read, HEADER_BYTES + first * _PARAMETERS.segment_bytes, length)
        step = _PARAMETERS.segment_bytes
        with memoryview(sealed) as view:
            return [
                self._message.open(view[at : at + step], first + at // step, last=first + at // step == last)
                for at in range(0, length, step)
            ]


def open_sealed(key: bytes, identity: SealedIdentity, read: Callable[[int, int], bytes], sealed_bytes: int) -> Opened:
    """Open a sealed object of `sealed_bytes`, of which `read(start, length)` returns so many bytes from `start`.

    Reads header and trailer; `Opened` reads the segments that are asked for. Raises `SealBrokenError` for an object
    that was changed, cut, lengthened or exchanged or has another key, `ValueError` for a key that does not have 32
    bytes, and what `read` raises.
    """
    if sealed_bytes < sealed_bytes_of(0):
        raise SealBrokenError("this is shorter than any sealed object")
    header = _exactly(read, 0, HEADER_BYTES)
    message = start_opening(key, _associated(identity), header, _PARAMETERS)
    trailer = _exactly(read, sealed_bytes - _TRAILER_BYTES, _TRAILER_BYTES)
    try:
        facts = AESGCM(message.derive(_TRAILER_PURPOSE)).decrypt(trailer[:_IV_BYTES], trailer[_IV_BYTES:], header)
    except InvalidTag:
        raise SealBrokenError("the trailer does not open: the object was cut, lengthened or changed") from None
    (plaintext_bytes,) = unpack(">Q", facts[:8])
    if sealed_bytes_of(plaintext_bytes) != sealed_bytes:
        raise SealBrokenError("the object is not as long as its trailer says")
    if plaintext_bytes == 0:  # no range would ever touch its one segment
        message.open(memoryview(_exactly(read, HEADER_BYTES, OVERHEAD_BYTES)), 0, last=True)
    return Opened(message, read, plaintext_bytes, facts[8:].hex())


def seal(key: bytes, identity: SealedIdentity, data: bytes) -> bytes:
    """All of `data` as one sealed object."""
    sealer = Sealer(key, identity)
    return sealer.start() + sealer.update(data) + sealer.finish()


def unseal(key: bytes, identity: SealedIdentity, sealed: bytes) -> bytes:
    """The plaintext. Raises as `open_sealed` does."""
    opened = open_sealed(key, identity, lambda start, length: sealed[start : start + length], len(sealed))
    return opened.read()


def is_sound(read: Callable[[int, int], bytes], sealed_bytes: int) -> bool:
    """Whether an object looks as sealed ones do, which says without any key that it was neither cut nor exchanged for
    something else: its header, the mark of its first segment and that of its last, and its length. `read` is given
    start and length."""
    start = _PARAMETERS.header_start()
    last_full, last_bytes = divmod(sealed_bytes - HEADER_BYTES - _TRAILER_BYTES, _PARAMETERS.segment_bytes)
    if last_full < 0:
        return False
    if last_bytes == 0:
        last_full, last_bytes = last_full - 1, _PARAMETERS.segment_bytes
    if last_bytes < OVERHEAD_BYTES or last_full < 0 or read(0, len(start)) != start:
        return False
    at = HEADER_BYTES + last_full * _PARAMETERS.segment_bytes
    first = last_full == 0 or read(HEADER_BYTES, 4) == b"\xff\xff\xff\xff"
    return first and read(at, 4) == pack(">I", last_bytes)


def _associated(identity: SealedIdentity) -> bytes:
    """The identity, so written that no two have the same bytes."""
    parts = (SUITE, identity.tenant_id, identity.call_id, identity.role, identity.version)
    return b"".join(pack(">I", len(part)) + part for part in map(str.encode, parts))


def _segments_of(plaintext_bytes: int) -> int:
    return max(1, -(-plaintext_bytes // _STEP))


def _exactly(read: Callable[[int, int], bytes], start: int, length: int) -> bytes:
    data = read(start, length)
    if len(data) != length:
        raise SealBrokenError("the object ends before its length")
    return data
