"""Who changes the audit log in the register does not get the stage to remove, and to sign for, what they want gone."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, text, update

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import verify_log
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog
from streams.adapters.register.errors import RegisterRefusedError
from streams.adapters.register.register import Register
from streams.adapters.register.tables import audit_entries, audit_leaves
from tests.support.registers import BOTH

pytestmark = [pytest.mark.parametrize("register_url", BOTH, indirect=True)]

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
YEAR = timedelta(days=365)


class HandClock:
    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def log(register: Register) -> RegisterAuditLog:
    clock = HandClock()
    log = RegisterAuditLog(register, clock)
    for age_days in (500, 450, 3, 2, 1):
        clock.moment = NOW - timedelta(days=age_days)
        log.append(AuditEntry(clock.now(), "li_na", "inspector", "listened", "acme", "allowed", "console"))
        log.sequence()
    clock.moment = NOW
    return log


def without_triggers(register: Register) -> None:
    with register.transaction() as tx:
        if tx.is_postgresql:
            tx.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
            return
        for trigger in ("unchanged", "kept"):
            tx.execute(text(f"DROP TRIGGER audit_entries_{trigger}"))


def ids(register: Register, *places: int) -> list[str]:
    with register.reading() as tx:
        asked = select(audit_leaves.c.entry_id).where(audit_leaves.c.leaf_index.in_(places))
        return list(tx.execute(asked).scalars())


def test_entries_that_a_stranger_removed_are_not_taken_for_pruned(register: Register, log: RegisterAuditLog) -> None:
    without_triggers(register)
    with register.transaction() as tx:
        tx.execute(delete(audit_entries).where(audit_entries.c.entry_id.in_(ids(register, 2, 3))))

    assert log.prune(YEAR) == 2
    assert log.prune(YEAR) == 0
    log.append(AuditEntry(NOW, "li_na", "inspector", "listened", "acme", "allowed", "console"))
    log.sequence()

    found = verify_log(log.lines(), (), ())
    assert [problem.kind for problem in found.problems] == ["deleted"]
    assert found.pruned == 4


def test_entries_whose_time_a_stranger_put_back_stay(register: Register, log: RegisterAuditLog) -> None:
    without_triggers(register)
    with register.transaction() as tx:
        changed = update(audit_entries).where(audit_entries.c.entry_id.in_(ids(register, 2, 3)))
        tx.execute(changed.values(appended_at=NOW - timedelta(days=800)))

    assert log.prune(YEAR) == 2
    assert len(ids(register, 2, 3)) == 2
    with register.reading() as tx:
        left = tx.execute(select(audit_entries.c.entry_id)).scalars().all()
    assert set(ids(register, 2, 3, 4)) <= set(left)
    assert verify_log(log.lines(), (), ()).holds


def test_a_clock_that_has_jumped_prunes_nothing_and_says_so_once(register: Register) -> None:
    clock = HandClock()
    log = RegisterAuditLog(register, clock)
    clock.moment = datetime.now(UTC) - timedelta(days=100)
    for _ in range(3):
        log.append(AuditEntry(clock.now(), "li_na", "inspector", "listened", "acme", "allowed", "console"))
    log.sequence()
    clock.moment += timedelta(days=1_000)

    for _ in range(4):  # the database itself refuses what is younger than a year by its own clock
        with pytest.raises(RegisterRefusedError):
            log.prune(YEAR)

    entries = log.find(EntryFilter(), 100)
    assert [each.read.entry.action for each in entries].count("log_pruned") == 1
    assert len(entries) == 4
