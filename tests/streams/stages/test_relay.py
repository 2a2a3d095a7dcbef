"""`relay`: what is in the outbox reaches Kafka, in order and once to whoever counts, wherever it stops."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from schemas.errors import RetryableError
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CUSTODY_CHANGED
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.adapters.register.tables import outbox
from streams.stages.relay import Relay

NOW = datetime(2026, 11, 30, 9, 15, tzinfo=UTC)
KEEP = timedelta(days=7)
AT_ONCE = 10


class MovableClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class StoppedHereError(Exception):
    """In place of a SIGKILL."""


class KilledPublisher:
    """Publishes to a broker in memory, and dies before, in the middle of, or after one of its batches."""

    def __init__(self, broker: MemoryBroker, dies_at: int, written: float, error: type[Exception]) -> None:
        self._broker = broker
        self._batches = 0
        self._dies_at = dies_at
        self._written = written
        self._error = error

    def publish(self, records: Iterable[ProducerRecord]) -> None:
        batch = list(records)
        self._batches += 1
        if self._batches == self._dies_at:
            self._broker.publish(batch[: round(len(batch) * self._written)])
            raise self._error("the broker does not answer")
        self._broker.publish(batch)


def write(register: Register, numbers: Iterable[int]) -> list[CustodyChanged]:
    events = [
        CustodyChanged.of("intake_announced", tenant_id="acme", call_id=f"c{n % 7}", actor="key_1", at=NOW, count=n)
        for n in numbers
    ]
    with register.transaction() as tx:
        for event in events:
            tx.outbox(event)
    return events


def published(broker: MemoryBroker) -> list[CustodyChanged]:
    return [CUSTODY_CHANGED.read(record) for record in broker.records[CUSTODY_CHANGED.name]]


def firsts(events: Sequence[CustodyChanged]) -> list[CustodyChanged]:
    """Each once, where it came first."""
    return list({event.event_id: event for event in events}.values())


def test_all_that_waits_is_published_in_order_and_marked(register: Register) -> None:
    broker, clock = MemoryBroker(), MovableClock()
    relay = Relay(register, broker, clock, KEEP, AT_ONCE)
    events = write(register, range(AT_ONCE * 2 + 1))
    assert relay.step() == len(events)
    assert published(broker) == events
    assert relay.step() == 0
    with register.reading() as tx:
        assert {row.sent_at for row in tx.execute(select(outbox))} == {NOW}


@pytest.mark.parametrize("error", [RetryableError, StoppedHereError], ids=["Kafka is away", "the process is killed"])
@pytest.mark.parametrize("written", [0, 0.5, 1], ids=["before a batch", "within a batch", "after a batch"])
@pytest.mark.parametrize("dies_at", [1, 2, 3])
def test_wherever_it_stops_another_goes_on_and_each_event_is_there_in_order(
    register: Register, dies_at: int, written: float, error: type[Exception]
) -> None:
    broker, clock = MemoryBroker(), MovableClock()
    events = write(register, range(AT_ONCE * 2 + 5))
    with pytest.raises(error):
        Relay(register, KilledPublisher(broker, dies_at, written, error), clock, KEEP, AT_ONCE).step()
    events += write(register, range(10_000, 10_010))
    Relay(register, broker, clock, KEEP, AT_ONCE).step()
    assert firsts(published(broker)) == events
    assert len(published(broker)) - len(events) <= AT_ONCE
    assert Outbox(register).count_waiting() == 0


def test_what_was_sent_is_kept_for_a_time_and_looked_for_once_an_hour(register: Register) -> None:
    broker, clock = MemoryBroker(), MovableClock()
    relay = Relay(register, broker, clock, KEEP, AT_ONCE)
    write(register, range(3))
    relay.step()
    clock.time += KEEP
    write(register, range(10, 12))
    relay.step()
    assert rows_of(register) == 5
    clock.time += timedelta(minutes=59)
    relay.step()
    assert rows_of(register) == 5
    clock.time += timedelta(minutes=1)
    relay.step()
    assert rows_of(register) == 2


def rows_of(register: Register) -> int:
    with register.reading() as tx:
        return len(tx.execute(select(outbox)).all())
