"""`callstream hold open`: calls that a case holds from now on."""

import re
from typing import Annotated

import typer

from streams.cli.hold.options import (
    CallOption,
    CaseArgument,
    CustomerOption,
    HeldFromOption,
    HeldTenantOption,
    HeldToOption,
    MatterOption,
    scope_of,
    tell,
)


def open_case(
    case: CaseArgument,
    tenant: HeldTenantOption,
    reason: Annotated[str, typer.Option(help="Why, in one word: lawsuit, complaint, regulator …")],
    call: CallOption = None,
    customer: CustomerOption = None,
    since: HeldFromOption = None,
    until: HeldToOption = None,
    ticket: MatterOption = None,
) -> None:
    """Open a case: nothing destroys its calls until it is released, whatever their retention.

    A call that several cases hold is free only when every one of them was released. The same command once more changes
    nothing. Ends with 1 where calls that were named are destroyed already.
    """
    from streams.cli.hold.desk import open_desk

    _check(case, reason)
    with open_desk(ticket) as desk:
        scope = scope_of(desk.settings, tenant, call, customer, since, until)
        outcome = desk.holding.open(desk.asking, tenant, case, scope, reason)
        theirs = desk.held_of(tenant, outcome)
    tell(case, outcome, theirs)


def _check(case: str, reason: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,159}", case):
        raise typer.BadParameter("letters, digits and . _ : @ - alone, at most 160", param_hint="CASE")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", reason):
        raise typer.BadParameter("one word of a to z, 0 to 9 and _", param_hint="--reason")
