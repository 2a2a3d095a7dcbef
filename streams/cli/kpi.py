"""`callstream kpi`: KPIs with targets, intervals and trends, and the analyses that are made of them."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from processors.kpi.demands import CustomerDemand, Demand, by_customers, ranking
from processors.kpi.funnel import Key
from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.reports import (
    KpiLine,
    Period,
    ProblemReport,
    TenantProblem,
    TrainingLine,
    kpi_lines,
    problem_report,
    training_lines,
)
from processors.kpi.rollups import HOURLY
from processors.kpi.statistics import Difference, Estimate
from schemas.config.kpi import DIMENSIONS, Dimension, Kpi, KpiRegistry
from streams.cli.command_settings import command_settings
from streams.cli.kpi_docs import as_target, in_unit, kpi_markdown
from streams.ports import SystemClock
from streams.queries.kpis import open_kpis
from streams.settings import Settings

PLAIN_WIDTH = 180
"""Columns of a table that is not printed to a terminal."""

Language = Literal["zh", "en"]

kpi_app = typer.Typer(
    help="KPIs with targets, confidence intervals and trends (docs/kpis.md).", invoke_without_command=True
)

LastOption = Annotated[str, typer.Option(help="The last days or hours with today: 30d, 24h.")]
FromOption = Annotated[str | None, typer.Option("--from", help="First day, such as 2026-03-01; in place of --last.")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, included; today by default.")]
TenantOption = Annotated[str | None, typer.Option(help="Only this tenant.")]
KpiOption = Annotated[list[str] | None, typer.Option("--kpi", help="Only this KPI; may be repeated.")]
AllOption = Annotated[bool, typer.Option("--all", help="All KPIs, not only the headlines.")]
LangOption = Annotated[str | None, typer.Option(help="zh or en; that of the terminal by default.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]

_WORDS: Mapping[str, tuple[str, str]] = {
    "tenant": ("租户", "tenant"),
    "industry": ("行业", "industry"),
    "agent_team": ("班组", "team"),
    "agent_id": ("坐席", "agent"),
    "queue": ("队列", "queue"),
    "inquiry_type": ("咨询类型", "inquiry type"),
    "course_type": ("课程类型", "course type"),
    "order_status": ("订单状态", "order status"),
    "customer_value_tier": ("客户等级", "value tier"),
    "kpi": ("指标", "KPI"),
    "value": ("数值", "value"),
    "interval": ("95% 区间", "95 % interval"),
    "n": ("样本量", "n"),
    "target": ("目标", "target"),
    "verdict": ("结论", "verdict"),
    "trend": ("趋势", "trend"),
    "scope": ("范围", "problem of"),
    "benchmark": ("对照值", "benchmark"),
    "limits": ("控制限", "limits"),
    "topic": ("诉求", "demand"),
    "calls": ("通话数", "calls"),
    "share": ("占比", "share"),
    "change": ("变化", "change"),
    "agitated": ("客户激动", "agitated"),
    "unresolved": ("未解决", "unresolved"),
    "examples": ("原话", "examples"),
    "customers": ("客户", "customers"),
    "others": ("其他客户", "others"),
    "before": ("培训前", "before"),
    "after": ("培训后", "after"),
    "effect": ("结论", "effect"),
    "beyond_others": ("超出他人的变化", "beyond others"),
    "reached": ("达标", "reached"),
    "missed": ("未达标", "missed"),
    "too_few": ("样本不足", "too few"),
    "pending": ("待定", "pending"),
    "no_target": ("–", "–"),
    "better": ("改善", "better"),
    "worse": ("变差", "worse"),
    "up": ("上升", "up"),
    "down": ("下降", "down"),
    "no_clear_change": ("无明显变化", "no clear change"),
    "unknown": ("–", "–"),
    "common": ("共性", "everybody"),
    "team": ("班组", "team"),
    "individual": ("个体", "agent"),
    "clear": ("显著", "clear"),
    "tag": ("标签", "tag"),
    "value_tier": ("等级", "tier"),
}

_NOTHING = {
    "zh": "这段时间没有可统计的通话；汇总由 rollup 进程生成（callstream rollup）。",
    "en": "no call counts in that time; roll-ups are made by the worker rollup (callstream rollup)",
}


class KpiCommand:
    """What all commands have in common: settings, language, time, and what is printed."""

    def __init__(self, lang: str | None, as_json: bool) -> None:
        self.lang = _language(lang)
        self.as_json = as_json
        self.settings: Settings = command_settings()
        self.zone = ZoneInfo(self.settings.timezone)
        self.now = SystemClock().now()

    def period(self, last: str, first: str | None, to: str | None) -> Period:
        """Raises `typer.BadParameter`."""
        if first is None and to is None:
            return _last(last, self)
        if first is None:
            raise typer.BadParameter("--to needs --from", param_hint="--to")
        last_day = _day(to, "--to") if to else self.now.astimezone(self.zone).date()
        first_day = _day(first, "--from")
        if last_day < first_day:
            raise typer.BadParameter("the last day is before the first", param_hint="--to")
        return Period.days(first_day, last_day, self.zone)

    def word(self, name: str) -> str:
        """A label in the language."""
        zh, en = _WORDS[name]
        return zh if self.lang == "zh" else en

    def name(self, kpi: Kpi) -> str:
        """The KPI's."""
        return kpi.name.zh if self.lang == "zh" else kpi.name.en

    def table(self, *names: str, title: str) -> Table:
        return Table(*(self.word(name) for name in names), title=title)

    def print(self, table: Table, rows: int) -> None:
        """The table, or a sentence where it is empty."""
        if not rows:
            sys.stdout.write(_NOTHING[self.lang] + "\n")
            return
        (Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)).print(table)

    def print_json(self, period: Period, content: Mapping[str, Any]) -> None:
        head = {"start": period.start.isoformat(), "end": period.end.isoformat()}
        sys.stdout.write(json.dumps(head | dict(content), ensure_ascii=False, indent=2) + "\n")

    def title(self, period: Period) -> str:
        if period.grain == "hour":
            return f"{period.start:%Y-%m-%d %H:%M} – {period.end:%Y-%m-%d %H:%M}"
        return f"{period.start:%Y-%m-%d} – {period.last_day:%Y-%m-%d}"


