"""Wrapping keys are rotated while calls flow, on both databases of the register: at no moment does a key not open."""

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import select, update

from processors.custody.ports import PURPOSES, Purpose, WrappedKey
from processors.custody.rotation import RotationRefusedError
from schemas.errors import OperatorError, RetryableError
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.key_wrappers.key_ring_file import KeyRingFileSettings
from streams.adapters.register.keys import RegisterKeys, WrappingKeyMissingError
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.partitions import drop_day
from streams.adapters.register.register import Register
from streams.adapters.register.rotation import Rewrapped, Rotation
from streams.adapters.register.tables import day_keys
from streams.adapters.register.wrapping_keys import wrapping_key_rows
from streams.ports import SystemClock
from tests.support.registers import MemoryWrapper

DAY = date(2026, 1, 2)
Keys = dict[tuple[str, date], bytes]
"""Call and day → its audio key."""


class WatchedWrapper(MemoryWrapper):
    """Does something before a key is wrapped anew."""

    def __init__(self) -> None:
        super().__init__()
        self.before_wrapping: Callable[[], None] = lambda: None

    def wrap(self, purpose: Purpose, version: str, key: bytes, context: bytes) -> WrappedKey:
        self.before_wrapping()
        return super().wrap(purpose, version, key, context)


@pytest.fixture
def wrapper() -> WatchedWrapper:
    return WatchedWrapper()


@pytest.fixture
def rotation(register: Register, wrapper: WatchedWrapper) -> Rotation:
    """With a first version of each purpose that wraps."""
    rotation = Rotation(register, wrapper, SystemClock(), "ines")
    for purpose in PURPOSES:
        rotation.prepare(purpose)
        rotation.switch(purpose)
    return rotation


@pytest.fixture
def calls(register: Register, wrapper: WatchedWrapper, rotation: Rotation) -> Keys:  # noqa: ARG001 - it has made the keys
    """The audio keys of two calls on each of ten days."""
    keys = RegisterKeys(register, wrapper, SystemClock())
    return {
        (call, day): keys.make("acme", call, day, "audio")
        for day in (DAY + timedelta(days=n) for n in range(10))
        for call in ("c1", "c2")
    }


def opened(register: Register, wrapper: MemoryWrapper, calls: Keys) -> Keys:
    """By a process that has nothing in its memory."""
    keys = RegisterKeys(register, wrapper, SystemClock())
    return {(call, day): keys.get("acme", call, day, "audio") for call, day in calls}


def states(register: Register, purpose: Purpose = "audio") -> dict[str, tuple[str, int]]:
    with register.reading() as tx:
        return {row.version: (row.state, row.needed_by) for row in wrapping_key_rows(tx, purpose)}


def events(register: Register) -> list[CustodyChanged]:
    return [CustodyChanged.decode(event.record.value or b"") for event in Outbox(register).waiting(1_000)]


def failing_after(times: int) -> Callable[[], None]:
    left = iter(range(times))

    def fail() -> None:
        if next(left, None) is None:
            raise RetryableError("the key service is away")

    return fail


def test_a_rotation_from_beginning_to_end(
    register: Register, wrapper: WatchedWrapper, rotation: Rotation, calls: Keys
) -> None:
    before = len(events(register))
    assert rotation.prepare("audio") == "v2"
    assert states(register) == {"v1": ("current", 10), "v2": ("prepared", 0)}
    assert rotation.switch("audio") == "v2"
    keys = RegisterKeys(register, wrapper, SystemClock())
    calls[("c3", DAY)] = keys.make("acme", "c3", DAY, "audio")
    new_day = DAY + timedelta(days=100)
    calls[("c1", new_day)] = keys.make("acme", "c1", new_day, "audio")
    assert states(register) == {"v1": ("retiring", 10), "v2": ("current", 1)}
    with pytest.raises(RotationRefusedError, match="still wraps 10 day keys"):
        rotation.retire("audio", destroy=True)
    told: list[int] = []
    assert rotation.rewrap("audio", told.append, at_once=4) == Rewrapped(10, 0)
    assert told == [4, 8, 10]
    assert rotation.retire("audio") == "v1"
    assert wrapper.versions("audio") == ["v1", "v2"]
    assert rotation.retire("audio", destroy=True) == "v1"
    assert wrapper.versions("audio") == ["v2"]

    assert states(register) == {"v1": ("retired", 0), "v2": ("current", 11)}
    assert opened(register, wrapper, calls) == calls
    assert states(register, "transcript") == {"v1": ("current", 0)}
    told_of = [(event.kind, event.key_version, event.count) for event in events(register)[before:]]
    assert told_of == [
        ("wrapping_key_prepared", "v2", None),
        ("wrapping_key_retiring", "v1", None),
        ("wrapping_key_current", "v2", None),
        ("day_keys_rewrapped", "v2", 4),
        ("day_keys_rewrapped", "v2", 4),
        ("day_keys_rewrapped", "v2", 2),
        ("wrapping_key_retired", "v1", None),
    ]
    assert {event.actor for event in events(register)} == {"ines"}


