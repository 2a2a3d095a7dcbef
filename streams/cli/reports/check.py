"""`callstream reports check`."""

import typer

from streams.cli.reports.report_file import ReportsFileOption, read_reports


def check_reports(file: ReportsFileOption = None) -> None:
    """Check the file of reports; send nothing.

    Names what is wrong by line, report and field.
    """
    content, _, _ = read_reports(file)
    typer.echo(f"{len(content.reports)} report(s), no problems")
