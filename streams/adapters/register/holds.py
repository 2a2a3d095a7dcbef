"""Legal holds in the register: which cases hold a call, and their opening, growing and release.

`RegisterHolds` is asked before anything is destroyed, inside the transaction that writes the tombstone. A hold that is
opened at that moment either comes before it, and the call stays, or after it, and is told that the call is gone: both
lock the row of the call in `retentions` and, on PostgreSQL, the holds of the tenant (SQLite lets one write at a time).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, text, update

from processors.custody.audit_entry import AuditEntry
from processors.custody.holds import (
    Case,
    CaseState,
    CustomerScope,
    Extend,
    HoldCommand,
    HoldEvent,
    HoldRefusedError,
    HoldScope,
    HoldWasExtended,
    HoldWasOpened,
    HoldWasReleased,
    Open,
    decide,
    evolve,
)
from processors.custody.listed_call import ListedCall
from schemas.messages.custody_changed import CustodyChanged, CustodyKind
from streams.adapters.register.ports import EntryWithin
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.retentions import TenantCall, by_tenant, lock_call
from streams.adapters.register.tables import hold_calls, hold_customers, holds, retentions
from streams.ports import Clock

SINCE_EVER = datetime(1970, 1, 1, tzinfo=UTC)
FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)
"""Bounds of a customer's calls where none are given."""

Gone = Callable[[Collection[TenantCall]], frozenset[TenantCall]]
"""Those of these calls that were destroyed, or are being: a hold would come too late."""


_NOTHING_LISTED: Mapping[TenantCall, ListedCall] = {}


class RegisterHolds:
    """See `Holds`. Safe to share between threads and processes.

    Every method may raise what `Register.transaction` does.
    """

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def cases(self, tenant_id: str, call_id: str, listed: ListedCall | None = None) -> Sequence[str]:
        """See `Holds.cases`. A call of which nothing was decided yet is held by every case of a customer: whose it is,
        nobody knows, unless the exchange's list alone knows the call. `listed` is what the list says of it."""
        call = (tenant_id, call_id)
        return self.among([call], _of_one(call, listed)).get(call, ())

    def among(
        self, calls: Collection[TenantCall], listed: Mapping[TenantCall, ListedCall] = _NOTHING_LISTED
    ) -> Mapping[TenantCall, Sequence[str]]:
        """Those of these calls that are held, with the cases that hold them."""
        with self._register.reading("look for holds") as tx:
            return _holding(tx, calls, listed)

    def cases_within(
        self, tx: Transaction, tenant_id: str, call_id: str, listed: ListedCall | None = None
    ) -> Sequence[str]:
        """As `cases`, in a transaction that goes on to destroy the call: until it ends nobody opens a hold of it."""
        _lock_tenant(tx, tenant_id, shared=True)
        lock_call(tx, tenant_id, call_id)
        call = (tenant_id, call_id)
        return _holding(tx, [call], _of_one(call, listed)).get(call, ())


@dataclass(frozen=True)
class CaseRow:
    """A case as it stands. `customers` counts them, each with the time in which their calls ended."""

    tenant_id: str
    case_id: str
    state: CaseState
    reason: str
    opened_by: str
    opened_at: datetime
    released_by: str | None
    released_at: datetime | None
    calls: int
    customers: int


@dataclass(frozen=True)
class HoldOutcome:
    """What came of a command. `gone` are calls that were destroyed before: the case does not hold them."""

    case: Case
    has_changed: bool
    gone: tuple[str, ...] = ()


