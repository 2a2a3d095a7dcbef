"""The subscription file that the commands of `callstream alerts` read."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.config.subscription import Subscription
from schemas.errors import OperatorError
from streams.cli.command_settings import command_settings
from streams.settings import Settings

FileOption = Annotated[
    Path | None, typer.Option(help="Subscription file; by default the one in CALLSTREAM_SUBSCRIPTIONS_FILE.")
]


class NoSubscriptionError(OperatorError):
    """There is no subscription file, or none of that name in it."""


def read_subscriptions(file: Path | None) -> tuple[tuple[Subscription, ...], Settings]:
    """The subscriptions, and the settings of the command.

    Raises `SubscriptionsError`, and `NoSubscriptionError` where no file is named.
    """
    from streams.adapters.channels import read_subscriptions as read

    settings = command_settings()
    path = file or settings.subscriptions_file
    if path is None:
        raise NoSubscriptionError("no subscription file: set CALLSTREAM_SUBSCRIPTIONS_FILE, or use --file")
    return read(path), settings


def destination_of(subscription: Subscription) -> str:
    """Where it goes, without what must stay secret."""
    return subscription.channel.channel.destination
