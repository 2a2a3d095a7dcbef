"""A customer is erased before `keep` has heard of the call: what it hears then still counts."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from processors.custody.audit_entry import AuditEntry
from processors.custody.holds import CustomerScope, HoldScope, Open, Release
from processors.custody.listed_call import ListedCall
from processors.custody.purge import PurgeOrder
from processors.custody.retention import Keep, RetentionTerm, first_day_after
from schemas.config.retention import TenantPolicies, read_retention_policy
from schemas.config.tenants import ALL_ALIKE
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.register.holds import RegisterCases, RegisterHolds
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import KeepDecision, RegisterRetentions
from streams.adapters.register.tables import intakes
from streams.adapters.register.tombstones import RegisterPurges
from streams.stages.erase import Eraser
from streams.stages.keep import Decide
from tests.streams.stages.test_erase_over_time import eraser_of
from tests.support.judged_calls import an_event
from tests.support.purging import PurgeHouse, purge_house

CUSTOMER = "5c" * 32


class World:
    """Holds, floors and purges of the register, with rows of ClickHouse in memory."""

    def __init__(self, house: PurgeHouse) -> None:
        register, clock = house.register, house.clock
        self.clock = clock
        self.holds, self.retentions = RegisterHolds(register, clock), RegisterRetentions(register, clock)
        purges = RegisterPurges(register, clock, self.holds, self.retentions, house.audit)
        self.house = replace(house, purges=purges)
        self.cases = cases = RegisterCases(register, clock, house.audit, house.tombstones.gone)
        policies = TenantPolicies(read_retention_policy(), ALL_ALIKE)
        self.decide = Decide(self.retentions, cases, house.tombstones.gone, policies, clock)
        self.ended_at = clock.now() - timedelta(minutes=5)
        house.tables.customers[CUSTOMER] = {"c1": self.ended_at}

    def eraser(self) -> Eraser:
        return eraser_of(self.house)

    def hear(self, **facts: Any) -> None:
        written = CALLS_ENDED.record(an_event("c1", self.ended_at, customer=CUSTOMER, **facts))
        self.decide.work([ConsumerRecord(written.topic, 0, 0, written.key, written.value, self.clock.now())])

    def after(self, days: int) -> list[str]:
        """The calls that are destroyed so many days later."""
        eraser = self.eraser()
        self.clock.pass_(timedelta(days=days))
        eraser.purger.go_on()
        eraser.go_on()
        return sorted(call for _, call in self.house.tombstones.gone([("acme", "c1")]))


@pytest.fixture
def world(register: Register, tmp_path: Path) -> World:
    return World(purge_house(register, tmp_path / "objects"))


def test_a_call_that_was_blocked_first_is_destroyed_when_its_floor_ends(world: World) -> None:
    assert world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na").counts["blocked"] == 1
    world.hear()
    assert world.retentions.find("acme", "c1") is not None

    assert world.after(days=170) == []
    assert world.after(days=2_000) == ["c1"]


def test_the_legal_hold_of_an_event_keeps_a_blocked_call(world: World) -> None:
    world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na")
    world.hear(legal_hold=True)
    assert world.holds.cases("acme", "c1") == ("telephony:c1",)

    assert world.after(days=4_000) == []


def test_nothing_of_the_customer_stays_beside_how_long_a_destroyed_call_was_kept(world: World) -> None:
    world.hear()
    kept = world.retentions.find("acme", "c1")
    assert kept is not None
    assert kept.customer_key == CUSTOMER
    world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na")

    assert world.after(days=2_000) == ["c1"]

    assert world.retentions.find("acme", "c1") is None


def test_a_call_that_is_to_be_kept_longer_since_somebody_looked_does_not_go(world: World) -> None:
    world.hear(crm={"contract_id": "k-1"})
    world.clock.pass_(timedelta(days=3_000))
    (page,) = world.retentions.due(world.clock.now().date(), None, 10)
    longer = RetentionTerm(
        "lawyers", 9_000, world.ended_at, *(first_day_after(world.ended_at, 9_000),) * 2, policy_version=9,
        decided_by="person",
    )  # fmt: skip
    world.retentions.decide([KeepDecision("acme", "c1", world.ended_at, Keep((longer,)))])
    purger = world.eraser().purger

    assert list(purger.due("acme", {"c1": (page.day,)}, reason="retention_over", policy_version="1")) == []
    assert not world.house.tombstones.gone([("acme", "c1")])
    world.clock.pass_(timedelta(days=6_001))
    assert list(purger.due("acme", {"c1": (page.day,)}, reason="retention_over", policy_version="9")) == ["c1"]


def test_a_recording_that_came_no_further_than_the_store_is_found_by_the_day_that_keep_knows(world: World) -> None:
    key = f"recordings/acme/{world.ended_at:%Y/%m/%d}/c1.0123456789abcdef.wav"
    world.house.store.put(key, b"sealed")
    world.hear()

    world.house.purger().purge(PurgeOrder("acme", "request", "li_na"), ["c1"])

    assert [entry.key for entry in world.house.store.entries()] == []


def test_a_call_of_an_erased_customer_that_was_never_judged_goes(world: World) -> None:
    world.hear()
    world.house.tables.customers.clear()

    assert world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na").counts["blocked"] == 1

    assert world.after(days=2_000) == ["c1"]


class TestCallsThatTheExchangesListAloneKnows:
    def test_one_without_a_recording_goes_at_once(self, world: World) -> None:
        world.house.tables.in_list["c1"] = listed(world, recorded=False)

        counts = world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na").counts

        assert (counts["destroyed"], counts["blocked"]) == (1, 0)
        assert world.after(days=1) == ["c1"]
        (erasure,) = world.eraser().erasures.all("acme")
        assert erasure.done_at is not None
        assert erasure.receipt is not None

    def test_one_whose_recording_may_come_is_blocked_for_a_month_and_goes_then(self, world: World) -> None:
        world.house.tables.in_list["c1"] = listed(world)

        assert world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na").counts["blocked"] == 1

        assert world.after(days=30) == []
        assert world.after(days=2) == ["c1"]
        world.after(days=1)
        assert not world.eraser().erasures.open()

    def test_one_whose_recording_comes_after_all_is_kept_as_the_law_asks(self, world: World) -> None:
        world.house.tables.in_list["c1"] = listed(world)
        world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na")
        world.hear()
        world.house.tables.in_list["c1"] = replace(listed(world), is_alone=False)

        assert world.after(days=170) == []
        assert world.after(days=2_000) == ["c1"]

    def test_one_whose_recording_was_taken_in_just_now_is_waited_for(self, world: World) -> None:
        world.house.tables.in_list["c1"] = listed(world, recorded=False)
        with world.house.register.transaction() as tx:
            taken = {"state": "stored", "attempt": "a" * 16, "object_key": "recordings/c1", "source": "test"}
            tx.insert_new(
                intakes, tenant_id="acme", call_id="c1", lease_until=None, content="0" * 64, event=b"{}",
                received_at=world.clock.now(), capture_ms=3, **taken,
            )  # fmt: skip

        assert world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na").counts["blocked"] == 1
        assert world.after(days=40) == []

    @pytest.mark.parametrize(
        ("of", "stays"), [pytest.param(CUSTOMER, True, id="theirs"), pytest.param("d" * 64, False, id="another's")]
    )
    def test_one_is_held_by_a_case_of_its_customer_and_by_no_other(self, world: World, of: str, stays: bool) -> None:
        entry = AuditEntry(world.clock.now(), "wang", "inspector", "hold_opened", "acme", "done", "cli")
        scope = HoldScope(customers=(CustomerScope(frozenset({of})),))
        world.cases.tell("acme", "k-1", Open(scope, "lawsuit", "wang", world.clock.now()), entry)
        world.house.tables.in_list["c1"] = listed(world, recorded=False)

        counts = world.eraser().erase("acme", [CUSTOMER], reason="pipl", actor="li_na").counts

        assert (counts["blocked"], counts["destroyed"]) == ((1, 0) if stays else (0, 1))
        world.cases.tell("acme", "k-1", Release("wang", is_person=True), entry)
        assert world.after(days=1) == ["c1"]


def listed(world: World, *, recorded: bool = True) -> ListedCall:
    return ListedCall(frozenset({CUSTOMER}), world.ended_at, recorded, is_alone=True)


def test_what_is_stored_of_calls_is_decided_before_any_of_them_is_looked_at(world: World) -> None:
    """As of a call of an earlier release, whose event asked for a hold."""
    purger = replace(world.eraser().purger, adopt=lambda _tenant_id, _calls: world.hear(legal_hold=True))

    done = purger.purge(PurgeOrder("acme", "request", "li_na"), ["c1"])

    assert done.held == {"c1": ("telephony:c1",)}
    assert world.retentions.find("acme", "c1") is not None