class RegisterCases:
    """Opens, extends and releases cases, each with its entry in the audit log and its event in one transaction.

    Whether the actor may, is asked before. Every method may raise what `Register.transaction` does.
    """

    def __init__(self, register: Register, clock: Clock, audit: EntryWithin, gone: Gone) -> None:
        self._register = register
        self._clock = clock
        self._audit = audit
        self._gone = gone

    def tell(self, tenant_id: str, case_id: str, command: HoldCommand, entry: AuditEntry) -> HoldOutcome:
        """Do it, with this entry. Raises `HoldRefusedError`, also where every call that is named is gone already."""
        with self._register.transaction("change a hold") as tx:
            _lock_tenant(tx, tenant_id, shared=False)
            gone: tuple[str, ...] = ()
            if isinstance(command, Open | Extend):
                command, gone = self._without_gone(tx, tenant_id, command)
            case = _case(tx, tenant_id, case_id)
            events = decide(command, case)
            for event in events:
                _write(tx, tenant_id, case_id, event, self._clock.now())
                case = evolve(case, event)
                tx.outbox(_told(tenant_id, case_id, event, entry))
            if events:
                self._audit.append_within(tx, entry)
        assert case is not None  # noqa: S101 - a command is refused where there is none
        return HoldOutcome(case, bool(events), gone)

    def _without_gone(
        self, tx: Transaction, tenant_id: str, command: Open | Extend
    ) -> tuple[Open | Extend, tuple[str, ...]]:
        """The command without calls that were destroyed, and those. The rows of all of them are locked."""
        named = sorted(command.scope.calls)
        for call_id in named:
            lock_call(tx, tenant_id, call_id)
        theirs = _calls_of(tx, tenant_id, command.scope.customers)
        gone = {call_id for _, call_id in self._gone([(tenant_id, each) for each in {*named, *theirs}])}
        calls = frozenset(named) - gone
        if named and not calls and not command.scope.customers:
            raise HoldRefusedError("every call that was named has been destroyed: there is nothing left to hold")
        return replace(command, scope=HoldScope(calls, command.scope.customers)), tuple(sorted(gone))


