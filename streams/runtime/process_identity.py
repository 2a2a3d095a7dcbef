"""Which process wrote a file, so that it is known later whether that very process still runs."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process of a machine. Numbers are given again to others, so the moment of its start belongs to it (Linux)."""

    host: str
    boot: str
    """Changes whenever the machine is started; empty where the kernel does not tell."""
    pid: int
    started_ticks: int
    """Clock ticks from the start of the machine to that of the process; 0 where the kernel does not tell."""

    @classmethod
    def own(cls) -> Self:
        """Of this process."""
        return cls(os.uname().nodename, _boot_id(), os.getpid(), _started_ticks(os.getpid()))

    @property
    def is_of_this_host(self) -> bool:
        """A container is a host of its own; of other hosts nothing is known here."""
        return self.host == os.uname().nodename

    @property
    def runs(self) -> bool:
        """Whether it runs on this host. One that is stopped (SIGSTOP) does, one that has ended and is unburied not."""
        if not self.is_of_this_host or self.boot != _boot_id():
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            pass
        return self.started_ticks == _started_ticks(self.pid)


@cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started_ticks(pid: int) -> int:
    """See proc_pid_stat(5): state is the first field after the name in brackets, starttime the twentieth."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return -1 if fields[0] in "ZX" else int(fields[19])
