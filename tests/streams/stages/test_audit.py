"""The stage `audit` on both databases: what it signs and where that goes, killed at every step; what people ask."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import NamedNote, verify_log
from schemas.errors import RetryableError
from schemas.messages.topics import AUDIT_CHECKPOINTS
from streams.adapters.audit_anchors import PREFIX, CheckpointAnchor, KafkaAnchor, StoreAnchor, size_of_key
from streams.adapters.clickhouse.audit_source import ACCESS_DENIED, AskedQuery, DayAccount
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog, SignedCheckpoint
from streams.adapters.register.register import Register
from streams.runtime.audit_key import AuditKey
from streams.stages.audit import SIGNED_AFTER, Accounts, Audit, QueryingPerson
from tests.support.registers import BOTH

pytestmark = [pytest.mark.parametrize("register_url", BOTH, indirect=True)]

NOW = datetime(2026, 5, 2, 9, tzinfo=UTC)
KEY = AuditKey("log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
ACCOUNTS = Accounts({"ana": QueryingPerson("bi_analyst", "acme")}, frozenset({"default"}))


class HandClock:
    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment


class Source:
    """ClickHouse as the stage sees it."""

    def __init__(self) -> None:
        self.asked: list[AskedQuery] = []
        self.days: dict[date, list[DayAccount]] = {}
        self.down = False

    def queries(self, since: datetime, without: frozenset[str]) -> Sequence[AskedQuery]:
        if self.down:
            raise RetryableError("ClickHouse does not answer")
        found = [each for each in self.asked if each.at >= since and each.user not in without]
        return sorted(found, key=lambda each: each.at)

    def account(self, day: date) -> Sequence[DayAccount]:
        if self.down:
            raise RetryableError("ClickHouse does not answer")
        return self.days.get(day, [])

    def close(self) -> None:
        pass


class Killed(BaseException):
    """The process is gone."""


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        at=NOW,
        actor="li_na",
        role="inspector",
        action="viewed_text",
        tenant_id="acme",
        result="allowed",
        client="api",
        call_id=f"c{number}",
    )


class Stage:
    """The stage with all around it; each `audit()` is a process that starts anew."""

    def __init__(self, register: Register, folder: Path) -> None:
        self.clock = HandClock()
        self.log = RegisterAuditLog(register, self.clock)
        self.store = FolderStore(folder / "store", "calls")
        self.store.apply()
        self.broker = MemoryBroker()
        self.source = Source()

    def audit(self, log: RegisterAuditLog | None = None) -> Audit:
        anchors: list[CheckpointAnchor] = [StoreAnchor(self.store, timedelta()), KafkaAnchor(self.broker, KEY.verifier)]
        return Audit(
            log or self.log,
            KEY,
            anchors,
            self.source,
            ACCOUNTS,
            self.clock,
            every=timedelta(seconds=60),
            keep=timedelta(days=400),
            store=self.store,
        )

    def in_store(self) -> list[str]:
        return [self.store.read(each.key).decode() for each in self.store.entries(PREFIX)]

    def in_kafka(self) -> list[str]:
        records = self.broker.records[AUDIT_CHECKPOINTS.name]
        return [AUDIT_CHECKPOINTS.decode(record.value).note for record in records]

    def holds(self) -> bool:
        notes = [NamedNote("register", each.note) for each in self.log.checkpoints()]
        notes += [NamedNote("store", note) for note in self.in_store()]
        notes += [NamedNote("kafka", note) for note in self.in_kafka()]
        return verify_log(self.log.lines(), notes, (KEY.verifier,)).holds


@pytest.fixture
def stage(register: Register, tmp_path: Path) -> Stage:
    return Stage(register, tmp_path)


def test_an_entry_is_signed_within_a_minute_and_goes_everywhere(stage: Stage) -> None:
    audit = stage.audit()
    audit.step()
    assert stage.log.checkpoints() == []
    stage.log.append(entry(1))
    audit.step()
    stage.log.append(entry(2))
    stage.clock.moment += timedelta(seconds=59)
    audit.step()
    assert [each.size for each in stage.log.checkpoints()] == [1]
    stage.clock.moment += timedelta(seconds=1)
    audit.step()
    assert [each.size for each in stage.log.checkpoints()] == [1, 2]
    notes = [each.note for each in stage.log.checkpoints()]
    assert stage.in_store() == stage.in_kafka() == notes
    assert [size_of_key(each.key) for each in stage.store.entries(PREFIX)] == [1, 2]
    assert stage.holds()


def test_a_thousand_entries_are_signed_at_once(stage: Stage) -> None:
    audit = stage.audit()
    stage.log.append(entry(0))
    audit.step()
    stage.log.append_all(entry(number) for number in range(SIGNED_AFTER))
    audit.step()
    assert [each.size for each in stage.log.checkpoints()] == [1, SIGNED_AFTER + 1]


class _Dying:
    """The log of entries, whose process is killed at the given call of a method that changes something."""

    def __init__(self, log: RegisterAuditLog, dies_at: int, after: bool) -> None:
        self._log = log
        self._left = dies_at
        self._after = after

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._log, name)
        if name not in ("sequence", "sign", "set_position", "append_known", "append"):
            return method

        def dying(*arguments: object, **named: object) -> object:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            result = method(*arguments, **named)
            if self._left == 0:
                raise Killed
            return result

        return dying


@pytest.mark.parametrize("after", [pytest.param(False, id="before"), pytest.param(True, id="after")])
def test_killed_at_any_step_nothing_is_lost_or_there_twice(stage: Stage, after: bool) -> None:
    stage.source.days = {date(2026, 5, 1): [DayAccount("acme", {"analyzed": 3, "pending": 1})]}
    stage.source.asked = [query("q1", "ana", NOW - timedelta(minutes=1))]
    for dies_at in range(1, 12):
        stage.log.append(entry(dies_at))
        dying = _Dying(stage.log, dies_at, after)
        audit = stage.audit(dying)  # type: ignore[arg-type] # a log that dies
        with suppress(Killed):
            audit.step()
        stage.source.asked.append(query(f"q1{dies_at}", "ana", stage.clock.moment))
        stage.clock.moment += timedelta(minutes=1)
    stage.audit().step()
    entries = stage.log.find(EntryFilter(), 100)
    assert len([each for each in entries if each.read.entry.action == "viewed_text"]) == 11
    assert len([each for each in entries if each.read.entry.action == "completeness"]) == 1
    assert len([each for each in entries if each.read.entry.action == "queried"]) == 12
    assert stage.log.waiting() == stage.log.unlisted() == 0
    assert {*stage.in_store()} == {*stage.in_kafka()} == {each.note for each in stage.log.checkpoints()}
    assert stage.holds()


def query(query_id: str, user: str, at: datetime, error: int = 0, *, began: bool = True) -> AskedQuery:
    return AskedQuery(query_id, user, at, error, began, ("calls", "findings") if began else (), 70, 7)


def test_queries_of_people_are_entries_without_a_word_of_them(stage: Stage) -> None:
    stage.source.asked = [
        query("q1", "ana", NOW - timedelta(seconds=50)),
        query("q2", "ana", NOW - timedelta(seconds=40), ACCESS_DENIED, began=False),
        query("q3", "somebody", NOW - timedelta(seconds=30), 395),
        query("q4", "default", NOW - timedelta(seconds=20)),
        query("q5", "ana", NOW - timedelta(seconds=10), 62, began=False),
    ]
    audit = stage.audit()
    audit.step()
    found = [each.read.entry for each in stage.log.find(EntryFilter(action="queried"), 10)]
    assert [(each.actor, each.role, each.tenant_id, each.result, each.object_id) for each in found] == [
        ("ana", "bi_analyst", "acme", "allowed", "q1"),
        ("ana", "bi_analyst", "acme", "refused", "q2"),
        ("somebody", "unknown", "*", "allowed", "q3"),
        ("ana", "bi_analyst", "acme", "failed", "q5"),
    ]
    assert found[0].details == {"tables": "calls,findings", "rows_read": 70, "rows": 7}
    late = query("q0", "ana", NOW - timedelta(minutes=2))
    stage.source.asked.append(late)
    stage.clock.moment += timedelta(seconds=10)
    audit.step()
    assert len(stage.log.find(EntryFilter(action="queried"), 10)) == 5


def test_each_day_a_tenant_s_calls_are_accounted_for(stage: Stage) -> None:
    day = date(2026, 5, 1)
    outcomes = {"analyzed": 5, "too_short": 2, "refused": 1, "not_received": 3, "pending": 4, "purged": 6, "new": 1}
    stage.source.days = {day: [DayAccount("acme", outcomes), DayAccount("globex", {"analyzed": 1})]}
    stage.source.days[date(2026, 5, 2)] = [DayAccount("acme", {"analyzed": 1})]
    audit = stage.audit()
    audit.step()
    stage.clock.moment += timedelta(hours=1)
    audit.step()
    told = [each.read.entry for each in stage.log.find(EntryFilter(action="completeness"), 10)]
    assert {each.tenant_id: dict(each.details) for each in told} == {
        "acme": {
            "announced": 22,
            "results": 7,
            "tombstones": 6,
            "refused": 1,
            "not_received": 3,
            "pending": 4,
            "other": 1,
        },
        "globex": {
            "announced": 1,
            "results": 1,
            "tombstones": 0,
            "refused": 0,
            "not_received": 0,
            "pending": 0,
            "other": 0,
        },
    }
    stage.clock.moment += timedelta(days=1)
    stage.audit().step()
    assert len(stage.log.find(EntryFilter(action="completeness", tenant_id="acme"), 10)) == 2


def test_what_does_not_answer_holds_up_nothing_else(stage: Stage) -> None:
    class Broken:
        name = "broken"
        needs_all = True

        def deliver(self, checkpoints: Sequence[SignedCheckpoint]) -> None:  # noqa: ARG002 - as the port has it
            raise RetryableError("the subscriber does not answer")

        def close(self) -> None:
            pass

    stage.source.down = True
    stage.log.append(entry(1))
    audit = Audit(
        stage.log,
        KEY,
        [Broken(), StoreAnchor(stage.store, timedelta())],
        stage.source,
        ACCOUNTS,
        stage.clock,
        every=timedelta(seconds=60),
        keep=timedelta(days=400),
    )
    audit.step()
    assert len(stage.in_store()) == 1
    stage.source.down = False
    stage.source.asked = [query("q1", "ana", NOW)]
    stage.clock.moment += timedelta(seconds=30)
    audit.step()
    assert len(stage.log.find(EntryFilter(action="queried"), 10)) == 1


def test_a_register_that_lost_entries_says_so(stage: Stage) -> None:
    stage.store.put(f"{PREFIX}{NOW:%Y%m%dT%H%M%S.%fZ}-{7:015d}", b"a checkpoint of 7 entries")
    stage.log.append(entry(1))
    for _ in range(2):
        stage.audit().step()
    (told,) = stage.log.find(EntryFilter(action="log_shortened"), 10)
    assert told.read.entry.details == {"signed": 7, "entries": 0}
