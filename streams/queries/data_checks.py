"""Data checks: each is a query over the views that should return no rows (`callstream check data`).

A query gives the columns tenant_id, subject, count, total and example; it has the parameters `tenant` (empty: all),
`since_ms`, `now_ms`, `objective_ms`, `stale_ms`, `null_share` and `minimum`. Call ids may be shown, they name nobody.

That a finding belongs to no call cannot happen, so there is no check for it: findings, topics and items of a score
stand in the row of their call.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from clickhouse_connect.driver.client import Client
from rich.table import Table

from processors.detectors.emotion_coping import NO_NEGATIVE_RUN
from processors.detectors.repeated_contact import OUTBOUND_CALL
from processors.judging.scoring import NOT_APPLICABLE
from streams.adapters.clickhouse.statements import read_rows

FUTURE_ALLOWED_S = 300
"""Clocks of other machines may be so far ahead."""
LENGTH_ALLOWED_MS = 2_000
"""A segment may end so far behind the end of the recording: recognisers round."""


Repair = Literal["judge_again", "hand_over", "store_text"]
"""How a call is taken anew from its stored transcript: judged again without alerts, handed to `judge` as if it had just
been heard, or its text written to ClickHouse."""


@dataclass(frozen=True)
class DataCheck:
    """One question, what a hit means, what to do about it, and how `--repair` mends it; None where only people can."""

    id: str
    meaning: str
    advice: str
    query: str
    repair: Repair | None = None


@dataclass(frozen=True)
class CheckLimits:
    """Which calls are checked, and from which limits something is reported."""

    now: datetime
    last: timedelta = timedelta(days=7)
    tenant: str = ""
    objective_s: float = 900
    stale_after: timedelta = timedelta(hours=24)
    null_share: float = 0.5
    minimum_calls: int = 20

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters that all queries share."""
        now_ms = int(self.now.timestamp() * 1000)
        return {
            "tenant": self.tenant,
            "since_ms": now_ms - int(self.last.total_seconds() * 1000),
            "now_ms": now_ms,
            "objective_ms": int(self.objective_s * 1000),
            "stale_ms": int(self.stale_after.total_seconds() * 1000),
            "null_share": self.null_share,
            "minimum": self.minimum_calls,
        }


@dataclass(frozen=True)
class CheckResult:
    """What a check found for one tenant and subject: how many out of how many, with one example."""

    check: DataCheck
    tenant_id: str
    subject: str
    count: int
    total: int
    example: str


_TENANT = "({tenant:String} = '' OR tenant_id = {tenant:String})"
_SINCE = "fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')"
_DONE = "fromUnixTimestamp64Milli({now_ms:Int64} - {objective_ms:Int64}, 'UTC')"
_IN_TIME = f"{_TENANT} AND ended_at >= {_SINCE}"


def _orphans(of: str, key: str, condition: str, kept: str, kept_key: str, kept_condition: str) -> str:
    """Rows of one view whose key another view does not have."""
    return f"""
        SELECT tenant_id, '' AS subject, countIf(NOT known) AS count, count() AS total, anyIf(id, NOT known) AS example
        FROM (
            SELECT tenant_id, {key} AS id,
                (tenant_id, id) IN
                    (SELECT tenant_id, {kept_key} FROM {kept} WHERE {_TENANT} AND {kept_condition}) AS known
            FROM {of} WHERE {_TENANT} AND {condition}
        )
        GROUP BY tenant_id HAVING count > 0"""  # noqa: S608 - of the texts below


def _calls(wrong: str, *, of: str = "calls", condition: str = "1", subject: str = "''") -> str:
    """Calls with something wrong about them."""
    return f"""
        SELECT tenant_id, {subject} AS subject, countIf(wrong) AS count, count() AS total,
            anyIf(call_id, wrong) AS example
        FROM (SELECT *, ifNull({wrong}, false) AS wrong FROM {of} WHERE {_IN_TIME} AND {condition})
        GROUP BY tenant_id, subject HAVING count > 0"""  # noqa: S608 - of the texts below


_NEEDED_COLUMNS = (
    *("agent_team", "queue", "inquiry_type", "customer_key", "language", "duration_ms", "duration_in_band"),
    *("risk_level", "score", "retention_class"),
)
"""Columns that KPIs, search and baselines group by or are made of."""

