"""A purger and an eraser as the settings ask for them: the one place that builds them, for commands and for `keep`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.custody.receipts import signed_receipt
from schemas.config.retention import RETENTION_FILE, TenantPolicies, read_retention_policy
from schemas.config.tenants import read_tenants
from streams.adapters.clickhouse.judged_calls import ClickHouseJudgedCalls
from streams.adapters.clickhouse.listed_calls import ListedCalls
from streams.adapters.clickhouse.own_databases import own_tables_of
from streams.adapters.clickhouse.purging import ClickHousePurge
from streams.adapters.object_store.from_settings import whole_store_from
from streams.adapters.object_store.purging import CallObjects
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.erasures import RegisterErasures
from streams.adapters.register.holds import RegisterCases, RegisterHolds
from streams.adapters.register.ports import EntryWithin
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import RegisterRetentions
from streams.adapters.register.tombstones import FloorsWithin, HoldsWithin, RegisterPurges, RegisterTombstones
from streams.adapters.second_readers.answers import Answers
from streams.ports import Clock
from streams.runtime.receipt_keys import receipt_key
from streams.settings import Settings
from streams.stages.adopt import Adopter
from streams.stages.erase import ErasePersonal, Eraser
from streams.stages.purge import DerivedCopies, Purger
from streams.stages.second_read import ANSWERS_FILE, SECOND_READ


@dataclass(frozen=True)
class KeepsCalls:
    """What keeps calls, and where it is entered what was done with them."""

    holds: HoldsWithin
    floors: FloorsWithin
    audit: EntryWithin
    erase_personal: ErasePersonal


@dataclass(frozen=True)
class ReaderAnswers:
    """What a second reader has answered, as far as it lies on this machine; elsewhere its stage forgets it, daily."""

    file: Path
    name: str = "second reader answers"

    def destroy(self, tenant_id: str, calls: Collection[str]) -> int:
        """See `DerivedCopies.destroy`."""
        return self._asked(lambda answers: answers.forget(tenant_id, calls))

    def left(self, tenant_id: str, calls: Collection[str]) -> int:
        """See `DerivedCopies.left`."""
        return self._asked(lambda answers: answers.count(tenant_id, calls))

    def _asked(self, ask: Any) -> int:
        if not self.file.is_file():
            return 0
        answers = Answers(self.file)
        try:
            return int(ask(answers))
        finally:
            answers.close()


def receipts_key_file(settings: Settings) -> Path:
    """Where the key of receipts lies."""
    return settings.receipts_key_file or settings.data_dir / "keys" / "receipts.pem"


def purger_from(settings: Settings, register: Register, clock: Clock, keeps: KeepsCalls) -> Purger:
    """Nothing is asked yet, but the key of receipts, classes and tenants read. Raises `ReceiptError`,
    `RetentionPolicyError`, `TenantsError`, and `OperatorError` for a setting."""
    key = receipt_key(receipts_key_file(settings))

    def sign(body: Mapping[str, Any]) -> bytes:
        return signed_receipt(body, key)

    copies: list[DerivedCopies] = [ReaderAnswers(settings.data_dir / "workers" / SECOND_READ / ANSWERS_FILE)]
    return Purger(
        RegisterPurges(register, clock, keeps.holds, keeps.floors, keeps.audit),
        CallObjects(whole_store_from(settings)),
        tables_from(settings),
        copies,
        sign,
        clock,
        settings.kafka_masked_days,
        adopter_from(settings, register, clock, keeps.audit).adopt,
    )


def adopter_from(settings: Settings, register: Register, clock: Clock, audit: EntryWithin) -> Adopter:
    """Nothing is asked yet, but classes and tenants read. Raises `RetentionPolicyError` and `TenantsError`."""
    policy = read_retention_policy(settings.retention_file or RETENTION_FILE)
    gone = RegisterTombstones(register, clock).gone
    return Adopter(
        ClickHouseJudgedCalls(_keeper_url(settings)),
        RegisterRetentions(register, clock),
        RegisterCases(register, clock, audit, gone),
        gone,
        TenantPolicies(policy, read_tenants(settings.tenants_file)),
        clock,
    )


def listed_from(settings: Settings) -> ListedCalls:
    """What the exchange lists, by the account that destroys."""
    return ListedCalls(_keeper_url(settings))


def tables_from(settings: Settings) -> ClickHousePurge:
    """The tables of ClickHouse, by the account that may change their rows."""
    return ClickHousePurge(_keeper_url(settings), settings.first_contact_days, settings.clickhouse_cluster)


def copies_of_analysts(settings: Settings, tenant_id: str) -> list[str]:
    """Tables and views that analysts who see the tenant have made, as `database.table`. Raises as `connect` does."""
    return own_tables_of(_keeper_url(settings), tenant_id)


def _keeper_url(settings: Settings) -> str:
    return settings.clickhouse_keeper_url.get_secret_value() or settings.clickhouse_url.get_secret_value()


def eraser_from(settings: Settings, register: Register, clock: Clock, keeps: KeepsCalls) -> Eraser:
    """As `purger_from`."""
    purger = purger_from(settings, register, clock, keeps)
    erasures = RegisterErasures(register, clock, keeps.audit)
    return Eraser(erasures, purger, tables_from(settings), keeps.erase_personal, purger.sign, clock)


def keeps_calls(register: Register, clock: Clock) -> KeepsCalls:
    """By the register: holds, floors, and the audit log."""
    audit = RegisterAuditLog(register, clock)
    return KeepsCalls(
        RegisterHolds(register, clock),
        RegisterRetentions(register, clock),
        audit,
        lambda values, calls: audit.erase_personal(values=values, calls=calls),
    )
