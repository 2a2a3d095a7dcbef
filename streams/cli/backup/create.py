"""`callstream backup create`."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.backup.options import PlaceOption, megabytes
from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.backup.systems import PublishedRecord


def create(
    to: PlaceOption = None,
    without_rules: Annotated[
        bool, typer.Option("--without-rules", help="Do not ask Kafka for the rules that were published.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a backup: what is new is copied, and a signed manifest says what it is all of.

    While it runs the pipeline may run. It may be stopped at any time: what is not finished is no backup, and the next
    one goes on with what is there. Calls that were erased since the last one go from every backup.
    """
    from streams.backup.creating import create_backup
    from streams.backup.from_settings import configuration_files, systems_from, target_from
    from streams.backup.systems import ByWhom, Sources
    from streams.ports import SystemClock
    from streams.wiring import audit_log_of

    settings, clock = command_settings(), SystemClock()
    who = require_permission(settings, "administer", None, entered_as="backup_created")
    target = target_from(settings, to, writes=True)
    systems = systems_from(settings, clock, version("callstream"))
    sources = Sources(
        rules=lambda: () if without_rules else published_rules(settings), configuration=configuration_files(settings)
    )
    try:
        created = create_backup(
            systems,
            sources,
            target,
            audit=audit_log_of(systems.register, clock),
            by=ByWhom(who.actor.actor_id, who.role),
            tell=lambda sentence: typer.echo(sentence, err=True),
        )
    finally:
        systems.register.close()
    manifest, copied = created.manifest, created.copied
    rows = sum(table.rows for table in manifest.clickhouse_tables.values())
    took_s = (manifest.ended_at - manifest.began_at).total_seconds()
    if as_json:
        print_json(
            {
                "backup": manifest.backup_id,
                "previous": manifest.previous,
                "took_s": round(took_s, 1),
                "objects": manifest.objects.rows,
                "objects_bytes": manifest.objects_bytes,
                "clickhouse_rows": rows,
                "register_rows": sum(table.rows for table in manifest.register_tables.values()),
                "copied_objects": copied.objects,
                "copied_bytes": copied.object_bytes + copied.chunk_bytes,
                "erased_calls": created.reached.calls,
                "keys_without_row": created.reached.keys_without_row,
            }
        )
    else:
        typer.echo(
            f"{manifest.backup_id}: {manifest.objects.rows} objects ({megabytes(manifest.objects_bytes)}), {rows} rows "
            f"of ClickHouse; copied {copied.objects} objects, {copied.chunks} chunks "
            f"({megabytes(copied.object_bytes + copied.chunk_bytes)}) in {took_s:.0f} s"
        )
    if created.reached.calls and not as_json:
        typer.echo(f"{created.reached.calls} erased calls were taken out of all backups")
    if created.reached.keys_without_row:
        typer.echo(
            f"{created.reached.keys_without_row} keys of calls are in the backup and no more in the register, with no "
            "tombstone that says why: they are kept. Find out what became of them (docs/backup.md#keys)",
            err=True,
        )


def published_rules(settings: Settings) -> "Iterator[PublishedRecord]":
    """What stands in the topic of published rules. Raises `RetryableError`."""
    from schemas.messages.topics import RULES_PUBLISHED
    from streams.adapters.kafka.client import TopicReader
    from streams.backup.systems import PublishedRecord

    reader = TopicReader(settings, RULES_PUBLISHED.name)
    try:
        for record in reader.read_to_end():
            yield PublishedRecord(record.key, record.value)
    finally:
        reader.close()
