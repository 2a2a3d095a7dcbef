"""How fast history is judged again: from the object store, in processes, against the topic, as it was before 0.4.

    python -m benchmarks.replay [--calls 2000] [--repeats 3] [--workers 2]

Both sides judge the same calls of five minutes by the shipped rules, ask ClickHouse about each of them, and write what
comes out to Kafka, in turns and in this run: the topic one after the other in one process, the store with the same
settings in one process and in several. What it takes until all are ready is told apart. Processor time of all
processes stands beside the time of the clock, because it hardly depends on what else the machine does; ClickHouse and
the broker are not in it. What is sealed, compressed and written for each call is measured on the way.
"""

import argparse
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks.judge import dialogues, five_minutes
from processors.judging.pipeline import Judge
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import load_rule_packs
from schemas.messages.topics import CALLS_REANALYZED, CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.history import ClickHouseHistory
from streams.adapters.clickhouse.risks import StoredRisks
from streams.adapters.kafka.client import Publisher, TopicReader
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.transcripts import StoredObject
from streams.analysis import judge_settings
from streams.cli.replay import BatchJudgeBuilder
from streams.embedded.stack import Stack, StackPlan
from streams.ports import SystemClock
from streams.runtime.processes import in_processes, in_this_process
from streams.runtime.replay_progress import ReplayProgress
from streams.settings import Settings, load_settings
from streams.stages.replay import BATCH_CALLS, Replay, ReplayBatch, ReplayWindow
from streams.wiring import transcript_store_from

SEED = 7
DAYS = 20
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = ReplayWindow(FIRST, FIRST + timedelta(days=DAYS + 1))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--calls", type=int, default=2_000)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--workers", type=int, default=2)
    given = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="callstream-bench-") as folder,
        Stack(StackPlan("tansu", Path(folder), stages=(), restart_workers=False), load_settings({}).settings) as stack,
    ):
        stack.start()
        settings = stack.settings
        fill(settings, given.calls)
        sides: dict[str, Callable[[], Run]] = {
            "topic, one process": partial(from_the_topic, settings),
            "store, one process": partial(from_the_store, settings, 1),
            f"store, {given.workers} processes": partial(from_the_store, settings, given.workers),
        }
        runs: dict[str, list[Run]] = {name: [] for name in sides}
        for repeat in range(given.repeats):
            for name, side in sides.items():
                run = side()
                assert run.calls == given.calls, (name, run)  # noqa: S101
                runs[name].append(run)
                told = f"{run.rate:.1f} calls/s, {run.processor_ms:.0f} ms of processor time each"
                print(f"repeat {repeat + 1}: {name}: {told}, ready after {run.ready_s:.1f} s", flush=True)
    before = runs["topic, one process"]
    for name, each in runs.items():
        ratio = statistics.median(ours.rate / theirs.rate for ours, theirs in zip(each, before, strict=True))
        processor_ms = statistics.median(run.processor_ms for run in each)
        rate = statistics.median(run.rate for run in each)
        print(f"{name}: median {rate:.1f} calls/s, {ratio:.2f} of the topic's, {processor_ms:.0f} ms of processor time")


@dataclass(frozen=True)
class Run:
    """One side, once."""

    calls: int
    ready_s: float
    work_s: float
    processor_s: float

    @property
    def rate(self) -> float:
        """Calls per second, once everything was ready."""
        return self.calls / self.work_s

    @property
    def processor_ms(self) -> float:
        """Of all processes for each call, what made them ready included."""
        return self.processor_s * 1000 / self.calls


class Watch:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._began_s, self._processor_s = time.perf_counter(), processor_s()
        self._ready_s = self._done_s = 0.0

    def ready(self) -> None:
        """The work begins."""
        self._ready_s = time.perf_counter()

    def end(self, calls: int) -> Run:
        """Processes that were started must have ended."""
        return Run(
            calls,
            self._ready_s - self._began_s,
            self._done_s - self._ready_s,
            processor_s() - self._processor_s,
        )

    def done(self) -> None:
        """The work has ended."""
        self._done_s = time.perf_counter()


def processor_s() -> float:
    """Of this process, and of those that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def fill(settings: Settings, count: int) -> None:
    """The same calls in the topic and in the store."""
    chance = random.Random(SEED)  # noqa: S311 - an example, not a secret
    source = dialogues()
    calls = [on_day(five_minutes(source, chance, number), number % DAYS) for number in range(count)]
    publisher = Publisher(settings)
    for start in range(0, count, 100):
        publisher.publish(CALLS_TRANSCRIBED.record(call) for call in calls[start : start + 100])
    publisher.close()
    store = object_store_from(settings)
    transcripts = transcript_store_from(settings, store)
    began_s = time.perf_counter()
    for call in calls:
        transcripts.save(call)
    each_ms = (time.perf_counter() - began_s) * 1000 / count
    plain = statistics.mean(len(call.encode()) for call in calls)
    sealed = statistics.mean(entry.bytes for entry in store.entries("transcripts/"))
    print(f"{count} transcripts of {plain:.0f} bytes lie as {sealed:.0f}; {each_ms:.1f} ms to save each")


def on_day(transcript: Transcript, day: int) -> Transcript:
    """The same call on that day."""
    call = transcript.call
    moved = FIRST + timedelta(days=day, hours=9)
    call = call.model_copy(update={"started_at": moved, "ended_at": moved + (call.ended_at - call.started_at)})
    return transcript.model_copy(update={"call": call})


def from_the_store(settings: Settings, workers: int) -> Run:
    """As `callstream replay` does it."""
    watch = Watch()
    build = BatchJudgeBuilder(settings, load_rule_packs(), alerts=False)
    transcripts = transcript_store_from(settings, object_store_from(settings))
    publisher = Publisher(settings)
    with (
        ReplayProgress(settings.data_dir / "replay") as kept,
        in_this_process(build) if workers == 1 else in_processes(build, workers) as judged,
    ):
        nothing = ReplayBatch((StoredObject("nothing", None),), WINDOW)
        list(judged([nothing] * workers))
        watch.ready()
        kept.begin({})
        report = Replay(transcripts, judged, publisher).run(WINDOW, kept)
        watch.done()
    publisher.close()
    return watch.end(report.judged)


def from_the_topic(settings: Settings) -> Run:
    """As `callstream replay` did it before 0.4."""
    watch = Watch()
    judge = Judge(judge_settings(settings), rulebooks=Rulebooks(load_rule_packs(), days=settings.days))
    former, clock, judged = StoredRisks(connect(settings.clickhouse_url.get_secret_value())), SystemClock(), 0
    source, publisher = TopicReader(settings, CALLS_TRANSCRIBED.name), Publisher(settings)
    with ClickHouseHistory.of(settings) as history:
        watch.ready()
        while not source.is_at_end:
            calls = [CALLS_TRANSCRIBED.decode(record.value) for record in source.read(BATCH_CALLS, 0.5)]
            former.risks(calls)
            publisher.publish(
                CALLS_REANALYZED.record(judge.judge(call, clock.now(), history.background(call.call))) for call in calls
            )
            judged += len(calls)
        watch.done()
    source.close()
    publisher.close()
    return watch.end(judged)


if __name__ == "__main__":
    main()
