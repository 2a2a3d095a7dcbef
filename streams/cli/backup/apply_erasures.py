"""`callstream backup apply-erasures`."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.backup.options import PlaceOption
from streams.cli.command_settings import command_settings

ErasedFileOption = Annotated[
    Path | None, typer.Option("--tombstones", help="A file of erased calls (`callstream backup tombstones`).")
]


def apply(to: PlaceOption = None, file: ErasedFileOption = None) -> None:
    """Take erased calls out of every backup now, and not with the next one.

    Their wrapped keys, the copies of their objects and their words go. Run it after an erasure whose receipt is due
    before the next backup, and after a hold that a restore must not lose: how holds stand is written down there, too.
    """
    from processors.custody.backups import ErasedFile
    from streams.adapters.register.register import Register
    from streams.backup.erasing import apply_erasures
    from streams.backup.from_settings import target_from
    from streams.backup.systems import ALONE
    from streams.ports import SystemClock

    settings = command_settings()
    target = target_from(settings, to, writes=True)
    more = () if file is None else target.opened(file.read_bytes(), ErasedFile, str(file)).calls
    register = Register.of(settings)
    try:
        with register.alone(ALONE):
            register.check()
            reached = apply_erasures(target, register, more, SystemClock().now())
    finally:
        register.close()
    typer.echo(
        f"{reached.calls} erased calls newly taken out of the backups: {reached.keys} keys, {reached.copies} copies of "
        f"objects, {reached.rows} rows"
    )
