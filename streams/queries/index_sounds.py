"""The sounds of transcripts that were stored before search by sound was there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import Row
from processors.text.heard import pairs_heard
from schemas.messages.call_ended import Role
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.clickhouse.statements import read_rows

TEXTS = "search_text_versions"
CALLS_AT_ONCE = 500

_ROLES: tuple[Role, ...] = ("agent", "customer", "unknown")
_COLUMNS = ("tenant_id", "call_id", "ended_at", *(f"{role}_text" for role in _ROLES), "version")
_FIRST = (datetime(1900, 1, 1, tzinfo=UTC), "")


def index_sounds(client: Client) -> Iterator[int]:
    """Write the sounds of every call that has none; yields how many were written, after each batch.

    A row is written again under its own key and version, so that a newer transcript still replaces it. Raises as
    `ClickHouseSink.write` does.
    """
    sink = ClickHouseSink(client)
    tenants = read_rows(client, "a list of tenants", f"SELECT DISTINCT tenant_id FROM {TEXTS} ORDER BY tenant_id")  # noqa: S608
    for (tenant_id,) in tenants:
        after = _FIRST
        while rows := _without_sounds(client, str(tenant_id), after):
            after = (rows[-1]["ended_at"], rows[-1]["call_id"])
            heard = [row for row in map(_with_sounds, rows) if any(row[f"{role}_sounds"] for role in _ROLES)]
            if heard:
                sink.write({TEXTS: heard})
                yield len(heard)


def _without_sounds(client: Client, tenant_id: str, after: tuple[datetime, str]) -> list[dict[str, Any]]:
    """The next calls without sounds, in the order of the table."""
    sql = f"""SELECT {", ".join(_COLUMNS)} FROM {TEXTS} FINAL
        WHERE tenant_id = {{tenant_id:String}} AND ended_at >= {{ended_at:DateTime64(3, 'UTC')}}
        AND (ended_at > {{ended_at:DateTime64(3, 'UTC')}} OR call_id > {{call_id:String}})
        AND {" AND ".join(f"empty({role}_sounds)" for role in _ROLES)}
        AND ({" OR ".join(f"notEmpty({role}_text)" for role in _ROLES)})
        ORDER BY ended_at, call_id LIMIT {CALLS_AT_ONCE}"""  # noqa: S608
    ended_at, call_id = after
    values = {"tenant_id": tenant_id, "ended_at": f"{ended_at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]}
    return [
        dict(zip(_COLUMNS, row, strict=True))
        for row in read_rows(client, "texts without sounds", sql, **values, call_id=call_id)
    ]


def _with_sounds(row: Row) -> Row:
    return {**row, **{f"{role}_sounds": pairs_heard(str(row[f"{role}_text"])) for role in _ROLES}}
