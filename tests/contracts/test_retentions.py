"""How long calls are kept, in the register: added to what is stored, on SQLite and on PostgreSQL alike."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import event, func, select

from processors.custody.audit_entry import AuditEntry
from processors.custody.listed_call import RECORDING_MAY_COME, ListedCall
from processors.custody.retention import DecidedBy, EventCame, Keep, first_day_after, terms_of
from schemas.config.retention import RetentionClass, read_retention_policy
from schemas.errors import OperatorError
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.retentions import (
    LOOK_AGAIN,
    UNDECIDED_FOR,
    KeepDecision,
    KeptCall,
    RegisterRetentions,
    UnknownCallError,
    lock_call,
)
from streams.adapters.register.tables import retentions as table
from tests.support.holding import ListedEntries
from tests.support.judged_calls import FixedClock

POLICY = read_retention_policy()
ENDED_AT = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 16, 0, tzinfo=UTC)
INSURANCE = RetentionClass(id="insurance", name="n", days=1825, starts="event", event="contract_ended")


def found(
    call_id: str = "c1",
    wanted: Sequence[str] = ("general",),
    by: DecidedBy = "capture",
    *,
    more: Sequence[RetentionClass] = (),
    contract_id: str | None = None,
    ended_at: datetime = ENDED_AT,
    is_misdial: bool | None = None,
) -> KeepDecision:
    classes = [*(one for one in POLICY.classes if one.id in wanted), *more]
    terms, waiting = terms_of(classes, POLICY.version, ended_at, by)
    early_on = first_day_after(ended_at, 7) if is_misdial else None
    return KeepDecision("acme", call_id, ended_at, Keep(terms, waiting, is_misdial, early_on), "k" * 64, contract_id)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def kept(register: Register, clock: FixedClock) -> RegisterRetentions:
    return RegisterRetentions(register, clock)


def entry(action: str = "retention_event_told") -> AuditEntry:
    return AuditEntry(NOW, "wang", "administrator", action, "acme", "done", "cli")


def on(kept: RegisterRetentions, call_id: str = "c1") -> date | None:
    row = kept.find("acme", call_id)
    assert row is not None
    return None if row.due is None else row.due.on


class TestDeciding:
    def test_what_is_stored_is_added_to_and_never_replaced(self, kept: RegisterRetentions) -> None:
        assert kept.decide([found(wanted=["education"])]) == 1
        assert kept.decide([found(wanted=["education", "education_refund_3y"], by="judged")]) == 1
        assert kept.decide([found(wanted=["education"], by="judged")]) == 0, "a replay that no longer hears of a refund"
        row = kept.find("acme", "c1")
        assert row is not None
        assert row.retention.term is not None
        assert (row.retention.term.retention_class, row.retention.term.decided_by) == ("education_refund_3y", "judged")
        assert on(kept) == first_day_after(ENDED_AT, 1095)

    def test_a_row_comes_back_as_it_was_written(self, kept: RegisterRetentions) -> None:
        decision = found(more=[INSURANCE], contract_id="p-1", is_misdial=True)
        kept.decide([decision])
        row = kept.find("acme", "c1")
        assert isinstance(row, KeptCall)
        assert row.retention.waiting == decision.command.waiting
        assert (row.day, row.ended_at, row.customer_key, row.contract_id) == (
            date(2026, 3, 1),
            ENDED_AT,
            "k" * 64,
            "p-1",
        )
        assert (row.retention.is_misdial, row.retention.early_on) == (True, first_day_after(ENDED_AT, 7))

    def test_two_decisions_of_a_call_in_one_batch_and_one_of_another(self, kept: RegisterRetentions) -> None:
        batch = [found(wanted=["general"]), found(wanted=["finance"], by="judged"), found("c2")]
        assert kept.decide(batch) == 2
        assert kept.decide(batch) == 0
        assert on(kept) == first_day_after(ENDED_AT, 1825)
        assert on(kept, "c2") == first_day_after(ENDED_AT, 180)

    def test_many_at_once(self, kept: RegisterRetentions) -> None:
        batch = [found(f"c{number}") for number in range(1_100)]
        assert kept.decide(batch) == 1_100
        assert kept.decide(batch) == 0

    def test_processes_that_decide_the_same_call_at_once_lose_nothing(
        self, kept: RegisterRetentions, register: Register
    ) -> None:
        wanted = ["general", "education", "education_refund_3y", "finance", "medical"]
        with ThreadPoolExecutor(5) as threads:
            list(threads.map(lambda one: kept.decide([found("c7", [one]), found("c3", [one])]), wanted * 4))
        assert {on(kept, "c3"), on(kept, "c7")} == {first_day_after(ENDED_AT, 1825)}
        with register.reading() as tx:
            assert tx.execute(select(func.count()).select_from(table)).scalar() == 2

    def test_nothing_is_known_of_a_call_that_nobody_decided(self, kept: RegisterRetentions) -> None:
        assert kept.find("acme", "c1") is None


class TestWhatIsDue:
    def test_the_longest_due_first_and_page_by_page(self, kept: RegisterRetentions) -> None:
        kept.decide([found(f"c{number}", ended_at=ENDED_AT + timedelta(days=number % 4)) for number in range(10)])
        last = first_day_after(ENDED_AT, 182)
        behind, seen = None, list[str]()
        while page := kept.due(last, behind, 3):
            seen += [row.call_id for row in page]
            due = page[-1].due
            assert due is not None
            behind = (due.on, page[-1].tenant_id, page[-1].call_id)
        assert seen == ["c0", "c4", "c8", "c1", "c5", "c9", "c2", "c6"]
        assert kept.due(last, None, 9, "other") == []

    def test_what_waits_for_an_event_is_not_due_in_a_hundred_years(self, kept: RegisterRetentions) -> None:
        kept.decide([found(more=[INSURANCE])])
        assert kept.due(date(2126, 1, 1), None, 9) == []

    def test_what_was_destroyed_is_due_no_more(self, kept: RegisterRetentions) -> None:
        kept.decide([found(), found("c2")])
        kept.forget([("acme", "c1")])
        kept.forget([("acme", "c1")])
        assert [row.call_id for row in kept.due(date(2126, 1, 1), None, 9)] == ["c2"]

    def test_in_the_archive_it_is_due_when_its_time_there_ends(
        self, kept: RegisterRetentions, register: Register
    ) -> None:
        long = RetentionClass(id="long", name="n", days=365, at_end="archive", archive_days=100)
        kept.decide([found(more=[long])])
        (row,) = kept.due(first_day_after(ENDED_AT, 365), None, 9)
        assert row.due is not None
        assert row.due.action == "archive"
        at = datetime.combine(first_day_after(ENDED_AT, 365), time(3), UTC)
        kept.archived(row, at)
        kept.archived(row, at + timedelta(days=9))
        assert on(kept) == first_day_after(ENDED_AT, 365) + timedelta(days=100)
        assert Outbox(register).count_waiting() == 1


class TestEvents:
    ended = EventCame("contract_ended", datetime(2029, 5, 2, tzinfo=UTC))

    @pytest.mark.parametrize("first", ["call", "event"])
    def test_a_contract_ends_for_its_calls_whenever_they_come(self, first: str, kept: RegisterRetentions) -> None:
        entries = ListedEntries()
        calls = [found("c1", more=[INSURANCE], contract_id="p-1"), found("c2", contract_id="p-1"), found("c3")]
        if first == "call":
            kept.decide(calls)
        told = kept.tell_of_contract("acme", "p-1", self.ended, entry(), entries)
        if first == "event":
            kept.decide(calls)
        assert told.calls == (2 if first == "call" else 0)
        assert on(kept) == first_day_after(self.ended.at, 1825)
        assert on(kept, "c3") == first_day_after(ENDED_AT, 180)
        assert [one.action for one in entries.entries] == ["retention_event_told"]

    def test_only_a_later_end_changes_anything(self, kept: RegisterRetentions) -> None:
        kept.decide([found(more=[INSURANCE], contract_id="p-1")])
        ends = [self.ended.at + timedelta(days=days) for days in (0, 300, -300)]
        for order in permutations(ends):
            for at in order:
                kept.tell_of_contract("acme", "p-1", EventCame("contract_ended", at), entry(), ListedEntries())
        assert on(kept) == first_day_after(self.ended.at + timedelta(days=300), 1825)

    def test_of_a_single_call(self, kept: RegisterRetentions) -> None:
        kept.decide([found(more=[INSURANCE])])
        assert kept.tell_of_call("acme", "c1", self.ended, entry(), ListedEntries()).changed == 1
        assert on(kept) == first_day_after(self.ended.at, 1825)
        with pytest.raises(UnknownCallError):
            kept.tell_of_call("acme", "c2", self.ended, entry(), ListedEntries())

    def test_without_its_entry_nothing_is_noted(self, kept: RegisterRetentions, register: Register) -> None:
        class Refusing(ListedEntries):
            def append_within(self, transaction: Transaction, entry: AuditEntry) -> None:  # noqa: ARG002
                raise OperatorError("the audit log refuses")

        kept.decide([found(more=[INSURANCE], contract_id="p-1")])
        with pytest.raises(OperatorError):
            kept.tell_of_contract("acme", "p-1", self.ended, entry(), Refusing())
        assert on(kept) is None
        assert Outbox(register).count_waiting() == 0

    def test_a_call_that_is_decided_while_its_contract_ends_misses_nothing(self, kept: RegisterRetentions) -> None:
        def tell(number: int) -> None:
            kept.tell_of_contract("acme", f"p-{number}", self.ended, entry(), ListedEntries())

        def decide(number: int) -> None:
            kept.decide([found(f"c{number}", more=[INSURANCE], contract_id=f"p-{number}")])

        with ThreadPoolExecutor(6) as threads:
            waits = [threads.submit(what, number) for number in range(20) for what in (tell, decide)]
            for each in waits:
                each.result()
        assert {on(kept, f"c{number}") for number in range(20)} == {first_day_after(self.ended.at, 1825)}


class TestFloors:
    def floor(self, kept: RegisterRetentions, register: Register, call_id: str = "c1") -> datetime | None:
        with register.transaction() as tx:
            return kept.floor_until_within(tx, "acme", call_id)

    def test_by_law_finance_is_kept_a_year_whatever_the_policy_adds(
        self, kept: RegisterRetentions, register: Register, clock: FixedClock
    ) -> None:
        kept.decide([found(wanted=["general", "finance"])])
        until = datetime.combine(first_day_after(ENDED_AT, 365), time(), UTC)
        assert self.floor(kept, register) == until
        clock.moment = until
        assert self.floor(kept, register) is None

    def test_what_cannot_be_foretold_is_looked_at_again(self, kept: RegisterRetentions, register: Register) -> None:
        kept.decide([found(more=[INSURANCE])])
        assert self.floor(kept, register) == NOW + LOOK_AGAIN
        assert self.floor(kept, register, "unknown") == NOW + UNDECIDED_FOR


class TestCallsThatTheExchangesListAloneKnows:
    def floor(self, kept: RegisterRetentions, register: Register, listed: ListedCall) -> datetime | None:
        with register.transaction() as tx:
            return kept.floor_until_within(tx, "acme", "c1", listed)

    def test_no_law_asks_for_one_without_a_recording(self, kept: RegisterRetentions, register: Register) -> None:
        unrecorded = ListedCall(frozenset({"a" * 64}), NOW, recorded=False, is_alone=True)
        assert self.floor(kept, register, unrecorded) is None

    def test_one_whose_recording_may_still_come_is_waited_for(
        self, kept: RegisterRetentions, register: Register, clock: FixedClock
    ) -> None:
        missing = ListedCall(frozenset({"a" * 64}), NOW, is_alone=True)
        assert self.floor(kept, register, missing) == NOW + RECORDING_MAY_COME
        clock.moment = NOW + RECORDING_MAY_COME
        assert self.floor(kept, register, missing) is None

    def test_of_any_other_nothing_is_known_until_something_is_decided(
        self, kept: RegisterRetentions, register: Register
    ) -> None:
        assert self.floor(kept, register, ListedCall(frozenset({"a" * 64}), NOW)) == NOW + UNDECIDED_FOR
        kept.decide([found(wanted=["finance"])])
        until = datetime.combine(first_day_after(ENDED_AT, 365), time(), UTC)
        assert self.floor(kept, register, ListedCall(frozenset(), NOW, recorded=False, is_alone=True)) == until


class TestWhatWasDecided:
    def test_it_is_known_of_which_calls_and_whether_they_were_judged(
        self, kept: RegisterRetentions, register: Register
    ) -> None:
        kept.decide([found("ended"), found("judged", is_misdial=False)])
        with register.transaction() as tx:
            lock_call(tx, "acme", "locked")
        calls = [("acme", each) for each in ("ended", "judged", "locked", "unknown")]
        assert kept.decided_among(calls) == {("acme", "ended"): False, ("acme", "judged"): True}


class TestAmongMany:
    def test_nothing_looks_through_the_whole_table(self, kept: RegisterRetentions, register: Register) -> None:
        if register.file is None:
            pytest.skip("PostgreSQL decides by how many rows there are")
        kept.decide([found(f"c{number}") for number in range(20)])
        asked: list[tuple[str, Any]] = []

        @event.listens_for(register.engine, "before_cursor_execute")
        def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
            asked.append((statement, parameters[0] if many else parameters))

        kept.due(date(2027, 1, 1), (date(2026, 8, 29), "acme", "c3"), 9)
        kept.decide([found(f"c{number}", ["finance"], contract_id="p-1") for number in range(25)])
        kept.tell_of_contract("acme", "p-1", TestEvents.ended, entry(), ListedEntries())
        kept.forget([("acme", "c1"), ("other", "c1")])
        event.remove(register.engine, "before_cursor_execute", listen)
        with register.reading() as tx:
            for statement, parameters in asked:
                if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                    plan = tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                    assert not [row for row in plan if row[3].startswith("SCAN")], statement
