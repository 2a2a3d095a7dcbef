"""What tenants have used in a month (R93), from the view `meters`."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date

from clickhouse_connect.driver.client import Client

from streams.adapters.clickhouse.statements import read_rows


@dataclass(frozen=True)
class Meters:
    """One tenant's month; see the columns of the view."""

    tenant_id: str
    month: date
    recordings_taken_in: int
    taken_in_bytes: int
    stored_bytes: int
    calls_analyzed: int
    analyzed_minutes: float
    searches: int
    texts_viewed: int
    plays: int
    exports: int
    exported_calls: int
    exported_bytes: int


COLUMNS = tuple(each.name for each in fields(Meters))

_QUERY = f"""
SELECT {", ".join(COLUMNS)} FROM meters
WHERE month = {{month:Date}} AND ({{tenant:String}} = '' OR tenant_id = {{tenant:String}}) ORDER BY tenant_id
"""  # noqa: S608 - names of ours


def meters_of(client: Client, month: date, tenant_id: str = "") -> list[Meters]:
    """Of every tenant, or of one, by its id. Raises as `connect`."""
    rows = read_rows(client, "the meters", _QUERY, month=month.isoformat(), tenant=tenant_id)
    return [Meters(*row) for row in rows]


def as_csv(meters: Sequence[Meters]) -> str:
    """With a line of names; minutes to a tenth, months as 2026-11."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in meters:
        row = {name: getattr(each, name) for name in COLUMNS}
        row |= {"month": f"{each.month:%Y-%m}", "analyzed_minutes": f"{each.analyzed_minutes:.1f}"}
        writer.writerow(row.values())
    return out.getvalue()
