"""`callstream backup list`."""

import typer
from rich.table import Table

from streams.cli.backup.options import BackupsFromOption, megabytes
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json


def list_backups(source: BackupsFromOption = None, as_json: JsonOption = False) -> None:
    """The backups that there are, the oldest first. Ends with 1 where one is not signed as it should be."""
    from streams.backup.from_settings import target_from

    manifests = target_from(command_settings(), source).manifests()
    if as_json:
        print_json(
            [
                {
                    "backup": each.backup_id,
                    "began_at": each.began_at.isoformat(),
                    "release": each.release,
                    "objects": each.objects.rows,
                    "objects_bytes": each.objects_bytes,
                    "clickhouse_rows": sum(table.rows for table in each.clickhouse_tables.values()),
                }
                for each in manifests
            ]
        )
        return
    if not manifests:
        typer.echo("there is no backup there")
        return
    table = Table("backup", "began", "release", "objects", "size", "rows of ClickHouse", box=None, header_style="")
    for each in manifests:
        rows = sum(part.rows for part in each.clickhouse_tables.values())
        began = f"{each.began_at:%Y-%m-%d %H:%M}"
        table.add_row(
            each.backup_id, began, each.release, str(each.objects.rows), megabytes(each.objects_bytes), str(rows)
        )
    console().print(table)
