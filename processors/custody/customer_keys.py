"""Customer keys: what stands for a phone number, so that calls of one customer can be found without storing it (R30).

A key has a version. Version 0 is that of before there were any: the HMAC of the number under the secret itself, the same
for every tenant. From version 1 on each tenant has a secret of its own, derived from that of the version, so that keys
of two tenants tell nothing about each other. A number that is gone cannot be hashed again: what was stored under a
former version is found by asking for the keys of all versions.
"""

import hmac
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from schemas.errors import InvalidCallError

_SEPARATORS = re.compile(r"[\s\-().·]")
_NUMBER = re.compile(r"\+?[0-9]{3,20}")
_KEPT_DIGITS = 4
_LEAST_HIDDEN_DIGITS = 3


@dataclass(frozen=True)
class CustomerKeys:
    """The secrets of all versions that are still asked for; `current` is the version of new keys."""

    current: int
    secrets: Mapping[int, str] = field(repr=False)

    def of(self, tenant_id: str, number: str) -> str:
        """The key of a number under the current version. Raises `InvalidCallError` as `customer_key` does."""
        return self._key(self.current, tenant_id, number)

    def every(self, tenant_id: str, number: str) -> tuple[str, ...]:
        """Its keys under all versions, the current one first. Raises `InvalidCallError` as `customer_key` does."""
        others = sorted(self.secrets.keys() - {self.current}, reverse=True)
        return tuple(self._key(version, tenant_id, number) for version in (self.current, *others))

    def fields(self, tenant_id: str, number: str, *, keep_last_digits: bool) -> dict[str, object]:
        """What an event says of a customer with this number; `keep_last_digits` is the policy of the tenant.

        Raises `InvalidCallError` as `customer_key` does.
        """
        found: dict[str, object] = {"key": self.of(tenant_id, number), "key_version": self.current}
        digits = _normalized(number)
        if keep_last_digits and len(digits.lstrip("+")) >= _KEPT_DIGITS + _LEAST_HIDDEN_DIGITS:
            found["number_last4"] = digits[-_KEPT_DIGITS:]
        return found

    def _key(self, version: int, tenant_id: str, number: str) -> str:
        secret = self.secrets.get(version, "")
        if version == 0:
            return customer_key(number, secret)
        # Derived even where the number turns out to be none: whether there is a secret is said first.
        return _hmac(_of_tenant(secret, version, tenant_id) if secret else b"", number)


def customer_key(number: str, secret: str) -> str:
    """HMAC-SHA-256 of the normalised phone number, in hex: a key of version 0.

    Normalised: full-width characters made half-width; spaces, dashes, dots and brackets dropped; 00 written as +. A
    number of mainland China loses its +86 or its trunk prefix 0, that of another country keeps its + and country
    code. Raises `InvalidCallError` when that is no number or there is no secret.
    """
    return _hmac(secret.encode(), number)


def _hmac(secret: bytes, number: str) -> str:
    if not secret:
        raise InvalidCallError(
            "customer_key_secret is not set: without it a phone number cannot be made a customer key"
        )
    normalized = _normalized(number)
    if not _NUMBER.fullmatch(normalized):
        raise InvalidCallError("the customer's number is not a phone number: 3 to 20 digits are expected")
    return hmac.new(secret, normalized.encode(), sha256).hexdigest()


def _normalized(number: str) -> str:
    dialled = re.sub(r"^00", "+", _SEPARATORS.sub("", unicodedata.normalize("NFKC", number)))
    return dialled if re.match(r"\+(?!86)", dialled) else dialled.removeprefix("+86").removeprefix("0")


def _of_tenant(secret: str, version: int, tenant_id: str) -> bytes:
    """HKDF-SHA-256, so that who learns the keys of one tenant learns nothing of those of another."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    parts = (b"callstream/customer-key", str(version).encode(), tenant_id.encode())
    info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return HKDF(SHA256(), 32, salt=None, info=info).derive(secret.encode())
