"""`callstream alerts`: who hears of what, whether the file is right, and whether a subscriber can be reached."""

import json
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice
from schemas.config.subscription import Subscription
from schemas.errors import OperatorError
from schemas.messages.alert import Alert
from streams.ports import Clock, SystemClock
from streams.settings import Settings, load_settings

alerts_app = typer.Typer(help="Alerts: subscriptions and their delivery.", no_args_is_help=True)

FileOption = Annotated[
    Path | None, typer.Option(help="The subscription file; by default that which CALLSTREAM_SUBSCRIPTIONS_FILE names.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


class NoSubscriptionError(OperatorError):
    """There is no subscription file, or none of that name in it."""


@alerts_app.command("list")
def alerts_list(file: FileOption = None, as_json: JsonOption = False) -> None:
    """Who hears of which alerts. Shows no secret, no URL but its host, and no recipient."""
    rows = [
        {
            "name": subscription.name,
            "tenant": subscription.tenant,
            "from severity": subscription.min_severity,
            "only": ", ".join((*subscription.categories, *subscription.teams, *subscription.rules)),
            "quiet": _quiet(subscription),
            "channel": subscription.channel.kind,
            "to": destination_of(subscription),
        }
        for subscription in _subscriptions(file)
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    table = Table("name", "tenant", "from severity", "only", "quiet", "channel", "to")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


@alerts_app.command("check")
def alerts_check(file: FileOption = None) -> None:
    """Read the subscription file and say what is wrong with it, by line, subscription and field; nothing is sent."""
    sys.stdout.write(f"{len(_subscriptions(file))} subscription(s), nothing wrong\n")


@alerts_app.command("test")
def alerts_test(
    name: Annotated[str, typer.Argument(help="Name of the subscription.")],
    file: FileOption = None,
) -> None:
    """Send a test alert to one subscriber, once and whatever the hour, and show how it was answered.

    Ends with 1 when it was not taken.
    """
    from streams.adapters.channels import channel_of
    from streams.adapters.kafka.client import Publisher

    settings = load_settings().settings
    found = [subscription for subscription in _subscriptions(file) if subscription.name == name]
    if not found:
        raise NoSubscriptionError("there is no subscription of this name: see `callstream alerts list`")
    clock = SystemClock()
    channel = channel_of(found[0], settings.console_url, lambda: Publisher(settings), clock)
    began_s = time.monotonic()
    answer = channel.send(Notice.of_one(alert_for_test(found[0], clock)))
    channel.close()
    answer = replace(answer, latency_ms=round((time.monotonic() - began_s) * 1000))
    sys.stdout.write(f"{name} ({found[0].channel.kind}, {destination_of(found[0])}): {sentence_of(answer)}\n")
    raise typer.Exit(0 if answer.verdict == "accepted" else 1)


def alert_for_test(subscription: Subscription, clock: Clock) -> Alert:
    """An alert of kind `test`; each has an id of its own, so that no subscriber drops it as a repeat."""
    now: datetime = clock.now()
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


def sentence_of(answer: Answer) -> str:
    """How an attempt ended, for people."""
    ends = {
        "accepted": "taken",
        "later": "not taken; an alert would be tried again",
        "refused": "refused; an alert would be given up",
        "gone": "refused for good (410); the subscription would be switched off",
    }
    what = " ".join(str(part) for part in (answer.status_code, answer.error_class) if part is not None)
    wait = f", Retry-After {answer.retry_after_s:.0f} s" if answer.retry_after_s is not None else ""
    return f"{ends[answer.verdict]} ({what or 'no code'}{wait}) in {answer.latency_ms} ms"


def destination_of(subscription: Subscription) -> str:
    """Where it goes, without what must stay secret."""
    return subscription.channel.channel.destination


def _quiet(subscription: Subscription) -> str:
    quiet = subscription.quiet_hours
    return "" if quiet is None else f"{quiet.begin:%H:%M}-{quiet.end:%H:%M} {quiet.timezone}"


def _subscriptions(file: Path | None) -> tuple[Subscription, ...]:
    """Raises `SubscriptionsError`, and `NoSubscriptionError` where no file is named."""
    from streams.adapters.channels import read_subscriptions

    settings: Settings = load_settings().settings
    path = file or settings.subscriptions_file
    if path is None:
        raise NoSubscriptionError("no subscription file: set CALLSTREAM_SUBSCRIPTIONS_FILE, or use --file")
    return read_subscriptions(path)
