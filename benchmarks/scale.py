"""How `listen` scales by workers, and what a tenant that floods does to the others.

    python benchmarks/scale.py [--broker tansu|kafka] [--workers 1 2 4 8] [--calls 40] [--seconds 2]
    python benchmarks/scale.py --fairness [--broker tansu|kafka]

A stand-in hears (`speech_engine = stand-in`): each call takes a set time and no processor, so that everything around
recognition shows: broker, object store, register, decoding, voice activity, publishing, committing, and behind it
`judge` and `store`, which run as well. Recordings are one short dialogue, in clear, under ids of their own. Times are
the broker's: when an event was written, and when its transcript was. All ratios are of one run.

Of each number of workers it prints how many calls were heard in a second, which part of workers ÷ seconds per call that
is, and the latency (p50, p95) from event to transcript at 60 % of that rate. `--fairness`: four tenants publish a call
every eight seconds each, first alone, then beside one that has published a hundred times as much.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast
from uuid import uuid4

from schemas.messages.call_ended import Agent, Audio, CallEnded
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_ENDED, CALLS_TRANSCRIBED
from streams.adapters.clickhouse.connection import connect
from streams.adapters.kafka.client import Publisher, TopicReader, lags
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.recordings import recording_key
from streams.demo.examples import example_recordings
from streams.embedded.stack import Stack, StackPlan, worker_spec
from streams.embedded.supervisor import Supervisor
from streams.ports import ObjectStore
from streams.settings import Settings, load_settings

FILE = "s09_mono_logistics"
LONGEST_S = 600.0
SMALL_TENANTS = ("north", "east", "south", "west")
EVERY_S = 8.0
FLOOD = 100


@dataclass(frozen=True)
class Bench:
    """A stack without `listen`, and the recording of all its calls."""

    settings: Settings
    publisher: Publisher
    store: ObjectStore
    recording: bytes

    @classmethod
    def of(cls, stack: Stack) -> "Bench":
        (file,) = [each for each in example_recordings() if each.stem == FILE]
        return cls(stack.settings, Publisher(stack.settings), object_store_from(stack.settings), file.read_bytes())

    def publish(self, tenant: str, count: int) -> set[tuple[str, str]]:
        """So many calls of a tenant, at once; tenant and id of each."""
        now = datetime.now(UTC)
        digest = hashlib.sha256(self.recording).hexdigest()
        calls = []
        for _ in range(count):
            call_id = uuid4().hex
            key = recording_key(tenant, call_id, now, digest[:12], "flac")
            self.store.put(key, self.recording)
            calls.append(
                CallEnded(
                    tenant_id=tenant,
                    call_id=call_id,
                    direction="inbound",
                    started_at=now - timedelta(seconds=60),
                    ended_at=now,
                    agent=Agent(id="A1"),
                    language_hint="zh",
                    audio=Audio(uri=self.store.uri_of(key), sha256=digest, bytes=len(self.recording)),
                )
            )
        self.publisher.publish(CALLS_ENDED.record(call) for call in calls)
        return {(call.tenant_id, call.call_id) for call in calls}

    @contextmanager
    def listening(self, workers: int, folder: Path) -> Iterator[None]:
        """So many workers of `listen`, each of which has heard something."""
        with Supervisor(folder / f"listen-{workers}") as supervisor:
            for number in range(workers):
                supervisor.start(worker_spec("listen", number, self.settings, restart=False))
            self.wait_for(self.publish("warm", 6 * workers))
            yield

    def wait_for(self, calls: set[tuple[str, str]], reader: "Times | None" = None) -> "Times":
        """Until all have a transcript."""
        times = reader or Times(self.settings)
        ends_at_s = time.monotonic() + LONGEST_S
        while not calls <= times.transcribed.keys():
            times.read()
            if time.monotonic() > ends_at_s:
                raise SystemExit(f"{len(calls - times.transcribed.keys())} calls were not heard in {LONGEST_S:.0f} s")
        return times


class Times:
    """When calls were announced and transcribed, in seconds since 1970 by the broker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._since = datetime.now(UTC) - timedelta(seconds=1)
        self.transcribed: dict[tuple[str, str], float] = {}
        self.announced: dict[tuple[str, str], float] = {}

    def read(self) -> None:
        """Everything that was written since this was made."""
        self.announced |= self._written(CALLS_ENDED.name)
        self.transcribed |= self._written(CALLS_TRANSCRIBED.name)
        time.sleep(1)

    def _written(self, topic: str) -> dict[tuple[str, str], float]:
        reader = TopicReader(self._settings, topic, self._since)
        try:
            records = reader.read_to_end()
        finally:
            reader.close()
        if topic == CALLS_TRANSCRIBED.name:
            for outcome, reason in {_outcome_of(record) for record in records} - {(None, None)}:
                raise SystemExit(f"a call was not heard: {outcome}, {reason}")
        keys = ((record, (record.key or b"").decode().partition("/")) for record in records)
        return {(tenant, call): record.written_at.timestamp() for record, (tenant, _, call) in keys}

    def latencies_s(self, calls: set[tuple[str, str]]) -> list[float]:
        """From event to transcript."""
        return sorted(self.transcribed[call] - self.announced[call] for call in calls)


def _outcome_of(record: ConsumerRecord) -> tuple[str | None, str | None]:
    transcript = CALLS_TRANSCRIBED.read(record)
    return transcript.outcome, transcript.outcome_reason


