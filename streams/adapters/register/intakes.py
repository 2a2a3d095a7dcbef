"""Intakes in the register: what `processors.custody.intake` decides, kept so that no two processes decide at once."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, select, text, tuple_, update

from processors.custody.intake import (
    FREE,
    Abandon,
    Announced,
    Expire,
    Free,
    Intake,
    IntakeCommand,
    IntakeConflictError,
    IntakeEvent,
    IntakeSource,
    Reserve,
    Reserved,
    Stored,
    WasAnnounced,
    WasGivenUp,
    WasLeft,
    after,
    decide,
)
from schemas.messages.call_ended import CallEnded
from schemas.messages.custody_changed import CustodyChanged, CustodyKind
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import intakes, leftovers
from streams.adapters.register.tombstone_rows import refuse_purged
from streams.ports import Clock, IntakeRow

ACTOR = "callstream"


class RegisterIntakes:
    """See `streams.ports.Intakes`. Safe to share between threads and processes.

    Every method may raise what `Register.transaction` does.
    """

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def tell(self, tenant_id: str, call_id: str, command: IntakeCommand) -> Intake:
        """See `Intakes.tell`. A conflict is told to the outside, too. A call with a tombstone is only given up."""
        if isinstance(command, Reserve) and (first := self._first(tenant_id, call_id, command)) is not None:
            return first
        refused: IntakeConflictError | None = None
        with self._register.transaction("keep an intake") as tx:
            if not isinstance(command, Abandon | Expire):
                refuse_purged(tx, tenant_id, call_id)
            if isinstance(command, Reserve):
                _make_row(tx, tenant_id, call_id, command)
            before = _intake(tx, tenant_id, call_id, lock=True)
            try:
                events = decide(command, before)
            except IntakeConflictError as error:
                refused, events = error, ()
            state = after(before, events)
            self._write(tx, tenant_id, call_id, state, events)
            for change in self._changes(tenant_id, call_id, command, before, events, refused):
                tx.outbox(change)
        if refused is not None:
            raise refused
        return state

    def _first(self, tenant_id: str, call_id: str, command: Reserve) -> Intake | None:
        """What nearly every reservation is: the first one of its call. None where it is not."""
        state = after(FREE, decide(command, FREE))
        row = {"tenant_id": tenant_id, "call_id": call_id, "state": "reserved", **_values(state)}
        with self._register.statement("keep an intake") as tx:
            refuse_purged(tx, tenant_id, call_id)
            return state if tx.insert_new(intakes, **row) else None

    def intake(self, tenant_id: str, call_id: str) -> Intake:
        """See `Intakes.intake`."""
        with self._register.reading("read an intake") as tx:
            return _intake(tx, tenant_id, call_id)

    def expired(self, at: datetime, most: int) -> Sequence[IntakeRow]:
        """See `Intakes.expired`."""
        i = intakes.c
        return self._rows(and_(i.state == "reserved", i.lease_until <= at), i.lease_until, most)

    def unannounced(self, received_before: datetime, most: int) -> Sequence[IntakeRow]:
        """See `Intakes.unannounced`."""
        i = intakes.c
        return self._rows(and_(i.state == "stored", i.received_at < received_before), i.received_at, most)

    def forget(self, received_before: datetime, most: int) -> int:
        """See `Intakes.forget`."""
        i = intakes.c
        # As text: by it the databases know which index holds exactly these rows.
        old = and_(text("state = 'announced'"), i.received_at < received_before)
        oldest = select(i.tenant_id, i.call_id).where(old).order_by(i.received_at).limit(most)
        with self._register.transaction("forget intakes") as tx:
            return tx.execute(delete(intakes).where(tuple_(i.tenant_id, i.call_id).in_(oldest))).rowcount

    def _rows(self, which: Any, by: Any, most: int) -> Sequence[IntakeRow]:
        with self._register.reading("read intakes") as tx:
            rows = tx.execute(select(intakes).where(which).order_by(by).limit(most)).mappings().all()
        return [IntakeRow(row["tenant_id"], row["call_id"], _state(row)) for row in rows]

    def leftovers(self, left_before: datetime, most: int, *, removed: bool) -> Sequence[str]:
        """See `Intakes.leftovers`."""
        o = leftovers.c
        which = and_(o.left_at < left_before, o.removed_at.is_not(None) if removed else o.removed_at.is_(None))
        with self._register.reading("read what was left of intakes") as tx:
            return tx.execute(select(o.object_key).where(which).order_by(o.left_at).limit(most)).scalars().all()

    def was_removed(self, object_key: str, *, for_good: bool) -> None:
        """See `Intakes.was_removed`."""
        this = leftovers.c.object_key == object_key
        with self._register.transaction("note what was removed") as tx:
            if for_good:
                tx.execute(delete(leftovers).where(this))
            else:
                tx.execute(update(leftovers).where(this).values(removed_at=self._clock.now()))

    def _write(
        self, tx: Transaction, tenant_id: str, call_id: str, state: Intake, events: Sequence[IntakeEvent]
    ) -> None:
        for event in events:
            if isinstance(event, WasLeft) and event.object_key:
                tx.insert_new(leftovers, object_key=event.object_key, left_at=self._clock.now())
        if events and isinstance(state, Free):
            tx.execute(delete(intakes).where(*_mine(tenant_id, call_id)))
        elif events:
            tx.execute(update(intakes).where(*_mine(tenant_id, call_id)).values(_values(state)))

    def _changes(
        self,
        tenant_id: str,
        call_id: str,
        command: IntakeCommand,
        before: Intake,
        events: Sequence[IntakeEvent],
        refused: IntakeConflictError | None,
    ) -> Iterator[CustodyChanged]:
        """What the outside must hear of."""

        def change(kind: CustodyKind, source: IntakeSource, **details: Any) -> CustodyChanged:
            return CustodyChanged.of(
                kind,
                tenant_id=tenant_id,
                call_id=call_id,
                actor=ACTOR,
                at=self._clock.now(),
                source=source,
                **details,
            )

        if refused is not None and isinstance(before, Stored | Announced):
            yield change("intake_refused", before.source, reason="other_content")
        for event in events:
            if isinstance(event, WasAnnounced) and isinstance(before, Stored):
                audio = CallEnded.decode(before.event).audio
                yield change(
                    "intake_announced",
                    before.source,
                    content_sha256=audio.sha256,
                    content_bytes=audio.bytes,
                    object_version=before.attempt,
                    capture_ms=event.capture_ms,
                )
            if isinstance(event, WasGivenUp) and isinstance(command, Expire) and isinstance(before, Reserved):
                yield change("intake_removed", before.source, reason="never_finished", object_version=before.attempt)


def _make_row(tx: Transaction, tenant_id: str, call_id: str, command: Reserve) -> None:
    """So that there is a row to lock. It has run out already, and nobody but this transaction ever sees it."""
    tx.insert_new(
        intakes,
        tenant_id=tenant_id,
        call_id=call_id,
        state="reserved",
        attempt="",
        object_key="",
        source=command.source,
        lease_until=command.at,
    )


def _mine(tenant_id: str, call_id: str) -> tuple[Any, Any]:
    return intakes.c.tenant_id == tenant_id, intakes.c.call_id == call_id


def _intake(tx: Transaction, tenant_id: str, call_id: str, *, lock: bool = False) -> Intake:
    asked = select(intakes).where(*_mine(tenant_id, call_id))
    found = tx.execute(asked.with_for_update() if lock else asked).mappings().first()
    return FREE if found is None else _state(found)


def _state(row: Mapping[Any, Any]) -> Intake:
    attempt, key, source = row["attempt"], row["object_key"], row["source"]
    if row["state"] == "reserved":
        return Reserved(attempt, key, source, row["lease_until"])
    if row["state"] == "stored":
        return Stored(attempt, key, source, row["content"], bytes(row["event"]), row["received_at"])
    return Announced(attempt, key, source, row["content"], row["received_at"], row["capture_ms"])


def _values(state: Intake) -> dict[str, object]:
    """The columns of a row in that state, those that change."""
    match state:
        case Reserved(attempt, key, source, until):
            return {"attempt": attempt, "object_key": key, "source": source, "lease_until": until}
        case Stored(_, _, _, content, event, received_at):
            taken = {"content": content, "event": event, "received_at": received_at}
            return {"state": "stored", "lease_until": None, **taken}
        case Announced(_, _, _, _, _, capture_ms):
            return {"state": "announced", "event": None, "capture_ms": capture_ms}
        case _:
            return {}
