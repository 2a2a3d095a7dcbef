"""Tombstones in the register: which calls are no more, which purge destroys them, and how far it has got.

`RegisterTombstones` is asked by every stage. `RegisterPurges` writes: what holds a call is looked at in the transaction
that writes its tombstone, under a lock of the call's row of `retentions`, so that a hold that is opened at the same
moment comes either before, and the call stays, or after, and finds the tombstone.
"""

import json
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Protocol

from sqlalchemy import Row, and_, delete, func, insert, or_, select, update

from processors.custody.audit_entry import AuditEntry
from processors.custody.listed_call import ListedCall
from processors.custody.purge import (
    IN_FLIGHT,
    KEPT,
    LEASE,
    STEPS,
    Blocked,
    Buried,
    BuryCall,
    CallEvent,
    CallFate,
    ClaimPurge,
    EraseCall,
    FinishStep,
    HeldError,
    PlaceCounts,
    PurgeBusyError,
    PurgeOrder,
    PurgeState,
    PurgeStep,
    WasBuried,
    decide_call,
    decide_purge,
    digest_of_call,
    purge_after,
)
from schemas.messages.custody_changed import CustodyChanged, CustodyKind
from streams.adapters.register.keys import destroy_call_keys
from streams.adapters.register.ports import EntryWithin
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.retentions import by_tenant
from streams.adapters.register.tables import call_keys, intakes, leftovers, purges, retentions, tombstones
from streams.ports import CallKey, Clock

CALLS_ASKED_AT_ONCE = 250
"""Of one statement; SQLite takes 32,766 values, and PostgreSQL plans as many for longer than it looks them up."""

CALLS_BURIED_AT_ONCE = 50
"""In one transaction: on SQLite nobody else writes meanwhile."""


_NOTHING_LISTED: Mapping[str, ListedCall] = {}


class HoldsWithin(Protocol):
    """What keeps a call, inside of a transaction (`streams.adapters.register.holds.RegisterHolds`)."""

    def cases_within(
        self, tx: Transaction, tenant_id: str, call_id: str, listed: ListedCall | None = None
    ) -> Sequence[str]:
        """The cases that hold the call, sorted; `listed` is what the exchange's list says of it. Locks the row of the
        call in `retentions` until the transaction ends, and makes one where there is none: whoever opens a hold locks
        it, too."""
        ...


class FloorsWithin(Protocol):
    """How long the law keeps a call (`streams.adapters.register.retentions.RegisterRetentions`)."""

    def floor_until_within(
        self, tx: Transaction, tenant_id: str, call_id: str, listed: ListedCall | None = None
    ) -> datetime | None:
        """The end of its statutory floor; None where it has none."""
        ...

    def is_to_go_within(self, tx: Transaction, tenant_id: str, call_id: str, on: date) -> bool:
        """Whether it is to be destroyed on that UTC day, by what is known now."""
        ...


class RegisterTombstones:
    """See `Tombstones`. Safe to share between threads and processes."""

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def among(self, calls: Collection[CallKey]) -> frozenset[CallKey]:
        """See `Tombstones.among`."""
        return self._among(calls, ("blocked", "purging", "purged"))

    def gone(self, calls: Collection[CallKey]) -> frozenset[CallKey]:
        """Those of these calls that were destroyed, or are being: a hold would come too late. Blocked ones can be
        held."""
        return self._among(calls, ("purging", "purged"))

    def _among(self, calls: Collection[CallKey], states: Sequence[str]) -> frozenset[CallKey]:
        if not calls:
            return frozenset()
        t = tombstones.c
        found: set[CallKey] = set()
        with self._register.reading("look for tombstones") as tx:
            for tenant_id, part in by_tenant(calls):
                asked = select(t.call_id).where(t.tenant_id == tenant_id, t.call_id.in_(part), t.state.in_(states))
                found.update((tenant_id, call_id) for call_id in tx.execute(asked).scalars())
        return frozenset(found)


@dataclass(frozen=True)
class PurgeRow:
    """A purge: what was ordered, how far it is, and its calls with the UTC days under which something of each is
    filed."""

    order: PurgeOrder
    state: PurgeState
    salt: bytes
    calls: Mapping[str, tuple[date, ...]]
    digests: tuple[str, ...]
    receipt: bytes | None = None


@dataclass
class OpenedPurge:
    """What became of calls that were to be destroyed: those that a purge has now, those that wait, those that are held
    (call id → cases), and those whose tombstone stood before (call id → purge, empty where it only waits)."""

    purge_id: str
    buried: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BlockedCall:
    """A call that waits to be destroyed."""

    order: PurgeOrder
    call_id: str
    days: tuple[date, ...]


