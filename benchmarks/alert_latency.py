"""How soon an alert leaves after the transcript of its call was written, on a running stack.

    python -m benchmarks.alert_latency [--calls 1000] [--rate 50] [--judges 1] [--broker tansu] [--customers]

Transcripts of five minutes, each with something that is worth an alert, are written to `calls.transcribed.v1` at an
even rate. Measured for each call: from the broker's time stamp of the transcript to that of its first alert on
`alerts.raised.v1`, and to its arrival at a webhook on this machine through `notify`. Broker, ClickHouse, `judge`,
`store`, `notify`, the writer and the receiver share the machine.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from benchmarks.judge import SEED, dialogues, five_minutes
from schemas.messages.call_ended import Customer
from schemas.messages.topics import ALERTS_RAISED, CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.kafka.client import Publisher, TopicReader, lags
from streams.embedded.stack import Stack, StackPlan, worker_spec
from streams.settings import Settings, load_settings
from streams.topology import consumer_groups

WARM_UP_CALLS = 24
PROMISE = "我向您保证这款产品绝对不会亏损，完全保本保息"
"""Said by the agent at the end of each call: two rules of the shipped pack alert on it."""
DIFFERENT_CALLS = 48
CUSTOMERS = 200
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OVER_S = 20
"""So long after the last new alert nothing more is expected."""


def calls(count: int, run: str, chance: random.Random, *, customers: bool) -> list[Transcript]:
    """Different calls over and over, each under an id of its own."""
    source = dialogues()
    kinds = [five_minutes(source, chance, number) for number in range(DIFFERENT_CALLS)]
    found = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        key = f"{number % CUSTOMERS:064x}" if customers else None
        ended_at = datetime.now(UTC)
        times = {"started_at": ended_at - timedelta(minutes=5), "ended_at": ended_at}
        call = kind.call.model_copy(update={"call_id": f"{run}-{number}", "customer": Customer(key=key)} | times)
        last = kind.segments[-1 if kind.segments[-1].role == "agent" else -2]
        told = last.model_copy(update={"text": PROMISE, "words": ()})
        segments = tuple(told if each is last else each for each in kind.segments)
        found.append(kind.model_copy(update={"call_id": call.call_id, "call": call, "segments": segments}))
    return found


class Receiver:
    """A webhook that notes when each alert arrived."""

    def __init__(self) -> None:
        self.arrived_s: dict[str, float] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
                receiver.arrived_s.setdefault(body["data"].get("call_id") or "", time.time())
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        Thread(target=self._server.serve_forever, daemon=True).start()


def write(settings: Settings, transcripts: Sequence[Transcript], rate: float) -> float:
    """Seconds that it took; the pace is even."""
    outputs = [CALLS_TRANSCRIBED.record(t) for t in transcripts]
    publisher = Publisher(settings)
    began_s = time.perf_counter()
    for number, output in enumerate(outputs):
        time.sleep(max(0.0, began_s + number / rate - time.perf_counter()))
        publisher.publish([output])
    publisher.close()
    return time.perf_counter() - began_s


def written_s(settings: Settings, topic: str) -> dict[str, float]:
    """Call id → the broker's time of its first record on that topic."""
    reader = TopicReader(settings, topic)
    found: dict[str, float] = {}
    for record in reader.read_to_end():
        call_id = (record.key or b"").decode().partition("/")[2]
        at_s = record.written_at.timestamp()
        found[call_id] = min(at_s, found.get(call_id, at_s))
    reader.close()
    return found


def wait_until_judged(stack: Stack) -> float:
    """Seconds until `judge` has caught up."""
    began_s = time.perf_counter()
    while sum(lag.messages for lag in lags(stack.settings, {"judge": consumer_groups()["judge"]})):
        stack.check()
        time.sleep(0.2)
    return time.perf_counter() - began_s


