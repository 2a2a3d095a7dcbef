"""`callstream kpi`: each KPI of each group."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.problems import Key
from processors.kpi.reports import AgentsOf, KpiLine, Period, agents_of, kpi_lines
from processors.kpi.rollups import HOURLY
from processors.kpi.sql import AGENTS_OF
from schemas.config.kpis.kpi import DIMENSIONS, Dimension, Kpi
from streams.cli.console.options import JsonOption
from streams.cli.console.table_file import CsvOption, TableFiles, XlsxOption
from streams.cli.kpi.cells import interval_cell, q_cell, value_cell
from streams.cli.kpi.file_table import kpi_file_table
from streams.cli.kpi.options import (
    AllOption,
    FromOption,
    KpiOption,
    LangOption,
    LastOption,
    TenantOption,
    ToOption,
    choose_dimension,
    choose_kpis,
)
from streams.cli.kpi.report import KpiReport, compared_as_json
from streams.cli.pages.kpis import as_target, kpi_markdown

if TYPE_CHECKING:
    from streams.adapters.clickhouse.kpis import ClickHouseKpis


def show_kpis(
    context: typer.Context,
    by: Annotated[str, typer.Option(help=f"How calls are grouped: {', '.join(DIMENSIONS)}.")] = "tenant",
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    kpis: KpiOption = None,
    every: AllOption = False,
    lang: LangOption = None,
    as_json: JsonOption = False,
    csv: CsvOption = None,
    xlsx: XlsxOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/kpis.md.")] = False,
) -> None:
    """Show KPIs with targets and trends (docs/kpis.md).

    For each group: value, confidence interval, number of calls, target, and trend against the period before.
    --csv and --xlsx write the same to a file, with headings in the language of --lang.
    """
    from streams.queries.kpis import open_kpis

    if context.invoked_subcommand is not None:
        return
    if markdown:
        typer.echo(kpi_markdown(), nl=False)
        return
    files = TableFiles.asked_for(csv, xlsx, as_json=as_json)
    dimension = choose_dimension(by)
    report = KpiReport(lang, as_json, tenant)
    period = report.period(last, first, to)
    if period.grain == "hour" and dimension not in HOURLY:
        raise typer.BadParameter(f"{dimension} is available by day only", param_hint="--by")
    chosen = choose_kpis(kpis_in_force(report.settings.kpis_file), kpis, every)
    apart = [each for each in chosen if dimension in each.dimensions]
    if kpis and len(apart) < len(chosen):
        missing = next(each for each in chosen if each not in apart)
        raise typer.BadParameter(f"{missing.id} is not available by {dimension}", param_hint="--by")
    with open_kpis(report.settings) as store:
        lines = lines_of(store, apart, dimension, period, tenant)
    if files:
        files.write(kpi_file_table(lines, dimension, report.lang, report.title(period)))
        return
    compared = [line.q_value for line in lines]
    if as_json:
        content = {"by": dimension, "kpis": [_line_as_json(line, dimension) for line in lines]}
        report.print_json(period, compared_as_json(compared) | content)
        return
    keys = DIMENSIONS[dimension]
    columns = ("tenant", *keys, "kpi", "value", "interval", "n", "target", "verdict", "trend", "q")
    table = report.table(*columns, title=report.title(period))
    for line in lines:
        table.add_row(
            line.tenant_id,
            *(part or "–" for part in line.key),
            report.name(line.kpi),
            value_cell(line.kpi, line.found),
            report.word("too_few_agents") if line.found.too_few_agents else interval_cell(line.kpi, line.found),
            str(line.found.n),
            "–" if line.target is None else as_target(line.kpi, line.target),
            _status_cell(report, line),
            report.word(line.trend),
            q_cell(line.q_value),
        )
    report.print(table, len(lines))
    report.print_comparisons(compared_as_json(compared)["comparisons"])


def lines_of(
    store: "ClickHouseKpis", kpis: Sequence[Kpi], dimension: Dimension, period: Period, tenant: str | None
) -> list[KpiLine]:
    """A line for each group and KPI of the period, against the one before. Raises as `ClickHouseKpis.sums`."""
    found, before = (
        store.sums(kpis, dimension, each.grain, each.start, each.end, tenant) for each in (period, period.before)
    )
    agents = _agents(store, kpis, dimension, period, tenant)
    return kpi_lines(kpis, found, before, store.industries(), *agents)


def _agents(
    store: "ClickHouseKpis", kpis: Sequence[Kpi], dimension: Dimension, period: Period, tenant: str | None
) -> tuple[AgentsOf | None, AgentsOf | None]:
    """Of the period and the one before; null where it is not known who took the calls of a group."""
    source = AGENTS_OF.get(dimension)
    if source is None or (period.grain == "hour" and source not in HOURLY):
        return None, None
    ratios = [kpi for kpi in kpis if kpi.ratio is not None]
    now, was = (
        agents_of(store.sums(ratios, source, each.grain, each.start, each.end, tenant), dimension)
        for each in (period, period.before)
    )
    return now, was


def _group(key: Key, dimension: Dimension) -> dict[str, str | None]:
    return dict(zip(DIMENSIONS[dimension], key, strict=True))


def _line_as_json(line: KpiLine, dimension: Dimension) -> dict[str, Any]:
    return {
        "tenant_id": line.tenant_id,
        **_group(line.key, dimension),
        "kpi": line.kpi.id,
        "unit": line.kpi.unit,
        **asdict(line.found),
        "target": line.target,
        "minimum_n": line.kpi.minimum_n,
        "verdict": line.target_status,
        "trend": line.trend,
        "before": asdict(line.before),
        "change": asdict(line.change) if line.change else None,
        "q_value": line.q_value,
    }


def _status_cell(report: KpiReport, line: KpiLine) -> str:
    """With the share of calls that are pending, where there are any."""
    found = line.found
    share = f" {found.pending / (found.n + found.pending):.0%}" if found.pending else ""
    if line.target_status == "pending" or not share:
        return f"{report.word(line.target_status)}{share}"
    return f"{report.word(line.target_status)} ({report.word('pending')}{share})"
