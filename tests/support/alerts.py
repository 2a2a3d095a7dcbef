"""Alerts and subscriptions as tests need them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.config.subscription import Subscription, subscription_model
from schemas.messages.alert import Alert
from streams.adapters.channels import channel_kinds

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
QUOTE = "这款产品绝对不会亏损，您完全可以放心"


class HandClock:
    """Time stands still until it is moved on."""

    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


def an_alert(number: int = 1, **changes: Any) -> Alert:
    """Alert of call `c-<number>`; equal arguments give an equal alert."""
    facts: dict[str, Any] = {
        "kind": "call",
        "tenant_id": "acme",
        "rule_id": "finance.no_loss",
        "rule_version": "1",
        "category": "forbidden_promise",
        "severity": "high",
        "title": "坐席违规承诺（finance.no_loss）",
        "advice": "请说明可能出现的亏损",
        "call_id": f"c-{number}",
        "agent_id": "A1",
        "agent_team": "华东一组",
        "role": "agent",
        "start_ms": 10_400,
        "end_ms": 12_000,
        "quote": QUOTE,
        "matched": "绝对不会亏损",
        "happened_at": NOW - timedelta(minutes=1),
        "raised_at": NOW,
    } | changes
    about = facts["call_id"] or f"{facts.get('topic_id')}/{number}"
    facts.setdefault("alert_id", Alert.id_of(facts["tenant_id"], about, facts["rule_id"], facts["rule_version"]))
    return Alert.model_validate(facts)


def a_subscription(channel: dict[str, Any] | None = None, **changes: Any) -> Subscription:
    """A subscription to everything that is high; by default a webhook that nobody serves."""
    webhook = {"webhook": {"url": "https://alerts.example.com/hook", "secrets": [SECRET]}}
    facts = {"name": "desk", "tenant": "*", "channel": channel or webhook}
    return subscription_model(tuple(channel_kinds().values())).model_validate(facts | changes)
