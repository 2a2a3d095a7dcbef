"""Pauses in the register: they hold for every worker that uses it, and outlive all of them."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import ColumnElement, delete, insert, select

from processors.custody.audit_entry import AuditEntry
from streams.adapters.register.errors import RegisterSchemaError
from streams.adapters.register.ports import EntryWithin
from streams.adapters.register.register import Register
from streams.adapters.register.tables import pauses
from streams.runtime.pauses import Pause


class RegisterPauses:
    """Every method may raise what `Register.transaction` does."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def every(self) -> list[Pause]:
        """Those that hold, by stage and tenant. A register that is not there yet, or older, has none."""
        file: Path | None = self._register.file
        if file is not None and not file.exists():
            return []
        try:
            with self._register.reading("list pauses") as tx:
                rows = tx.execute(select(pauses).order_by(pauses.c.stage, pauses.c.tenant_id)).mappings().all()
        except RegisterSchemaError:  # whoever needs its tables says so by itself
            return []
        return [Pause(**row) for row in rows]

    def pause(self, pause: Pause, audit: EntryWithin, entry: AuditEntry) -> None:
        """It holds from now on, in place of another of the same stage and tenant; the entry is durable with it."""
        with self._register.transaction("pause a stage") as tx:
            tx.execute(delete(pauses).where(_same(pause.stage, pause.tenant_id)))
            tx.execute(insert(pauses).values(**vars(pause)))
            audit.append_within(tx, entry)

    def resume(self, stage: str, tenant_id: str, audit: EntryWithin, entry: AuditEntry) -> Pause | None:
        """The pause of the whole stage, or that of the tenant, holds no longer. Returns it; None where there was none,
        and then nothing is entered.
        """
        with self._register.transaction("resume a stage") as tx:
            rows = tx.execute(select(pauses).where(_same(stage, tenant_id))).mappings().all()
            if rows:
                tx.execute(delete(pauses).where(_same(stage, tenant_id)))
                audit.append_within(tx, replace(entry, details={**entry.details, "kind": rows[0]["kind"]}))
        return Pause(**rows[0]) if rows else None


def _same(stage: str, tenant_id: str) -> ColumnElement[bool]:
    return (pauses.c.stage == stage) & (pauses.c.tenant_id == tenant_id)
