"""Landlock: which files a process of ours may read, held by the kernel (Linux 5.19 and later)."""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _BELOW_PATH = 1, 1
_NO_NEW_PRIVILEGES = 38
_READ_FILE, _MOVE = 1 << 2, 1 << 13


def can_be_held() -> bool:
    """Whether the kernel can. Version 1 forbids to move a file into another folder, whatever it is told."""
    if sys.platform != "linux":
        return False
    version: int = ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, 0, _VERSION)
    return version >= 2


def read_nothing_but(readable: Iterable[Path]) -> None:
    """From here on this thread, and each that it starts, opens no file for reading but these and those below them.

    What does not exist is passed over; what is open stays so; writing is as free as before. Nothing is held where the
    kernel cannot. Raises `OSError`.
    """
    if not can_be_held():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    held = struct.pack("=Q", _READ_FILE | _MOVE)
    rules = _done(libc.syscall(_CREATE_RULESET, held, len(held), 0))
    allowed = [(Path("/"), _MOVE), *((path, _READ_FILE) for path in readable if path.exists())]
    for path, right in allowed:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _done(libc.syscall(_ADD_RULE, rules, _BELOW_PATH, struct.pack("=Qi", right, place), 0))
        os.close(place)
    _done(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _done(libc.syscall(_RESTRICT_SELF, rules, 0))
    os.close(rules)


def _done(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
