"""Options of the commands of `callstream kpi`, and what they choose. All functions raise `typer.BadParameter`."""

import os
from collections.abc import Iterable, Sequence
from typing import Annotated, cast

import typer

from schemas.config.kpis.kpi import DIMENSIONS, Dimension, Kpi, KpiRegistry
from streams.cli.kpi.words import Language

LastOption = Annotated[
    str, typer.Option(help="Number of days or hours up to now, including the current one: 30d, 24h.")
]
FromOption = Annotated[str | None, typer.Option("--from", help="First day, such as 2026-03-01; instead of --last.")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, included; by default today.")]
TenantOption = Annotated[str | None, typer.Option(help="Only this tenant.")]
KpiOption = Annotated[list[str] | None, typer.Option("--kpi", help="Only this KPI; can be repeated.")]
AllOption = Annotated[bool, typer.Option("--all", help="All KPIs, not only the headline ones.")]
LangOption = Annotated[
    str | None, typer.Option(help="Language of the tables: zh or en; by default that of the terminal.")
]


def choose_language(lang: str | None) -> Language:
    if lang is None:
        spoken = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
        return "zh" if spoken.lower().startswith("zh") else "en"
    if lang not in ("zh", "en"):
        raise typer.BadParameter("zh or en", param_hint="--lang")
    return cast(Language, lang)


def choose_dimension(by: str) -> Dimension:
    if by not in DIMENSIONS:
        raise typer.BadParameter(f"{by} is not one of {', '.join(DIMENSIONS)}", param_hint="--by")
    return cast(Dimension, by)


def choose_kpis(registry: KpiRegistry, ids: Sequence[str] | None, every: bool) -> list[Kpi]:
    if not ids:
        return list(registry.kpis if every else registry.headlines)
    unknown = next((each for each in ids if registry.kpi(each) is None), None)
    if unknown is not None:
        raise typer.BadParameter(f"{unknown} is not a KPI: see docs/kpis.md", param_hint="--kpi")
    return [each for each in registry.kpis if each.id in ids]


def summable(kpis: Iterable[Kpi], *, named: bool) -> list[Kpi]:
    """The KPIs that can be added up over agents; ranks within agents cannot. What is `named` must be among them."""
    chosen = list(kpis)
    kept = [each for each in chosen if each.ratio is not None]
    if named and len(kept) < len(chosen):
        missing = next(each for each in chosen if each.ratio is None)
        raise typer.BadParameter(f"{missing.id} cannot be added up over agents", param_hint="--kpi")
    return kept
