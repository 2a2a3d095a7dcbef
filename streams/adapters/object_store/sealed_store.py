"""Objects that lie sealed: what reaches the store is ciphertext, whatever the store itself does or promises."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from processors.custody.ports import PURPOSE_OF, DataKeys, SealedIdentity
from processors.custody.sealed import Opened, Sealer, open_sealed, sealed_bytes_of, unseal
from streams.ports import ObjectStore, ObjectWriter

_STEP_BYTES = 1024 * 1024
"""So much is sealed at once."""


class ObjectTooLargeError(Exception):
    """The object has more bytes than who asked for it wants to hold."""


@dataclass(frozen=True)
class SealedFacts:
    """What was sealed: its length and SHA-256 (64 hex digits) in clear, and how many bytes it takes in the store."""

    plaintext_bytes: int
    sha256: str
    sealed_bytes: int


class SealedWriter:
    """An object that is sealed on its way into the store, and that nobody sees yet."""

    def __init__(self, sealer: Sealer, writer: ObjectWriter) -> None:
        self._sealer = sealer
        self._writer = writer
        self._sealed_bytes = 0
        self._pass_on(sealer.start())

    def write(self, data: bytes) -> None:
        """The next bytes, in clear. Raises `RetryableError`, after which the object must be begun again."""
        if len(data) <= _STEP_BYTES:
            self._pass_on(self._sealer.update(data))
            return
        with memoryview(data) as view:
            for start in range(0, len(data), _STEP_BYTES):
                self._pass_on(self._sealer.update(bytes(view[start : start + _STEP_BYTES])))

    def commit(self) -> SealedFacts:
        """That was all of it: durable and visible as a whole when this returns. See `ObjectWriter.commit`."""
        self._pass_on(self._sealer.finish())
        self._writer.commit()
        return SealedFacts(self._sealer.plaintext_bytes, self._sealer.sha256, self._sealed_bytes)

    def _pass_on(self, sealed: bytes) -> None:
        self._sealed_bytes += len(sealed)
        self._writer.write(sealed)


class SealedStore:
    """An object store in which every object is sealed under the key of its call and purpose.

    `day` is the UTC day on which the call ended. Every method may raise what the store and the keys raise:
    `RetryableError`, `OperatorError` (of which `StoreAccessError` is one), and `ValueError` for a key of an object that
    `ObjectStore.uri_of` refuses.
    """

    def __init__(self, store: ObjectStore, keys: DataKeys) -> None:
        self._store = store
        self._keys = keys

    @contextmanager
    def writer(self, key: str, identity: SealedIdentity, day: date) -> Iterator[SealedWriter]:
        """Seal an object of any size with little memory. What is left without `commit` leaves nothing behind."""
        data_key = self._keys.make(identity.tenant_id, identity.call_id, day, PURPOSE_OF[identity.role])
        with self._store.writer(key) as writer:
            yield SealedWriter(Sealer(data_key, identity), writer)

    def put(self, key: str, identity: SealedIdentity, day: date, data: bytes) -> SealedFacts:
        """Seal an object, durable when this returns; an existing one is replaced whole, never half."""
        with self.writer(key, identity, day) as writer:
            writer.write(data)
            return writer.commit()

    def open(self, key: str, identity: SealedIdentity, day: date) -> Opened:
        """The object, of which any range can be read, and only bytes that were verified.

        Raises `KeyGoneError`, `ObjectMissingError` and `SealBrokenError`; `Opened.read` raises what the store raises.
        """
        data_key = self._data_key(identity, day)
        sealed_bytes = self._store.size(key)
        return open_sealed(
            data_key, identity, lambda start, length: self._store.read(key, start=start, length=length), sealed_bytes
        )

    def read(self, key: str, identity: SealedIdentity, day: date, *, most_bytes: int | None = None) -> bytes:
        """All of the object, with one request, never more than `most_bytes` in clear.

        Raises `KeyGoneError`, `ObjectMissingError`, `SealBrokenError`, and `ObjectTooLargeError`.
        """
        data_key = self._data_key(identity, day)
        most_sealed = None if most_bytes is None else sealed_bytes_of(most_bytes)
        # One more than there may be shows that there is more.
        sealed = self._store.read(key, length=None if most_sealed is None else most_sealed + 1)
        if most_sealed is not None and len(sealed) > most_sealed:
            raise ObjectTooLargeError(f"the object has more than {most_bytes} bytes")
        return unseal(data_key, identity, sealed)

    def _data_key(self, identity: SealedIdentity, day: date) -> bytes:
        return self._keys.get(identity.tenant_id, identity.call_id, day, PURPOSE_OF[identity.role])
