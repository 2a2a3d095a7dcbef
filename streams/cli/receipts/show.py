"""`callstream receipts show`."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.output import end_with_problems


def show(purge_id: Annotated[str, typer.Argument(help="Id of the purge, as `callstream purge` printed it.")]) -> None:
    """Print the signed receipt of a purge, for a file or for who asked for it. Nothing of a person stands in it."""
    from streams.adapters.register.register import Register
    from streams.adapters.register.tombstones import read_purge

    settings = command_settings()
    register = Register.of(settings)
    try:
        found = read_purge(register, purge_id)
    except LookupError as error:
        end_with_problems([str(error)])
    finally:
        register.close()
    require_permission(settings, "delete", found.order.tenant_id, entered_as="purged")
    if found.receipt is None:
        end_with_problems([f"purge {purge_id} is not read back yet: go on with `callstream purge --go-on`"])
    typer.echo(found.receipt.decode())