NOTHING_TO_MEASURE = (NOT_APPLICABLE, NO_NEGATIVE_RUN, OUTBOUND_CALL)
"""With these reasons a call is none of those that the measure is about (docs/measures.md), so nothing is missing."""

_NEEDED = ", ".join(f"('{name}', if(isNull({name}), NULL, toFloat64(1)), '')" for name in _NEEDED_COLUMNS)
_NULLS = f"""
    SELECT
        tenant_id,
        concat(name, arrayStringConcat(arrayMap(
            most -> concat(': ', most), topKIf(1)(reason, isNull(value) AND reason != '')
        ))) AS subject,
        countIf(isNull(value)) AS count, count() AS total, anyIf(call_id, isNull(value)) AS example
    FROM
    (
        SELECT tenant_id, call_id, part.1 AS name, part.2 AS value, part.3 AS reason
        FROM whole_calls
        ARRAY JOIN arrayConcat(
            [{_NEEDED}],
            arrayMap(
                (name, value) ->
                    (concat('measures.', name), value, toString(skipped_reasons[indexOf(skipped_measures, name)])),
                mapKeys(measures),
                mapValues(measures)
            )
        ) AS part
        WHERE {_IN_TIME} AND outcome = 'analyzed' AND reason NOT IN {NOTHING_TO_MEASURE}
    )
    GROUP BY tenant_id, name
    HAVING total >= {{minimum:UInt32}} AND count > {{null_share:Float64}} * total"""  # noqa: S608 - names of columns

_STALE = f"""
    SELECT tenant_id, subject, intDiv({{now_ms:Int64}} - newest_ms, 3600000) AS count, 0 AS total, '' AS example
    FROM
    (
        SELECT tenant_id, 'events and outcomes' AS subject, toUnixTimestamp64Milli(max(since)) AS newest_ms
        FROM outcomes WHERE {_TENANT} AND outcome != 'not_received' GROUP BY tenant_id
        UNION ALL
        SELECT tenant_id, 'transcripts', toUnixTimestamp64Milli(max(transcribed_at))
        FROM transcripts WHERE {_TENANT} GROUP BY tenant_id
        UNION ALL
        SELECT tenant_id, 'judged calls', toUnixTimestamp64Milli(max(analyzed_at))
        FROM calls WHERE {_TENANT} GROUP BY tenant_id
    )
    WHERE newest_ms < {{now_ms:Int64}} - {{stale_ms:Int64}}"""  # noqa: S608 - a text without parts of others

_RANGES = f"""
    SELECT tenant_id, subject, countIf(wrong) AS count, count() AS total, anyIf(call_id, wrong) AS example
    FROM
    (
        SELECT tenant_id, call_id, pair.1 AS subject, NOT (pair.2 BETWEEN 0 AND pair.3) AS wrong
        FROM calls
        ARRAY JOIN arrayConcat(
            arrayMap(
                (name, value) -> (concat('measures.', name), ifNull(value, 0), toFloat64(1)),
                mapKeys(mapFilter((name, _) -> endsWith(name, '_share'), measures)),
                mapValues(mapFilter((name, _) -> endsWith(name, '_share'), measures))
            ),
            [('score', ifNull(score, 0), toFloat64(100))]
        ) AS pair
        WHERE {_IN_TIME}
        UNION ALL
        SELECT tenant_id, call_id, 'findings.confidence', NOT (confidence BETWEEN 0 AND 1)
        FROM findings WHERE {_IN_TIME}
        UNION ALL
        SELECT tenant_id, call_id, 'segments.agitated', ifNull(NOT (agitated BETWEEN 0 AND 1), false)
        FROM segments WHERE {_IN_TIME}
    )
    GROUP BY tenant_id, subject HAVING count > 0"""  # noqa: S608 - a text without parts of others