def percentiles(latencies_s: Sequence[float]) -> tuple[float, float]:
    """p50 and p95."""
    cuts = statistics.quantiles(latencies_s, n=20, method="inclusive")
    return cuts[9], cuts[18]


def paced(bench: Bench, per_s: float, count: int) -> set[tuple[str, str]]:
    """So many calls, one after the other in equal intervals."""
    calls: set[tuple[str, str]] = set()
    begins_s = time.monotonic()
    for number in range(count):
        time.sleep(max(begins_s + number / per_s - time.monotonic(), 0))
        calls |= bench.publish("steady", 1)
    return calls


def scale(bench: Bench, workers: Sequence[int], calls_each: int, call_s: float, folder: Path) -> None:
    """A line for each number of workers."""
    print("| workers | calls/s | of workers ÷ seconds per call | p50 s | p95 s |\n|---|---|---|---|---|", flush=True)
    for count in workers:
        with bench.listening(count, folder):
            times = bench.wait_for(bench.publish("batch", calls_each * count))
            moments = sorted(times.transcribed.values())[count : -count or None]  # all are at work in between
            rate = (len(moments) - 1) / (moments[-1] - moments[0])
            steady = Times(bench.settings)
            latencies_s = bench.wait_for(paced(bench, 0.6 * rate, calls_each * count), steady).latencies_s(
                set(steady.transcribed)
            )
        p50_s, p95_s = percentiles(latencies_s)
        print(f"| {count} | {rate:.2f} | {rate * call_s / count:.0%} | {p50_s:.2f} | {p95_s:.2f} |", flush=True)
    behind_s = seconds_until(lambda: all(lag.messages == 0 for lag in lags(bench.settings, BEHIND)))
    client = connect(bench.settings.clickhouse_url.get_secret_value())
    found = client.query("SELECT count() FROM outcomes WHERE outcome = 'analyzed'").first_row
    stored = found[0] if found else 0
    print(f"judge and store had everything {behind_s:.0f} s after the last: {stored} calls analysed in ClickHouse")


BEHIND = {"judge": (CALLS_TRANSCRIBED.name,), "store": (CALLS_ENDED.name, CALLS_TRANSCRIBED.name)}


def seconds_until(holds: Callable[[], bool]) -> float:
    """How long that took."""
    began_s = time.monotonic()
    while not holds():
        if time.monotonic() - began_s > LONGEST_S:
            raise SystemExit(f"it did not come to that in {LONGEST_S:.0f} s")
        time.sleep(0.5)
    return time.monotonic() - began_s


def fairness(bench: Bench, folder: Path, rounds: int) -> None:
    """The others' latency without the flood and beside it."""
    with bench.listening(2, folder):
        alone = of_small_tenants(bench, rounds)
        flood = bench.publish("flood", rounds * FLOOD)
        beside = of_small_tenants(bench, rounds)
        heard = len(flood & beside.transcribed.keys())
    found = {}
    for name, times in (("alone", alone), ("beside the flood", beside)):
        small = {call for call in times.transcribed if call[0] in SMALL_TENANTS}
        found[name] = percentiles(times.latencies_s(small))
        print(f"{name}: {len(small)} calls, p50 {found[name][0]:.2f} s, p95 {found[name][1]:.2f} s", flush=True)
    ratio = found["beside the flood"][1] / found["alone"][1]
    print(f"p95 beside one that published {FLOOD} × as much ÷ p95 alone: {ratio:.2f} (goal ≤ 2)")
    print(f"of the flood's {len(flood)} calls {heard} were heard meanwhile")


def of_small_tenants(bench: Bench, rounds: int) -> Times:
    """Each publishes a call in every round."""
    times = Times(bench.settings)
    calls: set[tuple[str, str]] = set()
    begins_s = time.monotonic()
    for number in range(rounds):
        for place, tenant in enumerate(SMALL_TENANTS):
            at_s = begins_s + EVERY_S * (number + place / len(SMALL_TENANTS))
            time.sleep(max(at_s - time.monotonic(), 0))
            calls |= bench.publish(tenant, 1)
    return bench.wait_for(calls, times)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--broker", choices=("tansu", "kafka"), default="tansu")
    arguments.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments.add_argument("--calls", type=int, default=20, help="for each worker")
    arguments.add_argument("--seconds", type=float, default=2.0, help="that the stand-in takes for a call")
    arguments.add_argument("--fairness", action="store_true")
    arguments.add_argument("--rounds", type=int, default=10, help="of --fairness")
    given = arguments.parse_args()
    call_s: float = given.seconds
    base = load_settings(
        {
            "CALLSTREAM_SPEECH_ENGINE": "stand-in",
            "CALLSTREAM_STAND_IN_EAR": "true",
            "CALLSTREAM_STAND_IN_CALL_S": str(call_s),
            "CALLSTREAM_EMOTION": "false",
            "CALLSTREAM_UNSEALED_RECORDINGS": "hear",
            "CALLSTREAM_LISTEN_AT_ONCE": "2" if given.fairness else "1",
        }
    ).settings
    broker = cast(Literal["tansu", "kafka"], given.broker)
    with tempfile.TemporaryDirectory(prefix="callstream-bench-") as folder:
        plan = StackPlan(broker, Path(folder), restart_workers=False, stages=("judge", "store"))
        with Stack(plan, base) as stack:
            stack.start()
            bench = Bench.of(stack)
            if given.fairness:
                fairness(bench, Path(folder), given.rounds)
            else:
                scale(bench, given.workers, given.calls, call_s, Path(folder))


if __name__ == "__main__":
    main()
