"""`streams.ports.TopicCounts` on ClickHouse: how many calls were about what, from the views `calls` and `topics`."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from processors.kpi.surges import STEP, BucketCount
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows

TIMEOUT_S = 60

_STEP_S = int(STEP.total_seconds())
_CALLS = """
SELECT tenant_id, intDiv(toUnixTimestamp(ended_at), {step_s:UInt32}) * {step_s:UInt32} AS start_s, count()
FROM calls
WHERE ended_at >= fromUnixTimestamp({start:Int64}) AND ended_at < fromUnixTimestamp({end:Int64})
    AND outcome = 'analyzed'
GROUP BY tenant_id, start_s ORDER BY tenant_id, start_s
"""

# A call may mention a topic several times.
_TOPICS = """
SELECT
    tenant_id, intDiv(toUnixTimestamp(ended_at), {step_s:UInt32}) * {step_s:UInt32} AS start_s, topic_id,
    argMax(name, ended_at), uniqExact(call_id)
FROM topics
WHERE ended_at >= fromUnixTimestamp({start:Int64}) AND ended_at < fromUnixTimestamp({end:Int64})
GROUP BY tenant_id, start_s, topic_id
"""

_CALLS_ABOUT = """
SELECT call_id
FROM topics
WHERE tenant_id = {tenant_id:String} AND topic_id = {topic_id:String}
    AND ended_at >= fromUnixTimestamp({start:Int64}) AND ended_at < fromUnixTimestamp({end:Int64})
GROUP BY call_id ORDER BY max(ended_at) DESC, call_id DESC LIMIT {most:UInt32}
"""


class ClickHouseTopicCounts:
    """Connects at the first question, and again after an error. For one thread."""

    def __init__(self, url: str) -> None:
        self._connection = ReconnectingClient(url, timeout_s=TIMEOUT_S)

    def buckets(self, start: datetime, end: datetime) -> Sequence[BucketCount]:
        """As the port says; raises as `connect` does."""
        window = {"start": int(start.timestamp()), "end": int(end.timestamp()), "step_s": _STEP_S}
        topics: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        names: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        for tenant_id, start_s, topic_id, name, calls in self._rows("counts of topics", _TOPICS, **window):
            topics[tenant_id, start_s][topic_id] = calls
            names[tenant_id, start_s][topic_id] = name
        return [
            BucketCount(
                tenant_id,
                datetime.fromtimestamp(start_s, UTC),
                calls,
                topics.get((tenant_id, start_s), {}),
                names.get((tenant_id, start_s), {}),
            )
            for tenant_id, start_s, calls in self._rows("counts of calls", _CALLS, **window)
        ]

    def calls_about(self, tenant_id: str, topic_id: str, start: datetime, end: datetime, most: int) -> tuple[str, ...]:
        """As the port says; raises as `connect` does."""
        rows = self._rows(
            "calls about a topic",
            _CALLS_ABOUT,
            tenant_id=tenant_id,
            topic_id=topic_id,
            start=int(start.timestamp()),
            end=int(end.timestamp()),
            most=most,
        )
        return tuple(call_id for (call_id,) in rows)

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()

    def _rows(self, operation: str, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
        with self._connection.client() as client:
            return read_rows(client, operation, query, **parameters)
