"""The worker `audit` on a stack that runs, killed again and again: no entry is lost, all is anchored, SQL follows."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import NamedNote, verify_log
from schemas.messages.topics import AUDIT_CHECKPOINTS
from streams.adapters.audit_anchors import PREFIX
from streams.adapters.clickhouse.connection import connect
from streams.adapters.kafka.client import TopicReader
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog, ShownEntry
from streams.adapters.register.register import Register
from streams.embedded.clickhouse_engine import ANALYST, engine_url
from streams.embedded.stack import Stack, worker_spec
from streams.ports import SystemClock
from streams.runtime.audit_key import read_audit_key
from tests.support.registers import BOTH_AT_NIGHT, new_register_url
from tests.support.stack import rows, running_stack, wait_until

KILLS = 3


class Writer(threading.Thread):
    """Appends one entry after the other until it is told to end."""

    def __init__(self, log: RegisterAuditLog) -> None:
        super().__init__(daemon=True)
        self._log = log
        self.enough = threading.Event()
        self.written = 0

    def run(self) -> None:
        while not self.enough.wait(0.02):
            entry = AuditEntry(
                at=datetime.now(UTC),
                actor="li_na",
                role="inspector",
                action="viewed_text",
                tenant_id="acme",
                result="allowed",
                client="test",
                call_id=f"c{self.written}",
            )
            self._log.append(entry)
            self.written += 1


@contextmanager
def an_audit(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the stage, started at once where the stack would wait longer after each kill."""
    spec = worker_spec("audit", 0, stack.settings, restart=False)
    process = subprocess.Popen(spec.argv, env={**os.environ, **spec.env}, cwd=spec.cwd)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.embedded
@pytest.mark.parametrize("kind", BOTH_AT_NIGHT)
def test_an_audit_worker_that_is_killed_anywhere_loses_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = {"register_url": new_register_url(kind, request, tmp_path), "audit_checkpoint_s": 0.1}
    with running_stack("tansu", tmp_path / "stack", settings, stages=("store", "relay")) as stack:
        register = Register.of(stack.settings)
        log = RegisterAuditLog(register, SystemClock())
        analyst = connect(_analyst_url(stack))
        writer = Writer(log)
        writer.start()
        for number in range(KILLS):
            before = log.size()
            analyst.query("SELECT count() FROM calls")
            with an_audit(stack) as worker:
                _wait_for_places(stack, log, before)
                time.sleep(0.017 * number)  # not always at the same place of a step
                assert worker.poll() is None
        writer.enough.set()
        writer.join()
        with an_audit(stack):
            wait_until(stack, lambda: len(_queried(log)) == KILLS, lambda: f"queries, not {len(_queried(log))}")
            all_of_it = writer.written + KILLS
            wait_until(stack, lambda: max(_signed(log), default=0) == all_of_it, lambda: "all signed")
            wait_until(stack, lambda: _anchored(stack) == _signed(log), lambda: "all anchored")
            wait_until(stack, lambda: _in_kafka(stack) == _signed(log), lambda: "all in Kafka")
            wait_until(stack, lambda: _in_clickhouse(stack) == writer.written, lambda: "the log of access")
        assert {each.read.entry.actor for each in _queried(log)} == {ANALYST}
        anchors = [NamedNote(str(size), note) for size, note in _anchored(stack).items()]
        found = verify_log(log.lines(), anchors, (read_audit_key(stack.settings).verifier,))
        assert found.holds, found.problems
        assert found.covered == found.size == all_of_it
        analyst.close()
        register.close()


def _wait_for_places(stack: Stack, log: RegisterAuditLog, before: int) -> None:
    wait_until(stack, lambda: log.size() > before, lambda: "entries to get places")


def _analyst_url(stack: Stack) -> str:
    own = stack.settings.clickhouse_url.get_secret_value()
    port = int(own.rpartition(":")[2].partition("/")[0])
    return engine_url(stack.settings.data_dir / "clickhouse", port, "callstream", ANALYST)


def _queried(log: RegisterAuditLog) -> list[ShownEntry]:
    return [
        each for each in log.find(EntryFilter(action="queried"), 100) if each.read.entry.details["tables"] == "calls"
    ]


def _signed(log: RegisterAuditLog) -> dict[int, str]:
    return {each.size: each.note for each in log.checkpoints()}


def _anchored(stack: Stack) -> dict[int, str]:
    store = object_store_from(stack.settings)
    return {int(each.key.rpartition("-")[2]): store.read(each.key).decode() for each in store.entries(PREFIX)}


def _in_kafka(stack: Stack) -> dict[int, str]:
    reader = TopicReader(stack.settings, AUDIT_CHECKPOINTS.name)
    found: dict[int, str] = {}
    try:
        while not reader.is_at_end:
            for record in reader.read(1_000, 1):
                message = AUDIT_CHECKPOINTS.read(record)
                assert found.setdefault(message.size, message.note) == message.note
    finally:
        reader.close()
    return found


def _in_clickhouse(stack: Stack) -> int:
    found = rows(stack, "SELECT count() AS n FROM access_log WHERE action = 'viewed_text' AND client = 'test'")
    return int(found[0]["n"])
