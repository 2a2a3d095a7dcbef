"""The audit log in the register, on both databases: appended by many, in one order for ever, changed by nobody."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, text, update

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import (
    Checkpoint,
    NamedNote,
    Verified,
    VerifierKey,
    opened_note,
    signed_note,
    verify_log,
)
from processors.custody.merkle import TreePeaks
from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.topics import RECORDINGS_ACCESSED
from streams.adapters.register.audit_log import (
    AuditLogError,
    EntryFilter,
    RegisterAuditLog,
    SignedCheckpoint,
)
from streams.adapters.register.errors import RegisterRefusedError
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.adapters.register.tables import (
    audit_checkpoints,
    audit_entries,
    audit_leaves,
    audit_personal,
    audit_waiting,
)
from tests.support.registers import BOTH

pytestmark = [pytest.mark.parametrize("register_url", BOTH, indirect=True)]

AT = datetime(2026, 5, 1, 8, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFIER = VerifierKey.of("log", KEY)


class HandClock:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


class NowClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def entry(number: int, **fields: object) -> AuditEntry:
    given: dict[str, object] = {
        "at": AT + timedelta(seconds=number),
        "actor": "li_na",
        "role": "inspector",
        "action": "viewed_text",
        "tenant_id": "acme",
        "result": "allowed",
        "client": "api",
        "call_id": f"c{number}",
        "personal": {"customer": f"customer-{number}"},
    }
    return AuditEntry(**(given | fields))  # type: ignore[arg-type] # the fields of an entry


def sign(log: RegisterAuditLog) -> SignedCheckpoint | None:
    def note(peaks: TreePeaks, at: datetime) -> str:
        return signed_note(Checkpoint("log", peaks.size, peaks.root, at).text, "log", KEY)

    def trusted(last: SignedCheckpoint) -> bool:
        signed = opened_note(last.note, (VERIFIER,))
        return signed == Checkpoint("log", last.size, last.peaks.root, last.signed_at).text

    return log.sign(note, trusted)


def verified(log: RegisterAuditLog, *anchors: SignedCheckpoint) -> Verified:
    notes = [NamedNote(f"register {each.size}", each.note) for each in log.checkpoints()]
    notes += [NamedNote(f"anchor {each.size}", each.note) for each in anchors]
    return verify_log(log.lines(), notes, (VERIFIER,))


def test_what_is_appended_gets_a_place_and_is_signed(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    for number in range(5):
        log.append(entry(number))
    assert log.waiting() == 5
    assert sign(log) is None
    assert log.sequence(3) == 3
    first = sign(log)
    assert first is not None
    assert first.size == 3
    assert sign(log) is None
    assert (log.sequence(), log.sequence()) == (2, 0)
    second = sign(log)
    assert second is not None
    assert second.size == 5
    found = verified(log, first, second)
    assert found.holds
    assert (found.size, found.covered, found.erased, found.checkpoints) == (5, 5, 0, 4)
    shown = log.find(EntryFilter(call_id="c3", tenant_id="acme"), 10)
    assert [(each.index, each.read.entry.actor, each.personal) for each in shown] == [
        (3, "li_na", {"customer": "customer-3"})
    ]
    assert [each.index for each in log.find(EntryFilter(since=AT + timedelta(seconds=2)), 2)] == [3, 4]


def test_an_access_goes_into_the_outbox_once_under_the_id_of_its_entry(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    log.append(entry(1))
    log.append(entry(1))  # the same once more is another access
    log.append(entry(2, action="hold_opened"))
    log.append(entry(3, result="refused", refusal="other_team", call_id="c3"))
    log.append(entry(4, action="searched", call_id=None, details={"calls": 7, "filters": "phone,since"}))
    lines = [RECORDINGS_ACCESSED.decode(each.record.value) for each in Outbox(register).waiting(10)]
    assert [line.action for line in lines] == ["viewed_text", "viewed_text", "viewed_text", "searched"]
    assert len({line.access_id for line in lines}) == 4
    assert {line.access_id for line in lines} < {each.read.entry_id for each in log.find(EntryFilter(), 10)}
    assert (lines[2].result, lines[2].refusal) == ("refused", "other_team")
    assert (lines[3].filters, lines[3].calls_count) == (("phone", "since"), 7)
    assert all(isinstance(line, RecordingAccessed) for line in lines)


def test_an_entry_stands_or_falls_with_its_change(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    with pytest.raises(KeyError), register.transaction() as tx:  # noqa: PT012 - the block is what is undone
        log.append_within(tx, entry(1))
        raise KeyError
    assert log.find(EntryFilter(), 10) == []
    assert Outbox(register).count_waiting() == 0
    with register.transaction() as tx:
        assert log.append_within(tx, entry(1), entry_id="00000000-0000-0000-0000-000000000001")
    with register.transaction() as tx:
        assert not log.append_within(tx, entry(1), entry_id="00000000-0000-0000-0000-000000000001")
    assert len(log.find(EntryFilter(), 10)) == 1


def test_entries_of_many_writers_are_sequenced_once_each_and_keep_their_places(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    writers, each_writes = 6, 20
    done = threading.Event()
    seen: dict[int, bytes] = {}

    def write(writer: int) -> None:
        for number in range(each_writes):
            log.append(entry(1_000 * writer + number))

    def sequence() -> None:
        while not done.is_set():
            log.sequence(7)
            sign(log)
            for line in log.lines():
                assert seen.setdefault(line.index, line.leaf) == line.leaf

    with ThreadPoolExecutor(writers + 2) as pool:
        sequencers = [pool.submit(sequence) for _ in range(2)]
        for writing in [pool.submit(write, writer) for writer in range(writers)]:
            writing.result()
        done.set()
        for each in sequencers:
            each.result()
    while log.sequence():
        pass
    sign(log)
    lines = list(log.lines())
    assert [line.index for line in lines] == list(range(writers * each_writes))
    assert all(lines[index].leaf == leaf for index, leaf in seen.items())
    assert len({line.content for line in lines}) == writers * each_writes
    assert log.waiting() == log.unlisted() == 0
    assert verified(log).holds


def test_an_entry_that_commits_late_gets_the_next_place(register: Register) -> None:
    """On PostgreSQL a transaction that began first may end last; on SQLite there is one at a time."""
    log = RegisterAuditLog(register, NowClock())
    if register.file is not None:
        pytest.skip("SQLite lets one write at a time")
    with register.transaction() as slow:
        log.append_within(slow, entry(1))
        log.append(entry(2))
        assert log.sequence() == 1
        first = sign(log)
        assert first is not None
    assert log.sequence() == 1
    assert [line.index for line in log.lines()] == [0, 1]
    assert verified(log, first).holds
    assert [each.index for each in log.find(EntryFilter(call_id="c1"), 1)] == [1]


def test_nobody_changes_or_removes_what_was_written(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    log.append(entry(1))
    log.sequence()
    sign(log)
    e = audit_entries.c
    for statement in (
        update(audit_entries).values(actor="another"),
        update(audit_entries).values(content=b""),
        delete(audit_entries),
        update(audit_leaves).values(leaf_hash=b""),
        delete(audit_leaves),
        update(audit_checkpoints).values(note=""),
        delete(audit_checkpoints),
    ):
        with pytest.raises(RegisterRefusedError), register.transaction() as tx:
            tx.execute(statement)
    with register.reading() as tx:
        assert tx.execute(select(e.actor)).scalar() == "li_na"
    if register.file is None:
        with pytest.raises(RegisterRefusedError), register.transaction() as tx:
            tx.execute(text("TRUNCATE audit_entries"))


def _without_guards(register: Register, do: Callable[[], None]) -> None:
    """As somebody does who owns the tables."""
    tables = ("audit_entries", "audit_leaves", "audit_checkpoints")
    if register.file is None:
        with register.transaction() as tx:
            for table in tables:
                tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    else:
        with register.transaction() as tx:
            for table in tables:
                for trigger in ("unchanged", "kept"):
                    tx.execute(text(f"DROP TRIGGER {table}_{trigger}"))
    do()


def test_who_gets_past_the_triggers_is_found(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    for number in range(6):
        log.append(entry(number))
    log.sequence()
    signed = sign(log)
    assert signed is not None
    differs: list[int] = []

    def change() -> None:
        with register.transaction() as tx:
            tx.execute(update(audit_entries).where(audit_entries.c.call_id == "c1").values(actor="another"))
            third = select(audit_leaves.c.entry_id).where(audit_leaves.c.leaf_index == 3)
            tx.execute(delete(audit_entries).where(audit_entries.c.entry_id.in_(third.scalar_subquery())))
            tx.execute(
                insert(audit_entries).values(
                    entry_id="x", content=b"{}", at=AT, tenant_id="acme", actor="x", action="x", appended_at=AT
                )
            )
            tx.execute(delete(audit_leaves).where(audit_leaves.c.leaf_index == 5))

    _without_guards(register, change)
    lines = list(log.lines(columns_differ=differs.append))
    assert differs == [1]
    assert log.unlisted() == 2  # the one that was put in, and the one whose leaf was removed
    kinds = [problem.kind for problem in verify_log(lines, [NamedNote("a", signed.note)], (VERIFIER,)).problems]
    assert sorted(kinds) == ["cut", "deleted"]


def test_nothing_is_signed_on_top_of_a_checkpoint_that_is_not_ours(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    log.append(entry(1))
    log.sequence()
    sign(log)

    def change() -> None:
        with register.transaction() as tx:
            tx.execute(update(audit_checkpoints).values(peaks=bytes(32)))

    _without_guards(register, change)
    log.append(entry(2))
    log.sequence()
    with pytest.raises(AuditLogError, match="callstream audit verify"):
        sign(log)


def test_personal_values_go_and_the_tree_verifies(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    for number in range(4):
        log.append(entry(number, personal={"customer": "mine" if number % 2 else "another", "address": f"a{number}"}))
    log.sequence()
    signed = sign(log)
    assert signed is not None
    assert log.erase_personal() == 0
    assert log.erase_personal(values=("mine",)) == 2
    assert log.erase_personal(values=("mine",)) == 0
    assert log.erase_personal(calls=(("acme", "c0"), ("globex", "c2"))) == 2
    assert log.erase_personal(values=("another",), names=("address",)) == 0
    found = verified(log, signed)
    assert found.holds
    assert found.erased == 4
    with register.reading() as tx:
        left = tx.execute(select(audit_personal.c.value).order_by(audit_personal.c.value)).scalars().all()
    assert left == ["a1", "a2", "a3", "another"]
    with pytest.raises(KeyError), register.transaction() as tx:  # noqa: PT012 - the block is what is undone
        assert log.erase_personal(values=("another",), within=tx) == 1
        raise KeyError
    assert verified(log).erased == 4


def test_entries_go_after_a_year_and_not_before(register: Register) -> None:
    clock = HandClock(datetime.now(UTC) - timedelta(days=500))
    log = RegisterAuditLog(register, clock)
    for number in range(3):
        log.append(entry(number, at=clock.now()))
    log.sequence()
    assert sign(log) is not None
    clock.moment = datetime.now(UTC) - timedelta(days=300)
    log.append(entry(3))
    log.sequence()
    first = sign(log)
    assert first is not None
    clock.moment = datetime.now(UTC)
    with pytest.raises(AuditLogError, match="365"):
        log.prune(timedelta(days=364))
    assert log.prune(timedelta(days=450)) == 3
    assert log.prune(timedelta(days=450)) == 0
    last = sign(log)
    assert last is not None
    found = verified(log, first, last)
    assert found.holds
    assert (found.size, found.pruned) == (5, 3)
    with register.reading() as tx:
        assert len(tx.execute(select(audit_entries.c.entry_id)).all()) == 2
        assert len(tx.execute(select(audit_personal.c.entry_id)).all()) == 1
        assert tx.execute(select(audit_waiting.c.entry_id)).all() == []


def test_what_is_told_elsewhere_is_entered_once_together_with_its_position(register: Register) -> None:
    log = RegisterAuditLog(register, NowClock())
    told = [(f"00000000-0000-0000-0000-00000000000{number}", entry(number)) for number in range(3)]
    assert log.position("query_log") is None
    assert log.append_known(told[:2], "query_log", "10") == 2
    assert log.append_known(told, "query_log", "20") == 1
    assert log.position("query_log") == "20"
    log.set_position("query_log", "30")
    assert log.position("query_log") == "30"
    assert len(log.find(EntryFilter(), 10)) == 3
