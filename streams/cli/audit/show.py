"""`callstream audit show`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.audit import access_entry, audit_log
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.console.times import parse_moment, parse_span

if TYPE_CHECKING:
    from streams.adapters.register.audit_log import ShownEntry


def show_entries(
    tenant: Annotated[str | None, typer.Option(help="Only entries of this tenant; * for those of none.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this account did: a person, an API key's id.")] = None,
    call: Annotated[str | None, typer.Option(help="Only entries about this call.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action: searched, listened, purged …")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only what was done at this time or later: 2026-01-01, 2026-01-01T08:00+08:00.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only what was done before this time.")] = None,
    last: Annotated[str | None, typer.Option(help="Only the last 12h, 30d, 8w; instead of --since.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many of them.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show entries of the audit log, the newest last.

    It needs the right `audit` in the --tenant, or without one in every tenant. To look is an entry, too. An entry
    without a number is not in the tree yet: the worker `audit` puts it there.
    """
    from streams.adapters.register.audit_log import EntryFilter
    from streams.ports import SystemClock

    if since and last:
        raise typer.BadParameter("give either --since or --last, not both", param_hint="--since")
    settings = command_settings()
    zone = settings.days.zone_of(tenant if tenant != "*" else None)
    last_from = SystemClock().now() - parse_span(last, "--last") if last else None
    asked = EntryFilter(
        tenant_id=tenant,
        actor=actor,
        action=action,
        call_id=call,
        since=parse_moment(since, "--since", zone) if since else last_from,
        until=parse_moment(until, "--until", zone) if until else None,
    )
    given = {"tenant": tenant, "actor": actor, "action": action, "call": call, "since": since or last, "until": until}
    who = require_permission(settings, "audit", None if tenant == "*" else tenant, entered_as="searched")
    with audit_log(settings) as log:
        found = log.find(asked, limit)
        filters = ("audit_log", *(name for name, value in given.items() if value))
        looked = access_entry("searched", tenant, filters, who=who)
        log.append(looked)
    if as_json:
        print_json([_as_json(each) for each in found])
        return
    if not found:
        typer.echo("no entries found")
        return
    table = Table("entry", "at", "actor", "role", "action", "of", "result", "why", "through", "details")
    for each in found:
        entry = each.read.entry
        about = "/".join(filter(None, (entry.tenant_id, entry.call_id or entry.object_id)))
        why = entry.refusal or " ".join(filter(None, (entry.purpose, entry.ticket)))
        details = {**entry.details, **each.personal}
        table.add_row(
            "" if each.index is None else str(each.index),
            f"{entry.at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
            *(Text(text) for text in (entry.actor, entry.role, entry.action, about, entry.result, why, entry.client)),
            Text(", ".join(f"{name}={value}" for name, value in sorted(details.items()))),
        )
    console().print(table)


def _as_json(shown: "ShownEntry") -> dict[str, object]:
    told = asdict(shown.read.entry) | {"entry": shown.index, "entry_id": shown.read.entry_id}
    told |= {"at": shown.read.entry.at.isoformat(), "details": dict(shown.read.entry.details)}
    told |= {"personal": shown.personal, "erased": sorted(set(shown.read.digests) - set(shown.personal))}
    return told