def processor_s(stack: Stack, judges: int) -> float:
    """Processor time that the judges have used so far."""
    names = ["judge", *(f"judge-{number}" for number in range(1, judges))]
    stats = [Path(f"/proc/{stack.supervisor.pid(name)}/stat").read_text(encoding="utf-8") for name in names]
    ticks = sum(int(field) for stat in stats for field in stat.rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def told(name: str, latencies_s: Sequence[float]) -> None:
    """One line of the table."""
    if len(latencies_s) < 2:
        print(f"  {name}: {len(latencies_s)} calls")
        return
    cuts = statistics.quantiles(latencies_s, n=100)
    print(
        f"  {name}: p50 {cuts[49] * 1000:.0f} ms, p95 {cuts[94] * 1000:.0f} ms, "
        f"max {max(latencies_s) * 1000:.0f} ms, {len(latencies_s)} calls",
        flush=True,
    )


def subscriptions(folder: Path, url: str) -> Path:
    """One subscriber who wants everything that is high."""
    webhook = {"url": url, "secrets": [SECRET], "allow_private": True}
    file = folder / "subscriptions.yaml"
    subscription = {"name": "desk", "tenant": "*", "channel": {"webhook": webhook}}
    file.write_text(yaml.safe_dump({"subscriptions": [subscription]}), encoding="utf-8")
    return file


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--judges", type=int, default=1)
    parser.add_argument("--broker", choices=["tansu", "kafka"], default="tansu")
    parser.add_argument(
        "--customers", action="store_true", help="calls have a customer, so ClickHouse is asked for each"
    )
    parser.add_argument("--no-webhook", action="store_true", help="without notify")
    wanted = parser.parse_args()
    chance = random.Random(SEED)  # noqa: S311 - an example, not a secret
    receiver = Receiver()
    with tempfile.TemporaryDirectory(prefix="callstream-bench-") as name:
        folder = Path(name)
        base = load_settings({}).settings
        if not wanted.no_webhook:
            base = base.model_copy(update={"subscriptions_file": subscriptions(folder, receiver.url)})
        plan = StackPlan(wanted.broker, folder, restart_workers=False, stages=("judge", "store", "notify"))
        with Stack(plan, base) as stack:
            stack.start()
            for number in range(1, wanted.judges):
                spec = worker_spec("judge", number, stack.settings, restart=False)
                stack.supervisor.start(replace(spec, name=f"judge-{number}"))
            write(stack.settings, calls(WARM_UP_CALLS, "warm", chance, customers=wanted.customers), wanted.rate)
            wait_until_judged(stack)
            run = calls(wanted.calls, "run", chance, customers=wanted.customers)
            used_s = processor_s(stack, wanted.judges)
            writing_s = write(stack.settings, run, wanted.rate)
            behind_s = wait_until_judged(stack)
            used_s = processor_s(stack, wanted.judges) - used_s
            transcribed = written_s(stack.settings, CALLS_TRANSCRIBED.name)
            alerted = written_s(stack.settings, ALERTS_RAISED.name)
            ids = [one.call_id for one in run]
            if not wanted.no_webhook:
                seen, at_s = -1, time.monotonic()
                while len(receiver.arrived_s.keys() & set(ids)) < len(ids) and time.monotonic() - at_s < OVER_S:
                    if seen != len(receiver.arrived_s):
                        seen, at_s = len(receiver.arrived_s), time.monotonic()
                    stack.check()
                    time.sleep(0.1)
    print(
        f"{wanted.broker}, {wanted.judges} judge(s), customers {'known' if wanted.customers else 'unknown'}: "
        f"{wanted.calls} calls at {wanted.calls / writing_s:.0f} per second, "
        f"judge done {behind_s:.1f} s after the last was written, "
        f"{used_s / wanted.calls * 1000:.0f} ms of processor time for each"
    )
    told("transcript to alert", [alerted[one] - transcribed[one] for one in ids if one in alerted])
    told(
        "transcript to webhook",
        [receiver.arrived_s[one] - transcribed[one] for one in ids if one in receiver.arrived_s],
    )


if __name__ == "__main__":
    main()
