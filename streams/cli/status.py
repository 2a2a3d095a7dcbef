"""`callstream status`: how the pipeline is doing."""

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json


def status(
    as_json: JsonOption = False,
    outcomes: bool = typer.Option(
        True,
        "--outcomes/--no-outcomes",
        help="Count how the calls of the last status_days days ended; probes do without.",
    ),
) -> None:
    """Show lag, workers, outcomes and dead letters of the pipeline, and whether Kafka takes records.

    Calls are those whose event or outcome came in the last status_days days (8 unless set), dead letters those of the
    same days. What is older and still without outcome is found by `callstream check data`, and older letters by
    `callstream dead-letters list`.

    Ends with 1 if calls have been without an outcome for longer than the setting processing_objective_s, if Kafka takes
    no record, if the register does not answer or its events have waited for Kafka as long, if the disk of the data
    folder is full, or if a worker of this machine does not move, has gone, or ends again and again. Workers of other
    machines are not seen. Ends with 4 where Kafka or ClickHouse does not answer; without ClickHouse it shows what the
    others know. What waits is no problem by itself: read the lag.
    """
    from schemas.errors import RetryableError
    from streams.ports import SystemClock
    from streams.queries.status import pipeline_status, status_tables

    found = pipeline_status(command_settings(), SystemClock(), with_outcomes=outcomes)
    if as_json:
        print_json(found.as_json())
    else:
        out = console()
        for table in status_tables(found):
            out.print(table)
        typer.echo(found.summary())
        for problem in (*found.problems, *found.local.problems):
            typer.echo(f"problem: {problem}", err=True)
    if found.clickhouse_away:
        raise RetryableError(found.clickhouse_away)
    raise typer.Exit(EXIT_PROBLEM if found.is_problem else 0)
