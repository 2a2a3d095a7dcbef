"""Entries that the stage `audit` makes of what ClickHouse tells it. Pure.

Their ids are made of what they tell of: told twice, they are entered once.
"""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import NAMESPACE_URL, uuid5

from processors.custody.audit_entry import AuditEntry, AuditResult

RESULTS = frozenset({"analyzed", "too_short", "no_audio", "bad_audio", "unsupported"})
"""Outcomes of calls that were dealt with: analysed, or found to be none that can be."""

MOST_NAMED = 500
"""Characters of the names of tables in one entry."""


def completeness_entry(tenant_id: str, day: date, outcomes: Mapping[str, int], at: datetime) -> tuple[str, AuditEntry]:
    """Id and entry: how many calls of a UTC day were announced, and where they ended.

    announced = results + tombstones + refused + not_received + pending; what is none of these is `other`.
    """
    told = {
        "results": sum(count for outcome, count in outcomes.items() if outcome in RESULTS),
        "tombstones": outcomes.get("purged", 0),
        "refused": outcomes.get("refused", 0),
        "not_received": outcomes.get("not_received", 0),
        "pending": outcomes.get("pending", 0),
    }
    announced = sum(outcomes.values())
    entry = AuditEntry(
        at=at,
        actor="callstream",
        role="pipeline_writer",
        action="completeness",
        tenant_id=tenant_id,
        result="done",
        client="audit",
        object_kind="day",
        object_id=day.isoformat(),
        details={"announced": announced, **told, "other": announced - sum(told.values())},
    )
    return _id("completeness", tenant_id, day.isoformat()), entry


def query_entry(
    query_id: str,
    user: str,
    role: str,
    tenant_id: str,
    at: datetime,
    *,
    result: AuditResult,
    refusal: str | None,
    error: int,
    tables: tuple[str, ...],
    rows_read: int,
    rows: int,
) -> tuple[str, AuditEntry]:
    """Id and entry of a query that somebody asked ClickHouse, without a word of it."""
    entry = AuditEntry(
        at=at,
        actor=user,
        role=role,
        action="queried",
        tenant_id=tenant_id,
        result=result,
        client="clickhouse",
        object_kind="query",
        object_id=query_id[:128],
        refusal=refusal,
        details={
            "tables": ",".join(tables)[:MOST_NAMED],
            "rows_read": min(rows_read, 2**53 - 1),
            "rows": min(rows, 2**53 - 1),
            **({"error": error} if error else {}),
        },
    )
    return _id("queried", query_id, user, at.isoformat()), entry


def shortened_entry(signed: int, size: int, at: datetime) -> tuple[str, AuditEntry]:
    """Id and entry: a checkpoint that was kept elsewhere is over more entries than there are."""
    entry = AuditEntry(
        at=at,
        actor="callstream",
        role="pipeline_writer",
        action="log_shortened",
        tenant_id="*",
        result="done",
        client="audit",
        details={"signed": signed, "entries": size},
    )
    return _id("log_shortened", str(signed)), entry


def _id(*parts: str) -> str:
    return str(uuid5(NAMESPACE_URL, "callstream audit " + "\n".join(parts)))
