"""What `callstream hold open` and `hold extend` share."""

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console.output import end_with_problems
from streams.cli.console.phone_number import read_phone_number
from streams.cli.console.times import parse_moment

if TYPE_CHECKING:
    from processors.custody.holds import HoldScope
    from streams.adapters.register.holds import HoldOutcome
    from streams.queries.exchange_list import HeldOfCustomers, ListIfItAnswers
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
MatterOption = Annotated[str | None, typer.Option(help="Id of the matter, for the audit log.")]


NOT_ASKED = "which calls the exchange's list alone names is not known; they are held all the same"


def tell_problem(listed: "ListIfItAnswers") -> None:
    if listed.problem:
        typer.echo(f"{NOT_ASKED}: {listed.problem}", err=True)


def scope_of(
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


def tell(case: str, outcome: "HoldOutcome", theirs: "HeldOfCustomers") -> None:
    scope = outcome.case.scope
    typer.echo(
        f"case {case} holds {len(scope.calls)} call(s) by id, and the calls of {len(scope.customers)} customer(s)"
    )
    if scope.customers:
        by_list = "an unknown number" if theirs.by_list_alone is None else str(len(theirs.by_list_alone))
        typer.echo(
            f"of these customers {len(theirs.by_event)} call(s) are known by their own events, and {by_list} by the "
            "exchange's list alone"
        )
    if theirs.problem:
        typer.echo(f"{NOT_ASKED}: {theirs.problem}", err=True)
    if outcome.gone:
        end_with_problems(f"call {call} was destroyed before: the case does not hold it" for call in outcome.gone)
