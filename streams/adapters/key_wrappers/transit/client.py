"""Wrapping by the transit engine of OpenBao or HashiCorp Vault, over its HTTP interface."""

import json
import os
import ssl
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import certifi
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError, SSLError

from processors.custody.ports import Purpose, WrappedKey
from schemas.errors import OperatorError, RetryableError
from streams.adapters.key_wrappers.ring import bound, gone, refused, require_purpose

_MOST_BYTES = 1024 * 1024
_PASSES = frozenset({307, 308, 408, 412, 429, 472, 473, 500, 502, 503, 504})
"""Sealed, a standby, overloaded, restarting: somebody or something will mend it."""

_NO_SUCH_VERSION = (
    "encryption key not found",
    "no such key version",
    "version is too new",
    "disallowed by policy (too old)",
    "higher than the latest key version",
)
_TOO_OLD = "less than the minimum encryption key version"
_DOES_NOT_OPEN = ("message authentication failed", "invalid ciphertext")
_NO_CERTIFICATES = {"NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE", "BAD_BASE64_DECODE"}
_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}


def is_acceptable(url: str) -> bool:
    """Whether keys may travel there."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


class TransitKeys:
    """One key of the engine for each purpose; its versions are ours. Safe to share between threads.

    The policy of the token needs, for each purpose: `read` on keys/<name>, `update` on encrypt/<name> and
    decrypt/<name>; who rotates needs `create` and `update` on keys/<name> and all below it.
    """

    def __init__(
        self,
        url: str,
        names: Mapping[Purpose, str],
        *,
        mount: str,
        namespace: str,
        token_file: Path,
        ca_file: Path | None,
        timeout_s: float,
    ) -> None:
        """`names` says how the key of each purpose is called. Nothing is read or sent yet."""
        self._base = f"{url}/v1/{mount}"
        self._names = names
        self._namespace = namespace
        self._token_file = token_file
        self._seen: set[tuple[Purpose, str]] = set()
        self._pool = PoolManager(
            timeout=Timeout(total=timeout_s),
            retries=False,  # whoever asks has a better idea of when to ask again
            maxsize=4,
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(ca_file) if ca_file else os.environ.get("SSL_CERT_FILE") or certifi.where(),
        )

    def versions(self, purpose: Purpose) -> tuple[str, ...]:
        """See `KeyWrapper.versions`."""
        data = self._ask("GET", "keys", purpose)
        return tuple(sorted(data.get("keys", {}), key=int))

    def make_version(self, purpose: Purpose) -> str:
        """See `KeyWrapper.make_version`. The first is a new key of the engine, the next ones are rotations of it."""
        if self.versions(purpose):
            data = self._ask("POST", "keys", purpose, "/rotate")
        else:
            data = self._ask("POST", "keys", purpose, body={"type": "aes256-gcm96"})
        # Older services answer nothing.
        return str(data["latest_version"]) if "latest_version" in data else self.versions(purpose)[-1]

    def remove_version(self, purpose: Purpose, version: str) -> None:
        """See `KeyWrapper.remove_version`. Raises `OperatorError` unless it is the oldest of several."""
        versions = self.versions(purpose)
        if version not in versions:
            return
        if version != versions[0] or len(versions) == 1:
            raise OperatorError(
                f"the transit engine destroys only the oldest of several versions, and {version} ({purpose}) is not it"
            )
        least = int(versions[1])
        config = {"min_decryption_version": least, "min_encryption_version": least}
        self._ask("POST", "keys", purpose, "/config", body=config)
        self._ask("POST", "keys", purpose, "/trim", body={"min_available_version": least})

    def wrap(self, purpose: Purpose, version: str, key: bytes, context: bytes) -> WrappedKey:
        """See `KeyWrapper.wrap`."""
        # `encrypt` makes a key that is not there, where the policy allows it.
        if (purpose, version) not in self._seen and version not in self.versions(purpose):
            raise gone(purpose, version)
        self._seen.add((purpose, version))
        body = {
            "plaintext": b64encode(key).decode(),
            "associated_data": b64encode(bound(purpose, version, context)).decode(),
            "key_version": int(version),
        }
        try:
            ciphertext = self._ask("POST", "encrypt", purpose, body=body, version=version).get("ciphertext")
        except _TooOldError:
            # Removed since it was seen here, or kept for what it wrapped before; only the first is forgotten for good.
            if version not in self.versions(purpose):
                self._seen.discard((purpose, version))
                raise gone(purpose, version) from None
            raise
        if not isinstance(ciphertext, str) or not ciphertext.startswith(f"vault:v{version}:"):
            raise OperatorError("the transit engine answers encrypt with something else: check transit_url")
        return WrappedKey(version, ciphertext.encode())

    def unwrap(self, purpose: Purpose, wrapped: WrappedKey, context: bytes) -> bytes:
        """See `KeyWrapper.unwrap`."""
        require_purpose(purpose, self._names)
        if not wrapped.blob.startswith(f"vault:v{wrapped.version}:".encode()) or not wrapped.blob.isascii():
            raise refused(purpose, wrapped.version)
        body = {
            "ciphertext": wrapped.blob.decode(),
            "associated_data": b64encode(bound(purpose, wrapped.version, context)).decode(),
        }
        data = self._ask("POST", "decrypt", purpose, body=body, version=wrapped.version)
        try:
            return b64decode(data["plaintext"], validate=True)
        except (KeyError, TypeError, Base64Error):
            pass
        raise OperatorError("the transit engine answers decrypt with something else: check transit_url")

    def _ask(
        self,
        method: Literal["GET", "POST"],
        verb: Literal["keys", "encrypt", "decrypt"],
        purpose: Purpose,
        below: str = "",
        body: Mapping[str, object] | None = None,
        version: str = "",
    ) -> dict[str, Any]:
        """`data` of the answer, empty where there is no such key. Raises as the port says."""
        require_purpose(purpose, self._names)
        headers = {"X-Vault-Token": self._token(), "X-Vault-Request": "true"}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        url = f"{self._base}/{verb}/{self._names[purpose]}{below}"
        failure: Exception
        try:
            answer = self._pool.request(method, url, json=body, headers=headers, redirect=False, preload_content=False)
            try:
                status, text = answer.status, answer.read(_MOST_BYTES)
            finally:
                answer.release_conn()
        except SSLError as error:
            failure = _of_tls(error)
        except (HTTPError, OSError):
            failure = RetryableError("the transit engine does not answer")
        else:
            return self._data(status, text, verb, purpose, version)
        raise failure  # outside of the except block: the library's errors hold the address

    def _data(self, status: int, text: bytes, verb: str, purpose: Purpose, version: str) -> dict[str, Any]:
        try:
            found = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            found = None
        if status in _PASSES:
            raise RetryableError(f"the transit engine cannot serve now (HTTP {status})")
        if status == 403:
            raise OperatorError(
                f"the transit engine forbids {verb}/{self._names[purpose]}: the token in transit_token_file has "
                "expired, or its policy lacks it (docs/custody.md)"
            )
        if not isinstance(found, dict):
            raise OperatorError(f"this is no transit engine (HTTP {status}): check transit_url")
        words = "; ".join(map(str, found.get("errors") or ()))
        if status == 404:
            if words:
                raise OperatorError(
                    "there is no transit engine: enable one (`bao secrets enable transit`), or check transit_mount and "
                    "transit_namespace"
                )
            return {}
        if status == 400:
            raise _meaning(words, purpose, version)
        if status not in (200, 204):
            raise OperatorError(f"the transit engine answers HTTP {status}: check transit_url")
        data = found.get("data") or {}
        return data if isinstance(data, dict) else {}

    def _token(self) -> str:
        """Raises `OperatorError`, which names the file."""
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise OperatorError(f"transit_token_file {self._token_file} cannot be read: {why}") from None
        if not token or not token.isprintable():
            raise OperatorError(f"transit_token_file {self._token_file} holds no token")
        return token


class _TooOldError(OperatorError):
    """The engine has a least version to encrypt with, and the one asked for is below it."""


def _meaning(words: str, purpose: Purpose, version: str) -> Exception:
    """What the service says with HTTP 400; there is nothing of ours in its words."""
    if any(sentence in words for sentence in _NO_SUCH_VERSION):
        return gone(purpose, version)
    if any(sentence in words for sentence in _DOES_NOT_OPEN):
        return refused(purpose, version)
    kind = _TooOldError if _TOO_OLD in words else OperatorError
    return kind(f"the transit engine refuses what is asked of it for {purpose}: {words}")


def _of_tls(error: SSLError) -> Exception:
    """A certificate that does not fit is for an operator; a greeting that breaks off may pass."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return OperatorError(
            "the certificate of the transit engine is not to be trusted: check transit_ca_file and transit_url"
        )
    if not isinstance(cause, ssl.SSLError) or cause.reason in _NO_CERTIFICATES:
        return OperatorError("transit_ca_file cannot be read, or holds no certificates (PEM)")
    if cause.reason in _NOT_TLS:
        return OperatorError("the transit engine does not speak TLS: check transit_url")
    return RetryableError("the transit engine does not finish the TLS greeting")
