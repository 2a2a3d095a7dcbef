"""What a report says: its KPIs in the period, against the one before, and over the last ones."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from processors.kpi.reports import Period
from processors.kpi.statistics import Sums, estimate
from schemas.config.kpis.kpi import Kpi, KpiRegistry
from streams.adapters.clickhouse.kpis import ClickHouseKpis
from streams.cli.kpi.overview import lines_of
from streams.cli.reports.chart import chart_png
from streams.cli.reports.mail import Chart, ReportContent
from streams.cli.reports.report_file import Report, kpis_of

PERIODS = 12
"""Values in a picture."""
MOST_CHARTS = 12


def content_of(
    store: ClickHouseKpis, report: Report, registry: KpiRegistry, period: Period, zone: ZoneInfo
) -> ReportContent:
    """Raises as `ClickHouseKpis.sums`."""
    chosen = kpis_of(report, registry)
    lines = lines_of(store, chosen, report.by, period, report.tenant)
    title = f"{period.start:%Y-%m-%d} – {period.last_day:%Y-%m-%d}"
    charts = _charts(store, report, chosen, period, zone)
    return ReportContent(report, report.period_id(period), title, lines, charts)


def _charts(
    store: ClickHouseKpis, report: Report, chosen: Sequence[Kpi], period: Period, zone: ZoneInfo
) -> list[Chart]:
    """Of the whole tenant, of KPIs that are rolled up; the others would each read all calls of a year."""
    ratios = [kpi for kpi in chosen if kpi.ratio is not None][:MOST_CHARTS]
    periods = report.earlier(period, PERIODS, zone)
    sums = [store.sums(ratios, "tenant", "day", each.start, each.end, report.tenant) for each in periods]
    industry = store.industries().get(report.tenant)
    charts = []
    for kpi in ratios:
        found = [estimate(kpi, each.get((report.tenant, (), kpi.id), Sums())) for each in sums]
        labels = [report.period_id(each) for each in periods]
        png = chart_png(kpi, labels, found, kpi.target_of(industry, report.tenant))
        if png is not None:
            charts.append(Chart(kpi.name.zh if report.language == "zh" else kpi.name.en, png))
    return charts
