"""The key that signs what is handed out (Ed25519): made at first use, or the one that a setting names."""

import os
import secrets
from contextlib import suppress
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

from schemas.errors import OperatorError
from streams.settings import Settings


class ExportKeyError(OperatorError):
    """A key file cannot be used; the text names the file and holds nothing of a key."""


def export_key_file(settings: Settings) -> Path:
    """Where the private key is."""
    return settings.exports_key_file or settings.data_dir / "keys" / "exports-private.pem"


def kept_export_key(settings: Settings) -> Ed25519PrivateKey:
    """The private key; made at first use where no setting names one. Raises `ExportKeyError`."""
    file = export_key_file(settings)
    if settings.exports_key_file is None and not file.exists():
        _make(file)
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ExportKeyError(f"the key of exports {file} cannot be read: {type(error).__name__}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ExportKeyError(f"{file} is no private key of Ed25519: `openssl genpkey -algorithm ed25519` makes one")
    return key


def read_export_public_key(file: Path) -> Ed25519PublicKey:
    """Raises `ExportKeyError`."""
    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ExportKeyError(f"the public key {file} cannot be read: {type(error).__name__}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ExportKeyError(f"{file} is no public key of Ed25519: `callstream export key` prints it")
    return key


def public_pem(key: Ed25519PrivateKey) -> str:
    """The public key, as recipients are given it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _make(file: Path) -> None:
    """Of several that make one at the same time, the first wins. Raises `ExportKeyError`."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
    except OSError as error:
        raise ExportKeyError(f"the key of exports cannot be written to {file}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            draft.unlink()
