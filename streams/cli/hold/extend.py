"""`callstream hold extend`: more calls that a case holds from now on."""

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


def extend(
    case: CaseArgument,
    tenant: HeldTenantOption,
    call: CallOption = None,
    customer: CustomerOption = None,
    since: HeldFromOption = None,
    until: HeldToOption = None,
    ticket: MatterOption = None,
) -> None:
    """Add calls to a case that is open."""
    from streams.cli.hold.desk import open_desk

    with open_desk(ticket) as desk:
        scope = scope_of(desk.settings, tenant, call, customer, since, until)
        outcome = desk.holding.extend(desk.asking, tenant, case, scope)
        theirs = desk.held_of(tenant, outcome)
    tell(case, outcome, theirs)
