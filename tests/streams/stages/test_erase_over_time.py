"""A customer's request that has to wait: looked at for years, and entered once."""

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import pytest

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
