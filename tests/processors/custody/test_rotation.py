"""Wrapping keys come and go without a moment in which something cannot be opened."""

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from processors.custody.rotation import (
    Command,
    Prepare,
    Retire,
    RollBack,
    RotationRefusedError,
    StateChanged,
    Switch,
    WrappingKeys,
    WrappingKeyState,
    apply,
    decide,
)


def having(day_keys: dict[str, int] | None = None, **states: WrappingKeyState) -> WrappingKeys:
    return WrappingKeys("audio", states, day_keys or {})


def changed(version: str, before: WrappingKeyState | None, after: WrappingKeyState) -> StateChanged:
    return StateChanged("audio", version, before, after)


@pytest.mark.parametrize(
    ("command", "state", "events"),
    [
        pytest.param(Prepare("v1"), having(), [changed("v1", None, "prepared")], id="the first of all"),
        pytest.param(Prepare("v1"), having(v1="prepared"), [], id="prepared twice: a command that was given again"),
        pytest.param(
            Prepare("v2"),
            having(v1="current"),
            [changed("v2", None, "prepared")],
            id="the next, beside the current one",
        ),
        pytest.param(
            Switch("v1"), having(v1="prepared"), [changed("v1", "prepared", "current")], id="nothing was current before"
        ),
        pytest.param(
            Switch("v2"),
            having(v1="current", v2="prepared"),
            [changed("v1", "current", "retiring"), changed("v2", "prepared", "current")],
            id="the one before steps back",
        ),
        pytest.param(Switch("v2"), having(v1="retiring", v2="current"), [], id="switched twice"),
        pytest.param(
            RollBack("v1"),
            having(v1="retiring", v2="current"),
            [changed("v2", "current", "retiring"), changed("v1", "retiring", "current")],
            id="back again; what the new one wraps keeps it retiring",
        ),
        pytest.param(RollBack("v1"), having(v1="current", v2="retiring"), [], id="rolled back twice"),
        pytest.param(
            Retire("v1"),
            having(v1="retiring", v2="current"),
            [changed("v1", "retiring", "retired")],
            id="it wraps nothing",
        ),
        pytest.param(
            Retire("v2"),
            having(v1="current", v2="prepared"),
            [changed("v2", "prepared", "retired")],
            id="not wanted after all",
        ),
        pytest.param(Retire("v1"), having(v1="retired", v2="current"), [], id="retired twice"),
    ],
)
def test_what_a_command_does(command: Command, state: WrappingKeys, events: list[StateChanged]) -> None:
    assert decide(command, state) == tuple(events)


@pytest.mark.parametrize(
    ("command", "state", "sentence"),
    [
        pytest.param(
            Prepare("v1"), having(v1="retired"), "is retired: prepare a new one", id="what is gone stays gone"
        ),
        pytest.param(Prepare("v3"), having(v1="current", v2="prepared"), "v2 .* is prepared already", id="two at once"),
        pytest.param(Switch("v2"), having(v1="current"), "not known, not prepared", id="a phase left out"),
        pytest.param(Switch("v1"), having(v1="retired"), "is retired, not prepared", id="to one that is gone"),
        pytest.param(
            Switch("v3"),
            having(v1="retiring", v2="current", v3="prepared"),
            "v1 .* is still retiring",
            id="before the last rotation is finished",
        ),
        pytest.param(RollBack("v1"), having(v1="retired", v2="current"), "no going back", id="too late to go back"),
        pytest.param(RollBack("v2"), having(v1="current", v2="prepared"), "no going back", id="it never was current"),
        pytest.param(Retire("v1"), having(v1="current"), "wraps now", id="the current one"),
        pytest.param(Retire("v9"), having(v1="current"), "not known", id="one that never was"),
        pytest.param(
            Retire("v1"),
            having({"v1": 1}, v1="retiring", v2="current"),
            "still wraps 1 day keys",
            id="one day needs it",
        ),
    ],
)
def test_what_is_refused_and_what_to_do_first(command: Command, state: WrappingKeys, sentence: str) -> None:
    with pytest.raises(RotationRefusedError, match=sentence):
        decide(command, state)


class Rotation(RuleBasedStateMachine):
    """Any commands in any order, while day keys are made and rewrapped; a key is destroyed as soon as it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.state = WrappingKeys("audio")
        self.wrapped_by: dict[int, str] = {}
        self.usable: set[str] = set()
        self.made = 0

    @rule()
    def prepare(self) -> None:
        self.made += 1
        version = f"v{self.made}"
        self.usable.add(version)
        self._try(Prepare(version))

    @precondition(lambda self: self.made > 0)
    @rule(data=st.data(), kind=st.sampled_from([Prepare, Switch, RollBack, Retire]))
    def command(self, data: st.DataObject, kind: type[Command]) -> None:
        self._try(kind(f"v{data.draw(st.integers(1, self.made))}"))

    @precondition(lambda self: self.state.at("current") is not None)
    @rule(day=st.integers(0, 5))
    def make_a_day_key(self, day: int) -> None:
        self.wrapped_by.setdefault(day, self.state.at("current") or "")

    @precondition(lambda self: self.state.at("current") is not None)
    @rule(day=st.integers(0, 5))
    def rewrap_a_day_key(self, day: int) -> None:
        if day in self.wrapped_by:
            assert self.wrapped_by[day] in self.usable
            self.wrapped_by[day] = self.state.at("current") or ""

    @rule()
    def destroy_what_is_retired(self) -> None:
        self.usable -= {version for version, state in self.state.states.items() if state == "retired"}

    @invariant()
    def every_day_key_can_be_opened(self) -> None:
        assert set(self.wrapped_by.values()) <= self.usable

    @invariant()
    def there_is_one_of_each_at_most(self) -> None:
        states = Counter(self.state.states.values())
        assert max(states["prepared"], states["current"], states["retiring"]) <= 1

    @invariant()
    def once_something_wraps_something_always_does(self) -> None:
        assert self.state.at("current") is not None or not self.wrapped_by

    def _try(self, command: Command) -> None:
        state = WrappingKeys("audio", self.state.states, Counter(self.wrapped_by.values()))
        try:
            events = decide(command, state)
        except RotationRefusedError:
            return
        self.state = apply(events, state)
        assert decide(command, self.state) == ()


TestRotation = Rotation.TestCase
