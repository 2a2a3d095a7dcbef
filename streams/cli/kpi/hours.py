"""`callstream kpi hours`: a KPI by the hours of the day, or as a map of the hours of the week."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from processors.kpi.hours import HourLine, hour_lines
from processors.kpi.own_kpis import kpis_in_force
from schemas.config.kpis.kpi import Kpi
from streams.cli.console.options import JsonOption
from streams.cli.console.table_file import CsvOption, TableFiles, XlsxOption
from streams.cli.kpi.cells import interval_cell, value_cell
from streams.cli.kpi.file_table import hours_file_table
from streams.cli.kpi.options import FromOption, LangOption, LastOption, TenantOption, ToOption, choose_kpis
from streams.cli.kpi.report import KpiReport
from streams.cli.kpi.words import WEEKDAYS


def show_hours(
    kpi: Annotated[str, typer.Option("--kpi", help="Id of the KPI.")],
    by_weekday: Annotated[
        bool, typer.Option("--by-weekday", help="A map of the week: a row per hour, a column per weekday.")
    ] = False,
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
    csv: CsvOption = None,
    xlsx: XlsxOption = None,
) -> None:
    """Show a KPI by the hour in which calls end, over all days of the period.

    Hours are those of the tenant's clock. In brackets stands what too few calls were counted for.
    """
    from streams.queries.kpis import open_kpis

    files = TableFiles(csv, xlsx)
    report = KpiReport(lang, as_json, tenant)
    period = report.period(last, first, to)
    if period.grain == "hour":
        raise typer.BadParameter(
            "write days, as in 30d: the hours of several days are taken together", param_hint="--last"
        )
    (chosen,) = choose_kpis(kpis_in_force(report.settings.kpis_file), [kpi], every=False)
    if chosen.ratio is None:
        raise typer.BadParameter(f"{chosen.id} is made by a query and not kept by hour", param_hint="--kpi")
    with open_kpis(report.settings) as store:
        lines = hour_lines(chosen, store.hours(chosen, period.start, period.end, tenant, by_weekday=by_weekday))
    if files:
        files.write(hours_file_table(chosen, lines, report.lang, _title(report, chosen, report.title(period))))
        return
    if as_json:
        report.print_json(period, {"kpi": chosen.id, "unit": chosen.unit, "hours": [_as_json(line) for line in lines]})
        return
    if by_weekday:
        _print_map(report, chosen, lines, report.title(period))
        return
    table = report.table("tenant", "hour", "value", "interval", "n", title=_title(report, chosen, report.title(period)))
    for line in lines:
        interval = report.word("too_few_agents") if line.found.too_few_agents else interval_cell(chosen, line.found)
        table.add_row(line.tenant_id, str(line.hour), _value(chosen, line), interval, str(line.found.n))
    report.print(table, len(lines))


def _print_map(report: KpiReport, kpi: Kpi, lines: Sequence[HourLine], period: str) -> None:
    table = report.table("tenant", "hour", title=_title(report, kpi, period))
    for names in WEEKDAYS:
        table.add_column(names[0] if report.lang == "zh" else names[1], justify="right")
    cells = {(line.tenant_id, line.hour, line.weekday): _value(kpi, line) for line in lines}
    rows = sorted({(line.tenant_id, line.hour) for line in lines})
    for tenant, hour in rows:
        table.add_row(tenant, str(hour), *(cells.get((tenant, hour, weekday), "") for weekday in range(1, 8)))
    report.print(table, len(rows))


def _title(report: KpiReport, kpi: Kpi, period: str) -> str:
    return f"{report.name(kpi)}, {period}"


def _value(kpi: Kpi, line: HourLine) -> str:
    value = value_cell(kpi, line.found)
    return value if line.is_enough or line.found.value is None else f"({value})"


def _as_json(line: HourLine) -> dict[str, object]:
    return {"tenant_id": line.tenant_id, "weekday": line.weekday, "hour": line.hour, **asdict(line.found)} | {
        "is_enough": line.is_enough
    }
