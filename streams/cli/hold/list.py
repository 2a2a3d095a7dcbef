"""`callstream hold list`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json

if TYPE_CHECKING:
    from streams.adapters.register.holds import CaseRow


def list_cases(
    tenant: Annotated[str | None, typer.Option(help="Cases of this tenant alone.")] = None,
    released: Annotated[bool, typer.Option("--released", help="Those that were released, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List cases, the newest first: at most a thousand."""
    from streams.adapters.register.holds import RegisterCaseList
    from streams.adapters.register.register import Register

    register = Register.of(command_settings())
    try:
        register.check()
        rows = [case_facts(row) for row in RegisterCaseList(register).list(tenant, released=released)]
    finally:
        register.close()
    if as_json:
        print_json(rows)
        return
    table = Table("case", "tenant", "state", "reason", "opened", "by", "calls", "customers")
    for row in rows:
        names = ("case_id", "tenant_id", "state", "reason", "opened_at", "opened_by", "calls", "customers")
        table.add_row(*(str(row[name]) for name in names))
    console().print(table)


def case_facts(row: "CaseRow") -> dict[str, object]:
    """A case, as JSON has it."""
    return {
        "case_id": row.case_id,
        "tenant_id": row.tenant_id,
        "state": row.state,
        "reason": row.reason,
        "opened_at": row.opened_at.isoformat(timespec="seconds"),
        "opened_by": row.opened_by,
        "released_at": None if row.released_at is None else row.released_at.isoformat(timespec="seconds"),
        "released_by": row.released_by,
        "calls": row.calls,
        "customers": row.customers,
    }
