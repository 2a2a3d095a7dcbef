"""`store`: rows are written, then offsets committed; what cannot be read is accounted for; nothing is lost."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processors.clickhouse.rows import CALLS, DEAD_LETTERS, FACTS, OUTCOMES, TRANSCRIPTS
from schemas.errors import RetryableError, UnreadableBatchError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.dead_letter import DeadLetter, dead_letter_for
from schemas.messages.fact_received import FactReceived
from schemas.messages.message import Message
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import (
    AUDIT_CHECKPOINTS,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_REANALYZED,
    CALLS_TRANSCRIBED,
    FACTS_RECEIVED,
    LANE_OF,
    TOPICS,
    TRANSCRIPTS_RECEIVED,
    key_of_fact,
    message_key,
)
from schemas.messages.transcript import Transcript
from streams.adapters.memory.broker import MemoryBroker, MemoryConsumer
from streams.ports import PublisherPort, Rows, RowsRefusedError, WorkSource
from streams.runtime.lanes import Lanes
from streams.runtime.loop import Loop, PollWorkPublishCommit, TooManyFailuresError
from streams.stages.store import REFUSALS_LIMIT, RELEASE, STORE, Store, StoredTopics
from streams.topology import consumer_groups
from tests.processors.transcripts import said
from tests.support.processes import eventually
from tests.support.shipped_rules import shipped_judge

HISTORY_GROUP = "store.history"
NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
EVERY_TOPIC = tuple(topic.name for topic in TOPICS if topic not in (TRANSCRIPTS_RECEIVED, AUDIT_CHECKPOINTS))
"""That it reads."""
KEY = b"acme/c-1"
WORDS = "我的卡号是六二二二零二"
TRANSCRIPT = said(("agent", "这款产品保本保息"), ("customer", WORDS), industry="finance")
ANALYSIS = shipped_judge().judge(TRANSCRIPT, NOW)
BEYOND_ANY_COLUMN = 2**70


class FixedClock:
    def now(self) -> datetime:
        return NOW


class RecordingSink:
    """Keeps the rows; fails as often as it is told to, after having written half of them."""

    def __init__(self, failures: int = 0) -> None:
        self.written: list[tuple[str, Mapping[str, object]]] = []
        self.failures = failures
        self.before_write: Callable[[], None] = lambda: None

    def write(self, rows: Rows) -> None:
        self.before_write()
        every = [(table, row) for table, table_rows in rows.items() for row in table_rows]
        if self.failures:
            self.failures -= 1
            self.written.extend(every[: len(every) // 2])
            raise RetryableError("ClickHouse does not answer")
        self.written.extend(every)

    def rows(self, table: str) -> list[Mapping[str, object]]:
        return [row for name, row in self.written if name == table]


class Pipeline:
    """A store on a broker in memory."""

    def __init__(self, *, failures: int = 0, batch_messages: int = 500) -> None:
        self.broker = MemoryBroker()
        self.sink = RecordingSink(failures)
        self.consumer = self.broker.consumer(STORE, EVERY_TOPIC)
        self.source: WorkSource = self.consumer
        self.publisher: PublisherPort = self.broker
        self.store = Store(self.sink, FixedClock())
        self.batch_messages = batch_messages
        self.max_wait_s = 0.01

    def loop(self, stop: threading.Event) -> Loop:
        """As the worker runs it."""
        cycle = PollWorkPublishCommit(
            STORE,
            self.source,
            self.store.work,
            self.publisher,
            stop,
            self.max_wait_s,
            batch=self.batch_messages,
            wait_s=0.01,
        )
        return Loop(STORE, cycle.step, stop, self.max_wait_s, recover=cycle.recover)

    def take(self, records: Sequence[ConsumerRecord]) -> None:
        """One turn of the loop on these records; what fails is raised."""
        self.publisher.publish(self.store.work(records))
        self.source.commit(records)

    def send(self, topic: str, value: bytes | None, key: bytes | None = KEY) -> None:
        log = self.broker.records[topic]
        log.append(ConsumerRecord(topic, 0, len(log), key, value))

    def send_message(self, topic: str, message: Message) -> None:
        self.send(topic, message.encode())

    def committed(self) -> dict[str, int]:
        return {topic: offset for (_group, topic), offset in self.broker.committed.items()}

    def dead_letters(self) -> list[DeadLetter]:
        return [DeadLetter.decode(record.value) for record in self.broker.records[CALLS_DEAD_LETTERS.name]]

    def run_until(self, condition: Callable[[], bool]) -> None:
        with self.running():
            assert eventually(condition, give_up_after_s=10)

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        failures: list[BaseException] = []

        def run() -> None:
            try:
                self.loop(stop).run()
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)
        assert not thread.is_alive()
        assert failures == []


def one_of_each(pipeline: Pipeline) -> None:
    pipeline.send_message(CALLS_ENDED.name, TRANSCRIPT.call)
    pipeline.send_message(CALLS_TRANSCRIBED.name, TRANSCRIPT)
    pipeline.send_message(CALLS_ANALYZED.name, ANALYSIS)


def outcomes(pipeline: Pipeline) -> list[tuple[object, object, object]]:
    return [(row["tenant_id"], row["call_id"], row["outcome"]) for row in pipeline.sink.rows(OUTCOMES)]


class TestRows:
    def test_one_message_of_each_topic_becomes_its_rows(self) -> None:
        pipeline = Pipeline()
        one_of_each(pipeline)
        pipeline.run_until(lambda: len(pipeline.committed()) == 3)
        assert Counter(table for table, _row in pipeline.sink.written) == {CALLS: 1, TRANSCRIPTS: 1, OUTCOMES: 2}
        assert outcomes(pipeline) == [("acme", "c-1", "pending"), ("acme", "c-1", "analyzed")]
        assert "保本" in str(pipeline.sink.rows(CALLS)[0]["findings.matched"])

    def test_there_is_no_topic_that_it_cannot_take(self) -> None:
        pipeline = Pipeline()
        for topic in EVERY_TOPIC:
            pipeline.send(topic, None)
        batch = pipeline.store.batch_of(pipeline.consumer.poll(100, 0))
        refused = {DeadLetter.decode(output.value).source_topic for output in batch.dead_letters}
        assert refused == set(EVERY_TOPIC) - {*LANE_OF, CALLS_TRANSCRIBED.name}
        assert {table: len(rows) for table, rows in batch.rows.items()} == {OUTCOMES: len(LANE_OF)}

    def test_a_batch_holds_no_more_messages_than_it_may(self) -> None:
        pipeline = Pipeline(batch_messages=2)
        sizes: list[int] = []
        for _ in range(5):
            pipeline.send_message(CALLS_ENDED.name, TRANSCRIPT.call)
        pipeline.sink.before_write = lambda: sizes.append(len(pipeline.sink.written))
        pipeline.run_until(lambda: pipeline.committed().get(CALLS_ENDED.name) == 5)
        assert sizes == [0, 2, 4]


class TestOffsets:
    def test_they_move_after_the_insert_and_not_before(self) -> None:
        pipeline = Pipeline()
        one_of_each(pipeline)
        committed_at_write: list[dict[str, int]] = []
        pipeline.sink.before_write = lambda: committed_at_write.append(pipeline.committed())
        pipeline.run_until(lambda: bool(pipeline.committed()))
        assert committed_at_write == [{}]
        assert pipeline.committed() == {CALLS_ENDED.name: 1, CALLS_TRANSCRIBED.name: 1, CALLS_ANALYZED.name: 1}

    def test_they_stay_while_clickhouse_does_not_answer_and_then_every_row_is_written(self) -> None:
        pipeline = Pipeline(failures=3)
        one_of_each(pipeline)
        committed_at_write: list[dict[str, int]] = []
        pipeline.sink.before_write = lambda: committed_at_write.append(pipeline.committed())
        pipeline.run_until(lambda: len(pipeline.committed()) == 3)
        assert committed_at_write == [{}] * 4
        # Three halves that were thrown away, and the whole.
        assert Counter(table for table, _row in pipeline.sink.written[-4:]) == {CALLS: 1, TRANSCRIPTS: 1, OUTCOMES: 2}

    def test_what_came_meanwhile_is_written_too(self) -> None:
        pipeline = Pipeline(failures=1)
        pipeline.send_message(CALLS_ENDED.name, TRANSCRIPT.call)

        def publish_more_once() -> None:
            pipeline.sink.before_write = lambda: None
            pipeline.send_message(CALLS_ANALYZED.name, ANALYSIS)

        pipeline.sink.before_write = publish_more_once
        pipeline.run_until(lambda: len(pipeline.committed()) == 2)
        assert set(outcomes(pipeline)) == {("acme", "c-1", "pending"), ("acme", "c-1", "analyzed")}

    def test_they_stay_while_the_dead_letter_is_not_durable(self) -> None:
        pipeline = Pipeline()
        pipeline.publisher = FailsOnce(pipeline.broker)
        pipeline.send(CALLS_ANALYZED.name, b"no JSON")
        records = pipeline.consumer.poll(10, 0)
        with pytest.raises(RetryableError):
            pipeline.take(records)
        assert (pipeline.committed(), pipeline.dead_letters()) == ({}, [])
        pipeline.take(records)
        assert pipeline.committed() == {CALLS_ANALYZED.name: 1}
        assert len(pipeline.dead_letters()) == 1

    def test_a_commit_that_fails_means_that_the_rows_come_again(self) -> None:
        pipeline = Pipeline()
        pipeline.source = CommitFailsOnce(pipeline.broker)
        pipeline.send_message(CALLS_ENDED.name, TRANSCRIPT.call)
        pipeline.run_until(lambda: pipeline.committed() == {CALLS_ENDED.name: 1})
        assert outcomes(pipeline) == [("acme", "c-1", "pending")] * 2

    def test_a_second_member_goes_on_where_the_first_has_committed(self) -> None:
        pipeline = Pipeline()
        pipeline.send_message(CALLS_ENDED.name, TRANSCRIPT.call)
        pipeline.run_until(lambda: bool(pipeline.committed()))
        pipeline.send_message(CALLS_ANALYZED.name, ANALYSIS)
        successor = pipeline.broker.consumer(STORE, EVERY_TOPIC)
        assert [record.topic for record in successor.poll(10, 0)] == [CALLS_ANALYZED.name]


class FailsOnce:
    """A publisher whose first attempt is not acknowledged."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.failures = 1

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        if self.failures:
            self.failures -= 1
            raise RetryableError("Kafka did not take 1 of 1 message(s)")
        self._broker.publish(outputs)


