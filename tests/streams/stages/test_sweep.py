"""What the sweeper finishes, and what it leaves alone; `test_take_in.py` has what a failure leaves to it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from processors.custody.intake import Announced, Reserved
from streams.adapters.register.register import Register
from streams.stages.sweep import LEFT_FOR, Swept
from streams.stages.take_in import LEASE
from tests.streams.stages.intake_house import AFTER, SOUND, House, house_in


@pytest.fixture
def house(register: Register, tmp_path: Path) -> House:
    return house_in(register, tmp_path / "objects")


def test_what_is_under_way_is_left_alone(house: House) -> None:
    def chunks() -> Iterator[bytes]:
        yield SOUND[:100]
        assert isinstance(house.intake, Reserved)
        assert house.sweep.step() == Swept()
        yield SOUND[100:]

    assert house.take(data=chunks()).created
    assert isinstance(house.intake, Announced)
    house.clock.pass_(LEFT_FOR * 2)
    assert house.sweep.step() == Swept()
    assert len(house.objects) == 1


def test_an_attempt_that_writes_after_it_was_given_up_leaves_nothing_for_good(house: House) -> None:
    """It was stopped for hours, and killed between writing its object and being refused."""
    writer: dict[str, str] = {}

    def chunks() -> Iterator[bytes]:
        yield SOUND[:100]
        state = house.intake
        assert isinstance(state, Reserved)
        writer["key"] = state.object_key
        house.clock.pass_(LEASE + timedelta(seconds=1))
        assert house.sweep.step().given_up == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        house.take(data=chunks())
    house.clock.pass_(AFTER + timedelta(seconds=1))
    assert house.sweep.step() == Swept(removed=1)
    house.store.put(writer["key"], b"late")

    house.clock.pass_(LEFT_FOR)
    house.sweep.step()

    assert house.objects == []
    assert list(house.take_in.intakes.leftovers(house.clock.now(), 10, removed=True)) == []
    assert [told.kind for told in house.told] == ["intake_removed"]
