"""`callstream backup apply-erasures` and `callstream backup tombstones`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.backup.options import BackupsFromOption, PlaceOption
from streams.cli.command_settings import command_settings

ErasedFileOption = Annotated[
    Path | None, typer.Option("--tombstones", help="A file of erased calls (`callstream backup tombstones`).")
]


def apply(to: PlaceOption = None, file: ErasedFileOption = None) -> None:
    """Take erased calls out of every backup now, and not with the next one.

    Their wrapped keys, the copies of their objects and their words go. Run it after an erasure whose receipt is due
    before the next backup.
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


def tombstones(
    out: Annotated[Path, typer.Option("--out", help="The file; it takes the place of one that is there.")],
    source: BackupsFromOption = None,
) -> None:
    """Write down, signed, which calls were erased: to be kept where neither the installation nor its backups lie.

    Where both are lost but for an old backup, this file keeps a restore from giving back what was erased.
    """
    from processors.custody.backups import ErasedFile
    from streams.adapters.register.register import Register
    from streams.backup.erasing import destroyed_calls, erased_calls
    from streams.backup.from_settings import target_from
    from streams.ports import SystemClock

    settings = command_settings()
    target = target_from(settings, source, writes=True)
    register = Register.of(settings)
    try:
        calls = destroyed_calls(register) | erased_calls(target)
    finally:
        register.close()
    content = target.signed(ErasedFile(written_at=SystemClock().now(), calls=tuple(sorted(calls))))
    draft = out.with_name(f".{out.name}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(out)
    typer.echo(f"{len(calls)} erased calls written to {out}")
