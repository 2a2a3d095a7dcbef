"""Child processes: started one after the other, watched, and all gone at the end.

Each child leads a session and process group of its own, so that Ctrl-C in the terminal reaches only this process, which
then stops its children in order. Should this process be killed instead, the kernel kills each child (`child.py`). That
is bound to the *thread* that started the child: a supervisor starts children only from the thread that made it, and
that thread must live as long as they should. Processes that a child starts itself are killed with its group when the
child ends in any way while the supervisor lives; when the supervisor is killed, they are on their own.
"""

import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from schemas.errors import EmbeddedStackError
from streams.embedded.child import HELD_BACK, launcher_argv
from streams.embedded.environment import handed_on
from streams.runtime.child_records import ChildRecord, ChildRecordFile, ChildState, recent_ends

logger = logging.getLogger(__name__)

MAX_LOG_BYTES = 10 * 1024 * 1024
READY_FD = "CALLSTREAM_READY_FD"
_POLL_EVERY_S = 0.02
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class ChildSpec:
    """How to start one child, how to know that it is ready, and what its death means."""

    name: str
    """Lower case, also the name of its log file."""
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    """Asked again and again until it says yes; may block for a few seconds."""
    ready_within_s: float
    stop_grace_s: float
    """From SIGTERM to SIGKILL."""
    restart: bool
    """Whether `Supervisor.check` starts it again; otherwise its death is a `ChildFailedError`."""
    stays_ended: frozenset[int] = frozenset()
    """Exit codes after which it is not started again, because that would end in the same way."""
    stops_with_neighbours: bool = False
    """Whether it may stop while those that were started just before it stop, too."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to what is handed on of the environment of this process."""
    variables: tuple[str, ...] = ()
    """How the variables begin that are handed on beside those of the system (`environment.handed_on`)."""
    cwd: Path = Path("/")
    """Never the folder of who calls: files that lie there are nobody's to load."""
    announces: bool = False
    """Whether it writes to the pipe whose number `READY_FD` in its environment has, once its ports are its own.
    Only then is `ready` asked, which may send a password there."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or not self.argv:
            raise ValueError("a child needs a command and a name of a-z, 0-9, _ and -")


@dataclass(frozen=True)
class Backoff:
    """Pauses before a dead child is started again: `first_s`, doubled each time up to `longest_s`, and `first_s`
    again once the child has lived for `stable_after_s`.
    """

    first_s: float = 0.5
    longest_s: float = 30.0
    stable_after_s: float = 60.0

    def pause_s(self, failures: int) -> float:
        """The pause after this many failures in a row before the present one."""
        # Beyond 2**20 the power itself would overflow a float long after the cap has been reached.
        return min(self.longest_s, self.first_s * 2.0 ** min(failures, 20))


class ChildFailedError(EmbeddedStackError):
    """A child died or did not become ready; the text is a sentence that names its log file."""

    def __init__(self, name: str, exit_code: int | None, log_file: Path, what_happened: str) -> None:
        super().__init__(f"{name} {what_happened}; its log is {log_file}.")
        self.name = name
        self.child_exit_code = exit_code
        """As `subprocess` has it, negative for a signal; None when the child was alive but not ready."""
        self.log_file = log_file
        self.what_happened = what_happened
        """The rest of a sentence that begins with the name."""


@dataclass
class _Child:
    spec: ChildSpec
    process: "subprocess.Popen[bytes]"
    started_at_s: float
    wanted: bool = True
    """False after `stop_child`: then its end is no failure."""
    failures: int = 0
    restart_at_s: float | None = None
    announced: int | None = None
    """The end of the pipe on which it says that it listens."""
    gave_up: bool = False
    """It ended in a way after which it is not started again."""
    exit_code: int | None = None
    """Of its last end that nobody wanted."""
    ends_s: tuple[float, ...] = ()
    """When it ended unwanted, lately."""

    @property
    def state(self) -> ChildState:
        """For those who look from outside."""
        if self.gave_up:
            return "ended"
        if not self.wanted:
            return "stopped"
        return "runs" if self.restart_at_s is None else "waits"

    def has_announced(self) -> bool:
        """Whether it has said so, where it is to."""
        if self.announced is not None:
            with suppress(BlockingIOError):
                # An empty answer is the end of the pipe: it died, or will never say anything.
                if os.read(self.announced, 1):
                    self.forget_pipe()
        return self.announced is None

    def forget_pipe(self) -> None:
        """Close our end."""
        if self.announced is not None:
            os.close(self.announced)
            self.announced = None


class Supervisor:
    """Starts children, notices their death, and leaves none behind. Use it as a context manager.

    Children write to `<log_dir>/<name>.log` (appended, readable by the owner alone, moved to `.log.1` at a start that
    finds more than 10 MB). `monotonic_s` gives seconds that only grow. What becomes of them is written to `records`.
    """

    def __init__(
        self,
        log_dir: Path,
        backoff: Backoff | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        records: ChildRecordFile | None = None,
    ) -> None:
        self._log_dir = log_dir
        self._records = records
        self._backoff = backoff or Backoff()
        self._monotonic_s = monotonic_s
        self._children: dict[str, _Child] = {}
        self._thread_id = threading.get_ident()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def log_file(self, name: str) -> Path:
        """The log file of the child with that name."""
        return self._log_dir / f"{name}.log"

    def start(self, spec: ChildSpec) -> None:
        """Start a child and return when it is ready.

        Raises `ChildFailedError`, the child then being gone, `ValueError` for a name that is in use, and
        `RuntimeError` from a thread other than the one that made this supervisor.
        """
        if spec.name in self._children:
            raise ValueError(f"there is a child named {spec.name} already")
        # A child that was started and is not known yet would outlive an interruption.
        with _signals_held_back():
            self._children[spec.name] = self._spawn(spec)
        try:
            self._wait_until_ready(self._children[spec.name])
        except ChildFailedError:
            self._children[spec.name].forget_pipe()
            del self._children[spec.name]
            raise
        self._write_records()

    def check(self) -> None:
        """Look after the children; call this every second or so. Never blocks.

        A dead child whose spec says so is started again after a pause, without waiting until it is ready; one that
        ended with a code that `stays_ended` names is not. Raises
        `ChildFailedError` for any other that has ended.
        """
        for child in self._children.values():
            if not child.wanted:
                continue
            if child.restart_at_s is not None:
                if self._monotonic_s() >= child.restart_at_s:
                    self._respawn(child)
            elif _has_ended(child.process):
                self._take_note_of_death(child)
            else:
                self._rotate_log(child.spec.name)

    def pid(self, name: str) -> int | None:
        """The process id of a child, or None while it does not run. Raises `KeyError`."""
        process = self._children[name].process
        return None if _has_ended(process) else process.pid

    def running(self) -> dict[int, str]:
        """Process id → name, of the children that run."""
        found = {self.pid(name): name for name in self._children}
        return {pid: name for pid, name in found.items() if pid is not None}

    def kill(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal to a child alone, not to its group, as a crash would. Raises `KeyError`.

        SIGKILL returns when the child has ended; `check` then does whatever its spec says. A child that has ended
        before gets nothing.
        """
        process = self._children[name].process
        if _has_ended(process):
            return
        os.kill(process.pid, signal_number)
        if signal_number == signal.SIGKILL:
            _wait_for_end(process, within_s=None)

    def stop_child(self, name: str) -> None:
        """Stop one child, as `stop` does; `check` leaves it stopped. Raises `KeyError`."""
        child = self._children[name]
        child.wanted = False
        child.restart_at_s = None
        with _undisturbed_by_signals():
            _end(child)
        self._write_records()

    def restart_child(self, name: str) -> None:
        """Stop one child where it still runs, start it again and return when it is ready.

        Raises `ChildFailedError`, the child then being stopped, and `KeyError`.
        """
        self.stop_child(name)
        child = self._children[name]
        self._respawn(child)
        child.failures = 0
        try:
            self._wait_until_ready(child)
        except ChildFailedError:
            child.wanted = False
            self._write_records()
            raise

    def stop(self) -> None:
        """Stop every child, the last one first: SIGTERM to its group, its grace, SIGKILL to whatever is left.

        Neighbours that may stop together get their SIGTERM together. A second Ctrl-C or SIGTERM does not disturb it.
        Does nothing the second time.
        """
        with _undisturbed_by_signals():
            while self._children:
                for name in self._last_to_stop_together():
                    _end(self._children[name])
                    del self._children[name]
            if self._records is not None:
                self._records.remove()

    def _last_to_stop_together(self) -> list[str]:
        """The names of the children that stop next; where they are several, SIGTERM is under way to each."""
        newest_first = list(reversed(self._children))
        together = list(takewhile(lambda name: self._children[name].spec.stops_with_neighbours, newest_first))
        for name in together:
            if not _has_ended(self._children[name].process):
                _signal_group(self._children[name].process, signal.SIGTERM)
        return together or newest_first[:1]

    def _write_records(self) -> None:
        if self._records is None:
            return
        try:
            self._records.write(
                [
                    ChildRecord(name, child.state, child.exit_code, child.ends_s, str(self.log_file(name)))
                    for name, child in self._children.items()
                ]
            )
        except OSError as error:  # a full disk: the children matter more than what is told of them
            logger.warning("what becomes of the children is not written: %s", os.strerror(error.errno or 0))

    def _spawn(self, spec: ChildSpec) -> _Child:
        if threading.get_ident() != self._thread_id:
            raise RuntimeError("children are started from the thread that made the supervisor: they die with it")
        log = self._open_log(spec.name)
        announced, says = os.pipe() if spec.announces else (None, None)
        pipe = {} if says is None else {READY_FD: str(says)}
        try:
            process = subprocess.Popen(  # noqa: S603 - the commands are our own
                launcher_argv(spec.argv, os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=spec.cwd,
                env={**handed_on(os.environ, spec.variables), **spec.env, **pipe},
                pass_fds=() if says is None else (says,),
                start_new_session=True,
            )
        except BaseException:
            if announced is not None:
                os.close(announced)
            raise
        finally:
            os.close(log)
            if says is not None:
                os.close(says)
        if announced is not None:
            os.set_blocking(announced, False)
        return _Child(spec, process, self._monotonic_s(), announced=announced)

    def _respawn(self, child: _Child) -> None:
        with _signals_held_back():
            fresh = self._spawn(child.spec)
            child.process, child.started_at_s = fresh.process, fresh.started_at_s
            child.forget_pipe()
            child.announced = fresh.announced
            child.restart_at_s, child.wanted, child.gave_up = None, True, False
        self._write_records()

    def _wait_until_ready(self, child: _Child) -> None:
        deadline_s = self._monotonic_s() + child.spec.ready_within_s
        while True:
            ready = child.has_announced() and child.spec.ready()
            # Asked after `ready`, which may have been answered by a stranger on the same port.
            if _has_ended(child.process):
                raise self._failure(child, _bury(child.process), "before it was ready")
            if ready:
                return
            if self._monotonic_s() >= deadline_s:
                _end(child)
                what = f"was not ready within {child.spec.ready_within_s:g} s and has been stopped"
                raise ChildFailedError(child.spec.name, None, self.log_file(child.spec.name), what)
            time.sleep(_POLL_EVERY_S)

    def _take_note_of_death(self, child: _Child) -> None:
        exit_code = _bury(child.process)
        failure = self._failure(child, exit_code, "while it was needed")
        if not child.spec.restart:
            raise failure
        now_s = self._monotonic_s()
        child.exit_code, child.ends_s = exit_code, recent_ends((*child.ends_s, now_s), now_s)
        if exit_code in child.spec.stays_ended:
            child.wanted, child.gave_up = False, True
            self._write_records()
            logger.error("%s It is not started again: somebody has to look at it.", str(failure))
            return
        if now_s - child.started_at_s >= self._backoff.stable_after_s:
            child.failures = 0
        pause_s = self._backoff.pause_s(child.failures)
        child.failures += 1
        child.restart_at_s = now_s + pause_s
        self._write_records()
        logger.warning("%s It is started again in %g s.", str(failure), pause_s)

    def _failure(self, child: _Child, exit_code: int, when: str) -> ChildFailedError:
        return ChildFailedError(
            child.spec.name, exit_code, self.log_file(child.spec.name), f"{_end_in_words(exit_code)} {when}"
        )

    def _rotate_log(self, name: str) -> None:
        """Put aside what a running child has written. It writes on into the same file, whose beginning is cut off;
        a line that it writes in this very moment may be lost."""
        path = self.log_file(name)
        try:
            if path.stat().st_size > MAX_LOG_BYTES:
                former = path.with_name(f"{name}.log.1")
                former.unlink(missing_ok=True)
                former.touch(0o600)
                shutil.copyfile(path, former)
                os.truncate(path, 0)
        except OSError as error:  # a full disk: the child matters more than its log
            logger.warning("the log of %s is not put aside: %s", name, os.strerror(error.errno or 0))

    def _open_log(self, name: str) -> int:
        self._log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.log_file(name)
        with suppress(FileNotFoundError):
            if path.stat().st_size > MAX_LOG_BYTES:
                path.replace(path.with_name(f"{name}.log.1"))
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.fchmod(log, 0o600)
        return log


def _end(child: _Child) -> None:
    """End the child's process group; nothing of it runs when this returns."""
    if not _has_ended(child.process):
        _signal_group(child.process, signal.SIGTERM)
        _wait_for_end(child.process, child.spec.stop_grace_s)
    _bury(child.process)
    child.forget_pipe()


def _bury(process: "subprocess.Popen[bytes]") -> int:
    """Kill what is left of the group, then reap its leader and return the leader's exit code.

    In this order: as long as the leader is not reaped, nobody else can get its number.
    """
    if process.returncode is None:
        _signal_group(process, signal.SIGKILL)
    return process.wait()


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the process has ended, without reaping it."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _wait_for_end(process: "subprocess.Popen[bytes]", within_s: float | None) -> None:
    deadline_s = None if within_s is None else time.monotonic() + within_s
    while not _has_ended(process) and (deadline_s is None or time.monotonic() < deadline_s):
        time.sleep(_POLL_EVERY_S)


def _signal_group(process: "subprocess.Popen[bytes]", signal_number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal_number)


def _end_in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """SIGINT and SIGTERM come when this ends. A child inherits that they are held back, and `child.py` undoes it."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextmanager
def _undisturbed_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM do nothing inside. Python runs signal handlers in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, _do_nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            # None: the handler was installed by other than Python, which cannot put it back.
            if handler is not None:
                signal.signal(number, handler)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass
