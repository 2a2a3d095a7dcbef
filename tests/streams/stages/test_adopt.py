"""Calls of earlier releases are adopted: decided as `keep` decides, held first, by a process that may end anywhere."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from processors.custody.audit_entry import AuditEntry
from processors.custody.holds import HoldScope, Open, Release, telephony_case
from processors.custody.retention import first_day_after
from schemas.config.retention import TenantPolicies, read_retention_policy
from schemas.config.tenants import ALL_ALIKE
from schemas.messages.call_analysis import TopicMention
from schemas.messages.call_ended import CallFacts
from streams.adapters.clickhouse.judged_calls import CallPlace, StoredJudgement
from streams.adapters.register.holds import RegisterCaseList, RegisterCases, RegisterHolds
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import KeepDecision, KeptCall, RegisterRetentions, TenantCall, lock_call
from streams.stages.adopt import FIRST, Adopted, Adopter
from streams.stages.deciding import decision_of_event
from tests.support.holding import ListedEntries
from tests.support.judged_calls import FixedClock, an_event

ENDED_AT = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
POLICY = read_retention_policy()


class KilledError(Exception):
    """As if the process had ended there."""


def stored(
    call_id: str,
    *,
    after_s: int = 0,
    outcome: str = "analyzed",
    duration_ms: int | None = 240_000,
    of_class: str | None = None,
    days: int | None = None,
    topics: Sequence[str] = (),
    texts: Sequence[str] = (),
    **facts: Any,
) -> StoredJudgement:
    event = an_event(call_id, ENDED_AT + timedelta(seconds=after_s), duration_ms or 240_000, **facts)
    call = CallFacts.model_validate(event.model_dump(include=set(CallFacts.model_fields)))
    mentions = tuple(TopicMention(topic_id=one, name=one, role="unknown", quote="", confidence=0) for one in topics)
    return StoredJudgement(call, outcome, duration_ms, of_class, days, mentions, tuple(texts))


@dataclass
class Calls:
    """`JudgedCalls` in memory. `reads` counts the calls that were read."""

    all: list[StoredJudgement | str] = field(default_factory=list)
    reads: int = 0

    def tenants(self) -> Sequence[str]:
        return ["acme"]

    def _places(self) -> list[CallPlace]:
        told = [(one, ENDED_AT) if isinstance(one, str) else (one.call.call_id, one.call.ended_at) for one in self.all]
        return sorted((CallPlace(at, call_id) for call_id, at in told), key=lambda one: (one.ended_at, one.call_id))

    def page(self, _tenant_id: str, behind: CallPlace, until: datetime, most: int) -> Sequence[CallPlace]:
        key = (behind.ended_at, behind.call_id)
        return [one for one in self._places() if (one.ended_at, one.call_id) > key and one.ended_at < until][:most]

    def places(self, _tenant_id: str, calls: Collection[str]) -> Sequence[CallPlace]:
        return [one for one in self._places() if one.call_id in calls]

    def read(
        self, _tenant_id: str, places: Sequence[CallPlace], *, with_texts: bool
    ) -> Iterator[StoredJudgement | str]:
        assert with_texts, "the shipped classes ask what was said"
        wanted = {one.call_id for one in places}
        for one in self.all:
            if (one if isinstance(one, str) else one.call.call_id) in wanted:
                self.reads += 1
                yield one


@dataclass
class House:
    register: Register
    calls: Calls = field(default_factory=Calls)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    entries: ListedEntries = field(default_factory=ListedEntries)
    destroyed: set[TenantCall] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.retentions = RegisterRetentions(self.register, self.clock)
        self.cases = RegisterCases(self.register, self.clock, self.entries, self.gone)

    def gone(self, calls: Collection[TenantCall]) -> frozenset[TenantCall]:
        return frozenset(self.destroyed.intersection(calls))

    def adopter(self, *, at_once: int = 2) -> Adopter:
        policies = TenantPolicies(POLICY, ALL_ALIKE)
        return Adopter(self.calls, self.retentions, self.cases, self.gone, policies, self.clock, at_once)

    def adopt(self, *, dry_run: bool = False, until: datetime = NOW) -> Adopted:
        return self.adopter().adopt_all(["acme"], FIRST.ended_at, until, dry_run=dry_run)

    def kept(self, call_id: str) -> KeptCall:
        found = self.retentions.find("acme", call_id)
        assert found is not None
        return found

    def due_on(self, call_id: str) -> date | None:
        found = self.kept(call_id).due
        return None if found is None else found.on

    def cases_of(self, call_id: str) -> Sequence[str]:
        return RegisterHolds(self.register, self.clock).cases("acme", call_id)


@pytest.fixture
def house(register: Register) -> House:
    return House(register)


def days(number: int) -> date:
    return first_day_after(ENDED_AT, number)


@pytest.mark.parametrize(
    ("call", "due_on"),
    [
        pytest.param(stored("c1"), days(180), id="the class of every call"),
        pytest.param(stored("c1", industry="finance"), days(1825), id="by its industry"),
        pytest.param(
            stored("c1", of_class="finance_insurance_10y", days=3650), days(3650), id="a class of a rule pack"
        ),
        pytest.param(
            stored("c1", industry="education", texts=["您好", "我要退费"]),
            days(1095),
            id="by what was said, before classes",
        ),
        pytest.param(stored("c1", industry="education", topics=["退费"]), days(1095), id="by its topics"),
        pytest.param(stored("c1", industry="insurance_sale"), None, id="one that waits for its contract to end"),
        pytest.param(stored("c1", outcome="too_short", duration_ms=2_000), days(7), id="a misdial"),
        pytest.param(stored("c1", outcome="too_short", duration_ms=None), days(180), id="of unknown length"),
    ],
)
def test_it_is_decided_by_what_is_stored(house: House, call: StoredJudgement, due_on: date | None) -> None:
    house.calls.all = [call]
    assert house.adopt().adopted == 1
    assert house.due_on("c1") == due_on


def test_customer_and_contract_are_those_of_the_event(house: House) -> None:
    house.calls.all = [stored("c1", customer="a" * 64, crm={"contract_id": "p-1"})]
    house.adopt()
    assert (house.kept("c1").customer_key, house.kept("c1").contract_id) == ("a" * 64, "p-1")


def test_every_page_and_every_call_once(house: House) -> None:
    house.calls.all = [stored(f"c{number}", after_s=number // 3) for number in range(7)]
    assert house.adopt() == Adopted(adopted=7, due=7)
    assert house.adopt() == Adopted(passed=7)
    assert house.calls.reads == 7
    assert house.adopt(until=ENDED_AT + timedelta(seconds=1)) == Adopted(passed=3)


def test_a_look_writes_nothing_and_says_what_would_be(house: House) -> None:
    house.calls.all = [stored("c1", legal_hold=True), stored("c2", industry="finance")]
    assert house.adopt(dry_run=True) == Adopted(adopted=2, held=1, due=1)
    assert house.retentions.find("acme", "c1") is None
    assert RegisterCaseList(house.register).list() == []


def test_one_that_was_known_by_its_event_alone_is_added_to(house: House) -> None:
    event = an_event("c1", ENDED_AT, industry="education")
    house.retentions.decide([decision_of_event(POLICY, event)])
    house.calls.all = [stored("c1", industry="education", of_class="education_refund_3y", days=1095)]
    assert house.adopt() == Adopted(added=1)
    assert house.due_on("c1") == days(1095)
    assert house.adopt() == Adopted(passed=1)


def test_a_row_that_only_locks_is_no_decision(house: House) -> None:
    with house.register.transaction() as tx:
        lock_call(tx, "acme", "c1")
    house.calls.all = [stored("c1")]
    assert house.adopt().adopted == 1


def test_one_that_was_destroyed_is_passed_over(house: House) -> None:
    house.destroyed = {("acme", "c1")}
    house.calls.all = [stored("c1", legal_hold=True), stored("c2")]
    assert house.adopt() == Adopted(adopted=1, due=1, gone=1)
    assert house.retentions.find("acme", "c1") is None
    assert RegisterCaseList(house.register).list() == []


def test_what_cannot_be_read_or_is_refused_holds_up_no_other(house: House) -> None:
    calls: list[StoredJudgement | str] = [stored(f"c{number}") for number in range(5)]
    bad: list[StoredJudgement | str] = ["broken"]
    if house.register.file is None:  # SQLite takes every text
        bad.append(stored("refused", crm={"contract_id": "p\x001"}))
    house.calls.all = [*calls, *bad]
    done = house.adopter(at_once=500).adopt_all(["acme"], FIRST.ended_at, NOW)
    assert done.adopted == 5
    assert sorted(done.refused) == ["acme/broken", "acme/refused"][: len(bad)]


class TestLegalHolds:
    def test_it_is_held_by_the_case_of_its_event(self, house: House) -> None:
        house.calls.all = [stored("c1", legal_hold=True)]
        assert house.adopt() == Adopted(adopted=1, held=1, due=1)
        assert house.cases_of("c1") == ("telephony:c1",)
        assert [one.action for one in house.entries.entries] == ["hold_opened"]

    @pytest.mark.parametrize("where", ["before the hold", "between hold and row", "after the row"])
    def test_killed_anywhere_it_is_never_due_unheld(
        self, house: House, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house.calls.all = [stored("c1", legal_hold=True), stored("c2", after_s=1)]
        decide, tell = RegisterRetentions.decide, RegisterCases.tell

        def dying_decide(self: RegisterRetentions, decisions: Sequence[KeepDecision]) -> int:
            if where == "after the row":
                decide(self, decisions)
            raise KilledError

        def dying_tell(*_: object) -> None:
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(RegisterRetentions, "decide", dying_decide)
            if where == "before the hold":
                patch.setattr(RegisterCases, "tell", dying_tell)
            with pytest.raises(KilledError):
                house.adopt()
        assert RegisterCases.tell is tell
        due = house.retentions.due(date(2126, 1, 1), None, 9)
        assert all(house.cases_of(one.call_id) for one in due if one.call_id == "c1")

        again = house.adopt()

        assert again.adopted + again.passed == 2
        assert house.cases_of("c1") == ("telephony:c1",)
        assert len(house.entries.entries) == 1

    def test_a_case_that_was_released_is_not_opened_again(self, house: House) -> None:
        entry = AuditEntry(NOW, "wang", "inspector", "hold_opened", "acme", "done", "cli")
        case = telephony_case("c1")
        house.cases.tell("acme", case, Open(HoldScope(frozenset({"c1"})), "legal_hold", "telephony", NOW), entry)
        house.cases.tell("acme", case, Release("wang", is_person=True), entry)
        house.calls.all = [stored("c1", legal_hold=True)]
        assert house.adopt() == Adopted(adopted=1, due=1)
        assert house.cases_of("c1") == ()


def test_before_calls_are_destroyed_those_among_them_are_adopted_that_nobody_decided(house: House) -> None:
    house.calls.all = [stored("c1", legal_hold=True), stored("c2"), stored("c3")]
    house.adopter().adopt("acme", ["c2"])
    house.calls.reads = 0
    assert house.adopter().adopt("acme", ["c1", "c2", "c9"]) == Adopted(adopted=1, held=1, due=1)
    assert house.calls.reads == 1
    assert house.retentions.find("acme", "c3") is None
