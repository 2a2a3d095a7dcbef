"""`callstream erase`: a customer asks that nothing of them is kept."""

from typing import Annotated

import typer

from streams.cli.erase.erase import erase
from streams.cli.erase.list import list_erasures
from streams.cli.erase.show import show

erase_app = typer.Typer(
    help="Erase a customer (PIPL 47): every call goes, at once or on the day on which it may.", no_args_is_help=True
)


@erase_app.callback(invoke_without_command=True)
def of_customer(
    context: typer.Context,
    customer: Annotated[
        str | None, typer.Option(help="Phone number of the customer; - reads it from standard input.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose customer it is.")] = "",
    reason: Annotated[str, typer.Option(help="Why, as a word: request, consent_withdrawn …")] = "",
    ticket: Annotated[str | None, typer.Option(help="Case that it is done for.")] = None,
) -> None:
    """Erase a customer: `callstream erase --customer - --tenant acme --reason request`, the number on standard input.

    Calls within a floor of the law or under a legal hold are blocked at once for every use, and destroyed on the day on
    which the last of these ends; the receipt says so. All others are destroyed before the command ends.
    """
    if context.invoked_subcommand is None and customer is not None:
        erase(customer, tenant, reason, ticket)
    elif context.invoked_subcommand is None:
        raise typer.BadParameter("give --customer -, and the number on standard input", param_hint="--customer")


erase_app.command("list")(list_erasures)
erase_app.command("show")(show)
