"""The file of reports: what is mailed to whom, about which KPIs and how often."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import typer
from pydantic import Field, StringConstraints, model_validator

from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.reports import Period
from schemas.config.kpis.kpi import Dimension, Kpi, KpiRegistry
from schemas.config.yaml_files import Location, YamlFileError, find_repeated, read_yaml_file
from schemas.errors import OperatorError
from schemas.messages.alert_delivery import SubscriberName
from schemas.messages.message import Record, Slug, TenantId
from streams.adapters.channels.smtp import MailAddress, SmtpServer
from streams.cli.command_settings import command_settings
from streams.settings import Settings

MOST_REPORTS = 200
Every = Literal["daily", "weekly", "monthly"]

ReportsFileOption = Annotated[
    Path | None, typer.Option(help="File of reports; by default the one in CALLSTREAM_REPORTS_FILE.")
]


class NoReportsError(OperatorError):
    """There is no file of reports, or none of that name in it."""


class Report(Record):
    """One report. It tells of the last whole day, week (Monday to Sunday) or month of the tenant."""

    name: SubscriberName
    tenant: TenantId
    title: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,80}$")] = Field(
        default="", validate_default=False, description="subject of the mail; by default what the language calls it"
    )
    kpis: tuple[Slug, ...] = Field(default=(), max_length=50, description="by default those that `kpi` shows")
    by: Dimension = Field(default="tenant", description="how the table groups calls")
    every: Every
    hour: int = Field(default=8, ge=0, le=23, description="from this hour of the day after the period, by its clock")
    language: Literal["zh", "en"] = "zh"
    to: tuple[MailAddress, ...] = Field(min_length=1, max_length=50, description="each gets a mail of their own")

    def period(self, now: datetime, zone: ZoneInfo) -> Period:
        """The last one that is over, and of which the hour has come."""
        day = (now.astimezone(zone) - timedelta(hours=self.hour)).date()
        first, after = self._around(day)
        return Period.days(first, after - timedelta(days=1), zone)

    def earlier(self, period: Period, count: int, zone: ZoneInfo) -> list[Period]:
        """So many periods that end with this one, the oldest first."""
        found = [period]
        while len(found) < count:
            first, after = self._around(found[0].start.date())
            found.insert(0, Period.days(first, after - timedelta(days=1), zone))
        return found

    def period_id(self, period: Period) -> str:
        """`2026-03-01`, `2026-W09` or `2026-02`."""
        first = period.start.date()
        if self.every == "daily":
            return first.isoformat()
        year, week, _ = first.isocalendar()
        return f"{year}-W{week:02d}" if self.every == "weekly" else f"{first:%Y-%m}"

    def due_at(self, period: Period, zone: ZoneInfo) -> datetime:
        """From when on it is sent."""
        return datetime.combine(period.last_day + timedelta(days=1), time(self.hour), zone)

    def _around(self, day: date) -> tuple[date, date]:
        """The first day of the last period that is over on that day, and the day after its last."""
        if self.every == "daily":
            return day - timedelta(days=1), day
        if self.every == "weekly":
            monday = day - timedelta(days=day.weekday())
            return monday - timedelta(days=7), monday
        first = day.replace(day=1)
        return (first - timedelta(days=1)).replace(day=1), first


class ReportFile(Record):
    """The whole file."""

    version: int = Field(ge=1, le=1_000_000_000)
    smtp: SmtpServer
    sender: MailAddress = Field(alias="from")
    reports: tuple[Report, ...] = Field(min_length=1, max_length=MOST_REPORTS)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if repeated := find_repeated(report.name for report in self.reports):
            raise ValueError(f"report {repeated[0]} occurs twice")
        return self


def read_reports(file: Path | None) -> tuple[ReportFile, KpiRegistry, Settings]:
    """The file, the KPIs in force, and the settings of the command.

    Raises `YamlFileError`, also for KPIs that there are not, and `NoReportsError`.
    """
    settings = command_settings()
    path = file or settings.reports_file
    if path is None:
        raise NoReportsError("no file of reports: set CALLSTREAM_REPORTS_FILE, or use --file")
    content = read_yaml_file(path, ReportFile, _report_of).content
    registry = kpis_in_force(settings.kpis_file)
    problems = [
        f"{path}: report {report.name}: {problem}"
        for report in content.reports
        for problem in _problems(report, registry)
    ]
    if problems:
        raise YamlFileError(problems)
    return content, registry, settings


def kpis_of(report: Report, registry: KpiRegistry) -> list[Kpi]:
    """Those that it names, in the order of the registry; the headlines where it names none."""
    if report.kpis:
        return [kpi for kpi in registry.kpis if kpi.id in report.kpis]
    return [kpi for kpi in registry.headlines if report.by in kpi.dimensions]


def choose_report(content: ReportFile, name: str) -> Report:
    """Raises `NoReportsError`."""
    found = next((report for report in content.reports if report.name == name), None)
    if found is None:
        raise NoReportsError(f"there is no report {name}: see `callstream reports list`")
    return found


def _problems(report: Report, registry: KpiRegistry) -> list[str]:
    unknown = [f"{name} is no KPI: see docs/kpis.md" for name in report.kpis if registry.kpi(name) is None]
    return unknown + [
        f"{kpi.id} is not available by {report.by}"
        for kpi in registry.kpis
        if kpi.id in report.kpis and report.by not in kpi.dimensions
    ]


def _report_of(content: Mapping[Any, Any], location: Location) -> str:
    if location[:1] != ("reports",) or len(location) < 2 or not isinstance(location[1], int):
        return ""
    try:
        return f"report {content['reports'][location[1]]['name']}"
    except (LookupError, TypeError):
        return f"report {location[1] + 1}"
