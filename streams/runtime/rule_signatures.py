"""Rule packs are signed (Ed25519): workers take over only what somebody published who holds a private key.

Signed is the message as it is on the wire, without its signature: the pack, when, by whom and why.
"""

import base64
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.errors import OperatorError
from schemas.messages.rules_published import RulesPublished
from streams.runtime.signing_keys import SigningKeys, private_pem, public_pem

PublicKeys = tuple[Ed25519PublicKey, ...]

PRIVATE_KEY_FILE = "rules-private.pem"
PUBLIC_KEY_FILE = "rules-public.pem"


class RuleKeyError(OperatorError):
    """A key file cannot be used, or one is there already; the text names the file and holds nothing of a key."""


_KEYS = SigningKeys(RuleKeyError, made_by=": make one with callstream rules keygen")


def make_key_pair(folder: Path) -> tuple[Path, Path]:
    """Files of a new private key (mode 0600) and its public key in the folder, which is made where it is absent.

    Raises `RuleKeyError` where one of the files exists: a private key that is lost cannot be made again.
    """
    private_file, public_file = folder / PRIVATE_KEY_FILE, folder / PUBLIC_KEY_FILE
    for file in (private_file, public_file):
        if file.exists():
            raise RuleKeyError(f"{file} exists: name another folder")
    key = Ed25519PrivateKey.generate()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The public key first: a start that was cut off between the two is seen by the private one being absent.
        _write(public_file, public_pem(key), 0o644)
        _write(private_file, private_pem(key), 0o600)
    except OSError as error:
        raise RuleKeyError(f"the keys cannot be written to {folder}: {error.strerror}") from None
    return private_file, public_file


def kept_key_pair(folder: Path) -> tuple[Path, Path]:
    """The key pair in the folder; made at first use. Raises `RuleKeyError`."""
    private_file, public_file = folder / PRIVATE_KEY_FILE, folder / PUBLIC_KEY_FILE
    if private_file.exists():
        return private_file, public_file
    public_file.unlink(missing_ok=True)
    return make_key_pair(folder)


def _write(file: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """Raises `RuleKeyError`."""
    return _KEYS.read_private(file)


def read_public_keys(place: Path | None) -> PublicKeys | None:
    """The keys of a file, or of all files *.pem of a folder; none where no place is named. Raises `RuleKeyError`."""
    return None if place is None else _KEYS.read_publics(place)


def sign(message: RulesPublished, key: Ed25519PrivateKey) -> RulesPublished:
    """The message with its signature, as a reader has it."""
    on_the_wire = RulesPublished.decode(message.encode())
    signature = base64.b64encode(key.sign(signed_bytes(on_the_wire))).decode()
    return on_the_wire.model_copy(update={"signature": signature})


def problem_with_signature(message: RulesPublished, keys: Iterable[Ed25519PublicKey]) -> str | None:
    """Why the message, as it was decoded, is not to be believed; null when one of the keys has signed it."""
    return _problem(message.signature, signed_bytes(message), keys)


def problem_with_record(value: bytes | None, keys: Iterable[Ed25519PublicKey]) -> str | None:
    """The same of a message as it is on the wire, without reading the pack: that makes its expressions ready, which
    takes minutes where somebody wants it to, and nobody may ask for it who holds no key.
    """
    try:
        wire = json.loads(value or b"")
        told = {name: wire[name] for name in RulesPublished.model_fields if name in wire}
    except (ValueError, TypeError, RecursionError):
        return "it is no JSON object"
    signature = told.pop("signature", None)
    return _problem(signature, _canonical(told), keys)


def _problem(signature: object, content: bytes, keys: Iterable[Ed25519PublicKey]) -> str | None:
    if signature is None:
        return "it is not signed: publish it with a private key (callstream rules publish)"
    try:
        read = base64.b64decode(str(signature), validate=True)
    except ValueError:
        return "its signature cannot be read"
    for key in keys:
        try:
            key.verify(read, content)
        except InvalidSignature:
            continue
        return None
    return "its signature is of none of the public keys"


def signed_bytes(message: RulesPublished) -> bytes:
    """What was on the wire, and nothing that a later release fills in for fields that it did not have."""
    return _canonical(message.model_dump(mode="json", exclude={"signature"}, exclude_unset=True))


def _canonical(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return b"callstream rules v1\n" + text.encode(errors="surrogatepass")
