"""`callstream hold show`: a case, and the calls that it holds now."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import end_with_problems, print_json
from streams.cli.hold.list import case_facts


def show(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Id of the case.")],
    tenant: Annotated[str, typer.Option(help="Tenant of the case.")],
    limit: Annotated[int, typer.Option(min=0, max=1_000_000, help="Calls that are listed.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show a case with the calls that it holds: those that it names, and those of its customers."""
    from streams.adapters.register.holds import RegisterCaseList
    from streams.adapters.register.register import Register

    register = Register.of(command_settings())
    try:
        register.check()
        cases = RegisterCaseList(register)
        row = cases.find(tenant, case)
        held = cases.calls(tenant, case, limit)
    finally:
        register.close()
    if row is None:
        end_with_problems([f"{tenant} has no case {case}"])
    if as_json:
        print_json(case_facts(row) | {"held": list(held)})
        return
    for name, value in case_facts(row).items():
        if value is not None:
            typer.echo(f"{name}: {value}")
    for call_id in held:
        typer.echo(f"  {call_id}")
