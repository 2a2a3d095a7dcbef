"""The key that signs the audit log: Ed25519, in a file that its owner alone may read."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from processors.custody.audit_log import Checkpoint, VerifierKey, opened_note, signed_note
from schemas.errors import OperatorError
from streams.settings import Settings


class AuditKeyError(OperatorError):
    """The key file cannot be used; the text names the file and holds nothing of the key."""


class AuditKey:
    """Signs checkpoints of one log."""

    def __init__(self, origin: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verifier = VerifierKey.of(origin, key)

    def note(self, size: int, root: bytes) -> str:
        """The signed checkpoint of a tree."""
        return signed_note(Checkpoint(self.verifier.name, size, root).text, self.verifier.name, self._key)

    def has_signed(self, note: str, size: int, root: bytes) -> bool:
        """Whether the note is ours, and of this tree."""
        return opened_note(note, (self.verifier,)) == Checkpoint(self.verifier.name, size, root).text


def audit_key_file(settings: Settings) -> Path:
    """Where it is."""
    return settings.audit_key_file or settings.data_dir / "keys" / "audit-private.pem"


def read_audit_key(settings: Settings) -> AuditKey:
    """The key of the file. Raises `AuditKeyError` where there is none, or others may read it."""
    file = audit_key_file(settings)
    try:
        with file.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or facts.st_uid not in (os.getuid(), 0):
                raise AuditKeyError(
                    f"the key of the audit log {file} may be used by others than its owner: chmod 600 it, and ask who "
                    "has it"
                )
            key = load_pem_private_key(stream.read(16_384), password=None)
    except FileNotFoundError:
        raise AuditKeyError(
            f"the key of the audit log {file} is not there: put it back from a backup; the log goes on under its own "
            "key alone"
        ) from None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuditKeyError(f"the key of the audit log {file} cannot be read: {type(error).__name__}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise AuditKeyError(f"{file} is no private key of Ed25519")
    return AuditKey(settings.audit_origin, key)


def kept_audit_key(settings: Settings, *, may_make: bool) -> AuditKey:
    """The key of the file; where there is none and nothing was signed yet, a new one, durable when this returns.

    Raises `AuditKeyError`.
    """
    file = audit_key_file(settings)
    if may_make and not file.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            _make(file, pem)
        except OSError as error:
            raise AuditKeyError(f"the key of the audit log {file} cannot be written: {error.strerror}") from None
    return read_audit_key(settings)


def _make(file: Path, content: bytes) -> None:
    """A new file, whole or not at all; one that somebody else has made meanwhile stays."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(part, file)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