def test_every_step_may_be_given_again(register: Register, rotation: Rotation, calls: Keys) -> None:
    steps: list[Callable[[], object]] = [
        lambda: rotation.prepare("audio"),
        lambda: rotation.switch("audio", "v2"),
        lambda: rotation.rewrap("audio"),
        lambda: rotation.retire("audio", "v1"),
    ]
    for step in steps:
        step()
        after, told = states(register), len(events(register))
        step()
        assert (states(register), len(events(register))) == (after, told)
    assert states(register) == {"v1": ("retired", 0), "v2": ("current", len(calls) // 2)}


def test_a_key_that_was_made_before_the_command_was_stopped_is_the_one_that_is_prepared(
    wrapper: WatchedWrapper, rotation: Rotation
) -> None:
    made = wrapper.make_version("audio")

    assert rotation.prepare("audio") == made
    assert wrapper.versions("audio") == ["v1", made]


def test_back_to_the_version_before_and_forward_again(
    register: Register, wrapper: WatchedWrapper, rotation: Rotation, calls: Keys
) -> None:
    rotation.prepare("audio")
    rotation.switch("audio")
    rotation.rewrap("audio", at_once=3)
    assert rotation.roll_back("audio") == "v1"
    assert states(register) == {"v1": ("current", 0), "v2": ("retiring", 10)}
    assert opened(register, wrapper, calls) == calls
    assert rotation.rewrap("audio") == Rewrapped(10, 0)
    rotation.retire("audio", destroy=True)
    assert states(register) == {"v1": ("current", 10), "v2": ("retired", 0)}
    assert opened(register, wrapper, calls) == calls


def test_rewrapping_goes_on_where_it_was_stopped(
    register: Register, wrapper: WatchedWrapper, rotation: Rotation, calls: Keys
) -> None:
    rotation.prepare("audio")
    rotation.switch("audio")
    for stop_after in (0, 1, 5):
        wrapper.before_wrapping = failing_after(stop_after)
        with pytest.raises(RetryableError):
            rotation.rewrap("audio", at_once=2)
        assert opened(register, wrapper, calls) == calls
    wrapper.before_wrapping = lambda: None
    rotation.rewrap("audio", at_once=2)

    assert states(register) == {"v1": ("retiring", 0), "v2": ("current", 10)}
    assert opened(register, wrapper, calls) == calls


def test_rewrapping_stops_where_another_version_becomes_current(
    register: Register, wrapper: WatchedWrapper, rotation: Rotation, calls: Keys
) -> None:
    rotation.prepare("audio")
    rotation.switch("audio")
    other = Rotation(register, wrapper, SystemClock(), "jo")

    def roll_back() -> None:
        wrapper.before_wrapping = lambda: None
        other.roll_back("audio")

    wrapper.before_wrapping = roll_back
    with pytest.raises(RotationRefusedError, match="is current by now: run `callstream keys rewrap` again"):
        rotation.rewrap("audio")

    assert states(register) == {"v1": ("current", 10), "v2": ("retiring", 0)}
    assert opened(register, wrapper, calls) == calls


def test_a_day_that_is_dropped_meanwhile_does_not_come_back(
    register: Register,
    wrapper: WatchedWrapper,
    rotation: Rotation,
    calls: Keys,  # noqa: ARG001 - it has made the days
) -> None:
    rotation.prepare("audio")
    rotation.switch("audio")

    def drop() -> None:
        wrapper.before_wrapping = lambda: None
        drop_day(register, DAY)

    wrapper.before_wrapping = drop
    assert rotation.rewrap("audio") == Rewrapped(9, 0)
    assert states(register) == {"v1": ("retiring", 0), "v2": ("current", 9)}


def test_two_who_rewrap_at_once_wrap_each_key_once(
    register: Register, wrapper: WatchedWrapper, rotation: Rotation, calls: Keys
) -> None:
    rotation.prepare("audio")
    rotation.switch("audio")
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: rotation.rewrap("audio", at_once=2), range(3)))

    assert sum(result.done for result in results) == 10
    assert sum(event.count or 0 for event in events(register) if event.kind == "day_keys_rewrapped") == 10
    assert opened(register, wrapper, calls) == calls


