"""An intake through every order of attempts, crashes, leases that run out and sweeps."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from processors.custody.intake import (
    FREE,
    Abandon,
    Announce,
    Announced,
    Command,
    Compare,
    Event,
    Expire,
    Free,
    Intake,
    IntakeBusyError,
    IntakeConflictError,
    LeaseLostError,
    Renew,
    Reserve,
    Reserved,
    Store,
    Stored,
    WasAnnounced,
    WasGivenUp,
    WasLeft,
    WasReserved,
    after,
    decide,
    evolve,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LEASE = timedelta(seconds=60)
RESERVED = Reserved("a", "key-a", "serve", NOON + LEASE)
STORED = Stored("a", "key-a", "serve", "content", b"event", NOON)
ANNOUNCED = Announced("a", "key-a", "serve", "content", NOON, 7)


def reserve(attempt: str, at: datetime = NOON) -> Reserve:
    return Reserve(attempt, f"key-{attempt}", "serve", at, LEASE)


@pytest.mark.parametrize(
    ("command", "state", "events"),
    [
        pytest.param(reserve("a"), FREE, (WasReserved("a", "key-a", "serve", NOON + LEASE),), id="the first attempt"),
        pytest.param(
            reserve("b", NOON + LEASE),
            RESERVED,
            (WasLeft("key-a"), WasReserved("b", "key-b", "serve", NOON + 2 * LEASE)),
            id="a lease that ran out is taken over, and the object of the first is to be removed",
        ),
        pytest.param(reserve("b"), STORED, (), id="what is stored is compared, not reserved"),
        pytest.param(reserve("b"), ANNOUNCED, (), id="what is announced is compared, not reserved"),
        pytest.param(Compare("content"), ANNOUNCED, (), id="the same once more"),
        pytest.param(Compare("content"), STORED, (), id="the same before it was announced"),
        pytest.param(Announce(NOON + LEASE), STORED, (WasAnnounced(60_000),), id="announced"),
        pytest.param(Announce(NOON - LEASE), STORED, (WasAnnounced(0),), id="a clock that was set back"),
        pytest.param(Announce(NOON + LEASE), ANNOUNCED, (), id="announced twice: the first counts"),
        pytest.param(Abandon("a"), RESERVED, (WasLeft("key-a"), WasGivenUp()), id="an attempt that failed"),
        pytest.param(Abandon("b"), RESERVED, (), id="a loser takes nothing from the winner"),
        pytest.param(Abandon("a"), STORED, (), id="what is durable is not undone"),
        pytest.param(Expire(NOON), RESERVED, (), id="the lease still lasts"),
        pytest.param(Expire(NOON + LEASE), RESERVED, (WasLeft("key-a"), WasGivenUp()), id="never finished"),
        pytest.param(Expire(NOON + LEASE), STORED, (), id="what is stored does not expire"),
    ],
)
def test_what_happens(command: Command, state: Intake, events: tuple[Event, ...]) -> None:
    assert decide(command, state) == events


@pytest.mark.parametrize(
    ("command", "state", "error"),
    [
        pytest.param(reserve("b"), RESERVED, IntakeBusyError, id="two at once"),
        pytest.param(Compare("other"), STORED, IntakeConflictError, id="other content before it was announced"),
        pytest.param(Compare("other"), ANNOUNCED, IntakeConflictError, id="other content"),
        pytest.param(Compare("content"), RESERVED, IntakeBusyError, id="nothing to compare with yet"),
        pytest.param(Renew("b", NOON, LEASE), RESERVED, LeaseLostError, id="taken over while it paused"),
        pytest.param(Renew("a", NOON, LEASE), FREE, LeaseLostError, id="given up while it paused"),
        pytest.param(Store("b", "c", b"", NOON), RESERVED, LeaseLostError, id="taken over, and too late"),
        pytest.param(Store("b", "c", b"", NOON), STORED, LeaseLostError, id="another one was faster"),
    ],
)
def test_what_is_refused(command: Command, state: Intake, error: type[Exception]) -> None:
    with pytest.raises(error):
        decide(command, state)


def test_an_event_that_cannot_follow_is_no_state() -> None:
    with pytest.raises(ValueError, match="WasAnnounced does not follow Free"):
        evolve(FREE, WasAnnounced(1))


class Intakes(RuleBasedStateMachine):
    """One call, attempts that may stop anywhere, a store and a topic as they would really look."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.state: Intake = FREE
        self.attempts: list[str] = []
        self.objects: set[str] = set()
        self.left: set[str] = set()
        self.announced: list[tuple[int, bytes]] = []
        self.first_content: str | None = None

    def tell(self, command: Command) -> bool:
        """Whether it was not refused."""
        before = self.state
        try:
            events = decide(command, before)
        except (IntakeBusyError, IntakeConflictError, LeaseLostError):
            return False
        self.state = after(self.state, events)
        for event in events:
            if isinstance(event, WasLeft):
                self.left.add(event.object_key)
            if isinstance(event, WasAnnounced):
                assert isinstance(before, Stored)
                self.announced.append((event.capture_ms, before.event))
        return True

    @rule(seconds=st.integers(0, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def somebody_reserves(self) -> None:
        attempt = str(len(self.attempts))
        held = isinstance(self.state, Reserved) and self.now < self.state.lease_until
        settled = isinstance(self.state, Stored | Announced)
        assert self.tell(reserve(attempt, self.now)) is not held
        if not held and not settled:
            self.attempts.append(attempt)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def an_attempt_renews(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        self.tell(Renew(attempt, self.now, LEASE))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), content=st.sampled_from(["x", "y"]))
    def an_attempt_stores(self, data: st.DataObject, content: str) -> None:
        """Also one that has lost its place long ago: it writes its object, and is refused afterwards."""
        attempt = data.draw(st.sampled_from(self.attempts))
        self.objects.add(f"key-{attempt}")
        if self.tell(Store(attempt, content, content.encode(), self.now)):
            assert self.first_content is None, "two recordings were taken in for one call"
            self.first_content = content

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def an_attempt_gives_up(self, data: st.DataObject) -> None:
        self.tell(Abandon(data.draw(st.sampled_from(self.attempts))))

    @rule(content=st.sampled_from(["x", "y"]))
    def a_recording_is_compared(self, content: str) -> None:
        taken = self.tell(Compare(content))
        assert taken is (content == self.first_content)

    @rule()
    def it_is_announced(self) -> None:
        self.tell(Announce(self.now))

    @rule()
    def somebody_sweeps(self) -> None:
        self.tell(Expire(self.now))
        self.objects -= self.left

    @invariant()
    def it_is_announced_once_and_only_what_is_there(self) -> None:
        assert len(self.announced) <= 1
        if isinstance(self.state, Stored | Announced):
            assert self.state.object_key in self.objects
            assert self.state.object_key not in self.left
            assert self.state.content == self.first_content

    @invariant()
    def every_object_is_of_the_call_or_known_to_be_left(self) -> None:
        mine = {self.state.object_key} if not isinstance(self.state, Free) else set()
        assert self.objects <= self.left | mine

    def teardown(self) -> None:
        """Whatever happened: once all attempts are dead, two sweeps leave one object with its event, or nothing."""
        self.now += 2 * LEASE
        self.tell(Expire(self.now))
        self.tell(Announce(self.now))
        self.objects -= self.left
        if isinstance(self.state, Announced):
            assert self.objects == {self.state.object_key}
            assert len(self.announced) == 1
        else:
            assert self.state == FREE
            assert not self.objects


TestIntakes = Intakes.TestCase
