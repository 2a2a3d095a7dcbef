"""A tombstone outranks every later message of its call: each stage that could bring it back is tried."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processors.clickhouse.rows import CALLS, CUSTODY_EVENTS, DEAD_LETTERS, OUTCOMES, TRANSCRIPTS
from processors.custody.ports import CallPurgedError
from processors.custody.purge import PurgeOrder
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import (
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_RATED,
    CALLS_REANALYZED,
    CALLS_TRANSCRIBED,
    CUSTODY_CHANGED,
)
from streams.adapters.register.register import Register
from streams.ports import Rows
from streams.runtime.buried import BuriedCalls
from streams.runtime.stage import Stage
from streams.stages.store import Store
from tests.streams.stages.intake_house import FACTS, house_in
from tests.support.later_clock import LaterClock
from tests.support.purging import purge_house
from tests.support.stored_calls import Call

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
GONE, KEPT = Call("gone"), Call("kept")


class Tombs:
    """`Tombstones` that say what a test wants, and count how often they are asked."""

    def __init__(self, *calls: tuple[str, str]) -> None:
        self.calls = set(calls)
        self.asked = 0

    def among(self, calls: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        self.asked += 1
        return frozenset(self.calls.intersection(calls))


class Written:
    """A sink that keeps rows."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {}

    def write(self, rows: Rows) -> None:
        for table, more in rows.items():
            self.rows.setdefault(table, []).extend(more)

    def calls(self, table: str) -> list[str]:
        return [row["call_id"] for row in self.rows.get(table, [])]


def record(produced: ProducerRecord, offset: int = 0) -> ConsumerRecord:
    return ConsumerRecord(produced.topic, 0, offset, produced.key, produced.value, NOW)


def messages_of(call: Call) -> list[ProducerRecord]:
    rated = CALLS_RATED.decode(
        b'{"tenant_id":"acme","call_id":"%s","rated_at":"2026-03-31T13:00:00Z","source":"crm","resolved":true}'
        % call.call_id.encode()
    )
    return [
        CALLS_ENDED.record(call.event),
        CALLS_TRANSCRIBED.record(call.transcript()),
        CALLS_ANALYZED.record(call.analysis()),
        CALLS_REANALYZED.record(call.analysis(version=2)),
        CALLS_RATED.record(rated),
    ]


def test_store_takes_nothing_of_a_destroyed_call_but_what_became_of_it() -> None:
    sink, told = Written(), CustodyChanged.of("call_purged", tenant_id="acme", call_id="gone", actor="keeper", at=NOW)
    batch = [*messages_of(GONE), *messages_of(KEPT), CUSTODY_CHANGED.record(told)]
    store = Store(sink, LaterClock(timedelta()), tombstones=Tombs(("acme", "gone")))

    assert not store.work([record(each, offset) for offset, each in enumerate(batch)])

    for table in (CALLS, TRANSCRIPTS, OUTCOMES):
        assert set(sink.calls(table)) == {"kept"}, table
    assert sink.calls(CUSTODY_EVENTS) == ["gone"]


def test_what_was_done_with_a_destroyed_call_is_stored_again_without_digests() -> None:
    digest = "ab" * 32
    letters = [
        DeadLetter(
            dead_letter_id=f"letter-{call}",
            step="listen",
            source_topic=CALLS_ENDED.name,
            source_partition=0,
            source_offset=1,
            exception_class="ConflictingCallError",
            tenant_id="acme",
            call_id=call,
            value_sha256=digest,
            value_bytes=9,
            failed_at=NOW,
        )
        for call in ("gone", "kept")
    ]
    events = [
        CustodyChanged.of(
            "intake_announced", tenant_id="acme", call_id=call, actor="callstream", at=NOW, content_sha256=digest
        )
        for call in ("gone", "kept")
    ]
    batch = [*map(CUSTODY_CHANGED.record, events), *map(CALLS_DEAD_LETTERS.record, letters)]
    sink = Written()
    Store(sink, LaterClock(timedelta()), tombstones=Tombs(("acme", "gone"))).work(
        [record(each, offset) for offset, each in enumerate(batch)]
    )
    for table, column in ((CUSTODY_EVENTS, "content_sha256"), (DEAD_LETTERS, "value_sha256")):
        assert {row["call_id"]: row[column] for row in sink.rows[table]} == {"gone": None, "kept": digest}, table


