"""The file of reports: when each is due, and what is said of a file that is wrong."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from streams.cli.reports.report_file import Every, Report
from tests.streams.cli.terminal import Terminal

ZONE = ZoneInfo("Asia/Shanghai")
EXAMPLE = Path(__file__).parents[4] / "deploy" / "reports.example.yaml"
SMTP = "version: 1\nsmtp: {host: mail.example.com, tls: none}\nfrom: qa@example.com\nreports:\n"


def a_report(every: Every, hour: int = 8) -> Report:
    return Report(name="r", tenant="acme", every=every, hour=hour, to=("boss@example.com",))


@pytest.mark.parametrize(
    ("every", "now", "found"),
    [
        pytest.param("daily", "2026-03-02T08:00+08:00", "2026-03-01", id="the day is over, and its hour has come"),
        pytest.param("daily", "2026-03-02T07:59+08:00", "2026-02-28", id="its hour has not come"),
        pytest.param("daily", "2026-03-02T00:00+00:00", "2026-03-01", id="by the clock of the tenant"),
        pytest.param("weekly", "2026-03-09T08:00+08:00", "2026-W10", id="on Monday"),
        pytest.param("weekly", "2026-03-09T07:59+08:00", "2026-W09", id="before the hour of Monday"),
        pytest.param("weekly", "2026-03-15T23:00+08:00", "2026-W10", id="until Sunday"),
        pytest.param("weekly", "2027-01-04T08:00+08:00", "2026-W53", id="the week of two years"),
        pytest.param("monthly", "2026-03-01T08:00+08:00", "2026-02", id="on the first"),
        pytest.param("monthly", "2026-03-01T07:00+08:00", "2026-01", id="before the hour of the first"),
        pytest.param("monthly", "2026-01-31T12:00+08:00", "2025-12", id="over the year"),
    ],
)
def test_the_last_period_that_is_due(every: Every, now: str, found: str) -> None:
    report = a_report(every)
    moment = datetime.fromisoformat(now).astimezone(UTC)
    period = report.period(moment, ZONE)
    assert report.period_id(period) == found
    assert report.due_at(period, ZONE) <= moment


def test_earlier_periods_join_without_gaps() -> None:
    for every in ("daily", "weekly", "monthly"):
        report = a_report(every)
        periods = report.earlier(report.period(datetime(2026, 3, 31, 1, tzinfo=UTC), ZONE), 14, ZONE)
        assert len({report.period_id(each) for each in periods}) == 14
        assert all(one.end == other.start for one, other in pairwise(periods))


def test_the_example_is_right(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "x")
    terminal.set(reports_file=EXAMPLE)
    done = terminal.run("reports", "check")
    assert (done.code, done.out, done.err) == (0, "3 report(s), no problems\n", "")


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("{name: a, tenant: acme, every: hourly, to: [b@example.com]}", "report a, field reports.0.every: "),
        ("{name: a, tenant: acme, every: daily, to: []}", "field reports.0.to: "),
        ("{name: a, tenant: acme, every: daily, to: [boss]}", "must be an address"),
        ('{name: a, tenant: acme, every: daily, to: ["b@example.com\\nBcc: x@example.com"]}', "must be an address"),
        ('{name: a, tenant: acme, every: daily, title: "a\\nBcc: x", to: [b@example.com]}', "field reports.0.title: "),
        ("{name: a, tenant: '*', every: daily, to: [b@example.com]}", "field reports.0.tenant: "),
        ("{name: a, tenant: acme, every: daily, kpis: [moon], to: [b@example.com]}", "report a: moon is no KPI"),
        (
            "{name: a, tenant: acme, every: daily, by: team, kpis: [recording_completeness], to: [b@example.com]}",
            "recording_completeness is not available by team",
        ),
    ],
)
def test_what_is_wrong_is_said_by_report_and_field(report: str, said: str, terminal: Terminal) -> None:
    terminal.file("reports.yaml", f"{SMTP}  - {report}\n")
    done = terminal.run("reports", "check", "--file", "reports.yaml")
    assert (done.code != 0, said in done.err) == (True, True), done.err


def test_a_name_stands_once_and_a_file_must_be_named(terminal: Terminal) -> None:
    one = "  - {name: a, tenant: acme, every: daily, to: [b@example.com]}\n"
    terminal.file("reports.yaml", f"{SMTP}{one}{one}")
    assert "report a occurs twice" in terminal.run("reports", "check", "--file", "reports.yaml").err
    assert "CALLSTREAM_REPORTS_FILE" in terminal.run("reports", "check").err


def test_a_password_is_never_said(terminal: Terminal) -> None:
    text = SMTP.replace("tls: none", "tls: none, password: hunter2")
    terminal.file("reports.yaml", f"{text}  - {{name: a, tenant: acme, every: daily, to: [b@example.com]}}\n")
    done = terminal.run("reports", "check", "--file", "reports.yaml")
    assert ("a password needs tls" in done.err, "hunter2" in done.err) == (True, False)
