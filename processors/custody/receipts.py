"""Receipts of what was destroyed: JSON of ids of ours, words, counts and digests, signed with Ed25519. Pure.

A receipt holds no datum of a person: calls are salted digests in it, and a customer is the id of the request.
"""

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.errors import OperatorError

_DOMAIN = b"callstream purge receipt v1\n"


class ReceiptError(OperatorError):
    """A receipt is not what was signed, or not signed by a key that is known."""

    exit_code = 1


def key_id_of(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the public key: which of several has signed."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()[:16]


def signed_receipt(body: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """The receipt as it is kept and handed out: JSON with `receipt`, `key_id` and `signature`."""
    content = _canonical(body)
    return json.dumps(
        {
            "receipt": json.loads(content),
            "key_id": key_id_of(key.public_key()),
            "signature": base64.b64encode(key.sign(_DOMAIN + content)).decode(),
        },
        sort_keys=True,
        ensure_ascii=False,
        indent=1,
    ).encode()


def verified_receipt(signed: bytes, keys: Collection[Ed25519PublicKey]) -> dict[str, Any]:
    """What it says. Raises `ReceiptError` where one byte of it is another than what one of the keys has signed."""
    try:
        told = json.loads(signed)
        body, signature = told["receipt"], base64.b64decode(told["signature"], validate=True)
        content = _canonical(body)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ReceiptError("this is no receipt: it must be JSON with receipt, key_id and signature") from None
    if not isinstance(body, dict) or told.keys() != {"receipt", "key_id", "signature"}:
        raise ReceiptError("this is no receipt: it must be JSON with receipt, key_id and signature")
    for key in keys:
        try:
            key.verify(signature, _DOMAIN + content)
        except InvalidSignature:
            continue
        if told["key_id"] == key_id_of(key):
            return body
    raise ReceiptError("the receipt was changed, or signed by none of the keys that are known here")


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
