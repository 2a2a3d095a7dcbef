"""What inspectors have said, as ClickHouse holds it."""

from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from streams.adapters.clickhouse.statements import read_rows


class RulePrecision(NamedTuple):
    """A row of the view `rule_precision`."""

    detector: str
    rule_id: str
    rule_version: str
    judged: int
    right: int
    disputed: int
    precision: float | None
    low: float | None
    high: float | None


def rule_precisions(client: Client, tenant: str) -> list[RulePrecision]:
    """Of each version that inspectors have judged, most judged first. Raises as `connect`."""
    query = f"""
        SELECT {", ".join(RulePrecision._fields)} FROM rule_precision WHERE tenant_id = {{tenant:String}}
        ORDER BY judged DESC, detector, rule_id, rule_version
    """  # noqa: S608 - names of columns
    return [RulePrecision(*row) for row in read_rows(client, "precision of rules", query, tenant=tenant)]