_BEHIND_THE_END = f"""
    SELECT tenant_id, '' AS subject, countIf(wrong) AS count, count() AS total, anyIf(call_id, wrong) AS example
    FROM
    (
        SELECT tenant_id, call_id, last_ms > assumeNotNull(duration_ms) + {LENGTH_ALLOWED_MS} AS wrong
        FROM (SELECT tenant_id, call_id, duration_ms FROM calls WHERE {_IN_TIME} AND isNotNull(duration_ms)) AS judged
        INNER JOIN
        (
            SELECT tenant_id, call_id, max(end_ms) AS last_ms FROM segments WHERE {_IN_TIME} GROUP BY tenant_id, call_id
        ) AS heard USING (tenant_id, call_id)
    )
    GROUP BY tenant_id HAVING count > 0"""  # noqa: S608 - a text without parts of others

_TWO_PLACES = f"""
    SELECT tenant_id, '' AS subject, countIf(places > 1) AS count, count() AS total,
        anyIf(call_id, places > 1) AS example
    FROM (SELECT tenant_id, call_id, count() AS places FROM calls WHERE {_IN_TIME} GROUP BY tenant_id, call_id)
    GROUP BY tenant_id HAVING count > 0"""  # noqa: S608 - a text without parts of others

_SAME_VERSION = f"""
    SELECT tenant_id, '' AS subject, countIf(contents > 1) AS count, count() AS total,
        anyIf(call_id, contents > 1) AS example
    FROM
    (
        SELECT tenant_id, call_id, argMax(contents, version) AS contents
        FROM
        (
            SELECT tenant_id, call_id, version,
                uniqExact(toString((outcome, agent_id, risk_score, score, measures, findings.finding_id))) AS contents
            FROM call_versions WHERE {_IN_TIME} GROUP BY tenant_id, call_id, version
        )
        GROUP BY tenant_id, call_id
    )
    GROUP BY tenant_id HAVING count > 0"""  # noqa: S608 - a text without parts of others

_UNACCOUNTED = f"""
    SELECT tenant_id, '' AS subject, countIf(outcome = 'pending' AND since < {_DONE}) AS count, count() AS total,
        anyIf(call_id, outcome = 'pending' AND since < {_DONE}) AS example
    FROM outcomes WHERE {_TENANT} AND (since >= {_SINCE} OR outcome = 'pending')
    GROUP BY tenant_id HAVING count > 0"""  # noqa: S608 - a text without parts of others
"""Of any age: `status` and `observe` look at the last days alone."""

_CONTRADICTING_OUTCOMES = f"""
    SELECT tenant_id, '' AS subject, countIf(wrong) AS count, count() AS total, anyIf(call_id, wrong) AS example
    FROM
    (
        SELECT tenant_id, call_id, judged.outcome != accounted.outcome AS wrong
        FROM (SELECT tenant_id, call_id, outcome FROM calls WHERE {_IN_TIME}) AS judged
        INNER JOIN (SELECT tenant_id, call_id, outcome FROM outcomes WHERE {_TENANT}) AS accounted
        USING (tenant_id, call_id)
    )
    GROUP BY tenant_id HAVING count > 0"""  # noqa: S608 - a text without parts of others

_NOT_DELIVERED = f"""
    SELECT tenant_id, rule_id AS subject, countIf(missing) AS count, count() AS total,
        anyIf(alert_id, missing) AS example
    FROM
    (
        SELECT tenant_id, rule_id, alert_id, NOT told AND raised_at > first_told AND raised_at < last_told AS missing
        FROM
        (
            SELECT *, minIf(raised_at, told) OVER alike AS first_told, maxIf(raised_at, told) OVER alike AS last_told
            FROM
            (
                SELECT tenant_id, rule_id, alert_id, raised_at, severity, agent_team, kind,
                    (tenant_id, alert_id) IN (SELECT tenant_id, alert_id FROM alert_deliveries WHERE {_TENANT}) AS told
                FROM alerts WHERE {_TENANT} AND raised_at BETWEEN {_SINCE} AND {_DONE}
            )
            WINDOW alike AS (PARTITION BY tenant_id, rule_id, severity, agent_team, kind)
        )
    )
    GROUP BY tenant_id, rule_id HAVING count > 0"""  # noqa: S608 - a text without parts of others
"""Which subscriptions there are, ClickHouse does not know: alerts just like it were delivered before and after."""

