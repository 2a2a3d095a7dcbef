"""Which wrapping key wraps now: how a version comes into use, is gone back from, and goes.

    prepared -> current -> retiring -> retired
                   ^----------'  roll back

In two phases, so that nothing is ever wrapped by a key that some process cannot use yet: a version is prepared, every
process is given it, and only then it is switched to. The one before it stays until no day key needs it. At each moment
at most one version is prepared, one current and one retiring. Pure: what is decided here, the register keeps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

from processors.custody.ports import Purpose
from schemas.errors import OperatorError

WrappingKeyState = Literal["prepared", "current", "retiring", "retired"]


@dataclass(frozen=True)
class WrappingKeys:
    """The wrapping keys of one purpose: version → state, and version → how many day keys it wraps."""

    purpose: Purpose
    states: Mapping[str, WrappingKeyState] = field(default_factory=dict)
    day_keys: Mapping[str, int] = field(default_factory=dict)

    def at(self, state: WrappingKeyState) -> str | None:
        """The version in that state; of retired ones, which may be several, any."""
        return next((version for version, its in self.states.items() if its == state), None)


@dataclass(frozen=True)
class Prepare:
    """There is a version; nothing is wrapped with it yet."""

    version: str


@dataclass(frozen=True)
class Switch:
    """Wrap with a prepared version from now on. Every process that opens must have it."""

    version: str


@dataclass(frozen=True)
class RollBack:
    """Wrap with the version before again."""

    version: str


@dataclass(frozen=True)
class Retire:
    """Done with a version that wraps nothing. Afterwards its key may be destroyed."""

    version: str


Command = Prepare | Switch | RollBack | Retire


@dataclass(frozen=True)
class StateChanged:
    """`before` is None for a version that is new."""

    purpose: Purpose
    version: str
    before: WrappingKeyState | None
    after: WrappingKeyState


class RotationRefusedError(OperatorError):
    """The command does not fit the states of the versions. The sentence says what to do first."""


def decide(command: Command, keys: WrappingKeys) -> tuple[StateChanged, ...]:
    """What happens; nothing where it has happened already, so that a command may be given again.

    Raises `RotationRefusedError`.
    """
    version, state = command.version, keys.states.get(command.version)
    match command:
        case Prepare():
            return _prepare(version, state, keys)
        case Switch():
            return _make_current(version, state, "prepared", keys)
        case RollBack():
            return _make_current(version, state, "retiring", keys)
        case Retire():
            return _retire(version, state, keys)
        case _:
            assert_never(command)


def apply(events: tuple[StateChanged, ...], keys: WrappingKeys) -> WrappingKeys:
    """The wrapping keys after them."""
    changed = {event.version: event.after for event in events}
    return WrappingKeys(keys.purpose, {**keys.states, **changed}, keys.day_keys)


def _prepare(version: str, state: WrappingKeyState | None, keys: WrappingKeys) -> tuple[StateChanged, ...]:
    if state == "prepared":
        return ()
    if state is not None:
        raise RotationRefusedError(f"wrapping key {version} ({keys.purpose}) is {state}: prepare a new one")
    if (other := keys.at("prepared")) is not None:
        raise RotationRefusedError(
            f"wrapping key {other} ({keys.purpose}) is prepared already: switch to it, or retire it"
        )
    return (StateChanged(keys.purpose, version, None, "prepared"),)


def _make_current(
    version: str, state: WrappingKeyState | None, expected: WrappingKeyState, keys: WrappingKeys
) -> tuple[StateChanged, ...]:
    if state == "current":
        return ()
    if state != expected:
        raise RotationRefusedError(
            f"wrapping key {version} ({keys.purpose}) is {state or 'not known'}, not {expected}: "
            + ("prepare it first" if expected == "prepared" else "there is no going back to it")
        )
    current, retiring = keys.at("current"), keys.at("retiring")
    if expected == "prepared" and retiring is not None:
        raise RotationRefusedError(
            f"wrapping key {retiring} ({keys.purpose}) is still retiring: rewrap what it wraps and retire it first"
        )
    stepping_back = () if current is None else (StateChanged(keys.purpose, current, "current", "retiring"),)
    return (*stepping_back, StateChanged(keys.purpose, version, expected, "current"))


def _retire(version: str, state: WrappingKeyState | None, keys: WrappingKeys) -> tuple[StateChanged, ...]:
    if state == "retired":
        return ()
    if state is None:
        raise RotationRefusedError(f"wrapping key {version} ({keys.purpose}) is not known")
    if state == "current":
        raise RotationRefusedError(f"wrapping key {version} ({keys.purpose}) wraps now: switch to another one first")
    if (needing := keys.day_keys.get(version, 0)) > 0:
        raise RotationRefusedError(
            f"wrapping key {version} ({keys.purpose}) still wraps {needing} day keys: rewrap them first"
        )
    return (StateChanged(keys.purpose, version, state, "retired"),)
