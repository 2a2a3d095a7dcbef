"""`callstream sample-data`: invented calls, for dashboards and queries before there are real ones."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from streams.cli.command_settings import command_settings

MOST_CALLS = 200_000


def sample_data(
    calls: Annotated[int, typer.Option(min=1, max=MOST_CALLS, help="How many calls.")] = 5_000,
    days: Annotated[int, typer.Option(min=1, max=730, help="Over how many days they are spread.")] = 60,
    until: Annotated[
        str | None, typer.Option(help="End of the days, such as 2026-03-31T18:00:00+08:00; by default now.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed and the same end give the same calls.")] = 1,
) -> None:
    """Fill an empty database with invented calls of the tenant `sample`, to try dashboards and queries on.

    Transcripts are put together from written dialogues and judged by the shipped rules; about a hundred calls a second.
    The last three stay pending for ever, so that there is something overdue to see. Run `callstream migrate` first. A
    database that holds calls is refused.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.adapters.clickhouse.sink import ClickHouseSink
    from streams.adapters.clickhouse.statements import read_rows
    from streams.demo.sample_data import SAMPLE_TENANT, SampleSpan, write_sample

    span = SampleSpan(calls, days, datetime.now(UTC) if until is None else _moment(until), seed)
    client = connect(command_settings().clickhouse_url.get_secret_value())
    try:
        # Not the views: what is not a call yet, or no more, counts as well.
        known = read_rows(
            client,
            "the tenants of the database",
            "SELECT DISTINCT tenant_id FROM (SELECT tenant_id FROM outcome_versions UNION ALL "
            "SELECT tenant_id FROM call_versions) ORDER BY tenant_id LIMIT 10",
        )
        for done in write_sample(span, ClickHouseSink(client), [str(row[0]) for row in known]):
            sys.stdout.write(f"{done} of {calls} calls of tenant {SAMPLE_TENANT}\n")
            sys.stdout.flush()
        sys.stdout.write("the worker rollup makes the KPIs of them within a minute; without it: callstream rollup\n")
    finally:
        client.close()


def _moment(text: str) -> datetime:
    """A point in time with its zone, within the years that rows can have."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1975 <= moment.year <= 2100:
        raise typer.BadParameter("write it with its zone, as 2026-03-31T18:00:00+08:00", param_hint="--until")
    return moment
