"""The key that signs the audit log: Ed25519, in a file that its owner alone may read."""

from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.audit_log import Checkpoint, VerifierKey, opened_note, signed_note
from schemas.errors import InvalidMessageError, OperatorError
from streams.runtime.signing_keys import SigningKeys
from streams.settings import Settings


class AuditKeyError(OperatorError):
    """The key file cannot be used; the text names the file and holds nothing of the key."""


_KEYS = SigningKeys(AuditKeyError, "the key of the audit log")


class AuditKey:
    """Signs checkpoints of one log."""

    def __init__(self, origin: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verifier = VerifierKey.of(origin, key)

    def note(self, size: int, root: bytes, at: datetime) -> str:
        """The signed checkpoint of a tree, as it is at that time."""
        return signed_note(Checkpoint(self.verifier.name, size, root, at).text, self.verifier.name, self._key)

    def has_signed(self, note: str, size: int, root: bytes) -> bool:
        """Whether the note is ours, and of this tree."""
        text = opened_note(note, (self.verifier,))
        try:
            checkpoint = None if text is None else Checkpoint.parse(text)
        except InvalidMessageError:
            return False
        return checkpoint is not None and checkpoint == Checkpoint(self.verifier.name, size, root, checkpoint.at)


def audit_key_file(settings: Settings) -> Path:
    """Where it is."""
    return settings.audit_key_file or settings.data_dir / "keys" / "audit-private.pem"


def read_audit_key(settings: Settings) -> AuditKey:
    """The key of the file. Raises `AuditKeyError` where there is none, or others may read it."""
    file = audit_key_file(settings)
    if not file.exists():
        raise AuditKeyError(
            f"the key of the audit log {file} is not there: put it back from a backup; the log goes on under its own "
            "key alone"
        )
    return AuditKey(settings.audit_origin, _KEYS.read_private(file, owner_only=True))


def kept_audit_key(settings: Settings, *, may_make: bool) -> AuditKey:
    """The key of the file; where there is none and nothing was signed yet, a new one, durable when this returns.

    Raises `AuditKeyError`.
    """
    file = audit_key_file(settings)
    if may_make and not file.exists():
        _KEYS.make(file)
    return read_audit_key(settings)