class CommitFailsOnce(MemoryConsumer):
    """A consumer whose first commit is not taken."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker, STORE, EVERY_TOPIC)
        self._failures = 1

    def commit(self, records: Sequence[ConsumerRecord]) -> None:
        if self._failures:
            self._failures -= 1
            raise RetryableError("Kafka did not take the offsets")
        super().commit(records)


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(None, id="a tombstone"),
            pytest.param(b"", id="nothing"),
            pytest.param(b"\xff\xfe", id="bad UTF-8"),
            pytest.param(b"{}", id="no fields"),
        ],
    )
    def test_a_call_event_is_pending_under_its_key_and_left_to_listen(self, value: bytes | None) -> None:
        pipeline = Pipeline()
        pipeline.send(CALLS_ENDED.name, value, b"acme/c-9")
        pipeline.run_until(lambda: bool(pipeline.committed()))
        assert outcomes(pipeline) == [("acme", "c-9", "pending")]
        assert pipeline.dead_letters() == []

    def test_a_batch_of_call_events_is_pending_under_its_place_and_then_refused(self) -> None:
        pipeline = Pipeline()
        batch = ConsumerRecord(CALLS_ENDED.name, 0, 9, None, None, NOW, unreadable="the batch … cannot be read")
        pipeline.take([batch])
        letter = dead_letter_for("listen", batch, None, UnreadableBatchError([batch.unreadable]), NOW)
        pipeline.send(CALLS_DEAD_LETTERS.name, CALLS_DEAD_LETTERS.record(letter).value)
        pipeline.take(pipeline.consumer.poll(10, 0))
        place = ("unknown", "calls.ended.v1/0/9")
        assert outcomes(pipeline) == [(*place, "pending"), (*place, "refused")]

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param(None, id="no key"),
            pytest.param(b"13800138000", id="a key of another system"),
            pytest.param("acme/王小明".encode(), id="a key that no call can have"),
            pytest.param(b"\xff/\xff", id="bytes"),
        ],
    )
    def test_a_call_event_that_does_not_tell_its_call_is_pending_under_its_place(self, key: bytes | None) -> None:
        pipeline = Pipeline()
        pipeline.send(CALLS_ENDED.name, b"{}", key)
        pipeline.run_until(lambda: bool(pipeline.committed()))
        assert outcomes(pipeline) == [("unknown", "calls.ended.v1/0/0", "pending")]

    def test_a_transcript_is_left_to_judge(self) -> None:
        pipeline = Pipeline()
        pipeline.send(CALLS_TRANSCRIBED.name, b"{}")
        pipeline.run_until(lambda: bool(pipeline.committed()))
        assert (pipeline.sink.written, pipeline.dead_letters()) == ([], [])

    @pytest.mark.parametrize("topic", [CALLS_ANALYZED.name, CALLS_DEAD_LETTERS.name])
    def test_what_only_store_reads_becomes_its_dead_letter_and_the_call_is_refused(self, topic: str) -> None:
        pipeline = Pipeline()
        pipeline.send(topic, b"\xff", KEY)
        pipeline.run_until(lambda: len(pipeline.sink.rows(DEAD_LETTERS)) == 1)
        letter = DeadLetter.decode(pipeline.broker.records[CALLS_DEAD_LETTERS.name][-1].value)
        assert (letter.step, letter.source_topic, letter.source_partition, letter.source_offset) == (STORE, topic, 0, 0)
        assert (letter.exception_class, letter.problems) == ("InvalidMessageError", ("the message is not UTF-8",))
        assert outcomes(pipeline) == [("acme", "c-1", "refused")]

    def test_it_does_not_hold_up_what_lies_around_it(self) -> None:
        pipeline = Pipeline()
        pipeline.send(CALLS_ANALYZED.name, b"{}", None)
        pipeline.send_message(CALLS_ANALYZED.name, ANALYSIS)
        pipeline.send(CALLS_ANALYZED.name, None, None)
        pipeline.run_until(lambda: len(pipeline.sink.rows(DEAD_LETTERS)) == 2)
        assert len(pipeline.sink.rows(CALLS)) == 1

    def test_a_wrong_fact_becomes_a_dead_letter_that_refuses_no_call_and_the_next_is_stored(self) -> None:
        pipeline = Pipeline()
        fact = FactReceived(
            tenant_id="acme", entity="order", key="o1", valid_from=NOW, fields={"status": "sent"}, source="orders"
        )
        key = key_of_fact(fact)
        wrong = fact.encode().replace(b'"fields":{"status":"sent"}', b'"fields":{"status":7}')
        for value in (wrong, fact.encode()):
            pipeline.send(FACTS_RECEIVED.name, value, key)
        pipeline.run_until(lambda: len(pipeline.sink.rows(DEAD_LETTERS)) == 1)
        letter = DeadLetter.decode(pipeline.broker.records[CALLS_DEAD_LETTERS.name][-1].value)
        assert (letter.problems, letter.call_id) == (("fields.<unknown field>: string_type",), None)
        assert outcomes(pipeline) == []
        (row,) = pipeline.sink.rows(FACTS)
        assert (row["key"], row["fields"]) == ("o1", {"status": "sent"})

    def test_the_same_record_twice_has_one_dead_letter_id(self) -> None:
        pipeline = Pipeline(failures=1)
        pipeline.send(CALLS_ANALYZED.name, b"{}")
        records = pipeline.consumer.poll(10, 0)
        first, second = (pipeline.store.batch_of(records).dead_letters[0].key for _ in range(2))
        assert first == second


class TestRowsThatNoColumnCanHold:
    @pytest.mark.parametrize(
        ("topic", "message", "problem"),
        [
            pytest.param(
                CALLS_ANALYZED.name,
                ANALYSIS.model_copy(update={"measures": {"duration_ms": BEYOND_ANY_COLUMN}}),
                "duration_ms: too large",
                id="a measure",
            ),
            pytest.param(
                CALLS_TRANSCRIBED.name,
                TRANSCRIPT.model_copy(
                    update={"segments": (TRANSCRIPT.segments[0].model_copy(update={"end_ms": BEYOND_ANY_COLUMN}),)}
                ),
                "end_ms: too large",
                id="the end of a segment",
            ),
        ],
    )
    def test_they_become_dead_letters_that_know_their_call(
        self, topic: str, message: CallAnalysis | Transcript, problem: str
    ) -> None:
        pipeline = Pipeline()
        pipeline.send(topic, message.encode(), message_key("acme", "c-1"))
        pipeline.run_until(lambda: len(pipeline.sink.rows(DEAD_LETTERS)) == 1)
        (letter,) = pipeline.dead_letters()
        assert (letter.step, letter.tenant_id, letter.call_id) == (STORE, "acme", "c-1")
        assert letter.problems == (problem,)
        assert pipeline.sink.rows(CALLS) == pipeline.sink.rows(TRANSCRIPTS) == []


class RefusingSink(RecordingSink):
    """Takes no row of certain calls into a table, and nothing else of their insert; counts the inserts."""

    def __init__(self, *calls: str) -> None:
        super().__init__()
        self.refused = set(calls)
        self.table = CALLS
        self.inserts = 0

    def write(self, rows: Rows) -> None:
        self.inserts += 1
        if any(row["call_id"] in self.refused for row in rows.get(self.table, ())):
            raise RowsRefusedError(self.table, "VIOLATED_CONSTRAINT (469)")
        super().write(rows)


class TestRowsThatClickHouseRefuses:
    def pipeline(self, *refused: str) -> tuple[Pipeline, RefusingSink]:
        pipeline = Pipeline()
        sink = RefusingSink(*refused)
        pipeline.sink = sink
        pipeline.store = replace(pipeline.store, sink=sink)
        return pipeline, sink

    def send_analyses(self, pipeline: Pipeline, *calls: str) -> None:
        for call_id in calls:
            call = ANALYSIS.call.model_copy(update={"call_id": call_id})
            analysis = ANALYSIS.model_copy(update={"call": call, "call_id": call_id})
            pipeline.send(CALLS_ANALYZED.name, analysis.encode(), message_key("acme", call_id))

    def take_all(self, pipeline: Pipeline) -> None:
        """One batch of whatever lies there, dead letters not included."""
        pipeline.take(pipeline.consumer.poll(1_000, 0))

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param((0,), id="the first of the batch"),
            pytest.param((6,), id="the last of the batch"),
            pytest.param((2, 3, 5), id="several"),
            pytest.param((), id="none"),
        ],
    )
    def test_they_alone_become_dead_letters(self, bad: tuple[int, ...]) -> None:
        calls = [f"c-{number}" for number in range(7)]
        refused = [calls[number] for number in bad]
        pipeline, sink = self.pipeline(*refused)
        self.send_analyses(pipeline, *calls)
        self.take_all(pipeline)
        assert {row["call_id"] for row in sink.rows(CALLS)} == set(calls) - set(refused)
        letters = pipeline.dead_letters()
        assert [letter.call_id for letter in letters] == refused
        assert {(letter.exception_class, letter.problems) for letter in letters} <= {
            ("RefusedByDatabaseError", (f"{CALLS}: VIOLATED_CONSTRAINT (469)",))
        }
        assert [letter.source_offset for letter in letters] == list(bad)
        assert pipeline.committed()[CALLS_ANALYZED.name] == 7

    def test_a_batch_without_them_is_one_insert(self) -> None:
        pipeline, sink = self.pipeline()
        self.send_analyses(pipeline, "c-1", "c-2", "c-3")
        self.take_all(pipeline)
        assert sink.inserts == 1

    def test_one_among_many_is_found_by_halving(self) -> None:
        pipeline, sink = self.pipeline("c-77")
        self.send_analyses(pipeline, *(f"c-{number}" for number in range(128)))
        self.take_all(pipeline)
        assert sink.inserts == 1 + 2 * 7

    def test_where_all_are_refused_the_stage_stops_and_nothing_is_given_up(self) -> None:
        calls = [f"c-{number}" for number in range(REFUSALS_LIMIT)]
        pipeline, _sink = self.pipeline(*calls)
        self.send_analyses(pipeline, *calls)
        with pytest.raises(TooManyFailuresError, match=r"the first 20 messages of calls\.analyzed\.v1.*469"):
            self.take_all(pipeline)
        assert (pipeline.committed(), pipeline.dead_letters()) == ({}, [])

    def test_one_after_the_other_they_stop_the_stage_too_though_other_topics_are_taken(self) -> None:
        calls = [f"c-{number}" for number in range(REFUSALS_LIMIT)]
        pipeline, _sink = self.pipeline(*calls)
        for call_id in calls[:-1]:
            self.send_analyses(pipeline, call_id)
            pipeline.send_message(CALLS_TRANSCRIBED.name, TRANSCRIPT)
            self.take_all(pipeline)
        self.send_analyses(pipeline, calls[-1])
        with pytest.raises(TooManyFailuresError):
            self.take_all(pipeline)

    def test_one_that_was_taken_before_shows_that_the_messages_are_wrong(self) -> None:
        refused = [f"c-{number}" for number in range(2 * REFUSALS_LIMIT)]
        pipeline, _sink = self.pipeline(*refused)
        self.send_analyses(pipeline, "good", *refused)
        self.take_all(pipeline)
        assert len({letter.call_id for letter in pipeline.dead_letters()}) == len(refused)

    def test_that_one_was_taken_is_known_after_a_restart_and_not_to_another_release(self, tmp_path: Path) -> None:
        file = tmp_path / "store" / "stored_topics.json"
        StoredTopics(file).add({CALLS_ANALYZED.name})
        assert CALLS_ANALYZED.name in StoredTopics(file)
        assert CALLS_TRANSCRIBED.name not in StoredTopics(file)
        file.write_text(file.read_text().replace(RELEASE, "0.0.1"))
        assert CALLS_ANALYZED.name not in StoredTopics(file)

    @pytest.mark.parametrize("content", ["", "[]", "{half", '{"0.2.0": 3}'])
    def test_a_file_that_cannot_be_read_knows_of_nothing(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "stored_topics.json").write_text(content)
        assert CALLS_ANALYZED.name not in StoredTopics(tmp_path / "stored_topics.json")

    def test_the_same_one_counts_once_however_often_its_batch_is_read_again(self) -> None:
        pipeline, _sink = self.pipeline("c-1")
        self.send_analyses(pipeline, "c-1")
        records = pipeline.consumer.poll(10, 0)
        refusing = FailsOnce(pipeline.broker)
        pipeline.publisher = refusing
        for _ in range(2 * REFUSALS_LIMIT):
            refusing.failures = 1
            with pytest.raises(RetryableError):
                pipeline.take(records)
        pipeline.take(records)
        assert [letter.call_id for letter in pipeline.dead_letters()] == ["c-1"]

    def test_a_dead_letter_that_is_refused_makes_no_other_one(self) -> None:
        pipeline, sink = self.pipeline("c-1")
        sink.table = DEAD_LETTERS
        pipeline.send(CALLS_ANALYZED.name, b"{}", message_key("acme", "c-1"))
        self.take_all(pipeline)
        with pytest.raises(RowsRefusedError, match="dead_letter_versions"):
            self.take_all(pipeline)
        assert len(pipeline.dead_letters()) == 1

    def test_a_dead_letter_is_neither_lost_nor_written_before_the_others_are_stored(self) -> None:
        pipeline, sink = self.pipeline("c-1")
        self.send_analyses(pipeline, "c-1", "c-2")
        records = pipeline.consumer.poll(10, 0)
        sink.failures = 1
        with pytest.raises(RetryableError):
            pipeline.take(records)
        assert (pipeline.committed(), pipeline.dead_letters()) == ({}, [])
        pipeline.take(records)
        assert [letter.call_id for letter in pipeline.dead_letters()] == ["c-1"]


class TestTheLoop:
    def test_it_ends_when_asked_to_with_nothing_to_do(self) -> None:
        with Pipeline().running():
            pass

    def test_it_ends_while_it_waits_for_clickhouse(self) -> None:
        pipeline = Pipeline(failures=1_000_000)
        pipeline.max_wait_s = 3_600
        pipeline.send_message(CALLS_ENDED.name, TRANSCRIPT.call)
        tried = threading.Event()
        pipeline.sink.before_write = tried.set
        with pipeline.running():
            assert tried.wait(10)
        assert pipeline.committed() == {}

    def test_a_bug_ends_it_with_the_offset_where_it_was(self) -> None:
        pipeline = Pipeline()
        pipeline.send_message(CALLS_ENDED.name, TRANSCRIPT.call)

        def bug() -> None:
            raise ZeroDivisionError

        pipeline.sink.before_write = bug
        with pytest.raises(ZeroDivisionError):
            pipeline.loop(threading.Event()).run()
        assert pipeline.committed() == {}

    def test_it_never_logs_what_was_said(self, caplog: pytest.LogCaptureFixture) -> None:
        pipeline = Pipeline(failures=1)
        one_of_each(pipeline)
        pipeline.send(CALLS_ANALYZED.name, f'{{"{WORDS}": "{WORDS}"}}'.encode())
        with caplog.at_level(logging.DEBUG):
            pipeline.run_until(lambda: len(pipeline.sink.rows(DEAD_LETTERS)) == 1)
        assert "becomes a dead letter" in caplog.text
        assert WORDS not in caplog.text


class TwoLanes(Pipeline):
    """A store that also takes in history; what was inserted is kept in order, with the lane that it came from."""

    def __init__(self, *, batch_messages: int = 2) -> None:
        super().__init__(batch_messages=batch_messages)
        self.lane = self.broker.consumer(HISTORY_GROUP, [CALLS_REANALYZED.name])
        self.consumer = self.broker.consumer(STORE, consumer_groups()[STORE])
        self.batches: list[list[str]] = []
        self.failures_of: Counter[str] = Counter()
        self.after_batch: Callable[[], None] = lambda: None
        self.source = Lanes(self.consumer, self.lane)
        self.store = replace(self.store, sink=self)

    def write(self, rows: Rows) -> None:
        calls = [str(row["call_id"]) for row in rows[OUTCOMES]]
        lane = calls[0].partition("-")[0]
        if self.failures_of[lane]:
            self.failures_of[lane] -= 1
            raise RetryableError("ClickHouse does not answer")
        self.batches.append(calls)
        self.after_batch()

    def send_live(self, *numbers: int) -> None:
        for number in numbers:
            self._send(CALLS_ANALYZED.name, f"live-{number}")

    def send_history(self, *numbers: int) -> None:
        for number in numbers:
            self._send(CALLS_REANALYZED.name, f"history-{number}")

    def _send(self, topic: str, call_id: str) -> None:
        call = TRANSCRIPT.call.model_copy(update={"call_id": call_id})
        self.send_message(topic, ANALYSIS.model_copy(update={"call_id": call_id, "call": call}))

    def run_until_stored(self, calls: int) -> None:
        self.run_until(lambda: sum(map(len, self.batches)) >= calls)

    def committed_by(self, group: str) -> dict[str, int]:
        return {topic: offset for (name, topic), offset in self.broker.committed.items() if name == group}


class TestHistory:
    def test_it_waits_until_a_batch_of_live_messages_was_not_full(self) -> None:
        lanes = TwoLanes()
        lanes.send_history(1, 2, 3)
        lanes.send_live(1, 2, 3, 4, 5)
        lanes.run_until_stored(8)
        assert lanes.batches == [
            ["live-1", "live-2"],
            ["live-3", "live-4"],
            ["live-5"],
            ["history-1", "history-2"],
            ["history-3"],
        ]

    def test_it_is_not_touched_while_live_batches_are_full(self) -> None:
        lanes = TwoLanes()
        lanes.send_history(1)
        lanes.send_live(1, 2)
        numbers = iter(range(3, 21))

        def two_more() -> None:
            lanes.send_live(*(number for _, number in zip(range(2), numbers, strict=False)))

        lanes.after_batch = two_more
        lanes.run_until_stored(21)
        assert lanes.batches[:10] == [[f"live-{first}", f"live-{first + 1}"] for first in range(1, 21, 2)]
        assert lanes.batches[10:] == [["history-1"]]

    def test_live_messages_that_come_meanwhile_go_before_the_next_batch_of_it(self) -> None:
        lanes = TwoLanes()
        lanes.send_history(1, 2, 3, 4)

        def one_live_call() -> None:
            lanes.after_batch = lambda: None
            lanes.send_live(1)

        lanes.after_batch = one_live_call
        lanes.run_until_stored(5)
        assert lanes.batches == [["history-1", "history-2"], ["live-1"], ["history-3", "history-4"]]

    def test_it_moves_the_offsets_of_its_own_group_only(self) -> None:
        lanes = TwoLanes()
        lanes.send_history(1, 2, 3)
        lanes.send_live(1)
        lanes.run_until_stored(4)
        assert lanes.committed_by(HISTORY_GROUP) == {CALLS_REANALYZED.name: 3}
        assert lanes.committed_by(STORE) == {CALLS_ANALYZED.name: 1}

    def test_an_insert_of_it_that_fails_is_read_again_and_live_ones_are_not(self) -> None:
        lanes = TwoLanes()
        lanes.send_history(1, 2, 3)
        lanes.send_live(1)
        lanes.failures_of["history"] = 3
        lanes.run_until_stored(4)
        assert lanes.batches == [["live-1"], ["history-1", "history-2"], ["history-3"]]
        assert lanes.committed_by(HISTORY_GROUP) == {CALLS_REANALYZED.name: 3}

    def test_a_live_insert_that_fails_is_read_again_before_it(self) -> None:
        lanes = TwoLanes()
        lanes.send_history(1)
        lanes.send_live(1)
        lanes.failures_of["live"] = 3
        lanes.run_until_stored(2)
        assert lanes.batches == [["live-1"], ["history-1"]]

    def test_it_may_be_the_only_thing_that_there_is(self) -> None:
        lanes = TwoLanes()
        lanes.send_history(*range(5))
        lanes.run_until_stored(5)
        assert lanes.batches == [["history-0", "history-1"], ["history-2", "history-3"], ["history-4"]]
