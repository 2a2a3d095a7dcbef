"""How long taking in takes: recordings uploaded over HTTP to a worker `serve` on loopback, sealed, stored, announced.

    python benchmarks/capture.py
    python benchmarks/capture.py --broker kafka --uploads 200

Prints, for uploads one after the other, for fifty at once and for a tenfold peak: `capture_ms` as the answers tell it
(from the last byte to the acknowledgement of Kafka), how long whole uploads took, and how many were lost (0, or it ends
with 1). Senders do as docs/api.md asks: 429, 503 and no answer are tried again.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from streams.adapters.register.api_keys import RegisterApiKeys
from streams.adapters.register.register import Register
from streams.embedded.stack import Broker, Stack, StackPlan
from streams.ports import SystemClock
from streams.settings import load_settings

STAGES = ("serve", "relay", "sweep")
GIVEN_UP_AFTER_S = 600.0


@dataclass(frozen=True)
class Upload:
    """What came of one: null where it was lost."""

    capture_ms: int | None
    took_s: float
    refused: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("tansu", "kafka"), default="tansu")
    parser.add_argument("--uploads", type=int, default=100, help="one after the other")
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--mb", type=float, default=10, help="of a recording; of one in the peak a tenth of it")
    options = parser.parse_args()
    size = int(options.mb * 1_000_000)
    with tempfile.TemporaryDirectory(prefix="callstream-capture-") as folder:
        broker: Broker = "kafka" if options.broker == "kafka" else "tansu"
        base = load_settings().settings.model_copy(update={"data_dir": Path(folder)})
        with Stack(StackPlan(broker, Path(folder), stages=STAGES), base) as stack:
            stack.start()
            sender = Sender(stack)
            sender.warm_up()
            lost = report(
                "one after the other", size, [sender.send(f"single{n}", size) for n in range(options.uploads)]
            )
            lost += report(f"{options.at_once} at once", size, sender.together("usual", options.at_once, size))
            lost += report(
                f"{10 * options.at_once} at once", size // 10, sender.together("peak", 10 * options.at_once, size // 10)
            )
    return 1 if lost else 0


class Sender:
    """Sends recordings of random bytes with a key of its own."""

    def __init__(self, stack: Stack) -> None:
        register = Register.of(stack.settings)
        keys = RegisterApiKeys(register, SystemClock())
        self._key = keys.issue("bench", "capture", ["recordings:write"], None, actor="benchmark").text
        register.close()
        self._url = f"http://127.0.0.1:{stack.settings.serve_port}/v1/recordings"

    def warm_up(self) -> None:
        """Until the worker answers."""
        for number in range(3):
            self.send(f"warm{number}", 100_000)

    def together(self, name: str, count: int, size: int) -> list[Upload]:
        """All begin at the same moment."""
        begin = threading.Barrier(count)

        def one(number: int) -> Upload:
            begin.wait()
            return self.send(f"{name}{number}", size)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    def send(self, call_id: str, size: int) -> Upload:
        """As often as it takes."""
        event = {
            "call_id": call_id,
            "direction": "inbound",
            "agent": {"id": "A1"},
            "started_at": "2026-03-02T10:00:00+08:00",
            "ended_at": "2026-03-02T10:10:00+08:00",
        }
        data = os.urandom(size)
        parts: list[tuple[str, tuple[str | None, str | bytes, str]]] = [
            ("event", (None, json.dumps(event), "application/json")),
            ("file", ("a.wav", data, "audio/wav")),
        ]
        headers = {"Authorization": f"Bearer {self._key}"}
        began_s, refused = time.monotonic(), 0
        while time.monotonic() - began_s < GIVEN_UP_AFTER_S:
            try:
                answer = httpx.post(self._url, files=parts, headers=headers, timeout=120, trust_env=False)
            except httpx.TransportError:
                refused, pause_s = refused + 1, 1.0
            else:
                if answer.status_code in (200, 201):
                    return Upload(answer.json()["capture_ms"], time.monotonic() - began_s, refused)
                if answer.status_code not in (429, 503):
                    break
                refused, pause_s = refused + 1, float(answer.headers["retry-after"])
            time.sleep(pause_s)
        return Upload(None, time.monotonic() - began_s, refused)


def report(name: str, size: int, uploads: Sequence[Upload]) -> int:
    """Print a line; how many were lost."""
    captured = sorted(each.capture_ms for each in uploads if each.capture_ms is not None)
    took = sorted(each.took_s for each in uploads)
    lost = len(uploads) - len(captured)
    sys.stdout.write(
        f"{name}, {size / 1e6:g} MB each: {len(captured)} taken in, {lost} lost, "
        f"{sum(each.refused for each in uploads)} answers to come again; capture_ms p50 {quantile(captured, 0.5)}, "
        f"p95 {quantile(captured, 0.95)}, most {captured[-1] if captured else '-'}; "
        f"whole uploads p50 {quantile(took, 0.5):.2f} s, p95 {quantile(took, 0.95):.2f} s\n"
    )
    sys.stdout.flush()
    return lost


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least so large a share does not exceed; of sorted ones. NaN where there are none."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


if __name__ == "__main__":
    raise SystemExit(main())
