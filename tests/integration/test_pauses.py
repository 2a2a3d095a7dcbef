"""A stage that is paused or drained, on a real broker: nothing is read meanwhile, nothing is lost, and its workers go
on by themselves; also after they were killed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.messages.topics import CALLS_ENDED
from streams.adapters.kafka.client import Publisher
from streams.embedded.environment import handed_on
from streams.embedded.stack import Stack
from streams.runtime.child_records import child_conditions
from streams.runtime.heartbeat import conditions
from streams.settings import CONFIG_VARIABLE
from tests.support.judged_calls import an_event
from tests.support.stack import rows, running_stack, wait_until

ENDED = datetime(2026, 11, 30, 9, 15, tzinfo=UTC)
CALLS_OF_A_ROUND = 30
LOOK_S = 3.0
"""Longer than a worker that reads would need."""


def callstream(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**handed_on(os.environ), CONFIG_VARIABLE: str(stack.settings.data_dir / "stack.toml")}
    command = (sys.executable, "-P", "-m", "streams.cli.main", *arguments)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def publish(stack: Stack, round_: int) -> None:
    publisher = Publisher(stack.settings)
    events = [an_event(f"r{round_}-{i}", ENDED + timedelta(seconds=i)) for i in range(CALLS_OF_A_ROUND)]
    publisher.publish([CALLS_ENDED.record(event) for event in events])
    publisher.close()


def stored(stack: Stack) -> int:
    (row,) = rows(stack, "SELECT count() AS calls FROM outcomes")
    return int(row["calls"])


def state(stack: Stack) -> tuple[str, int]:
    """Of the worker `store`, and its process; while none runs, `gone`."""
    found = [each for each in conditions(stack.settings.data_dir) if each.stage == "store" and each.state != "gone"]
    return (found[0].state, found[0].pid) if found else ("gone", 0)


@pytest.fixture(
    params=[
        pytest.param("tansu", marks=[pytest.mark.embedded]),
        pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long]),
    ]
)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(request.param, tmp_path / "stack", stages=("store", "rollup"), restart_workers=True) as started:
        started.announce()
        yield started


def test_a_stage_stands_still_until_it_is_resumed(stack: Stack) -> None:
    publish(stack, 1)
    wait_until(stack, lambda: stored(stack) == CALLS_OF_A_ROUND, lambda: "the first calls")
    process = state(stack)[1]

    paused = callstream(stack, "pause", "store", "--why", "ClickHouse is being upgraded")
    assert (paused.returncode, paused.stderr) == (0, ""), "its group has no members any more"
    wait_until(stack, lambda: state(stack) == ("paused", process), lambda: "it to stay, under its number")
    publish(stack, 2)
    time.sleep(LOOK_S)
    assert stored(stack) == CALLS_OF_A_ROUND
    shown = callstream(stack, "status")
    assert "ClickHouse is being upgraded" in shown.stdout
    assert "store (process" not in shown.stderr, "to stand still is no problem"

    stack.supervisor.kill("store")
    wait_until(
        stack, lambda: state(stack) == ("paused", stack.supervisor.pid("store")), lambda: "the next to wait, too"
    )
    assert stored(stack) == CALLS_OF_A_ROUND

    assert callstream(stack, "resume", "store").returncode == 0
    wait_until(stack, lambda: stored(stack) == 2 * CALLS_OF_A_ROUND, lambda: "what came meanwhile")
    assert callstream(stack, "resume", "store").returncode == 1

    process = state(stack)[1]
    drained = callstream(stack, "drain", "store", "--why", "OPS-17")
    assert drained.returncode == 0, drained.stderr
    wait_until(stack, lambda: state(stack)[0] == "paused", lambda: "what was started in its place to wait")
    assert state(stack)[1] != process, "it ended"
    ends = [(each.name, each.exit_code) for each in child_conditions(stack.settings.data_dir) if each.exit_code == 0]
    assert ends == [("store", 0)]
    publish(stack, 3)
    time.sleep(LOOK_S)
    assert stored(stack) == 2 * CALLS_OF_A_ROUND
    assert callstream(stack, "resume", "store").returncode == 0
    wait_until(stack, lambda: stored(stack) == 3 * CALLS_OF_A_ROUND, lambda: "what came meanwhile")

    # A stage that reads no topic stands still as well.
    assert callstream(stack, "pause", "rollup", "--why", "OPS-18").returncode == 0
    (rollup,) = (each for each in conditions(stack.settings.data_dir) if each.stage == "rollup")
    assert rollup.state == "paused"
