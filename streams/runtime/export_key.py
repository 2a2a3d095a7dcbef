"""The key that signs what is handed out (Ed25519): made at first use, or the one that a setting names."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.errors import OperatorError
from streams.runtime.signing_keys import SigningKeys
from streams.settings import Settings


class ExportKeyError(OperatorError):
    """A key file cannot be used; the text names the file and holds nothing of a key."""


_KEYS = SigningKeys(ExportKeyError, "the key of exports")


def export_key_file(settings: Settings) -> Path:
    """Where the private key is."""
    return settings.exports_key_file or settings.data_dir / "keys" / "exports-private.pem"


def kept_export_key(settings: Settings) -> Ed25519PrivateKey:
    """The private key; made at first use where no setting names one. Raises `ExportKeyError`."""
    file = export_key_file(settings)
    if settings.exports_key_file is None and not file.exists():
        _KEYS.make(file)
    return _KEYS.read_private(file)


def read_export_public_key(file: Path) -> Ed25519PublicKey:
    """Raises `ExportKeyError`."""
    return _KEYS.read_public(file)
