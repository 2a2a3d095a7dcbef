"""How long it takes to find calls among millions, what a call costs on the disk, and how fast calls are stored.

    python -m benchmarks.search --calls 10000000 --data-dir /var/tmp/search-10m [--json 10m.json] [--compare 1m.json]

Starts the embedded engine on the data directory, fills its tables with calls of `benchmarks/realistic_calls.py` where
they are not there yet (a year of them, month by month; what is there is kept), and searches through
`streams.queries.search.search`, as `callstream search` does. Prints for each dimension

* **cold**: the first search after the engine was started again, with every file of the data directory dropped from the
  page cache (`posix_fadvise(POSIX_FADV_DONTNEED)`, which needs no rights; what another process maps stays);
* **warm**: the searches that follow, with values that change.

The values change from search to search, so that a result is not merely remembered. `--compare` prints, beside each
number, how many times that of an earlier run it is. `--sql FILE` times queries of a file (`-- name` above each), such
as those of KPI views.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from benchmarks.realistic_calls import (
    INQUIRY_TYPES,
    QUEUES,
    RARE_SENSITIVE_WORD,
    RARE_TOPIC,
    SENSITIVE_WORDS,
    TEAM_SIZE,
    TENANTS,
    WORD_TABLE,
    Year,
    calls_sql,
    characters,
    outcomes_sql,
    transcripts_sql,
    vocabulary,
)
from processors.clickhouse.rows import CALLS, OUTCOMES, TRANSCRIPTS
from processors.clickhouse.search_sql import SearchQuery
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.embedded.clickhouse_engine import engine_url, is_ready, start_command
from streams.embedded.ports import free_port
from streams.queries.search import search

START = datetime(2025, 7, 1, tzinfo=UTC)
TEXTS = "search_text_versions"
BLOCK_CALLS = 210_000
"""Calls of one part: four parts a month at 10 million calls, as merges would leave them."""
FILL_SETTINGS = {
    "min_insert_block_size_rows": BLOCK_CALLS,
    "min_insert_block_size_bytes": 0,
    "max_block_size": 16_384,
    "max_insert_threads": 2,
    "max_threads": 2,
    "max_partitions_per_insert_block": 0,
}
BATCH_CALLS = 10_000
"""Calls of one write, when the throughput of the store is measured."""


class Engine:
    """The embedded engine on a data directory, which can be started cold."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return engine_url(self.data_dir, self.port)

    def start(self) -> None:
        self._process = subprocess.Popen(start_command(self.data_dir, self.port))
        while not is_ready(self.url):
            if self._process.poll() is not None:
                raise SystemExit("the engine did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
            self._process = None

    def restart_cold(self) -> Client:
        """With nothing of the data in memory."""
        self.stop()
        for file in self.data_dir.rglob("*"):
            with contextlib.suppress(OSError):
                if file.is_file() and not file.is_symlink():
                    descriptor = os.open(file, os.O_RDONLY)
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(descriptor)
        self.start()
        return connect(self.url)


# --- filling


def fill(client: Client, year: Year) -> None:
    """The calls of each month, where they are not there yet."""
    client.command(f"CREATE DATABASE IF NOT EXISTS {WORD_TABLE.split('.')[0]}")
    client.command(
        f"CREATE TABLE IF NOT EXISTS {WORD_TABLE} (rank UInt32, word String) ENGINE = MergeTree ORDER BY rank"
    )
    if client.command(f"SELECT count() FROM {WORD_TABLE}") == 0:  # noqa: S608
        rows = [[rank, word] for rank, word in enumerate(vocabulary())]
        client.insert(WORD_TABLE, rows, column_names=["rank", "word"])
    for table in (CALLS, TRANSCRIPTS, TEXTS, OUTCOMES):
        # Merging while filling would write everything several times.
        client.command(f"ALTER TABLE {table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1")
    for first, last in reversed(list(year.months())):
        begin, end = (START + timedelta(days=-(-number // year.per_day)) for number in (first, last))
        for table, statement in ((CALLS, calls_sql), (TRANSCRIPTS, transcripts_sql), (OUTCOMES, outcomes_sql)):
            began_s = time.monotonic()
            there = _count(client, table, begin, end)
            if there == last - first:
                continue
            if there and table != OUTCOMES:
                for each in (table, TEXTS) if table == TRANSCRIPTS else (table,):
                    client.command(f"ALTER TABLE {each} DROP PARTITION {begin:%Y%m}")
            client.command(statement(year, first, last), settings=FILL_SETTINGS)
            rate = (last - first) / (time.monotonic() - began_s)
            print(f"{begin:%Y-%m} {table}: {last - first} rows, {rate:,.0f} a second", flush=True)


def _count(client: Client, table: str, begin: datetime, end: datetime) -> int:
    query = f"SELECT count() FROM {table} WHERE ended_at >= {{begin:DateTime}} AND ended_at < {{end:DateTime}}"  # noqa: S608
    times = {"begin": begin.replace(tzinfo=None), "end": end.replace(tzinfo=None)}
    return int(client.query(query, parameters=times).result_rows[0][0])


# --- searching


@dataclass(frozen=True)
class Dimension:
    """A kind of search: its conditions for the search of that number."""

    name: str
    conditions: Callable[[int], Mapping[str, Any]]


def dimensions(client: Client, year: Year) -> list[Dimension]:
    """What people search by, from frequent to absent."""
    words = vocabulary()
    letters = characters()
    known = _known(client, year)

    def says(text: str, role: str | None = None) -> dict[str, Any]:
        return {"phrases": [{"text": text, "role": role}]}

    def step(text: str) -> dict[str, Any]:
        return {"said": {"text": text, "role": "agent"}, "within_ms": 30_000}

    def no_step(text: str) -> dict[str, Any]:
        return {**step(text), "absent": True}

    def agent(number: int) -> str:
        return f"A{number * 7 % 240:04d}"

    def day(number: int) -> dict[str, Any]:
        since = START + timedelta(days=number * 13 % 360)
        return {"since": since, "until": since + timedelta(days=1)}

    return [
        Dimension("newest calls", lambda _: {}),
        Dimension("one day", day),
        Dimension("call id", lambda n: {"call_ids": [known[n % len(known)][0]]}),
        Dimension("agent", lambda n: {"agents": [agent(n)]}),
        Dimension("agent and day", lambda n: {"agents": [agent(n)], **day(n)}),
        Dimension("team", lambda n: {"teams": [f"acme-{n % (240 // TEAM_SIZE)}"]}),
        Dimension("customer phone", lambda n: {"customer_keys": [known[n % len(known)][1]]}),
        Dimension("order id", lambda n: {"order_ids": [known[n % len(known)][2]]}),
        Dimension("queue", lambda n: {"queues": [QUEUES[n % len(QUEUES)]]}),
        Dimension("inquiry type", lambda n: {"inquiry_types": [INQUIRY_TYPES[n % len(INQUIRY_TYPES)]]}),
        Dimension("topic, frequent", lambda n: {"topics": [f"topic_{n % 3}"]}),
        Dimension("topic, rare", lambda _: {"topics": [RARE_TOPIC]}),
        Dimension("risk high", lambda _: {"risks": ["high"]}),
        Dimension("any sensitive word", lambda _: {"sensitive": True}),
        Dimension("sensitive word", lambda n: {"words": [SENSITIVE_WORDS[n % len(SENSITIVE_WORDS)]]}),
        Dimension("sensitive word, rare", lambda _: {"words": [RARE_SENSITIVE_WORD]}),
        Dimension("rule", lambda n: {"rules": [f"rule_{n % 150}"]}),
        Dimension("rule, absent", lambda n: {"rules": [f"rule_{1000 + n}"]}),
        Dimension("score 98..100", lambda _: {"score_min": 98}),
        Dimension("agitation 0.99..", lambda _: {"agitation_min": 0.99}),
        Dimension("duration over 15 min", lambda n: {"duration_min_ms": 900_000 + n}),
        Dimension("duration, absent", lambda n: {"duration_min_ms": 90_000_000 + n}),
        Dimension("outcome no_audio", lambda _: {"outcomes": ["no_audio"]}),
        Dimension(
            "agent, risk, topic, score",
            lambda n: {"agents": [agent(n)], "risks": ["high"], "topics": ["topic_9"], "score_max": 70},
        ),
        Dimension("keyword, frequent (1 in 7)", lambda _: says("退款")),
        Dimension("keyword, frequent, customer", lambda _: says("退款", "customer")),
        Dimension("keyword, medium (1 in 1,000)", lambda _: says("学费分期")),
        Dimension("keyword, rare (1 in 500,000)", lambda _: says("蓝鲸计划")),
        Dimension("keyword, absent", lambda n: says(letters[3400 + n % 90] + letters[3499 - n % 90])),
        Dimension("word of the vocabulary, frequent", lambda n: says(words[10 + n])),
        Dimension("word of the vocabulary, medium", lambda n: says(words[3_000 + n])),
        Dimension("word of the vocabulary, rare", lambda n: says(words[59_000 + n])),
        Dimension("long phrase (1 in 5,000)", lambda _: says("转人工客服经理")),
        Dimension("phrase of two words", lambda n: says(words[40 + n] + words[60 + n])),
        Dimension(
            "phrase of three frequent words", lambda n: says(words[n % 9] + words[n % 7 + 9] + words[n % 5 + 16])
        ),
        Dimension("phrase of three words, rare", lambda n: says(words[20 + n] + words[50 + n] + words[90 + n])),
        Dimension("said by the wrong side", lambda _: says("蓝鲸计划", "agent")),
        Dimension("Latin and digits", lambda _: says("WiFi 6E-2024")),
        Dimension("one character, frequent", lambda n: says(letters[n])),
        Dimension("keyword and agent", lambda n: {"agents": [agent(n)], **says("退款", "customer")}),
        Dimension(
            "keyword, risk, queue", lambda n: {"risks": ["high"], "queues": [QUEUES[n % len(QUEUES)]], **says("退款")}
        ),
        Dimension("medium keyword and agent", lambda n: {"agents": [agent(n)], **says("学费分期")}),
        Dimension("rare keyword and risk", lambda _: {"risks": ["high"], **says("蓝鲸计划")}),
        Dimension("keyword and rare topic", lambda _: {"topics": [RARE_TOPIC], **says("退款")}),
        Dimension("keyword and one day", lambda n: {**day(n), **says("学费分期")}),
        Dimension("not said, frequent", lambda _: {"not_phrases": [{"text": "退款"}]}),
        Dimension(
            "keyword, frequent, and not said",
            lambda n: {**says("退款", "customer"), "not_phrases": [{"text": words[n]}]},
        ),
        Dimension("steps: frequent, followed by frequent", lambda n: {**says("退款"), "steps": [step(words[10 + n])]}),
        Dimension(
            "steps: frequent, not followed by frequent", lambda n: {**says("退款"), "steps": [no_step(words[n])]}
        ),
        Dimension("steps: frequent, followed by rare", lambda n: {**says("退款"), "steps": [step(words[59_000 + n])]}),
        Dimension("steps: medium, not followed", lambda n: {**says("学费分期"), "steps": [no_step(words[n])]}),
        Dimension(
            "steps: a rule, not followed", lambda n: {"rules": [f"rule_{n % 150}"], "steps": [no_step(words[n])]}
        ),
    ]


def _known(client: Client, year: Year) -> list[tuple[str, str, str]]:
    """Call id, customer and order of some calls of the whole year."""
    step = max(1, year.calls // 400)
    query = f"""
        SELECT call_id, customer_key, order_id FROM {CALLS}
        WHERE tenant_id = 'acme' AND order_id IS NOT NULL AND toUInt64(substring(call_id, 3)) % {step} = 0
        ORDER BY cityHash64(call_id) LIMIT 200
    """  # noqa: S608
    return [(str(row[0]), str(row[1]), str(row[2])) for row in client.query(query).result_rows]


def searched(client: Client, conditions: Mapping[str, Any], tenants: Sequence[str]) -> tuple[float, int]:
    """Seconds and hits of one page."""
    query = SearchQuery.model_validate({"tenants": tenants, **conditions})
    began_s = time.perf_counter()
    page = search(client, query)
    return time.perf_counter() - began_s, len(page.hits)


def measure(
    engine: Engine, wanted: Sequence[Dimension], cold_runs: int, warm_runs: int, tenants: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Name → seconds, cold and warm, of searches over these tenants."""
    results: dict[str, dict[str, float]] = {}
    for dimension in wanted:
        cold, warm, hits = [], [], 0
        for number in range(cold_runs):
            client = engine.restart_cold()
            client.command("SELECT 1")
            cold.append(searched(client, dimension.conditions(number), tenants)[0])
            client.close()
        client = connect(engine.url)
        for number in range(warm_runs):
            seconds, hits = searched(client, dimension.conditions(number + 10), tenants)
            warm.append(seconds)
        client.close()
        results[dimension.name] = {**_summary("cold", cold), **_summary("warm", warm), "hits": hits}
        print(_line(dimension.name, results[dimension.name]), flush=True)
    return results


def _summary(name: str, seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    at_95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return {f"{name} p50": statistics.median(ordered), f"{name} p95": at_95, f"{name} max": ordered[-1]}


COLUMNS = ("cold p50", "cold p95", "cold max", "warm p50", "warm p95", "warm max")


def _line(name: str, result: Mapping[str, float]) -> str:
    cells = [f"{result[column]:.3f}" if column in result else "" for column in COLUMNS]
    return f"| {name} | " + " | ".join(cells) + f" | {result.get('hits', 0):.0f} |"


def time_queries(client: Client, queries: Mapping[str, str], runs: int) -> dict[str, dict[str, float]]:
    """Name → seconds of a query, read to its end."""
    results: dict[str, dict[str, float]] = {}
    for name, query in queries.items():
        seconds, rows = [], 0
        for _ in range(runs):
            began_s = time.perf_counter()
            rows = len(client.query(query).result_rows)
            seconds.append(time.perf_counter() - began_s)
        results[name] = {"cold max": seconds[0], **_summary("warm", seconds[1:] or seconds), "hits": rows}
        print(_line(name, results[name]), flush=True)
    return results


def queries_of(file: Path) -> dict[str, str]:
    """Queries of a file, each below a line `-- name`."""
    found: dict[str, str] = {}
    name = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("-- "):
            name = line.removeprefix("-- ").strip()
        elif name:
            found[name] = f"{found.get(name, '')}{line}\n"
    return {name: query.strip().rstrip(";") for name, query in found.items() if query.strip()}


# --- size and throughput


def bytes_per_call(client: Client, calls: int) -> dict[str, float]:
    """Table → bytes on the disk for each call; of the text, how much is index."""
    rows = client.query(
        "SELECT table, sum(bytes_on_disk), sum(secondary_indices_compressed_bytes) FROM system.parts "
        "WHERE active AND database = currentDatabase() GROUP BY table HAVING sum(rows) > 1000 ORDER BY table"
    ).result_rows
    sizes: dict[str, float] = {}
    for table, total, index in rows:
        sizes[table] = total / calls
        sizes[f"{table}, of it indexes"] = index / calls
    return sizes


def throughput(engine: Engine, batches: int) -> float:
    """Calls per second through the sink of `store`, in batches of `BATCH_CALLS`, into empty tables beside the others.

    A call is its row, its transcript and its outcome. The rows are read from the tables that were filled, and made new
    calls before the clock runs.
    """
    source = connect(engine.url)
    url = engine_url(engine.data_dir, engine.port, "callstream_throughput")
    source.command("DROP DATABASE IF EXISTS callstream_throughput")
    migrate(url)
    client = connect(url)
    sink = ClickHouseSink(client)
    seconds = 0.0
    for number in range(batches):
        rows = {table: _rows_of(source, table, number) for table in (CALLS, TRANSCRIPTS, OUTCOMES)}
        began_s = time.perf_counter()
        sink.write(rows)
        seconds += time.perf_counter() - began_s
    client.close()
    source.command("DROP DATABASE callstream_throughput")
    source.close()
    return batches * BATCH_CALLS / seconds


def _rows_of(client: Client, table: str, number: int) -> list[dict[str, object]]:
    order = f"ORDER BY ended_at LIMIT {BATCH_CALLS} OFFSET {number * BATCH_CALLS}"
    query = f"SELECT * FROM {table} WHERE tenant_id = 'acme' {order}"  # noqa: S608
    return [dict(row) for row in client.query(query).named_results()]


# --- the command


@contextlib.contextmanager
def _data_dir(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="callstream-search-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000_000, help="calls of one year (default %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="kept and used again; by default a folder that is removed")
    parser.add_argument("--cold-runs", type=int, default=3, help="cold searches of each dimension")
    parser.add_argument("--warm-runs", type=int, default=20, help="warm searches of each dimension")
    parser.add_argument(
        "--all-tenants",
        action="store_true",
        help="search the calls of all tenants; else of the largest, which has 60 %%",
    )
    parser.add_argument("--only", default="", help="dimensions with this text in their name")
    parser.add_argument("--batches", type=int, default=10, help="batches that are stored to measure the throughput")
    parser.add_argument("--sql", type=Path, help="a file of queries to be timed, too")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--compare", type=Path, help="results of an earlier run")
    parser.add_argument("--fill-only", action="store_true", help="fill, and measure nothing")
    options = parser.parse_args()
    year = Year(options.calls, START)
    with _data_dir(options.data_dir) as data_dir:
        engine = Engine(data_dir)
        engine.start()
        try:
            migrate(engine.url)
            client = connect(engine.url)
            fill(client, year)
            if not options.fill_only:
                _report(engine, client, year, options)
        finally:
            engine.stop()


def _report(engine: Engine, client: Client, year: Year, options: argparse.Namespace) -> None:
    wanted = [each for each in dimensions(client, year) if options.only in each.name]
    tenants = TENANTS if options.all_tenants else TENANTS[:1]
    sizes = bytes_per_call(client, year.calls)
    client.close()
    print(f"\n| search, seconds | {' | '.join(COLUMNS)} | hits |\n|---|{'---|' * (len(COLUMNS) + 1)}")
    results: dict[str, Any] = {
        "calls": year.calls,
        "searches": measure(engine, wanted, options.cold_runs, options.warm_runs, tenants),
    }
    if options.sql:
        client = engine.restart_cold()
        results["queries"] = time_queries(client, queries_of(options.sql), 1 + options.warm_runs)
        client.close()
    results["bytes_per_call"] = sizes
    print("\n| on the disk | bytes for each call |\n|---|---|")
    for table, size in sizes.items():
        print(f"| {table} | {size:.0f} |")
    if options.batches:
        results["calls_per_second"] = throughput(engine, options.batches)
        print(f"\nstored {results['calls_per_second']:,.0f} calls a second in batches of {BATCH_CALLS}")
    if options.compare:
        _compare(json.loads(options.compare.read_text(encoding="utf-8")), results)
    if options.json:
        options.json.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    print(f"\n| from {before['calls']:,} to {after['calls']:,} calls, times | cold p50 | warm p50 |\n|---|---|---|")
    for name, result in after["searches"].items():
        former = before["searches"].get(name, {})
        cells = [
            f"{result[column] / former[column]:.1f}" if column in result and former.get(column) else ""
            for column in ("cold p50", "warm p50")
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
