"""Calls are destroyed: in order, once, under no hold, however often the process ends; and the receipt says so."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from processors.custody.ports import PURPOSES, CallPurgedError, KeyGoneError, SealedIdentity
from processors.custody.purge import IN_FLIGHT, LATER_LOOK, LEASE, STEPS, PurgeOrder
from processors.custody.receipts import ReceiptError, verified_receipt
from schemas.errors import OperatorError, RetryableError
from schemas.messages.topics import CUSTODY_CHANGED
from streams.adapters.object_store.purging import CallObjects
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import day_key
from streams.adapters.register.keys import RegisterKeys
from streams.adapters.register.outbox import Outbox, WaitingEvent
from streams.adapters.register.register import Register
from streams.adapters.register.wrapping_keys import ensure_current
from tests.support.purging import PurgeHouse, purge_house
from tests.support.registers import MemoryWrapper

DAY = date(2026, 3, 2)
CALLS = ("c1", "c1.0123456789abcdef", "c2")
ORDER = PurgeOrder("acme", "retention", "keeper", policy_version="7")
ERASURE = PurgeOrder("acme", "erasure", "li_na", ticket="T-1", erasure_id="e1")


class Ended(BaseException):
    """The process is killed here."""


@pytest.fixture
def house(register: Register, tmp_path: Path) -> PurgeHouse:
    return purge_house(register, tmp_path / "objects")


@pytest.fixture
def keys(house: PurgeHouse) -> RegisterKeys:
    wrapper = MemoryWrapper()
    for purpose in PURPOSES:
        ensure_current(house.register, wrapper, purpose, house.clock.now())
    return RegisterKeys(house.register, wrapper, house.clock)


@pytest.fixture
def filled(house: PurgeHouse, keys: RegisterKeys) -> PurgeHouse:
    """Three calls, the id of one the beginning of another's, with all that there may be of each."""
    sealed = SealedStore(house.store, keys)
    for call in CALLS:
        folder = f"acme/{DAY:%Y/%m/%d}/{call}"
        for key, role in (
            (f"recordings/{folder}.0123456789abcdef.wav", "recording"),
            (f"renditions/{folder}.0123456789abcdef.peaks", "peaks"),
            (f"renditions/{folder}.0123456789abcdef.converted.mp3", "converted"),
            (f"transcripts/{folder}.1", "transcript"),
            (f"received/{folder}.aaaaaaaaaaaaaaaa", "received"),
        ):
            sealed.put(key, SealedIdentity("acme", call, role, "0123456789abcdef"), DAY, b"said")  # type: ignore[arg-type]
        house.store.put(day_key("acme", call), DAY.isoformat().encode())
        house.tables.rows["acme", call] = 3
        house.copies.calls.add(("acme", call))
    return house


def keys_of(house: PurgeHouse) -> list[str]:
    return [entry.key for entry in house.store.entries()]


def nothing_is_left(house: PurgeHouse, keys: RegisterKeys, call: str) -> bool:
    with suppress(KeyGoneError):
        keys.get("acme", call, DAY, "audio")
        return False
    objects = CallObjects(house.store).left("acme", {call: (DAY,)})
    return not sum(objects.values()) and not {("acme", call)} & (house.tables.rows.keys() | house.copies.calls)


def test_a_call_goes_from_everywhere_and_its_neighbours_stay(filled: PurgeHouse, keys: RegisterKeys) -> None:
    before = len(keys_of(filled))

    done = filled.purger().purge(ORDER, ["c2"])

    assert (done.buried, done.held, done.blocked) == (["c2"], {}, [])
    assert nothing_is_left(filled, keys, "c2")
    assert len(keys_of(filled)) == before - 6
    assert keys.get("acme", "c1", DAY, "audio")
    assert filled.tables.rows["acme", "c1"] == 3
    assert filled.tombstones.among([("acme", "c1"), ("acme", "c2"), ("beta", "c2")]) == {("acme", "c2")}
    assert [entry.action for entry in filled.audit.all] == ["purged"]
    receipt = filled.receipt(done.purges[0])
    assert receipt["destroyed"]["keys"]["call_keys"] == 3
    assert receipt["destroyed"]["objects"] == {
        **{"recordings": 1, "archive": 0, "renditions": 2, "transcripts": 1, "received": 1},
        "call_days": 1,
    }
    assert set(receipt["read_back"].values()) == {0}
    assert "'c2'" not in str(receipt)


def test_an_id_that_begins_as_another_takes_nothing_of_it(filled: PurgeHouse, keys: RegisterKeys) -> None:
    filled.purger().purge(ORDER, ["c1"])

    assert keys.get("acme", "c1.0123456789abcdef", DAY, "transcript")
    assert len([key for key in keys_of(filled) if "c1.0123456789abcdef." in key or key.endswith("abcdef")]) == 6


