"""A running stack under broken records and broken recordings: every worker lives, every call that can be told is told.

At night: it is fed for two minutes, or as many as `FUZZ_MINUTES` says; `FUZZ_SEED` repeats a run.
"""

import json
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from schemas.errors import InvalidMessageError
from schemas.messages.call_ended import CallEnded
from schemas.messages.records import ProducerRecord, call_of_key
from schemas.messages.topics import CALLS_ENDED, TOPICS
from streams.adapters.kafka.client import Publisher, lags
from streams.embedded.stack import Stack
from streams.ports import SystemClock
from streams.stages.capture import event_for
from streams.topology import consumer_groups
from tests.processors.recordings import example_calls
from tests.support.mutations import broken_bytes, broken_json
from tests.support.sealing import Sealing
from tests.support.stack import log_tails, rows, running_stack, wait_until

pytestmark = [pytest.mark.embedded, pytest.mark.model, pytest.mark.long]

MINUTES = float(os.environ.get("FUZZ_MINUTES", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "20261129"))
EXAMPLES = Path(__file__).parents[1] / "examples"
SHORT = example_calls()["s08_misdial"].data
TENANT = "fuzz"


def broken_recordings(stack: Stack, publisher: Publisher, chance: random.Random, first: int) -> list[str]:
    """Events that are right, of recordings that are not; their calls."""
    sealing = Sealing.of(stack.settings)
    calls = []
    for number in range(first, first + 5):
        data = broken_bytes(SHORT, chance) or b"\0"
        call = event_for({"tenant_id": TENANT, "call_id": f"sound-{number}"}, data, None, ended_at=SystemClock().now())
        publisher.publish([CALLS_ENDED.record(sealing.put(call, data, "flac"))])
        calls.append(call.call_id)
    return calls


def broken_records(publisher: Publisher, chance: random.Random, first: int) -> list[str]:
    """Records on every topic, under keys of calls; the calls of those that are events."""
    calls, records = [], []
    for topic in TOPICS:
        examples = sorted((EXAMPLES / topic.name).glob("*.json"))
        for number in range(first, first + 5):
            message = json.loads(chance.choice(examples).read_text(encoding="utf-8"))
            value = chance.randbytes(chance.randrange(300)) if chance.random() < 0.1 else broken_json(message, chance)
            if len(value) > topic.message.max_bytes:
                continue
            key = f"{TENANT}/{topic.name}-{number}".encode()
            if topic is CALLS_ENDED:
                try:
                    event = CallEnded.decode(value)
                    key = CALLS_ENDED.key(event)
                except InvalidMessageError:
                    pass
                call = call_of_key(key)
                if call is not None:
                    calls.append("/".join(call))
            records.append(ProducerRecord(topic.name, key, value))
    publisher.publish(records)
    return calls


def test_every_worker_lives_and_every_event_is_accounted_for(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with running_stack("tansu", tmp_path, {"dead_letter_streak_limit": 1_000_000}, restart_workers=False) as stack:
        publisher = Publisher(stack.settings)
        ends_at_s = time.monotonic() + MINUTES * 60
        events: set[str] = set()
        turn = 0
        while time.monotonic() < ends_at_s:
            events |= {f"{TENANT}/{call}" for call in broken_recordings(stack, publisher, chance, turn * 5)}
            events |= set(broken_records(publisher, chance, turn * 5))
            turn += 1
            stack.check()  # a worker that has ended fails the test with its log
            time.sleep(0.5)
        publisher.close()

        def all_is_read() -> bool:
            return all(lag.messages == 0 for lag in lags(stack.settings, consumer_groups()))

        wait_until(stack, all_is_read, lambda: f"everything to be read, seed {SEED}", within_s=300)
        found: dict[str, str] = {}

        def all_are_accounted_for() -> bool:
            found.clear()
            for row in rows(stack, "SELECT tenant_id, call_id, outcome FROM outcomes"):
                found[f"{row['tenant_id']}/{row['call_id']}"] = row["outcome"]
            return not [call for call in events if found.get(call, "pending") == "pending"]

        wait_until(
            stack,
            all_are_accounted_for,
            lambda: f"outcomes of {sorted(call for call in events if found.get(call, 'pending') == 'pending')[:5]}",
            within_s=120,
        )
        assert turn > 0
        assert Counter(found[call] for call in events if call.startswith(f"{TENANT}/sound-"))
        assert "this is a bug" not in log_tails(stack)
