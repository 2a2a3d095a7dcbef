"""The relay is killed again and again, on a real broker and engine: no change is lost and none counts twice."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.topics import CUSTODY_CHANGED
from streams.adapters.kafka.client import BatchConsumer
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.adapters.register.tables import outbox
from streams.embedded.stack import Stack, worker_spec
from tests.support.registers import BOTH_AT_NIGHT, new_register_url
from tests.support.stack import rows, running_stack, wait_until

CALLS = 20
KILLS = pytest.param(3, id="3"), pytest.param(12, marks=pytest.mark.long, id="12")
BEGAN = datetime(2026, 11, 30, 9, 15, tzinfo=UTC)


class Writer(threading.Thread):
    """Changes one call after the other, two events a transaction, until it is told to end."""

    def __init__(self, register: Register) -> None:
        super().__init__(daemon=True)
        self._register = register
        self.enough = threading.Event()
        self.rounds = 0

    def run(self) -> None:
        while not self.enough.wait(0.02):
            for call in range(CALLS):
                with self._register.transaction() as tx:
                    for number in (2 * self.rounds, 2 * self.rounds + 1):
                        tx.outbox(self._change(call, number))
            self.rounds += 1

    def _change(self, call: int, number: int) -> CustodyChanged:
        at = BEGAN + timedelta(milliseconds=number)
        return CustodyChanged.of(
            "intake_announced", tenant_id="acme", call_id=f"c{call}", actor="key_1", at=at, count=number
        )


@contextmanager
def a_relay(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the stage, started at once where the stack would wait longer after each kill."""
    spec = worker_spec("relay", 0, stack.settings, restart=False)
    process = subprocess.Popen(spec.argv, env={**os.environ, **spec.env}, cwd=spec.cwd)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.kafka
@pytest.mark.parametrize("kind", BOTH_AT_NIGHT)
@pytest.mark.parametrize("kills", KILLS)
def test_a_relay_that_is_killed_anywhere_loses_and_doubles_nothing(
    kind: str, kills: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = {"register_url": new_register_url(kind, request, tmp_path), "relay_every_s": 0.05}
    with running_stack("kafka", tmp_path / "stack", settings, stages=("store",)) as stack:
        register = Register.of(stack.settings)
        writer = Writer(register)
        writer.start()
        waiting_at_a_kill = []
        for number in range(kills):
            with a_relay(stack) as relay:
                _wait_until_it_works(stack, register)
                time.sleep(0.013 * (number % 6))  # not always at the same place of a step
                assert relay.poll() is None
                relay.kill()
            waiting_at_a_kill.append(Outbox(register).count_waiting())
        writer.enough.set()
        writer.join()
        assert any(waiting_at_a_kill), "it was never killed while something waited"
        changes = 2 * writer.rounds
        with a_relay(stack):
            wait_until(stack, lambda: Outbox(register).count_waiting() == 0, lambda: "an empty outbox")
        expected = {f"c{call}": (changes, changes, sum(range(changes))) for call in range(CALLS)}

        def in_clickhouse() -> dict[str, tuple[int, int, int]]:
            counts = "count() AS events, uniqExact(event_id) AS ids, sum(keys_count) AS told"
            found = rows(stack, f"SELECT call_id, {counts} FROM custody_events GROUP BY call_id")  # noqa: S608
            return {row["call_id"]: (row["events"], row["ids"], row["told"]) for row in found}

        wait_until(stack, lambda: in_clickhouse() == expected, lambda: f"{expected}, not {in_clickhouse()}")
        _each_call_is_told_in_order(stack, changes)
        register.close()


def _wait_until_it_works(stack: Stack, register: Register) -> None:
    """Something new was marked as sent: the relay that was started last is in the middle of its work."""
    before = _sent(register)
    wait_until(stack, lambda: _sent(register) > before, lambda: "the relay to publish")


def _sent(register: Register) -> int:
    with register.reading() as tx:
        return int(tx.execute(select(func.count()).where(outbox.c.sent_at.is_not(None))).scalar_one())


def _each_call_is_told_in_order(stack: Stack, changes: int) -> None:
    consumer = BatchConsumer(stack.settings, "test-relay", (CUSTODY_CHANGED.name,))
    first_seen: dict[str, CustodyChanged] = {}
    give_up_s = time.monotonic() + 60
    while len(first_seen) < CALLS * changes and time.monotonic() < give_up_s:
        for record in consumer.poll(1_000, 1):
            event = CUSTODY_CHANGED.read(record)
            first_seen.setdefault(event.event_id, event)
    consumer.close()
    for call in range(CALLS):
        told = [event.count for event in first_seen.values() if event.call_id == f"c{call}"]
        assert told == list(range(changes))
