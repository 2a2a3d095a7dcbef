"""A `listen` that is asked to stop (SIGTERM) in the middle of a call: it finishes the call where that is done within
the set time, and otherwise hands it back, another worker hears it, and either way there is one result.

The worker is the real one, as a process, with an ear that takes as long as a test says.
"""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from schemas.messages.topics import CALLS_DEAD_LETTERS, CALLS_TRANSCRIBED, LANE_OF
from streams.adapters.kafka.client import TopicReader, lags
from streams.embedded.stack import Stack, worker_spec
from streams.runtime.crash_guard import Quarantine, records_under_way
from streams.settings import variable_of
from tests.support.stack import publish_examples, running_stack, wait_until

pytestmark = pytest.mark.long

EAR = {"speech_engine": "stand-in", "stand_in_ear": "true", "emotion": "false"}
LONG_ENOUGH_S = 240


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("tansu", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ],
)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(request.param, tmp_path_factory.mktemp(request.param), EAR, stages=()) as running:
        yield running


class Listen:
    """A process of its own; its log is `file`."""

    def __init__(self, stack: Stack, file: Path, *, call_s: float, finish_within_s: float) -> None:
        """Its ear takes `call_s` seconds for a call."""
        spec = worker_spec("listen", 0, stack.settings, restart=False)
        own = {"stand_in_call_s": str(call_s), "finish_within_s": str(finish_within_s)}
        self._file = file
        self._folder = stack.settings.data_dir / "workers" / "listen"
        with file.open("wb") as written:
            self.process = subprocess.Popen(
                spec.argv,
                env={**os.environ, **spec.env, **{variable_of(name): text for name, text in own.items()}},
                cwd=spec.cwd,
                stderr=written,
            )

    def stop(self) -> int:
        """By SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LONG_ENOUGH_S)

    def at_work(self) -> bool:
        return bool(records_under_way(self._folder, self.process.pid))

    def log(self) -> str:
        return self._file.read_text(encoding="utf-8")


@contextmanager
def running(listen: Listen) -> Iterator[Listen]:
    try:
        yield listen
    finally:
        listen.process.kill()
        listen.process.wait()


def wait_for_work(stack: Stack, listen: Listen) -> None:
    wait_until(stack, listen.at_work, lambda: f"a call to be under way\n{listen.log()}", LONG_ENOUGH_S)


def unread(stack: Stack) -> int:
    return sum(lag.messages for lag in lags(stack.settings, {"listen": tuple(LANE_OF)}))


def written(stack: Stack, topic: str, tenant: str) -> Counter[str]:
    """Call id → how often."""
    with closing(TopicReader(stack.settings, topic)) as reader:
        keys = [(record.key or b"").decode().partition("/") for record in reader.read_to_end(LONG_ENOUGH_S)]
    return Counter(call for owner, _, call in keys if owner == tenant)


def require_one_result(stack: Stack, tenant: str, call_id: str) -> None:
    """Also, nobody takes the call for one that ends its worker."""
    assert unread(stack) == 0
    assert written(stack, CALLS_TRANSCRIBED.name, tenant) == {call_id: 1}
    assert written(stack, CALLS_DEAD_LETTERS.name, tenant) == {}
    assert Quarantine.of_stage(stack.settings.data_dir, "listen").suspects() == {}


def test_a_call_that_is_done_in_time_is_finished(stack: Stack, tmp_path: Path) -> None:
    (call,) = publish_examples(stack, ["s01"], "finishes")
    with running(Listen(stack, tmp_path / "listen.log", call_s=8, finish_within_s=LONG_ENOUGH_S)) as listen:
        wait_for_work(stack, listen)
        assert listen.stop() == 0
        assert "not finished in time" not in listen.log()
    require_one_result(stack, "finishes", call.call_id)


def test_a_call_that_is_not_done_in_time_is_handed_back_and_another_worker_hears_it(
    stack: Stack, tmp_path: Path
) -> None:
    (call,) = publish_examples(stack, ["s01"], "hands_back")
    with running(Listen(stack, tmp_path / "1.log", call_s=3_600, finish_within_s=3)) as first:
        wait_for_work(stack, first)
        with running(Listen(stack, tmp_path / "2.log", call_s=0, finish_within_s=3)) as second:
            assert first.stop() == 0
            assert "not finished in time, another worker does" in first.log()
            wait_until(
                stack, lambda: unread(stack) == 0, lambda: f"the other to hear it\n{second.log()}", LONG_ENOUGH_S
            )
            assert second.stop() == 0
    require_one_result(stack, "hands_back", call.call_id)
