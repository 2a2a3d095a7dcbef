"""What happens to one message: published, tried again, refused, or left where it is."""

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.errors import InvalidMessageError, OperatorError, RetryableError
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.message import Message
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS, MAX_MESSAGE_BYTES, Topic
from streams.ports import RecordTooLargeError
from streams.runtime.crash_guard import CrashGuard, Quarantine
from streams.runtime.loop import Loop, PollWorkPublishCommit, Streak, TooManyFailuresError
from streams.runtime.stage import Stage

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)


class Number(Message):
    """A message small enough to see through."""

    tenant_id: str = "acme"
    call_id: str = "c1"
    value: int


NUMBERS = Topic("numbers.counted.v1", Number, "tests")
DOUBLES = Topic("numbers.doubled.v1", Number, "tests")


class FixedClock:
    def now(self) -> datetime:
        return NOW


class Written:
    """Keeps what is published; fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.outputs: list[ProducerRecord] = []
        self.failures = failures
        self.before_failure: Callable[[], None] = lambda: None

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        if self.failures:
            self.failures -= 1
            self.before_failure()
            raise RetryableError("Kafka does not answer")
        self.outputs.extend(outputs)


def stage(
    load: Callable[[Number], Number] = lambda number: number,
    step: Callable[[Number], Number] = lambda number: Number(value=number.value * 2),
    save: Callable[[Number, Number], None] = lambda _loaded, _result: None,
) -> Stage[Number, Number, Number]:
    return Stage("double", NUMBERS, load, step, save, DOUBLES, FixedClock())


class Given:
    """A source that holds what it is given; remembers what was committed."""

    def __init__(self) -> None:
        self.waiting: list[ConsumerRecord] = []
        self.committed: list[int] = []

    def poll(self, most: int, wait_s: float) -> list[ConsumerRecord]:  # noqa: ARG002 - there is nothing to wait for
        batch, self.waiting = self.waiting[:most], self.waiting[most:]
        return batch

    def commit(self, records: Sequence[ConsumerRecord]) -> None:
        self.committed += [record.offset for record in records]

    def rewind(self, records: Sequence[ConsumerRecord]) -> None:
        self.waiting[:0] = records

    def close(self) -> None:
        self.waiting.clear()


class Running:
    """A stage in its loop, one record at a time until each is committed."""

    def __init__(self, of: Stage[Number, Number, Number], written: Written) -> None:
        self.source = Given()
        self.stop = threading.Event()
        self.cycle = PollWorkPublishCommit(
            of.name, self.source, of.work, written, self.stop, 0.01, refusals=Streak(f"{of.name} refused", 3)
        )
        self.loop = Loop(of.name, self._step, self.stop, 0.01, recover=self.cycle.recover)

    def process(self, record: ConsumerRecord) -> None:
        """Until the record is done, or the loop has ended otherwise."""
        self.source.waiting.append(record)
        self.loop.run()
        if record.offset in self.source.committed:
            self.stop.clear()

    def _step(self) -> None:
        self.cycle.step()
        if not self.source.waiting:
            self.stop.set()


def work(of: Stage[Number, Number, Number], written: Written) -> Running:
    return Running(of, written)


def raw(value: bytes | None, offset: int = 7) -> ConsumerRecord:
    return ConsumerRecord(NUMBERS.name, 2, offset, b"acme/c1", value)


def test_the_result_is_published_under_the_key_of_the_call() -> None:
    written = Written()
    work(stage(), written).process(raw(Number(value=21).encode()))
    (output,) = written.outputs
    assert (output.topic, output.key) == (DOUBLES.name, b"acme/c1")
    assert DOUBLES.decode(output.value).value == 42


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param(b"\xff\xfe", "the message is not UTF-8", id="bad UTF-8"),
        pytest.param(None, "the message has no value", id="tombstone"),
        pytest.param(b'{"value": "x"}', "value: int_type", id="wrong type"),
    ],
)
def test_a_message_that_cannot_be_read_becomes_a_dead_letter_with_its_place(value: bytes | None, problem: str) -> None:
    written = Written()
    work(stage(), written).process(raw(value))
    (output,) = written.outputs
    assert output.topic == CALLS_DEAD_LETTERS.name
    letter = DeadLetter.decode(output.value)
    assert (letter.step, letter.source_topic, letter.source_partition, letter.source_offset) == (
        "double",
        NUMBERS.name,
        2,
        7,
    )
    assert letter.exception_class == "InvalidMessageError"
    assert letter.problems == (problem,)
    assert (letter.tenant_id, letter.call_id) == ("acme", "c1"), "the key tells which call it was"


def test_a_step_that_refuses_a_message_makes_a_dead_letter_with_its_own_class() -> None:
    class NoSuchNumberError(InvalidMessageError):
        pass

    def refuse(_number: Number) -> Number:
        raise NoSuchNumberError(["value: none such"])

    written = Written()
    work(stage(load=refuse), written).process(raw(Number(value=1).encode()))
    assert DeadLetter.decode(written.outputs[0].value).exception_class == "NoSuchNumberError"


def test_a_message_whose_result_kafka_never_takes_becomes_a_dead_letter_and_the_next_goes_on(tmp_path: Path) -> None:
    class Small(Written):
        def publish(self, outputs: Iterable[ProducerRecord]) -> None:
            taken = list(outputs)
            if any(output.topic == DOUBLES.name and len(output.value) > 60 for output in taken):
                raise RecordTooLargeError(["too large"])
            super().publish(taken)

    written = Small()
    running = work(stage(), written)
    running.cycle.guard = CrashGuard("double", Quarantine(tmp_path), FixedClock())
    running.process(raw(Number(value=10**40).encode(), 7))
    running.process(raw(Number(value=1).encode(), 8))
    letter, result = written.outputs
    assert DeadLetter.decode(letter.value).exception_class == "RecordTooLargeError"
    assert DeadLetter.decode(letter.value).source_offset == 7
    assert DOUBLES.decode(result.value).value == 2
    assert running.source.committed == [7, 8]


def test_no_message_is_given_up_because_the_installation_is_wrong(tmp_path: Path) -> None:
    def refuse(_number: Number) -> Number:
        raise OperatorError("the weights are damaged")

    written = Written()
    for _ in range(5):
        running = work(stage(load=refuse), written)
        running.cycle.guard = CrashGuard("double", Quarantine(tmp_path), FixedClock())
        with pytest.raises(OperatorError):
            running.process(raw(Number(value=1).encode(), 7))
    running = work(stage(), written)
    running.cycle.guard = CrashGuard("double", Quarantine(tmp_path), FixedClock())
    running.process(raw(Number(value=1).encode(), 7))
    assert [DOUBLES.decode(result.value).value for result in written.outputs] == [2]


def test_a_batch_that_cannot_be_read_becomes_a_dead_letter_and_the_records_around_it_are_worked_on() -> None:
    written = Written()
    running = work(stage(), written)
    why = "the batch of the offsets 8 to 9 cannot be read: it is damaged"
    running.source.waiting = [
        raw(Number(value=1).encode(), 7),
        ConsumerRecord(NUMBERS.name, 2, 9, None, None, unreadable=why),
    ]
    running.process(raw(Number(value=2).encode(), 10))
    before, letter, after = written.outputs
    assert [DOUBLES.decode(result.value).value for result in (before, after)] == [2, 4]
    dead = DeadLetter.decode(letter.value)
    assert (dead.source_topic, dead.source_partition, dead.source_offset) == (NUMBERS.name, 2, 9)
    assert (dead.exception_class, dead.problems) == ("UnreadableBatchError", (why,))
    assert running.source.committed == [7, 9, 10]


def test_a_lane_that_a_person_must_see_to_says_the_sentence(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()

    def step() -> None:
        stop.set()
        raise OperatorError("see to the password")

    Loop("lane", step, stop, 0.01, survives_bugs=True).run()
    assert [record.message for record in caplog.records] == ["lane: see to the password"]


def test_the_same_message_gives_the_same_dead_letter_id_again() -> None:
    written = Written()
    for _ in range(2):
        work(stage(), written).process(raw(b"\xff"))
    first, second = (DeadLetter.decode(output.value).dead_letter_id for output in written.outputs)
    assert first == second


def test_an_outside_system_that_does_not_answer_is_asked_again_until_it_does() -> None:
    answers = iter([RetryableError("down"), RetryableError("down"), None])

    def load(number: Number) -> Number:
        answer = next(answers)
        if answer is not None:
            raise answer
        return number

    written = Written(failures=2)
    work(stage(load=load), written).process(raw(Number(value=1).encode()))
    assert len(written.outputs) == 1


def test_a_broker_that_does_not_answer_does_not_repeat_the_work() -> None:
    done: list[int] = []

    def step(number: Number) -> Number:
        done.append(number.value)
        return number

    work(stage(step=step), Written(failures=3)).process(raw(Number(value=5).encode()))
    assert done == [5]


def test_a_worker_that_is_asked_to_stop_leaves_its_message_undone() -> None:
    written = Written(failures=1)
    running = work(stage(), written)
    written.before_failure = running.stop.set
    running.process(raw(Number(value=1).encode()))
    assert (written.outputs, running.source.committed) == ([], [])


def test_a_bug_in_a_step_is_neither_a_dead_letter_nor_swallowed() -> None:
    def step(_number: Number) -> Number:
        raise ZeroDivisionError

    written = Written()
    with pytest.raises(ZeroDivisionError):
        work(stage(step=step), written).process(raw(Number(value=1).encode()))
    assert written.outputs == []


def test_a_stage_that_refuses_everything_stops_because_then_the_code_is_wrong() -> None:
    running = work(stage(), Written())
    running.process(raw(b"\xff", 1))
    running.process(raw(b"\xff", 2))
    with pytest.raises(TooManyFailuresError):
        running.process(raw(b"\xff", 3))


def test_one_good_message_ends_the_streak_of_dead_letters() -> None:
    running = work(stage(), Written())
    for offset, value in enumerate([b"\xff", b"\xff", Number(value=1).encode(), b"\xff", b"\xff"]):
        running.process(raw(value, offset))


def test_a_result_that_no_broker_would_take_is_a_dead_letter() -> None:
    class Long(Number):
        text: str = "x" * (MAX_MESSAGE_BYTES + 1)

    written = Written()
    work(stage(step=lambda number: Long(value=number.value)), written).process(raw(Number(value=1).encode()))
    letter = DeadLetter.decode(written.outputs[0].value)
    assert letter.problems == ("the message is larger than numbers.doubled.v1 takes",)


def test_nothing_is_published_before_the_result_is_saved() -> None:
    written = Written()
    published_at_save: list[int] = []
    save = lambda _loaded, _result: published_at_save.append(len(written.outputs))  # noqa: E731 - a one-line probe
    work(stage(save=save), written).process(raw(Number(value=1).encode()))
    assert published_at_save == [0]


def test_a_count_goes_on_in_memory_where_its_file_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "no_folder").write_text("")
    streak = Streak("stage refused", 2, tmp_path / "no_folder" / "refusals")
    streak.count()
    assert "refusals cannot be written" in caplog.text
    with pytest.raises(TooManyFailuresError):
        streak.count()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", "²".encode(), b"-7", b"1\n2"])
def test_a_count_that_cannot_be_read_begins_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "refusals").write_bytes(content)
    streak = Streak("stage refused", 2, tmp_path / "refusals")
    streak.count()
    assert (tmp_path / "refusals").read_text() == "1\n"


def test_a_folder_in_the_place_of_the_count_stops_no_worker(tmp_path: Path) -> None:
    Streak("stage refused", 2, tmp_path).count()
