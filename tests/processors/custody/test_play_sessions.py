"""Many ranges, one entry."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from processors.custody.play_sessions import SESSION, PlaySessions
from schemas.errors import RetryableError

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = ("inspector", "acme", "c1", "sampling", None)


def test_ranges_within_ten_minutes_are_one_session_and_later_ones_another() -> None:
    sessions, entered = PlaySessions(), list[datetime]()
    for minutes in (0, 1, 9, 10, 11, 19, 20):
        now = NOW + timedelta(minutes=minutes)
        sessions.begin(KEY, now, lambda now=now: entered.append(now))  # type: ignore[misc]
    assert entered == [NOW, NOW + SESSION, NOW + 2 * SESSION]


def test_another_purpose_is_another_session() -> None:
    sessions = PlaySessions()
    assert [
        sessions.begin((*KEY[:3], purpose), NOW, lambda: None) for purpose in ("sampling", "training", "sampling")
    ] == [
        True,
        True,
        False,
    ]


def test_a_clock_that_jumped_back_begins_a_session() -> None:
    sessions = PlaySessions()
    assert sessions.begin(KEY, NOW, lambda: None)
    assert sessions.begin(KEY, NOW - timedelta(days=1), lambda: None)


def test_what_could_not_be_entered_is_no_session() -> None:
    sessions = PlaySessions()

    def fails() -> None:
        raise RetryableError("the register does not answer")

    with pytest.raises(RetryableError):
        sessions.begin(KEY, NOW, fails)
    assert sessions.begin(KEY, NOW, lambda: None)


def test_of_many_at_once_one_enters_and_none_goes_on_before_it_has() -> None:
    sessions, entered, seen = PlaySessions(), list[int](), list[int]()

    def ask() -> None:
        sessions.begin(KEY, NOW, lambda: entered.append(1))
        seen.append(len(entered))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (entered, set(seen)) == ([1], {1})
