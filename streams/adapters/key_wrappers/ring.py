"""Wrapping with keys that this process holds itself, wherever they come from."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from secrets import token_bytes

from processors.custody.ports import KeyGoneError, KeyRefusedError, Purpose, WrappedKey
from schemas.errors import OperatorError

KEY_BYTES = 32
_NONCE_BYTES = 12


class Ring(ABC):
    """Wraps with AES-256-GCM; what is wrapped is bound to purpose, version and context. Safe between threads."""

    def __init__(self, purposes: Collection[Purpose]) -> None:
        self._purposes = frozenset(purposes)

    @abstractmethod
    def keys(self, purpose: Purpose) -> Mapping[str, bytes]:
        """Version → key, the newest last. Raises `OperatorError`."""

    def versions(self, purpose: Purpose) -> tuple[str, ...]:
        """See `KeyWrapper.versions`."""
        require_purpose(purpose, self._purposes)
        return tuple(self.keys(purpose))

    def wrap(self, purpose: Purpose, version: str, key: bytes, context: bytes) -> WrappedKey:
        """See `KeyWrapper.wrap`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._key(purpose, version)).encrypt(nonce, key, bound(purpose, version, context))
        return WrappedKey(version, nonce + sealed)

    def unwrap(self, purpose: Purpose, wrapped: WrappedKey, context: bytes) -> bytes:
        """See `KeyWrapper.unwrap`."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._key(purpose, wrapped.version)
        nonce, sealed = wrapped.blob[:_NONCE_BYTES], wrapped.blob[_NONCE_BYTES:]
        try:
            if len(nonce) == _NONCE_BYTES:
                return AESGCM(key).decrypt(nonce, sealed, bound(purpose, wrapped.version, context))
        except InvalidTag:
            pass  # raised below, without the library's error as its context
        raise refused(purpose, wrapped.version)

    def _key(self, purpose: Purpose, version: str) -> bytes:
        require_purpose(purpose, self._purposes)
        try:
            return self.keys(purpose)[version]
        except KeyError:
            raise gone(purpose, version) from None


def require_purpose(purpose: Purpose, purposes: Collection[Purpose]) -> None:
    """Raises `OperatorError`."""
    if purpose not in purposes:
        raise OperatorError(
            f"this process has no {purpose} keys, and should need none: it was started for something else"
        )


def gone(purpose: Purpose, version: str) -> KeyGoneError:
    """What to raise for a version that there is not."""
    return KeyGoneError(f"there is no wrapping key {version} for {purpose}")


def refused(purpose: Purpose, version: str) -> KeyRefusedError:
    """What to raise where a wrapped key does not open."""
    return KeyRefusedError(
        f"a key wrapped by {version} ({purpose}) does not open: it was changed or belongs elsewhere, or {version} is "
        "another key here than where it was wrapped"
    )


def bound(purpose: Purpose, version: str, context: bytes) -> bytes:
    """What a wrapped key is bound to, so written that no two have the same bytes."""
    parts = (b"callstream/wrapped-key/1", purpose.encode(), version.encode(), context)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
