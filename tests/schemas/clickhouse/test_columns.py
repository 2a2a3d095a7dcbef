"""A column stands in a table, in the rows that are written, and in a view: the three say the same.

That rows fit their tables is tested in tests/processors/clickhouse/test_rows.py.
"""

import re

import pytest

from processors.clickhouse.rows import (
    ACCESS_LOG,
    ALERT_DELIVERIES,
    ALERTS,
    CALLS,
    CUSTODY_EVENTS,
    DEAD_LETTERS,
    EXCHANGE_CALLS,
    OUTCOMES,
    RATINGS,
    RULE_PACKS,
    RULES,
    TRANSCRIPTS,
    VERDICTS,
)
from schemas.clickhouse.views import load_views
from tests.support.clickhouse_columns import Column, columns_of_table, columns_of_view

UNFOLDED = {
    "findings": (CALLS, "findings"),
    "topics": (CALLS, "topics"),
    "scores": (CALLS, "score_items"),
    "selected_calls": (CALLS, "selected_by"),
    "segments": (TRANSCRIPTS, "segments"),
    "kpi_rollup": ("kpi_rollup_rows", "kpis"),
}
"""Views with a row for each element of a nested table."""

WHOLE = {
    "whole_calls": CALLS,
    "transcripts": TRANSCRIPTS,
    "outcomes": OUTCOMES,
    "unaccounted": OUTCOMES,
    "dead_letters": DEAD_LETTERS,
    "alerts": ALERTS,
    "alert_deliveries": ALERT_DELIVERIES,
    "rule_packs": RULE_PACKS,
    "dim_rules": RULES,
    "access_log": ACCESS_LOG,
    "custody_events": CUSTODY_EVENTS,
    "exchange_calls": EXCHANGE_CALLS,
}

MADE_BY_THE_VIEW = {
    "whole_calls": {
        "call_url",
        "customer_pseudonym",
        "day",
        "ended_local",
        "skipped_measures",
        "skipped_reasons",
        "findings_count",
        "reading",
        "triggers",
    },
    "findings": {"call_url", "day", "ended_local", "nature", "source"},
    "selected_calls": {"call_url", "day", "ended_local", "is_suspicion"},
    "alerts": {"call_url", "day", "raised_local"},
    "transcripts": {"day", "segments_count", "text"},
    "dim_rules": {"name_en"},
    **{name: {"day"} for name in ("alert_deliveries", "exchange_calls")},
    "dead_letters": {"day", "state"},
    **{name: {"call_url", "day"} for name in ("topics", "scores", "segments", "outcomes")},
    "unaccounted": {"call_url"},
    # The table is from when all tenants had the same days, and its names do not say which status is meant.
    "kpi_rollup": {"day", "newest_order_status", "newest_customer_value_tier"},
}

NOT_SHOWN = {
    CALLS: {"stored_at", "agitation", "skipped.measure", "skipped.reason", "kept_contact", "pseudonym_key"},
    "kpi_rollup_rows": {"order_status", "customer_value_tier"},
    "transcript_versions": {"sounds"},
    EXCHANGE_CALLS: {"stored_at", "customer_key"},
    DEAD_LETTERS: {"handling", "handled_by"},
}
"""Table → columns that people are not to see, or see in another form."""


def columns_below(view: str) -> dict[str, Column]:
    """What the columns of the view are in its table."""
    if view in WHOLE:
        return columns_of_table(WHOLE[view])
    table, nested = UNFOLDED[view]
    columns = columns_of_table(table)
    elements = {
        name.removeprefix(f"{nested}."): column.of_element
        for name, column in columns.items()
        if name.startswith(f"{nested}.")
    }
    return {**columns, **elements}


@pytest.mark.parametrize("view", [*WHOLE, *UNFOLDED])
def test_a_view_says_of_a_column_what_its_table_says(view: str) -> None:
    below = columns_below(view)
    made = MADE_BY_THE_VIEW.get(view, set())
    for name, column in columns_of_view(view).items():
        if name not in made:
            assert column == below[name], f"{view}.{name}"


@pytest.mark.parametrize("view", [*WHOLE, *UNFOLDED])
def test_a_view_selects_the_columns_that_it_lists(view: str) -> None:
    found = re.search(r"^AS SELECT\n(.*?)\nFROM ", load_views()[view], re.MULTILINE | re.DOTALL)
    assert found
    selected = [line.strip().rstrip(",").split(" AS ")[-1] for line in found[1].splitlines()]
    assert selected == list(columns_of_view(view))
    assert len(selected) > 3


@pytest.mark.parametrize("table", sorted({*WHOLE.values(), *(table for table, _ in UNFOLDED.values())}))
def test_every_column_of_a_table_is_shown_by_a_view_or_withheld_on_purpose(table: str) -> None:
    shown = {"version"}
    for view in (view for view, below in WHOLE.items() if below == table):
        shown |= columns_of_view(view).keys()
    for view, (below, nested) in UNFOLDED.items():
        if below == table:
            names = columns_of_view(view).keys()
            shown |= names | {f"{nested}.{name}" for name in names}
    withheld = NOT_SHOWN.get(table, set())
    lacking = columns_of_table(table).keys() - shown - withheld
    assert lacking == set(), "show these in a view of schemas/clickhouse/views, or say here that they are withheld"
    assert withheld <= columns_of_table(table).keys(), "withheld columns that the table does not have"


def test_ratings_are_withheld_from_no_view() -> None:
    """The view takes the newest of each statement, so its columns are not those of the table."""
    fields = columns_of_table(RATINGS).keys() - {"rating_id", "source", "stored_at", "version"}
    statement = load_views()["ratings"]
    assert {name for name in fields if not re.search(rf"\b{name}\b", statement)} == set()


def test_verdicts_are_withheld_from_no_view() -> None:
    """The view joins the call, and what was withdrawn is not shown."""
    fields = columns_of_table(VERDICTS).keys() - {"thing", "stored_at", "version"}
    shown = columns_of_view("verdicts")
    assert fields <= shown.keys()
    for name in fields - {"answer"}:
        assert shown[name] == columns_of_table(VERDICTS)[name], name
