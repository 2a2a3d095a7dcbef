"""`callstream reports list`."""

from rich.table import Table

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.reports.report_file import ReportsFileOption, read_reports


def list_reports(file: ReportsFileOption = None, as_json: JsonOption = False) -> None:
    """Show each report, its last period, and what became of it at each recipient."""
    from streams.adapters.register.register import Register
    from streams.adapters.register.sent_reports import RegisterSentReports
    from streams.ports import SystemClock

    content, _, settings = read_reports(file)
    clock, register = SystemClock(), Register.of(settings)
    sent = RegisterSentReports(register, clock)
    rows = []
    try:
        for report in content.reports:
            zone = settings.days.zone_of(report.tenant)
            period = report.period(clock.now(), zone)
            found = sent.of(report.name, report.period_id(period))
            for recipient in report.to:
                one = found.get(recipient)
                rows.append(
                    {
                        "report": report.name,
                        "tenant": report.tenant,
                        "period": report.period_id(period),
                        "due_at": report.due_at(period, zone).isoformat(),
                        "recipient": recipient,
                        "state": "due" if one is None else one.state,
                        "attempts": 0 if one is None else one.attempts,
                        "error": None if one is None else one.error,
                    }
                )
    finally:
        register.close()
    if as_json:
        print_json({"reports": rows})
        return
    table = Table("report", "tenant", "period", "due", "recipient", "state", "attempts", "error")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console().print(table)
