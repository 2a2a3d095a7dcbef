"""Offsets that are done out of order: what is committed, and what of it is known after a restart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.offsets import MAX_AHEAD, PartitionProgress


def test_in_order_it_is_one_number() -> None:
    progress = PartitionProgress.resumed(7, "")
    for offset in (7, 8, 9):
        assert progress.take(offset)
        progress.finish(offset)
    assert progress.commit() == (10, "")


def test_what_is_not_done_holds_the_number_back_and_the_rest_is_remembered() -> None:
    progress = PartitionProgress.resumed(0, "")
    for offset in range(20):
        progress.take(offset)
    for offset in (0, 1, 3, 4, 9, 19):
        progress.finish(offset)
    position, metadata = progress.commit()
    assert position == 2
    resumed = PartitionProgress.resumed(position, metadata)
    assert [offset for offset in range(2, 22) if resumed.take(offset)] == [2, *range(5, 9), *range(10, 19), 20, 21]


def test_what_was_done_before_the_restart_stays_done_until_the_number_has_passed_it() -> None:
    first = PartitionProgress.resumed(0, "")
    for offset in range(10):
        first.take(offset)
    first.finish(9)
    second = PartitionProgress.resumed(*first.commit())
    assert second.take(0)
    third = PartitionProgress.resumed(*second.commit())
    assert [third.take(offset) for offset in range(10)] == [True] * 9 + [False]
    for offset in range(9):
        third.finish(offset)
    assert third.commit() == (10, "")


def test_a_partition_of_which_nothing_is_known_begins_with_the_first_record() -> None:
    progress = PartitionProgress()
    assert progress.take(40)
    assert progress.commit() == (40, "")
    progress.finish(40)
    assert progress.commit() == (41, "")


def test_offsets_that_are_missing_in_the_log_hold_nothing_up() -> None:
    progress = PartitionProgress.resumed(0, "")
    for offset in (5, 9):
        progress.take(offset)
        progress.finish(offset)
    assert progress.commit() == (10, "")


@pytest.mark.parametrize("metadata", ["", "something else", "done:***", "done:é"])
def test_metadata_of_somebody_else_mean_nothing(metadata: str) -> None:
    assert PartitionProgress.resumed(3, metadata).take(4)


def test_reading_stops_when_too_much_is_done_ahead_and_the_metadata_still_fit() -> None:
    progress = PartitionProgress.resumed(0, "")
    for offset in range(MAX_AHEAD + 500):
        progress.take(offset)
        if offset:
            progress.finish(offset)
        assert progress.is_full is (offset >= MAX_AHEAD)
    position, metadata = progress.commit()
    assert position == 0
    assert len(metadata) <= 4_096
    progress.finish(0)
    assert not progress.is_full


@given(st.data())
def test_after_any_number_of_restarts_every_offset_was_done_once(data: st.DataObject) -> None:
    count = 60
    done: list[int] = []
    committed = (0, "")
    while committed != (count, ""):
        progress = PartitionProgress.resumed(*committed)
        waiting = [offset for offset in range(committed[0], count) if progress.take(offset)]
        for offset in data.draw(st.lists(st.sampled_from(waiting), min_size=1, unique=True), "done before a restart"):
            done.append(offset)
            progress.finish(offset)
        committed = progress.commit()
    assert sorted(done) == list(range(count))
