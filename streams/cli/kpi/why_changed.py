"""`callstream kpi why-changed`: why a KPI of one stretch of days differs from that of another."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.reports import Period
from processors.kpi.why_changed import PARTS, ChangePart
from schemas.config.kpis.kpi import Kpi
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.cli.console.times import parse_day
from streams.cli.kpi.options import LangOption, TenantOption, choose_dimension, choose_kpis
from streams.cli.kpi.report import KpiReport
from streams.cli.pages.kpis import in_unit

NEGLIGIBLE = 1e-9
"""Of a part: what rounding leaves."""


def explain_change(
    kpi: Annotated[str, typer.Option("--kpi", help="The KPI; one that is a ratio over calls.")],
    earlier: Annotated[str, typer.Option("--from", help="Earlier days, both included: 2026-03-01..2026-03-07.")],
    later: Annotated[str, typer.Option("--to", help="Later days, both included: 2026-03-08..2026-03-14.")],
    by: Annotated[
        str, typer.Option(help="What the mix is made of: topic, team, inquiry_type or another way to group calls.")
    ] = "inquiry_type",
    most: Annotated[int, typer.Option(min=1, help="Number of items to show of each part.")] = 5,
    tenant: TenantOption = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Split the change of a KPI into parts that add up to it.

    Late calls, industries, the mix of groups, models, score forms and rules; what is left is the change within groups,
    or unexplained where nobody can tell it from a change of rules, forms or models (docs/adr/0071-why-changed.md).
    """
    from streams.queries.kpis import open_kpis

    report = KpiReport(lang, as_json, tenant)
    before, after = _days(earlier, "--from", report), _days(later, "--to", report)
    dimension = choose_dimension(by)
    (chosen,) = choose_kpis(kpis_in_force(report.settings.kpis_file), [kpi], every=False)
    if chosen.ratio is None:
        raise typer.BadParameter(f"{kpi} is no ratio over calls, so it has no parts", param_hint="--kpi")
    with open_kpis(report.settings) as store:
        found = store.why_changed(chosen, dimension, before, after, tenant)
    if as_json:
        days = {"before": _as_json(before), "after": _as_json(after)}
        print_json({"kpi": kpi, "by": dimension, **days, "parts": [asdict(each) for each in found]})
        return
    names = ("tenant", "part", "item", "change_of_kpi", "change_of_amount", "before_after", "n_before_after")
    title = f"{report.name(chosen)}: {report.title(before)} → {report.title(after)}"
    table = report.table(*names, title=title)
    unclear: list[str] = []
    for of_tenant in _by_tenant(found):
        for row in _rows(report, chosen, of_tenant, most):
            table.add_row(*row)
        unclear += [each.part for each in of_tenant if not each.is_separable and each.part not in unclear]
    report.print(table, len(found))
    if unclear:
        named = ", ".join(report.word(f"part_{part}") for part in unclear)
        typer.echo(report.word("cannot_be_told").format(named))


def _days(text: str, option: str, report: KpiReport) -> Period:
    first, dots, last = text.partition("..")
    if not dots:
        raise typer.BadParameter(f"{text} is no stretch of days: write 2026-03-01..2026-03-07", param_hint=option)
    days = parse_day(first.strip(), option), parse_day(last.strip(), option)
    if days[1] < days[0]:
        raise typer.BadParameter("the last day is before the first", param_hint=option)
    return Period.days(*days, report.zone)


def _as_json(period: Period) -> dict[str, str]:
    return {"first_day": period.start.date().isoformat(), "last_day": period.last_day.isoformat()}


def _by_tenant(found: Iterable[ChangePart]) -> Iterable[list[ChangePart]]:
    tenants: dict[str, list[ChangePart]] = {}
    for each in found:
        tenants.setdefault(each.tenant_id, []).append(each)
    return tenants.values()


def _rows(report: KpiReport, kpi: Kpi, parts: list[ChangePart], most: int) -> Iterable[list[str]]:
    """The whole difference, then each part that there is, and its items, the largest first."""
    tenant, one = parts[0].tenant_id, parts[0]
    if one.kpi_before is None or one.kpi_after is None:
        yield [tenant, report.word("pending"), "", "–", "–", "–", "–"]
        return
    whole = sum(each.value or 0.0 for each in parts)
    amount = sum(each.amount or 0.0 for each in parts)
    between = f"{in_unit(kpi, one.kpi_before)} → {in_unit(kpi, one.kpi_after)}"
    yield [tenant, report.word("whole_change"), "", _signed(kpi, whole), f"{amount:+.1f}", between, ""]
    for part in PARTS:
        items = [each for each in parts if each.part == part]
        value, amount = sum(each.value or 0.0 for each in items), sum(each.amount or 0.0 for each in items)
        if not any(abs(each.value or 0.0) > NEGLIGIBLE or abs(each.amount or 0.0) > NEGLIGIBLE for each in items):
            continue
        yield [tenant, report.word(f"part_{part}"), "", _signed(kpi, value), f"{amount:+.1f}", "", ""]
        told = [each for each in items if each.item is not None or len(items) > 1]
        for each in told[:most]:
            yield [
                tenant,
                "",
                each.item or "–",
                _signed(kpi, each.value or 0.0),
                f"{each.amount or 0.0:+.1f}",
                f"{_value(kpi, each.item_before)} → {_value(kpi, each.item_after)}",
                f"{each.n_before} → {each.n_after}",
            ]


def _value(kpi: Kpi, value: float | None) -> str:
    return "–" if value is None else in_unit(kpi, value)


def _signed(kpi: Kpi, value: float) -> str:
    """Of shares in percentage points."""
    if kpi.unit == "share":
        return f"{100 * value:+.2f} pp"
    return f"{'+' if value > 0 else ''}{in_unit(kpi, value)}"
