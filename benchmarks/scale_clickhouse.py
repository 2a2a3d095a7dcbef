"""What ClickHouse is asked every minute, at ten million calls a day: before 0.7.0 and since, as ratios.

    python -m benchmarks.scale_clickhouse --calls 10000000 --data-dir /var/tmp/scale [--fill-only | --as-it-is]
    python -m benchmarks.scale_clickhouse --outcomes 10000000 --data-dir /var/tmp/outcomes [--as-it-is]

Starts the embedded engine on the data directory and fills it, where that is not done yet, with one whole day of calls
of `benchmarks/realistic_calls.py` (no transcripts) by 150,000 agents, and with the 27 days before it in fewer columns
and fewer calls (`--before-calls` a day): what baselines, contacts and outcomes are made of. Then it measures what is
asked every minute, what was asked before 0.7.0 beside it, and how many parts a peak of storing makes.

With `--outcomes` it fills outcomes alone, of so many calls of a year, and measures what `status` and `observe` ask:
once when there are those of the last tenth of the year, and once when there are all, which is ten times the history.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from benchmarks.realistic_calls import INQUIRY_TYPES, QUEUES, WORD_TABLE, Year, calls_sql, vocabulary
from benchmarks.search import FILL_SETTINGS, Engine
from processors.clickhouse.rows import CALLS, DEAD_LETTERS, OUTCOMES
from processors.kpi.rollups import RollupDefinition
from schemas.config.kpis.kpi import read_kpis
from schemas.config.tenants import TenantDays
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.duration_buckets import ClickHouseDurationBuckets
from streams.adapters.clickhouse.history import read_baselines
from streams.adapters.clickhouse.judged_calls import CallPlace, ClickHouseJudgedCalls
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.status import calls_per_minute, count_unaccounted, dead_letter_counts, outcome_counts
from streams.adapters.clickhouse.topic_counts import ClickHouseTopicCounts
from streams.stages.rollup import Durations

AGENTS = 150_000
DAYS_BEFORE = 27
AT_ONCE = 500_000
GENERATED = 1_000_000
OUTCOMES_AT_ONCE = 50_000
BY_TIME = "timed_outcome_versions"


def narrow_sql(day: datetime, calls: int, numbered_from: int) -> str:
    """Calls of a day in the columns that baselines, contacts and outcomes are made of."""
    queues, types = (", ".join(f"'{name}'" for name in names) for names in (QUEUES, INQUIRY_TYPES))
    return f"""
INSERT INTO call_versions (tenant_id, call_id, direction, handled_by, started_at, ended_at, agent_id, customer_key,
    queue, inquiry_type, industry, outcome, duration_ms, topics.topic_id, topics.name, topics.role, topics.quote,
    topics.confidence, transcribed_at, analyzed_at, stored_at, version)
SELECT
    ['acme', 'bright', 'corner', 'delta'][1 + cityHash64(n, 1) % 4], concat('h-', toString(n)), 'inbound', 'human',
    ended - INTERVAL length_ms MILLISECOND,
    fromUnixTimestamp64Milli(toInt64({int(day.timestamp() * 1000)} + cityHash64(n, 2) % 86400000), 'UTC') AS ended,
    'A' || toString(cityHash64(n, 3) % {AGENTS}),
    lower(hex(SHA256(concat('customer ', toString(cityHash64(n, 8) % 900000000))))),
    [{queues}][1 + cityHash64(n, 80) % {len(QUEUES)}], [{types}][1 + cityHash64(n, 81) % {len(INQUIRY_TYPES)}],
    'ecommerce', 'analyzed',
    toUInt64(exp(12.3 + 1.1 * (cityHash64(n, 4) / 18446744073709551616 + cityHash64(n, 5) / 18446744073709551616
        + cityHash64(n, 6) / 18446744073709551616 - 1.5))) AS length_ms,
    ['topic_1'], ['topic_1'], ['customer'], [''], [0.9],
    ended + INTERVAL 60 SECOND, ended + INTERVAL 70 SECOND, ended + INTERVAL 80 SECOND, toUnixTimestamp64Milli(ended)
FROM (SELECT number + {numbered_from} AS n FROM numbers({calls}))
"""  # noqa: S608 - numbers of ours


def copy_sql(day: datetime, copy: int) -> str:
    """The generated calls of the day once more, with other ids, customers and times: faster than to make others."""
    start_s, shift_ms = int(day.timestamp()), copy * 7_654_321
    ended = (
        f"fromUnixTimestamp64Milli({start_s} * 1000 "
        f"+ (toUnixTimestamp64Milli(ended_at) - {start_s} * 1000 + {shift_ms}) % 86400000, 'UTC')"
    )
    return f"""
