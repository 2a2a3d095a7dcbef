"""Which outside system an error came from, by the adapter that raised it."""

from collections.abc import Iterator
from types import FrameType, TracebackType

SYSTEMS: frozenset[str] = frozenset(
    (
        *("kafka", "clickhouse", "register", "object_store", "key_wrappers", "speech", "decoder", "second_readers"),
        *("channels", "inbox", "oidc"),
    )
)
"""Folders of `streams/adapters` whose systems may not answer."""

OTHER = "other"
_PREFIX = "streams.adapters."


def system_of(error: BaseException) -> str:
    """The adapter nearest to where it was raised; `OTHER` where there is none: a disk, for example."""
    found = OTHER if error.__cause__ is None else system_of(error.__cause__)
    for frame in _frames(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_PREFIX):
            system = module.removeprefix(_PREFIX).partition(".")[0]
            found = system if system in SYSTEMS else found
    return found


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    """From where it was caught to where it was raised."""
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next
