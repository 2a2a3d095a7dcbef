"""`callstream erase list`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json

if TYPE_CHECKING:
    from streams.adapters.register.erasures import Erasure


def list_erasures(
    tenant: Annotated[str | None, typer.Option(help="Requests to this tenant alone.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show customers' requests and how far each is; nothing in it tells a customer."""
    from streams.adapters.register.erasures import read_erasures
    from streams.adapters.register.register import Register

    settings = command_settings()
    require_permission(settings, "delete", tenant, entered_as="erased")
    register = Register.of(settings)
    try:
        found = [told(each) for each in read_erasures(register, tenant)]
    finally:
        register.close()
    if as_json:
        print_json(found)
        return
    columns = ("erasure", "tenant", "reason", "asked", "destroyed", "blocked", "done")
    table = Table(*columns)
    for each in found:
        table.add_row(*(str(each[column]) for column in columns))
    console().print(table)


def told(erasure: "Erasure") -> dict[str, object]:
    """What is shown of a request."""
    return {
        "erasure": erasure.erasure_id,
        "tenant": erasure.tenant_id,
        "reason": erasure.reason,
        "ticket": erasure.ticket,
        "asked_by": erasure.actor,
        "asked": erasure.asked_at.isoformat(timespec="seconds"),
        "destroyed": erasure.counts.get("destroyed", 0),
        "blocked": erasure.counts.get("blocked", 0),
        "done": erasure.done_at.isoformat(timespec="seconds") if erasure.done_at else "not yet",
    }