INSERT INTO {CALLS} SELECT * REPLACE (
    concat(call_id, '-', '{copy}') AS call_id,
    concat(substring(customer_key, 1, 62), '{copy:02d}') AS customer_key,
    {ended} AS ended_at, {ended} - INTERVAL duration_ms MILLISECOND AS started_at,
    now64(3, 'UTC') AS stored_at
)
FROM (SELECT * FROM {CALLS} WHERE toDate(ended_at) = '{day:%Y-%m-%d}' AND match(call_id, '^c-[0-9]+$'))
"""  # noqa: S608 - numbers of ours


def fill(client: Client, day: datetime, calls: int, before_calls: int) -> None:
    """What is there of a day is kept."""
    client.command(f"CREATE DATABASE IF NOT EXISTS {WORD_TABLE.split('.')[0]}")
    client.command(
        f"CREATE TABLE IF NOT EXISTS {WORD_TABLE} (rank UInt32, word String) ENGINE = MergeTree ORDER BY rank"
    )
    if client.command(f"SELECT count() FROM {WORD_TABLE}") == 0:  # noqa: S608
        rows = [[rank, word] for rank, word in enumerate(vocabulary())]
        client.insert(WORD_TABLE, rows, column_names=["rank", "word"])
    year = Year(calls * 365, day, AGENTS)
    for first in range(min(_count(client, day), GENERATED) // AT_ONCE * AT_ONCE, min(calls, GENERATED), AT_ONCE):
        last = min(calls, GENERATED, first + AT_ONCE)
        _run(client, f"{day:%m-%d} {last:,}", last - first, calls_sql(year, first, last))
    for copy in range(_count(client, day) // GENERATED, calls // GENERATED):
        _run(client, f"{day:%m-%d} copy {copy}", GENERATED, copy_sql(day, copy))
    if client.command(f"SELECT count() FROM {OUTCOMES}") == 0:  # noqa: S608
        client.command(
            f"INSERT INTO {OUTCOMES} (tenant_id, call_id, outcome, reason, ended_at, since, version) "  # noqa: S608
            f"SELECT tenant_id, call_id, outcome, 'heard', ended_at, analyzed_at, version FROM {CALLS}",
            settings=FILL_SETTINGS,
        )
    for number in range(1, DAYS_BEFORE + 1):
        of_day = day - timedelta(days=number)
        if not _count(client, of_day):
            _run(client, f"{of_day:%m-%d}", before_calls, narrow_sql(of_day, before_calls, number * before_calls))
    if client.command(f"SELECT count() FROM {OUTCOMES} WHERE ended_at < toDateTime('{day:%Y-%m-%d}', 'UTC')") == 0:  # noqa: S608
        client.command(
            f"INSERT INTO {OUTCOMES} (tenant_id, call_id, outcome, reason, ended_at, since, version) "  # noqa: S608
            f"SELECT tenant_id, call_id, outcome, 'heard', ended_at, analyzed_at, version FROM {CALLS} "
            f"WHERE ended_at < toDateTime('{day:%Y-%m-%d}', 'UTC')",
            settings=FILL_SETTINGS,
        )


def fill_outcomes(client: Client, day: datetime, calls: int, first: int, last: int) -> None:
    """Of those of a year until eight in the evening the ones with these numbers, as they come: pending, then ended,
    with ids that say nothing of the time. Of ten thousand calls one was refused, and has a dead letter; of the last ten
    minutes and of fifty others none has ended. What is there of them is kept."""
    end_ms = int((day + timedelta(hours=20)).timestamp() * 1000)
    step_ms = 365 * 86_400_000 // calls
    call = f"""
        ['acme', 'bright', 'corner', 'delta'][1 + cityHash64(n, 1) % 4] AS tenant_id,
        lower(hex(cityHash64(n))) AS call_id,
        fromUnixTimestamp64Milli(toInt64({end_ms} - ({calls} - n) * {step_ms}), 'UTC') AS ended_at
    """
    newest = f"fromUnixTimestamp64Milli(toInt64({end_ms} - ({calls} - {last - 1}) * {step_ms}), 'UTC')"
    if client.command(f"SELECT count() FROM {OUTCOMES} WHERE ended_at = {newest}"):  # noqa: S608 - numbers of ours
        return
    is_open = f"n % intDiv({calls}, 50) = 0 OR ended_at > fromUnixTimestamp64Milli({end_ms} - 600000, 'UTC')"
    columns = f"INSERT INTO {OUTCOMES} (tenant_id, call_id, outcome, reason, ended_at, since, version)"
    began_s = time.monotonic()
    for begin in range(first, last + OUTCOMES_AT_ONCE, OUTCOMES_AT_ONCE):
        numbers = f"SELECT number + {begin} AS n FROM numbers({max(0, min(OUTCOMES_AT_ONCE, last - begin))})"  # noqa: S608
        pending = f"""{columns} SELECT tenant_id, call_id, 'pending', '', ended_at, ended_at + INTERVAL 20 SECOND, 0
            FROM (SELECT n, {call} FROM ({numbers}))"""  # noqa: S608 - numbers of ours
        # Those before: what is pending and what became of it come in different batches.
        former = (
            f"SELECT number + {begin - OUTCOMES_AT_ONCE} AS n FROM numbers({OUTCOMES_AT_ONCE if begin > first else 0})"  # noqa: S608
        )
        ended = f"""{columns} SELECT tenant_id, call_id, if(n % 10000 = 1, 'refused', 'analyzed'), 'heard',
                if(n % 10000 = 1, NULL, ended_at), ended_at + INTERVAL 70 SECOND,
                if(n % 10000 = 1, 1, 10000000000000 + toUnixTimestamp64Milli(ended_at))
            FROM (SELECT n, {call} FROM ({former})) WHERE n < {last} AND NOT ({is_open})"""  # noqa: S608 - numbers of ours
        for statement in (pending, ended):
            client.command(statement, settings=FILL_SETTINGS)
    client.command(
        f"INSERT INTO {DEAD_LETTERS} (dead_letter_id, step, source_topic, exception_class, tenant_id, call_id, "  # noqa: S608
        "value_bytes, failed_at, version) SELECT lower(hex(SHA256(call_id))), 'listen', 'calls.ended.v1', "
        "'InvalidMessageError', tenant_id, call_id, 100, since, toUnixTimestamp64Milli(since) "
        f"FROM {OUTCOMES} WHERE outcome = 'refused'"
    )
    print(f"outcomes {first:,} to {last:,}: {(last - first) / (time.monotonic() - began_s):,.0f} calls/s", flush=True)


def _run(client: Client, what: str, calls: int, statement: str) -> None:
    began_s = time.monotonic()
    client.command(statement, settings=FILL_SETTINGS)
    print(f"{what}: {calls / (time.monotonic() - began_s):,.0f} calls/s", flush=True)


def _count(client: Client, day: datetime) -> int:
    query = f"SELECT count() FROM {CALLS} WHERE toDate(ended_at) = '{day:%Y-%m-%d}'"  # noqa: S608
    return int(client.query(query).result_rows[0][0])


# --- measuring

# As 0.6.0 asked: all calls of 28 days, for each ten minutes and again each minute.
BEFORE_BASELINES = """
SELECT
    tenant_id, queue, inquiry_type, middle,
    arrayReduce('quantileExactInclusive(0.5)', arrayMap(value -> abs(value - middle), logs)) AS mad,
    length(logs) AS calls
