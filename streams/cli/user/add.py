"""`callstream user add`."""

from typing import Annotated

import typer

from streams.cli.user.registered import NameArgument, PasswordFileOption, hashed, registered


def add(
    name: NameArgument,
    home: Annotated[
        str, typer.Option(help="Tenant whose administrators look after the account; * for those of all tenants.")
    ] = "*",
    administrator: Annotated[
        bool, typer.Option("--administrator", help="Also give it the role administrator of --home.")
    ] = False,
    password_file: PasswordFileOption = None,
    ask_password: Annotated[bool, typer.Option("--password", help="Ask for a password.")] = False,
    oidc_issuer: Annotated[str | None, typer.Option(help="OpenID provider at which they sign in.")] = None,
    oidc_subject: Annotated[str | None, typer.Option(help="What the provider calls them: the claim `sub`.")] = None,
    os_user: Annotated[str | None, typer.Option(help="Account of this machine whose commands speak for it.")] = None,
    clickhouse_user: Annotated[
        str | None, typer.Option(help="Their account in ClickHouse (docs/roles.md), for whoever reads the logs.")
    ] = None,
) -> None:
    """Make an account. It may do nothing until it is given a role.

    The first administrator may be added by whoever can write into the register; afterwards only administrators, and the
    owner of the data directory, add accounts.
    """
    from processors.custody.accounts import OidcSubject

    if (oidc_issuer is None) != (oidc_subject is None):
        raise typer.BadParameter("give both, or neither", param_hint="--oidc-issuer, --oidc-subject")
    with registered() as here:
        by = here.by(home if os_user is None else "*")
        if administrator and (first := here.bootstrap()) is not None:
            by = first
        kept = hashed(password_file, name) if password_file is not None or ask_password else None
        subject = None if oidc_issuer is None or oidc_subject is None else OidcSubject(oidc_issuer, oidc_subject)
        made = here.accounts.add(
            by, name, home, password_hash=kept, oidc=subject, os_user=os_user, clickhouse_user=clickhouse_user
        )
        typer.echo(f"account {made.account_id} is there")
        if administrator:
            given = here.accounts.give(by, name, "administrator", home)
            typer.echo(f"{name} is {given.role} of {'every tenant' if home == '*' else home} (grant {given.grant_id})")
