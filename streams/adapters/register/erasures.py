"""Customers' requests to be erased, in the register: until the last of their calls has gone, and what became of
them."""

import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, insert, select, update

from processors.custody.audit_entry import AuditEntry
from streams.adapters.register.ports import EntryWithin
from streams.adapters.register.register import Register
from streams.adapters.register.tables import erasures
from streams.ports import Clock


@dataclass(frozen=True)
class Erasure:
    """A customer's request. `customer_keys` are empty once it is done; `customer_digest` is salted, and stays."""

    erasure_id: str
    tenant_id: str
    reason: str
    actor: str
    role: str
    ticket: str | None
    customer_keys: tuple[str, ...]
    customer_digest: str
    asked_at: datetime
    done_at: datetime | None
    counts: Mapping[str, int]
    receipt: bytes | None


class RegisterErasures:
    """Safe to share between threads and processes. Every method may raise what `Register.transaction` does."""

    def __init__(self, register: Register, clock: Clock, audit: EntryWithin) -> None:
        self._register = register
        self._clock = clock
        self._audit = audit

    def ask(
        self,
        tenant_id: str,
        customer_keys: Sequence[str],
        reason: str,
        actor: str,
        ticket: str | None,
        role: str = "",
    ) -> Erasure:
        """Write the request down. One of the same customer that is not done yet is that one."""
        known = next((each for each in self.open(tenant_id) if set(each.customer_keys) == set(customer_keys)), None)
        if known is not None:
            return known
        now, salt, erasure_id = self._clock.now(), secrets.token_bytes(32), secrets.token_hex(8)
        digest = hmac.new(salt, min(customer_keys).encode(), sha256).hexdigest()
        with self._register.transaction("write down that a customer is to be erased") as tx:
            tx.execute(
                insert(erasures).values(
                    erasure_id=erasure_id,
                    tenant_id=tenant_id,
                    reason=reason,
                    actor=actor,
                    role=role,
                    ticket=ticket,
                    customer_keys=json.dumps(sorted(customer_keys)),
                    salt=salt,
                    customer_digest=digest,
                    asked_at=now,
                    counts="{}",
                )
            )
            self._audit.append_within(
                tx,
                AuditEntry(
                    at=now,
                    actor=actor,
                    role=role,
                    action="erasure_asked",
                    tenant_id=tenant_id,
                    result="done",
                    client="callstream",
                    object_kind="erasure",
                    object_id=erasure_id,
                    purpose=reason,
                    ticket=ticket,
                    details={"customer": digest},
                ),
            )
        return self.find(erasure_id)

    def find(self, erasure_id: str) -> Erasure:
        """Raises `LookupError`."""
        with self._register.reading("read an erasure") as tx:
            row = tx.execute(select(erasures).where(erasures.c.erasure_id == erasure_id)).first()
        if row is None:
            raise LookupError(f"there is no erasure {erasure_id}")
        return _erasure(row)

    def open(self, tenant_id: str | None = None) -> Sequence[Erasure]:
        """Those that are not done, the oldest first."""
        return [each for each in self.all(tenant_id) if each.done_at is None]

    def all(self, tenant_id: str | None = None) -> Sequence[Erasure]:
        """All, the oldest first."""
        return read_erasures(self._register, tenant_id)

    def got(self, erasure_id: str, counts: Mapping[str, int], receipt: bytes, *, is_done: bool) -> None:
        """How far it is. When it is done the keys of the customer go from here, too."""
        values: dict[str, Any] = {
            "counts": json.dumps(dict(counts)),
            "receipt": receipt,
            "listed_at": self._clock.now(),
        }
        if is_done:
            values |= {"done_at": self._clock.now(), "customer_keys": None}
        with self._register.transaction("note how far an erasure is") as tx:
            tx.execute(update(erasures).where(erasures.c.erasure_id == erasure_id).values(values))
        if is_done:
            self._register.truncate_log()


def read_erasures(register: Register, tenant_id: str | None = None) -> Sequence[Erasure]:
    """All requests, the oldest first. Raises as `Register.transaction`."""
    asked = select(erasures).order_by(erasures.c.asked_at)
    if tenant_id is not None:
        asked = asked.where(erasures.c.tenant_id == tenant_id)
    with register.reading("list erasures") as tx:
        return [_erasure(row) for row in tx.execute(asked)]


def _erasure(row: Row[Any]) -> Erasure:
    return Erasure(
        row.erasure_id,
        row.tenant_id,
        row.reason,
        row.actor,
        row.role,
        row.ticket,
        tuple(json.loads(row.customer_keys)) if row.customer_keys else (),
        row.customer_digest,
        row.asked_at,
        row.done_at,
        json.loads(row.counts),
        None if row.receipt is None else bytes(row.receipt),
    )
