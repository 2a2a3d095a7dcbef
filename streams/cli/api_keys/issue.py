"""`callstream api-keys issue`."""

import re
from typing import Annotated, cast

import typer

from processors.custody.api_keys import SCOPES, ApiScope
from streams.cli.api_keys.fresh_key import DaysOption, lifetime, registered_keys, show_once
from streams.cli.console.access import account


def issue(
    tenant: Annotated[str, typer.Argument(help="Tenant whose calls the key is for.")],
    label: Annotated[str, typer.Option(help="Which system uses it, for lists.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help=f"What it allows, once or several times: {', '.join(SCOPES)}.")
    ] = None,
    days: DaysOption = 365,
) -> None:
    """Make a key and show it, this once.

    Without --scope it may upload recordings and ask where calls stand.
    """
    from streams.ports import SystemClock

    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", tenant):
        raise typer.BadParameter("a tenant is written a-z, 0-9, _ and -, and begins with a letter")
    if len(label) > 128:
        raise typer.BadParameter("at most 128 letters", param_hint="--label")
    scopes = scope or ["recordings:write", "calls:read"]
    if unknown := [each for each in scopes if each not in SCOPES]:
        raise typer.BadParameter(f"{unknown[0]} is not a scope: {', '.join(SCOPES)}", param_hint="--scope")
    lasts = lifetime(days)
    ends = None if lasts is None else SystemClock().now() + lasts
    chosen = [cast(ApiScope, each) for each in scopes]
    show_once(registered_keys().issue(tenant, label, chosen, ends, actor=account()))
