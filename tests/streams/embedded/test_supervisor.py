"""Child processes with real, tiny Python children: what is started is ready, what dies is noticed, nothing is left."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streams.embedded.child import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_ORPHAN, EXIT_USAGE, launcher_argv
from streams.embedded.supervisor import MAX_LOG_BYTES, Backoff, ChildFailedError, ChildSpec, Supervisor
from streams.runtime.child_records import LOOP_RESTARTS, LOOP_WITHIN_S, ChildRecordFile, child_conditions
from tests.support.processes import eventually, runs

pytestmark = [pytest.mark.processes, pytest.mark.loopback]

GIVE_UP_AFTER_S = 20
SLEEPS = "import time; open('up', 'w').close(); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
WITH_GRANDCHILD = (
    "import os, subprocess, sys, time\n"
    "code = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'\n"
    "grandchild = subprocess.Popen([sys.executable, '-c', code])\n"
    "open('grandchild.new', 'w').write(str(grandchild.pid))\n"
    "os.rename('grandchild.new', 'grandchild')\n"
    "open('up', 'w').close()\n"
    "time.sleep(600)\n"
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "logs") as supervisor:
        yield supervisor


def python_child(folder: Path, code: str, *, name: str = "worker", restart: bool = False) -> ChildSpec:
    """A child that is ready once it has written the file `up` into its folder."""
    folder.mkdir(exist_ok=True)
    (folder / "up").unlink(missing_ok=True)
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-c", code),
        cwd=folder,
        ready=(folder / "up").exists,
        ready_within_s=GIVE_UP_AFTER_S,
        stop_grace_s=GIVE_UP_AFTER_S,
        restart=restart,
    )


def pid_of(supervisor: Supervisor, name: str) -> int:
    pid = supervisor.pid(name)
    assert pid is not None
    return pid


def test_a_started_child_is_ready_and_runs_until_it_is_stopped(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python_child(tmp_path / "a", SLEEPS))
    assert (tmp_path / "a" / "up").exists()
    pid = pid_of(supervisor, "worker")
    assert runs(pid)
    supervisor.check()
    supervisor.stop()
    assert not runs(pid)


def test_a_child_leads_its_own_session_so_ctrl_c_does_not_reach_it(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python_child(tmp_path / "a", SLEEPS))
    pid = pid_of(supervisor, "worker")
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.getpgid(pid) == pid


def test_a_child_gets_its_environment_beside_what_it_may_have_of_ours(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_US", "ours")
    monkeypatch.setenv("NOT_FROM_US", "a secret")
    code = "import os; print(*map(os.environ.get, ('FROM_US', 'NOT_FROM_US', 'ADDED')), flush=True); " + SLEEPS
    supervisor.start(replace(python_child(tmp_path / "a", code), env={"ADDED": "added"}, variables=("FROM_",)))
    assert supervisor.log_file("worker").read_text() == "ours None added\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        pytest.param("raise SystemExit(3)", 3, "worker ended with exit code 3", id="it exits"),
        pytest.param("import os; os.kill(os.getpid(), 9)", -9, "worker was ended by SIGKILL", id="it is killed"),
    ],
)
def test_a_child_that_dies_before_it_is_ready_is_named_with_its_exit_code_and_log(
    supervisor: Supervisor, tmp_path: Path, code: str, exit_code: int, words: str
) -> None:
    with pytest.raises(ChildFailedError, match=words) as failure:
        supervisor.start(python_child(tmp_path / "a", code))
    assert failure.value.child_exit_code == exit_code
    assert str(supervisor.log_file("worker")) in str(failure.value)
    with pytest.raises(KeyError):
        supervisor.pid("worker")


def test_a_dead_child_is_not_ready_even_if_a_stranger_answers_in_its_place(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    def stranger_answers_when_the_child_is_gone() -> bool:
        return eventually(lambda: supervisor.pid("worker") is None)

    spec = replace(python_child(tmp_path / "a", "raise SystemExit(3)"), ready=stranger_answers_when_the_child_is_gone)
    with pytest.raises(ChildFailedError, match="exit code 3"):
        supervisor.start(spec)


def test_a_child_that_is_never_ready_is_stopped_and_named(supervisor: Supervisor, tmp_path: Path) -> None:
    pids: list[int | None] = []

    def never() -> bool:
        pids.append(supervisor.pid("worker"))
        return False

    spec = replace(python_child(tmp_path / "a", SLEEPS), ready=never, ready_within_s=0.2)
    words = r"worker was not ready within 0\.2 s.*its log is .*worker\.log"
    with pytest.raises(ChildFailedError, match=words) as failure:
        supervisor.start(spec)
    assert failure.value.child_exit_code is None
    assert pids[0] is not None
    assert not runs(pids[0])


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        pytest.param("does-not-exist-anywhere", EXIT_NOT_FOUND, id="no such program"),
        pytest.param("/", EXIT_NOT_EXECUTABLE, id="a folder is no program"),
    ],
)
def test_a_command_that_cannot_be_run_ends_with_the_exit_code_of_a_shell(
    supervisor: Supervisor, tmp_path: Path, command: str, exit_code: int
) -> None:
    with pytest.raises(ChildFailedError) as failure:
        supervisor.start(replace(python_child(tmp_path / "a", ""), argv=(command,)))
    assert failure.value.child_exit_code == exit_code
    assert command in failure.value.log_file.read_text()


def test_a_child_that_ignores_sigterm_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(replace(python_child(tmp_path / "a", DEAF), stop_grace_s=0.1))
    pid = pid_of(supervisor, "worker")
    supervisor.stop()
    assert not runs(pid)


def test_a_child_has_its_grace_to_end_properly(supervisor: Supervisor, tmp_path: Path) -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye'))); " + SLEEPS
    supervisor.start(python_child(tmp_path / "a", code))
    supervisor.stop()
    assert supervisor.log_file("worker").read_text() == "bye\n"


def test_children_are_stopped_in_reverse_order(supervisor: Supervisor, tmp_path: Path) -> None:
    told = tmp_path / "told"
    for name in ("first", "second", "third"):
        code = (
            "import signal, sys\n"
            "def tell(*_):\n"
            f"    open({str(told)!r}, 'a').write('{name} ')\n"
            "    sys.exit()\n"
            "signal.signal(signal.SIGTERM, tell)\n"
        )
        supervisor.start(python_child(tmp_path / name, code + SLEEPS, name=name))
    supervisor.stop()
    assert told.read_text().split() == ["third", "second", "first"]


def test_stopping_twice_is_stopping_once(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python_child(tmp_path / "a", SLEEPS))
    supervisor.stop()
    supervisor.stop()
    supervisor.check()


@pytest.mark.parametrize("how", ["stop", "crash noticed by check"])
def test_a_grandchild_goes_with_its_group(supervisor: Supervisor, tmp_path: Path, how: str) -> None:
    supervisor.start(python_child(tmp_path / "a", WITH_GRANDCHILD))
    child = pid_of(supervisor, "worker")
    grandchild = int((tmp_path / "a" / "grandchild").read_text())
    assert runs(grandchild)
    if how == "stop":
        supervisor.stop()
    else:
        supervisor.kill("worker")
        with pytest.raises(ChildFailedError):
            supervisor.check()
    assert not runs(child)
    assert eventually(lambda: not runs(grandchild))


def test_the_death_of_a_child_that_is_not_restarted_is_an_error(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python_child(tmp_path / "a", SLEEPS))
    supervisor.kill("worker")
    assert supervisor.pid("worker") is None
    for _ in range(2):
        with pytest.raises(ChildFailedError, match="worker was ended by SIGKILL while it was needed"):
            supervisor.check()


def test_a_child_that_was_stopped_on_purpose_stays_stopped(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python_child(tmp_path / "a", SLEEPS))
    supervisor.stop_child("worker")
    supervisor.check()
    assert supervisor.pid("worker") is None


@pytest.mark.parametrize("before", ["running", "killed", "stopped"])
def test_a_child_is_restarted_on_demand_and_ready_again(supervisor: Supervisor, tmp_path: Path, before: str) -> None:
    supervisor.start(python_child(tmp_path / "a", SLEEPS))
    first = pid_of(supervisor, "worker")
    if before == "killed":
        supervisor.kill("worker")
    elif before == "stopped":
        supervisor.stop_child("worker")
    (tmp_path / "a" / "up").unlink()
    supervisor.restart_child("worker")
    assert (tmp_path / "a" / "up").exists()
    assert not runs(first)
    assert runs(pid_of(supervisor, "worker"))
    supervisor.check()


class HandClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_dead_child_is_restarted_after_pauses_that_grow_and_shrink_again_once_it_was_stable(tmp_path: Path) -> None:
    clock = HandClock()
    backoff = Backoff(first_s=1, longest_s=3, stable_after_s=60)
    pauses_s = []
    with Supervisor(tmp_path / "logs", backoff, clock) as supervisor:
        supervisor.start(python_child(tmp_path / "a", SLEEPS, restart=True))
        for lived_s in (0, 0, 0, 59, 60, 0):
            clock.now_s += lived_s
            dead = pid_of(supervisor, "worker")
            supervisor.kill("worker")
            supervisor.check()
            died_at_s = clock.now_s
            supervisor.check()
            while supervisor.pid("worker") is None:
                clock.now_s += 0.5
                supervisor.check()
            assert supervisor.pid("worker") != dead
            pauses_s.append(clock.now_s - died_at_s)
    assert pauses_s == [1, 2, 3, 3, 1, 2]


class TestWhatOthersSeeOfTheChildren:
    """By the file that a supervisor writes beside them."""

    def test_a_crash_loop_has_its_exit_code_and_log_and_is_none_any_more_after_a_while(self, tmp_path: Path) -> None:
        clock = HandClock()
        with Supervisor(tmp_path / "logs", Backoff(first_s=1), clock, ChildRecordFile(tmp_path)) as supervisor:
            supervisor.start(python_child(tmp_path / "a", SLEEPS, restart=True))
            for _ in range(LOOP_RESTARTS):
                (before,) = child_conditions(tmp_path, clock.now_s)
                assert (before.is_in_crash_loop, before.is_problem) == (False, False)
                supervisor.kill("worker")
                supervisor.check()
                clock.now_s += 30
                supervisor.check()
            (found,) = child_conditions(tmp_path, clock.now_s)
            (later,) = child_conditions(tmp_path, clock.now_s + LOOP_WITHIN_S)
        assert (found.name, found.state, found.exit_code, found.ends) == ("worker", "runs", -9, LOOP_RESTARTS)
        assert found.log_file == str(tmp_path / "logs" / "worker.log")
        assert (found.is_problem, later.is_problem) == (True, False)
        assert child_conditions(tmp_path) == [], "nothing is left of a supervisor that has ended in good order"

    def test_a_child_that_is_not_started_again_stays_a_problem(self, tmp_path: Path) -> None:
        breaker = "import sys, time; open('up', 'w').close(); time.sleep(0.2); sys.exit(6)"
        spec = replace(python_child(tmp_path / "a", breaker, restart=True), stays_ended=frozenset({6}))
        with Supervisor(tmp_path / "logs", records=ChildRecordFile(tmp_path)) as supervisor:
            supervisor.start(spec)
            assert eventually(lambda: supervisor.pid("worker") is None)
            supervisor.check()
            (found,) = child_conditions(tmp_path)
        assert (found.state, found.exit_code, found.is_problem) == ("ended", 6, True)

    def test_a_child_that_was_stopped_is_no_problem(self, tmp_path: Path) -> None:
        with Supervisor(tmp_path / "logs", records=ChildRecordFile(tmp_path)) as supervisor:
            supervisor.start(python_child(tmp_path / "a", SLEEPS, restart=True))
            supervisor.stop_child("worker")
            (found,) = child_conditions(tmp_path)
        assert (found.state, found.is_problem) == ("stopped", False)


def test_the_pause_has_a_cap_however_often_a_child_fails() -> None:
    assert Backoff(first_s=0.5, longest_s=30).pause_s(1_000_000) == 30


def test_a_child_cannot_be_started_from_another_thread(supervisor: Supervisor, tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            supervisor.start(python_child(tmp_path / "a", SLEEPS))
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert [type(error) for error in caught] == [RuntimeError]
    with pytest.raises(KeyError):
        supervisor.pid("worker")


def test_a_name_is_used_once(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python_child(tmp_path / "a", SLEEPS))
    with pytest.raises(ValueError, match="worker already"):
        supervisor.start(python_child(tmp_path / "b", SLEEPS))


@pytest.mark.parametrize("name", ["", "../worker", "a b", "Worker"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        python_child(tmp_path / "a", SLEEPS, name=name)


def test_the_log_is_appended_to_private_and_holds_both_streams(supervisor: Supervisor, tmp_path: Path) -> None:
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr, flush=True); " + SLEEPS
    supervisor.start(python_child(tmp_path / "a", code))
    (tmp_path / "a" / "up").unlink()
    supervisor.restart_child("worker")
    log = supervisor.log_file("worker")
    assert log.read_text() == "out\nerr\n" * 2
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("size_bytes", "rotated"),
    [
        pytest.param(MAX_LOG_BYTES, False, id="as large as it may be"),
        pytest.param(MAX_LOG_BYTES + 1, True, id="one byte too large"),
    ],
)
def test_a_log_that_has_grown_too_large_is_put_aside_at_the_next_start(
    supervisor: Supervisor, tmp_path: Path, size_bytes: int, rotated: bool
) -> None:
    log = supervisor.log_file("worker")
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(size_bytes)
    supervisor.start(python_child(tmp_path / "a", SLEEPS))
    assert log.with_name("worker.log.1").exists() == rotated
    assert (log.stat().st_size == 0) == rotated


def test_a_log_that_grows_too_large_is_put_aside_while_its_child_writes_on(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    writes = "import time\nopen('up', 'w').close()\nwhile True:\n print('line', flush=True)\n time.sleep(0.02)\n"
    supervisor.start(python_child(tmp_path / "a", writes))
    log = supervisor.log_file("worker")
    before = supervisor.pid("worker")
    with log.open("ab") as file:
        file.write(b"x" * (MAX_LOG_BYTES + 1))
    supervisor.check()
    assert log.with_name("worker.log.1").stat().st_size > MAX_LOG_BYTES
    assert log.with_name("worker.log.1").stat().st_mode & 0o777 == 0o600
    assert eventually(lambda: log.read_text().startswith("line"))
    assert log.stat().st_size < 10_000
    assert supervisor.pid("worker") == before


TELLS_OF_SIGTERM = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: open('asked', 'w').close())\n"
    "open('up', 'w').close()\n"
    "while True: time.sleep(1)\n"
)
PARENT = f"""
import signal, sys
from pathlib import Path
from streams.embedded.supervisor import ChildSpec, Supervisor
folder = Path(sys.argv[1])
# A shell that runs the tests in the background lets its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Supervisor(folder / "logs") as supervisor:
    supervisor.start(ChildSpec(
        name="worker", argv=(sys.executable, "-c", {TELLS_OF_SIGTERM!r}), cwd=folder, ready=(folder / "up").exists,
        ready_within_s=20, stop_grace_s=600, restart=False,
    ))
    print(supervisor.pid("worker"), flush=True)
    signal.pause()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with process:
        yield process
        process.kill()


