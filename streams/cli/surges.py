"""`callstream surges`: topics that are mentioned far more often than usual."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.console.times import parse_moment


def surges(
    at: Annotated[
        str | None,
        typer.Option(help="End of the hour, with its time zone: 2026-03-02T10:15:00+08:00; by default now."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the topics of one hour with those of past weeks.

    Each topic is compared with its own calls in the same hour of the week. Raises no alerts; `callstream worker
    watch` does. Ends with 1 if there is a surge.
    """
    from processors.kpi.surges import last_step
    from streams.ports import SystemClock
    from streams.stages.watch import as_json as surges_json
    from streams.stages.watch import build_surges, surges_table

    end = last_step(SystemClock().now() if at is None else parse_moment(at, "--at"))
    assessments = build_surges(command_settings()).assessments(end, end)
    if as_json:
        print_json(surges_json(assessments))
    else:
        console().print(surges_table(assessments, end))
    raise typer.Exit(EXIT_PROBLEM if any(one.verdict == "surge" for one in assessments) else 0)
