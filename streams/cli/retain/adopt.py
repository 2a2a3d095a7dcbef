"""`callstream retain adopt`: calls of earlier releases, of which nobody has decided how long they are kept."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.cli.console.times import parse_moment

if TYPE_CHECKING:
    from streams.stages.adopt import Adopted

NAMED = 20
ADOPTED = "retention_adopted"


def adopt(
    tenant: Annotated[str | None, typer.Option(help="Calls of this tenant alone.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Calls that ended at this time or later: 2026-01-01 (UTC).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Calls that ended before this time; by default now.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; count what would be.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Decide how long calls are kept that were judged before the register decided it.

    Read from ClickHouse, page by page, and decided as the worker `keep` decides. A call whose event says legal_hold is
    held first. What is due then is archived or destroyed in the next round of `keep`: look with --dry-run before.
    Stopped or killed anywhere it is given again, also while workers run. Ends with 1 where calls were left out.
    """
    from processors.custody.audit_entry import AuditEntry
    from processors.custody.authorization import EVERY_TENANT
    from streams.adapters.register.register import Register
    from streams.ports import SystemClock
    from streams.purging import adopter_from
    from streams.stages.adopt import FIRST
    from streams.wiring import audit_log_of, require_register

    settings, clock = command_settings(), SystemClock()
    who = require_permission(settings, "administer", tenant, entered_as=ADOPTED)
    begin = FIRST.ended_at if since is None else parse_moment(since, "--from", UTC)
    end = clock.now() if until is None else parse_moment(until, "--to", UTC)
    register = Register.of(settings)
    try:
        require_register(register)
        audit = audit_log_of(register, clock)
        adopter = adopter_from(settings, register, clock, audit)
        asked = AuditEntry(
            at=clock.now(),
            actor=who.actor.actor_id,
            role=who.role,
            action=ADOPTED,
            tenant_id=tenant or EVERY_TENANT,
            result="allowed",
            client="cli",
        )
        if not dry_run:
            audit.append(asked)
        tenants = [tenant] if tenant is not None else adopter.stored.tenants()
        done = adopter.adopt_all(tenants, begin, end, dry_run=dry_run, tell=_tell)
        if not dry_run:
            counts = {"adopted": done.adopted, "added": done.added, "held": done.held, "refused": len(done.refused)}
            audit.append(replace(asked, at=clock.now(), result="done", details=counts))
    finally:
        register.close()
    _print(done, dry_run=dry_run, as_json=as_json)
    if done.refused:
        raise typer.Exit(EXIT_PROBLEM)


def _tell(tenant_id: str, ended_at: datetime, so_far: "Adopted") -> None:
    """A line for each page, on standard error; a killed run is gone on with by --from."""
    typer.echo(
        f"{tenant_id}: calls until {ended_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}, {so_far.adopted} adopted so far",
        err=True,
    )


def _print(done: "Adopted", *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "adopted": done.adopted,
                "added": done.added,
                "held": done.held,
                "due": done.due,
                "passed": done.passed,
                "gone": done.gone,
                "refused": done.refused,
            }
        )
        return
    are = "would be" if dry_run else "are"
    typer.echo(
        f"{done.adopted} call(s) {are} adopted; {done.added} that were known by their event alone {are} added to"
    )
    typer.echo(
        f"of these {done.held} {are} held, as their events ask, and {done.due} {are} due already, but for those held"
    )
    typer.echo(f"passed over: {done.passed} that were known, {done.gone} that are destroyed")
    for call in done.refused[:NAMED]:
        typer.echo(f"  kept for good, it cannot be read or the register refuses it: {call}")
    if len(done.refused) > NAMED:
        typer.echo(f"  and {len(done.refused) - NAMED} more; --json lists them all")
