"""`callstream retain event`: what a class of retention waits for has come."""

import re
from typing import Annotated

import typer

from streams.cli.console.times import parse_moment


def event(
    name: Annotated[str, typer.Argument(help="What has come, as the class names it: contract_ended.")],
    at: Annotated[str, typer.Argument(help="When: 2026-03-01, or 2026-03-01T10:15:00+08:00.")],
    tenant: Annotated[str, typer.Option(help="Tenant of the calls.")],
    call: Annotated[str | None, typer.Option(help="Of this call alone.")] = None,
    contract: Annotated[
        str | None, typer.Option(help="Of every call whose event names this contract in crm.contract_id.")
    ] = None,
    ticket: Annotated[str | None, typer.Option(help="Id of the matter that it belongs to, for the audit log.")] = None,
) -> None:
    """Tell an event from which retention counts, such as the end of a contract.

    Told again with a later time, that time holds; with an earlier one, nothing changes. Calls of the contract that come
    later are kept by it, too.
    """
    from streams.cli.hold.desk import open_desk

    if (call is None) == (contract is None):
        raise typer.BadParameter("give either --call or --contract")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise typer.BadParameter("an event is one word of a to z, 0 to 9 and _", param_hint="NAME")
    with open_desk(ticket) as desk:
        moment = parse_moment(at, "AT", desk.settings.days.zone_of(tenant))
        told = desk.holding.tell_event(desk.asking, tenant, name, moment, call_id=call, contract_id=contract)
    typer.echo(f"{told.changed} of {told.calls} call(s) are kept by it from now on")
