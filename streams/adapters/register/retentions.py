"""How long each call is kept, in the register: what `processors.custody.retention` decides, added to what is stored.

A row is written in parts of a batch, and locked while it is decided: two processes that decide the same call at once
lose nothing of what either found. The row of a call is also what a purge and a hold of it lock.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Row, bindparam, delete, literal, select, text, tuple_, update

from processors.custody.audit_entry import AuditEntry
from processors.custody.listed_call import ListedCall
from processors.custody.retention import (
    UNDECIDED,
    Due,
    EventCame,
    Keep,
    PutInArchive,
    Retention,
    RetentionCommand,
    RetentionTerm,
    Waiting,
    after,
    due,
    floor_on,
)
from schemas.errors import OperatorError
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register.ports import EntryWithin
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import retention_events, retentions
from streams.ports import Clock

ASKED_AT_ONCE = 500
"""Calls of one statement."""

LOOK_AGAIN = timedelta(days=30)
"""So long after it was asked for is an erasure looked at again that waits for an event nobody can foretell."""

UNDECIDED_FOR = timedelta(days=1)
"""So long after it was asked for is an erasure looked at again of a call of which nothing was decided yet."""

TenantCall = tuple[str, str]
"""Tenant and call id."""

DueKey = tuple[date, str, str]
"""Where a list of what is due goes on: due day, tenant, call id."""


class UnknownCallError(OperatorError):
    """Nothing is known of how long a call is kept."""

    exit_code = 1


@dataclass(frozen=True)
class KeepDecision:
    """What was found of one call. `customer_key` and `contract_id` are None where the event names none."""

    tenant_id: str
    call_id: str
    ended_at: datetime
    command: Keep
    customer_key: str | None = None
    contract_id: str | None = None

    @property
    def call(self) -> TenantCall:
        return self.tenant_id, self.call_id


@dataclass(frozen=True)
class KeptCall:
    """A call and how long it is kept. `day` is the UTC day on which it ended, by which its keys are filed."""

    tenant_id: str
    call_id: str
    day: date
    ended_at: datetime
    retention: Retention
    customer_key: str | None = None
    contract_id: str | None = None

    @property
    def call(self) -> TenantCall:
        return self.tenant_id, self.call_id

    @property
    def due(self) -> Due | None:
        """What is to be done with it, and from when on."""
        return due(self.retention, self.ended_at)


@dataclass(frozen=True)
class EventTold:
    """An event as it was told: of how many calls the end has changed by it."""

    calls: int
    changed: int


class RegisterRetentions:
    """Safe to share between threads and processes. Every method may raise what `Register.transaction` does."""

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def decide(self, decisions: Sequence[KeepDecision]) -> int:
        """Add these to what is stored, in one transaction; how many calls changed. Again is right, and changes none."""
        by_call: dict[TenantCall, list[KeepDecision]] = {}
        for each in sorted(decisions, key=lambda one: one.call):
            by_call.setdefault(each.call, []).append(each)
        with self._register.transaction("decide how long calls are kept") as tx:
            _lock_contracts(tx, decisions)
            events = _contract_events(tx, decisions)
            changed = 0
            left = by_call
            while left:
                known = _rows(tx, left)
                changed += _add(tx, left, known, events)
                fresh = [
                    _values(_decided(None, each, events), new=True) for call, each in left.items() if call not in known
                ]
                inserted = tx.insert_all_new(retentions, fresh) if fresh else 0
                changed += inserted
                # Where another process was quicker with one of them, its row is there now, and is added to.
                left = (
                    {} if inserted == len(fresh) else {call: each for call, each in left.items() if call not in known}
                )
        return changed

    def find(self, tenant_id: str, call_id: str) -> KeptCall | None:
        """None where nothing was decided."""
        with self._register.reading("read how long a call is kept") as tx:
            return _kept(tx.execute(select(retentions).where(*mine(tenant_id, call_id))).first())

    def decided_among(self, calls: Collection[TenantCall]) -> Mapping[TenantCall, bool]:
        """Those of these calls of which something was decided, and whether they were judged then."""
        r, found = retentions.c, dict[TenantCall, bool]()
        with self._register.reading("look what was decided of calls") as tx:
            for tenant_id, part in by_tenant(calls):
                asked = select(r.call_id, r.is_misdial).where(
                    r.tenant_id == tenant_id, r.call_id.in_(part), r.ended_at.is_not(None)
                )
                found |= {(tenant_id, row.call_id): row.is_misdial is not None for row in tx.execute(asked)}
        return found

    def due(self, on: date, behind: DueKey | None, most: int, tenant_id: str | None = None) -> Sequence[KeptCall]:
        """What is due on that day, the longest due first, `behind` that key."""
        r = retentions.c
        asked = select(retentions).where(r.due_on <= on).order_by(r.due_on, r.tenant_id, r.call_id).limit(most)
        if behind is not None:
            asked = asked.where(tuple_(r.due_on, r.tenant_id, r.call_id) > tuple_(*map(literal, behind)))
        if tenant_id is not None:
            asked = asked.where(r.tenant_id == tenant_id)
        with self._register.reading("look for what is due") as tx:
            rows = tx.execute(asked).all()
        return [kept for row in rows if (kept := _kept(row)) is not None]

    def archived(self, kept: KeptCall, at: datetime) -> None:
        """It lies in the archive, and nowhere else, since then. Does nothing the second time."""
        with self._register.transaction("note what was archived") as tx:
            row = _kept(tx.execute(select(retentions).where(*mine(*kept.call)).with_for_update()).first())
            if row is None or row.retention.archived_on is not None:
                return
            state = after(row.retention, PutInArchive(at.astimezone(UTC).date()))
            _write(tx, row, state, archived_at=at)
            tx.outbox(
                CustodyChanged.of(
                    "recording_archived", tenant_id=kept.tenant_id, call_id=kept.call_id, actor="callstream", at=at
                )
            )

    def forget(self, calls: Iterable[TenantCall]) -> None:
        """Calls that have a tombstone: nothing is due with them any more."""
        with self._register.transaction("forget how long calls were kept") as tx:
            for tenant_id, part in by_tenant(calls):
                r = retentions.c
                tx.execute(delete(retentions).where(r.tenant_id == tenant_id, r.call_id.in_(part)))

    def tell_of_call(
        self, tenant_id: str, call_id: str, command: EventCame, entry: AuditEntry, audit: EntryWithin
    ) -> EventTold:
        """An event of one call, with its entry. Raises `UnknownCallError` where nothing was decided of the call."""
        with self._register.transaction("note an event") as tx:
            row = _kept(tx.execute(select(retentions).where(*mine(tenant_id, call_id)).with_for_update()).first())
            if row is None:
                raise UnknownCallError(f"nothing is known of how long call {call_id} of {tenant_id} is kept")
            changed = _apply(tx, row, command)
            _tell(tx, tenant_id, command, entry, audit, changed, call_id=call_id)
        return EventTold(1, int(changed))

    def tell_of_contract(
        self, tenant_id: str, contract_id: str, command: EventCame, entry: AuditEntry, audit: EntryWithin
    ) -> EventTold:
        """An event of a contract: of all its calls, those that are decided later, too. The latest time holds."""
        e, r = retention_events.c, retentions.c
        with self._register.transaction("note an event") as tx:
            _lock_contract(tx, tenant_id, contract_id)
            this = (e.tenant_id == tenant_id, e.contract_id == contract_id, e.event == command.event)
            known = tx.execute(select(e.came_at).where(*this).with_for_update()).scalar()
            told = {"came_at": command.at, "told_by": entry.actor, "told_at": entry.at}
            if known is None:
                tx.insert_new(
                    retention_events, tenant_id=tenant_id, contract_id=contract_id, event=command.event, **told
                )
            elif command.at > known:
                tx.execute(update(retention_events).where(*this).values(told))
            asked = select(retentions).where(r.tenant_id == tenant_id, r.contract_id == contract_id)
            rows = [_kept(row) for row in tx.execute(asked.order_by(r.call_id).with_for_update())]
            calls = [row for row in rows if row is not None]
            changed = sum(_apply(tx, row, command) for row in calls)
            _tell(tx, tenant_id, command, entry, audit, changed)
        return EventTold(len(calls), changed)

    def floor_until_within(
        self, tx: Transaction, tenant_id: str, call_id: str, listed: ListedCall | None = None
    ) -> datetime | None:
        """When no law asks for the call any more; None where none does now. What cannot be foretold is looked at again
        then: a class that waits for an event, and a call of which nothing was decided yet. Of one that the exchange's
        list alone knows there is no recording: nothing asks for it once none can come.
        """
        now = self._clock.now()
        row = _kept(tx.execute(select(retentions).where(*mine(tenant_id, call_id))).first())
        if row is None and listed is not None and listed.is_alone:
            may_come = listed.may_be_recorded_until()
            return may_come if may_come is not None and may_come > now else None
        if row is None:
            return now + UNDECIDED_FOR
        ends_on = floor_on(row.retention, row.ended_at)
        if ends_on is None:
            return now + LOOK_AGAIN
        until = datetime.combine(ends_on, time(), UTC)
        return until if until > now else None

    def is_to_go_within(self, tx: Transaction, tenant_id: str, call_id: str, on: date) -> bool:
        """Whether it is to be destroyed on that UTC day: what was due may be kept longer since somebody looked."""
        row = _kept(tx.execute(select(retentions).where(*mine(tenant_id, call_id))).first())
        return row is not None and row.due is not None and row.due.action == "delete" and row.due.on <= on


def by_tenant(calls: Iterable[TenantCall]) -> Iterator[tuple[str, Sequence[str]]]:
    """The calls in parts of one tenant each, sorted. Asked for as pairs, SQLite would look through the whole table."""
    for tenant_id, group in groupby(sorted(set(calls)), key=lambda call: call[0]):
        for part in _parts([call_id for _, call_id in group], ASKED_AT_ONCE):
            yield tenant_id, part


def lock_call(tx: Transaction, tenant_id: str, call_id: str) -> None:
    """Until the transaction ends nobody else opens a hold on the call, purges it or decides how long it is kept. Makes
    a row that says nothing where there is none."""
    tx.insert_new(retentions, tenant_id=tenant_id, call_id=call_id)
    tx.execute(select(retentions.c.call_id).where(*mine(tenant_id, call_id)).with_for_update())


def mine(tenant_id: str, call_id: str) -> tuple[Any, Any]:
    """The row of the call."""
    return retentions.c.tenant_id == tenant_id, retentions.c.call_id == call_id


def _decided(known: KeptCall | None, decisions: Sequence[KeepDecision], events: "_Events") -> KeptCall:
    """The call with these decisions added, and with what came of its contract."""
    first = decisions[0]
    ended_at = first.ended_at if known is None else known.ended_at
    customer_key = None if known is None else known.customer_key
    contract_id = None if known is None else known.contract_id
    state = UNDECIDED if known is None else known.retention
    for each in decisions:
        state = after(state, each.command)
        customer_key, contract_id = customer_key or each.customer_key, contract_id or each.contract_id
    if contract_id is not None:
        for event, at in events.get((first.tenant_id, contract_id), ()):
            state = after(state, EventCame(event, at))
    day = ended_at.astimezone(UTC).date()
    return KeptCall(first.tenant_id, first.call_id, day, ended_at, state, customer_key, contract_id)


def _add(
    tx: Transaction,
    decisions: Mapping[TenantCall, Sequence[KeepDecision]],
    known: Mapping[TenantCall, KeptCall | None],
    events: "_Events",
) -> int:
    changes = []
    for call, before in known.items():
        now = _decided(before, decisions[call], events)
        if now != before:
            changes.append(
                {f"of_{name}" if name in _KEY else name: value for name, value in _values(now, new=True).items()}
            )
    if changes:
        tx.execute(_UPDATE, changes)
    return len(changes)


_KEY = ("tenant_id", "call_id")
_DECIDED = (
    *("day", "ended_at", "customer_key", "contract_id", "retention_class", "days", "starts_at", "ends_on", "floor_on"),
    *("policy_version", "decided_by", "archive_days", "waiting", "is_misdial", "early_on", "archived_on", "due_on"),
)
_UPDATE = (
    update(retentions)
    .where(retentions.c.tenant_id == bindparam("of_tenant_id"), retentions.c.call_id == bindparam("of_call_id"))
    .values({name: bindparam(name) for name in _DECIDED})
)


def _rows(tx: Transaction, calls: Iterable[TenantCall]) -> dict[TenantCall, KeptCall | None]:
    """Call → what is stored; None for a row that only locks."""
    r, found = retentions.c, dict[TenantCall, KeptCall | None]()
    for tenant_id, part in by_tenant(calls):
        asked = select(retentions).where(r.tenant_id == tenant_id, r.call_id.in_(part))
        for row in tx.execute(asked.order_by(r.call_id).with_for_update()):
            found[row.tenant_id, row.call_id] = _kept(row)
    return found


def _apply(tx: Transaction, row: KeptCall, command: RetentionCommand) -> bool:
    state = after(row.retention, command)
    if state == row.retention:
        return False
    _write(tx, row, state)
    return True


def _write(tx: Transaction, row: KeptCall, state: Retention, **more: object) -> None:
    now = KeptCall(row.tenant_id, row.call_id, row.day, row.ended_at, state, row.customer_key, row.contract_id)
    tx.execute(update(retentions).where(*mine(*row.call)).values(**_values(now), **more))


def _values(kept: KeptCall, *, new: bool = False) -> dict[str, object]:
    """The columns of a row."""
    state, found = kept.retention, kept.due
    values: dict[str, object] = {
        "day": kept.day,
        "ended_at": kept.ended_at,
        "customer_key": kept.customer_key,
        "contract_id": kept.contract_id,
        **_term_values(state.term),
        "waiting": _waiting_text(state),
        "is_misdial": state.is_misdial,
        "early_on": state.early_on,
        "archived_on": state.archived_on,
        "due_on": None if found is None else found.on,
    }
    return {"tenant_id": kept.tenant_id, "call_id": kept.call_id, **values} if new else values


def _term_values(term: RetentionTerm | None) -> dict[str, object]:
    names = (
        "retention_class",
        "days",
        "starts_at",
        "ends_on",
        "floor_on",
        "policy_version",
        "decided_by",
        "archive_days",
    )
    return {name: None if term is None else getattr(term, name) for name in names}


def _waiting_text(state: Retention) -> bytes | None:
    if not state.waiting and not state.came:
        return None
    waiting = [
        {
            "class": one.retention_class,
            "days": one.days,
            "event": one.event,
            "policy_version": one.policy_version,
            "until_on": None if one.until_on is None else one.until_on.isoformat(),
            "archive_days": one.archive_days,
        }
        for one in state.waiting
    ]
    came = {event: at.isoformat() for event, at in sorted(state.came.items())}
    return json.dumps({"waiting": waiting, "came": came}, separators=(",", ":")).encode()


def _kept(row: Row[Any] | None) -> KeptCall | None:
    """None for no row, and for one that only locks."""
    if row is None or row.ended_at is None:
        return None
    term = None
    if row.retention_class is not None:
        term = RetentionTerm(
            row.retention_class,
            row.days,
            row.starts_at,
            row.ends_on,
            row.floor_on,
            row.policy_version,
            row.decided_by,
            row.archive_days,
        )
    written = {"waiting": [], "came": {}} if row.waiting is None else json.loads(bytes(row.waiting))
    waiting = tuple(
        Waiting(
            one["class"],
            one["days"],
            one["event"],
            one["policy_version"],
            None if one["until_on"] is None else date.fromisoformat(one["until_on"]),
            one["archive_days"],
        )
        for one in written["waiting"]
    )
    came = {event: datetime.fromisoformat(at) for event, at in written["came"].items()}
    state = Retention(term, waiting, came, row.is_misdial, row.early_on, row.archived_on)
    return KeptCall(row.tenant_id, row.call_id, row.day, row.ended_at, state, row.customer_key, row.contract_id)


_Events = Mapping[TenantCall, Sequence[tuple[str, datetime]]]
"""Tenant and contract → what came of it, and when."""


def _contract_events(tx: Transaction, decisions: Iterable[KeepDecision]) -> _Events:
    e, found = retention_events.c, dict[TenantCall, list[tuple[str, datetime]]]()
    for tenant_id, part in by_tenant(_contracts(decisions)):
        asked = select(retention_events).where(e.tenant_id == tenant_id, e.contract_id.in_(part))
        for row in tx.execute(asked):
            found.setdefault((row.tenant_id, row.contract_id), []).append((row.event, row.came_at))
    return found


def _contracts(decisions: Iterable[KeepDecision]) -> list[TenantCall]:
    return sorted({(one.tenant_id, one.contract_id) for one in decisions if one.contract_id is not None})


def _lock_contracts(tx: Transaction, decisions: Iterable[KeepDecision]) -> None:
    for tenant_id, contract_id in _contracts(decisions):
        _lock_contract(tx, tenant_id, contract_id)


def _lock_contract(tx: Transaction, tenant_id: str, contract_id: str) -> None:
    """So that a call that is decided just now does not miss an event that is told just now. SQLite lets one write."""
    if tx.is_postgresql:
        name = f"callstream/contract/{tenant_id}/{contract_id}"
        tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


def _tell(
    tx: Transaction,
    tenant_id: str,
    command: EventCame,
    entry: AuditEntry,
    audit: EntryWithin,
    changed: int,
    call_id: str | None = None,
) -> None:
    audit.append_within(tx, entry)
    tx.outbox(
        CustodyChanged.of(
            "retention_event_told",
            tenant_id=tenant_id,
            call_id=call_id,
            actor=entry.actor,
            at=entry.at,
            reason=command.event,
            count=int(changed),
        )
    )


def _parts(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
