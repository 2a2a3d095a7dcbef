"""A suspicion that may alert, from a transcript through the workers to a subscriber; and one that may not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from standardwebhooks import Webhook

from processors.detectors.reading import SUSPECTED
from processors.reading.call_reader import CallReader
from schemas.messages.topics import TRANSCRIPTS_RECEIVED
from streams.adapters.kafka.client import Publisher
from streams.adapters.object_store.from_settings import object_store_from
from streams.wiring import received_store_from
from tests.processors.receiving.received import Line, received
from tests.support.alerts import SECRET
from tests.support.receiver import Receiver, running_receiver
from tests.support.stack import rows, running_stack, wait_for_outcomes, wait_until

pytestmark = pytest.mark.embedded

SHOWN, NOT_SHOWN = "shown", "not-shown"
"""Tenants: of the first, verdicts have shown that suspicions may alert."""

LINES: tuple[Line, ...] = (
    ("customer", "我要退款，你们这个课我不想上了"),
    ("agent", "姐，您加我个人微信，直接转我，私下给您便宜，别走公司账"),
    ("customer", "这样不好吧"),
    ("agent", "您要投诉就去投诉吧，爱找谁找谁，我不怕，退不了"),
)
WORKERS = ("receive", "judge", "store", "notify")


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Receiver, list[dict[str, object]]]]:
    """What the subscriber received, and the suspicions in the tables."""
    folder = tmp_path_factory.mktemp("stack")
    with running_receiver() as receiver:
        settings = {
            "subscriptions_file": _written(
                folder / "subscriptions.yaml",
                {"subscriptions": [_subscription("desk", receiver)]},
            ),
            "tenants_file": _written(folder / "tenants.yaml", _tenants()),
        }
        with running_stack("tansu", folder, settings, stages=WORKERS) as stack:
            log = stack.supervisor.log_file("notify")
            wait_until(stack, lambda: "notify desk reads" in log.read_text(), lambda: "the subscriber's lane")
            publisher = Publisher(stack.settings)
            originals = received_store_from(stack.settings, object_store_from(stack.settings))
            for tenant in (NOT_SHOWN, SHOWN):
                call = {"tenant_id": tenant, "call_id": "c1", "industry": "education"}
                publisher.publish([TRANSCRIPTS_RECEIVED.record(originals.put(received(*LINES, call=call)))])
            publisher.close()
            for tenant in (NOT_SHOWN, SHOWN):
                assert wait_for_outcomes(stack, ["c1"], tenant_id=tenant) == {"c1": "analyzed"}
            wait_until(stack, lambda: any(map(_is_suspicion, bodies(receiver))), lambda: "the alert of a suspicion")
            yield receiver, rows(stack, "SELECT tenant_id, probability FROM suspicions")


def _written(file: Path, content: object) -> Path:
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return file


def _subscription(name: str, receiver: Receiver) -> dict[str, object]:
    webhook = {"url": receiver.url(), "secrets": [SECRET], "allow_private": True}
    return {"name": name, "tenant": "*", "channel": {"webhook": webhook}}


def _tenants() -> dict[str, object]:
    reading = {"alert_from": 0.5, "model": CallReader.load().version}
    return {"version": 1, "tenants": [{"id": SHOWN, "reading": reading}, {"id": NOT_SHOWN}]}


def bodies(receiver: Receiver) -> list[dict[str, str]]:
    """What was sent, its signature checked."""
    return [Webhook(SECRET).verify(request.body, dict(request.headers))["data"] for request in receiver.requests]


def _is_suspicion(alert: dict[str, str]) -> bool:
    return alert["category"].startswith(SUSPECTED)


def test_a_suspicion_arrives_as_a_grave_alert_that_names_what_was_said_and_the_heads(
    arrived: tuple[Receiver, list[dict[str, object]]],
) -> None:
    receiver, _ = arrived
    told = [alert for alert in bodies(receiver) if _is_suspicion(alert)]
    assert {alert["severity"] for alert in told} == {"high"}
    assert {alert["rule_version"] for alert in told} == {CallReader.load().version}
    assert any("私下给您便宜" in alert["quote"] for alert in told)


def test_a_tenant_whose_verdicts_have_shown_nothing_is_suspected_and_not_alerted(
    arrived: tuple[Receiver, list[dict[str, object]]],
) -> None:
    receiver, suspicions = arrived
    assert {row["tenant_id"] for row in suspicions} == {SHOWN, NOT_SHOWN}
    assert {alert["tenant_id"] for alert in bodies(receiver) if _is_suspicion(alert)} == {SHOWN}
