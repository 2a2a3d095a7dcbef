"""How messages to subscribers are signed: Standard Webhooks, DingTalk, Feishu. Each of them HMAC-SHA-256."""

import base64
import binascii
import hmac
from collections.abc import Iterable
from hashlib import sha256

from pydantic import SecretStr

MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
"""Of a key of Standard Webhooks."""


def standard_webhooks_key(secret: SecretStr) -> bytes:
    """The key in a `whsec_…` secret. Raises `ValueError`."""
    prefix, _, encoded = secret.get_secret_value().partition("_")
    if prefix != "whsec":
        raise ValueError("no whsec_ secret")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ValueError("not a key of the right length")
    return key


def standard_webhooks_signature(keys: Iterable[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The header `webhook-signature`: `v1,<base64>` for each key, separated by spaces.

    Standard Webhooks 1.0.0: signed is `<id>.<timestamp>.<body>`; several keys while one takes the place of another.
    """
    content = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(f"v1,{_base64_hmac(key, content)}" for key in keys)


def dingtalk_signature(secret: str, timestamp_ms: int) -> str:
    """The parameter `sign` of a group robot of DingTalk (加签), not yet encoded for a URL: signed is
    `<timestamp>\\n<secret>` with the secret.
    """
    return _base64_hmac(secret.encode(), f"{timestamp_ms}\n{secret}".encode())


def feishu_signature(secret: str, timestamp_s: int) -> str:
    """The field `sign` of a group robot of Feishu (签名校验): signed is nothing; the key is
    `<timestamp>\\n<secret>`.
    """
    return _base64_hmac(f"{timestamp_s}\n{secret}".encode(), b"")


def _base64_hmac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.new(key, content, sha256).digest()).decode()