@kpi_app.callback()
def kpi(
    context: typer.Context,
    by: Annotated[str, typer.Option(help=", ".join(DIMENSIONS))] = "tenant",
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    kpis: KpiOption = None,
    every: AllOption = False,
    lang: LangOption = None,
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/kpis.md from the registry.")] = False,
) -> None:
    """Each KPI of each group: value, confidence interval, number of calls, target, trend against the time before."""
    if context.invoked_subcommand is not None:
        return
    if markdown:
        sys.stdout.write(kpi_markdown())
        return
    dimension = _dimension(by)
    report = KpiCommand(lang, as_json)
    period = report.period(last, first, to)
    if period.grain == "hour" and dimension not in HOURLY:
        raise typer.BadParameter(f"{dimension} is kept by day only", param_hint="--by")
    chosen = _chosen(kpis_in_force(report.settings.kpis_file), kpis, every)
    apart = [each for each in chosen if dimension in each.dimensions]
    if kpis and len(apart) < len(chosen):
        missing = next(each for each in chosen if each not in apart)
        raise typer.BadParameter(f"{missing.id} cannot be told apart by {dimension}", param_hint="--by")
    with open_kpis(report.settings) as store:
        found, before = (
            store.sums(apart, dimension, each.grain, each.start, each.end, tenant) for each in (period, period.before)
        )
        lines = kpi_lines(apart, found, before, store.industries())
    if as_json:
        report.print_json(period, {"by": dimension, "kpis": [_line_as_json(line, dimension) for line in lines]})
        return
    keys = DIMENSIONS[dimension]
    columns = ("tenant", *keys, "kpi", "value", "interval", "n", "target", "verdict", "trend")
    table = report.table(*columns, title=report.title(period))
    for line in lines:
        table.add_row(
            escape(line.tenant_id),
            *(escape(part or "–") for part in line.key),
            report.name(line.kpi),
            _value(line.kpi, line.found),
            _interval(line.kpi, line.found),
            str(line.found.n),
            "–" if line.target is None else as_target(line.kpi, line.target),
            _verdict(report, line),
            report.word(line.trend),
        )
    report.print(table, len(lines))