def stage_with(
    tombs: Tombs, saved: list[str], while_working: Callable[[], None] = lambda: None
) -> Stage[Any, Any, Any]:
    """What `listen`, `receive` and `judge` are: the same class."""

    def step(transcript: Any) -> Any:
        while_working()
        return Call(transcript.call_id).analysis()

    return Stage(
        "judge",
        CALLS_TRANSCRIBED,
        load=lambda transcript: transcript,
        step=step,
        save=lambda _loaded, analysis: saved.append(analysis.call_id),
        target=CALLS_ANALYZED,
        clock=LaterClock(timedelta()),
        tombstones=tombs,
    )


class TestStages:
    def test_a_message_of_a_destroyed_call_is_dropped(self) -> None:
        saved: list[str] = []
        stage = stage_with(Tombs(("acme", "gone")), saved)
        assert stage.handle(record(CALLS_TRANSCRIBED.record(GONE.transcript()))) == ()
        assert len(stage.handle(record(CALLS_TRANSCRIBED.record(KEPT.transcript())))) == 1
        assert saved == ["kept"]

    def test_a_call_that_is_destroyed_while_it_is_worked_on_leaves_nothing(self) -> None:
        saved: list[str] = []
        tombs = Tombs()
        stage = stage_with(tombs, saved, while_working=lambda: tombs.calls.add(("acme", "gone")))
        assert stage.handle(record(CALLS_TRANSCRIBED.record(GONE.transcript()))) == ()
        assert saved == []

    def test_what_cannot_be_sealed_any_more_is_no_failure(self) -> None:
        def save(_loaded: Any, _result: Any) -> None:
            raise CallPurgedError

        stage = Stage(
            "listen",
            CALLS_TRANSCRIBED,
            load=lambda transcript: transcript,
            step=lambda transcript: Call(transcript.call_id).analysis(),
            save=save,
            target=CALLS_ANALYZED,
            clock=LaterClock(timedelta()),
        )
        assert stage.handle(record(CALLS_TRANSCRIBED.record(GONE.transcript()))) == ()


class TestMemory:
    def test_a_tombstone_is_remembered_and_its_absence_for_moments_alone(self) -> None:
        tombs, now_s = Tombs(("acme", "gone")), [0.0]
        buried = BuriedCalls(tombs, lambda: now_s[0], keep_s=2)
        for _ in range(5):
            assert buried.among([("acme", "gone"), ("acme", "kept")]) == {("acme", "gone")}
        assert tombs.asked == 1
        tombs.calls.add(("acme", "kept"))
        now_s[0] = 2.5
        assert buried.among([("acme", "kept")]) == {("acme", "kept")}
        assert buried.is_buried("acme", "kept")
        assert tombs.asked == 2


def test_a_recording_that_is_sent_again_is_gone_and_leaves_no_object(register: Register, tmp_path: Path) -> None:
    intake = house_in(register, tmp_path / "in")
    house = purge_house(register, tmp_path / "objects")
    first = intake.take()
    assert first.created
    house.purger().purge(PurgeOrder("acme", "request", "li_na"), ["c1"])
    objects = len(intake.objects)

    with pytest.raises(CallPurgedError):
        intake.take()

    assert len(intake.objects) == objects
    assert len(intake.events) == 1
    assert intake.sweep.step().announced == 0
    assert FACTS["call_id"] == "c1"


def test_a_call_that_is_destroyed_while_it_comes_in_is_not_announced(register: Register, tmp_path: Path) -> None:
    intake = house_in(register, tmp_path / "in")
    house = purge_house(register, tmp_path / "objects")

    def chunks() -> Any:
        yield b"RIFF" + bytes(400)
        house.purger().purge(PurgeOrder("acme", "request", "li_na"), ["c1"])
        yield bytes(400)

    with pytest.raises(CallPurgedError):
        intake.take(data=chunks())

    assert intake.events == []
    intake.clock.pass_(timedelta(days=2))
    intake.sweep.step()
    intake.clock.pass_(timedelta(days=2))
    intake.sweep.step()
    assert intake.objects == []
