"""`callstream api-keys revoke`."""

from typing import Annotated

import typer

from streams.cli.api_keys.fresh_key import registered_keys
from streams.cli.console.access import account


def revoke(
    key_ids: Annotated[list[str], typer.Argument(help="Ids of keys, as `api-keys list` shows them.")],
) -> None:
    """End keys: they are refused within ten seconds. Revoking one again changes nothing."""
    keys = registered_keys()
    for key_id in key_ids:
        key = keys.revoke(key_id, actor=account())
        typer.echo(f"key {key.key_id} of {key.tenant_id} is revoked")
