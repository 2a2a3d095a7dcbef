"""`callstream alerts`: who hears about what, whether the file is right, and whether a subscriber can be reached."""

import typer

from streams.cli.alerts.check import check_subscriptions
from streams.cli.alerts.list import list_subscriptions
from streams.cli.alerts.test import send_test_alert

alerts_app = typer.Typer(help="Check who is sent which alerts, and try out the delivery.", no_args_is_help=True)
alerts_app.command("list")(list_subscriptions)
alerts_app.command("check")(check_subscriptions)
alerts_app.command("test")(send_test_alert)
