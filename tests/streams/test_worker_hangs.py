"""A real worker that hangs in its step ends itself; one that is long at a long call, or was stopped, does not."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.runtime.crash_guard import Quarantine
from streams.runtime.heartbeat import conditions
from streams.worker import DID_NOT_RUN_S, EXIT_HANGS
from tests.support.processes import eventually

pytestmark = [pytest.mark.processes, pytest.mark.loopback]

FLOOR_S = 1.0


@contextmanager
def hanging(folder: Path, audio_s: float = 0) -> Iterator["subprocess.Popen[str]"]:
    """In its step when this begins; gone when it ends."""
    command = [sys.executable, "-m", "tests.support.hanging_stage", str(folder), str(audio_s), str(FLOOR_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "hangs\n"
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def answer(folder: Path, path: str) -> int:
    """The status of a probe of the worker in that folder."""
    (worker,) = conditions(folder)
    try:
        with urllib.request.urlopen(f"http://{worker.metrics_address}{path}", timeout=2) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_one_that_hangs_ends_itself_and_what_it_was_at_is_known(tmp_path: Path) -> None:
    with hanging(tmp_path) as process:
        assert process.wait(30) == EXIT_HANGS
        assert process.stderr is not None
        assert "it hangs on calls.ended.v1/3/17 (call acme/c1): the worker ends itself" in process.stderr.read()
    assert [*Quarantine.of_stage(tmp_path, "listen").suspects()] == ["calls.ended.v1/3/17"]


def test_one_that_is_at_a_call_of_an_hour_lives_and_answers(tmp_path: Path) -> None:
    with hanging(tmp_path, audio_s=3_600) as process:
        time.sleep(2 * FLOOR_S)
        assert process.poll() is None
        assert [answer(tmp_path, path) for path in ("/livez", "/startupz", "/readyz")] == [200, 200, 200]


def test_one_that_was_stopped_inside_of_a_call_goes_on_with_it(tmp_path: Path) -> None:
    audio_s = 0.45  # ten times as much is less than it stands still, and more than the rest takes
    with hanging(tmp_path, audio_s) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(DID_NOT_RUN_S + 0.5)
        with pytest.raises(TimeoutError):
            answer(tmp_path, "/livez")
        process.send_signal(signal.SIGCONT)
        time.sleep(1)
        assert process.poll() is None
        assert answer(tmp_path, "/livez") == 200
        assert eventually(lambda: process.poll() == EXIT_HANGS, 30), "and it is ended where it hangs all the same"
