"""A customer is erased before `keep` has heard of the call: what it hears then still counts."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from processors.custody.purge import PurgeOrder
from processors.custody.retention import Keep, RetentionTerm, first_day_after
from schemas.config.retention import TenantPolicies, read_retention_policy
from schemas.config.tenants import ALL_ALIKE
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.register.holds import RegisterCases, RegisterHolds
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import KeepDecision, RegisterRetentions
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
        cases = RegisterCases(register, clock, house.audit, house.tombstones.gone)
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
