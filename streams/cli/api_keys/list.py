"""`callstream api-keys list`."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from streams.cli.api_keys.fresh_key import registered_keys
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json


def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Keys of this tenant alone.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every key with its state, without its secret. When it was used last is right to about an hour."""
    from streams.ports import SystemClock

    now = SystemClock().now()
    listed = registered_keys().list(tenant)
    rows = [
        {
            "key_id": each.key.key_id,
            "tenant_id": each.key.tenant_id,
            "label": each.key.label,
            "scopes": sorted(each.key.scopes),
            "state": "revoked" if each.key.revoked_at else "holds" if each.key.holds(now) else "expired",
            "issued_at": _written(each.key.issued_at),
            "expires_at": _written(each.key.expires_at),
            "used_at": _written(each.used_at),
            "replaced_by": each.key.replaced_by,
        }
        for each in listed
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("key", "tenant", "label", "scopes", "state", "expires", "used", "replaced by")
    for row in rows:
        table.add_row(
            str(row["key_id"]),
            str(row["tenant_id"]),
            Text(str(row["label"])),
            " ".join(row["scopes"] or ()),
            str(row["state"]),
            str(row["expires_at"] or "never"),
            str(row["used_at"] or "never"),
            str(row["replaced_by"] or ""),
        )
    console().print(table)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
