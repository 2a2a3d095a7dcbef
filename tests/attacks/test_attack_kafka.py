"""Attacks on what is read from Kafka: times that producers make up, errors in the middle, records of any shape."""

import json
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord, call_of_key
from streams.adapters.kafka import client
from streams.adapters.kafka.client import BatchConsumer
from streams.adapters.kafka.fetcher import KafkaAccessError, moment
from streams.ports import Rows
from streams.runtime.loop import Streak, TooManyFailuresError
from streams.settings import Settings
from streams.stages.store import Store
from streams.topology import STAGES
from tests.streams.adapters.test_kafka_client import FULL_STEP, RECORD, ScriptedFetcher, ScriptedMember
from tests.support.mutations import broken_json

EXAMPLES = Path(__file__).parents[1] / "examples"
YEARS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("stamp_ms", [-1, 0, -(2**63), 2**63 - 1, 253_402_300_800_000, -62_135_596_800_001])
def test_a_time_that_a_producer_made_up_is_within_what_every_column_holds(stamp_ms: int) -> None:
    assert YEARS[0] <= moment(stamp_ms) < YEARS[1]


MOMENTS = (
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59.999Z"),
    *("2262-04-12T00:00:00Z", "2105-12-31T23:59:59.999999-14:00", "0000-01-01T00:00:00Z", "+10000-01-01T00:00:00Z"),
    *("2026-03-01T10:00:00+99:99", "2026-06-30T23:59:60Z", "-62135596800", -1, 1e30, "1e400"),
)


class NoSink:
    def write(self, rows: Rows) -> None: ...


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


def leaves(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, (*path, key))
    else:
        yield path, node


def with_value(message: Any, path: tuple[str | int, ...], value: object) -> bytes:
    changed = json.loads(json.dumps(message))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(changed).encode()


def examples() -> Iterator[tuple[str, Any]]:
    for topic in (read.topic for stage in STAGES if stage.name == "store" for read in stage.reads):
        for file in sorted((EXAMPLES / topic.name).glob("*.json")):
            yield topic.name, json.loads(file.read_text(encoding="utf-8"))


def test_no_time_in_any_message_stops_the_store() -> None:
    store = Store(NoSink(), Now())
    tried = 0
    for topic, message in examples():
        for path, value in leaves(message):
            if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
                for moment in MOMENTS:
                    store.batch_of([ConsumerRecord(topic, 0, 0, b"acme/x", with_value(message, path, moment))])
                    tried += 1
    assert tried > 400


@pytest.mark.parametrize("seed", [3, 14, 159])
def test_other_broken_messages_than_those_of_the_suite_are_rows_or_dead_letters(seed: int) -> None:
    chance = random.Random(seed)
    store = Store(NoSink(), Now())
    for topic, message in examples():
        for _ in range(20):
            value = broken_json(message, chance)
            key = chance.choice([None, b"", b"/", b"acme/", b"/x", b"acme/x/y", b"\xff/\xff", b"a" * 1_000, b"Acme/x"])
            batch = store.batch_of([ConsumerRecord(topic, 0, 0, key, value)])
            for letter in batch.dead_letters:
                assert len(letter.value or b"") < 20_000
            assert call_of_key(key) is None or key in (b"acme/x",)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            [FULL_STEP, RetryableError("nobody answers"), [16], []],
            [FULL_STEP, RetryableError, [16]],
            id="a second step that raises, and one that does not",
        ),
        pytest.param(
            [FULL_STEP, KafkaAccessError("reading", "refused"), RetryableError("nobody answers"), [16]],
            [FULL_STEP, KafkaAccessError, RetryableError, [16]],
            id="a refusal, and another error after it",
        ),
        pytest.param(
            [RetryableError("nobody answers"), FULL_STEP, []],
            [RetryableError, FULL_STEP],
            id="nothing was read yet",
        ),
    ],
)
def test_no_record_is_dropped_because_of_an_error_beside_it(
    monkeypatch: pytest.MonkeyPatch, script: list[Any], expected: list[Any]
) -> None:
    monkeypatch.setattr(client, "Consumer", ScriptedMember)
    monkeypatch.setattr(client, "Fetcher", ScriptedFetcher)
    monkeypatch.setattr(ScriptedMember, "script", [], raising=False)
    monkeypatch.setattr(ScriptedFetcher, "script", list(script), raising=False)
    consumer = BatchConsumer(Settings(), "store", [RECORD.topic])
    for outcome in expected:
        if isinstance(outcome, type):
            with pytest.raises(outcome):
                consumer.poll(500, 0.1)
        else:
            assert [record.offset for record in consumer.poll(500, 0.1)] == outcome


@pytest.mark.parametrize(
    ("left_behind", "length"),
    [("", 0), ("-7", 0), ("²", 0), ("4\n9", 0), ("٣", 3), (" 4 \n", 4), ("99999999999999999999", 10**20 - 1)],
)
def test_a_count_that_was_left_behind_in_any_shape_goes_on(tmp_path: Path, left_behind: str, length: int) -> None:
    file = tmp_path / "streak"
    file.write_text(left_behind, encoding="utf-8")
    streak = Streak("listen refused", 5, file)
    if length >= 4:
        with pytest.raises(TooManyFailuresError):
            streak.count()
    else:
        streak.count()
    assert file.read_text(encoding="utf-8") == f"{length + 1}\n"
    streak.reset()
    assert file.read_text(encoding="utf-8") == "0\n"


def test_a_message_that_is_refused_and_one_that_is_not_by_turns_never_break_the_breaker(tmp_path: Path) -> None:
    """Unless two are refused between: what is counted is what goes wrong in a row, over restarts."""
    file = tmp_path / "streak"
    for _ in range(10):
        streak = Streak("listen refused", 3, file)
        streak.count()
        streak.count()
        Streak("listen refused", 3, file).reset()
    Streak("listen refused", 3, file).count()
    Streak("listen refused", 3, file).count()
    with pytest.raises(TooManyFailuresError):
        Streak("listen refused", 3, file).count()
