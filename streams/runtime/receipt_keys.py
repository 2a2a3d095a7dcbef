"""The key that signs receipts: a PEM file of Ed25519, 0600, made where there is none. Who verifies has the public
one."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from processors.custody.receipts import ReceiptError


def receipt_key(file: Path) -> Ed25519PrivateKey:
    """The key in the file; a new one where there is none. Raises `ReceiptError`, which holds nothing of a key."""
    try:
        if not file.exists():
            _make(file)
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ReceiptError(f"the key of receipts {file} cannot be used: {type(error).__name__}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ReceiptError(f"{file} is no private key of Ed25519")
    return key


def _make(file: Path) -> None:
    """Whole or not at all; of two processes that make it at once, both use the first's."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
    content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def public_pem(key: Ed25519PrivateKey) -> str:
    """What whoever verifies receipts needs."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_public_pem(file: Path) -> Ed25519PublicKey:
    """Raises `ReceiptError`."""
    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ReceiptError(f"the public key {file} cannot be used: {type(error).__name__}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ReceiptError(f"{file} is no public key of Ed25519")
    return key
