"""`python -m streams.embedded.child --parent PID -- COMMAND…`: a command that does not outlive its parent.

Asks the kernel to SIGKILL this process when its parent dies, whatever the parent dies of, and becomes COMMAND. The
request survives `exec`, but is not inherited by COMMAND's own children.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

PR_SET_PDEATHSIG = 1
HELD_BACK = frozenset({signal.SIGINT, signal.SIGTERM})
"""Signals that the parent holds back while it starts a child."""
PRIVATE_UMASK = 0o077
"""Files of the stack and of commands are for their owner: recordings, logs and exports hold what people said."""
EXIT_USAGE = 64
EXIT_ORPHAN = 75
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127


def launcher_argv(command: Sequence[str], parent_pid: int) -> list[str]:
    """The command line that runs `command` bound to the life of `parent_pid`, which must be who starts it."""
    # -P: a folder named `streams` where the user stands must not be taken for this package.
    return [sys.executable, "-P", "-m", "streams.embedded.child", "--parent", str(parent_pid), "--", *command]


def die_with_parent() -> None:
    """Have the kernel SIGKILL this process when the thread that forked it ends. Linux only."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def main(argv: list[str]) -> NoReturn:
    """Become the command in `argv`, or exit: 64 wrong usage, 75 the parent is gone, 126/127 as a shell does."""
    if len(argv) < 4 or argv[0] != "--parent" or not argv[1].isdecimal() or argv[2] != "--":
        sys.exit(_complain("usage: python -m streams.embedded.child --parent PID -- COMMAND…", EXIT_USAGE))
    parent_pid, command = int(argv[1]), argv[3:]
    os.umask(PRIVATE_UMASK)
    die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    # After the request, not before it: a parent that died in between would never be noticed.
    if os.getppid() != parent_pid:
        sys.exit(_complain("the process that started this one is gone", EXIT_ORPHAN))
    try:
        os.execvp(command[0], command)  # noqa: S606 - running a command without a shell is the purpose
    except FileNotFoundError:
        sys.exit(_complain(f"{command[0]} does not exist", EXIT_NOT_FOUND))
    except OSError as error:
        sys.exit(_complain(f"{command[0]} cannot be run: {error.strerror}", EXIT_NOT_EXECUTABLE))


def _complain(sentence: str, exit_code: int) -> int:
    sys.stderr.write(f"callstream: {sentence}\n")
    return exit_code


if __name__ == "__main__":
    main(sys.argv[1:])
