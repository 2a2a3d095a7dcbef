"""`callstream alerts check`."""

import typer

from streams.cli.alerts.subscriptions import FileOption, read_subscriptions


def check_subscriptions(file: FileOption = None) -> None:
    """Check the subscription file; send nothing.

    Names what is wrong by line, subscription and field.
    """
    subscriptions, _ = read_subscriptions(file)
    typer.echo(f"{len(subscriptions)} subscription(s), no problems")
