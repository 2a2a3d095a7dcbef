"""Signed webhooks after Standard Webhooks 1.0.0."""

from datetime import datetime
from email.utils import parsedate_to_datetime

from processors.alerts.delivery_queue import Answer, AttemptResult
from processors.alerts.rendering import Notice, body_of
from processors.alerts.signatures import standard_webhooks_signature
from schemas.config.subscription import WebhookChannel, standard_webhooks_key
from streams.adapters.channels.http_sender import HttpLimits, HttpSender, Resolve, SendError
from streams.ports import Clock

GONE = 410
_TRIED_AGAIN = frozenset({408, 425, 429})
"""Request Timeout, Too Early, Too Many Requests: of 4xx only these pass by themselves."""


class WebhookSender:
    """Posts `{"type", "timestamp", "data"}` with the headers `webhook-id`, `-timestamp` and `-signature`."""

    per_minute: int | None = None

    def __init__(
        self,
        channel: WebhookChannel,
        console_url: str,
        clock: Clock,
        limits: HttpLimits | None = None,
        resolve_host: Resolve | None = None,
    ) -> None:
        self._keys = [standard_webhooks_key(secret) for secret in channel.secrets]
        self._sender = HttpSender(channel, limits, resolve_host)
        self._console_url = console_url
        self._clock = clock

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