class RegisterCaseList:
    """Cases as they stand, to look at. Every method may raise what `Register.transaction` does."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def list(self, tenant_id: str | None = None, *, released: bool = False, most: int = 1_000) -> Sequence[CaseRow]:
        """Cases, the newest first; with `released` those that are released, too."""
        h = holds.c
        asked = select(holds).order_by(h.opened_at.desc(), h.case_id).limit(most)
        if tenant_id is not None:
            asked = asked.where(h.tenant_id == tenant_id)
        if not released:
            asked = asked.where(h.state == "open")
        with self._register.reading("list holds") as tx:
            return [_case_row(tx, row) for row in tx.execute(asked)]

    def find(self, tenant_id: str, case_id: str) -> CaseRow | None:
        """None where there is no such case."""
        with self._register.reading("read a hold") as tx:
            row = tx.execute(select(holds).where(*_this(tenant_id, case_id))).first()
            return None if row is None else _case_row(tx, row)

    def customers(self, tenant_id: str, case_id: str) -> Sequence[CustomerScope]:
        """The customers whose calls an open case holds."""
        k, h = hold_customers.c, holds.c
        asked = (
            select(hold_customers)
            .join(holds, and_(h.tenant_id == k.tenant_id, h.case_id == k.case_id))
            .where(h.state == "open", k.tenant_id == tenant_id, k.case_id == case_id)
        )
        with self._register.reading("read whose calls are held") as tx:
            return _customers(tx.execute(asked))

    def theirs(self, tenant_id: str, customers: Collection[CustomerScope]) -> frozenset[str]:
        """The calls of these customers, by the keys of their own events."""
        with self._register.reading("look for the calls of customers") as tx:
            asked = _asked_of(tenant_id, customers)
            return frozenset() if asked is None else frozenset(tx.execute(asked).scalars())

    def calls(self, tenant_id: str, case_id: str, most: int) -> Sequence[str]:
        """Calls that an open case holds now, by id: those that it names, and those of its customers."""
        c, k, r, h = hold_calls.c, hold_customers.c, retentions.c, holds.c
        named = select(c.call_id).where(c.tenant_id == tenant_id, c.case_id == case_id)
        theirs = (
            select(r.call_id)
            .join(hold_customers, _is_theirs())
            .where(r.tenant_id == tenant_id, k.tenant_id == tenant_id, k.case_id == case_id)
        )
        is_open = select(h.case_id).where(*_this(tenant_id, case_id), h.state == "open")
        with self._register.reading("list what is held") as tx:
            if tx.execute(is_open).first() is None:
                return []
            both = named.union(theirs).subquery()
            return tx.execute(select(both.c.call_id).order_by(both.c.call_id).limit(most)).scalars().all()


def _lock_tenant(tx: Transaction, tenant_id: str, *, shared: bool) -> None:
    """Holds of customers catch calls that have no row yet: no lock of a row would keep these apart."""
    if tx.is_postgresql:
        lock = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        name = f"callstream/holds/{tenant_id}"
        tx.execute(text(f"SELECT {lock}(hashtextextended(:name, 0))"), {"name": name})


def _of_one(call: TenantCall, listed: ListedCall | None) -> Mapping[TenantCall, ListedCall]:
    return _NOTHING_LISTED if listed is None else {call: listed}


def _holding(
    tx: Transaction, calls: Collection[TenantCall], listed: Mapping[TenantCall, ListedCall]
) -> dict[TenantCall, tuple[str, ...]]:
    c, k, r, h = hold_calls.c, hold_customers.c, retentions.c, holds.c
    found: dict[TenantCall, set[str]] = {}
    for tenant_id, part in by_tenant(calls):
        named = (
            select(c.call_id, c.case_id)
            .join(holds, and_(h.tenant_id == c.tenant_id, h.case_id == c.case_id))
            .where(h.state == "open", c.tenant_id == tenant_id, c.call_id.in_(part))
        )
        for call_id, case_id in tx.execute(named):
            found.setdefault((tenant_id, call_id), set()).add(case_id)
        of_customers = (
            select(k.case_id)
            .join(holds, and_(h.tenant_id == k.tenant_id, h.case_id == k.case_id))
            .where(h.state == "open", k.tenant_id == tenant_id)
            .distinct()
        )
        if not (cases := tx.execute(of_customers).scalars().all()):
            continue
        theirs = (
            select(r.call_id, k.case_id)
            .join(hold_customers, _is_theirs())
            .join(holds, and_(h.tenant_id == k.tenant_id, h.case_id == k.case_id))
            .where(h.state == "open", r.tenant_id == tenant_id, r.call_id.in_(part))
        )
        for call_id, case_id in tx.execute(theirs):
            found.setdefault((tenant_id, call_id), set()).add(case_id)
        told = {call_id: listed[tenant_id, call_id] for call_id in part if (tenant_id, call_id) in listed}
        for call_id, case_id in _by_the_list(tx, tenant_id, told):
            found.setdefault((tenant_id, call_id), set()).add(case_id)
        decided = select(r.call_id).where(r.tenant_id == tenant_id, r.call_id.in_(part), r.ended_at.is_not(None))
        alone = {call_id for call_id, one in told.items() if one.tells_all}
        for call_id in set(part).difference(tx.execute(decided).scalars(), alone):
            found.setdefault((tenant_id, call_id), set()).update(cases)
    return {call: tuple(sorted(cases)) for call, cases in found.items()}


def _by_the_list(tx: Transaction, tenant_id: str, told: Mapping[str, ListedCall]) -> Iterator[tuple[str, str]]:
    """Calls with the open cases of the customers whose the exchange's list says that they are."""
    keys = sorted({key for one in told.values() for key in one.customer_keys})
    if not keys:
        return
    k, h = hold_customers.c, holds.c
    of_customers = (
        select(k.customer_key, k.case_id, k.ended_from, k.ended_before)
        .join(holds, and_(h.tenant_id == k.tenant_id, h.case_id == k.case_id))
        .where(h.state == "open", k.tenant_id == tenant_id)
        .where(k.customer_key.in_(keys))
    )
    for row in tx.execute(of_customers):
        for call_id, one in told.items():
            if row.customer_key in one.customer_keys and row.ended_from <= one.ended_at < row.ended_before:
                yield call_id, row.case_id


def _is_theirs() -> Any:
    """A row of `retentions` is of a call that a row of `hold_customers` catches."""
    k, r = hold_customers.c, retentions.c
    return and_(
        k.tenant_id == r.tenant_id,
        k.customer_key == r.customer_key,
        k.ended_from <= r.ended_at,
        k.ended_before > r.ended_at,
    )


def _calls_of(tx: Transaction, tenant_id: str, customers: Iterable[CustomerScope]) -> Sequence[str]:
    """Their calls that are known, locked."""
    asked = _asked_of(tenant_id, customers)
    return [] if asked is None else tx.execute(asked.with_for_update()).scalars().all()


