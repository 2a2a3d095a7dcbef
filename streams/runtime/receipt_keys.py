"""The key that signs receipts: a PEM file of Ed25519, 0600, made where there is none. Who verifies has the public
one."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from processors.custody.receipts import ReceiptError
from streams.runtime.signing_keys import SigningKeys

_KEYS = SigningKeys(ReceiptError, "the key of receipts")


def receipt_key(file: Path) -> Ed25519PrivateKey:
    """The key in the file; a new one where there is none. Raises `ReceiptError`, which holds nothing of a key."""
    if not file.exists():
        _KEYS.make(file)
    return _KEYS.read_private(file)


def read_receipt_public_key(file: Path) -> Ed25519PublicKey:
    """Raises `ReceiptError`."""
    return _KEYS.read_public(file)
