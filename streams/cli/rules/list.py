"""`callstream rules list`."""

from typing import TYPE_CHECKING

import typer

from schemas.config.rule_pack import RulePack
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.cli.rules.packs import read_published

if TYPE_CHECKING:
    from streams.runtime.rules_feed import PackRegistry


def list_published(as_json: JsonOption = False) -> None:
    """List every published version, and which are in force.

    Shows when, by whom and why each was published, and whether it is in force, superseded or refused.
    """
    from streams.runtime.rule_signatures import problem_with_signature, read_public_keys
    from streams.runtime.rules_feed import rules_in_force

    settings = command_settings()
    messages = read_published(settings, signed=False)
    keys = read_public_keys(settings.rules_public_keys)
    believed = [message for message in messages if keys is None or problem_with_signature(message, keys) is None]
    rules = rules_in_force(settings, believed)
    rows = [
        {
            "pack": message.pack.label,
            "state": _state(message.pack, rules.registry) if message in believed else "refused",
            "published_at": message.published_at.isoformat(timespec="seconds"),
            "published_by": message.published_by,
            "note": message.note,
        }
        for message in messages
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        typer.echo("  ".join(row.values()))
    typer.echo(f"{len(rows)} published; shipped packs are in force unless a published one replaces them")


def _state(pack: RulePack, registry: "PackRegistry") -> str:
    known = registry.version(pack.tenant, pack.pack, pack.version)
    if registry.is_refused(pack) or known is None or known.digest() != pack.digest():
        return "refused"
    return "in force" if registry.latest(pack.tenant, pack.pack) is known else "superseded"
