"""`callstream retain show`: how long one call is kept, and what decided it."""

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import end_with_problems, print_json
from streams.cli.hold.options import tell_problem

if TYPE_CHECKING:
    from streams.adapters.register.retentions import KeptCall


def show(
    call: Annotated[str, typer.Argument(help="Call id.")],
    tenant: Annotated[str, typer.Option(help="Tenant of the call.")],
    as_json: JsonOption = False,
) -> None:
    """Show the class that keeps a call, by which version of the policy, until when, and what holds it."""
    from streams.adapters.register.holds import RegisterHolds
    from streams.adapters.register.register import Register
    from streams.adapters.register.retentions import RegisterRetentions
    from streams.ports import SystemClock
    from streams.purging import listed_from
    from streams.queries.exchange_list import ListIfItAnswers

    settings = command_settings()
    register, listed = Register.of(settings), ListIfItAnswers(listed_from(settings))
    try:
        register.check()
        kept = RegisterRetentions(register, SystemClock()).find(tenant, call)
        told = listed.among([(tenant, call)]).get((tenant, call))
        cases = RegisterHolds(register, SystemClock()).cases(tenant, call, told)
    finally:
        listed.close()
        register.close()
    tell_problem(listed)
    if kept is None:
        end_with_problems([f"nothing is known of how long call {call} of {tenant} is kept"])
    found = _facts(kept) | {"held_by": list(cases)}
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if value not in (None, []):
            typer.echo(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")


def _facts(kept: "KeptCall") -> dict[str, object]:
    from processors.custody.retention import holding_term, open_classes

    due, term = kept.due, holding_term(kept.retention, kept.ended_at)
    return {
        "tenant_id": kept.tenant_id,
        "call_id": kept.call_id,
        "ended_at": kept.ended_at.isoformat(),
        "retention_class": None if term is None else term.retention_class,
        "days": None if term is None else term.days,
        "counts_from": None if term is None else term.starts_at.isoformat(),
        "policy_version": None if term is None else term.policy_version,
        "decided_by": None if term is None else term.decided_by,
        "waits_for": [one.event for one in open_classes(kept.retention)],
        "next": None if due is None else due.action,
        "due_on": None if due is None else due.on.isoformat(),
        "reason": None if due is None else due.reason,
        "archived_on": None if kept.retention.archived_on is None else kept.retention.archived_on.isoformat(),
    }
