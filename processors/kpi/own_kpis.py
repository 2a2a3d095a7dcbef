"""The registry in force: the shipped one, with the KPIs and targets of somebody's own."""

from collections import defaultdict
from pathlib import Path

from processors.kpi.expression_sql import bounded_sql, expression_sql
from processors.kpi.sql import quote_string
from schemas.config.kpis.kpi import CallRatio, Kpi, KpiRegistry, read_kpis
from schemas.config.kpis.own_kpis import OwnKpi, OwnKpis, read_own_kpis


def kpis_in_force(file: Path | None) -> KpiRegistry:
    """The shipped KPIs, with those of a file. Raises `KpiRegistryError`."""
    shipped = read_kpis()
    return shipped if file is None else with_own_kpis(shipped, read_own_kpis(file, shipped))


def with_own_kpis(shipped: KpiRegistry, own: OwnKpis) -> KpiRegistry:
    """The shipped KPIs and then the own ones, each with the targets that the file sets."""
    targets: dict[str, float] = {}
    by_tenant: dict[str, dict[str, float]] = defaultdict(dict)
    by_industry: dict[str, dict[str, float]] = defaultdict(dict)
    for each in own.targets:
        if each.tenant is not None:
            by_tenant[each.kpi][each.tenant] = each.target
        elif each.industry is not None:
            by_industry[each.kpi][each.industry] = each.target
        else:
            targets[each.kpi] = each.target
    kpis = tuple(
        kpi.model_copy(
            update={
                "target": targets.get(kpi.id, kpi.target),
                "targets_by_tenant": {**kpi.targets_by_tenant, **by_tenant[kpi.id]},
                "targets_by_industry": {**kpi.targets_by_industry, **by_industry[kpi.id]},
            }
        )
        for kpi in (*shipped.kpis, *map(_kpi_of, own.kpis))
    )
    return KpiRegistry(version=shipped.version, kpis=kpis)


def _kpi_of(own: OwnKpi) -> Kpi:
    return Kpi(
        id=own.id,
        name=own.name,
        definition=own.definition,
        kind=own.kind,
        ratio=_ratio_of(own),
        unit=own.unit,
        direction=own.direction,
        target=own.target,
        headline=own.headline,
        minimum_n=own.minimum_n,
        null_rule=own.null_rule,
        does_not_tell=own.does_not_tell,
        source=own.source,
    )


def _ratio_of(own: OwnKpi) -> CallRatio:
    parsed = own.parse()
    numerator = expression_sql(parsed["numerator"]) if own.kind == "share" else bounded_sql(parsed["numerator"])
    conditions = [f"ifNull({expression_sql(parsed['when'])}, 0)"] if "when" in parsed else []
    if own.tenants:
        conditions.append(f"tenant_id IN ({', '.join(quote_string(tenant) for tenant in own.tenants)})")
    if conditions:
        numerator = f"if({' AND '.join(conditions)}, {numerator}, NULL)"
    denominator = bounded_sql(parsed["denominator"]) if "denominator" in parsed else "1"
    return CallRatio(numerator=numerator, denominator=denominator, scale=own.scale)
