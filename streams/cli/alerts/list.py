"""`callstream alerts list`."""

from rich.table import Table

from schemas.config.subscription import Subscription
from streams.cli.alerts.subscriptions import FileOption, destination_of, read_subscriptions
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json


def list_subscriptions(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List who is sent which alerts.

    Shows no secrets, no recipients, and only the host of a URL.
    """
    rows = [
        {
            "name": subscription.name,
            "tenant": subscription.tenant,
            "on": subscription.on,
            "from severity": subscription.min_severity if subscription.on == "alerts" else "",
            "only": ", ".join(
                (*subscription.categories, *subscription.teams, *subscription.rules, *subscription.triggers)
            ),
            "quiet": _quiet(subscription),
            "channel": subscription.channel.kind,
            "to": destination_of(subscription),
        }
        for subscription in read_subscriptions(file)[0]
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "tenant", "on", "from severity", "only", "quiet", "channel", "to")
    for row in rows:
        table.add_row(*row.values())
    console().print(table)


def _quiet(subscription: Subscription) -> str:
    quiet = subscription.quiet_hours
    return "" if quiet is None else f"{quiet.begin:%H:%M}-{quiet.end:%H:%M} {quiet.timezone}"
