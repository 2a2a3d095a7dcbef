"""Signatures, against published vectors and the reference implementation."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from processors.alerts.signatures import (
    dingtalk_signature,
    feishu_signature,
    standard_webhooks_key,
    standard_webhooks_signature,
)
from tests.support.alerts import OTHER_SECRET, SECRET


def signed(body: bytes, *secrets: str) -> dict[str, str]:
    now_s = int(datetime.now(UTC).timestamp())
    keys = [standard_webhooks_key(SecretStr(secret)) for secret in secrets]
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": standard_webhooks_signature(keys, "msg_1", now_s, body),
    }


class TestStandardWebhooks:
    def test_the_vector_of_the_reference_libraries(self) -> None:
        # From the tests of the reference libraries: secret, id, time and body with their signature.
        key = standard_webhooks_key(SecretStr(SECRET))
        signature = standard_webhooks_signature(
            [key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
        )
        assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_the_reference_implementation_accepts_it(self) -> None:
        body = '{"quote":"绝对不会亏损"}'.encode()
        assert Webhook(SECRET).verify(body, signed(body, SECRET)) == {"quote": "绝对不会亏损"}

    @pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
    def test_while_secrets_rotate_either_of_them_verifies(self, secret: str) -> None:
        headers = signed(b"{}", SECRET, OTHER_SECRET)
        assert len(headers["webhook-signature"].split(" ")) == 2
        Webhook(secret).verify(b"{}", headers)

    def test_a_changed_body_and_another_secret_do_not(self) -> None:
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(b'{"a":1}', signed(b"{}", SECRET))
        with pytest.raises(WebhookVerificationError):
            Webhook(OTHER_SECRET).verify(b"{}", signed(b"{}", SECRET))

    @pytest.mark.parametrize(
        "secret",
        [
            pytest.param("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id="no prefix"),
            pytest.param("whsec_***", id="no base64"),
            pytest.param("whsec_" + base64.b64encode(b"x" * 23).decode(), id="too short"),
            pytest.param("whsec_" + base64.b64encode(b"x" * 65).decode(), id="too long"),
            pytest.param("", id="empty"),
        ],
    )
    def test_a_secret_of_another_kind_is_no_key(self, secret: str) -> None:
        with pytest.raises(ValueError, match=r"secret|base64|length"):
            standard_webhooks_key(SecretStr(secret))


def test_dingtalk_signs_timestamp_and_secret_with_the_secret() -> None:
    expected = hmac.new(b"SECabc", b"1577262236757\nSECabc", hashlib.sha256).digest()
    assert base64.b64decode(dingtalk_signature("SECabc", 1577262236757)) == expected


def test_feishu_signs_nothing_with_timestamp_and_secret() -> None:
    expected = hmac.new(b"1599360473\ndemo", b"", hashlib.sha256).digest()
    assert base64.b64decode(feishu_signature("demo", 1599360473)) == expected
