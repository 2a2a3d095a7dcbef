"""Who changes the audit log in the register does not get the stage to remove, and to sign for, what they want gone."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, select, text, update

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import (
    PRUNED,
    Checkpoint,
    NamedNote,
    Verified,
    VerifierKey,
    signed_note,
    verify_log,
)
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog
from streams.adapters.register.errors import RegisterRefusedError
from streams.adapters.register.register import Register
from streams.adapters.register.tables import audit_checkpoints, audit_entries, audit_leaves
from tests.support.registers import BOTH

pytestmark = [pytest.mark.parametrize("register_url", BOTH, indirect=True)]

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
YEAR = timedelta(days=365)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFIER = VerifierKey.of("log", KEY)


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
        sign(log)
    clock.moment = NOW
    return log


def sign(log: RegisterAuditLog) -> None:
    log.sign(
        lambda peaks, at: signed_note(Checkpoint("log", peaks.size, peaks.root, at).text, "log", KEY),
        lambda _last: True,
    )


def verified(log: RegisterAuditLog, now: datetime | None = None) -> Verified:
    return verify_log(
        log.lines(), [NamedNote(str(each.size), each.note) for each in log.checkpoints()], (VERIFIER,), now
    )


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

    sign(log)
    found = verified(log)
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
    assert verified(log, NOW).holds
    assert not verified(log).holds, "no checkpoint is over the entry that says so yet"
    sign(log)
    assert verified(log).holds


def test_a_clock_that_has_jumped_prunes_nothing_and_says_so_once(register: Register) -> None:
    clock = HandClock()
    log = RegisterAuditLog(register, clock)
    clock.moment = datetime.now(UTC) - timedelta(days=100)
    for _ in range(3):
        log.append(AuditEntry(clock.now(), "li_na", "inspector", "listened", "acme", "allowed", "console"))
    log.sequence()
    sign(log)
    clock.moment += timedelta(days=1_000)

    for _ in range(4):  # the database itself refuses what is younger than a year by its own clock
        with pytest.raises(RegisterRefusedError):
            log.prune(YEAR)

    entries = log.find(EntryFilter(), 100)
    assert [each.read.entry.action for each in entries].count("log_pruned") == 1
    assert len(entries) == 4


def test_who_forges_an_entry_that_says_it_was_time_is_found(register: Register, log: RegisterAuditLog) -> None:
    """The stage gives the entry its place and signs it, as every other that stands in the register."""
    before = (NOW - YEAR).isoformat(timespec="microseconds")
    details: dict[str, str | int] = {"entries": 4, "before": before}
    log.append(AuditEntry(NOW, "callstream", "pipeline_writer", PRUNED, "*", "done", "audit", details=details))
    log.sequence()
    sign(log)
    assert [problem.kind for problem in verified(log).problems] == ["pruned"], "before anything is gone"
    without_triggers(register)
    with register.transaction() as tx:
        tx.execute(delete(audit_entries).where(audit_entries.c.entry_id.in_(ids(register, 0, 1, 2, 3))))
    assert [problem.kind for problem in verified(log).problems] == ["pruned", "deleted"]


def test_what_no_checkpoint_was_signed_over_so_long_ago_stays(register: Register) -> None:
    clock = HandClock()
    log = RegisterAuditLog(register, clock)
    for age_days, signed in ((500, True), (450, False), (400, True)):
        clock.moment = NOW - timedelta(days=age_days)
        log.append(AuditEntry(clock.now(), "li_na", "inspector", "listened", "acme", "allowed", "console"))
        log.sequence()
        if signed:
            sign(log)
    clock.moment = NOW
    assert log.prune(timedelta(days=420)) == 1
    assert verified(log, NOW).holds
    assert log.prune(YEAR) == 2
    assert verified(log, NOW).holds


def test_a_checkpoint_whose_time_a_stranger_put_back_lets_nothing_go(register: Register, log: RegisterAuditLog) -> None:
    with register.transaction() as tx:
        if tx.is_postgresql:
            tx.execute(text("ALTER TABLE audit_checkpoints DISABLE TRIGGER USER"))
        else:
            for name in tx.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_checkpoints'")
            ).scalars():
                tx.execute(text(f"DROP TRIGGER {name}"))
        tx.execute(update(audit_checkpoints).values(signed_at=NOW - timedelta(days=800)))
    assert log.prune(YEAR) == 0
