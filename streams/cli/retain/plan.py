"""`callstream retain plan`: what would go, when and why. Changes nothing."""

from collections import Counter
from typing import Annotated

import typer
from rich.table import Table

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.console.times import parse_day
from streams.cli.hold.options import tell_problem
from streams.queries.retention_plan import PlannedCall


def plan(
    until: Annotated[
        str | None, typer.Option(help="What is due until this day, 2026-12-31; without it, today.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Calls of this tenant alone.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=100_000, help="Calls that are listed; all are counted.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show what the worker `keep` would archive or destroy, why and when, and which cases hold what stays.

    Days are UTC days. Nothing is changed by looking.
    """
    from streams.adapters.register.holds import RegisterHolds
    from streams.adapters.register.register import Register
    from streams.adapters.register.retentions import RegisterRetentions
    from streams.ports import SystemClock
    from streams.purging import listed_from
    from streams.queries.exchange_list import ListIfItAnswers
    from streams.queries.retention_plan import planned

    clock = SystemClock()
    day = clock.now().date() if until is None else parse_day(until, "--until")
    settings = command_settings()
    register, exchange = Register.of(settings), ListIfItAnswers(listed_from(settings))
    counts: Counter[tuple[str, str]] = Counter()
    listed: list[PlannedCall] = []
    try:
        register.check()
        retentions, holds = RegisterRetentions(register, clock), RegisterHolds(register, clock)
        for one in planned(retentions, holds, day, tenant, listed=exchange.among):
            counts["held" if one.is_held else one.action, one.retention_class] += 1
            if len(listed) < limit:
                listed.append(one)
    finally:
        exchange.close()
        register.close()
    tell_problem(exchange)
    if as_json:
        print_json(
            {
                "until": day.isoformat(),
                "counts": [
                    {"what": what, "retention_class": of, "calls": calls}
                    for (what, of), calls in sorted(counts.items())
                ],
                "calls": [_as_json(one) for one in listed],
            }
        )
        return
    _print(listed, counts, day.isoformat())


def _as_json(one: PlannedCall) -> dict[str, object]:
    return {
        "tenant_id": one.tenant_id,
        "call_id": one.call_id,
        "on": one.on.isoformat(),
        "action": one.action,
        "reason": one.reason,
        "retention_class": one.retention_class,
        "policy_version": one.policy_version,
        "held_by": list(one.cases),
    }


def _print(listed: list[PlannedCall], counts: Counter[tuple[str, str]], day: str) -> None:
    if not counts:
        typer.echo(f"nothing is due until {day}")
        return
    table = Table("due on", "call", "what", "why", "class", "policy", "held by")
    for one in listed:
        table.add_row(
            one.on.isoformat(),
            f"{one.tenant_id}/{one.call_id}",
            "stays" if one.is_held else one.action,
            one.reason,
            one.retention_class,
            str(one.policy_version),
            ", ".join(one.cases),
        )
    if listed:
        console().print(table)
    for (what, of), calls in sorted(counts.items()):
        typer.echo(f"{what}: {calls} of class {of}")
