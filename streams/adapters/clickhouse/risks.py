"""The risks that are stored, to compare a replay with (`FormerJudgements`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.statements import read_rows
from streams.ports import RiskOrNone


@dataclass(frozen=True)
class StoredRisks:
    """The risk levels that are stored (`FormerJudgements`)."""

    client: Client

    def risks(self, calls: Sequence[Transcript]) -> dict[tuple[str, str], RiskOrNone]:
        """Tenant and call id → level. Raises `RetryableError` when ClickHouse does not answer."""
        if not calls:
            return {}
        ended = [call.call.ended_at for call in calls]
        found = read_rows(
            self.client,
            "the stored judgements",
            "SELECT tenant_id, call_id, risk_level FROM calls WHERE tenant_id IN {tenants:Array(String)} "
            "AND ended_at BETWEEN {first:DateTime64(3, 'UTC')} AND {last:DateTime64(3, 'UTC')} "
            "AND call_id IN {ids:Array(String)}",
            tenants=sorted({call.tenant_id for call in calls}),
            first=min(ended),
            last=max(ended),
            ids=[call.call_id for call in calls],
        )
        return {(tenant, call): level or "none" for tenant, call, level in found}
