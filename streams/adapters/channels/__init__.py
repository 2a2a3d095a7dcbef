"""The ways to reach a subscriber: one file for each kind, all behind `Channel`."""

from collections.abc import Callable
from typing import Protocol

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice
from schemas.config.subscription import (
    DingTalkChannel,
    EmailChannel,
    FeishuChannel,
    KafkaChannel,
    Subscription,
    WebhookChannel,
)
from streams.adapters.channels.email import EmailSender
from streams.adapters.channels.http_sender import HttpLimits, Resolve
from streams.adapters.channels.kafka_topic import KafkaSender
from streams.adapters.channels.robots import DingTalkRobot, FeishuRobot, WeComRobot
from streams.adapters.channels.webhook import WebhookSender
from streams.ports import Clock, PublisherPort


class Channel(Protocol):
    """Sends one notice at a time. For one thread."""

    per_minute: int | None
    """At most so many messages a minute are taken at the other side; None: no limit is known."""

    def send(self, notice: Notice) -> Answer:
        """Returns how it ended, whatever happens at the other side; raises for bugs only."""
        ...

    def close(self) -> None:
        """Close the connection, if one is open."""
        ...


def channel_of(
    subscription: Subscription,
    console_url: str,
    open_publisher: Callable[[], PublisherPort],
    clock: Clock,
    limits: HttpLimits | None = None,
    resolve_host: Resolve | None = None,
) -> Channel:
    """The channel that the subscription names."""
    chosen = subscription.channel.channel
    if isinstance(chosen, WebhookChannel):
        return WebhookSender(chosen, console_url, clock, limits, resolve_host)
    if isinstance(chosen, EmailChannel):
        return EmailSender(chosen, console_url, clock)
    if isinstance(chosen, KafkaChannel):
        return KafkaSender(chosen, console_url, open_publisher)
    if isinstance(chosen, DingTalkChannel):
        return DingTalkRobot(chosen, console_url, clock, limits, resolve_host)
    if isinstance(chosen, FeishuChannel):
        return FeishuRobot(chosen, console_url, clock, limits, resolve_host)
    return WeComRobot(chosen, console_url, clock, limits, resolve_host)
