"""A recording, a part of it as WAV, or an archived result: as a file that nobody else can read."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from schemas.errors import OperatorError

if TYPE_CHECKING:
    from processors.listening.virtual_wav import VirtualWav

STANDARD_OUTPUT = "-"
BLOCK_BYTES = 1024 * 1024

_TIME = re.compile(
    r"(?:(?:(?P<hours>[0-9]{1,3}):)?(?P<minutes>[0-9]{1,4}):)?(?P<seconds>[0-9]{1,6})(?:\.(?P<fraction>[0-9]{1,3}))?"
)


class OutputError(OperatorError):
    """The file cannot be written."""


class BrokenOffError(OperatorError):
    """The recording could not be read to its end; what was written of it is removed."""

    exit_code = 1


def time_ms(text: str | None, option: str) -> int | None:
    """`65`, `1:05`, `1:02:03.5` in milliseconds. Raises `typer.BadParameter`."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text} is no time in a recording: write 65, 1:05 or 1:02:03.5", param_hint=option)
    minutes = int(match["hours"] or 0) * 60 + int(match["minutes"] or 0)
    return (minutes * 60 + int(match["seconds"])) * 1000 + int((match["fraction"] or "0").ljust(3, "0"))


def write_file(data: bytes, output: str) -> None:
    """Write all of it. Raises `OutputError`."""
    with _opened(output) as file:
        file.write(data)
        file.flush()


def write_wav(wav: "VirtualWav", start_ms: int | None, end_ms: int | None, output: str) -> int:
    """Write the part between two times, or all; how many milliseconds it has.

    Raises `typer.BadParameter` for a part that is none, `OutputError` and `BrokenOffError`.
    """
    from processors.listening.virtual_wav import WavShape

    shape = wav.shape
    start, end = shape.byte_at(start_ms or 0), shape.size_bytes if end_ms is None else shape.byte_at(end_ms)
    if start >= end:
        length_ms = shape.frames * 1000 // shape.rate_hz
        raise typer.BadParameter(f"the recording has {length_ms / 1000:.1f} s: --from must lie in it and before --to")
    part = WavShape(shape.rate_hz, shape.channels, (end - start) // shape.frame_bytes)
    with _opened(output) as file:
        file.write(part.header())
        for at in range(start, end, BLOCK_BYTES):
            file.write(_read(wav, at, min(BLOCK_BYTES, end - at)))
        file.flush()
    return part.frames * 1000 // part.rate_hz


def _read(wav: "VirtualWav", at: int, length: int) -> bytes:
    from processors.custody.ports import SealBrokenError
    from processors.listening.audio import UnhearableError
    from streams.ports import ObjectMissingError

    try:
        return wav.read(at, length)
    except (SealBrokenError, ObjectMissingError, UnhearableError) as error:
        reason = type(error).__name__
    raise BrokenOffError(f"the recording cannot be read to its end ({reason}): what is stored was changed or destroyed")


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    if output == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    path = Path(output)
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise OutputError(f"{path} is there already: name another file, or remove it") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(number, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
