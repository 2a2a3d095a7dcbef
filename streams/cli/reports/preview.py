"""`callstream reports preview`."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console.table_file import write_private_file
from streams.cli.reports.report_file import ReportsFileOption, choose_report, read_reports


def preview_report(
    name: Annotated[str, typer.Argument(help="Name of the report.")],
    output: Annotated[Path, typer.Option(help="File for the mail, such as report.eml; mail programs open it.")],
    file: ReportsFileOption = None,
) -> None:
    """Write a report as it would be mailed to the first recipient; send nothing."""
    from streams.cli.reports.content import content_of
    from streams.cli.reports.mail import report_mail
    from streams.ports import SystemClock
    from streams.queries.kpis import open_kpis

    content, registry, settings = read_reports(file)
    report, now = choose_report(content, name), SystemClock().now()
    zone = settings.days.zone_of(report.tenant)
    with open_kpis(settings) as store:
        made = content_of(store, report, registry, report.period(now, zone), zone)
    write_private_file(output, report_mail(made, content.sender, report.to[0], now).as_bytes())
    typer.echo(str(output))
