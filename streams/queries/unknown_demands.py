"""Calls of a week that no topic covers, and what their customers say first, a batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from clickhouse_connect.driver.client import Client

from processors.demands.unknown import BACKGROUND, SAMPLE, OpenCall, SaidByCustomer, UnknownDemand, UnknownDemands
from processors.text.languages import CHINESE_LANGUAGES
from streams.adapters.clickhouse.statements import read_rows

BATCH_CALLS = 1_000
"""So many transcripts are asked for at once."""

MOST_UTTERANCES = 12
"""Of a customer in a call, the first ones: by then it is said what the call is about."""

# By a hash of their ids, so that a sample is the same however often it is taken, and is of no time of day.
_CALLS = """
SELECT call_id, ended_at, confidence FROM
(
    SELECT call_id, ended_at FROM calls
    WHERE tenant_id = {tenant:String} AND day >= {first:Date32} AND day < {end:Date32} AND outcome = 'analyzed'
        AND language IN {languages:Array(String)}
) AS heard
LEFT JOIN
(
    SELECT call_id, max(confidence) AS confidence FROM topics
    WHERE tenant_id = {tenant:String} AND day >= {first:Date32} AND day < {end:Date32} GROUP BY call_id
) AS covered USING call_id
ORDER BY cityHash64(call_id), call_id
"""
_SAID = """
SELECT call_id, text, start_ms, end_ms FROM segments
WHERE tenant_id = {tenant:String} AND day >= {first:Date32} AND day < {end:Date32}
    AND call_id IN {calls:Array(String)} AND role = 'customer'
ORDER BY call_id, segment_id LIMIT {most:UInt32} BY call_id
"""


@dataclass(frozen=True)
class WeekOfDemands:
    """What was found of a week: calls analysed, those that no topic covers, those of them that groups were formed of,
    and those in which no customer was heard."""

    first_day: date
    analysed: int
    uncovered: int
    sampled: int
    unheard: int
    demands: tuple[UnknownDemand, ...]


@dataclass(frozen=True)
class _Calls:
    first: date
    covered: list[tuple[str, datetime]]
    uncovered: list[tuple[str, datetime]]

    @property
    def analysed(self) -> int:
        return len(self.covered) + len(self.uncovered)


def unknown_demands(client: Client, tenant: str, monday: date, *, unlikely: float) -> WeekOfDemands:
    """Of the tenant's week that begins on that day: its calls in which no topic was found with at least the confidence
    `unlikely`, in groups. Raises as `connect`."""
    week = _calls(client, tenant, monday, unlikely)
    before = _calls(client, tenant, monday - timedelta(days=7), unlikely)
    sample = _said(client, tenant, monday, week.uncovered[:SAMPLE])
    background = _said(client, tenant, monday, week.covered[:BACKGROUND])
    demands = UnknownDemands(sample, background)
    unheard = 0
    for asked, batch in _batches(client, tenant, week):
        unheard += asked - len(batch)
        demands.tell(batch)
    for _, batch in _batches(client, tenant, before):
        demands.tell_before(batch)
    return WeekOfDemands(
        monday,
        week.analysed,
        len(week.uncovered),
        len(sample),
        unheard,
        tuple(demands.groups_found(week.analysed, before.analysed)),
    )


def _calls(client: Client, tenant: str, monday: date, unlikely: float) -> _Calls:
    languages = sorted(CHINESE_LANGUAGES)
    end = monday + timedelta(days=7)
    found = read_rows(client, "calls of a week", _CALLS, tenant=tenant, first=monday, end=end, languages=languages)
    covered = [(row[0], row[1]) for row in found if row[2] >= unlikely]
    return _Calls(monday, covered, [(row[0], row[1]) for row in found if row[2] < unlikely])


def _batches(client: Client, tenant: str, calls: _Calls) -> Iterator[tuple[int, list[OpenCall]]]:
    """How many calls were asked for, and those of them in which the customer was heard."""
    for start in range(0, len(calls.uncovered), BATCH_CALLS):
        asked = calls.uncovered[start : start + BATCH_CALLS]
        yield len(asked), _said(client, tenant, calls.first, asked)


def _said(client: Client, tenant: str, monday: date, calls: Sequence[tuple[str, datetime]]) -> list[OpenCall]:
    found: list[OpenCall] = []
    for start in range(0, len(calls), BATCH_CALLS):
        asked = calls[start : start + BATCH_CALLS]
        said: dict[str, list[SaidByCustomer]] = {}
        rows = read_rows(
            client,
            "what customers say",
            _SAID,
            tenant=tenant,
            first=monday,
            end=monday + timedelta(days=7),
            calls=[call_id for call_id, _ in asked],
            most=MOST_UTTERANCES,
        )
        for call_id, text, start_ms, end_ms in rows:
            said.setdefault(call_id, []).append(SaidByCustomer(text, start_ms, end_ms))
        found += [OpenCall(call_id, at, tuple(said[call_id])) for call_id, at in asked if call_id in said]
    return found
