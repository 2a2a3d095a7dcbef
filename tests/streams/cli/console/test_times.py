"""Moments, days and spans of time as people type them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import typer

from streams.cli.console.times import parse_day, parse_moment, parse_span

SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_a_moment_is_in_the_zone_that_it_names_or_else_in_the_one_of_the_command() -> None:
    assert parse_moment("2026-03-01T10:15:00+08:00", "--at") == datetime(2026, 3, 1, 2, 15, tzinfo=UTC)
    assert parse_moment("2026-03-01T10:15:00Z", "--at", SHANGHAI) == datetime(2026, 3, 1, 10, 15, tzinfo=UTC)
    assert parse_moment("2026-03-01", "--from", SHANGHAI) == datetime(2026, 2, 28, 16, tzinfo=UTC)


def test_days_and_spans_are_read() -> None:
    assert parse_day("2026-03-01", "--day") == date(2026, 3, 1)
    assert [parse_span(text, "--last") for text in ("12h", "7d", "9999w")] == [
        timedelta(hours=12),
        timedelta(days=7),
        timedelta(weeks=9999),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("soon", "soon is not a time: write 2026-03-01T10:15:00", id="no time"),
        pytest.param("2026-03-01T10:15", "has no time zone", id="no zone, where the command has none"),
        pytest.param("1970-12-31T23:59:59+00:00", "the year must be from 1971 to 2105", id="before any call"),
        pytest.param("9999-12-31T23:59:59-08:00", "the year must be from 1971 to 2105", id="too late for the database"),
    ],
)
def test_what_is_no_moment_says_how_to_write_one(text: str, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        parse_moment(text, "--at")


@pytest.mark.parametrize("text", ["", "1 March", "2026-02-30", "0001-01-01", "2106-01-01"])
def test_what_is_no_day_of_calls_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_day(text, "--day")


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-7d", "7 d", "7m", "10000w", "٧d", "7d\n"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write 12h, 7d or 4w"):
        parse_span(text, "--last")
