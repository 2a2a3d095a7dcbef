"""`callstream user revoke-grant`."""

from typing import Annotated

import typer

from streams.cli.user.registered import NameArgument, registered


def revoke_grant(
    name: NameArgument,
    grant_ids: Annotated[list[str], typer.Argument(help="Ids of grants, as `callstream user show` names them.")],
) -> None:
    """Take roles from an account: within ten seconds. Doing it again changes nothing."""
    with registered() as here:
        tenants = {grant.grant_id: grant.tenant_id for grant in here.find(name).grants}
        for grant_id in grant_ids:
            here.accounts.revoke_grant(here.by(tenants.get(grant_id, "*")), name, grant_id)
            typer.echo(f"grant {grant_id} of {name} is revoked")
