"""Attacks on alerts: floods while nothing can be recorded, positions in a log that is not what it was."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from schemas.errors import OperatorError, RetryableError
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import ALERTS_RAISED
from streams.runtime.offsets import PartitionProgress
from tests.streams.stages.test_notify import Desk, fresh, ids, webhook
from tests.support.alerts import an_alert
from tests.support.processes import eventually
from tests.support.receiver import Receiver, running_receiver

PLACE = ("notify.desk", ALERTS_RAISED.name)


@pytest.mark.loopback
def test_a_subscription_that_is_taken_away_and_comes_back_sends_nothing_again(tmp_path: Path) -> None:
    """As somebody does who wants to stop the flood."""
    desk = Desk(tmp_path)
    with running_receiver() as receiver:
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running() as notify:
            desk.publish_failures = 1_000_000
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: len(receiver.requests) == 1, 10)
            for _ in range(3):
                desk.subscribe()
                notify.look_again()
                desk.subscribe(webhook("desk", receiver.url()))
                notify.look_again()
            desk.publish_failures = 0
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert receiver.ids == [an_alert(1).alert_id]
        assert desk.outcomes("desk") == {"delivered": 1}


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("written", "error"),
    [
        pytest.param(False, OperatorError("Kafka refuses it"), id="access is taken away"),
        pytest.param(False, MemoryError(), id="a bug"),
        pytest.param(True, RetryableError("no acknowledgement"), id="written, and said that it is not"),
    ],
)
def test_however_the_record_fails_each_alert_is_sent_once(tmp_path: Path, written: bool, error: Exception) -> None:
    desk = Desk(tmp_path)
    publish = desk.publish
    left = iter(range(6))

    def fail_first(outputs: Iterable[ProducerRecord]) -> None:
        outputs = list(outputs)
        if next(left, None) is not None:
            if written:
                publish(outputs)
            raise error
        publish(outputs)

    desk.publish = fail_first  # type: ignore[method-assign]
    alerts = [fresh(number) for number in range(25)]
    with running_receiver() as receiver:
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running():
            desk.raise_alerts(*alerts)
            assert eventually(lambda: desk.is_done("desk"), 20)
        assert Counter(receiver.ids) == dict.fromkeys(ids(alerts), 1)
    assert {line.alert_id for line in desk.record("desk")} == set(ids(alerts))


def bits(progress: PartitionProgress, done: Iterable[int]) -> tuple[int, str]:
    for offset in done:
        progress.take(offset)
        progress.finish(offset)
    return progress.commit()


@pytest.fixture
def receiver() -> Iterable[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.mark.loopback
def test_what_was_done_behind_the_end_of_the_log_hides_no_alert(tmp_path: Path, receiver: Receiver) -> None:
    """A broker that lost its last records: the position lies in the log, what is said of later offsets does not."""
    desk = Desk(tmp_path)
    desk.subscribe(webhook("desk", receiver.url()))
    before, after = [fresh(0), fresh(1)], [fresh(number) for number in range(2, 6)]
    with desk.running():
        desk.raise_alerts(*before)
        assert eventually(lambda: desk.is_done("desk"), 10)
    progress = PartitionProgress.resumed(1, "")
    progress.take(1)
    desk.broker.committed[PLACE], desk.broker.metadata[PLACE] = bits(progress, range(2, 20))
    assert desk.broker.committed[PLACE] == 1
    receiver.requests.clear()
    with desk.running():
        desk.raise_alerts(*after)
        assert eventually(lambda: desk.is_done("desk"), 10)
    assert Counter(receiver.ids) == dict.fromkeys(ids(after), 1)


@pytest.mark.parametrize(
    "metadata",
    ["done:" + "/" * 100_000, "done:", "done:\x00", "DONE:AA==", "done:AA==done:AA==", "\ud800", "done:_-8="],
)
def test_strange_metadata_of_a_commit_hold_nothing_up(metadata: str) -> None:
    progress = PartitionProgress.resumed(2**62, metadata)
    for offset in range(2**62, 2**62 + 3):
        if progress.take(offset):
            progress.finish(offset)
    position, written = progress.commit()
    assert position == 2**62 + 3
    assert len(written) <= 4_096
    assert not progress.is_full
