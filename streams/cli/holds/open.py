"""`callstream hold open` and `hold extend`: calls that a case holds from now on."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console.output import end_with_problems
from streams.cli.console.phone_number import read_phone_number
from streams.cli.console.times import parse_moment

if TYPE_CHECKING:
    from processors.custody.holds import HoldScope
    from streams.adapters.register.holds import HoldOutcome
    from streams.settings import Settings

CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="Id of the case: letters, digits and . _ : @ -")]
HeldTenantOption = Annotated[str, typer.Option(help="Tenant of the calls.")]
CallOption = Annotated[list[str] | None, typer.Option(help="Call id; can be repeated.")]
CustomerOption = Annotated[
    str | None,
    typer.Option(
        help="The calls of a customer, those to come, too: the number, or - to read it from standard input. Only its "
        "keyed hash is stored."
    ),
]
HeldFromOption = Annotated[
    str | None, typer.Option("--from", help="With --customer: calls that ended at this time or later.")
]
HeldToOption = Annotated[str | None, typer.Option("--to", help="With --customer: calls that ended before this time.")]
TicketOption = Annotated[str | None, typer.Option(help="Id of the matter, for the audit log.")]


def open_case(
    case: CaseArgument,
    tenant: HeldTenantOption,
    reason: Annotated[str, typer.Option(help="Why, in one word: lawsuit, complaint, regulator …")],
    call: CallOption = None,
    customer: CustomerOption = None,
    since: HeldFromOption = None,
    until: HeldToOption = None,
    ticket: TicketOption = None,
) -> None:
    """Open a case: nothing destroys its calls until it is released, whatever their retention.

    A call that several cases hold is free only when every one of them was released. The same command once more changes
    nothing. Ends with 1 where calls that were named are destroyed already.
    """
    from streams.cli.holds.desk import open_desk

    _check(case, reason)
    with open_desk(ticket) as desk:
        scope = _scope(desk.settings, tenant, call, customer, since, until)
        outcome = desk.holding.open(desk.asking, tenant, case, scope, reason)
    _tell(case, outcome)


def extend(
    case: CaseArgument,
    tenant: HeldTenantOption,
    call: CallOption = None,
    customer: CustomerOption = None,
    since: HeldFromOption = None,
    until: HeldToOption = None,
    ticket: TicketOption = None,
) -> None:
    """Add calls to a case that is open."""
    from streams.cli.holds.desk import open_desk

    with open_desk(ticket) as desk:
        scope = _scope(desk.settings, tenant, call, customer, since, until)
        outcome = desk.holding.extend(desk.asking, tenant, case, scope)
    _tell(case, outcome)


def _check(case: str, reason: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,159}", case):
        raise typer.BadParameter("letters, digits and . _ : @ - alone, at most 160", param_hint="CASE")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", reason):
        raise typer.BadParameter("one word of a to z, 0 to 9 and _", param_hint="--reason")


def _scope(
    settings: "Settings",
    tenant: str,
    calls: list[str] | None,
    customer: str | None,
    since: str | None,
    until: str | None,
) -> "HoldScope":
    from processors.custody.holds import CustomerScope, HoldScope

    if customer is None and (since or until):
        raise typer.BadParameter("--from and --to go with --customer")
    customers: tuple[CustomerScope, ...] = ()
    if customer is not None:
        keys = settings.customer_keys.every(tenant, read_phone_number("--customer", customer))
        zone = settings.days.zone_of(tenant)
        span = (
            None if since is None else parse_moment(since, "--from", zone),
            None if until is None else parse_moment(until, "--to", zone),
        )
        customers = (CustomerScope(frozenset(keys), *span),)
    return HoldScope(frozenset(calls or ()), customers)


def _tell(case: str, outcome: "HoldOutcome") -> None:
    scope = outcome.case.scope
    typer.echo(
        f"case {case} holds {len(scope.calls)} call(s) by id, and the calls of {len(scope.customers)} customer(s)"
    )
    if outcome.gone:
        end_with_problems(f"call {call} was destroyed before: the case does not hold it" for call in outcome.gone)
