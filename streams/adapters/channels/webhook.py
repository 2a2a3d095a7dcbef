"""Signed webhooks after Standard Webhooks 1.0.0."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from processors.alerts.delivery_queue import Answer, AttemptResult
from processors.alerts.rendering import Notice, body_of
from processors.alerts.signatures import (
    MAX_SECRET_BYTES,
    MIN_SECRET_BYTES,
    standard_webhooks_key,
    standard_webhooks_signature,
)
from schemas.config.subscription import HttpTarget, Secret
from streams.adapters.channels.channel import ChannelMeans, ChannelSettings
from streams.adapters.channels.http_sender import HttpSender, SendError

GONE = 410
_TRIED_AGAIN = frozenset({408, 425, 429})
"""Request Timeout, Too Early, Too Many Requests: of 4xx only these pass by themselves."""


def _is_signing_secret(secret: SecretStr) -> SecretStr:
    try:
        standard_webhooks_key(secret)
    except ValueError:
        raise PydanticCustomError(
            "signing_secret",
            f"must be whsec_ and base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes",
        ) from None
    return secret


SigningSecret = Annotated[Secret, AfterValidator(_is_signing_secret)]


class WebhookChannel(ChannelSettings, HttpTarget):
    """A signed POST after Standard Webhooks; two secrets while one is being replaced by the other."""

    kind: ClassVar[str] = "webhook"

    secrets: tuple[SigningSecret, ...] = Field(min_length=1, max_length=2)

    def open(self, means: ChannelMeans) -> "WebhookSender":
        """See `ChannelSettings.open`."""
        return WebhookSender(self, means)


class WebhookSender:
    """Posts `{"type", "timestamp", "data"}` with the headers `webhook-id`, `-timestamp` and `-signature`."""

    per_minute: int | None = None

    def __init__(self, channel: WebhookChannel, means: ChannelMeans) -> None:
        self._keys = [standard_webhooks_key(secret) for secret in channel.secrets]
        self._sender = HttpSender(channel, means.limits, means.resolve_host)
        self._console_url = means.console_url
        self._clock = means.clock

    def send(self, notice: Notice) -> Answer:
        """Done when the subscriber answers 2xx."""
        body = body_of(notice, self._console_url)
        now = self._clock.now()
        timestamp_s = int(now.timestamp())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "webhook-id": notice.notice_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": standard_webhooks_signature(self._keys, notice.notice_id, timestamp_s, body),
        }
        try:
            answer = self._sender.post(body, headers)
        except SendError as error:
            return Answer("later", error_class=error.kind)
        return Answer(
            result_of_status(answer.status),
            status_code=answer.status,
            retry_after_s=retry_after_s(answer.retry_after, now),
        )

    def close(self) -> None:
        self._sender.close()


def result_of_status(status: int) -> AttemptResult:
    """What a status of HTTP means for the alert. A redirect is a failure that somebody may mend."""
    if 200 <= status < 300:
        return "accepted"
    if status == GONE:
        return "gone"
    return "refused" if 400 <= status < 500 and status not in _TRIED_AGAIN else "later"


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds of a `Retry-After` header, which holds them or a date; None where there is none, or no sense in it."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), 7 * 24 * 3_600.0)
    try:
        moment = parsedate_to_datetime(text)
        return max((moment - now).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
