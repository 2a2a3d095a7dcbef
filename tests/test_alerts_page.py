"""What docs/alerts.md tells subscribers is what they get."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from processors.alerts.delivery_queue import RetrySchedule
from processors.alerts.rendering import Notice
from processors.alerts.signatures import standard_webhooks_key, standard_webhooks_signature
from schemas.config.subscription import Subscription
from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import DeliveryOutcome
from streams.adapters.channels import channel_of, read_subscriptions
from streams.adapters.memory.broker import MemoryBroker
from streams.ports import SystemClock
from tests.support.alerts import SECRET, a_subscription, an_alert
from tests.support.receiver import running_receiver

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "alerts.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def is_genuine() -> Callable[[str, dict[str, str], bytes], bool]:
    """The function on the page."""
    (code,) = (block for block in blocks("python") if "def is_genuine" in block)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/alerts.md", "exec"), names)  # noqa: S102 - our own page
    function: Callable[[str, dict[str, str], bytes], bool] = names["is_genuine"]
    return function


@pytest.mark.loopback
def test_the_function_on_the_page_accepts_what_is_sent_and_nothing_else(
    is_genuine: Callable[[str, dict[str, str], bytes], bool],
) -> None:
    with running_receiver() as receiver:
        webhook = {"url": receiver.url(), "secrets": [SECRET], "allow_private": True}
        channel = channel_of(a_subscription({"webhook": webhook}), "", MemoryBroker, SystemClock())
        channel.send(Notice.of_one(an_alert()))
        channel.close()
        (request,) = receiver.requests
    headers = dict(request.headers)
    assert is_genuine(SECRET, headers, request.body)
    assert not is_genuine(SECRET, headers, request.body + b" ")
    assert not is_genuine(SECRET, headers | {"webhook-id": "another"}, request.body)
    key = standard_webhooks_key(a_secret())
    old = standard_webhooks_signature([key], headers["webhook-id"], 1_600_000_000, request.body)
    assert not is_genuine(SECRET, headers | {"webhook-timestamp": "1600000000", "webhook-signature": old}, request.body)


def a_secret() -> Any:
    from pydantic import SecretStr

    return SecretStr(SECRET)


def test_the_body_on_the_page_is_one_that_could_be_sent() -> None:
    (body,) = (json.loads(block) for block in blocks("json"))
    link = body["data"].pop("link")
    alert = an_alert(**body["data"])
    assert (body["type"], link) == ("alert.raised", "https://console.example.com/calls/acme/c-1?t=10400")
    assert set(body["data"]) <= set(Alert.model_fields)
    assert alert.quote == body["data"]["quote"]


@pytest.mark.names
def test_the_subscriptions_on_the_page_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "subscriptions.yaml"
    found = []
    for text in blocks("yaml"):
        file.write_text(text, encoding="utf-8")
        (subscription,) = read_subscriptions(file, {"HOOK_SECRET": SECRET, "REVIEW_SECRET": SECRET})
        assert subscription.name == yaml.safe_load(text)["subscriptions"][0]["name"]
        found.append(subscription.on)
    assert found == ["alerts", "selected"]


def test_every_field_of_a_subscription_is_on_the_page() -> None:
    rows = re.findall(r"^\| (`.*?) \| ", PAGE, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(Subscription.model_fields) <= told


def test_every_outcome_and_reason_is_on_the_page() -> None:
    table = PAGE[PAGE.index("| outcome | reason |") :]
    told = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE))
    assert set(told) == set(get_args(DeliveryOutcome))
    queue = (REPOSITORY / "processors" / "alerts" / "delivery_queue.py").read_text(encoding="utf-8")
    given = set(re.findall(r'reason="(\w+)"', queue)) | {"refused", "gone"}
    assert {reason for text in told.values() for reason in re.findall(r"`(\w+)`", text)} == given


def test_the_schedule_on_the_page_is_the_one_that_is_used() -> None:
    schedule = RetrySchedule()
    assert "up to 2, 4, 8, … seconds, at most 15 minutes" in " ".join(PAGE.split())
    assert (schedule.first_s, schedule.longest_s, schedule.give_up_s) == (2, 15 * 60, 24 * 3_600)
    assert "older than 24 hours" in " ".join(PAGE.split())
