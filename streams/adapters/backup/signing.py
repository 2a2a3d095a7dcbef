"""The keys of backups: one pair that signs (Ed25519), and up to two of 32 bytes that seal."""

import os
from collections.abc import Iterable
from pathlib import Path
from secrets import token_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.errors import OperatorError
from streams.runtime.signing_keys import SigningKeys, private_pem, public_pem

PRIVATE_FILE = "backup-private.pem"
PUBLIC_FILE = "backup-public.pem"
SEALING_FILE = "backup-sealing.key"
KEYS_SEALING_FILE = "backup-keys-sealing.key"


class BackupKeyError(OperatorError):
    """A key file cannot be used, or is there already; the text names the file and holds nothing of a key."""


_KEYS = SigningKeys(BackupKeyError, made_by=": make one with callstream backup keygen")


def make_keys(folder: Path) -> tuple[Path, ...]:
    """New files of every kind in the folder, which is made where it is absent; only the public one is for others.

    Raises `BackupKeyError` where one of them exists: a key that is lost cannot be made again.
    """
    pair = Ed25519PrivateKey.generate()
    contents = {
        PUBLIC_FILE: public_pem(pair),
        PRIVATE_FILE: private_pem(pair),
        SEALING_FILE: token_bytes(32).hex().encode() + b"\n",
        KEYS_SEALING_FILE: token_bytes(32).hex().encode() + b"\n",
    }
    files = [folder / name for name in contents]
    for file in files:
        if file.exists():
            raise BackupKeyError(f"{file} exists: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file, content in zip(files, contents.values(), strict=True):
            mode = 0o644 if file.name == PUBLIC_FILE else 0o600
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(content)
    except OSError as error:
        raise BackupKeyError(f"the keys cannot be written to {folder}: {error.strerror}") from None
    return tuple(files)


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """Raises `BackupKeyError`."""
    return _KEYS.read_private(file)


def read_public_keys(place: Path) -> tuple[Ed25519PublicKey, ...]:
    """The key of a file, or those of all files *public*.pem of a folder. Raises `BackupKeyError`."""
    return _KEYS.read_publics(place)


def read_sealing_key(file: Path | None) -> bytes | None:
    """32 bytes of 64 hex digits; None where no file is named. Raises `BackupKeyError`."""
    if file is None:
        return None
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise BackupKeyError(f"the sealing key {file} cannot be read: {type(error).__name__}") from None
    if len(key) != 32:
        raise BackupKeyError(f"{file} holds no key of 32 bytes in hex: make one with callstream backup keygen")
    return key


def is_signed(signature: bytes, content: bytes, keys: Iterable[Ed25519PublicKey]) -> bool:
    """Whether one of the keys has signed that."""
    for key in keys:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            continue
        return True
    return False
