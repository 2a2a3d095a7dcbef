"""Ranges of RFC 9110, section 14: which part of a file a request asks for. Pure."""

import re
from dataclasses import dataclass

_ONE = re.compile(r"(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `end` (exclusive) of the file."""

    start: int
    end: int


class UnsatisfiableError(Exception):
    """The range lies behind the end of the file (416)."""


def part_of(header: str | None, size_bytes: int, most_bytes: int) -> Part | None:
    """What `Range` asks for, at most `most_bytes` of it; None where all of the file is to be sent.

    That is so without the header, for another unit than bytes, for several ranges, and for one that is not written as
    the RFC has it, as it lets a server do. Raises `UnsatisfiableError`.
    """
    unit, equals, asked = (header or "").partition("=")
    match = _ONE.fullmatch(asked.strip(" \t"))
    if not equals or unit.strip().lower() != "bytes" or match is None:
        return None
    first, last = match["first"], match["last"]
    if not first and not last:
        return None
    if not first:
        if int(last) == 0:
            raise UnsatisfiableError
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), min(size_bytes, int(last) + 1) if last else size_bytes
        if last and int(last) < start:
            return None
    if start >= size_bytes:
        raise UnsatisfiableError
    return Part(start, min(end, start + most_bytes))


def is_still(if_range: str | None, etag: str) -> bool:
    """Whether `If-Range` lets a part be sent: by the same strong tag; a date never does, there is none to compare."""
    return if_range is None or if_range.strip() == etag
