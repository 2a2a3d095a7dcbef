"""`callstream reports`: KPIs by mail, each day, week or month."""

import typer

from streams.cli.reports.check import check_reports
from streams.cli.reports.list import list_reports
from streams.cli.reports.preview import preview_report
from streams.cli.reports.send import send_reports

reports_app = typer.Typer(
    help="Mail KPIs each day, week or month, with pictures (docs/reports.md).", no_args_is_help=True
)
reports_app.command("check")(check_reports)
reports_app.command("list")(list_reports)
reports_app.command("preview")(preview_report)
reports_app.command("send")(send_reports)