def test_the_receipt_is_believed_only_as_it_was_signed(filled: PurgeHouse) -> None:
    (purge_id,) = filled.purger().purge(ORDER, ["c2"]).purges
    signed = filled.purges.purge(purge_id).receipt
    assert signed is not None
    public = filled.key.public_key()

    assert verified_receipt(signed, [public])["purge_id"] == purge_id
    for changed in (
        signed.replace(b'"calls": 1', b'"calls": 2'),
        signed.replace(b'"reason": "retention"', b'"reason": "request"'),
        signed[:-40],
    ):
        with pytest.raises(ReceiptError):
            verified_receipt(changed, [public])
    with pytest.raises(ReceiptError):
        verified_receipt(signed, [])


@pytest.mark.parametrize("call_is_known", [True, False])
def test_a_held_call_stays_whole(filled: PurgeHouse, keys: RegisterKeys, call_is_known: bool) -> None:
    filled.holds.open("acme", "c2", "case-9")
    before = keys_of(filled)

    done = filled.purger().purge(ORDER, ["c2", "unknown"] if call_is_known else ["c2"])

    assert done.held == {"c2": ("case-9",)}
    assert keys_of(filled) == before
    assert keys.get("acme", "c2", DAY, "audio")
    assert filled.tables.rows["acme", "c2"] == 3
    assert not filled.tombstones.among([("acme", "c2")])
    refused = next(entry for entry in filled.audit.all if entry.call_id == "c2")
    assert (refused.action, refused.result, refused.refusal) == ("purge_refused", "refused", "held")

    filled.holds.open("acme", "c2", "case-10")
    filled.holds.release("acme", "c2", "case-9")
    assert filled.purger().purge(ORDER, ["c2"]).held == {"c2": ("case-10",)}
    filled.holds.release("acme", "c2", "case-10")
    assert filled.purger().purge(ORDER, ["c2"]).buried == ["c2"]


PLACES = ("tombstones", *(f"{when}{step}" for step in STEPS[:-1] for when in ("", "after ")))


@pytest.mark.parametrize("place", PLACES)
def test_a_purger_that_is_killed_anywhere_is_gone_on_with(filled: PurgeHouse, keys: RegisterKeys, place: str) -> None:
    def die(step: str) -> None:
        if step == place:
            raise Ended

    with pytest.raises(Ended):
        filled.purger(die).purge(ORDER, ["c1", "c2"])
    assert filled.purger().go_on() == 0  # its lease has not run out
    filled.wait(LEASE + timedelta(seconds=1))
    went_on = filled.purger().go_on()

    if place == "tombstones":
        assert went_on == 0
        assert keys.get("acme", "c2", DAY, "audio")
        filled.purger().purge(ORDER, ["c1", "c2"])
    assert all(nothing_is_left(filled, keys, call) for call in ("c1", "c2"))
    (row,) = filled.purges.all("acme", 10)
    assert row.receipt is not None
    assert row.state.done == STEPS[:-1]
    kinds = [_kind(each) for each in Outbox(filled.register).waiting(100)]
    assert kinds.count("call_buried") == kinds.count("call_purged") == 2


def _kind(waiting: WaitingEvent) -> str:
    return CUSTODY_CHANGED.decode(waiting.record.value).kind


def test_two_purgers_at_once_do_it_once(filled: PurgeHouse, keys: RegisterKeys) -> None:
    gate = threading.Barrier(2, timeout=20)

    def together(step: str) -> None:
        if step == "tombstones":
            gate.wait()

    def purge() -> list[str]:
        return filled.purger(together).purge(ORDER, CALLS).buried

    with ThreadPoolExecutor(2) as pool:
        buried = [each for future in [pool.submit(purge) for _ in range(2)] for each in future.result()]

    assert sorted(buried) == sorted(CALLS)  # each by one of the two
    assert all(nothing_is_left(filled, keys, call) for call in CALLS)
    assert [entry.action for entry in filled.audit.all].count("purged") == len(CALLS)
    assert sum(len(row.calls) for row in filled.purges.all("acme", 10)) == len(CALLS)


def test_a_hold_that_races_a_purge_is_first_or_finds_the_tombstone(house: PurgeHouse) -> None:
    for round_ in range(12):
        call = f"r{round_}"
        house.tables.rows["acme", call] = 1
        gate = threading.Barrier(2, timeout=20)

        def purge(call: str = call, gate: threading.Barrier = gate) -> bool:
            gate.wait()
            return bool(house.purger().purge(ORDER, [call]).buried)

        def hold(call: str = call, gate: threading.Barrier = gate) -> bool:
            gate.wait()
            return house.holds.open("acme", call, "case-1")

        with ThreadPoolExecutor(2) as pool:
            first, second = (purge, hold) if round_ % 2 else (hold, purge)
            one, other = pool.submit(first), pool.submit(second)
            was_buried = (one if round_ % 2 else other).result()
            is_held = (other if round_ % 2 else one).result()
        assert was_buried != is_held  # never both, never neither
        assert (("acme", call) in house.tables.rows) == is_held


