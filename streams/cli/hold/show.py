"""`callstream hold show`: a case, and the calls that it holds now."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import end_with_problems, print_json
from streams.cli.hold.list import case_facts
from streams.cli.hold.options import tell_problem


def show(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Id of the case.")],
    tenant: Annotated[str, typer.Option(help="Tenant of the case.")],
    limit: Annotated[int, typer.Option(min=0, max=1_000_000, help="Calls that are listed.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show a case with the calls that it holds: those that it names, and those of its customers."""
    from streams.adapters.register.holds import RegisterCaseList
    from streams.adapters.register.register import Register
    from streams.purging import listed_from
    from streams.queries.exchange_list import ListIfItAnswers, held_of_customers

    settings = command_settings()
    register, listed = Register.of(settings), ListIfItAnswers(listed_from(settings))
    try:
        register.check()
        cases = RegisterCaseList(register)
        row = cases.find(tenant, case)
        held = set(cases.calls(tenant, case, limit))
        theirs = held_of_customers(cases, listed, tenant, cases.customers(tenant, case))
    finally:
        listed.close()
        register.close()
    if row is None:
        end_with_problems([f"{tenant} has no case {case}"])
    tell_problem(listed)
    by_list_alone = theirs.by_list_alone
    shown = sorted(held | (by_list_alone or frozenset()))[:limit]
    facts = case_facts(row) | {"by_list_alone": None if by_list_alone is None else len(by_list_alone)}
    if as_json:
        print_json(facts | {"held": shown})
        return
    for name, value in facts.items():
        if value is not None:
            typer.echo(f"{name}: {value}")
    for call_id in shown:
        typer.echo(f"  {call_id}")
