"""`callstream alerts test`."""

import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from schemas.config.subscription import Subscription
from schemas.messages.alert import Alert
from streams.cli.alerts.subscriptions import FileOption, NoSubscriptionError, destination_of, read_subscriptions
from streams.cli.console.exit_codes import EXIT_PROBLEM

if TYPE_CHECKING:
    from processors.alerts.delivery_queue import Answer


def send_test_alert(
    name: Annotated[str, typer.Argument(help="Name of the subscription.")],
    file: FileOption = None,
) -> None:
    """Send a test alert to one subscriber, and show the answer.

    It is sent once, and in quiet hours too. Ends with 1 if the subscriber did not accept it.
    """
    from processors.alerts.rendering import Notice
    from streams.adapters.channels import channel_of
    from streams.adapters.kafka.by_hand import publisher_by_hand
    from streams.ports import SystemClock

    subscriptions, settings = read_subscriptions(file)
    found = [subscription for subscription in subscriptions if subscription.name == name]
    if not found:
        raise NoSubscriptionError("there is no subscription of this name: see `callstream alerts list`")
    clock = SystemClock()
    channel = channel_of(found[0], settings.console_url, lambda: publisher_by_hand(settings), clock)
    began_s = time.monotonic()
    answer = channel.send(Notice.of_one(alert_for_test(found[0], clock.now())))
    channel.close()
    answer = replace(answer, latency_ms=round((time.monotonic() - began_s) * 1000))
    typer.echo(f"{name} ({found[0].channel.kind}, {destination_of(found[0])}): {sentence_of(answer)}")
    raise typer.Exit(0 if answer.verdict == "accepted" else EXIT_PROBLEM)


def alert_for_test(subscription: Subscription, now: datetime) -> Alert:
    """An alert of kind `test`; each has an id of its own, so that no subscriber drops it as a repeat."""
    return Alert(
        alert_id=str(uuid4()),
        kind="test",
        tenant_id="test" if subscription.tenant == "*" else subscription.tenant,
        rule_id="callstream.test",
        rule_version="1",
        category="test",
        severity=subscription.min_severity,
        title="这是一条测试告警（callstream.test）",
        advice="收到即表示订阅可用，无需处理。",
        happened_at=now,
        raised_at=now,
    )


def sentence_of(answer: "Answer") -> str:
    """How an attempt ended, for people."""
    ends = {
        "accepted": "accepted",
        "later": "not accepted; an alert would be sent again",
        "refused": "refused; an alert would be given up",
        "gone": "refused for good (410); the subscription would be switched off",
    }
    what = " ".join(str(part) for part in (answer.status_code, answer.error_class) if part is not None)
    wait = f", Retry-After {answer.retry_after_s:.0f} s" if answer.retry_after_s is not None else ""
    return f"{ends[answer.verdict]} ({what or 'no code'}{wait}) in {answer.latency_ms} ms"
