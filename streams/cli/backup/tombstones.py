"""`callstream backup tombstones`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.backup.options import BackupsFromOption
from streams.cli.command_settings import command_settings


def tombstones(
    out: Annotated[Path, typer.Option("--out", help="The file; it takes the place of one that is there.")],
    source: BackupsFromOption = None,
) -> None:
    """Write down, signed, which calls were erased and how holds stand: to be kept where neither the installation nor
    its backups lie.

    Where both are lost but for an old backup, this file keeps a restore from giving back what was erased, and from
    forgetting what is held.
    """
    from processors.custody.backups import ErasedFile
    from streams.adapters.register.register import Register
    from streams.backup.erasing import destroyed_calls, erased_calls
    from streams.backup.from_settings import target_from
    from streams.backup.holding import file_rows, holds_of_register, holds_of_target
    from streams.ports import SystemClock

    settings = command_settings()
    target = target_from(settings, source, writes=True)
    register = Register.of(settings)
    try:
        calls = destroyed_calls(register) | erased_calls(target)
        cases = holds_of_target(target)
        cases.add(holds_of_register(register))
    finally:
        register.close()
    now = SystemClock().now()
    content = target.signed(ErasedFile(written_at=now, calls=tuple(sorted(calls)), holds=file_rows(cases)))
    draft = out.with_name(f".{out.name}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(out)
    typer.echo(f"{len(calls)} erased calls and {len(cases)} cases of holds written to {out}")
