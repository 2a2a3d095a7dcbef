"""Names of time zones that mean the same on every machine, and to ClickHouse."""

from zoneinfo import ZoneInfo

_OF_THIS_MACHINE = {"localtime", "posixrules", "Factory"}
_OTHER_CLOCKS = ("posix/", "right/")
"""Copies of the zones beside them on some machines; those in `right` count leap seconds."""


def time_zone(name: str) -> ZoneInfo:
    """The zone of that name in the IANA time zone database. Raises ValueError for anything else."""
    try:
        zone = ZoneInfo(name)
    except (LookupError, OSError, ValueError) as error:  # not there, or no name at all
        raise ValueError(f"{name!r} is no time zone") from error
    if name in _OF_THIS_MACHINE or name.startswith(_OTHER_CLOCKS):
        raise ValueError(f"{name!r} is not the same everywhere")
    return zone
