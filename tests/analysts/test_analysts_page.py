"""Every query of docs/analysts.md runs for an analyst, gives rows, and has the columns that stand below it.

Rows are not compared: rules and dialogues may change. `python -m tests.analysts.analysts_page` writes them anew.
"""

import re

import pytest
from clickhouse_connect.driver.client import Client

from tests.analysts.analysts_page import PAGE, Query, queries

pytestmark = pytest.mark.embedded

QUERIES = queries()
TEXT = PAGE.read_text(encoding="utf-8")


def test_no_query_stands_without_an_output() -> None:
    assert len(QUERIES) == len(re.findall(r"^```sql$", TEXT, re.MULTILINE))


@pytest.mark.parametrize("query", QUERIES, ids=range(1, len(QUERIES) + 1))
def test_a_query_runs_and_gives_what_stands_below_it(query: Query, bi_analyst: Client) -> None:
    columns = [row[0] for row in bi_analyst.query(f"DESCRIBE ({query.sql})").result_rows]
    assert columns == query.told_columns
    if query.is_of_invented_calls or "system.columns" in query.sql:
        assert bi_analyst.query(query.sql).result_rows


def test_every_view_of_calls_is_in_the_table_of_views(analyst: Client) -> None:
    table = TEXT.split("## The views", 1)[1].split("\n## ", 1)[0]
    told = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    views = analyst.query(
        "SELECT name FROM system.tables WHERE database = 'callstream' AND engine = 'View'"
    ).result_rows
    with_parameters = ("demands", "customer_demands", "why_changed", "rated_and_unrated", "search_text")
    of_kpis = {name for (name,) in views if name.startswith("kpi") or name in with_parameters}
    assert {name for (name,) in views} - of_kpis - told == set()
