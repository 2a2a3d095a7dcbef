"""What `observe` measures, and what it exports of a system that does not answer: nothing."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import insert

from schemas.errors import OperatorError, RetryableError
from streams.adapters.kafka.fetcher import KafkaAccessError
from streams.adapters.register.queues import custody_queues
from streams.adapters.register.register import Register
from streams.adapters.register.tables import audit_waiting, intakes, leftovers, pauses, retentions
from streams.runtime.metrics import METRICS, WorkerMetrics
from streams.runtime.pauses import Pause
from streams.stages.observe import (
    CLICKHOUSE_METRICS,
    KAFKA_METRICS,
    REGISTER_METRICS,
    Measured,
    Observation,
    of_register,
)
from streams.topology import WORKER_NAMES
from tests.streams.runtime.test_metrics import samples_of

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)


def test_what_it_measures_is_what_the_list_says_of_it() -> None:
    told = {*KAFKA_METRICS, *CLICKHOUSE_METRICS, *REGISTER_METRICS, "callstream_observed_timestamp_seconds"}
    assert told == {metric.name for metric in METRICS if metric.exported_by == ("observe",)}


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(lambda: RetryableError("ClickHouse does not answer"), id="does not answer"),
        pytest.param(lambda: KafkaAccessError("Kafka cannot be read", "_AUTHENTICATION"), id="refuses us"),
    ],
)
def test_what_a_system_told_is_exported_no_more_when_it_tells_nothing(refusal: Callable[[], Exception]) -> None:
    metrics = WorkerMetrics("observe")
    answers: list[Measured | Exception] = [{"callstream_outbox_entries": [({}, 3)]}, refusal()]

    def ask(_now: datetime) -> Measured:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    observation = Observation("register", ("callstream_outbox_entries",), ask)
    observation.step(metrics, NOW)
    found = samples_of(metrics)
    assert found["callstream_outbox_entries", ()] == 3
    assert found["callstream_observed_timestamp_seconds", (("system", "register"),)] == NOW.timestamp()
    with pytest.raises(RetryableError):
        observation.step(metrics, NOW + timedelta(minutes=1))
    found = samples_of(metrics)
    assert ("callstream_outbox_entries", ()) not in found
    assert found["callstream_observed_timestamp_seconds", (("system", "register"),)] == NOW.timestamp()


def test_a_refusal_is_tried_again_and_keeps_no_other_system_from_being_measured() -> None:
    def refuse(_now: datetime) -> Measured:
        raise OperatorError("the password is wrong")

    with pytest.raises(RetryableError, match="the password is wrong"):
        Observation("register", (), refuse).step(WorkerMetrics("observe"), NOW)


class TestTheRegister:
    def test_counts_what_waits_and_not_what_is_done(self, register: Register) -> None:
        nothing = custody_queues(register, NOW)
        assert set(nothing.values()) == {0}
        with register.transaction("prepare a test") as tx:
            tx.execute(
                insert(intakes),
                [
                    intake("gone", "reserved", lease_until=NOW - timedelta(minutes=1)),
                    intake("uploads", "reserved", lease_until=NOW + timedelta(minutes=1)),
                    intake("lies", "stored", received_at=NOW),
                    intake("done", "announced", received_at=NOW),
                ],
            )
            tx.execute(
                insert(leftovers),
                [
                    {"object_key": "a", "left_at": NOW, "removed_at": None},
                    {"object_key": "b", "left_at": NOW, "removed_at": NOW},
                ],
            )
            tx.execute(insert(audit_waiting), [{"entry_id": "1"}, {"entry_id": "2"}])
            tx.execute(
                insert(retentions),
                [
                    {"tenant_id": "acme", "call_id": "due", "due_on": date(2026, 3, 2)},
                    {"tenant_id": "acme", "call_id": "later", "due_on": date(2026, 3, 3)},
                ],
            )
        told = of_register(register, NOW)
        queues = {labels["queue"]: value for labels, value in told["callstream_custody_queue"]}
        assert {name: count for name, count in queues.items() if count} == {
            "intakes_given_up": 1,
            "intakes_to_announce": 1,
            "objects_to_remove": 1,
            "audit_to_sign": 2,
            "retention_due": 1,
        }
        assert [*told["callstream_outbox_entries"]] == [({}, 0)]
        assert [*told["callstream_outbox_oldest_age_seconds"]] == [({}, 0)]

    def test_tells_which_stages_are_paused_and_for_how_many_tenants_others_are(self, register: Register) -> None:
        with register.transaction("prepare a test") as tx:
            tx.execute(insert(pauses), [a_pause("judge"), a_pause("listen", "acme"), a_pause("listen", "globex")])
        told = of_register(register, NOW)
        paused = {labels["stage"]: value for labels, value in told["callstream_stage_paused"]}
        assert paused == {stage: float(stage == "judge") for stage in WORKER_NAMES}
        assert [*told["callstream_paused_tenants"]] == [({"stage": "listen"}, 2)]


def a_pause(stage: str, tenant_id: str = "") -> dict[str, object]:
    return vars(Pause(stage, tenant_id, "pause", "OPS-17", "li", NOW))


def intake(call_id: str, state: str, **more: datetime) -> dict[str, object]:
    return {
        "tenant_id": "acme",
        "call_id": call_id,
        "state": state,
        "attempt": "1",
        "object_key": f"recordings/{call_id}",
        "source": "upload",
        "lease_until": None,
        "received_at": None,
        **more,
    }
