"""From a recording to a signed message: a stack with a subscriber."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml
from standardwebhooks import Webhook

from tests.support.alerts import SECRET
from tests.support.receiver import Receiver, running_receiver
from tests.support.stack import publish_examples, rows, running_stack, wait_until

pytestmark = [pytest.mark.embedded, pytest.mark.model]

VIOLATION = "s02_finance_violation"
WORKERS = ("listen", "judge", "store", "notify")


@dataclass(frozen=True)
class Flow:
    """What arrived, and what stands in the tables."""

    receiver: Receiver
    alerts: list[dict[str, object]]
    deliveries: list[dict[str, object]]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    folder = tmp_path_factory.mktemp("stack")
    with running_receiver() as receiver:
        webhook = {"url": receiver.url(), "secrets": [SECRET], "allow_private": True}
        subscription = {"name": "desk", "tenant": "*", "channel": {"webhook": webhook}}
        file = folder / "subscriptions.yaml"
        file.write_text(yaml.safe_dump({"subscriptions": [subscription]}), encoding="utf-8")
        settings = {
            "whisper_beam_size": 1,
            "subscriptions_file": file,
            "console_url": "https://console.example.com",
        }
        with running_stack("tansu", folder, settings, stages=WORKERS) as stack:
            log = stack.supervisor.log_file("notify")
            wait_until(stack, lambda: "notify desk reads" in log.read_text(), lambda: "the subscriber's lane")
            publish_examples(stack, ["s02"])
            wait_until(
                stack,
                lambda: len(rows(stack, "SELECT * FROM alert_deliveries WHERE outcome = 'delivered'")) >= 2,
                lambda: "alerts to be delivered",
            )
            alerts = rows(stack, "SELECT * FROM alerts ORDER BY start_ms")
            yield Flow(receiver, alerts, rows(stack, "SELECT * FROM alert_deliveries"))


def test_what_the_agent_promised_arrives_signed_with_a_link_to_the_moment(flow: Flow) -> None:
    bodies = [Webhook(SECRET).verify(request.body, dict(request.headers)) for request in flow.receiver.requests]
    assert {body["type"] for body in bodies} == {"alert.raised"}
    by_rule = {body["data"]["rule_id"]: body["data"] for body in bodies}
    alert = by_rule["finance.no_loss"]
    assert (alert["call_id"], alert["role"], alert["severity"]) == (VIOLATION, "agent", "critical")
    assert "亏" in alert["quote"]
    link = f"https://console.example.com/calls/{alert['tenant_id']}/{VIOLATION}?t={alert['start_ms']}"
    assert alert["link"] == link


def test_alerts_and_their_delivery_can_be_queried(flow: Flow) -> None:
    sent = {json.loads(request.body)["data"]["alert_id"] for request in flow.receiver.requests}
    assert {row["alert_id"] for row in flow.alerts} >= sent
    assert len({row["alert_id"] for row in flow.alerts}) == len(flow.alerts)
    for row in flow.deliveries:
        assert (row["subscriber"], row["channel"], row["status_code"]) == ("desk", "webhook", 200)
        assert row["alert_id"] in sent