class TestErasure:
    def test_a_call_within_its_floor_is_blocked_at_once_and_destroyed_on_the_day_it_ends(
        self, filled: PurgeHouse, keys: RegisterKeys
    ) -> None:
        until = filled.clock.now() + timedelta(days=3 * 365)
        filled.floors.until["acme", "c1"] = until

        done = filled.purger().purge(ERASURE, ["c1", "c2"], erases=True)

        assert (done.buried, done.blocked) == (["c2"], ["c1"])
        assert filled.tombstones.among([("acme", "c1"), ("acme", "c2")]) == {("acme", "c1"), ("acme", "c2")}
        assert filled.tables.states["acme", "c1"] == ["blocked"]
        assert keys.get("acme", "c1", DAY, "audio")  # the floor keeps it
        filled.wait(timedelta(days=3 * 365 - 1))
        assert filled.purger().go_on() == 1  # what was late of the other one
        assert keys.get("acme", "c1", DAY, "audio")
        filled.wait(timedelta(days=1))
        assert filled.purger().go_on() == 1
        assert nothing_is_left(filled, keys, "c1")

    def test_a_hold_keeps_a_blocked_call_beyond_its_floor(self, filled: PurgeHouse, keys: RegisterKeys) -> None:
        filled.holds.open("acme", "c1", "case-1")
        assert filled.purger().purge(ERASURE, ["c1"], erases=True).blocked == ["c1"]
        filled.wait(timedelta(days=4_000))
        assert filled.purger().go_on() == 0
        assert keys.get("acme", "c1", DAY, "audio")
        filled.holds.release("acme", "c1", "case-1")
        filled.wait(LATER_LOOK + timedelta(seconds=1))
        assert filled.purger().go_on() == 1
        assert nothing_is_left(filled, keys, "c1")


class TestOutranks:
    def test_no_key_is_made_of_a_destroyed_call(self, filled: PurgeHouse, keys: RegisterKeys) -> None:
        filled.purger().purge(ORDER, ["c2"])
        for purpose in PURPOSES:
            with pytest.raises(CallPurgedError):
                keys.make("acme", "c2", DAY, purpose)
        assert keys.make("beta", "c2", DAY, "audio")  # of another tenant

    def test_what_was_under_way_is_found_and_removed_later(self, filled: PurgeHouse) -> None:
        (purge_id,) = filled.purger().purge(ORDER, ["c2"]).purges
        late = f"recordings/acme/{DAY:%Y/%m/%d}/c2.ffffffffffffffff.wav"
        filled.store.put(late, b"sealed before, committed after")
        filled.tables.rows["acme", "c2"] = 1
        assert filled.purger().go_on() == 0  # not yet: more may come

        filled.wait(IN_FLIGHT + timedelta(seconds=1))
        assert filled.purger().go_on() == 1

        assert late not in keys_of(filled)
        assert ("acme", "c2") not in filled.tables.rows
        receipt = filled.receipt(purge_id)
        assert receipt["written_late"]["recordings"] == receipt["written_late"]["call_versions"] == 1
        assert filled.purger().go_on() == 0

    def test_what_comes_again_between_destroying_and_reading_back_goes(self, filled: PurgeHouse) -> None:
        def write_again(step: str) -> None:
            if step == "read_back":
                filled.tables.rows["acme", "c2"] = 5

        (purge_id,) = filled.purger(write_again).purge(ORDER, ["c2"]).purges

        assert ("acme", "c2") not in filled.tables.rows
        assert set(filled.receipt(purge_id)["read_back"].values()) == {0}

    def test_what_is_written_faster_than_it_goes_gets_no_receipt(self, filled: PurgeHouse) -> None:
        purger = filled.purger()
        stubborn = replace(purger, tables=_Stubborn(filled))  # type: ignore[arg-type]
        with pytest.raises(RetryableError):
            stubborn.purge(ORDER, ["c2"])
        (row,) = filled.purges.all("acme", 10)
        assert row.receipt is None


class _Stubborn:
    """A table that is never empty."""

    def __init__(self, house: PurgeHouse) -> None:
        self._house = house

    def left(self, *_: object, **__: object) -> dict[str, int]:
        return {"call_versions": 1}

    def __getattr__(self, name: str) -> Callable[..., object]:
        found: Callable[..., object] = getattr(self._house.tables, name)
        return found


@pytest.mark.parametrize("apart", [timedelta(days=5 * 365), timedelta(days=-5 * 365), timedelta(minutes=11)])
def test_a_clock_that_has_jumped_destroys_nothing(filled: PurgeHouse, keys: RegisterKeys, apart: timedelta) -> None:
    purger = filled.purger()
    filled.tables.now = lambda: filled.clock.now() + apart  # type: ignore[method-assign]

    for attempt in (lambda: purger.purge(ORDER, ["c2"]), purger.go_on):
        with pytest.raises(OperatorError, match="apart"):
            attempt()

    assert keys.get("acme", "c2", DAY, "audio")
    assert not filled.tombstones.among([("acme", "c2")])


def test_a_clock_that_goes_back_in_the_middle_holds_up_nothing(filled: PurgeHouse, keys: RegisterKeys) -> None:
    def back(step: str) -> None:
        if step == "tables":
            filled.clock.pass_(timedelta(days=-30))

    filled.purger(back).purge(ORDER, ["c2"])
    assert nothing_is_left(filled, keys, "c2")
    assert filled.clock.now() < datetime(2026, 3, 1, tzinfo=UTC)
