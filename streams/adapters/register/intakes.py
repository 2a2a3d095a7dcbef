"""Intakes in the register: what `processors.custody.intake` decides, kept so that no two processes decide at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, select, update

from processors.custody.intake import (
    FREE,
    Announced,
    Command,
    Compare,
    Event,
    Expire,
    Free,
    Intake,
    IntakeConflictError,
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
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import intakes, leftovers
from streams.ports import Clock

ACTOR = "callstream"


@dataclass(frozen=True)
class IntakeRow:
    """An intake, and how its recording came."""

    tenant_id: str
    call_id: str
    source: IntakeSource
    state: Intake


class RegisterIntakes:
    """See `streams.stages.take_in.Intakes`. Safe to share between threads and processes.

    Every method may raise what `Register.transaction` does.
    """

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def tell(self, tenant_id: str, call_id: str, command: Command, *, source: IntakeSource | None = None) -> Intake:
        """See `Intakes.tell`. A conflict is told to the outside, too."""
        refused: IntakeConflictError | None = None
        with self._register.transaction("keep an intake") as tx:
            if isinstance(command, Reserve):
                self._make_row(tx, tenant_id, call_id, source, command)
            row = _row(tx, tenant_id, call_id, lock=True)
            before = row.state if row is not None else FREE
            source = row.source if row is not None else source
            try:
                events = decide(command, before)
            except IntakeConflictError as error:
                refused, events = error, ()
            state = after(before, events)
            self._write(tx, tenant_id, call_id, state, events)
            for told in self._told(tenant_id, call_id, source, command, before, events, refused):
                tx.outbox(told)
        if refused is not None:
            raise refused
        return state

    def intake(self, tenant_id: str, call_id: str) -> Intake:
        """How far the intake of a call has come."""
        with self._register.reading("read an intake") as tx:
            row = _row(tx, tenant_id, call_id)
        return row.state if row is not None else FREE

    def expired(self, at: datetime, most: int) -> Sequence[IntakeRow]:
        """Those whose lease has run out, the oldest first."""
        i = intakes.c
        return self._rows(and_(i.state == "reserved", i.lease_until <= at), i.lease_until, most)

    def unannounced(self, received_before: datetime, most: int) -> Sequence[IntakeRow]:
        """Those that are stored, and were received before that time, the oldest first."""
        i = intakes.c
        return self._rows(and_(i.state == "stored", i.received_at < received_before), i.received_at, most)

    def _rows(self, which: Any, by: Any, most: int) -> Sequence[IntakeRow]:
        with self._register.reading("read intakes") as tx:
            return [
                _as_row(each) for each in tx.execute(select(intakes).where(which).order_by(by).limit(most)).mappings()
            ]

    def leftovers(self, left_before: datetime, most: int, *, seen: bool = False) -> Sequence[str]:
        """Keys of objects that belong to no call since before that time; those that were removed once, with `seen`."""
        o = leftovers.c
        which = and_(o.left_at < left_before, o.removed_at.is_not(None) if seen else o.removed_at.is_(None))
        with self._register.reading("read what was left of intakes") as tx:
            return tx.execute(select(o.object_key).where(which).order_by(o.left_at).limit(most)).scalars().all()

    def was_removed(self, object_key: str, *, for_good: bool = False) -> None:
        """The object is gone; `for_good` where nobody can write it any more."""
        o = leftovers.c
        with self._register.transaction("note what was removed") as tx:
            if for_good:
                tx.execute(delete(leftovers).where(o.object_key == object_key))
            else:
                gone = update(leftovers).where(o.object_key == object_key)
                tx.execute(gone.values(removed_at=self._clock.now()))

    def _make_row(
        self, tx: Transaction, tenant_id: str, call_id: str, source: IntakeSource | None, command: Reserve
    ) -> None:
        """So that there is a row to lock. It expires at once, unless the attempt gets it."""
        tx.insert_new(
            intakes,
            tenant_id=tenant_id,
            call_id=call_id,
            state="reserved",
            attempt="",
            object_key="",
            lease_until=command.at,
            source=source or "publish",
        )

    def _write(self, tx: Transaction, tenant_id: str, call_id: str, state: Intake, events: Sequence[Event]) -> None:
        mine = and_(intakes.c.tenant_id == tenant_id, intakes.c.call_id == call_id)
        for event in events:
            if isinstance(event, WasLeft) and event.object_key:
                tx.insert_new(leftovers, object_key=event.object_key, left_at=self._clock.now())
        if events and isinstance(state, Free):
            tx.execute(delete(intakes).where(mine))
        elif events:
            tx.execute(update(intakes).where(mine).values(_values(state)))

    def _told(
        self,
        tenant_id: str,
        call_id: str,
        source: IntakeSource | None,
        command: Command,
        before: Intake,
        events: Sequence[Event],
        refused: IntakeConflictError | None,
    ) -> Sequence[CustodyChanged]:
        """What the outside must hear of."""
        of_call: dict[str, Any] = {
            "tenant_id": tenant_id,
            "call_id": call_id,
            "actor": ACTOR,
            "at": self._clock.now(),
            "source": source,
        }
        if refused is not None and isinstance(command, Compare):
            return [CustodyChanged.of("intake_refused", **of_call, reason="other_content")]
        told = []
        for event in events:
            if isinstance(event, WasAnnounced) and isinstance(before, Stored):
                audio = CallEnded.decode(before.event).audio
                told.append(
                    CustodyChanged.of(
                        "intake_announced",
                        **of_call,
                        content_sha256=audio.sha256,
                        content_bytes=audio.bytes,
                        object_version=before.attempt,
                        capture_ms=event.capture_ms,
                    )
                )
            if isinstance(event, WasGivenUp) and isinstance(command, Expire) and isinstance(before, Reserved):
                told.append(
                    CustodyChanged.of(
                        "intake_removed", **of_call, reason="never_finished", object_version=before.attempt or None
                    )
                )
        return told


def _row(tx: Transaction, tenant_id: str, call_id: str, *, lock: bool = False) -> IntakeRow | None:
    i = intakes.c
    asked = select(intakes).where(i.tenant_id == tenant_id, i.call_id == call_id)
    found = tx.execute(asked.with_for_update() if lock else asked).mappings().first()
    return None if found is None else _as_row(found)


def _as_row(row: Mapping[Any, Any]) -> IntakeRow:
    return IntakeRow(row["tenant_id"], row["call_id"], row["source"], _state(row))


def _state(row: Mapping[Any, Any]) -> Intake:
    attempt, key = row["attempt"], row["object_key"]
    if row["state"] == "reserved":
        return Reserved(attempt, key, row["lease_until"])
    if row["state"] == "stored":
        return Stored(attempt, key, row["content"], bytes(row["event"]), row["received_at"])
    return Announced(attempt, key, row["content"], row["received_at"], row["capture_ms"])


def _values(state: Intake) -> dict[str, object]:
    """The columns of a row in that state."""
    match state:
        case Reserved(attempt, key, until):
            return {"state": "reserved", "attempt": attempt, "object_key": key, "lease_until": until}
        case Stored(_, _, content, event, received_at):
            stored = {"content": content, "event": event, "received_at": received_at}
            return {"state": "stored", "lease_until": None, **stored}
        case Announced(_, _, _, _, capture_ms):
            return {"state": "announced", "event": None, "capture_ms": capture_ms}
        case _:
            return {}
