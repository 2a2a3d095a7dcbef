"""How many calls a second `store` takes in, and what of it limits: decoding, making rows, or the insert.

    python -m benchmarks.store_throughput [--batches 1000,10000] [--calls 20000]

Calls are judged by the shipped rules, with dialogues of the example calls, and go through the real `Store` and
`ClickHouseSink` into an embedded engine that starts empty. Every call has an id, an agent, a customer and a time of its
own. Calls a second: by processor time, which other work on the machine changes little, of decoding, of making rows, and
of the insert in this process (`client`) and in ClickHouse (`engine`, merges included); by the clock, of the insert and
of the whole.
"""

import argparse
import gc
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.judge import NOW, SEED, dialogues, five_minutes
from processors.judging.pipeline import Judge, JudgeSettings
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import load_rule_packs
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.embedded.clickhouse_engine import engine_url, is_ready, start_command
from streams.embedded.ports import free_port
from streams.ports import Rows, SystemClock
from streams.stages.store import Store

DIFFERENT_CALLS = 40
AGENTS = 200
CUSTOMERS = 5_000
GAP_S = 3


@dataclass
class Parts:
    """Seconds by what they were spent on."""

    decode_s: float = 0
    process_s: float = 0
    client_s: float = 0
    engine_s: float = 0
    insert_clock_s: float = 0
    all_clock_s: float = 0

    @property
    def rows_s(self) -> float:
        """What this process did that was neither decoding nor the insert."""
        return self.process_s - self.decode_s - self.client_s


class TimedSink:
    """The real sink, with a watch."""

    def __init__(self, sink: ClickHouseSink, parts: Parts, engine_pid: int) -> None:
        self._sink = sink
        self._parts = parts
        self._engine_pid = engine_pid

    def write(self, rows: Rows) -> None:
        started_s, processor_s, engine_s = time.perf_counter(), time.process_time(), processor_time_s(self._engine_pid)
        self._sink.write(rows)
        self._parts.engine_s += processor_time_s(self._engine_pid) - engine_s
        self._parts.insert_clock_s += time.perf_counter() - started_s
        self._parts.client_s += time.process_time() - processor_s


def processor_time_s(pid: int) -> float:
    """What a process has used so far, all threads."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_engine(folder: Path) -> Iterator[tuple[str, int]]:
    """URL and process id of an engine that is gone afterwards."""
    port = free_port()
    with subprocess.Popen(start_command(folder, port)) as process:
        try:
            url = engine_url(folder, port)
            while not is_ready(url):
                time.sleep(0.1)
            yield url, process.pid
        finally:
            process.kill()


def originals() -> list[tuple[Transcript, CallAnalysis]]:
    """Calls of five minutes with their judgement."""
    judge = Judge(JudgeSettings(), rulebooks=Rulebooks(load_rule_packs()))
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    transcripts = [five_minutes(dialogues(), chance, number) for number in range(DIFFERENT_CALLS)]
    return [(transcript, judge.judge(transcript, NOW)) for transcript in transcripts]


def messages(
    source: Sequence[tuple[Transcript, CallAnalysis]], numbers: range, *, transcripts: bool
) -> Iterator[ConsumerRecord]:
    """The messages of those calls, as they lie in the topics."""
    for number in numbers:
        transcript, analysis = source[number % len(source)]
        ended_at = NOW + timedelta(seconds=GAP_S * number)
        customer = analysis.call.customer.model_copy(update={"key": f"{number % CUSTOMERS:064x}"})
        call = analysis.call.model_copy(
            update={
                "call_id": f"call-{number}",
                "agent": analysis.call.agent.model_copy(update={"id": f"A{number % AGENTS}"}),
                "customer": customer,
                "started_at": ended_at - timedelta(minutes=5),
                "ended_at": ended_at,
            }
        )
        same = {"call_id": call.call_id, "call": call, "transcribed_at": ended_at}
        if transcripts:
            value = transcript.model_copy(update=same).encode()
            yield ConsumerRecord(CALLS_TRANSCRIBED.name, 0, number, None, value)
        value = analysis.model_copy(update=same | {"analyzed_at": ended_at}).encode()
        yield ConsumerRecord(CALLS_ANALYZED.name, 0, number, None, value)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of this process."""
    started_s, processor_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started_s, time.process_time() - processor_s


def measured(
    engine: tuple[str, int],
    source: Sequence[tuple[Transcript, CallAnalysis]],
    calls: int,
    batch: int,
    *,
    transcripts: bool,
) -> Parts:
    """All calls in batches, after one batch that is not counted."""
    url, pid = engine
    client = connect(url)
    for warm in (True, False):
        parts = Parts()
        store = Store(TimedSink(ClickHouseSink(client), parts, pid), SystemClock())
        for first in range(0, batch if warm else calls, batch):
            records = list(messages(source, range(first, first + batch), transcripts=transcripts))
            parts.decode_s += seconds(lambda: decoded(records))[1]  # noqa: B023 - called at once
            clock_s, processor_s = seconds(lambda: store.work(records))  # noqa: B023
            parts.all_clock_s += clock_s
            parts.process_s += processor_s
    client.close()
    return parts


def decoded(records: Sequence[ConsumerRecord]) -> None:
    """Each message, and none kept, as `store` does it."""
    topics = {topic.name: topic for topic in (CALLS_ANALYZED, CALLS_TRANSCRIBED)}
    gc.disable()
    for raw in records:
        topics[raw.topic].decode(raw.value)
    gc.enable()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="1000,10000", help="calls in a batch, several sizes with commas between")
    parser.add_argument("--calls", type=int, default=20_000, help="calls of each row of the table")
    options = parser.parse_args()
    source = originals()
    analyses = [analysis for _transcript, analysis in source]
    print(f"{sum(len(a.encode()) for a in analyses) / len(analyses) / 1000:.1f} kB of JSON an analysis, ", end="")
    print(
        f"{sum(len(a.findings) for a in analyses) / len(analyses):.1f} findings, {len(analyses[0].measures)} measures; "
    )
    print(f"{sum(len(t.encode()) for t, _ in source) / len(source) / 1000:.1f} kB a transcript")
    print("| calls in a batch | messages | decoded | made rows | client | engine | insert by clock | all by clock |")
    print("|---|---|---|---|---|---|---|---|")
    for transcripts in (False, True):
        for batch in map(int, options.batches.split(",")):
            with (
                tempfile.TemporaryDirectory(prefix="callstream-bench-") as folder,
                running_engine(Path(folder)) as engine,
            ):
                migrate(engine[0])
                calls = -(-options.calls // batch) * batch
                p = measured(engine, source, calls, batch, transcripts=transcripts)
                what = "analyses and transcripts" if transcripts else "analyses"
                spent_s = (p.decode_s, p.rows_s, p.client_s, p.engine_s, p.insert_clock_s, p.all_clock_s)
                speeds = " | ".join(f"{calls / part_s:,.0f}" for part_s in spent_s)
                print(f"| {batch:,} | {what} | {speeds} |", flush=True)


if __name__ == "__main__":
    main()
