"""`callstream backup verify`."""

from typing import Annotated

import typer

from streams.cli.backup.options import BackupOption, BackupsFromOption
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import end_with_problems, print_json


def verify(
    source: BackupsFromOption = None,
    backup: BackupOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every object, and not a sample, to compare its SHA-256.")
    ] = False,
    sample: Annotated[int, typer.Option(min=0, help="So many objects are read.")] = 200,
    open_calls: Annotated[
        int, typer.Option("--open", min=0, help="Decrypt so many calls, with the wrapping keys that the settings name.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Look at a backup: signature, every row, every object, the keys. Ends with 1 where something is wrong."""
    from streams.adapters.key_wrappers.from_settings import key_wrapper_from
    from streams.backup.from_settings import target_from
    from streams.backup.verifying import verify_backup

    settings = command_settings()
    target = target_from(settings, source)
    wrapper = key_wrapper_from(settings) if open_calls else None
    found = verify_backup(
        target, target.backup_or_newest(backup), full=full, sample=sample, open_calls=open_calls, wrapper=wrapper
    )
    if as_json:
        print_json(
            {
                "backup": found.manifest.backup_id,
                "chain": found.chain,
                "rows": found.rows,
                "objects": found.objects,
                "digests_compared": found.digests,
                "calls_opened": found.opened,
                "problems": found.problems,
            }
        )
        if found.problems:
            raise typer.Exit(1)
        return
    opened = f", {found.opened} calls opened" if open_calls else ""
    typer.echo(
        f"{found.manifest.backup_id}: {found.rows} rows, {found.objects} objects, {found.digests} of them read"
        f"{opened}; {len(found.chain)} backups in its chain"
    )
    if found.problems:
        end_with_problems(found.problems)
    typer.echo("nothing is wrong")