_OTHER_TRANSCRIPT = f"""
    SELECT tenant_id, '' AS subject, countIf(wrong) AS count, count() AS total, anyIf(call_id, wrong) AS example
    FROM
    (
        SELECT tenant_id, call_id, transcripts.transcribed_at != judged.transcribed_at AS wrong
        FROM (SELECT tenant_id, call_id, transcribed_at FROM transcripts WHERE {_IN_TIME} AND transcribed_at < {_DONE})
            AS transcripts
        INNER JOIN (SELECT tenant_id, call_id, transcribed_at FROM calls WHERE {_IN_TIME}) AS judged
        USING (tenant_id, call_id)
    )
    GROUP BY tenant_id HAVING count > 0"""  # noqa: S608 - a text without parts of others


_REPAIR = "repair it: callstream check data --repair CHECK"

DATA_CHECKS: tuple[DataCheck, ...] = (
    DataCheck(
        "unaccounted",
        "calls whose event came longer ago than processing_objective_s, however long, and that have no outcome yet",
        "see the lag in callstream status and the logs of listen and judge; they are not lost. Where Kafka keeps the "
        "event no more, publish the recording again",
        _UNACCOUNTED,
    ),
    DataCheck(
        "stale",
        "no new row of a kind for longer than --stale-after (count: hours)",
        "callstream status tells whether a worker is behind; without lag nothing came: ask the telephony side",
        _STALE,
    ),
    DataCheck(
        "transcript_without_call",
        "calls that were heard longer ago than processing_objective_s and never judged",
        f"see dead letters of judge and store in callstream status; then {_REPAIR}",
        _orphans(
            *("transcripts", "call_id", f"ended_at >= {_SINCE} AND transcribed_at < {_DONE}"),
            *("calls", "call_id", f"ended_at >= {_SINCE}"),
        ),
        repair="hand_over",
    ),
    DataCheck(
        "call_without_transcript",
        "calls that were analysed and whose transcript is not stored: no quote of theirs can be found",
        f"see dead letters of store; then {_REPAIR}",
        _orphans(
            *("calls", "call_id", f"ended_at >= {_SINCE} AND outcome = 'analyzed'"),
            *("transcripts", "call_id", f"ended_at >= {_SINCE}"),
        ),
        repair="store_text",
    ),
    DataCheck(
        "call_without_outcome",
        "judged calls that the accounting does not know: completeness is too low by them",
        _REPAIR,
        _orphans("calls", "call_id", f"ended_at >= {_SINCE}", "outcomes", "call_id", "1"),
        repair="judge_again",
    ),
    DataCheck(
        "outcome_without_call",
        "calls that count as done, but whose row is not there",
        f"see dead letters of store; then {_REPAIR}",
        _orphans(
            "outcomes",
            "call_id",
            f"ifNull(ended_at >= {_SINCE}, false) AND outcome NOT IN ('pending', 'refused', 'not_received', 'purged')",
            *("calls", "call_id", f"ended_at >= {_SINCE}"),
        ),
        repair="judge_again",
    ),
    DataCheck(
        "outcome_contradicts_call",
        "calls whose row says another outcome than the accounting",
        f"report it, it is a bug or a row written by hand; then {_REPAIR}",
        _CONTRADICTING_OUTCOMES,
        repair="judge_again",
    ),
    DataCheck(
        "alert_without_call",
        "alerts about calls that are not stored: their links lead nowhere",
        f"see dead letters of store; then {_REPAIR}",
        _orphans(
            *("alerts", "assumeNotNull(call_id)", f"isNotNull(call_id) AND raised_at BETWEEN {_SINCE} AND {_DONE}"),
            *("calls", "call_id", f"ended_at >= {_SINCE} - toIntervalDay(1)"),
        ),
        repair="judge_again",
    ),
    DataCheck(
        "delivery_without_alert",
        "deliveries of alerts that are not stored",
        "see dead letters of store",
        _orphans(
            *("alert_deliveries", "alert_id", f"at BETWEEN {_SINCE} AND {_DONE}"),
            *("alerts", "alert_id", "1"),
        ),
    ),
    DataCheck(
        "alert_without_delivery",
        "alerts of which no delivery is recorded, though alerts of the same rule, severity and team were delivered "
        "before and after them",
        "see the log of notify for offsets behind the end of a log; the subscriber has to look at these calls itself",
        _NOT_DELIVERED,
    ),
    DataCheck(
        "judged_by_other_transcript",
        "calls whose judgement was made of another transcript than the one that is shown",
        "the newest transcript is not judged yet, or was refused: see lag and dead letters of judge in callstream "
        f"status; then {_REPAIR}",
        _OTHER_TRANSCRIPT,
        repair="judge_again",
    ),
    DataCheck(
        "null_share",
        "a column or measure that is null in more than --null-share of the analysed calls that it is about",
        "columns: the telephony side does not send the field; measures: behind the colon stands the reason that most "
        "of these calls have, see docs/measures.md",
        _NULLS,
    ),
    DataCheck(
        "future",
        f"calls that ended more than {FUTURE_ALLOWED_S // 60} minutes from now",
        "a clock or a time zone is wrong at the telephony side: times need their zone",
        _calls(f"ended_at > fromUnixTimestamp64Milli({{now_ms:Int64}} + {FUTURE_ALLOWED_S * 1000}, 'UTC')"),
    ),
    DataCheck(
        "ends_before_start",
        "calls that ended before they started",
        "callstream refuses such events, so the row was written by somebody else; delete it or mend it there",
        _calls("ended_at < started_at"),
    ),
    DataCheck(
        "judged_before_end",
        f"calls that were judged more than {FUTURE_ALLOWED_S // 60} minutes before they ended",
        "a clock or a time zone is wrong at the telephony side, or on the machine of judge; once it is right, "
        f"{_REPAIR}",
        _calls(f"analyzed_at < ended_at - toIntervalSecond({FUTURE_ALLOWED_S})"),
        repair="judge_again",
    ),
    DataCheck(
        "out_of_range",
        "shares, confidences and probabilities outside 0 to 1, and scores outside 0 to 100",
        f"report it: a detector computes nonsense, or a row was written by hand; then {_REPAIR}",
        _RANGES,
        repair="judge_again",
    ),
    DataCheck(
        "segment_behind_end",
        f"calls with words more than {LENGTH_ALLOWED_MS // 1000} s behind the end of the recording",
        "the recording may be cut: compare audio_truncated; else report it with the engine and its version",
        _BEHIND_THE_END,
    ),
    DataCheck(
        "two_places",
        "calls that are stored under two ends of the call, so they count twice",
        "the telephony side sent two events of one id that differ; callstream refuses the second, so see who wrote it",
        _TWO_PLACES,
    ),
    DataCheck(
        "same_version_twice",
        "calls with two judgements of the same version that differ: which one is shown is chance",
        f"two judges with different rules wrote at once; when all run the same, {_REPAIR}",
        _SAME_VERSION,
        repair="judge_again",
    ),
)


