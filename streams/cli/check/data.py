"""`callstream check data`."""

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.console.times import parse_span

if TYPE_CHECKING:
    from streams.queries.data_checks import CheckLimits
    from streams.settings import Settings

NAMED_LEFT = 20


def check_data(
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    last: Annotated[str, typer.Option(help="Calls that ended in the last 12h, 7d, 4w.")] = "7d",
    null_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of analysed calls in which a column or measure may be null."),
    ] = 0.5,
    stale_after: Annotated[
        str, typer.Option(help="Longest time without new rows that is no problem: 12h, 1d.")
    ] = "24h",
    repair: Annotated[
        str | None,
        typer.Option("--repair", metavar="CHECK", help="Mend what this check finds, or `all` that can be mended."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --repair: write nothing, count calls.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look for inconsistencies in ClickHouse, and mend them.

    Finds orphans, nulls, lost calls, stale tables, impossible values and contradictions. Ends with 1 if anything is
    found; docs/operations.md#data-quality explains each check. --repair takes the calls that a check finds anew from
    their stored transcripts; results come the way of history, and no alert is raised twice. It ends with 1 where a call
    has no transcript to be taken from. Given again it goes on.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.ports import SystemClock
    from streams.queries.data_checks import DATA_CHECKS, CheckLimits, results_table, run_checks
    from streams.queries.data_checks import as_json as hits_json

    settings = command_settings()
    limits = CheckLimits(
        now=SystemClock().now(),
        last=parse_span(last, "--last"),
        tenant=tenant,
        objective_s=settings.processing_objective_s,
        stale_after=parse_span(stale_after, "--stale-after"),
        null_share=null_share,
    )
    if dry_run and repair is None:
        raise typer.BadParameter("goes with --repair", param_hint="--dry-run")
    if repair is not None:
        _repair(settings, repair, limits, dry_run=dry_run, as_json=as_json)
    client = connect(settings.clickhouse_url.get_secret_value())
    found = list(run_checks(client, limits))
    client.close()
    if as_json:
        print_json(hits_json(found))
    elif found:
        console(soft_wrap=True).print(results_table(found))
        for check in DATA_CHECKS:
            if any(hit.check is check for hit in found):
                typer.echo(f"{check.id}: {check.meaning}")
                typer.echo(f"    {check.advice.replace('CHECK', check.id)}")
    else:
        typer.echo(f"{len(DATA_CHECKS)} checks found no problems")
    raise typer.Exit(EXIT_PROBLEM if found else 0)


def _repair(settings: "Settings", name: str, limits: "CheckLimits", *, dry_run: bool, as_json: bool) -> NoReturn:
    from streams.adapters.clickhouse.connection import connect
    from streams.adapters.clickhouse.sink import ClickHouseSink
    from streams.adapters.kafka.by_hand import publisher_by_hand
    from streams.adapters.object_store.from_settings import object_store_from
    from streams.cli.console.access import require_permission
    from streams.cli.console.audit import act_entry, enter
    from streams.cli.replay import BatchJudgeBuilder, packs_of
    from streams.queries.data_checks import DATA_CHECKS
    from streams.stages.repairing import Repairing

    wanted = [check for check in DATA_CHECKS if check.repair is not None and name in (check.id, "all")]
    if not wanted:
        known = ", ".join(check.id for check in DATA_CHECKS if check.repair is not None)
        raise typer.BadParameter(
            f"for {name} there is no repair; there is one for {known}, or all", param_hint="--repair"
        )
    who = require_permission(settings, "administer", limits.tenant or None, entered_as="data_repaired")
    object_store_from(settings).check()
    publisher = None if dry_run else publisher_by_hand(settings)
    client = connect(settings.clickhouse_url.get_secret_value())
    repairing = Repairing(
        client,
        BatchJudgeBuilder(settings, packs_of(settings, []), alerts=False),
        publisher,
        None if dry_run else ClickHouseSink(client),
    )
    if not dry_run:  # once all that it needs has answered: the entry says that it is done
        enter(settings, act_entry("data_repaired", limits.tenant or None, who, object_kind="check", object_id=name))
    done = list(repairing.repair(wanted, limits))
    client.close()
    if as_json:
        print_json(
            [
                {"id": each.check.id, "tenant_id": each.tenant_id, "calls": each.calls, "left": list(each.left)}
                for each in done
            ]
        )
    else:
        for each in done:
            how = "would be taken anew" if dry_run else "are taken anew"
            typer.echo(f"{each.check.id}: {each.calls} call(s) of {each.tenant_id} {how}")
            for call in each.left[:NAMED_LEFT]:
                typer.echo(f"    {call} has no transcript that can be read: publish its recording again", err=True)
        if not done:
            typer.echo("nothing was found that could be mended")
    raise typer.Exit(EXIT_PROBLEM if any(each.left for each in done) else 0)