class RegisterPurges:
    """Writes tombstones and the progress of purges. Safe to share between threads and processes.

    Every method may raise what `Register.transaction` does.
    """

    def __init__(
        self, register: Register, clock: Clock, holds: HoldsWithin, floors: FloorsWithin, audit: EntryWithin
    ) -> None:
        self._register = register
        self._clock = clock
        self._holds = holds
        self._floors = floors
        self._audit = audit

    def open(
        self,
        order: PurgeOrder,
        calls: Mapping[str, Sequence[date]],
        worker: str,
        *,
        erases: bool = False,
        only_due: bool = False,
        listed: Mapping[str, ListedCall] = _NOTHING_LISTED,
    ) -> OpenedPurge:
        """Write the tombstones of these calls (id → the UTC days of it that are known), each unless something holds it.
        `listed` is what the exchange's list says of them, where it names a customer.

        `erases`: a call that is held, or within its floor, is blocked for every use. Without it a held one stays as it
        is. `only_due`: nor does one go that was to go when somebody looked, and by now is to be kept longer; it counts
        as held by no case. Calls of one purge share their transaction in parts; one that is killed in between has begun
        a purge of those that are in, which goes on, and given again it makes another of the rest. `worker` is at the
        purge from its first tombstone on. Raises `PurgeBusyError` where another has taken it over meanwhile.
        """
        opened = OpenedPurge(secrets.token_hex(8))
        begun = _Begun(worker, secrets.token_bytes(32))
        for part in _parts(sorted(calls), CALLS_BURIED_AT_ONCE):
            with self._register.transaction("write tombstones") as tx:
                for call_id in part:
                    told = listed.get(call_id)
                    self._open(
                        tx, order, call_id, calls[call_id], opened, begun, told, erases=erases, only_due=only_due
                    )
        return opened

    def _open(
        self,
        tx: Transaction,
        order: PurgeOrder,
        call_id: str,
        days: Sequence[date],
        opened: OpenedPurge,
        begun: "_Begun",
        listed: ListedCall | None,
        *,
        erases: bool,
        only_due: bool,
    ) -> None:
        now = self._clock.now()
        if listed is not None and listed.is_alone and _is_taken_in(tx, order.tenant_id, call_id):
            listed = replace(listed, is_alone=False)  # its event is under way
        # The lock first: from here on nobody opens a hold on this call.
        cases = self._holds.cases_within(tx, order.tenant_id, call_id, listed)
        state, known_days = _state_of(tx, order.tenant_id, call_id)
        if only_due and not isinstance(state, Buried):
            today = now.astimezone(UTC).date()
            if not self._floors.is_to_go_within(tx, order.tenant_id, call_id, today):
                opened.held[call_id] = ()
                return
        floor = self._floors.floor_until_within(tx, order.tenant_id, call_id, listed) if erases else None
        command = (EraseCall if erases else BuryCall)(order, opened.purge_id)
        try:
            events = decide_call(command, state, cases, floor, now)
        except HeldError as held:
            opened.held[call_id] = held.cases
            self._audit.append_within(tx, _entry(order, call_id, now, "purge_refused", "held", len(held.cases)))
            return
        if not events:
            opened.known[call_id] = state.purge_id if isinstance(state, Buried) else ""
            if isinstance(state, Blocked):
                opened.blocked.append(call_id)
            return
        for event in events:
            of_retention = _days_of_retention(tx, order.tenant_id, call_id)
            self._write(tx, event, call_id, {*days, *known_days, *of_retention}, state, opened, begun, now)
            if isinstance(event, WasBuried):
                self._audit.append_within(tx, _entry(order, call_id, now, "purged"))
            elif state is KEPT:  # one that goes on to be blocked is looked at for years, and was entered
                self._audit.append_within(tx, _entry(order, call_id, now, "blocked"))

    def _write(
        self,
        tx: Transaction,
        event: CallEvent,
        call_id: str,
        days: set[date],
        state: CallFate,
        opened: OpenedPurge,
        begun: "_Begun",
        now: datetime,
    ) -> None:
        order = event.order
        values: dict[str, Any] = {
            "reason": order.reason,
            "actor": order.actor,
            "role": order.role,
            "policy_version": order.policy_version,
            "ticket": order.ticket,
            "erasure_id": order.erasure_id,
            "days": " ".join(sorted(day.isoformat() for day in days)),
            "written_at": now,
        }
        if isinstance(event, WasBuried):
            _begin_purge(tx, event, begun, now)
            digest = digest_of_call(begun.salt, order.tenant_id, call_id)
            values |= {"state": "purging", "purge_id": event.purge_id, "digest": digest}
            values |= {"look_at": None, "kept_by": None}
            opened.buried.append(call_id)
        else:
            values |= {"state": "blocked", "look_at": event.look_at, "kept_by": event.by}
            opened.blocked.append(call_id)
        if state is KEPT:
            tx.execute(insert(tombstones).values(tenant_id=order.tenant_id, call_id=call_id, **values))
        else:
            tx.execute(update(tombstones).where(*_mine(order.tenant_id, call_id)).values(values))
        if state is KEPT or isinstance(event, WasBuried):
            tx.outbox(_told("call_buried" if isinstance(event, WasBuried) else "call_blocked", order, call_id, now))

    def claim(self, purge_id: str, worker: str) -> PurgeRow:
        """Be the one who does the steps of a purge, or go on to be. Raises `PurgeBusyError`, `LookupError`."""
        with self._register.transaction("take a purge over") as tx:
            row = _purge(tx, purge_id, lock=True)
            events = decide_purge(ClaimPurge(worker, self._clock.now()), row.state)
            state = purge_after(row.state, events)
            tx.execute(
                update(purges)
                .where(purges.c.purge_id == purge_id)
                .values(worker=state.worker, lease_until=state.lease_until)
            )
            return PurgeRow(row.order, state, row.salt, row.calls, row.digests, row.receipt)

    def finish(
        self, purge_id: str, worker: str, step: PurgeStep, counts: PlaceCounts, receipt: bytes | None = None
    ) -> None:
        """A step is done. Raises `PurgeBusyError` where the purge was taken over."""
        now = self._clock.now()
        with self._register.transaction("note a step of a purge") as tx:
            row = _purge(tx, purge_id, lock=True)
            events = decide_purge(FinishStep(worker, step, counts, now), row.state)
            if events:
                self._note(tx, row, purge_after(row.state, events), step, receipt, now)

    def _note(
        self, tx: Transaction, row: PurgeRow, state: PurgeState, step: PurgeStep, receipt: bytes | None, now: datetime
    ) -> None:
        values: dict[str, Any] = {
            "done": " ".join(state.done),
            "counts": json.dumps(state.counts),
            "worker": state.worker,
            "lease_until": state.lease_until,
        }
        if receipt is not None:
            values |= {"receipt": receipt}
        if step == "receipt":
            values |= {"receipted_at": now}
            of_purge = tombstones.c.purge_id == state.purge_id
            tx.execute(update(tombstones).where(of_purge).values(state="purged", purged_at=now))
            for call_id in row.calls:
                tx.outbox(_told("call_purged", row.order, call_id, now))
        if state.next_step is None:
            values |= {"ended_at": now}
        tx.execute(update(purges).where(purges.c.purge_id == state.purge_id).values(values))

    def destroy_keys(self, tenant_id: str, calls: Mapping[str, Sequence[date]]) -> PlaceCounts:
        """The wrapped keys of these calls, their intakes and what else the register has of them: how long each was kept
        stands beside the key of its customer. Again is right."""
        counts = {"call_keys": 0, "intakes": 0}
        for part in _parts(sorted(calls), CALLS_BURIED_AT_ONCE):
            with self._register.transaction("destroy the keys of calls") as tx:
                for call_id in part:
                    counts["call_keys"] += self._destroy_keys(tx, tenant_id, call_id, calls[call_id])
                mine = and_(intakes.c.tenant_id == tenant_id, intakes.c.call_id.in_(part))
                rows = tx.execute(select(intakes.c.object_key).where(mine)).scalars().all()
                for key in filter(None, rows):  # an upload that is under way may write it yet: `sweep` looks again
                    tx.insert_new(leftovers, object_key=key, left_at=self._clock.now(), removed_at=None)
                counts["intakes"] += tx.execute(delete(intakes).where(mine)).rowcount
                kept = and_(retentions.c.tenant_id == tenant_id, retentions.c.call_id.in_(part))
                tx.execute(delete(retentions).where(kept))
        if sum(counts.values()):
            self._register.truncate_log()
        return counts

    def _destroy_keys(self, tx: Transaction, tenant_id: str, call_id: str, days: Sequence[date]) -> int:
        """On PostgreSQL by the partitions of its days, where these are known: to look into all of them takes long."""
        if days and tx.is_postgresql:
            return sum(destroy_call_keys(tx, tenant_id, call_id, day) for day in days)
        k = call_keys.c
        return tx.execute(delete(call_keys).where(k.tenant_id == tenant_id, k.call_id == call_id)).rowcount

    def count_keys(self, tenant_id: str, calls: Mapping[str, Sequence[date]]) -> PlaceCounts:
        """What the register still has of them: 0 everywhere, after `destroy_keys`."""
        k, counts = call_keys.c, {"call_keys": 0, "intakes": 0}
        days = sorted({day for each in calls.values() for day in each})
        for part in _parts(sorted(calls), CALLS_ASKED_AT_ONCE):
            with self._register.reading("count the keys of calls") as tx:
                mine = and_(k.tenant_id == tenant_id, k.call_id.in_(part))
                if days and tx.is_postgresql and all(calls[each] for each in part):
                    mine = and_(mine, k.day.in_(days))
                counts["call_keys"] += int(
                    tx.execute(select(func.count()).select_from(call_keys).where(mine)).scalar_one()
                )
                taken = and_(intakes.c.tenant_id == tenant_id, intakes.c.call_id.in_(part))
                counts["intakes"] += int(
                    tx.execute(select(func.count()).select_from(intakes).where(taken)).scalar_one()
                )
        return counts

    def due(self, most: int) -> Sequence[str]:
        """Purges in which there is something to do and at which nobody is, the oldest first."""
        now, p = self._clock.now(), purges.c
        asked = (
            select(p.purge_id)
            .where(
                p.ended_at.is_(None),
                or_(p.lease_until.is_(None), p.lease_until <= now),
                or_(p.receipted_at.is_(None), p.late_at <= now),
            )
            .order_by(p.started_at)
            .limit(most)
        )
        with self._register.reading("look for purges") as tx:
            return tx.execute(asked).scalars().all()

    def to_look_at(self, most: int) -> Sequence[BlockedCall]:
        """Blocked calls whose floor has ended, or that may be held no more, the longest due first."""
        t = tombstones.c
        asked = (
            select(tombstones)
            .where(t.state == "blocked", t.look_at <= self._clock.now())
            .order_by(t.look_at)
            .limit(most)
        )
        with self._register.reading("look for blocked calls") as tx:
            return [BlockedCall(_order(row), row.call_id, _days(row.days)) for row in tx.execute(asked)]

    def calls_of_customer(self, tenant_id: str, customer_keys: Sequence[str]) -> dict[str, datetime]:
        """Call → when it ended, of the customer's calls that `keep` knows: those among them that were recorded and came
        no further."""
        r = retentions.c
        asked = select(r.call_id, r.ended_at).where(
            r.tenant_id == tenant_id, r.customer_key.in_(list(customer_keys)), r.ended_at.is_not(None)
        )
        with self._register.reading("look for the calls of a customer") as tx:
            return {row.call_id: row.ended_at for row in tx.execute(asked)}

    def of_erasure(self, tenant_id: str, erasure_id: str) -> Mapping[str, str]:
        """Call → its state, of every call that a customer's request is about."""
        t = tombstones.c
        asked = select(t.call_id, t.state).where(t.tenant_id == tenant_id, t.erasure_id == erasure_id)
        with self._register.reading("read the calls of an erasure") as tx:
            return {row.call_id: row.state for row in tx.execute(asked)}

    def purge(self, purge_id: str) -> PurgeRow:
        """Raises `LookupError` where there is none."""
        return read_purge(self._register, purge_id)

    def all(self, tenant_id: str | None, most: int) -> Sequence[PurgeRow]:
        """Purges, the newest first."""
        p = purges.c
        asked = select(p.purge_id).order_by(p.started_at.desc()).limit(most)
        if tenant_id is not None:
            asked = asked.where(p.tenant_id == tenant_id)
        with self._register.reading("list purges") as tx:
            return [_purge(tx, purge_id) for purge_id in tx.execute(asked).scalars().all()]


