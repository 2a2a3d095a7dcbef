"""The life of an intake: how a recording of one call is taken in, whoever tries, however often, wherever it breaks off.

Pure: `decide` says what happens, `evolve` what is true afterwards. One intake per tenant and call; each try is an
attempt with an object key of its own, so that two of them never write the same object.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Literal

from schemas.errors import OperatorError, RetryableError

IntakeSource = Literal["serve", "publish", "demo", "folder", "bucket"]
"""How a recording came: by `callstream serve`, a command, a watched folder, a notification of a bucket."""


class IntakeBusyError(RetryableError):
    """Another upload of the call is under way: come again, when it has ended or its lease has run out."""


class IntakeConflictError(OperatorError):
    """The call id is taken by another recording, or by the same one with other facts; the first one stands."""

    exit_code = 1


class LeaseLostError(RetryableError):
    """An attempt took longer between two of its bytes than its lease allows, and has been given up or taken over."""


@dataclass(frozen=True)
class Free:
    """No attempt is under way, and nothing was taken in."""


@dataclass(frozen=True)
class Reserved:
    """An attempt is writing its object."""

    attempt: str
    object_key: str
    source: IntakeSource
    lease_until: datetime


@dataclass(frozen=True)
class Stored:
    """The object is durable; Kafka has not acknowledged the event yet. From here on, nothing is undone."""

    attempt: str
    object_key: str
    source: IntakeSource
    content: str
    event: bytes
    """What is to be announced."""
    received_at: datetime
    """When its last byte came in."""


@dataclass(frozen=True)
class Announced:
    """Kafka has the event, and nothing of it is kept here: what is known of the call lies elsewhere."""

    attempt: str
    object_key: str
    source: IntakeSource
    content: str
    received_at: datetime
    capture_ms: int


Intake = Free | Reserved | Stored | Announced
FREE = Free()


@dataclass(frozen=True)
class Reserve:
    """Before the first byte."""

    attempt: str
    object_key: str
    source: IntakeSource
    at: datetime
    lease: timedelta


@dataclass(frozen=True)
class Renew:
    """Bytes are still coming in."""

    attempt: str
    at: datetime
    lease: timedelta


@dataclass(frozen=True)
class Store:
    """The object is durable. `content` tells recordings, and what is known of them, apart."""

    attempt: str
    content: str
    event: bytes
    received_at: datetime


@dataclass(frozen=True)
class Compare:
    """A recording came for a call that was taken in before."""

    content: str


@dataclass(frozen=True)
class Announce:
    """Kafka has acknowledged the event, at this time."""

    at: datetime


@dataclass(frozen=True)
class Abandon:
    """The attempt has failed and will not go on."""

    attempt: str


@dataclass(frozen=True)
class Expire:
    """Somebody looks whether the lease has run out."""

    at: datetime


Command = Reserve | Renew | Store | Compare | Announce | Abandon | Expire


@dataclass(frozen=True)
class WasReserved:
    """The call is this attempt's until its lease runs out."""

    attempt: str
    object_key: str
    source: IntakeSource
    lease_until: datetime


@dataclass(frozen=True)
class WasRenewed:
    """The lease lasts longer."""

    lease_until: datetime


@dataclass(frozen=True)
class WasLeft:
    """Whatever lies under this key, now or in a moment, belongs to no call: it is to be removed."""

    object_key: str


@dataclass(frozen=True)
class WasGivenUp:
    """No attempt is under way any more."""


@dataclass(frozen=True)
class WasStored:
    """There is an object, and an event to announce."""

    content: str
    event: bytes
    received_at: datetime


@dataclass(frozen=True)
class WasAnnounced:
    """The call is taken in."""

    capture_ms: int


Event = WasReserved | WasRenewed | WasLeft | WasGivenUp | WasStored | WasAnnounced


def decide(command: Command, state: Intake) -> tuple[Event, ...]:
    """What happens; nothing where the command changes nothing.

    `Reserve` of a call that is stored or announced changes nothing: the recording has to be compared. Raises
    `IntakeBusyError`, `IntakeConflictError` and `LeaseLostError`.
    """
    match command, state:
        case Reserve(), Stored() | Announced():
            return ()
        case Reserve(at=at), Reserved(lease_until=until) if at < until:
            raise IntakeBusyError("another upload of this call is under way")
        case Reserve(attempt, object_key, source, at, lease), _:
            return (*_left(state), WasReserved(attempt, object_key, source, at + lease))
        case Renew(attempt, at, lease), Reserved(attempt=holder) if holder == attempt:
            return (WasRenewed(at + lease),)
        case Store(attempt, content, event, received_at), Reserved(attempt=holder) if holder == attempt:
            return (WasStored(content, event, received_at),)
        case Renew() | Store(), _:
            raise LeaseLostError("the upload took too long between two of its bytes, and its place was given away")
        case Compare(content), Stored(content=taken) | Announced(content=taken):
            if content != taken:
                raise IntakeConflictError("call_id: another recording, or other facts, were taken in under this id")
            return ()
        case Announce(at), Stored(received_at=received_at):
            return (WasAnnounced(max(0, (at - received_at) // timedelta(milliseconds=1))),)
        case Abandon(attempt), Reserved(attempt=holder) if holder == attempt:
            return (*_left(state), WasGivenUp())
        case Expire(at), Reserved(lease_until=until) if until <= at:
            return (*_left(state), WasGivenUp())
        case Compare(), _:
            raise IntakeBusyError("another upload of this call is under way")
        case _:
            return ()


def _left(state: Intake) -> tuple[Event, ...]:
    return (WasLeft(state.object_key),) if isinstance(state, Reserved) else ()


def evolve(state: Intake, event: Event) -> Intake:
    """The state after an event that `decide` gave in that state. Raises `ValueError` for any other."""
    match state, event:
        case (Free() | Reserved(), WasReserved(attempt, object_key, source, until)):
            return Reserved(attempt, object_key, source, until)
        case Reserved(), WasRenewed(until):
            return replace(state, lease_until=until)
        case Reserved(), WasLeft():
            return state
        case Reserved(), WasGivenUp():
            return FREE
        case Reserved(attempt, object_key, source), WasStored(content, encoded, received_at):
            return Stored(attempt, object_key, source, content, encoded, received_at)
        case Stored(attempt, object_key, source, content, _, received_at), WasAnnounced(capture_ms):
            return Announced(attempt, object_key, source, content, received_at, capture_ms)
        case _:
            raise ValueError(f"{type(event).__name__} does not follow {type(state).__name__}")


def after(state: Intake, events: tuple[Event, ...]) -> Intake:
    """The state after all of them."""
    return reduce(evolve, events, state)