def run_checks(client: Client, limits: CheckLimits) -> Iterator[CheckResult]:
    """What is wrong with the data, check by check. Raises as `connect` does."""
    for check in DATA_CHECKS:
        rows = read_rows(client, f"the check {check.id}", check.query, **limits.parameters)
        for tenant_id, subject, count, total, example in sorted(map(tuple, rows)):
            yield CheckResult(check, tenant_id, subject, int(count), int(total), example or "")


def as_json(found: Sequence[CheckResult]) -> list[dict[str, Any]]:
    """Every check with what it found, even if that is nothing."""
    return [
        {
            "id": check.id,
            "meaning": check.meaning,
            "advice": check.advice,
            "hits": [
                {
                    "tenant_id": hit.tenant_id,
                    "subject": hit.subject,
                    "count": hit.count,
                    "total": hit.total,
                    "example": hit.example,
                }
                for hit in found
                if hit.check is check
            ],
        }
        for check in DATA_CHECKS
    ]


def results_table(found: Sequence[CheckResult]) -> Table:
    """One line for each hit."""
    table = Table()
    for name in ("check", "tenant", "what", "count", "of", "example"):
        table.add_column(name, overflow="fold")
    for hit in found:
        total = str(hit.total) if hit.total else ""
        table.add_row(hit.check.id, hit.tenant_id, hit.subject, str(hit.count), total, hit.example)
    return table