@kpi_app.command("problems")
def problems_command(
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    kpis: KpiOption = None,
    every: AllOption = False,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is bad for everybody, for a team, or for an agent: common and individual problems by funnel plots (R64)."""
    report = KpiCommand(lang, as_json)
    period = report.period(last, first, to)
    chosen = _summable(_chosen(kpis_in_force(report.settings.kpis_file), kpis, every), named=bool(kpis))
    with open_kpis(report.settings) as store:
        agents = store.sums(chosen, "agent", period.grain, period.start, period.end, tenant)
        found = problem_report(chosen, agents, store.industries())
    if as_json:
        report.print_json(period, _problems_as_json(found))
        return
    names = ("tenant", "scope", "agent_team", "agent_id", "kpi", "value", "n", "benchmark", "limits")
    table = report.table(*names, title=report.title(period))
    for each in found.found:
        table.add_row(*_problem_row(report, each))
    report.print(table, found.comparisons)
    sys.stdout.write(_about_chance(report.lang, found) + "\n")


@kpi_app.command("demands")
def demands_command(
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    by_inquiry_type: Annotated[
        bool, typer.Option("--by-inquiry-type", help="A ranking for each inquiry type.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Demands of each ranking that are shown.")] = 20,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """What customers call for, the most frequent first, with their words (R61, R62)."""
    report = KpiCommand(lang, as_json)
    period = report.period(last, first, to)
    before = period.before
    with open_kpis(report.settings) as store:
        found = ranking(
            store.demands(period.start, period.end, tenant),
            store.analyzed_calls(period.start, period.end, tenant),
            store.demands(before.start, before.end, tenant),
            store.analyzed_calls(before.start, before.end, tenant),
            by_inquiry_type=by_inquiry_type,
        )
    shown = _first_of_each(found, most)
    if as_json:
        report.print_json(period, {"demands": [asdict(each) for each in shown]})
        return
    group = ("inquiry_type",) if by_inquiry_type else ()
    names = ("tenant", *group, "topic", "calls", "share", "change", "agitated", "unresolved", "examples")
    table = report.table(*names, title=report.title(period))
    for each in shown:
        table.add_row(
            escape(each.tenant_id),
            *([escape(each.inquiry_type or "–")] if by_inquiry_type else []),
            escape(each.name),
            str(each.calls),
            _percent(each.share),
            _points(each.change),
            _percent(each.agitated),
            _percent(each.unresolved),
            escape("\n".join(f"「{example.quote}」 {example.call_id}" for example in each.examples)),
        )
    report.print(table, len(shown))


@kpi_app.command("customers")
def customers_command(
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    customers: Annotated[
        list[str] | None, typer.Option("--customers", help="Only this value tier or tag; may be repeated.")
    ] = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """What customers of a value tier or with a tag call for, against all other calls (R63)."""
    report = KpiCommand(lang, as_json)
    period = report.period(last, first, to)
    with open_kpis(report.settings) as store:
        found = by_customers(store.customer_demands(period.start, period.end, tenant))
    shown = [each for each in found if not customers or each.count.customers in customers]
    if as_json:
        report.print_json(period, {"customer_demands": [_customers_as_json(each) for each in shown]})
        return
    names = ("tenant", "customers", "topic", "calls", "share", "others", "change", "clear")
    table = report.table(*names, title=report.title(period))
    for each in shown:
        count = each.count
        table.add_row(
            escape(count.tenant_id),
            escape(f"{report.word(count.attribute)} {count.customers}"),
            escape(count.name),
            str(count.calls),
            _percent(each.share),
            _percent(each.others),
            _points(each.change),
            "*" if each.is_clear else "",
        )
    report.print(table, len(shown))


@kpi_app.command("training")
def training_command(
    on: Annotated[str, typer.Option(help="Day from which on the agents are trained, such as 2026-03-15.")],
    agent: Annotated[list[str], typer.Option(help="An agent who was trained; may be repeated.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="Days before, and as many from the day on.")] = 30,
    tenant: TenantOption = None,
    kpis: KpiOption = None,
    every: AllOption = False,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trained agents before and after, and against all others in the same time (R67)."""
    report = KpiCommand(lang, as_json)
    day = _day(on, "--on")
    period = Period.days(day, date.fromordinal(day.toordinal() + days - 1), report.zone)
    before = period.before
    chosen = _summable(_chosen(kpis_in_force(report.settings.kpis_file), kpis, every), named=bool(kpis))
    with open_kpis(report.settings) as store:
        was, now = (store.sums(chosen, "agent", "day", each.start, each.end, tenant) for each in (before, period))
        lines = training_lines(chosen, was, now, agent, store.industries())
    if as_json:
        report.print_json(period, {"agents": agent, "kpis": [_training_as_json(line) for line in lines]})
        return
    names = ("tenant", "kpi", "before", "after", "change", "effect", "beyond_others", "verdict")
    table = report.table(*names, title=f"{report.title(before)} / {report.title(period)}")
    for line in lines:
        table.add_row(
            escape(line.tenant_id),
            report.name(line.kpi),
            _with_n(line.kpi, line.before),
            _with_n(line.kpi, line.after),
            _change(line.kpi, line.change),
            report.word(line.effect),
            _change(line.kpi, line.beyond_others),
            report.word(line.target_status),
        )
    report.print(table, len(lines))


# --- options


def _language(lang: str | None) -> Language:
    if lang is None:
        spoken = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
        return "zh" if spoken.lower().startswith("zh") else "en"
    if lang not in ("zh", "en"):
        raise typer.BadParameter("zh or en", param_hint="--lang")
    return cast(Language, lang)


def _last(text: str, report: KpiCommand) -> Period:
    number, unit = text[:-1], text[-1:]
    if unit not in ("d", "h") or not number.isdecimal() or not 1 <= int(number) <= 4_000:
        raise typer.BadParameter("write days or hours, as 30d or 24h", param_hint="--last")
    return Period.last(int(number), "day" if unit == "d" else "hour", report.now, report.zone)


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a day, as 2026-03-01", param_hint=option) from None


def _dimension(by: str) -> Dimension:
    if by not in DIMENSIONS:
        raise typer.BadParameter(f"{by} is none of {', '.join(DIMENSIONS)}", param_hint="--by")
    return cast(Dimension, by)


def _chosen(registry: KpiRegistry, ids: Sequence[str] | None, every: bool) -> list[Kpi]:
    if not ids:
        return list(registry.kpis if every else registry.headlines)
    unknown = next((each for each in ids if registry.kpi(each) is None), None)
    if unknown is not None:
        raise typer.BadParameter(f"{unknown} is no KPI, see docs/kpis.md", param_hint="--kpi")
    return [each for each in registry.kpis if each.id in ids]


def _summable(kpis: Iterable[Kpi], *, named: bool) -> list[Kpi]:
    """Ranks within agents cannot be added up to those of a team; what has a query is left out."""
    chosen = list(kpis)
    kept = [each for each in chosen if each.ratio is not None]
    if named and len(kept) < len(chosen):
        missing = next(each for each in chosen if each.ratio is None)
        raise typer.BadParameter(f"{missing.id} cannot be added up over agents", param_hint="--kpi")
    return kept


# --- cells


def _value(kpi: Kpi, found: Estimate) -> str:
    return "–" if found.value is None else in_unit(kpi, found.value)


def _interval(kpi: Kpi, found: Estimate) -> str:
    if found.low is None or found.high is None:
        return "–"
    return f"{in_unit(kpi, found.low)} – {in_unit(kpi, found.high)}"


def _verdict(report: KpiCommand, line: KpiLine) -> str:
    """With the share of calls that are pending, where there are any."""
    found = line.found
    share = f" {found.pending / (found.n + found.pending):.0%}" if found.pending else ""
    if line.target_status == "pending" or not share:
        return f"{report.word(line.target_status)}{share}"
    return f"{report.word(line.target_status)} ({report.word('pending')}{share})"


def _with_n(kpi: Kpi, found: Estimate) -> str:
    return f"{_value(kpi, found)} (n={found.n})"


def _change(kpi: Kpi, change: Difference | None) -> str:
    """Of shares in percentage points."""
    if change is None:
        return "–"
    if kpi.unit == "share":
        return _points(change)
    value, low, high = (
        f"{'+' if each > 0 else ''}{in_unit(kpi, each)}" for each in (change.value, change.low, change.high)
    )
    return f"{value} ({low} – {high})"


def _percent(found: Estimate) -> str:
    return "–" if found.value is None else f"{100 * found.value:.1f} %"


def _points(change: Difference | None) -> str:
    if change is None:
        return "–"
    return f"{100 * change.value:+.1f} pp ({100 * change.low:+.1f} – {100 * change.high:+.1f})"


def _problem_row(report: KpiCommand, each: TenantProblem) -> list[str]:
    problem, kpi = each.problem, each.kpi
    team, agent = (*problem.key, None, None)[:2]
    limits = Estimate(problem.found.n, problem.benchmark, problem.low, problem.high)
    return [
        escape(each.tenant_id),
        report.word(problem.scope),
        escape(team or "–"),
        escape(agent or "–"),
        report.name(kpi),
        _value(kpi, problem.found),
        str(problem.found.n),
        _value(kpi, limits),
        _interval(kpi, limits),
    ]


def _about_chance(lang: Language, found: ProblemReport) -> str:
    if lang == "zh":
        return f"共 {found.comparisons} 次比较，其中最多约 {found.by_chance:.1f} 个班组或个体问题可能出于偶然"
    return (
        f"{found.comparisons} comparisons: about {found.by_chance:.1f} problems of teams or agents may be due to chance"
    )


def _first_of_each(demands: Iterable[Demand], most: int) -> list[Demand]:
    shown: list[Demand] = []
    counts: dict[tuple[str, str | None], int] = {}
    for each in demands:
        group = (each.tenant_id, each.inquiry_type)
        counts[group] = counts.get(group, 0) + 1
        if counts[group] <= most:
            shown.append(each)
    return shown


# --- JSON


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
    }


def _problems_as_json(found: ProblemReport) -> dict[str, Any]:
    return {
        "comparisons": found.comparisons,
        "by_chance": found.by_chance,
        "problems": [{"tenant_id": each.tenant_id, **asdict(each.problem)} for each in found.found],
    }


def _customers_as_json(each: CustomerDemand) -> dict[str, Any]:
    return asdict(each) | {"is_clear": each.is_clear}


def _training_as_json(line: TrainingLine) -> dict[str, Any]:
    return asdict(line) | {"kpi": line.kpi.id}
