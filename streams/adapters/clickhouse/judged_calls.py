"""Judged calls as `store` wrote them, as far as it matters how long they are kept."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from schemas.messages.call_analysis import TopicMention
from schemas.messages.call_ended import CallFacts
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows

TIMEOUT_S = 600

# Not FINAL: all versions of a call have the same key. The place of the page before is in the key of the table.
_PLACES = """
SELECT DISTINCT ended_at, call_id FROM call_versions
WHERE tenant_id = {tenant:String} AND ended_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND (ended_at, call_id) > (fromUnixTimestamp64Milli({since:Int64}, 'UTC'), {behind:String})
    AND ended_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC') AND isNull(purged_at)
ORDER BY ended_at, call_id LIMIT {most:UInt32}
"""

_PLACES_OF = """
SELECT DISTINCT ended_at, call_id FROM call_versions
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} AND isNull(purged_at)
ORDER BY ended_at, call_id
"""

_MINE = """
    tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}
    AND ended_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND ended_at <= fromUnixTimestamp64Milli({until:Int64}, 'UTC')
"""

_FACTS = (
    *("tenant_id", "call_id", "direction", "handled_by", "started_at", "ended_at", "inquiry_type", "industry"),
    *("course_type", "order_status", "crm", "legal_hold"),
)

_CALLS = f"""
SELECT
    {", ".join(_FACTS)}, agent_id, customer_key, outcome, duration_ms, retention_class, retention_days,
    topics.topic_id, topics.name
FROM call_versions FINAL
WHERE {_MINE} AND isNull(purged_at)
ORDER BY ended_at, call_id
"""  # noqa: S608 - names of ours

_TEXTS = f"""
SELECT call_id, segments.text FROM transcript_versions FINAL WHERE {_MINE}
"""  # noqa: S608 - names of ours


@dataclass(frozen=True)
class CallPlace:
    """Where a call stands among those of its tenant."""

    ended_at: datetime
    call_id: str


@dataclass(frozen=True)
class StoredJudgement:
    """What is stored of a judged call. `topics` were found in it, `texts` said, one for each segment."""

    call: CallFacts
    outcome: str
    duration_ms: int | None
    retention_class: str | None
    retention_days: int | None
    topics: tuple[TopicMention, ...] = ()
    texts: tuple[str, ...] = ()


class ClickHouseJudgedCalls:
    """Connects at the first question, and again after an error. For one thread. Raises as `connect` does."""

    def __init__(self, url: str) -> None:
        self._connection = ReconnectingClient(url, timeout_s=TIMEOUT_S)

    def tenants(self) -> Sequence[str]:
        """Those that have calls."""
        return [str(row[0]) for row in self._rows("tenants", "SELECT DISTINCT tenant_id FROM call_versions ORDER BY 1")]

    def page(self, tenant_id: str, behind: CallPlace, until: datetime, most: int) -> Sequence[CallPlace]:
        """The next calls of the tenant, the oldest first, that ended before `until`; not those that were destroyed."""
        asked = {"since": _ms(behind.ended_at), "behind": behind.call_id, "until": _ms(until), "most": most}
        return self._places(_PLACES, tenant=tenant_id, **asked)

    def places(self, tenant_id: str, calls: Collection[str]) -> Sequence[CallPlace]:
        """Those of these calls that are there."""
        return self._places(_PLACES_OF, tenant=tenant_id, calls=sorted(calls))

    def read(self, tenant_id: str, places: Sequence[CallPlace], *, with_texts: bool) -> Iterator[StoredJudgement | str]:
        """These calls, or the id of one that cannot be read as a call."""
        asked: dict[str, object] = {
            "tenant": tenant_id,
            "calls": sorted({place.call_id for place in places}),
            "since": _ms(min(place.ended_at for place in places)),
            "until": _ms(max(place.ended_at for place in places)),
        }
        texts = {row[0]: tuple(row[1]) for row in self._rows("what was said", _TEXTS, **asked)} if with_texts else {}
        for row in self._rows("calls to be kept", _CALLS, **asked):
            facts = dict(zip(_FACTS, row, strict=False))
            agent_id, customer_key, outcome, duration_ms, of_class, days, topic_ids, names = row[len(_FACTS) :]
            try:
                call = CallFacts(agent={"id": agent_id}, customer={"key": customer_key}, **facts)
            except ValidationError:
                yield str(facts["call_id"])
                continue
            topics = tuple(
                TopicMention(topic_id=topic_id, name=name, role="unknown", quote="", confidence=0)
                for topic_id, name in zip(topic_ids, names, strict=True)
            )
            yield StoredJudgement(call, outcome, duration_ms, of_class, days, topics, texts.get(call.call_id, ()))

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()

    def _places(self, query: str, **parameters: object) -> Sequence[CallPlace]:
        return [CallPlace(row[0], str(row[1])) for row in self._rows("the places of calls", query, **parameters)]

    def _rows(self, operation: str, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
        with self._connection.client() as client:
            return read_rows(client, operation, query, **parameters)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
