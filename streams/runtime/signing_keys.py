"""Keys of Ed25519 in PEM files, whatever they sign: read, and made at first use."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

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

MOST_BYTES = 16_384


@dataclass(frozen=True)
class SigningKeys:
    """Key files of one use. Every method raises `error`, whose text names the file and holds nothing of a key."""

    error: type[OperatorError]
    private_name: str = "the private key"
    """What a sentence calls the private key."""
    made_by: str = ""
    """How a key of that kind is had, for the end of a sentence."""

    def read_private(self, file: Path, *, owner_only: bool = False) -> Ed25519PrivateKey:
        """The key of the file; with `owner_only` of one that nobody else may use."""
        try:
            with file.open("rb") as stream:
                if owner_only and _is_for_others(os.fstat(stream.fileno())):
                    raise self.error(
                        f"{self.private_name} {file} may be used by others than its owner: chmod 600 it, and ask who "
                        "has it"
                    )
                key = load_pem_private_key(stream.read(MOST_BYTES), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise self.error(f"{self.private_name} {file} cannot be read: {type(error).__name__}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise self.error(f"{file} is no private key of Ed25519{self.made_by}")
        return key

    def read_public(self, file: Path) -> Ed25519PublicKey:
        """The key of the file."""
        try:
            key = load_pem_public_key(file.read_bytes())
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise self.error(f"the public key {file} cannot be read: {type(error).__name__}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise self.error(f"{file} is no public key of Ed25519{self.made_by}")
        return key

    def read_publics(self, place: Path) -> tuple[Ed25519PublicKey, ...]:
        """The key of a file, or those of all files *public*.pem of a folder."""
        files = sorted(place.glob("*public*.pem")) if place.is_dir() else [place]
        if not files:
            raise self.error(f"{place} holds no public key (*public*.pem){self.made_by}")
        return tuple(self.read_public(file) for file in files)

    def make(self, file: Path) -> None:
        """A new private key in the file, durable and whole; one that somebody else has made meanwhile stays."""
        try:
            _write_once(file, private_pem(Ed25519PrivateKey.generate()))
        except OSError as error:
            raise self.error(f"{self.private_name} {file} cannot be written: {error.strerror}") from None


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """The private key as its file has it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """The public key, as those who verify are given it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _is_for_others(facts: os.stat_result) -> bool:
    return bool(facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO)) or facts.st_uid not in (os.getuid(), 0)


def _write_once(file: Path, content: bytes) -> None:
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
