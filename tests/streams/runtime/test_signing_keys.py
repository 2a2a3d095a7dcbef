"""Files of signing keys: made once, read only where they are what they must be."""

import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from schemas.errors import OperatorError
from streams.runtime.signing_keys import SigningKeys, private_pem, public_pem


class KeyOfTestsError(OperatorError):
    """What is raised."""


KEYS = SigningKeys(KeyOfTestsError, "the key of tests", ": make one")


def test_a_key_that_several_make_at_once_is_one(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "private.pem"
    threads = [threading.Thread(target=KEYS.make, args=(file,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = public_pem(KEYS.read_private(file, owner_only=True))
    KEYS.make(file)
    assert public_pem(KEYS.read_private(file)) == made, "one that is there stays"
    assert [each.name for each in file.parent.iterdir()] == ["private.pem"], "nothing half-made is left"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_public_key_is_that_of_the_private_one(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "private.pem").write_bytes(private_pem(key))
    (tmp_path / "one-public.pem").write_bytes(public_pem(key))
    signature = KEYS.read_private(tmp_path / "private.pem").sign(b"what is said")
    for each in (KEYS.read_public(tmp_path / "one-public.pem"), *KEYS.read_publics(tmp_path)):
        each.verify(signature, b"what is said")


def test_a_key_that_others_may_use_is_refused_where_it_must_be_the_owners(tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    KEYS.make(file)
    file.chmod(0o640)
    KEYS.read_private(file)
    with pytest.raises(KeyOfTestsError, match=r"the key of tests .* may be used by others"):
        KEYS.read_private(file, owner_only=True)


def test_what_is_no_such_key_is_named(tmp_path: Path) -> None:
    other, text, nobodys = X25519PrivateKey.generate(), tmp_path / "text.pem", tmp_path / "absent.pem"
    text.write_text("no key")
    (tmp_path / "other.pem").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "other-pub.pem").write_bytes(
        other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(KeyOfTestsError, match=r"other.pem is no private key of Ed25519: make one"):
        KEYS.read_private(tmp_path / "other.pem")
    with pytest.raises(KeyOfTestsError, match=r"other-pub.pem is no public key of Ed25519: make one"):
        KEYS.read_public(tmp_path / "other-pub.pem")
    for file in (text, nobodys):
        with pytest.raises(KeyOfTestsError, match=f"the key of tests {file} cannot be read"):
            KEYS.read_private(file)
        with pytest.raises(KeyOfTestsError, match=f"the public key {file} cannot be read"):
            KEYS.read_public(file)
    with pytest.raises(KeyOfTestsError, match="holds no public key"):
        KEYS.read_publics(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyOfTestsError, match=r"the key of tests .* cannot be written"):
        KEYS.make(tmp_path / "file" / "private.pem")