FROM
(
    SELECT
        tenant_id, queue, inquiry_type,
        groupArray(log(assumeNotNull(duration_ms))) AS logs,
        quantileExactInclusive(0.5)(log(assumeNotNull(duration_ms))) AS middle
    FROM calls
    WHERE ended_at >= fromUnixTimestamp64Milli({start:Int64}) AND ended_at < fromUnixTimestamp64Milli({end:Int64})
        AND outcome = 'analyzed' AND duration_ms > 0
        AND (tenant_id, call_id) GLOBAL NOT IN (SELECT tenant_id, call_id FROM blocked_calls)
    GROUP BY tenant_id, queue, inquiry_type
)
"""


def rows_read(client: Client) -> int:
    """From tables, by all queries since the engine was started."""
    query = "SELECT sum(value) FROM system.events WHERE event = 'SelectedRows'"
    return int(client.query(query).result_rows[0][0])


class Measuring:
    """Prints a row of the table for each question."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self, what: str, do: Callable[[], object], runs: int = 3) -> float:
        """Prints what it took and read, and returns the median in seconds."""
        seconds = []
        before = rows_read(self._client)
        for _ in range(runs):
            began_s = time.perf_counter()
            do()
            seconds.append(time.perf_counter() - began_s)
        rows = (rows_read(self._client) - before) // runs
        middle = statistics.median(seconds)
        print(f"| {what} | {middle:.2f} | {max(seconds):.2f} | {rows:,} |", flush=True)
        return middle


