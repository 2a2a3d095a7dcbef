"""A certificate for trying `serve` over HTTPS: self-signed, made once, kept where only its owner can read the key."""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import OperatorError
from streams.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509

VALID_FOR = timedelta(days=365)
RENEWED_BEFORE = timedelta(days=30)


class CertificateError(OperatorError):
    """Certificate or key cannot be used."""


@dataclass(frozen=True)
class CertificateFiles:
    """Certificate with its chain, and its private key, both PEM."""

    certificate: Path
    key: Path


def certificate_files(settings: Settings, now: datetime) -> CertificateFiles | None:
    """What the settings ask for; None for plain HTTP. Raises `CertificateError`."""
    if settings.serve_self_signed:
        return _kept(settings.data_dir / "serve", settings.serve_host, now)
    if settings.serve_cert_file is None or settings.serve_key_file is None:
        return None
    files = CertificateFiles(settings.serve_cert_file, settings.serve_key_file)
    _require_usable(files)
    return files


def _require_usable(files: CertificateFiles) -> None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ValueError):  # of its texts nothing is quoted; ssl.SSLError is an OSError
        fits = False
    else:
        fits = True
    if not fits:
        raise CertificateError(
            "serve_cert_file and serve_key_file cannot be used: give the certificate with its chain and the key that "
            "belongs to it, without a password, as PEM files that this user can read"
        )


def _no_password() -> str:
    """Or OpenSSL would ask at the terminal."""
    raise ValueError("the key has a password")


def _kept(folder: Path, host: str, now: datetime) -> CertificateFiles:
    from cryptography import x509

    files = CertificateFiles(folder / "self_signed.pem", folder / "self_signed.key")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if files.certificate.exists() and files.key.exists():
            found = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            if now < found.not_valid_after_utc - RENEWED_BEFORE and _names(host) == _names_in(found):
                return files
        _make(files, host, now)
    except (OSError, ValueError):
        raise CertificateError(f"the certificate in {folder} cannot be made or read: remove that folder") from None
    return files


def _names(host: str) -> frozenset[str]:
    return frozenset({"localhost", "127.0.0.1", "::1", host} - {"0.0.0.0", "::"})  # noqa: S104 - left out


def _names_in(certificate: "x509.Certificate") -> frozenset[str]:
    from cryptography import x509

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return frozenset((*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))))


def _make(files: CertificateFiles, host: str, now: datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "callstream, for trying")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in sorted(_names(host))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    _write_private(files.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write_private(files.certificate, certificate.public_bytes(Encoding.PEM))


def _general_name(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_private(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    part.replace(path)
