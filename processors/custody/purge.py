"""How a call is destroyed (R19, R39, R94): what is decided about one call, and the steps of one purge. Pure.

A purge is a set of calls of one tenant that are destroyed together, because a mutation of ClickHouse costs the same for
one call as for a thousand. Of each call it is decided alone, inside the transaction that writes its tombstone, with
what holds it in hand; the steps that follow are those of the purge, in this order, each of them right to do again:

    tombstone → keys → objects → tables → topics → copies → read_back → receipt … late

`late` comes when nothing that was under way at the tombstone can be under way any more: what was written meanwhile is
looked for once more, and goes.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Literal

from schemas.errors import OperatorError, RetryableError

PurgeStep = Literal["keys", "objects", "tables", "topics", "copies", "read_back", "receipt", "late"]

STEPS: tuple[PurgeStep, ...] = ("keys", "objects", "tables", "topics", "copies", "read_back", "receipt", "late")
"""In the order in which they are done. The tombstone comes before the first of them."""

MOST_CALLS = 1_000
"""Of one purge."""

LEASE = timedelta(minutes=15)
"""So long a purger may be at one step before another may take its purge over. Longer than any mutation of a thousand
calls has taken; both at once do no harm, and do the work twice."""

IN_FLIGHT = timedelta(hours=2)
"""So long after its tombstone may a message of the call still be worked on by a process that looked before it: an hour
of recording on a slow machine, and a back-off. What it writes is found and removed afterwards (`late`)."""

LATER_LOOK = timedelta(hours=1)
"""So long after it was found to be held, or inside its floor, is a call that is to be destroyed looked at again."""


class HeldError(OperatorError):
    """A legal hold keeps the call; nothing of it was destroyed."""

    exit_code = 1

    def __init__(self, cases: Sequence[str]) -> None:
        self.cases = tuple(cases)
        super().__init__(
            f"the call is held by {len(self.cases)} case(s) ({', '.join(self.cases[:5])}): nothing of it is destroyed "
            "until every one of them has let it go"
        )


class PurgeBusyError(RetryableError):
    """Another process is at this purge, and its lease has not run out."""


@dataclass(frozen=True)
class PurgeOrder:
    """Who wants a call destroyed, in which role, and why. `reason` is a word: retention, misdial, erasure, request …

    `policy_version` names the retention policy by which it is done, or is empty where a person decided it. `erasure_id`
    is that of the customer's request that it belongs to.
    """

    tenant_id: str
    reason: str
    actor: str
    policy_version: str = ""
    ticket: str | None = None
    erasure_id: str | None = None
    role: str = ""


@dataclass(frozen=True)
class Kept:
    """There is no tombstone."""


@dataclass(frozen=True)
class Blocked:
    """Erased for every use, and still there: a floor of the law, or a hold, keeps it. Looked at again at `look_at`."""

    order: PurgeOrder
    look_at: datetime


@dataclass(frozen=True)
class Buried:
    """Its tombstone stands: it is being destroyed, or has been (`is_purged`), by that purge."""

    order: PurgeOrder
    purge_id: str
    is_purged: bool = False


CallFate = Kept | Blocked | Buried
KEPT = Kept()


@dataclass(frozen=True)
class BuryCall:
    """Destroy the call."""

    order: PurgeOrder
    purge_id: str


@dataclass(frozen=True)
class EraseCall:
    """Destroy the call, or, while something keeps it, block it for every use."""

    order: PurgeOrder
    purge_id: str


@dataclass(frozen=True)
class WasBuried:
    order: PurgeOrder
    purge_id: str


@dataclass(frozen=True)
class WasBlocked:
    """`by` says what keeps it: `hold`, `floor`."""

    order: PurgeOrder
    look_at: datetime
    by: Literal["hold", "floor"]


CallEvent = WasBuried | WasBlocked


def decide_call(
    command: BuryCall | EraseCall, state: CallFate, cases: Collection[str], floor_until: datetime | None, now: datetime
) -> tuple[CallEvent, ...]:
    """What happens to a call. Nothing to one whose tombstone stands.

    `cases` hold it, `floor_until` is the end of its statutory floor (None where it has none, or it is over). Raises
    `HeldError` where `BuryCall` meets a hold. A floor is no bar to `BuryCall`: who gives that order has the right to (a
    retention that has run out is behind its floor), and a person's is written down with who it was.
    """
    if isinstance(state, Buried):
        return ()
    if isinstance(command, BuryCall):
        if cases:
            raise HeldError(sorted(cases))
        return (WasBuried(command.order, command.purge_id),)
    if cases:
        return _blocked(command.order, state, now + LATER_LOOK, "hold", now)
    if floor_until is not None and floor_until > now:
        return _blocked(command.order, state, floor_until, "floor", now)
    return (WasBuried(command.order, command.purge_id),)


def _blocked(
    order: PurgeOrder, state: CallFate, look_at: datetime, by: Literal["hold", "floor"], now: datetime
) -> tuple[CallEvent, ...]:
    """Nothing where it is blocked and the time to look at it again has not come, however often it is asked for."""
    if isinstance(state, Blocked) and state.order == order and state.look_at > now:
        return ()
    return (WasBlocked(order, look_at, by),)


def call_after(state: CallFate, events: Sequence[CallEvent]) -> CallFate:
    """What is true of a call after these events."""

    def evolve(_state: CallFate, event: CallEvent) -> CallFate:
        if isinstance(event, WasBuried):
            return Buried(event.order, event.purge_id)
        return Blocked(event.order, event.look_at)

    return reduce(evolve, events, state)


PlaceCounts = Mapping[str, int]
"""Place → how many things of it: rows, objects, keys."""


@dataclass(frozen=True)
class PurgeState:
    """How far a purge has got. `worker` is at it until `lease_until`; both None where nobody is.

    `counts` is what each step destroyed, by place; `found_late` what `late` still found.
    """

    purge_id: str
    started_at: datetime
    done: tuple[PurgeStep, ...] = ()
    counts: Mapping[str, PlaceCounts] = field(default_factory=dict)
    worker: str | None = None
    lease_until: datetime | None = None

    @property
    def next_step(self) -> PurgeStep | None:
        """None where all is done."""
        return next((step for step in STEPS if step not in self.done), None)

    @property
    def late_at(self) -> datetime:
        """From when on nothing of before the tombstones is under way."""
        return self.started_at + IN_FLIGHT

    def is_due(self, now: datetime) -> bool:
        """Whether there is something to do now."""
        step = self.next_step
        return step is not None and (step != "late" or now >= self.late_at)


@dataclass(frozen=True)
class ClaimPurge:
    """A process begins, or goes on: it is `worker` that does the steps until the lease ends."""

    worker: str
    now: datetime


@dataclass(frozen=True)
class FinishStep:
    """A step is done, and what it destroyed."""

    worker: str
    step: PurgeStep
    counts: PlaceCounts
    now: datetime


@dataclass(frozen=True)
class WasClaimed:
    worker: str
    lease_until: datetime


@dataclass(frozen=True)
class WasFinished:
    step: PurgeStep
    counts: PlaceCounts
    lease_until: datetime | None
    """None: the worker has let go."""


PurgeEvent = WasClaimed | WasFinished


def decide_purge(command: ClaimPurge | FinishStep, state: PurgeState) -> tuple[PurgeEvent, ...]:
    """What happens to a purge. A step that is done already is not done again.

    Raises `PurgeBusyError` where another worker has it, also in the middle of what this one thought it did.
    """
    if state.worker not in (None, command.worker) and state.lease_until is not None and state.lease_until > command.now:
        raise PurgeBusyError("another process is at this purge")
    if isinstance(command, ClaimPurge):
        return (WasClaimed(command.worker, command.now + LEASE),)
    if command.step != state.next_step:
        return ()
    holds_on = command.step not in ("receipt", "late")
    return (WasFinished(command.step, command.counts, command.now + LEASE if holds_on else None),)


def purge_after(state: PurgeState, events: Sequence[PurgeEvent]) -> PurgeState:
    """What is true of a purge after these events."""

    def evolve(state: PurgeState, event: PurgeEvent) -> PurgeState:
        if isinstance(event, WasClaimed):
            return replace(state, worker=event.worker, lease_until=event.lease_until)
        return replace(
            state,
            done=(*state.done, event.step),
            counts={**state.counts, event.step: dict(event.counts)},
            worker=state.worker if event.lease_until is not None else None,
            lease_until=event.lease_until,
        )

    return reduce(evolve, events, state)


def digest_of_call(salt: bytes, tenant_id: str, call_id: str) -> str:
    """What a receipt calls a call: 64 hex digits, which nobody can compute from an id without the salt (32 bytes)."""
    return hmac.new(salt, f"{tenant_id}\x00{call_id}".encode(), hashlib.sha256).hexdigest()


CLOCKS_APART = timedelta(minutes=10)


def require_one_time(ours: datetime, theirs: datetime, whose: str) -> None:
    """Raises `OperatorError` where the clock of this machine is another one than that of `whose`: what is destroyed
    because its time has come must not be destroyed by a clock that has jumped.
    """
    if abs(ours - theirs) > CLOCKS_APART:
        raise OperatorError(
            f"the clock of this machine and that of {whose} are {abs(ours - theirs).total_seconds():.0f} s apart: set "
            "them right; nothing was destroyed"
        )
