"""`callstream demands unknown`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.demands.week import UNLIKELY, DemandTenantOption, UnlikelyOption, WeekOption, find_demands, name_of

if TYPE_CHECKING:
    from processors.demands.unknown import UnknownDemand


def show_unknown(
    tenant: DemandTenantOption = None,
    week: WeekOption = None,
    unlikely: UnlikelyOption = UNLIKELY,
    most: Annotated[int, typer.Option(min=1, help="Number of groups to show.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Group the calls of a week that no topic covers (R61).

    Each group is shown with its size, the words that are typical of it, quotes with their calls, whether it is new
    against the week before, and a topic that would find it: make it one with `callstream demands adopt`. The access is
    logged before anything is shown.
    """
    from processors.demands.adopting import suggested_id, suggested_name

    settings = command_settings()
    tenant_id, found = find_demands(settings, tenant, week, unlikely)
    shown = found.demands[:most]
    if as_json:
        print_json(
            {
                "tenant_id": tenant_id,
                "week": name_of(found.first_day),
                "first_day": found.first_day.isoformat(),
                "calls": found.analysed,
                "uncovered": found.uncovered,
                "sampled": found.sampled,
                "unheard": found.unheard,
                "demands": [_as_json(one) for one in shown],
            }
        )
        return
    table = Table("cluster", "calls", "share", "week before", "trend", "words", "topic", "examples")
    zone = settings.days.zone_of(tenant_id)
    for one in shown:
        quotes = (
            f"{quote.call_id} {quote.ended_at.astimezone(zone):%m-%d %H:%M} "
            f"{quote.start_ms // 60_000}:{quote.start_ms // 1000 % 60:02d} 「{quote.text}」"
            for quote in one.quotes
        )
        share = one.share.value
        table.add_row(
            one.cluster,
            str(one.calls),
            "" if share is None else f"{100 * share:.1f} %",
            str(one.calls_before),
            one.trend,
            Text("、".join(one.words)),
            Text(f"{suggested_id(suggested_name(one))}: {'、'.join(one.phrases)}"),
            Text("\n".join(quotes)),
        )
    if shown:
        console().print(table)
    share_uncovered = f" ({100 * found.uncovered / found.analysed:.0f} %)" if found.analysed else ""
    typer.echo(
        f"{tenant_id} {name_of(found.first_day)}: {found.analysed} calls analysed, {found.uncovered}{share_uncovered} "
        f"that no topic covers, {sum(one.calls for one in found.demands)} of them in {len(found.demands)} group(s)"
    )
    if found.sampled + found.unheard < found.uncovered:
        typer.echo(f"groups were formed of {found.sampled} of them; all were counted")
    if found.unheard:
        typer.echo(f"{found.unheard} of them are in no group: no customer is heard in them")


def _as_json(demand: "UnknownDemand") -> dict[str, Any]:
    from processors.demands.adopting import suggested_id, suggested_name

    told = {name: value for name, value in asdict(demand).items() if name not in ("members", "phrases")}
    quotes = [asdict(quote) | {"ended_at": quote.ended_at.isoformat()} for quote in demand.quotes]
    name = suggested_name(demand)
    return told | {"quotes": quotes, "topic": {"id": suggested_id(name), "name": name, "phrases": demand.phrases}}
