"""What a purge needs, on a folder and a register, with the rows of ClickHouse in memory; holds as tests open them."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from processors.custody.audit_entry import AuditEntry
from processors.custody.listed_call import ListedCall
from processors.custody.receipts import signed_receipt
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.purging import CallObjects
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tombstones import RegisterPurges, RegisterTombstones
from streams.stages.purge import Purger
from tests.streams.stages.intake_house import TickingClock

_MAKE = (
    "CREATE TABLE IF NOT EXISTS holds_of_tests "
    "(tenant_id VARCHAR(64), call_id VARCHAR(128), cases VARCHAR(256) NOT NULL, PRIMARY KEY (tenant_id, call_id))"
)
_ROW = "INSERT INTO holds_of_tests VALUES (:tenant, :call, '') ON CONFLICT DO NOTHING"
_READ = "SELECT cases FROM holds_of_tests WHERE tenant_id = :tenant AND call_id = :call"


class HeldBySomebody:
    """Holds in a table of the register, whose row of the call is locked as that of `retentions` is."""

    def __init__(self, register: Register) -> None:
        self._register = register
        with register.transaction() as tx:
            tx.execute(text(_MAKE))

    def cases_within(
        self, tx: Transaction, tenant_id: str, call_id: str, _listed: ListedCall | None = None
    ) -> Sequence[str]:
        place = {"tenant": tenant_id, "call": call_id}
        tx.execute(text(_ROW), place)
        return str(tx.execute(text(_READ + (" FOR UPDATE" if tx.is_postgresql else "")), place).scalar_one()).split()

    def open(self, tenant_id: str, call_id: str, case: str) -> bool:
        """Whether it holds now: a call with a tombstone that is being destroyed is held by nobody any more."""
        place = {"tenant": tenant_id, "call": call_id}
        with self._register.transaction() as tx:
            cases = self.cases_within(tx, tenant_id, call_id)
            found = tx.execute(
                text("SELECT state FROM tombstones WHERE tenant_id = :tenant AND call_id = :call"), place
            ).scalar()
            if found in ("purging", "purged"):
                return False
            self._set(tx, place, [*cases, case])
            return True

    def release(self, tenant_id: str, call_id: str, case: str) -> None:
        with self._register.transaction() as tx:
            cases = self.cases_within(tx, tenant_id, call_id)
            self._set(tx, {"tenant": tenant_id, "call": call_id}, [each for each in cases if each != case])

    def _set(self, tx: Transaction, place: dict[str, str], cases: Sequence[str]) -> None:
        tx.execute(
            text("UPDATE holds_of_tests SET cases = :cases WHERE tenant_id = :tenant AND call_id = :call"),
            place | {"cases": " ".join(cases)},
        )


class FloorsOfTests:
    """Call → the end of its floor."""

    def __init__(self) -> None:
        self.until: dict[tuple[str, str], datetime] = {}

    def floor_until_within(
        self, _tx: Transaction, tenant_id: str, call_id: str, _listed: ListedCall | None = None
    ) -> datetime | None:
        return self.until.get((tenant_id, call_id))

    def is_to_go_within(self, _tx: Transaction, _tenant_id: str, _call_id: str, _on: date) -> bool:
        return True


class Entries:
    """The audit log of tests."""

    def __init__(self) -> None:
        self.all: list[AuditEntry] = []

    def append_within(self, _tx: Transaction, entry: AuditEntry) -> None:
        self.all.append(entry)


@dataclass
class MemoryTables:
    """Rows of calls: (tenant, call) → how many, and in which state each was told to be."""

    clock: TickingClock
    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    states: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    customers: dict[str, dict[str, datetime]] = field(default_factory=dict)
    in_list: dict[str, ListedCall] = field(default_factory=dict)
    mutated: int = 0
    forgotten: set[tuple[str, str]] = field(default_factory=set)

    def now(self) -> datetime:
        return self.clock.now()

    def days_of(self, _tenant_id: str, _calls: Collection[str]) -> Mapping[str, set[date]]:
        return {}

    def calls_of_customer(self, _tenant_id: str, customer_keys: Collection[str]) -> dict[str, datetime]:
        return {call: at for key in customer_keys for call, at in self.customers.get(key, {}).items()}

    def forget_customer(self, tenant_id: str, customer_keys: Collection[str]) -> None:
        self.forgotten |= {(tenant_id, key) for key in customer_keys}

    def listed(self, _tenant_id: str, calls: Collection[str]) -> Mapping[str, ListedCall]:
        return {call: self.in_list[call] for call in calls if call in self.in_list}

    def tell(
        self,
        tenant_id: str,
        calls: Collection[str],
        state: str,
        **_why: object,
    ) -> None:
        for call in calls:
            self.states[tenant_id, call].append(state)

    def destroy(self, tenant_id: str, calls: Sequence[str], at: datetime, **_: object) -> Mapping[str, int]:
        assert at.tzinfo is not None
        self.mutated += 1
        return {"call_versions": sum(self.rows.pop((tenant_id, call), 0) for call in calls)}

    def left(self, tenant_id: str, calls: Sequence[str], **_: object) -> Mapping[str, int]:
        return {"call_versions": sum(self.rows.get((tenant_id, call), 0) for call in calls)}

    def wait_for_old_parts(self) -> None: ...


@dataclass
class MemoryCopies:
    """A cache of calls."""

    name: str = "cache"
    calls: set[tuple[str, str]] = field(default_factory=set)

    def destroy(self, tenant_id: str, calls: Sequence[str]) -> int:
        mine = {(tenant_id, call) for call in calls} & self.calls
        self.calls -= mine
        return len(mine)

    def left(self, tenant_id: str, calls: Sequence[str]) -> int:
        return len({(tenant_id, call) for call in calls} & self.calls)


@dataclass
class PurgeHouse:
    """A purger and all that it needs."""

    register: Register
    store: FolderStore
    clock: TickingClock
    holds: HeldBySomebody
    floors: FloorsOfTests
    audit: Entries
    tables: MemoryTables
    copies: MemoryCopies
    purges: RegisterPurges
    tombstones: RegisterTombstones
    key: Ed25519PrivateKey

    def purger(self, reached: Callable[[str], None] = lambda _step: None) -> Purger:
        return Purger(
            self.purges,
            CallObjects(self.store),
            self.tables,
            [self.copies],
            lambda body: signed_receipt(body, self.key),
            self.clock,
            kafka_masked_days=7,
            reached=reached,
        )

    def receipt(self, purge_id: str) -> dict[str, Any]:
        signed = self.purges.purge(purge_id).receipt
        assert signed is not None
        body = json.loads(signed)["receipt"]
        assert isinstance(body, dict)
        return body

    def wait(self, time: timedelta) -> None:
        self.clock.pass_(time)


def purge_house(register: Register, folder: Path) -> PurgeHouse:
    """With nothing in it."""
    store, clock = FolderStore(folder, "callstream"), TickingClock()
    store.apply()
    holds, floors, audit = HeldBySomebody(register), FloorsOfTests(), Entries()
    return PurgeHouse(
        register,
        store,
        clock,
        holds,
        floors,
        audit,
        MemoryTables(clock),
        MemoryCopies(),
        RegisterPurges(register, clock, holds, floors, audit),
        RegisterTombstones(register, clock),
        Ed25519PrivateKey.generate(),
    )
