"""`callstream erase --customer -`."""

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.copies import copies_sentence
from streams.cli.console.phone_number import read_phone_number
from streams.cli.purge import check_words


def erase(customer: str, tenant: str, reason: str, ticket: str | None) -> None:
    """Erase the customer with this number."""
    from streams.adapters.register.register import Register
    from streams.ports import SystemClock
    from streams.purging import copies_of_analysts, eraser_from, keeps_calls
    from streams.wiring import require_register

    check_words(tenant, reason)
    settings, clock = command_settings(), SystemClock()
    who = require_permission(settings, "delete", tenant, entered_as="erased")
    keys = settings.customer_keys.every(tenant, read_phone_number("--customer", customer))
    register = Register.of(settings)
    try:
        require_register(register)
        eraser = eraser_from(settings, register, clock, keeps_calls(register, clock))
        done = eraser.erase(tenant, keys, reason=reason, actor=who.actor.actor_id, role=who.role, ticket=ticket)
    finally:
        register.close()
    counts = done.counts
    typer.echo(
        f"erasure {done.erasure_id}: {counts['destroyed']} call(s) destroyed, {counts['blocked']} blocked for every "
        f"use until the law or a hold lets them go, {counts['personal']} value(s) of the audit log erased"
    )
    if copies := copies_of_analysts(settings, tenant):
        typer.echo(copies_sentence(copies), err=True)
