"""Calls of a tenant with what inspectors say of them, or the newest without, for heads to learn from."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.reading.call_reader import SUSPECTED_IN_CALL
from processors.reading.labels import StoredCall, Verdict
from processors.text.languages import CHINESE_LANGUAGES
from schemas.messages.transcript import RECEIVED, Segment
from streams.adapters.clickhouse.statements import read_rows

BATCH_CALLS = 200
"""So many transcripts are asked for at once."""

_VERDICTS = """
SELECT call_id, finding_id, about, answer, detector, start_ms, segment_id, quote FROM verdicts
WHERE tenant_id = {tenant:String} AND NOT startsWith(ifNull(rule_id, ''), {of_call:String})
ORDER BY call_id, given_at, given_by
"""
_SUSPICIONS = """
SELECT call_id, finding_id, start_ms FROM suspicions
WHERE tenant_id = {tenant:String} AND finding_id GLOBAL IN
    (SELECT finding_id FROM verdicts WHERE tenant_id = {tenant:String} AND about = 'finding' AND start_ms IS NULL)
"""
_NEWEST = """
SELECT call_id FROM transcripts WHERE tenant_id = {tenant:String} AND language IN {languages:Array(String)}
ORDER BY ended_at DESC, call_id LIMIT {calls:UInt32}
"""
_SEGMENTS = """
SELECT call_id, agent_id, ended_at, segment_id, channel, role, start_ms, end_ms, text FROM segments
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} ORDER BY call_id, segment_id
"""
_CHINESE = """
SELECT call_id, engine_name FROM transcripts
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} AND language IN {languages:Array(String)}
"""


def judged_calls(client: Client, tenant: str) -> list[StoredCall]:
    """Every Chinese call of the tenant that somebody judged. Raises as `connect`.

    Verdicts on suspicions of a whole call are left out: they tell nothing of any one utterance.
    """
    # A verdict that tells no time has that of its suspicion, as long as no other heads have read the call.
    starts = {(row[0], row[1]): row[2] for row in read_rows(client, "suspicions", _SUSPICIONS, tenant=tenant)}
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    for call_id, finding_id, about, answer, detector, start_ms, segment_id, quote in read_rows(
        client, "verdicts", _VERDICTS, tenant=tenant, of_call=SUSPECTED_IN_CALL
    ):
        start_ms = starts.get((call_id, finding_id)) if start_ms is None else start_ms
        verdicts[call_id].append(Verdict(about, answer, detector, start_ms, segment_id, quote))
    return _with_text(client, tenant, verdicts.keys(), verdicts)


def newest_calls(client: Client, tenant: str, calls: int) -> list[StoredCall]:
    """The newest Chinese calls of the tenant, judged or not. Raises as `connect`."""
    languages = sorted(CHINESE_LANGUAGES)
    found = read_rows(client, "the newest calls", _NEWEST, tenant=tenant, languages=languages, calls=calls)
    return _with_text(client, tenant, [row[0] for row in found], {})


def _with_text(
    client: Client, tenant: str, call_ids: Iterable[str], verdicts: dict[str, list[Verdict]]
) -> list[StoredCall]:
    ordered, found = sorted(call_ids), []
    for start in range(0, len(ordered), BATCH_CALLS):
        asked: dict[str, Any] = {"tenant": tenant, "calls": ordered[start : start + BATCH_CALLS]}
        languages = sorted(CHINESE_LANGUAGES)
        found_engines = read_rows(client, "languages", _CHINESE, languages=languages, **asked)
        engines = {row[0]: row[1] for row in found_engines}
        by_call: dict[str, list[Sequence[Any]]] = defaultdict(list)
        for row in read_rows(client, "transcripts", _SEGMENTS, **asked):
            by_call[row[0]].append(row)
        for call_id in sorted(by_call.keys() & engines.keys()):
            rows = by_call[call_id]
            segments = tuple(_segment(row[3:]) for row in rows)
            ended_at = rows[0][2].replace(tzinfo=UTC)
            heard = engines[call_id] != RECEIVED
            found.append(StoredCall(call_id, rows[0][1], ended_at, segments, tuple(verdicts.get(call_id, ())), heard))
    return found


def _segment(columns: Sequence[Any]) -> Segment:
    names = ("segment_id", "channel", "role", "start_ms", "end_ms", "text")
    return Segment(**dict(zip(names, columns, strict=True)), confidence=1)
