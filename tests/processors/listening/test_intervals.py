import pytest

from processors.listening.intervals import common, common_ms, length_ms, union
from schemas.messages.interval import Interval

Span = tuple[int, int]


def intervals(*spans: Span) -> tuple[Interval, ...]:
    return tuple(Interval(start_ms=start_ms, end_ms=end_ms) for start_ms, end_ms in spans)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([], [(0, 10)], [], id="nobody_on_one_side"),
        pytest.param([(0, 10)], [(10, 20)], [], id="one_after_the_other"),
        pytest.param([(0, 10), (20, 30)], [(5, 25)], [(5, 10), (20, 25)], id="across_a_pause"),
        pytest.param([(0, 30)], [(5, 10), (20, 25)], [(5, 10), (20, 25)], id="twice_within"),
    ],
)
def test_what_two_speakers_have_in_common(first: list[Span], second: list[Span], expected: list[Span]) -> None:
    assert common(intervals(*first), intervals(*second)) == intervals(*expected)
    assert common(intervals(*second), intervals(*first)) == intervals(*expected)
    assert common_ms(intervals(*first), intervals(*second)) == length_ms(intervals(*expected))


def test_overlapping_stretches_are_joined() -> None:
    found = union(intervals((500, 900), (0, 300), (250, 400), (900, 950)))
    assert found == intervals((0, 400), (500, 950))


def test_lengths_are_added() -> None:
    assert length_ms(intervals((0, 300), (500, 600))) == 400