def child_of(parent: "subprocess.Popen[str]") -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


def test_when_the_parent_is_killed_its_child_is_gone(parent: "subprocess.Popen[str]") -> None:
    child = child_of(parent)
    assert runs(child)
    parent.kill()
    assert eventually(lambda: not runs(child))


def test_a_second_ctrl_c_does_not_leave_a_child_behind(parent: "subprocess.Popen[str]", tmp_path: Path) -> None:
    child = child_of(parent)
    os.killpg(parent.pid, signal.SIGINT)
    assert eventually((tmp_path / "asked").exists), "the parent did not begin to stop its child"
    os.killpg(parent.pid, signal.SIGINT)
    os.killpg(parent.pid, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        parent.wait(0.3)
    assert runs(child)
    os.kill(child, signal.SIGKILL)
    assert parent.wait(GIVE_UP_AFTER_S) == -signal.SIGINT
    assert not runs(child)


def test_signals_have_their_former_meaning_after_stopping(supervisor: Supervisor) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    supervisor.stop()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_command_whose_parent_is_gone_already_is_not_run(tmp_path: Path) -> None:
    somebody_else = os.getppid()
    command = launcher_argv(["touch", str(tmp_path / "ran")], somebody_else)
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == EXIT_ORPHAN
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="nothing"),
        pytest.param(["--parent", "1", "--"], id="no command"),
        pytest.param(["--parent", "x", "--", "true"], id="no number"),
    ],
)
def test_a_launcher_that_is_called_wrongly_says_how(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "streams.embedded.child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_USAGE
    assert "usage" in done.stderr


def test_neighbours_that_may_stop_together_get_their_sigterm_together(supervisor: Supervisor, tmp_path: Path) -> None:
    """Each waits for the other to be told as well: one after the other, neither would end by itself."""
    waits_for_both = """
import pathlib, signal, sys, time
mine, other = (pathlib.Path(name) for name in sys.argv[1:3])
signal.signal(signal.SIGTERM, lambda *_: mine.touch())
mine.with_suffix(".ready").touch()
while not (mine.exists() and other.exists()):
    time.sleep(0.01)
mine.with_suffix(".clean").touch()
"""
    places = [tmp_path / "first", tmp_path / "second"]
    for mine, other in (places, reversed(places)):
        supervisor.start(
            ChildSpec(
                name=mine.name,
                argv=(sys.executable, "-c", waits_for_both, str(mine), str(other)),
                ready=mine.with_suffix(".ready").exists,
                ready_within_s=20,
                stop_grace_s=20,
                restart=False,
                stops_with_neighbours=True,
            )
        )
    supervisor.stop()
    assert [place.with_suffix(".clean").exists() for place in places] == [True, True]


ANNOUNCES = """
import os, pathlib, time
assert pathlib.Path.cwd() == pathlib.Path("/")
time.sleep(0.3)
pathlib.Path({file!r}).touch()
os.write(int(os.environ["CALLSTREAM_READY_FD"]), b"1")
time.sleep(60)
"""


def announcing_child(code: str, ready: Callable[[], bool], within_s: float = GIVE_UP_AFTER_S) -> ChildSpec:
    return ChildSpec(
        name="engine",
        argv=(sys.executable, "-c", code),
        announces=True,
        ready=ready,
        ready_within_s=within_s,
        stop_grace_s=1,
        restart=False,
    )


def test_nothing_is_asked_of_a_child_before_it_has_said_that_it_listens(supervisor: Supervisor, tmp_path: Path) -> None:
    said = tmp_path / "said"
    asked = []

    def ready() -> bool:
        asked.append(said.exists())
        return True

    supervisor.start(announcing_child(ANNOUNCES.format(file=str(said)), ready))
    assert asked == [True]


@pytest.mark.parametrize(
    ("code", "what"), [("import time; time.sleep(60)", "was not ready"), ("pass", "before it was ready")]
)
def test_a_child_that_says_nothing_is_asked_nothing(code: str, what: str, supervisor: Supervisor) -> None:
    asked: list[bool] = []

    def ready() -> bool:
        asked.append(True)
        return True

    files = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ChildFailedError, match=what):
        supervisor.start(announcing_child(code, ready, within_s=2))
    assert not asked
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_what_a_child_writes_is_for_its_owner_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        supervisor.start(python_child(tmp_path / "a", SLEEPS))
    finally:
        os.umask(former)
    assert (tmp_path / "a" / "up").stat().st_mode & 0o777 == 0o600
