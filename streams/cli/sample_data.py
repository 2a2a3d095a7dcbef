"""`callstream sample-data`: invented calls, for dashboards and queries before there are real ones."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.times import parse_moment

MOST_CALLS = 200_000
FIRST_YEAR, LAST_YEAR = 1975, 2100
"""Ends of sample data: what is written before and after them must fit into ClickHouse, too."""


def sample_data(
    calls: Annotated[int, typer.Option(min=1, max=MOST_CALLS, help="Number of calls.")] = 5_000,
    days: Annotated[int, typer.Option(min=1, max=730, help="Number of days over which the calls are spread.")] = 60,
    until: Annotated[
        str | None,
        typer.Option(help="End of the last day, with its time zone: 2026-03-31T18:00:00+08:00; by default now."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed; the same seed and the same end give the same calls.")] = 1,
) -> None:
    """Fill an empty database with invented calls.

    They belong to the tenant `sample` and are for trying out dashboards and queries. The transcripts are assembled
    from written dialogues and judged by the shipped rules, about a hundred calls a second. The last three calls stay
    pending for ever, so that there is something overdue to see. Run `callstream migrate` first. A database that
    already holds calls is refused.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.adapters.clickhouse.sink import ClickHouseSink
    from streams.adapters.clickhouse.statements import read_rows
    from streams.demo.sample_data import SAMPLE_TENANT, SampleSpan, write_sample

    span = SampleSpan(calls, days, datetime.now(UTC) if until is None else _end(until), seed)
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
            typer.echo(f"{done} of {calls} calls of tenant {SAMPLE_TENANT}")
        typer.echo("`callstream worker rollup` computes their KPIs within a minute; or run `callstream rollup` once")
    finally:
        client.close()


def _end(text: str) -> datetime:
    moment = parse_moment(text, "--until")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise typer.BadParameter(f"the year must be from {FIRST_YEAR} to {LAST_YEAR}", param_hint="--until")
    return moment
