"""`AlertDelivery` v1: what became of one alert at one subscriber — an attempt, or why there was none."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.messages.message import Message, ShortText, Slug, TenantId, UtcDatetime

NAME_PATTERN = r"[a-z][a-z0-9_-]{0,63}"
SubscriberName = Annotated[str, StringConstraints(pattern=rf"^{NAME_PATTERN}$")]
"""Name of a subscription: it stands in logs, metrics and the name of a consumer group."""

ChannelKind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
"""Way to reach a subscriber, by the word that a subscription chooses it with. An open list: channels are added by files
of their own, and a reader of today must read what a channel of tomorrow delivers."""

DeliveryOutcome = Literal["delivered", "failed", "gave_up", "suppressed", "grouped", "deferred"]

FINAL_OUTCOMES: frozenset[DeliveryOutcome] = frozenset({"delivered", "gave_up", "suppressed", "grouped"})
"""Every alert that a subscription asks for ends in one of these; `failed` and `deferred` are followed by more."""


class AlertDelivery(Message):
    """One line of the record of deliveries. Holds no address, no text of an error and nothing of the alert but ids.

    `delivered`: the subscriber took it. `failed`: not yet, see `next_try_at`. `gave_up`: it never will get it, by
    `reason`. `suppressed`: not sent, because the subscription says so. `grouped`: it was delivered as a part of the
    message `group_id`. `deferred`: it waits for `next_try_at`, the end of the quiet hours.
    """

    schema_version: Literal[1] = 1
    alert_id: str = Field(min_length=1, max_length=64)
    tenant_id: TenantId
    rule_id: str = Field(min_length=1, max_length=256)
    subscriber: SubscriberName
    channel: ChannelKind
    attempt: int = Field(ge=0, description="counts from 1 since the worker started; 0: nothing was sent")
    outcome: DeliveryOutcome
    reason: Slug | None = Field(default=None, description="why, where it was not simply delivered")
    status_code: int | None = Field(
        default=None, description="what the other side answered: status of HTTP or SMTP, errcode of a robot"
    )
    error_class: ShortText | None = Field(default=None, description="kind of error, never its text")
    group_id: str | None = Field(default=None, max_length=64, description="id of the message that it was part of")
    at: UtcDatetime
    next_try_at: UtcDatetime | None = None
    latency_ms: int | None = Field(default=None, ge=0, description="how long the attempt took")
