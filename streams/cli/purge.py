"""`callstream purge`: calls are destroyed, by the one function that does it."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.copies import copies_sentence
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json

REASON = r"[a-z][a-z0-9_]{0,63}"


def purge(
    calls: Annotated[list[str] | None, typer.Argument(help="Ids of calls.")] = None,
    tenant: Annotated[str, typer.Option(help="Whose calls they are.")] = "",
    reason: Annotated[str, typer.Option(help="Why, as a word: request, misdial, mistake …")] = "",
    ticket: Annotated[str | None, typer.Option(help="Case that it is done for.")] = None,
    go_on: Annotated[
        bool, typer.Option("--go-on", help="Finish what was begun, and destroy blocked calls that nothing keeps.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Destroy calls for ever: recording, transcript, rows, keys. What a legal hold keeps stays, and ends it with 1.

    Everything that comes of such a call later is dropped. The figures of its day stay as they are. When the command
    ends, all of it is read back and a receipt is signed (`callstream receipts show`). A command that was stopped is
    gone on with by --go-on; the worker `keep` does that, too. It needs a role that may delete calls of the tenant, and
    --go-on one that may delete those of all.
    """
    from streams.adapters.register.register import Register
    from streams.ports import SystemClock
    from streams.purging import copies_of_analysts, keeps_calls, purger_from
    from streams.wiring import require_register

    check_words(tenant, reason, needed=not go_on)
    if bool(calls) == go_on:
        raise typer.BadParameter("name calls, or give --go-on", param_hint="CALL…")
    from processors.custody.purge import PurgeOrder

    settings, clock = command_settings(), SystemClock()
    who = require_permission(settings, "delete", tenant or None, entered_as="purged")
    register = Register.of(settings)
    try:
        require_register(register)
        purger = purger_from(settings, register, clock, keeps_calls(register, clock))
        if go_on:
            typer.echo(f"{purger.go_on()} purge(s) got on with")
            return
        done = purger.purge(PurgeOrder(tenant, reason, who.actor.actor_id, ticket=ticket, role=who.role), calls or ())
    finally:
        register.close()
    if as_json:
        told = {"purges": done.purges, "destroyed": done.buried, "held": done.held, "destroyed_before": done.known}
        copies = copies_of_analysts(settings, tenant) if done.buried else []
        print_json({**told, "copies_of_analysts": copies})
    else:
        typer.echo(f"{len(done.buried)} call(s) destroyed; receipts: {', '.join(done.purges) or 'none'}")
        for call_id, purge_id in sorted(done.known.items()):
            typer.echo(f"{call_id}: its tombstone stands since before ({purge_id or 'blocked'})")
        for call_id, cases in sorted(done.held.items()):
            typer.echo(f"{call_id}: held by {', '.join(cases)}; nothing of it is destroyed", err=True)
        if done.buried and (copies := copies_of_analysts(settings, tenant)):
            typer.echo(copies_sentence(copies), err=True)
    if done.held:
        raise typer.Exit(EXIT_PROBLEM)


def check_words(tenant: str, reason: str, *, needed: bool = True) -> None:
    """Raises `typer.BadParameter`."""
    import re

    if not needed:
        return
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", tenant):
        raise typer.BadParameter("name the tenant: a-z, 0-9, _ and -, beginning with a letter", param_hint="--tenant")
    if not re.fullmatch(REASON, reason):
        raise typer.BadParameter("say why, in a word: a-z, 0-9 and _, beginning with a letter", param_hint="--reason")
