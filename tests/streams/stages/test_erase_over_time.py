"""A customer's request that has to wait: looked at for years, and entered once."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from processors.custody.purge import IN_FLIGHT, LEASE, PurgeOrder
from schemas.errors import OperatorError, RetryableError
from streams.adapters.register.erasures import RegisterErasures
from streams.adapters.register.register import Register
from streams.stages.erase import Eraser
from tests.support.purging import PurgeHouse, purge_house

CUSTOMER = "5c" * 32
CALL = ("acme", "c1")


@pytest.fixture
def house(register: Register, tmp_path: Path) -> PurgeHouse:
    return purge_house(register, tmp_path / "objects")


def eraser_of(house: PurgeHouse, personal: list[Collection[tuple[str, str]]] | None = None) -> Eraser:
    def erase_personal(_values: Collection[str], calls: Collection[tuple[str, str]]) -> int:
        (personal if personal is not None else []).append(calls)
        return 0

    purger = house.purger()
    erasures = RegisterErasures(house.register, house.clock, house.audit)
    return Eraser(erasures, purger, house.tables, erase_personal, purger.sign, house.clock)


def entered(house: PurgeHouse, action: str) -> int:
    return sum(entry.action == action for entry in house.audit.all)


@pytest.mark.parametrize("kept_by", ["hold", "floor"])
def test_a_call_that_waits_is_entered_once_however_often_it_is_looked_at(house: PurgeHouse, kept_by: str) -> None:
    house.tables.customers[CUSTOMER] = {CALL[1]: house.clock.now()}
    if kept_by == "hold":
        house.holds.open(*CALL, "case-1")
    else:
        house.floors.until[CALL] = house.clock.now() + timedelta(days=1)
    eraser = eraser_of(house)
    assert eraser.erase("acme", [CUSTOMER], reason="pipl", actor="li_na").counts["blocked"] == 1

    for _ in range(20):
        house.wait(timedelta(minutes=30))
        if kept_by == "floor":  # as of a call of which nothing was decided: it is looked at again, and again later
            house.floors.until[CALL] = house.clock.now() + timedelta(days=1)
        eraser.purger.go_on()
        eraser.go_on()

    assert entered(house, "blocked") == 1
    house.floors.until.clear()
    house.holds.release(*CALL, "case-1")
    house.wait(timedelta(days=2))
    eraser.purger.go_on()
    eraser.go_on()
    assert (entered(house, "blocked"), entered(house, "purged")) == (1, 1)
    assert not eraser.erasures.open()


def test_what_cannot_be_destroyed_now_holds_up_no_other(house: PurgeHouse) -> None:
    order = PurgeOrder("acme", "request", "li_na")
    destroy = house.tables.destroy

    def refuse(tenant_id: str, calls: Sequence[str], at: datetime, **how: object) -> Mapping[str, int]:
        if "bad" in calls:
            raise OperatorError("ClickHouse refuses")
        return destroy(tenant_id, calls, at, **how)

    house.tables.destroy = refuse  # type: ignore[method-assign]
    with pytest.raises(OperatorError):
        house.purger().purge(order, ["bad"])

    def die(step: str) -> None:
        if step == "tables":
            raise RetryableError("killed here")

    with pytest.raises(RetryableError):
        house.purger(die).purge(order, ["good"])
    house.wait(LEASE + timedelta(seconds=1))

    assert house.purger().go_on() == 1

    assert [row.state.next_step for row in house.purges.all("acme", 2)] == ["late", "tables"]


def test_an_erasure_that_fails_holds_up_no_other(house: PurgeHouse) -> None:
    eraser = eraser_of(house)
    asked = house.tables.calls_of_customer

    def refuse(_tenant_id: str, customer_keys: Collection[str]) -> dict[str, datetime]:
        if "bad" in customer_keys:
            raise OperatorError("ClickHouse refuses")
        return asked(_tenant_id, customer_keys)

    house.tables.calls_of_customer = refuse  # type: ignore[method-assign]
    with pytest.raises(OperatorError):
        eraser.erase("acme", ["bad"], reason="pipl", actor="li_na")
    eraser.erase("acme", [CUSTOMER], reason="pipl", actor="li_na")
    house.wait(IN_FLIGHT + timedelta(minutes=1))

    assert eraser.go_on() == 1

    assert [each.customer_keys for each in eraser.erasures.open()] == [("bad",)]