def _asked_of(tenant_id: str, customers: Iterable[CustomerScope]) -> Select[Any] | None:
    r = retentions.c
    theirs = [
        and_(
            r.customer_key.in_(sorted(one.keys)),
            r.ended_at >= (one.since or SINCE_EVER),
            r.ended_at < (one.until or FOR_EVER),
        )
        for one in customers
    ]
    return select(r.call_id).where(r.tenant_id == tenant_id, or_(*theirs)).order_by(r.call_id) if theirs else None


def _case(tx: Transaction, tenant_id: str, case_id: str) -> Case | None:
    row = tx.execute(select(holds).where(*_this(tenant_id, case_id)).with_for_update()).first()
    if row is None:
        return None
    c, k = hold_calls.c, hold_customers.c
    named = tx.execute(select(c.call_id).where(c.tenant_id == tenant_id, c.case_id == case_id)).scalars()
    customers = _customers(tx.execute(select(hold_customers).where(k.tenant_id == tenant_id, k.case_id == case_id)))
    return Case(row.state, row.reason, row.opened_by, row.opened_at, HoldScope(frozenset(named), customers))


def _customers(rows: Iterable[Any]) -> tuple[CustomerScope, ...]:
    spans: dict[tuple[datetime, datetime], set[str]] = {}
    for each in rows:
        spans.setdefault((each.ended_from, each.ended_before), set()).add(each.customer_key)
    return tuple(
        CustomerScope(frozenset(keys), None if since == SINCE_EVER else since, None if until == FOR_EVER else until)
        for (since, until), keys in sorted(spans.items())
    )


def _write(tx: Transaction, tenant_id: str, case_id: str, event: HoldEvent, now: datetime) -> None:
    of_case = {"tenant_id": tenant_id, "case_id": case_id}
    match event:
        case HoldWasOpened(scope, reason, actor, at):
            opened = {"state": "open", "reason": reason, "opened_by": actor, "opened_at": at}
            tx.insert_new(holds, **of_case, **opened)
            _write_scope(tx, of_case, scope)
        case HoldWasExtended(scope):
            _write_scope(tx, of_case, scope)
        case HoldWasReleased(actor):
            released = {"state": "released", "released_by": actor, "released_at": now}
            tx.execute(update(holds).where(*_this(tenant_id, case_id)).values(released))


def _write_scope(tx: Transaction, of_case: Mapping[str, str], scope: HoldScope) -> None:
    if scope.calls:
        tx.insert_all_new(hold_calls, [{**of_case, "call_id": call_id} for call_id in sorted(scope.calls)])
    for one in scope.customers:
        ended = {"ended_from": one.since or SINCE_EVER, "ended_before": one.until or FOR_EVER}
        tx.insert_all_new(hold_customers, [{**of_case, "customer_key": key, **ended} for key in sorted(one.keys)])


def _told(tenant_id: str, case_id: str, event: HoldEvent, entry: AuditEntry) -> CustodyChanged:
    kinds: dict[type, CustodyKind] = {
        HoldWasOpened: "hold_opened",
        HoldWasExtended: "hold_extended",
        HoldWasReleased: "hold_released",
    }
    count = None if isinstance(event, HoldWasReleased) else len(event.scope.calls)
    return CustodyChanged.of(
        kinds[type(event)],
        tenant_id=tenant_id,
        actor=entry.actor,
        at=entry.at,
        reason=entry.purpose,
        case_id=case_id,
        count=count,
    )


def _case_row(tx: Transaction, row: Any) -> CaseRow:
    c, k = hold_calls.c, hold_customers.c
    this = (row.tenant_id, row.case_id)
    calls = select(func.count()).select_from(hold_calls).where(c.tenant_id == this[0], c.case_id == this[1])
    spans = select(k.ended_from, k.ended_before).where(k.tenant_id == this[0], k.case_id == this[1]).distinct()
    return CaseRow(
        row.tenant_id,
        row.case_id,
        row.state,
        row.reason,
        row.opened_by,
        row.opened_at,
        row.released_by,
        row.released_at,
        int(tx.execute(calls).scalar_one()),
        len(tx.execute(spans).all()),
    )


def _this(tenant_id: str, case_id: str) -> tuple[Any, Any]:
    return holds.c.tenant_id == tenant_id, holds.c.case_id == case_id
