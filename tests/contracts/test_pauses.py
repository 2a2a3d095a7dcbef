"""Pauses in the register: what holds, who is told, and that nothing holds without its entry in the audit log."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from processors.custody.audit_entry import AuditEntry
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog
from streams.adapters.register.errors import RegisterSchemaError
from streams.adapters.register.pauses import RegisterPauses
from streams.adapters.register.register import Register, Transaction, sqlite_url
from streams.ports import SystemClock
from streams.runtime.pauses import Pause
from tests.support.later_clock import LaterClock

SINCE = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
LISTEN = Pause("listen", "", "pause", "GPU is being changed", "os:li", SINCE)
FLOOD = Pause("listen", "acme", "pause", "OPS-17", "os:li", SINCE)
ENTRY = AuditEntry(SINCE, "os:li", "operator", "stage_paused", "*", "done", "cli", object_kind="stage")


class NotTakenError(Exception):
    """The audit log takes no entry."""


class NoLog:
    """An audit log that takes nothing."""

    def append_within(self, transaction: Transaction, entry: AuditEntry) -> object:  # noqa: ARG002 - as the register's
        raise NotTakenError


def actions(register: Register) -> list[str]:
    log = RegisterAuditLog(register, LaterClock(timedelta()))
    return sorted(shown.read.entry.action for shown in log.find(EntryFilter(), 10))


def test_a_pause_holds_until_it_is_resumed_and_each_is_entered(register: Register) -> None:
    pauses, audit = RegisterPauses(register), RegisterAuditLog(register, SystemClock())
    assert pauses.every() == []
    pauses.pause(LISTEN, audit, ENTRY)
    pauses.pause(FLOOD, audit, ENTRY)
    assert RegisterPauses(register).every() == [LISTEN, FLOOD]
    resumed = replace(ENTRY, action="stage_resumed")
    assert pauses.resume("listen", "", audit, resumed) == LISTEN
    assert pauses.every() == [FLOOD], "a tenant that is paused by itself stays so"
    assert pauses.resume("listen", "", audit, resumed) is None
    assert actions(register) == ["stage_paused", "stage_paused", "stage_resumed"], "what changed nothing is no entry"


def test_a_pause_takes_the_place_of_another(register: Register) -> None:
    pauses, audit = RegisterPauses(register), RegisterAuditLog(register, SystemClock())
    pauses.pause(LISTEN, audit, ENTRY)
    drained = replace(LISTEN, kind="drain", why="upgrade")
    pauses.pause(drained, audit, ENTRY)
    assert pauses.every() == [drained]


def test_what_cannot_be_entered_does_not_hold_and_does_not_end(register: Register) -> None:
    pauses = RegisterPauses(register)
    with pytest.raises(NotTakenError):
        pauses.pause(LISTEN, NoLog(), ENTRY)
    assert pauses.every() == []
    pauses.pause(LISTEN, RegisterAuditLog(register, SystemClock()), ENTRY)
    with pytest.raises(NotTakenError):
        pauses.resume("listen", "", NoLog(), ENTRY)
    assert pauses.every() == [LISTEN]


def test_a_register_that_is_not_there_or_has_no_such_table_pauses_nothing(tmp_path: Path) -> None:
    register = Register(sqlite_url(tmp_path / "none" / "register.db"))
    assert RegisterPauses(register).every() == []
    assert not (tmp_path / "none").exists(), "whoever asks makes no register"
    with pytest.raises(RegisterSchemaError):
        register.check()
    assert RegisterPauses(register).every() == []
    register.close()
