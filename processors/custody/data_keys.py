"""How a data key is wrapped by the key of its day, and what either is bound to: the row in which it lies."""

from datetime import date
from secrets import token_bytes

from processors.custody.ports import KeyRefusedError, Purpose

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
BLOB_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES


def new_key() -> bytes:
    """32 random bytes."""
    return token_bytes(KEY_BYTES)


def day_context(tenant_id: str, day: date, purpose: Purpose) -> bytes:
    """What a day key is bound to: under another context it does not open."""
    return bound("callstream/day-key/1", tenant_id, day.isoformat(), purpose)


def call_context(tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
    """What the data key of a call is bound to."""
    return bound("callstream/call-key/1", tenant_id, call_id, purpose, day.isoformat())


def bound(*parts: str) -> bytes:
    """The parts with their lengths before them, so that no two lists of parts give the same bytes."""
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def wrap_key(day_key: bytes, key: bytes, context: bytes) -> bytes:
    """60 bytes: nonce, and the key under AES-256-GCM.

    A nonce is random: one day key wraps at most 2^32 keys, which is 400 times the calls of the largest day.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = token_bytes(NONCE_BYTES)
    return nonce + AESGCM(day_key).encrypt(nonce, key, context)


def unwrap_key(day_key: bytes, blob: bytes, context: bytes) -> bytes:
    """The key. Raises `KeyRefusedError`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(blob) == BLOB_BYTES:
        try:
            return AESGCM(day_key).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], context)
        except InvalidTag:
            pass  # raised below, without the error of the library as its context
    raise KeyRefusedError(
        "the key of a call does not open: its row in the register was changed or exchanged; put it back from a backup"
    )