def read_purge(register: Register, purge_id: str) -> PurgeRow:
    """Raises `LookupError` where there is none, and as `Register.transaction`."""
    with register.reading("read a purge") as tx:
        return _purge(tx, purge_id)


def _entry(
    order: PurgeOrder, call_id: str, now: datetime, action: str, refusal: str | None = None, cases: int = 0
) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=order.actor,
        role=order.role,
        action=action,
        tenant_id=order.tenant_id,
        result="done" if refusal is None else "refused",
        client="callstream",
        call_id=call_id,
        purpose=order.reason,
        ticket=order.ticket,
        refusal=refusal,
        details={"policy_version": order.policy_version} | ({"cases": cases} if refusal else {}),
    )


def _told(kind: CustodyKind, order: PurgeOrder, call_id: str, at: datetime) -> CustodyChanged:
    return CustodyChanged.of(
        kind, tenant_id=order.tenant_id, call_id=call_id, actor=order.actor, at=at, reason=order.reason
    )


@dataclass(frozen=True)
class _Begun:
    """Who begins a purge, and what its calls are digested with."""

    worker: str
    salt: bytes


def _begin_purge(tx: Transaction, event: WasBuried, begun: _Begun, now: datetime) -> None:
    """Where it has not begun with another of its calls. Raises `PurgeBusyError`."""
    order, purge_id = event.order, event.purge_id
    tx.insert_new(
        purges,
        purge_id=purge_id,
        tenant_id=order.tenant_id,
        reason=order.reason,
        actor=order.actor,
        role=order.role,
        policy_version=order.policy_version,
        ticket=order.ticket,
        erasure_id=order.erasure_id,
        salt=begun.salt,
        started_at=now,
        done="",
        counts="{}",
        worker=begun.worker,
        lease_until=now + LEASE,
        late_at=now + IN_FLIGHT,
    )
    p = purges.c
    row = tx.execute(select(p.worker, p.done).where(p.purge_id == purge_id).with_for_update()).one()
    if row.worker != begun.worker or row.done:
        raise PurgeBusyError("another process has taken this purge over: give it again, for the calls that are left")
    # What is under way is counted from the last tombstone.
    values = {"started_at": now, "lease_until": now + LEASE, "late_at": now + IN_FLIGHT}
    tx.execute(update(purges).where(p.purge_id == purge_id).values(values))


