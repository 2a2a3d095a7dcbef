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

Stage = Literal["prepared", "current", "retiring", "retired"]


@dataclass(frozen=True)
class WrappingKeys:
    """The wrapping keys of one purpose: version → stage, and version → how many day keys it wraps."""

    purpose: Purpose
    stages: Mapping[str, Stage] = field(default_factory=dict)
    day_keys: Mapping[str, int] = field(default_factory=dict)

    def at(self, stage: Stage) -> str | None:
        """The version that is there; of retired ones, which may be several, any."""
        return next((version for version, its in self.stages.items() if its == stage), None)


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
class StageChanged:
    """`before` is None for a version that is new."""

    purpose: Purpose
    version: str
    before: Stage | None
    after: Stage


class RotationRefusedError(OperatorError):
    """The command does not fit what stage the versions are at. The sentence says what to do first."""


def decide(command: Command, state: WrappingKeys) -> tuple[StageChanged, ...]:
    """What happens; nothing where it has happened already, so that a command may be given again.

    Raises `RotationRefusedError`.
    """
    version, stage = command.version, state.stages.get(command.version)
    match command:
        case Prepare():
            return _prepare(version, stage, state)
        case Switch():
            return _make_current(version, stage, "prepared", state)
        case RollBack():
            return _make_current(version, stage, "retiring", state)
        case Retire():
            return _retire(version, stage, state)
        case _:
            assert_never(command)


def apply(events: tuple[StageChanged, ...], state: WrappingKeys) -> WrappingKeys:
    """The state after them."""
    changed = {event.version: event.after for event in events}
    return WrappingKeys(state.purpose, {**state.stages, **changed}, state.day_keys)


def _prepare(version: str, stage: Stage | None, state: WrappingKeys) -> tuple[StageChanged, ...]:
    if stage == "prepared":
        return ()
    if stage is not None:
        raise RotationRefusedError(f"wrapping key {version} ({state.purpose}) is {stage}: prepare a new one")
    if (other := state.at("prepared")) is not None:
        raise RotationRefusedError(
            f"wrapping key {other} ({state.purpose}) is prepared already: switch to it, or retire it"
        )
    return (StageChanged(state.purpose, version, None, "prepared"),)


def _make_current(version: str, stage: Stage | None, expected: Stage, state: WrappingKeys) -> tuple[StageChanged, ...]:
    if stage == "current":
        return ()
    if stage != expected:
        raise RotationRefusedError(
            f"wrapping key {version} ({state.purpose}) is {stage or 'not known'}, not {expected}: "
            + ("prepare it first" if expected == "prepared" else "there is no going back to it")
        )
    current, retiring = state.at("current"), state.at("retiring")
    if expected == "prepared" and retiring is not None:
        raise RotationRefusedError(
            f"wrapping key {retiring} ({state.purpose}) is still retiring: rewrap what it wraps and retire it first"
        )
    stepping_back = () if current is None else (StageChanged(state.purpose, current, "current", "retiring"),)
    return (*stepping_back, StageChanged(state.purpose, version, expected, "current"))


def _retire(version: str, stage: Stage | None, state: WrappingKeys) -> tuple[StageChanged, ...]:
    if stage == "retired":
        return ()
    if stage is None:
        raise RotationRefusedError(f"wrapping key {version} ({state.purpose}) is not known")
    if stage == "current":
        raise RotationRefusedError(f"wrapping key {version} ({state.purpose}) wraps now: switch to another one first")
    if (needing := state.day_keys.get(version, 0)) > 0:
        raise RotationRefusedError(
            f"wrapping key {version} ({state.purpose}) still wraps {needing} day keys: rewrap them first"
        )
    return (StageChanged(state.purpose, version, stage, "retired"),)
