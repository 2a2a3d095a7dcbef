"""Moments, days and spans of time as people type them."""

import re
from contextlib import suppress
from datetime import date, datetime, timedelta, tzinfo

import typer

FIRST_YEAR, LAST_YEAR = 1971, 2105
"""What ClickHouse can store as a DateTime in every time zone."""

_SPAN = re.compile(r"(?P<count>[1-9]\d{0,3})(?P<unit>[hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_moment(text: str, option: str, zone: tzinfo | None = None) -> datetime:
    """A point in time, in `zone` where the text names none. Raises `typer.BadParameter`, as all functions here do.

    Without `zone` the text must name one.
    """
    form = "2026-03-01T10:15:00+08:00" if zone is None else "2026-03-01, or 2026-03-01T10:15:00+08:00"
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if zone is not None and moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        if moment.tzinfo is None:
            raise typer.BadParameter(f"{text} has no time zone: write {form}", param_hint=option)
        _check_year(moment.year, option)
        return moment
    raise typer.BadParameter(f"{text} is not a time: write {form}", param_hint=option)


def parse_day(text: str, option: str) -> date:
    """A day of the calendar."""
    with suppress(ValueError):
        day = date.fromisoformat(text)
        _check_year(day.year, option)
        return day
    raise typer.BadParameter(f"{text} is not a day: write 2026-03-01", param_hint=option)


def parse_span(text: str, option: str) -> timedelta:
    """A length of time: `12h`, `7d`, `4w`."""
    match = _SPAN.fullmatch(text)
    if not match:
        raise typer.BadParameter(f"{text} is not a length of time: write 12h, 7d or 4w", param_hint=option)
    return int(match["count"]) * _UNITS[match["unit"]]


def _check_year(year: int, option: str) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise typer.BadParameter(f"the year must be from {FIRST_YEAR} to {LAST_YEAR}", param_hint=option)
