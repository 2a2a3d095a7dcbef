"""`callstream erase show`."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.output import end_with_problems


def show(erasure_id: Annotated[str, typer.Argument(help="Id of the request, as `erase list` shows it.")]) -> None:
    """Print the signed receipt of a request: how many calls were destroyed, and how many are blocked."""
    from streams.adapters.register.erasures import read_erasures
    from streams.adapters.register.register import Register

    settings = command_settings()
    register = Register.of(settings)
    try:
        found = [each for each in read_erasures(register) if each.erasure_id == erasure_id]
    finally:
        register.close()
    require_permission(settings, "delete", found[0].tenant_id if found else None, entered_as="erased")
    if not found or found[0].receipt is None:
        end_with_problems([f"there is no receipt of an erasure {erasure_id}"])
    typer.echo(found[0].receipt.decode())