BEFORE_COUNTS = "SELECT outcome, count() FROM outcomes GROUP BY outcome"
BEFORE_UNACCOUNTED = (
    "SELECT count(), minOrNull(since) FROM unaccounted WHERE since < fromUnixTimestamp64Milli({before:Int64})"
)
BEFORE_DECIDED = (
    "SELECT count() FROM outcomes WHERE outcome NOT IN ('pending', 'refused', 'not_received') "
    "AND since > fromUnixTimestamp64Milli({after:Int64}) AND since <= fromUnixTimestamp64Milli({now:Int64})"
)

BEFORE_LETTERS = (
    "SELECT step, exception_class, count() AS letters FROM dead_letters WHERE state = 'open' "
    "GROUP BY step, exception_class ORDER BY letters DESC, step, exception_class"
)


def measure_status(client: Client, days: int = 8) -> None:
    """What `status` and `observe` ask, when the newest outcome has come, and what they asked before 0.7.0."""
    moment: datetime = client.query(f"SELECT max(since) FROM {OUTCOMES}").result_rows[0][0]  # noqa: S608
    since, now_ms = moment - timedelta(days=days), int(moment.timestamp() * 1000)
    ms = {"now": now_ms, "before": now_ms - 900_000, "after": now_ms - 300_000}
    timed = Measuring(client)
    print(f"{rows_of(client, OUTCOMES):,} rows of outcomes, in {parts_of(client, OUTCOMES)} parts; ", end="")
    print(f"{rows_of(client, BY_TIME):,} by time, in {parts_of(client, BY_TIME)}")
    print("\n| what | median, s | longest, s | rows read |\n|---|---|---|---|")
    timed("before: outcomes of all time", lambda: client.query(BEFORE_COUNTS).result_rows)
    timed(f"status: outcomes of {days} days", lambda: outcome_counts(client, since=since))
    timed("before: without outcome", lambda: client.query(BEFORE_UNACCOUNTED, parameters=ms).result_rows)
    timed(
        f"status, observe: without outcome, of {days} days",
        lambda: count_unaccounted(client, older_than_s=900, since=since, now=moment),
    )
    timed("before: calls a minute", lambda: client.query(BEFORE_DECIDED, parameters=ms).result_rows)
    timed("status: calls a minute", lambda: calls_per_minute(client, now=moment, minutes=5))
    timed("before: open dead letters", lambda: client.query(BEFORE_LETTERS).result_rows)
    timed(f"status: open dead letters of {days} days", lambda: dead_letter_counts(client, since=since))


def parts_of(client: Client, table: str) -> int:
    """Those that are in use."""
    query = "SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String}"
    return int(client.query(query, parameters={"table": table}).result_rows[0][0])


def rows_of(client: Client, table: str) -> int:
    """Versions included."""
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])  # noqa: S608 - names of ours