def test_a_row_that_does_not_open_holds_up_no_other_and_keeps_its_version(
    register: Register, wrapper: WatchedWrapper, rotation: Rotation, calls: Keys
) -> None:
    with register.transaction() as tx:
        blob = tx.execute(select(day_keys.c.blob).where(day_keys.c.day == DAY)).scalar_one()
        tx.execute(update(day_keys).where(day_keys.c.day == DAY).values(blob=bytes(blob)[:-1] + b"\x00"))
    rotation.prepare("audio")
    rotation.switch("audio")

    assert rotation.rewrap("audio", at_once=1) == Rewrapped(9, 1)
    assert rotation.rewrap("audio", at_once=5) == Rewrapped(0, 1)
    with pytest.raises(RotationRefusedError, match="still wraps 1 day keys"):
        rotation.retire("audio")
    with register.transaction() as tx:
        tx.execute(update(day_keys).where(day_keys.c.day == DAY).values(blob=blob))
    assert rotation.rewrap("audio") == Rewrapped(1, 0)
    assert opened(register, wrapper, calls) == calls


def test_calls_flow_while_keys_are_rotated_again_and_again(
    register: Register, wrapper: WatchedWrapper, rotation: Rotation
) -> None:
    stop = Event()

    def take_in(worker: int) -> Keys:
        keys = RegisterKeys(register, wrapper, SystemClock())
        made: Keys = {}
        number = 0
        while not stop.is_set():
            call, day = f"w{worker}-{number}", DAY + timedelta(days=number % 7)
            made[call, day] = keys.make("acme", call, day, "audio")
            assert keys.get("acme", call, day, "audio") == made[call, day]
            number += 1
        return made

    with ThreadPoolExecutor(3) as pool:
        flowing = [pool.submit(take_in, worker) for worker in range(3)]
        try:
            for _ in range(4):
                rotation.prepare("audio")
                rotation.switch("audio")
                rotation.rewrap("audio", at_once=2)
                rotation.retire("audio", destroy=True)
        finally:
            stop.set()
        calls = {call: key for each in flowing for call, key in each.result().items()}

    assert len(calls) > 3
    assert wrapper.versions("audio") == ["v5"]
    assert opened(register, wrapper, calls) == calls


def test_a_wrapping_key_that_is_not_here_is_for_an_operator_and_no_erased_call(
    register: Register, wrapper: WatchedWrapper, calls: Keys
) -> None:
    wrapper.remove_version("audio", "v1")

    with pytest.raises(WrappingKeyMissingError, match=r"v1 \(audio\) is needed and not here"):
        opened(register, wrapper, calls)


@pytest.mark.parametrize("step", ["prepare", "switch", "roll_back"])
def test_nothing_is_switched_to_that_does_not_work_here(wrapper: WatchedWrapper, rotation: Rotation, step: str) -> None:
    if step != "prepare":
        rotation.prepare("audio")
    if step == "roll_back":
        rotation.switch("audio")

    def fail() -> None:
        raise OperatorError("the key service forbids it")

    wrapper.before_wrapping = fail
    with pytest.raises(OperatorError, match="forbids it"):
        getattr(rotation, step)("audio")


_REWRAP = """
import sys
from pathlib import Path
from processors.custody.ports import PURPOSES
from streams.adapters.key_wrappers.key_ring_file import KeyRingFileSettings
from streams.adapters.register.register import Register
from streams.adapters.register.rotation import Rotation
from streams.ports import SystemClock

wrapper = KeyRingFileSettings().open(Path(sys.argv[2]), PURPOSES)
rotation = Rotation(Register(sys.argv[1]), wrapper, SystemClock(), "ines")
rotation.rewrap("audio", lambda done: print(done, flush=True), at_once=1)
"""


@pytest.mark.processes
def test_rewrapping_may_be_killed(register: Register, tmp_path: Path) -> None:
    if register.file is None:
        pytest.skip("a child process of this marker may reach no server")
    wrapper = KeyRingFileSettings().open(tmp_path, PURPOSES)
    rotation = Rotation(register, wrapper, SystemClock(), "ines")
    rotation.prepare("audio")
    rotation.switch("audio")
    keys = RegisterKeys(register, wrapper, SystemClock())
    days = [DAY + timedelta(days=n) for n in range(300)]
    made = {day: keys.make("acme", "c1", day, "audio") for day in days}
    rotation.prepare("audio")
    rotation.switch("audio")

    url = f"sqlite:///{register.file}"
    child = subprocess.Popen(
        [sys.executable, "-c", _REWRAP, url, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"1\n"
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=30)
    child.stdout.close()

    fresh = RegisterKeys(register, KeyRingFileSettings().open(tmp_path, PURPOSES), SystemClock())
    assert {day: fresh.get("acme", "c1", day, "audio") for day in days} == made
    left = rotation.rewrap("audio").done
    assert 0 < left < 300
    rotation.retire("audio", destroy=True)
    fresh = RegisterKeys(register, KeyRingFileSettings().open(tmp_path, PURPOSES), SystemClock())
    assert {day: fresh.get("acme", "c1", day, "audio") for day in days} == made
