"""`callstream release`: a case lets go of its calls."""

import re
from typing import Annotated

import typer


def release(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Id of the case; telephony:CALL for an event's own.")],
    tenant: Annotated[str, typer.Option(help="Tenant of the case.")],
    reason: Annotated[str, typer.Option(help="Why, in one word: settled, withdrawn, mistake …")],
    ticket: Annotated[str | None, typer.Option(help="Id of the matter, for the audit log.")] = None,
) -> None:
    """Release a case of a legal hold, for good.

    Its calls that no other case holds are kept as long as their retention says: what is due goes in the next round of
    the worker `keep`. `callstream retain plan` shows what that is.
    """
    from streams.cli.hold.desk import open_desk

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", reason):
        raise typer.BadParameter("one word of a to z, 0 to 9 and _", param_hint="--reason")
    with open_desk(ticket) as desk:
        outcome = desk.holding.release(desk.asking, tenant, case, reason)
    typer.echo(f"case {case} is released" if outcome.has_changed else f"case {case} was released before")