def _state_of(tx: Transaction, tenant_id: str, call_id: str) -> tuple[CallFate, tuple[date, ...]]:
    asked = select(tombstones).where(*_mine(tenant_id, call_id)).with_for_update()
    row = tx.execute(asked).first()
    if row is None:
        return KEPT, ()
    if row.state == "blocked":
        return Blocked(_order(row), row.look_at), _days(row.days)
    return Buried(_order(row), row.purge_id, row.state == "purged"), _days(row.days)


def _is_taken_in(tx: Transaction, tenant_id: str, call_id: str) -> bool:
    i = intakes.c
    return tx.execute(select(i.call_id).where(i.tenant_id == tenant_id, i.call_id == call_id)).first() is not None


def _days_of_retention(tx: Transaction, tenant_id: str, call_id: str) -> Sequence[date]:
    """The UTC day by which `keep` knows the call: of one that was recorded, and came no further, nobody else does."""
    r = retentions.c
    asked = select(r.day).where(r.tenant_id == tenant_id, r.call_id == call_id, r.day.is_not(None))
    return tx.execute(asked).scalars().all()


def _mine(tenant_id: str, call_id: str) -> tuple[Any, Any]:
    return tombstones.c.tenant_id == tenant_id, tombstones.c.call_id == call_id


def _order(row: Row[Any]) -> PurgeOrder:
    return PurgeOrder(row.tenant_id, row.reason, row.actor, row.policy_version, row.ticket, row.erasure_id, row.role)


def _days(text: str) -> tuple[date, ...]:
    return tuple(date.fromisoformat(day) for day in text.split())


def _purge(tx: Transaction, purge_id: str, *, lock: bool = False) -> PurgeRow:
    asked = select(purges).where(purges.c.purge_id == purge_id)
    row = tx.execute(asked.with_for_update() if lock else asked).first()
    if row is None:
        raise LookupError(f"there is no purge {purge_id}")
    t = tombstones.c
    of_purge = tx.execute(select(t.call_id, t.days, t.digest).where(t.purge_id == purge_id).order_by(t.call_id)).all()
    known = dict(zip(STEPS, STEPS, strict=True))
    state = PurgeState(
        purge_id,
        row.started_at,
        tuple(known[step] for step in row.done.split()),
        json.loads(row.counts),
        row.worker,
        row.lease_until,
    )
    calls = {each.call_id: _days(each.days) for each in of_purge}
    digests = tuple(str(each.digest) for each in of_purge)
    receipt = None if row.receipt is None else bytes(row.receipt)
    return PurgeRow(_order(row), state, bytes(row.salt), calls, digests, receipt)


def _parts(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
