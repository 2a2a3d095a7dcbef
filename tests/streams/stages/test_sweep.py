"""What the sweeper finishes, and what it leaves alone; `test_take_in.py` has what a failure leaves to it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from processors.custody.intake import Announced, Free, IntakeConflictError, Reserve, Reserved
from schemas.errors import RetryableError
from streams.adapters.register.register import Register
from streams.stages.sweep import LEFT_FOR, Swept
from streams.stages.take_in import LEASE
from tests.streams.stages.intake_house import AFTER, FACTS, KEEP, OTHER, SOUND, House, house_in


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


def test_what_was_taken_in_is_forgotten_after_its_time_and_not_before(house: House) -> None:
    first = house.take()
    house.clock.pass_(KEEP - timedelta(minutes=1))
    assert house.sweep.step() == Swept()
    assert not house.take().created
    with pytest.raises(IntakeConflictError):
        house.take(data=OTHER)

    house.clock.pass_(timedelta(minutes=2))
    assert house.sweep.step() == Swept(forgotten=1)

    assert house.intake == Free()
    assert house.opened(first.call) == SOUND


@pytest.mark.parametrize("data", [pytest.param(SOUND, id="the same recording"), pytest.param(OTHER, id="another one")])
def test_what_comes_again_after_that_is_an_object_of_its_own_beside_the_first(house: House, data: bytes) -> None:
    """Its event is another one, which `listen` refuses where the first was heard (`test_listen.py`)."""
    first = house.take()
    house.clock.pass_(KEEP + timedelta(minutes=1))
    house.sweep.step()

    again = house.take(data=data)

    assert again.created
    assert again.call != first.call
    assert (house.opened(first.call), house.opened(again.call)) == (SOUND, data)
    assert house.events == [first.call, again.call]


def test_the_oldest_are_forgotten_first_so_many_at_once_and_only_what_is_announced(house: House) -> None:
    def state(call_id: str) -> type:
        return type(house.take_in.intakes.intake("acme", call_id))

    def forget(before: datetime) -> int:
        return house.take_in.intakes.forget(before, 2)

    for number in range(3):
        house.take(FACTS | {"call_id": f"c{number}"})
    middle = house.clock.now()
    house.take(FACTS | {"call_id": "younger"})
    house.broker.away = True
    with pytest.raises(RetryableError):
        house.take(FACTS | {"call_id": "stored"})
    house.take_in.intakes.tell("acme", "reserved", Reserve("a", "k", "serve", house.clock.now(), LEASE))

    assert forget(middle) == 2
    assert [state(f"c{number}") for number in range(3)] == [Free, Free, Announced]
    assert [forget(middle), forget(middle)] == [1, 0]
    assert state("younger") == Announced
    assert [forget(house.clock.now()), forget(house.clock.now())] == [1, 0]
    assert [state("stored").__name__, state("reserved").__name__] == ["Stored", "Reserved"]
