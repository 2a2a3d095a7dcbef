"""The life of a legal hold (R17, R18): a case is opened over calls, grows, and is released by a person. Pure.

A call is free only when every case let go of it. A case that was released stays released: a matter that comes up again
is another case, and an event that is delivered again opens nothing that a person has closed.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Literal

from processors.custody.listed_call import ListedCall
from schemas.errors import OperatorError

TELEPHONY = "telephony"
"""Who opens the case of a call whose event says `legal_hold`."""

CASE_LENGTH = 160
"""Characters of the id of a case, at most."""


class HoldRefusedError(OperatorError):
    """What was asked of a case cannot be done to it."""

    exit_code = 1


def telephony_case(call_id: str) -> str:
    """The case of a call whose event says `legal_hold`."""
    return f"{TELEPHONY}:{call_id}"


@dataclass(frozen=True)
class CustomerScope:
    """The calls of a customer, those to come among them. `keys` are the customer's under every version of the secret;
    `since` and `until` bound when a call ended, the latter not included."""

    keys: frozenset[str] = field(repr=False)
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class HoldScope:
    """What a case holds: calls by their ids, and those of customers."""

    calls: frozenset[str] = frozenset()
    customers: tuple[CustomerScope, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.calls or self.customers)


@dataclass(frozen=True)
class HeldCall:
    """What a hold needs to know of a call; None where that is not known. The customer of its event and that of the
    exchange's list may differ, and either is enough."""

    call_id: str
    customer_key: str | None = None
    ended_at: datetime | None = None
    listed: ListedCall | None = None


def catches(scope: HoldScope, call: HeldCall) -> bool:
    """Whether the scope holds the call. What is not known of a call excludes it from nothing: then it is held."""
    return call.call_id in scope.calls or any(_is_theirs(one, call) for one in scope.customers)


def _is_theirs(scope: CustomerScope, call: HeldCall) -> bool:
    listed = call.listed
    if listed is not None and listed.customer_keys & scope.keys and ended_within(scope, listed.ended_at):
        return True
    if call.ended_at is None:
        # Nothing was decided of the call yet, and its customer is not known either, unless the list alone knows it.
        return listed is None or not listed.tells_all
    return call.customer_key in scope.keys and ended_within(scope, call.ended_at)


def ended_within(scope: CustomerScope, ended_at: datetime) -> bool:
    """Whether calls that ended then are among those of the scope."""
    return (scope.since is None or ended_at >= scope.since) and (scope.until is None or ended_at < scope.until)


CaseState = Literal["open", "released"]


@dataclass(frozen=True)
class Case:
    """A case as it stands. `scope` is what is known of what it holds."""

    state: CaseState
    reason: str
    opened_by: str
    opened_at: datetime
    scope: HoldScope = HoldScope()


@dataclass(frozen=True)
class Open:
    """Hold these calls from now on. `reason` is a word: complaint, lawsuit, regulator …"""

    scope: HoldScope
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True)
class Extend:
    """Hold these, too."""

    scope: HoldScope


@dataclass(frozen=True)
class Release:
    """Let go of all of them."""

    actor: str
    is_person: bool


HoldCommand = Open | Extend | Release


@dataclass(frozen=True)
class HoldWasOpened:
    """There is a case."""

    scope: HoldScope
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True)
class HoldWasExtended:
    """It holds these, too."""

    scope: HoldScope


@dataclass(frozen=True)
class HoldWasReleased:
    """It holds nothing any more."""

    actor: str


HoldEvent = HoldWasOpened | HoldWasExtended | HoldWasReleased


def decide(command: HoldCommand, case: Case | None) -> tuple[HoldEvent, ...]:
    """What happens; nothing where the command changes nothing. `case` is None where there is none of that id.

    Raises `HoldRefusedError`.
    """
    match command, case:
        case ((Open(scope=scope) | Extend(scope=scope)), _) if not scope:
            raise HoldRefusedError("a case needs calls to hold: name calls, or a customer")
        case Open(scope, reason, actor, at), None:
            return (HoldWasOpened(scope, reason, actor, at),)
        case Open(actor=actor), Case() if actor == TELEPHONY:
            return ()
        case Open(scope, reason, actor), Case(state="open") if (reason, actor) == (case.reason, case.opened_by):
            return _extended(scope, case)
        case Open(), Case(state="open"):
            raise HoldRefusedError("the case is open already: `callstream hold extend` adds calls to it")
        case Open(), _:
            raise HoldRefusedError("the case was released: open another one, under an id of its own")
        case Extend(scope), Case(state="open"):
            return _extended(scope, case)
        case Extend(), Case():
            raise HoldRefusedError("the case was released: open another one, under an id of its own")
        case Release(is_person=False), _:
            raise HoldRefusedError("a case is released by a person who may release, and by nobody else")
        case Release(actor), Case(state="open"):
            return (HoldWasReleased(actor),)
        case Release(), Case():
            return ()
        case _:
            raise HoldRefusedError("there is no such case")


def _extended(scope: HoldScope, case: Case) -> tuple[HoldEvent, ...]:
    new = HoldScope(
        scope.calls - case.scope.calls, tuple(one for one in scope.customers if one not in case.scope.customers)
    )
    return (HoldWasExtended(new),) if new else ()


def evolve(case: Case | None, event: HoldEvent) -> Case:
    """The case after an event that `decide` gave. Raises `ValueError` for any other."""
    match case, event:
        case None, HoldWasOpened(scope, reason, actor, at):
            return Case("open", reason, actor, at, scope)
        case Case(state="open"), HoldWasExtended(scope):
            both = HoldScope(
                case.scope.calls | scope.calls, tuple(dict.fromkeys((*case.scope.customers, *scope.customers)))
            )
            return replace(case, scope=both)
        case Case(state="open"), HoldWasReleased():
            return replace(case, state="released")
        case _:
            raise ValueError(f"{type(event).__name__} does not follow {case.state if case else 'nothing'}")


def after(case: Case | None, command: HoldCommand) -> Case | None:
    """The case after a command. Raises `HoldRefusedError`."""
    return reduce(evolve, decide(command, case), case)


def holding(cases: Iterable[tuple[str, Case]], call: HeldCall) -> Collection[str]:
    """The ids of the cases that hold the call, sorted: it is free when there are none."""
    return sorted(case_id for case_id, case in cases if case.state == "open" and catches(case.scope, call))
