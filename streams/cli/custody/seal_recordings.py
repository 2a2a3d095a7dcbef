"""`callstream custody seal-recordings`: recordings of earlier releases, sealed."""

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json

NAMED = 20


def seal_recordings(as_json: JsonOption = False) -> None:
    """Seal the recordings that releases before 0.4 left in clear.

    Each is read back before it is removed from where it lay in clear, and its call finds it as before. It can be
    stopped and run again, also while workers run. A recording that does not have the checksum in its name is left.
    """
    from streams.adapters.object_store.from_settings import object_store_from
    from streams.adapters.register.register import Register
    from streams.stages import seal_recordings as stage
    from streams.wiring import require_register, sealed_store_from

    settings = command_settings()
    store = object_store_from(settings)
    store.check()
    register = Register.of(settings)
    require_register(register)
    report = stage.seal_recordings(store, sealed_store_from(settings, store, "audio", register=register))
    if as_json:
        print_json({"sealed": report.sealed, "left": report.left})
    else:
        typer.echo(f"{report.sealed} recordings sealed")
        for key in report.left[:NAMED]:
            typer.echo(f"  left in clear, it does not have the checksum in its name: {key}")
        if len(report.left) > NAMED:
            typer.echo(f"  and {len(report.left) - NAMED} more; --json lists them all")
    if report.left:
        raise typer.Exit(EXIT_PROBLEM)
