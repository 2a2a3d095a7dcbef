"""When each lane will have been heard."""

import pytest

from schemas.messages.topics import Lane
from streams.adapters.kafka.audio_lag import AudioWaiting
from streams.queries.lane_waits import LaneWait, heard_in, lane_waits

WEIGHTS = {"live": 8.0, "backfill": 1.0, "redo": 1.0}


@pytest.mark.parametrize(
    ("audio_s", "rate", "expected"),
    [
        pytest.param(
            {"live": 0, "backfill": 0, "redo": 0}, 2, {"live": 0, "backfill": 0, "redo": 0}, id="nothing waits"
        ),
        pytest.param(
            {"live": 100, "backfill": 0, "redo": 0}, 2, {"live": 50, "backfill": 0, "redo": 0}, id="one alone"
        ),
        pytest.param(
            {"live": 800, "backfill": 1_000, "redo": 0},
            1,
            {"live": 900, "backfill": 1_800, "redo": 0},
            id="the live one has eight ninths, and the other all that is left over then",
        ),
        pytest.param(
            {"live": 80, "backfill": 10, "redo": 10}, 1, {"live": 100, "backfill": 100, "redo": 100}, id="all at once"
        ),
        pytest.param(
            {"live": 80, "backfill": 0, "redo": 0}, 0, {"live": None, "backfill": 0, "redo": 0}, id="nothing is heard"
        ),
    ],
)
def test_lanes_share_by_weight_until_each_has_been_heard(
    audio_s: dict[str, float], rate: float, expected: dict[str, float | None]
) -> None:
    assert heard_in(audio_s, WEIGHTS, rate) == pytest.approx(expected, abs=0.2)


def test_all_the_audio_takes_as_long_as_the_rate_says_whatever_the_weights() -> None:
    found = heard_in({"live": 300, "backfill": 7_000, "redo": 41}, WEIGHTS, 3)

    assert max(each for each in found.values() if each is not None) == pytest.approx(7_341 / 3, abs=0.2)


def test_calls_a_minute_are_of_the_length_of_those_that_wait() -> None:
    waiting: dict[Lane, AudioWaiting] = {
        "live": AudioWaiting(10, 600.0, False),
        "backfill": AudioWaiting(10, 1_800.0, True),
    }

    live, backfill = lane_waits(waiting, WEIGHTS, calls_per_minute=30)

    assert live == LaneWait("live", 10, 600.0, False, 11.2)  # 60 s of audio in a second, of which it has 8/9
    assert (backfill.calls, backfill.is_estimate, backfill.heard_in_s) == (10, True, 40.0)


def test_nothing_waits_and_nothing_is_heard() -> None:
    assert lane_waits({"live": AudioWaiting(0, 0, False)}, WEIGHTS, 0) == [LaneWait("live", 0, 0, False, 0.0)]
