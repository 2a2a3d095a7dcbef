"""Cells of databases and spreadsheets as facts."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from processors.facts.fact_rows import FactColumns, FactColumnsError, FactRowError

ZONE = ZoneInfo("Asia/Shanghai")
COLUMNS = FactColumns("acme", "order", "orders", "id", ZONE, valid_from="since")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(" x ", "x", id="text"),
        pytest.param("  ", None, id="blanks"),
        pytest.param(None, None, id="null"),
        pytest.param(12, "12", id="a number"),
        pytest.param(Decimal("1200.50"), "1200.50", id="an amount keeps its digits"),
        pytest.param(Decimal("1E+3"), "1000", id="an amount without an exponent"),
        pytest.param(True, "true", id="yes"),
        pytest.param(date(2026, 3, 2), "2026-03-02", id="a day"),
        pytest.param(datetime(2026, 3, 2, 9), "2026-03-02T09:00:00+08:00", id="a time of the tenant"),  # noqa: DTZ001 - as databases give it
        pytest.param(datetime(2026, 3, 2, 9, tzinfo=UTC), "2026-03-02T09:00:00+00:00", id="a time of its own zone"),
    ],
)
def test_a_cell_is_a_short_text(value: object, text: str | None) -> None:
    row = {"id": "o1", "since": "2026-03-01", "x": value}
    assert COLUMNS.fact(row, {"x": "x"}).fields == ({} if text is None else {"x": text})


@pytest.mark.parametrize(
    ("value", "utc"),
    [
        pytest.param("2026-03-02 09:15:00", "2026-03-02T01:15:00+00:00", id="as MySQL writes it"),
        pytest.param("2026/3/2 9:15", "2026-03-02T01:15:00+00:00", id="as Excel writes it"),
        pytest.param("2026-03-02", "2026-03-01T16:00:00+00:00", id="a day begins at midnight"),
        pytest.param("2026-03-02T09:15:00Z", "2026-03-02T09:15:00+00:00", id="with a zone"),
        pytest.param(date(2026, 3, 2), "2026-03-01T16:00:00+00:00", id="a day of a database"),
    ],
)
def test_a_time_is_that_of_the_tenant_unless_it_says_another(value: object, utc: str) -> None:
    assert COLUMNS.fact({"id": "o1", "since": value}, {}).valid_from.isoformat() == utc


@pytest.mark.parametrize(
    ("row", "said"),
    [
        pytest.param({"since": None}, "since: is not a time", id="no time"),
        pytest.param({"since": "2099-01-01"}, "valid_from: datetime_in_the_future", id="years to come"),
        pytest.param({"id": "k" * 129}, "key: string_too_long", id="a long key"),
        pytest.param({"x": b"\x00"}, "x: is neither text nor a number nor a time", id="bytes"),
    ],
)
def test_a_row_that_is_none_is_told_without_its_values(row: dict[str, object], said: str) -> None:
    with pytest.raises(FactRowError, match=said):
        COLUMNS.fact({"id": "o1", "since": "2026-03-01", "x": "y"} | row, {"x": "x"})


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        pytest.param(["id", "x"], "there is no column since", id="no time"),
        pytest.param(["id", "since"], "nothing to tell", id="no field"),
        pytest.param(["id", "since", "x", "x"], "the column x stands there twice", id="twice"),
        pytest.param(["id", "since", *(f"c{n}" for n in range(65))], "65 fields, more than 64", id="too many"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_before_any_row(columns: list[str], said: str) -> None:
    with pytest.raises(FactColumnsError, match=said):
        COLUMNS.fields_of(columns)
