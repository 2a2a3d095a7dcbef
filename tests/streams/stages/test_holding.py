"""Who may hold, release and tell events; and that every refusal is entered, and nothing is done then."""

from datetime import UTC, datetime

import pytest

from processors.custody.authorization import Action, Actor, Grant
from processors.custody.holds import HoldRefusedError, HoldScope
from streams.adapters.register.holds import RegisterCases, RegisterHolds
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import RegisterRetentions
from streams.stages.holding import Asking, Holding, NotAllowedToHoldError
from tests.support.holding import ListedEntries
from tests.support.judged_calls import FixedClock

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
ONE = HoldScope(frozenset({"c1"}))


def asking(*actions: Action, tenant: str = "acme", operator: Actor | None = None) -> Asking:
    return Asking(Actor("li", (Grant("inspector", tenant, frozenset(actions)),)), "cli", "T-1", operator)


@pytest.fixture
def entries() -> ListedEntries:
    return ListedEntries()


@pytest.fixture
def holding(register: Register, entries: ListedEntries) -> Holding:
    clock = FixedClock(AT)
    cases = RegisterCases(register, clock, entries, lambda _calls: frozenset())
    return Holding(cases, RegisterRetentions(register, clock), entries, clock)


def test_a_case_is_opened_extended_and_released_by_who_may(
    holding: Holding, entries: ListedEntries, register: Register
) -> None:
    holds = RegisterHolds(register, FixedClock(AT))
    holding.open(asking("hold"), "acme", "k-1", ONE, "lawsuit")
    holding.extend(asking("hold"), "acme", "k-1", HoldScope(frozenset({"c2"})))
    assert holds.cases("acme", "c2") == ("k-1",)
    holding.release(asking("release"), "acme", "k-1", "settled")
    assert holds.cases("acme", "c1") == ()
    assert [(one.action, one.actor, one.role, one.object_id, one.ticket, one.result) for one in entries.entries] == [
        (action, "li", "inspector", "k-1", "T-1", "done")
        for action in ("hold_opened", "hold_extended", "hold_released")
    ]
    assert entries.entries[0].details == {"calls": 1, "customers": 0}


def test_what_no_role_allows_is_refused_and_entered(holding: Holding, entries: ListedEntries) -> None:
    with pytest.raises(NotAllowedToHoldError, match="no role of yours has `hold` there"):
        holding.open(asking("release", "see_text"), "acme", "k-1", ONE, "lawsuit")
    with pytest.raises(NotAllowedToHoldError):
        holding.extend(asking("hold", tenant="other"), "acme", "k-1", ONE)
    with pytest.raises(NotAllowedToHoldError):
        holding.release(asking("hold"), "acme", "k-1", "settled")
    with pytest.raises(NotAllowedToHoldError):
        holding.tell_event(asking("hold", "release"), "acme", "contract_ended", AT, contract_id="p-1")
    assert [(one.action, one.result, one.refusal) for one in entries.entries] == [
        ("hold_opened", "refused", "not_granted"),
        ("hold_extended", "refused", "other_tenant"),
        ("hold_released", "refused", "not_granted"),
        ("retention_event_told", "refused", "not_granted"),
    ]


def test_whoever_owns_the_machine_does_it_as_its_operator(holding: Holding, entries: ListedEntries) -> None:
    operator = Actor("os:root", (Grant("operator", "*", frozenset({"hold"})),))
    holding.open(asking(operator=operator), "acme", "k-1", ONE, "lawsuit")
    assert [(one.actor, one.role) for one in entries.entries] == [("os:root", "operator")]


def test_a_person_opens_no_case_of_telephony(holding: Holding) -> None:
    with pytest.raises(HoldRefusedError, match="telephony:"):
        holding.open(asking("hold"), "acme", "telephony:c1", ONE, "lawsuit")


def test_an_event_is_of_a_call_or_of_a_contract(holding: Holding, entries: ListedEntries) -> None:
    told = holding.tell_event(asking("administer"), "acme", "contract_ended", AT, contract_id="p-1")
    assert (told.calls, told.changed) == (0, 0)
    assert (entries.entries[0].object_kind, entries.entries[0].object_id) == ("contract", "p-1")
    with pytest.raises(ValueError, match="of a call or of a contract"):
        holding.tell_event(asking("administer"), "acme", "contract_ended", AT)
