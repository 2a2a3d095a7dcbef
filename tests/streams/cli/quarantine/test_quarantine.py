"""`callstream quarantine`: what is held is shown, given up or tried again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.messages.records import ConsumerRecord
from streams.ports import SystemClock
from streams.runtime.crash_guard import CrashGuard, Quarantine
from tests.streams.cli.terminal import Terminal

pytestmark = pytest.mark.processes

RECORD = ConsumerRecord("calls.ended.v1", 4, 17, b"acme/c-1", b"{}")


@pytest.fixture
def quarantine(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quarantine:
    """A data folder in which a worker ended while it was at a record."""
    assert terminal is not None
    monkeypatch.setenv("CALLSTREAM_DATA_DIR", str(tmp_path / "data"))
    found = Quarantine.of_stage(tmp_path / "data", "listen")
    CrashGuard("listen", found, SystemClock()).enter([RECORD])
    (file,) = found.folder.glob("under_way.*.json")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file.rename(file.with_name(f"under_way.{ended.pid}.json"))
    return found


def test_it_is_shown_with_its_call(terminal: Terminal, quarantine: Quarantine) -> None:
    assert quarantine.folder.is_dir()
    shown = terminal.run("quarantine", "list", "--json")
    (suspect,) = json.loads(shown.out)
    assert (suspect["position"], suspect["call"], suspect["ends"]) == ("calls.ended.v1/4/17", "acme/c-1", 1)
    assert "acme/c-1" in terminal.run("quarantine", "list").out


def test_a_record_that_is_skipped_is_marked(terminal: Terminal, quarantine: Quarantine) -> None:
    assert terminal.run("quarantine", "skip", RECORD.position).code == 0
    assert quarantine.suspects()[RECORD.position].state == "skip"


def test_a_record_that_is_released_is_forgotten(terminal: Terminal, quarantine: Quarantine) -> None:
    assert terminal.run("quarantine", "release", RECORD.position).code == 0
    assert quarantine.suspects() == {}


def test_one_that_is_not_held_is_a_sentence(terminal: Terminal, quarantine: Quarantine) -> None:
    assert quarantine.folder.is_dir()
    ended = terminal.run("quarantine", "skip", "calls.ended.v1/0/0")
    assert ended.code == 2
    assert "is not in quarantine on this machine" in ended.err
