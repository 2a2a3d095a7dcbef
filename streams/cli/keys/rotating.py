"""What the commands share: which purposes are meant, and register and key wrapper of the settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from processors.custody.ports import PURPOSES, Purpose
from streams.cli.command_settings import command_settings
from streams.cli.console.access import account

if TYPE_CHECKING:
    from streams.adapters.register.rotation import Rotation

PurposeOption = Annotated[
    list[str] | None,
    typer.Option("--purpose", help="audio, transcript or received; can be repeated. By default all three."),
]
VersionOption = Annotated[
    str | None, typer.Option("--version", help="Which version, with one --purpose; by default the only one that fits.")
]


def meant(purposes: list[str] | None, version: str | None = None) -> tuple[Purpose, ...]:
    """The purposes of the options. Raises `typer.BadParameter`."""
    if unknown := set(purposes or ()) - set(PURPOSES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: audio, transcript or received", param_hint="--purpose")
    found = tuple(purpose for purpose in PURPOSES if not purposes or purpose in purposes)
    if version is not None and len(found) != 1:
        raise typer.BadParameter("a version is one of a single purpose: give --purpose too", param_hint="--version")
    return found


@contextmanager
def rotating(purposes: tuple[Purpose, ...]) -> "Iterator[Rotation]":
    """Of the register and the key wrapper of the settings, for these purposes alone. Raises as both do."""
    from streams.adapters.key_wrappers.from_settings import key_wrapper_from
    from streams.adapters.register.register import Register
    from streams.adapters.register.rotation import Rotation
    from streams.ports import SystemClock

    settings = command_settings()
    register = Register.of(settings)
    try:
        register.check()
        yield Rotation(register, key_wrapper_from(settings, purposes), SystemClock(), account())
    finally:
        register.close()
