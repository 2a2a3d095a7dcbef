"""`callstream reports send`: what is due, to whoever has not got it yet."""

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.reports.report_file import ReportsFileOption, choose_report, read_reports

if TYPE_CHECKING:
    from streams.adapters.register.sent_reports import ReportState


def send_reports(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Only these reports.")] = None,
    file: ReportsFileOption = None,
) -> None:
    """Mail every report that is due to whoever has not got it yet.

    A timer runs this every ten minutes (docs/reports.md). Each period goes to each recipient once, whoever sends; what
    a mail server did not take is tried again by the next run, while the period is the last one. Ends with 1 if a mail
    was not taken.
    """
    from streams.adapters.channels.smtp import submit
    from streams.adapters.register.register import Register
    from streams.adapters.register.sent_reports import RegisterSentReports
    from streams.cli.reports.content import content_of
    from streams.cli.reports.mail import report_mail
    from streams.ports import SystemClock
    from streams.queries.kpis import open_kpis

    content, registry, settings = read_reports(file)
    reports = [choose_report(content, name) for name in names] if names else list(content.reports)
    clock, register = SystemClock(), Register.of(settings)
    sent, failed = RegisterSentReports(register, clock), False
    try:
        for report in reports:
            zone = settings.days.zone_of(report.tenant)
            period = report.period(clock.now(), zone)
            period_id = report.period_id(period)
            claimed = [each for each in report.to if sent.claim(report.name, period_id, each)]
            if not claimed:
                continue
            left = list(claimed)
            try:
                with open_kpis(settings) as store:
                    made = content_of(store, report, registry, period, zone)
                while left:
                    mail = report_mail(made, content.sender, left[0], clock.now())
                    answer = submit(mail, content.smtp, content.sender, [left[0]])
                    state = _STATES.get(answer.verdict, "refused")
                    error = " ".join(str(part) for part in (answer.status_code, answer.error_class) if part)
                    recipient = left.pop(0)
                    sent.tell(report.name, period_id, recipient, state, None if state == "sent" else error)
                    failed = failed or state != "sent"
                    typer.echo(
                        f"{report.name} {period_id} {recipient}: {state}{'' if state == 'sent' else f' ({error})'}"
                    )
            finally:
                for recipient in left:  # ClickHouse does not answer, say: the next run tries again
                    sent.tell(report.name, period_id, recipient, "later", "NotMade")
    finally:
        register.close()
    raise typer.Exit(EXIT_PROBLEM if failed else 0)


_STATES: "dict[str, ReportState]" = {"accepted": "sent", "later": "later", "refused": "refused"}