def measure(engine: Engine, client: Client, day: datetime) -> None:
    """Prints a table: what, the median and the longest of its runs in seconds."""
    moment = day + timedelta(hours=20)
    start = moment - timedelta(days=28)
    ms = {"start": int(start.timestamp() * 1000), "end": int(moment.timestamp() * 1000)}
    calls = client.query(
        f"SELECT countIf(toDate(ended_at) = '{day:%Y-%m-%d}'), count() FROM {CALLS}"  # noqa: S608
    ).result_rows[0]
    print(f"{calls[0]:,} calls of the day, {calls[1]:,} in all\n\n| what | median, s | longest, s | rows read |")
    print("|---|---|---|---|")
    timed = Measuring(client)
    before_s = timed("baselines before: all calls", lambda: client.query(BEFORE_BASELINES, parameters=ms).result_rows)
    client.command("TRUNCATE TABLE duration_buckets")
    scanned_s = timed("baselines, nothing added up yet", lambda: read_baselines(client, start, moment), 1)
    durations = Durations(ClickHouseDurationBuckets(engine.url), timedelta(days=28))
    timed("adding up 28 days, once", durations.step, 1)
    store = ClickHouseDurationBuckets(engine.url)
    timed("adding up ten minutes", lambda: store.make([moment - timedelta(minutes=10)], store.now()))
    timed("adding up a day of its ten minutes", lambda: store.make_day(day, store.now()))
    after_s = timed("baselines, added up", lambda: read_baselines(client, start, moment))
    late = moment + timedelta(minutes=3)
    timed("baselines, added up, three minutes of calls", lambda: read_baselines(client, start, late))
    print(f"baselines: before / added up {before_s / after_s:.1f}, before / scanned {before_s / scanned_s:.1f}")
    counts = ClickHouseTopicCounts(engine.url)
    timed("watch: six hours of the day", lambda: counts.buckets(moment - timedelta(hours=6), moment))
    judged = ClickHouseJudgedCalls(engine.url)
    timed(
        "keep: the next 500 calls", lambda: judged.page("acme", CallPlace(moment, ""), moment + timedelta(days=1), 500)
    )
    rollups = ClickHouseRollups(engine.url)
    definition = RollupDefinition(read_kpis(), TenantDays("UTC"), 7)
    timed("rollup: what was stored in the last minute", lambda: rollups.touched(definition.days, rollups.now()))
    timed("rollup: KPIs of the day", lambda: rollups.make(day.date(), day.date(), definition, rollups.now()), 1)
    sizes = client.query(
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() "
        "GROUP BY table ORDER BY 3 DESC LIMIT 8"
    ).result_rows
    for table, rows, size in sizes:
        print(f"| `{table}` | {rows:,} rows | {size / max(rows, 1):.1f} bytes a row |")


def peak(engine: Engine, day: datetime, seconds: int) -> None:
    """Batches of 10,000 calls as fast as two writers can, and how many parts there are meanwhile."""
    stored, most, refused = [0, 0], 0, [0, 0]
    ends_s = time.monotonic() + seconds

    def write(number: int) -> None:
        own = connect(engine.url, timeout_s=600)
        at = 0
        while time.monotonic() < ends_s:
            try:
                own.command(
                    f"INSERT INTO {CALLS} SELECT * REPLACE (concat(call_id, '-p{number}-{at}') AS call_id, "  # noqa: S608
                    f"now64(3, 'UTC') AS stored_at) FROM (SELECT * FROM {CALLS} WHERE tenant_id = 'acme' "
                    f"AND ended_at >= '{day:%Y-%m-%d} 12:00:00' LIMIT 10000)"
                )
                stored[number] += 10_000
            except ClickHouseError:
                refused[number] += 1
            at += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    client = connect(engine.url)
    for writer in writers:
        writer.start()
    query = f"SELECT max(n) FROM (SELECT count() AS n FROM system.parts WHERE active AND table = '{CALLS}' GROUP BY partition)"  # noqa: S608, E501
    while any(writer.is_alive() for writer in writers):
        most = max(most, int(client.query(query).result_rows[0][0]))
        time.sleep(1)
    print(f"peak: {sum(stored) / seconds:,.0f} calls/s stored, {most} parts of a month at most, {sum(refused)} refused")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--before-calls", type=int, default=200_000)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--fill-only", action="store_true")
    parser.add_argument("--as-it-is", action="store_true", help="measure what is there, and fill nothing")
    parser.add_argument(
        "--outcomes", type=int, default=0, help="fill outcomes of so many calls of a year, and measure status"
    )
    parser.add_argument("--peak-s", type=int, default=60)
    arguments = parser.parse_args()
    arguments.data_dir.mkdir(parents=True, exist_ok=True)
    engine = Engine(arguments.data_dir)
    engine.start()
    try:
        migrate(engine.url)
        client = connect(engine.url, timeout_s=3_600)
        day = datetime(2026, 11, 30, tzinfo=UTC)
        if arguments.outcomes:
            calls = arguments.outcomes
            if not arguments.as_it_is:
                fill_outcomes(client, day, calls, calls - calls // 10, calls)
                measure_status(client)
                fill_outcomes(client, day, calls, 0, calls - calls // 10)
            measure_status(client)
            return
        if not arguments.as_it_is:
            fill(client, day, arguments.calls, arguments.before_calls)
        if not arguments.fill_only:
            measure_status(client)
            measure(engine, client, day)
            peak(engine, day, arguments.peak_s)
    finally:
        engine.stop()


if __name__ == "__main__":
    main()
