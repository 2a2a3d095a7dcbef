"""ClickHouse goes while calls flow and comes back: what was judged without it is judged again by itself, and everything
is as if nothing had happened. `heal` is killed on the way.
"""

import signal
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from schemas.messages.topics import CALLS_TRANSCRIBED
from streams.adapters.kafka.client import Publisher, lags
from streams.adapters.object_store.from_settings import object_store_from
from streams.embedded.stack import Broker, Stack
from streams.topology import groups_of
from streams.wiring import transcript_store_from
from tests.processors.transcripts import said
from tests.support.judged_calls import CUSTOMER, NOW, an_event
from tests.support.stack import rows, running_stack, wait_until

CALLS = 4
STAGES = ("judge", "store", "heal")


def publish(stack: Stack, tenant: str, number: int) -> None:
    """One call of the customer, an hour after the one before: kept as `listen` keeps it, then told."""
    event = an_event(f"c{number}", NOW + timedelta(hours=number), customer=CUSTOMER)
    call = event.model_copy(update={"tenant_id": tenant})
    transcript = said(("customer", "我要投诉你们"), ("agent", "您好")).model_copy(
        update={"tenant_id": tenant, "call_id": call.call_id, "call": call}
    )
    transcript_store_from(stack.settings, object_store_from(stack.settings)).save(transcript)
    publisher = Publisher(stack.settings)
    publisher.publish([CALLS_TRANSCRIBED.record(transcript)])
    publisher.close()


def findings(stack: Stack, tenant: str) -> list[dict[str, Any]]:
    return rows(
        stack,
        f"SELECT * EXCEPT (tenant_id, finding_id) FROM findings WHERE tenant_id = '{tenant}' ORDER BY ALL",  # noqa: S608
    )


def calls(stack: Stack, tenant: str) -> list[dict[str, Any]]:
    """But for who the tenant is, and when it was judged."""
    wanted = "* EXCEPT (tenant_id, analyzed_at)"
    return rows(stack, f"SELECT {wanted} FROM whole_calls WHERE tenant_id = '{tenant}' ORDER BY call_id")  # noqa: S608


def alerts(stack: Stack, tenant: str) -> list[tuple[str, str]]:
    found = rows(stack, f"SELECT call_id, rule_id FROM alerts WHERE tenant_id = '{tenant}'")  # noqa: S608
    return sorted((row["call_id"], row["rule_id"]) for row in found)


def is_stored(stack: Stack, tenant: str, count: int) -> bool:
    return len(calls(stack, tenant)) == count


def is_judged(stack: Stack) -> bool:
    return all(lag.messages == 0 for lag in lags(stack.settings, groups_of("judge")))


@pytest.mark.parametrize(
    "broker",
    [
        pytest.param("tansu", marks=[pytest.mark.embedded, pytest.mark.long]),
        pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long]),
    ],
)
def test_calls_judged_while_clickhouse_was_down_are_judged_again_by_themselves(broker: Broker, tmp_path: Path) -> None:
    settings = {"alert_min_severity": "info", "background_timeout_s": 2, "heal_per_s": 50}
    with running_stack(broker, tmp_path / "stack", settings, stages=STAGES) as stack:
        for number in range(CALLS):
            publish(stack, "undisturbed", number)
            is_there = partial(is_stored, stack, "undisturbed", number + 1)
            wait_until(stack, is_there, lambda: "each call before the next")
        expected = calls(stack, "undisturbed")
        assert [row["measures"]["contacts_before_7d"] for row in expected] == list(range(CALLS))
        assert not any({"history_unknown", "baseline_unknown"} & set(row["skipped_reasons"]) for row in expected)

        publish(stack, "acme", 0)
        wait_until(stack, lambda: len(calls(stack, "acme")) == 1, lambda: "the first call of the other tenant")
        stack.supervisor.stop_child("clickhouse")
        for number in range(1, CALLS):
            publish(stack, "acme", number)
        wait_until(stack, lambda: is_judged(stack), lambda: "calls to be judged without ClickHouse")
        stack.supervisor.kill("heal", signal.SIGKILL)
        stack.supervisor.restart_child("clickhouse")

        wait_until(
            stack,
            lambda: calls(stack, "acme") == expected,
            lambda: f"{expected}, not {calls(stack, 'acme')}",
            within_s=180,
        )
        assert findings(stack, "acme") == findings(stack, "undisturbed")
        wait_until(
            stack,
            lambda: alerts(stack, "acme") == alerts(stack, "undisturbed"),
            lambda: f"{alerts(stack, 'undisturbed')}, not {alerts(stack, 'acme')}",
        )
        assert any(rule == "repeated_contact" for _call, rule in alerts(stack, "acme"))
