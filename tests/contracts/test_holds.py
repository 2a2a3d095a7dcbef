"""Legal holds in the register, and that a purge and a hold of one moment never both succeed."""

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from processors.custody.audit_entry import AuditEntry
from processors.custody.holds import (
    TELEPHONY,
    Case,
    CustomerScope,
    Extend,
    HeldCall,
    HoldCommand,
    HoldRefusedError,
    HoldScope,
    Open,
    Release,
    holding,
    telephony_case,
)
from processors.custody.listed_call import ListedCall
from processors.custody.retention import Keep, terms_of
from schemas.config.retention import read_retention_policy
from schemas.errors import RetryableError
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register.holds import HoldOutcome, RegisterCaseList, RegisterCases, RegisterHolds
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import KeepDecision, RegisterRetentions, TenantCall
from streams.adapters.register.tables import leftovers
from tests.support.holding import ListedEntries
from tests.support.judged_calls import FixedClock

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
KEY, FORMER_KEY = "a" * 64, "b" * 64


class House:
    """Cases, holds, and a purge that writes its tombstones (here: rows of `leftovers`) as the real one does."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.clock = FixedClock(AT)
        self.entries = ListedEntries()
        self.holds = RegisterHolds(register, self.clock)
        self.cases = RegisterCases(register, self.clock, self.entries, self.gone)
        self.listed = RegisterCaseList(register)
        self.retentions = RegisterRetentions(register, self.clock)

    def gone(self, calls: Collection[TenantCall]) -> frozenset[TenantCall]:
        with self.register.reading() as tx:
            keys = set(tx.execute(select(leftovers.c.object_key)).scalars())
        return frozenset(call for call in calls if "/".join(call) in keys)

    def purge(self, call_id: str, before_the_end: threading.Event | None = None) -> bool:
        """Whether the tombstone was written."""
        with self.register.transaction("write a tombstone") as tx:
            if self.holds.cases_within(tx, "acme", call_id):
                return False
            if before_the_end is not None:
                before_the_end.wait(1)
            tx.insert_new(leftovers, object_key=f"acme/{call_id}", left_at=AT)
        return True

    def tell(self, case_id: str, command: HoldCommand, actor: str = "li") -> HoldOutcome:
        entry = AuditEntry(AT, actor, "inspector", "hold_opened", "acme", "done", "cli", object_id=case_id)
        return self.cases.tell("acme", case_id, command, entry)

    def decide(self, call_id: str, customer_key: str | None = None, ended_at: datetime = AT) -> None:
        classes = [one for one in read_retention_policy().classes if one.id == "general"]
        command = Keep(*terms_of(classes, 2, ended_at, "capture"))
        self.retentions.decide([KeepDecision("acme", call_id, ended_at, command, customer_key)])


@pytest.fixture
def house(register: Register) -> House:
    return House(register)


def opened(*calls: str, customers: tuple[CustomerScope, ...] = (), actor: str = "li") -> Open:
    return Open(HoldScope(frozenset(calls), customers), "lawsuit", actor, AT)


RELEASED = Release("wang", is_person=True)


class TestCases:
    def test_a_call_is_held_by_every_case_that_names_it(self, house: House) -> None:
        house.tell("k-2", opened("c1", "c2"))
        house.tell("k-1", opened("c1"))
        assert house.holds.cases("acme", "c1") == ("k-1", "k-2")
        assert house.holds.cases("other", "c1") == ()
        house.tell("k-1", RELEASED)
        assert house.holds.cases("acme", "c1") == ("k-2",)
        assert not house.purge("c1")
        house.tell("k-2", RELEASED)
        assert house.holds.cases("acme", "c1") == ()
        assert house.purge("c1")

    def test_each_change_has_its_entry_and_its_event_once(self, house: House) -> None:
        for _ in range(2):
            house.tell("k-1", opened("c1"))
            house.tell("k-1", Extend(HoldScope(frozenset({"c2"}))))
        house.tell("k-1", RELEASED)
        house.tell("k-1", RELEASED)
        events = [CustodyChanged.decode(one.record.value) for one in Outbox(house.register).waiting(99)]
        assert [(one.kind, one.case_id, one.count) for one in events] == [
            ("hold_opened", "k-1", 1),
            ("hold_extended", "k-1", 1),
            ("hold_released", "k-1", None),
        ]
        assert len(house.entries.entries) == 3

    def test_a_refused_command_changes_nothing(self, house: House) -> None:
        house.tell("k-1", opened("c1"))
        with pytest.raises(HoldRefusedError, match="by a person"):
            house.tell("k-1", Release("callstream", is_person=False))
        with pytest.raises(HoldRefusedError, match="open already"):
            house.tell("k-1", opened("c2", actor="zhou"))
        assert house.holds.cases("acme", "c1") == ("k-1",)
        assert Outbox(house.register).count_waiting() == 1

    def test_the_case_of_telephony_is_not_opened_again(self, house: House) -> None:
        case = telephony_case("c1")
        house.tell(case, opened("c1", actor=TELEPHONY), TELEPHONY)
        house.tell(case, RELEASED)
        house.tell(case, opened("c1", actor=TELEPHONY), TELEPHONY)
        assert house.holds.cases("acme", "c1") == ()

    def test_cases_are_listed_with_what_they_hold(self, house: House) -> None:
        house.decide("c3", KEY)
        house.tell("k-1", opened("c1", "c2", customers=(CustomerScope(frozenset({KEY, FORMER_KEY})),)))
        house.tell("k-2", opened("c1"))
        house.tell("k-2", RELEASED)
        (row,) = house.listed.list("acme")
        assert (row.case_id, row.reason, row.opened_by, row.calls, row.customers) == ("k-1", "lawsuit", "li", 2, 1)
        assert {each.case_id for each in house.listed.list(released=True)} == {"k-1", "k-2"}
        assert house.listed.calls("acme", "k-1", 99) == ["c1", "c2", "c3"]
        assert house.listed.calls("acme", "k-2", 99) == []
        found = house.listed.find("acme", "k-2")
        assert found is not None
        assert (found.state, found.released_by) == ("released", "wang")
        assert house.listed.find("acme", "k-9") is None

    def test_holds_of_many_calls_are_asked_for_at_once(self, house: House) -> None:
        house.tell("k-1", opened(*(f"c{number}" for number in range(0, 1_200, 3))))
        calls = [("acme", f"c{number}") for number in range(1_200)]
        assert len(house.holds.among(calls)) == 400


class TestCustomers:
    year = CustomerScope(frozenset({KEY, FORMER_KEY}), AT, AT + timedelta(days=365))

    def test_their_calls_are_held_and_those_to_come(self, house: House) -> None:
        house.decide("before", KEY, AT - timedelta(days=1))
        house.decide("there", FORMER_KEY)
        house.decide("others", "c" * 64)
        house.decide("nobodys")
        house.tell("k-1", opened(customers=(self.year,)))
        house.decide("later", KEY, AT + timedelta(days=30))
        house.decide("too_late", KEY, AT + timedelta(days=365))
        held = house.holds.among(
            [("acme", each) for each in ("before", "there", "others", "nobodys", "later", "too_late")]
        )
        assert held == {("acme", "there"): ("k-1",), ("acme", "later"): ("k-1",)}
        assert house.listed.calls("acme", "k-1", 9) == ["later", "there"]

    def test_a_call_of_which_nothing_was_decided_may_be_theirs(self, house: House) -> None:
        house.tell("k-1", opened(customers=(self.year,)))
        assert house.holds.cases("acme", "unknown") == ("k-1",)
        assert house.holds.cases("other", "unknown") == ()
        assert not house.purge("unknown"), "also once a purge has made its row"
        assert house.holds.cases("acme", "unknown") == ("k-1",)
        house.decide("unknown", "c" * 64)
        assert house.holds.cases("acme", "unknown") == ()


class TestCustomersOfTheExchangesList:
    scope = CustomerScope(frozenset({KEY, FORMER_KEY}), AT, AT + timedelta(days=365))

    def cases(self, house: House, call_id: str, listed: ListedCall) -> Sequence[str]:
        """By a look, and by a purge in its transaction, which must agree."""
        found = house.holds.cases("acme", call_id, listed)
        with house.register.transaction() as tx:
            assert house.holds.cases_within(tx, "acme", call_id, listed) == found
        model = HeldCall(call_id, None, None, listed)
        row = house.retentions.find("acme", call_id)
        if row is not None:
            model = HeldCall(call_id, row.customer_key, row.ended_at, listed)
        open_cases = [(row.case_id, Case("open", "", "", AT, HoldScope(customers=(self.scope,))))
                      for row in house.listed.list("acme")]  # fmt: skip
        assert list(found) == holding(open_cases, model)
        return found

    def test_a_call_whose_event_withheld_the_number_is_held_by_the_number_of_the_list(self, house: House) -> None:
        house.decide("c1")
        house.tell("k-1", opened(customers=(self.scope,)))
        assert self.cases(house, "c1", ListedCall(frozenset({"d" * 64, FORMER_KEY}), AT)) == ("k-1",)
        assert self.cases(house, "c1", ListedCall(frozenset({"d" * 64}), AT)) == ()
        assert self.cases(house, "c1", ListedCall(frozenset(), AT)) == ()

    def test_by_the_end_that_the_list_tells(self, house: House) -> None:
        house.decide("c1", ended_at=AT - timedelta(days=1))
        house.tell("k-1", opened(customers=(self.scope,)))
        assert self.cases(house, "c1", ListedCall(frozenset({KEY}), AT - timedelta(days=1))) == ()
        assert self.cases(house, "c1", ListedCall(frozenset({KEY}), AT)) == ("k-1",)
        assert self.cases(house, "c1", ListedCall(frozenset({KEY}), AT + timedelta(days=365))) == ()

    def test_the_customer_of_the_event_counts_beside_another_of_the_list(self, house: House) -> None:
        house.decide("c1", KEY)
        house.tell("k-1", opened(customers=(self.scope,)))
        assert self.cases(house, "c1", ListedCall(frozenset({"d" * 64}), AT)) == ("k-1",)

    def test_a_call_that_the_list_alone_knows_is_held_by_cases_of_its_customer_alone(self, house: House) -> None:
        house.tell("k-1", opened(customers=(self.scope,)))
        assert self.cases(house, "c1", ListedCall(frozenset({KEY}), AT, is_alone=True)) == ("k-1",)
        assert self.cases(house, "c2", ListedCall(frozenset({"d" * 64}), AT, is_alone=True)) == ()
        assert self.cases(house, "c3", ListedCall(frozenset({"d" * 64}), AT)) == ("k-1",), "its event came"
        assert self.cases(house, "c4", ListedCall(frozenset(), AT, is_alone=True)) == ("k-1",), "nobody knows whose"

    def test_a_released_case_holds_nothing(self, house: House) -> None:
        house.decide("c1")
        house.tell("k-1", opened(customers=(self.scope,)))
        assert list(house.listed.customers("acme", "k-1")) == [self.scope]
        house.tell("k-1", RELEASED)
        assert self.cases(house, "c1", ListedCall(frozenset({KEY}), AT)) == ()
        assert list(house.listed.customers("acme", "k-1")) == []

    def test_the_calls_of_customers_by_their_own_events(self, house: House) -> None:
        house.decide("theirs", FORMER_KEY)
        house.decide("before", KEY, AT - timedelta(seconds=1))
        house.decide("others", "d" * 64)
        assert house.listed.theirs("acme", [self.scope]) == {"theirs"}
        assert house.listed.theirs("acme", []) == frozenset()
        assert house.listed.theirs("other", [self.scope]) == frozenset()


class TestHoldAndPurge:
    def test_a_hold_of_a_call_that_is_gone_is_refused(self, house: House) -> None:
        house.decide("c1", KEY)
        assert house.purge("c1")
        with pytest.raises(HoldRefusedError, match="has been destroyed"):
            house.tell("k-1", opened("c1"))
        assert house.listed.find("acme", "k-1") is None

    def test_the_others_are_held_and_the_gone_ones_are_named(self, house: House) -> None:
        house.decide("c1", KEY)
        assert house.purge("c1")
        assert house.tell("k-1", opened("c1", "c2")).gone == ("c1",)
        assert house.tell("k-2", opened(customers=(CustomerScope(frozenset({KEY})),))).gone == ("c1",)
        assert house.holds.cases("acme", "c2") == ("k-1", "k-2")

    @pytest.mark.parametrize("by", ["call", "customer"])
    def test_a_hold_waits_for_a_purge_that_is_under_way_and_is_told(self, by: str, house: House) -> None:
        house.decide("c1", KEY)
        go_on = threading.Event()
        command = opened("c1") if by == "call" else opened(customers=(CustomerScope(frozenset({KEY})),))
        with ThreadPoolExecutor(2) as threads:
            purge = threads.submit(house.purge, "c1", go_on)
            hold = threads.submit(self.gone_of, house, command)
            go_on.set()
            purged, gone = purge.result(), hold.result()
        assert purged == (gone is None or "c1" in gone)

    @staticmethod
    def gone_of(house: House, command: Open) -> tuple[str, ...] | None:
        """What the hold is told is gone; None where it is refused because of that."""
        try:
            return house.tell("k-1", command).gone
        except HoldRefusedError:
            return None

    def test_whoever_is_first_wins_and_never_both(self, house: House) -> None:
        calls = [f"c{number}" for number in range(25)]
        for call_id in calls:
            house.decide(call_id, KEY)

        def hold(call_id: str) -> bool:
            try:
                house.tell(f"k-{call_id}", opened(call_id))
            except (HoldRefusedError, RetryableError):
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            waits = {each: (threads.submit(house.purge, each), threads.submit(hold, each)) for each in calls}
            both = {each: (purge.result(), held.result()) for each, (purge, held) in waits.items()}
        assert all(purged != held for purged, held in both.values()), both
        assert house.gone([("acme", each) for each in calls]) == {("acme", each) for each in calls if both[each][0]}
