"""Whether a call has a tombstone, inside of a transaction: for what the register itself must refuse then."""

from sqlalchemy import select

from processors.custody.ports import CallPurgedError
from streams.adapters.register.register import Transaction
from streams.adapters.register.tables import tombstones


def refuse_purged(tx: Transaction, tenant_id: str, call_id: str) -> None:
    """Raises `CallPurgedError` for a call that was destroyed, or is blocked."""
    t = tombstones.c
    asked = select(t.state).where(t.tenant_id == tenant_id, t.call_id == call_id)
    if tx.execute(asked).first() is not None:
        raise CallPurgedError
